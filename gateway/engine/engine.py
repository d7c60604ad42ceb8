"""The engine: takes every new leg, routes it, makes a call of it or refuses it, passes events on; run by app.py."""

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from ulid import ULID

from gateway.calls import history
from gateway.calls.causes import DRAINED, NO_ROUTE, NORMAL, OVER_LIMIT, Cause, EndedBy, Result, of_status
from gateway.calls.control import CallControl
from gateway.calls.events import HangupRequested, LegEnded, LegEvent, LegOffered
from gateway.calls.model import Call, CallId, ChannelPolicy, Leg, LegId, Role, Spoken
from gateway.calls.outgoing import Outgoing
from gateway.calls.refers import ReferReceived
from gateway.dialplan.routing import ANNOUNCEMENT, TO_AGENT, Refuse, ToAgent, ToChannel, ToPrompt, inbound
from gateway.dialplan.schema import TrunkLimits
from gateway.engine.agents import Agents
from gateway.engine.call import LiveCall, World
from gateway.engine.intake import Intake
from gateway.engine.limits import Admission
from gateway.engine.live import Live
from gateway.engine.overload import Overload
from gateway.engine.placing import NotPlaced, Placing
from gateway.engine.ports import Bot
from gateway.engine.running import Running
from gateway.engine.ways import Ways
from gateway.telemetry.lag import Clock
from gateway.telemetry.log import get_logger


def _new_id(prefix: str) -> str:
    return f"{prefix}_{ULID()}"


log = get_logger(__name__)


class Engine:
    """All live calls of this process."""

    def __init__(
        self,
        running: Running,
        world: World,
        limit: int,
        most_late_s: float = 0.05,
        draw: Callable[[int, int], int] = random.randint,
    ) -> None:
        """At most `limit` calls at a time; none are taken while the node is more than `most_late_s` late (overload.py).
        `draw` gives a random number between two, both included."""
        self.live = Live(limit)
        self.overload = Overload(most_late_s)
        self.running = running
        """What new calls run by. Put another one here at will: live calls keep theirs."""
        self.admission = Admission(self._limits_of, self.live.per_trunk)
        """To be asked before a leg is added on a trunk."""
        self._world = world
        self.agents = Agents(lambda: self.running.plan, self.live, world.clock)
        self._outbound = Ways(lambda: self.running.plan, self.admission, self.live.promise, self.agents)
        self._intake = Intake(self.live, self.overload, world.legs, draw)
        self._placing = Placing(self.live, self._intake, self._outbound, _new_id)

    @property
    def taking(self) -> bool:
        """New calls are taken: not draining, not full, not overloaded."""
        return self._intake.shut is None

    async def start(self) -> None:
        """Take calls. Raises OSError when an address cannot be had."""
        await self._world.legs.start(self.on_leg, self.on_mark)

    async def drain(self, timeout_s: float) -> None:
        """Refuse new calls, let live ones go on for at most `timeout_s`, then end them politely."""
        self._shut()
        try:
            async with asyncio.timeout(timeout_s):
                await self.live.wait_empty()
        except TimeoutError:
            await self.hang_up_all()

    async def hang_up_all(self, wait_s: float = 5.0) -> None:
        """End every call now and wait until each is over and its bot told, for at most `wait_s`."""
        self._shut()
        for call in list(self.live.calls.values()):
            call.post(HangupRequested(DRAINED, EndedBy.GATEWAY))
        try:
            async with asyncio.timeout(wait_s):
                await self.live.wait_empty()
        except TimeoutError:
            log.warning("engine.calls_left", calls=len(self.live.calls), finishing=len(self.live.finishing))

    async def stop(self) -> None:
        """Stop listening, release everything. Calls that are still up are ended."""
        await self.hang_up_all()
        await self._world.legs.stop()
        for task in list(self.live.finishing):
            task.cancel()
        await asyncio.gather(*self.live.finishing, return_exceptions=True)
        await self._world.sounds.close()
        for bot in self.running.bots.values():
            await bot.close()

    def late(self, clock: Clock, late_s: float) -> None:
        """One of the node's clocks is so late: a sample of telemetry/lag.py."""
        now = self._world.clock()
        self.overload.sample(clock, late_s, now)
        self._intake.look(now)

    def _shut(self) -> None:
        self.live.draining = True
        self._intake.look(self._world.clock())

    def _limits_of(self, trunk: str) -> TrunkLimits | None:
        planned = self.running.plan.trunks.get(trunk)
        return planned.limits if planned is not None else None

    async def place(self, wanted: Outgoing, by_agent: str | None = None) -> Call:
        """Call a customer for a bot or an agent; returns when the first INVITE is ordered. `by_agent` is the agent who
        asks for it, if one does. Raises NotPlaced, and then there is no call."""
        try:
            planned = self._placing.plan(wanted, self.running, self._world.clock(), by_agent)
        except NotPlaced as error:
            log.info("call.not_placed", why=error.why, detail=error.detail)
            raise
        live = self._begin(planned.call, planned.bot_of)
        await live.take(planned.event)
        return planned.call

    # ── From the SIP adapter ────────────────────────────────────────────────────────────────────────

    def on_leg(self, event: LegEvent) -> None:
        """An event of a leg: a new one is routed, all others go to their call."""
        if isinstance(event, LegOffered):
            if event.replaces is None:
                self._offered(event)
            else:
                self._offered_instead(event, event.replaces)
            return
        if isinstance(event, ReferReceived):
            event = self.live.turned_round(event)
        call = self.live.by_leg.get(event.leg_id)
        if call is not None:
            call.post(event)
        elif isinstance(event, LegEnded):
            log.debug("leg.gone", leg_id=event.leg_id, cause=str(event.cause))  # one that was refused

    def on_mark(self, call_id: CallId, mark: int, samples: int, flushed: bool) -> None:
        """A buffer of a call's voice was heard or dropped."""
        call = self.live.calls.get(call_id)
        if call is not None:
            call.on_mark(mark, samples, flushed)

    def _offered_instead(self, event: LegOffered, replaces: LegId) -> None:
        """An INVITE that would take the place of a leg (RFC 3891): its call decides. It takes no new channel of the
        trunk for long, and ends none: limits are not asked."""
        call = self.live.by_leg.get(replaces)
        if call is None:
            self._refuse(event, 481, "the dialog that it replaces is gone", NORMAL)
            return
        self.live.add_leg(call, event.leg_id, event.caller.trunk)
        call.post(event)

    def _offered(self, event: LegOffered) -> None:
        caller, running = event.caller, self.running
        now = self._world.clock()
        shut = self._intake.look(now)
        if shut is not None:  # it was on its way before SIP knew
            self._refuse(event, 503, shut, shut.cause, retry_after_s=self._intake.retry_after_s)
            return
        over = self.admission.admit_in(caller.trunk, now)
        if over is not None:  # other trunks have room: no Retry-After, which would keep the carrier away as a whole
            self._refuse(event, 503, over.why, OVER_LIMIT)
            return
        decision = inbound(running.plan, caller.trunk, caller.to, caller.from_, datetime.now(UTC))
        match decision:
            case Refuse():
                cause = NO_ROUTE if decision.route is None else of_status(decision.status, Result.GATEWAY)
                self._refuse(event, decision.status, decision.why, cause)
            case ToPrompt():
                announcer = running.announcer(Spoken(decision.say, decision.prompt))
                self._take(event, ChannelPolicy(ANNOUNCEMENT), running.bots_and(ANNOUNCEMENT, announcer))
            case ToAgent():
                attendant = running.attendant(running.call_to(decision.agent))
                self._take(event, ChannelPolicy(TO_AGENT), running.bots_and(TO_AGENT, attendant))
            case ToChannel():
                limits = running.plan.channels[decision.channel].limits
                if limits and limits.calls and self.live.per_channel[decision.channel] >= limits.calls:
                    self._refuse(event, 503, f"channel {decision.channel} is full", OVER_LIMIT)
                    return
                self._take(event, running.policies[decision.channel], running.bots.__getitem__)

    def _take(self, event: LegOffered, policy: ChannelPolicy, bot_of: Callable[[str], Bot]) -> None:
        call = Call(
            id=CallId(f"call_{ULID()}"),
            caller=event.caller,
            channel=policy,
            customer=Leg(event.leg_id, Role.CUSTOMER),
            started_at=self._world.clock(),
        )
        self._begin(call, bot_of).post(event)

    def _begin(self, call: Call, bot_of: Callable[[str], Bot]) -> LiveCall:
        """The call is live, and waits for its first event."""
        control = CallControl(call, self.running.policies, self._outbound, _new_id)
        live, caller = LiveCall(control, self._world, bot_of, self._over, log, self.live), call.caller
        live.log.info(
            "call.started",
            **{
                "leg_id": call.customer.id,
                "channel": call.channel.name,
                "direction": call.direction.value,
                "trunk": caller.trunk,
                "from": caller.from_,
                "to": caller.to,
                "sip_call_id": caller.sip_call_id,
            },
        )
        self.live.add(live)
        self._intake.look(call.started_at)
        self._world.journal.append(history.started(call))
        return live

    def _over(self, call: LiveCall) -> None:
        self._outbound.over(call.id)
        self.live.remove(call)
        self._intake.look(self._world.clock())

    def _refuse(
        self, event: LegOffered, status: int, why: str, cause: Cause, *, retry_after_s: int | None = None
    ) -> None:
        fields: Mapping[str, str] = {"from": event.caller.from_, "to": event.caller.to}
        log.info("call.refused", trunk=event.caller.trunk, status=status, why=why, **fields)
        world, nobody = self._world, CallId(f"call_{ULID()}")
        world.observer.refused(event.caller.trunk, cause, status)
        world.journal.append(history.refused(nobody, event.leg_id, event.caller, world.clock(), status, cause, why))
        headers = (("Retry-After", str(retry_after_s)),) if retry_after_s is not None else ()
        self._world.legs.reject(event.leg_id, status, "", cause, headers)
