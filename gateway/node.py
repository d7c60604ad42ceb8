"""The running node as the control API sees and steers it: live calls, the plan and its reload; made by app.py."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from gateway.api.control import NotNow, Reloaded, TrunkStatus
from gateway.calls.causes import Cause, EndedBy
from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.events import Event, HangupRequested, RepliesPushed, TransferCancelled, TransferRequested
from gateway.calls.fitting import misfit, parked_out, too_much_data
from gateway.calls.model import Call, CallId
from gateway.calls.orders import Order, Ordered
from gateway.calls.outgoing import Outgoing
from gateway.calls.replies import BotResponse
from gateway.calls.states import CallState
from gateway.calls.switch import Switch
from gateway.dialplan.routing import Decision, inbound
from gateway.dialplan.schema import Dialplan
from gateway.engine.agents import AgentStatus
from gateway.engine.delivery import WebhookStatus
from gateway.engine.engine import Engine
from gateway.engine.queued import OVER
from gateway.engine.trunks import UNASKED, Trunks
from gateway.telemetry.log import get_logger

log = get_logger(__name__)


class Node:
    """`api.control.Control`. `load` reads the plan's files (ProblemsError), `run` makes a plan the running one,
    `stop` drains and ends the process."""

    def __init__(
        self,
        engine: Engine,
        trunks: Trunks,
        load: Callable[[], Dialplan],
        run: Callable[[Dialplan], Awaitable[None]],
        stop: Callable[[], None],
        webhooks: Callable[[], Sequence[WebhookStatus]] = tuple,
    ) -> None:
        self._engine, self._trunks, self._load, self._run, self._stop = engine, trunks, load, run, stop
        self._webhooks = webhooks
        self._reloading = asyncio.Lock()

    def live_calls(self) -> Sequence[Call]:
        """All calls that are not over."""
        return [live.call for live in self._engine.live.calls.values()]

    def call(self, call_id: str) -> Call | None:
        """One of them."""
        live = self._engine.live.calls.get(CallId(call_id))
        return live.call if live else None

    async def hang_up(self, call_id: str, cause: Cause, by: EndedBy, agent: str | None = None) -> None:
        """End the call; nothing if it is over. Raises NotNow."""
        live = self._engine.live.calls.get(CallId(call_id))
        refusal = await live.take(HangupRequested(cause, by, agent)) if live is not None else None
        if refusal is not None and refusal is not OVER:
            raise NotNow(refusal)

    async def place(self, wanted: Outgoing, by_agent: str | None = None) -> Call:
        """Call a customer. Raises NotPlaced."""
        return await self._engine.place(wanted, by_agent)

    async def push_replies(self, call_id: str, response: BotResponse) -> None:
        """Carry out replies that nobody asked for, after what is under way. Raises BotError or NotNow."""
        live = self._engine.live.calls.get(CallId(call_id))
        if live is None or live.ending or parked_out(response, live.call):
            raise NotNow
        problem = misfit(response, live.call, self._engine.running.policies)
        if problem is not None:
            raise BotError(BotErrorKind.REFUSED, problem)
        live.post(RepliesPushed(response))

    async def transfer(self, call_id: str, switch: Switch, agent: str | None = None) -> None:
        """Hand the customer to people, or on to others. Raises BotError or NotNow."""
        live = self._engine.live.calls.get(CallId(call_id))
        if live is None or live.ending or not live.call.transferable:
            raise NotNow
        if live.call.state is CallState.TALKING and switch.method == "refer":
            raise BotError(BotErrorKind.REFUSED, "method: refer is for a customer who is with the bot; write invite")
        over = too_much_data(live.call, switch)
        if over is not None:
            raise BotError(BotErrorKind.REFUSED, over)
        await self._have(call_id, TransferRequested(switch, agent))

    async def cancel_transfer(self, call_id: str, agent: str | None = None) -> None:
        """Take a transfer back that is not bridged, or a hop. Raises NotNow."""
        await self._have(call_id, TransferCancelled(agent))

    async def order(self, call_id: str, order: Order, agent: str | None = None) -> None:
        """What an agent does in a call. Raises NotNow."""
        await self._have(call_id, Ordered(order, agent))

    async def _have(self, call_id: str, event: Event) -> None:
        """Ask this of the call, which answers in its turn: another command may have come before. Raises NotNow."""
        live = self._engine.live.calls.get(CallId(call_id))
        refusal = await live.take(event) if live is not None else OVER
        if refusal is not None:
            raise NotNow(refusal)

    def agents(self) -> Sequence[AgentStatus]:
        """The agents of the running plan."""
        return self._engine.agents.statuses()

    def say(self, agent: str, *, away: bool) -> AgentStatus | None:
        """An agent goes away, or is there again."""
        return self._engine.agents.say(agent, away=away)

    def drain(self) -> int:
        """Begin to stop."""
        self._stop()
        return len(self._engine.live.calls)

    def trunks(self) -> Sequence[TrunkStatus]:
        """The trunks of the running plan."""
        per_trunk, health = self._engine.live.per_trunk, self._trunks.health()
        return [
            TrunkStatus(
                name,
                str(trunk.host),
                trunk.transport,
                health.get(name, UNASKED),
                per_trunk[name],
                trunk.limits.channels if trunk.limits is not None else None,
            )
            for name, trunk in self._engine.running.plan.trunks.items()
        ]

    def webhooks(self) -> Sequence[WebhookStatus]:
        """The status webhooks of the running plan."""
        return self._webhooks()

    def route(self, trunk: str, to: str, from_: str, at: datetime | None) -> Decision:
        """What would become of a call."""
        return inbound(self._engine.running.plan, trunk, to, from_, at or datetime.now(UTC))

    async def reload(self) -> Reloaded:
        """Read the files again and run what they say; live calls keep what they have. Raises ProblemsError, and then
        nothing has changed."""
        async with self._reloading:  # two that cross would each end and begin the same trunks' keepers
            plan = self._load()
            await self._run(plan)
        log.info("dialplan.reloaded", trunks=len(plan.trunks), channels=len(plan.channels), routes=len(plan.routes))
        return Reloaded(len(plan.trunks), len(plan.channels), len(plan.routes))
