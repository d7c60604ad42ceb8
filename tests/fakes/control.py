"""The running gateway in memory, for tests of the API: calls that the test makes, a plan that the test writes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gateway.api.control import NotNow, Reloaded, TrunkStatus
from gateway.calls.allowed import allowed
from gateway.calls.causes import Cause, EndedBy
from gateway.calls.errors import BotError
from gateway.calls.model import Call, Caller, CallId, ChannelPolicy, Direction, Leg, LegId, Role
from gateway.calls.ordering import word_of
from gateway.calls.orders import Consult, Hold, Order
from gateway.calls.outgoing import Outgoing
from gateway.calls.replies import BotResponse
from gateway.calls.states import CallState, ConsultState, LegState
from gateway.calls.switch import Switch
from gateway.calls.witnesses import leg_of
from gateway.dialplan.parse import load_text
from gateway.dialplan.routing import Decision, inbound
from gateway.engine.agents import AgentState, AgentStatus
from gateway.engine.delivery import WebhookStatus
from gateway.engine.placing import NotPlaced
from gateway.engine.trunks import Registration, TrunkHealth, TrunkState

PLAN = """\
trunks:
  acme: {host: 192.0.2.1, allow: [192.0.2.0/24]}
  other: {host: 198.51.100.1, allow: [198.51.100.0/24]}
channels:
  reception: {bot: {type: builtin, name: reception}}
  sales: {bot: {type: builtin, name: echo}}
routes:
  - {to: "+1212*", channel: reception}
  - {to: "200", channel: sales}
  - {to: "300", say: "We are closed."}
"""
AGENTS = """\
agents:
  ann: {name: Ann, target: "sip:ann@192.0.2.9", trunk: acme}
  bob: {name: Bob, target: "sip:bob@192.0.2.9", trunk: acme, may: [consult]}
"""


def a_call(
    number: int, channel: str = "reception", trunk: str = "acme", state: CallState = CallState.BOT, at: float = 1.8e9
) -> Call:
    """A call in this state, whose id sorts by `number`."""
    caller = Caller(f"sip-{number}@test", trunk, "+12125550123", "+12125550100", headers=(("X-CRM-Id", "42"),))
    connected = state is CallState.BOT
    leg = Leg(LegId(f"leg_{number:04}"), Role.CUSTOMER, LegState.CONNECTED if connected else LegState.RINGING)
    call = Call(CallId(f"call_{number:04}"), caller, ChannelPolicy(channel), leg, at + number, state=state)
    call.answered_at = call.started_at + 1 if connected else None
    return call


@dataclass
class MemoryControl:
    """Control over `calls`; what was asked of it is kept."""

    calls: dict[str, Call] = field(default_factory=dict)
    files: str = PLAN
    """What the dialplan's file says now; `reload` reads it."""
    hung_up: list[tuple[str, Cause, EndedBy]] = field(default_factory=list)
    pushed: list[tuple[str, BotResponse]] = field(default_factory=list)
    transfers: list[tuple[str, Switch | None]] = field(default_factory=list)
    """Those that were asked for; None takes one back."""
    orders: list[tuple[str, Order]] = field(default_factory=list)
    """What agents do; a consult shows."""
    for_whom: list[str | None] = field(default_factory=list)
    """The agent for whom each command was given."""
    away: set[str] = field(default_factory=set)
    drains: int = 0
    refusal: BotError | NotNow | None = None
    """What `push_replies` raises."""
    placed: list[tuple[Outgoing, str | None]] = field(default_factory=list)
    """The calls that were to be placed, and the agent who asked."""
    not_placed: NotPlaced | None = None
    """What `place` raises."""
    turns_down: NotNow | None = None
    """What `order` raises."""
    takes_s: float = 0.0
    """How long `push_replies` and `reload` take."""
    reloads: int = 0
    webhooks_there: tuple[WebhookStatus, ...] = ()

    def __post_init__(self) -> None:
        self.plan = load_text(self.files + AGENTS)

    def add(self, call: Call) -> Call:
        """The call is live."""
        self.calls[call.id] = call
        return call

    # ── Control ─────────────────────────────────────────────────────────────────────────────────────

    def live_calls(self) -> Sequence[Call]:
        return list(self.calls.values())

    def call(self, call_id: str) -> Call | None:
        return self.calls.get(call_id)

    async def hang_up(self, call_id: str, cause: Cause, by: EndedBy, agent: str | None = None) -> None:
        self.for_whom.append(agent)
        self.hung_up.append((call_id, cause, by))
        self.calls[call_id].customer.state = LegState.ENDING

    async def push_replies(self, call_id: str, response: BotResponse) -> None:
        await asyncio.sleep(self.takes_s)
        if self.refusal is not None:
            raise self.refusal
        self.pushed.append((call_id, response))

    async def transfer(self, call_id: str, switch: Switch, agent: str | None = None) -> None:
        self.for_whom.append(agent)
        if not self.calls[call_id].transferable:
            raise NotNow
        self.transfers.append((call_id, switch))

    async def cancel_transfer(self, call_id: str, agent: str | None = None) -> None:
        self.for_whom.append(agent)
        if "cancel-transfer" not in allowed(self.calls[call_id]):
            raise NotNow
        self.transfers.append((call_id, None))

    async def order(self, call_id: str, order: Order, agent: str | None = None) -> None:
        self.for_whom.append(agent)
        call = self.calls[call_id]
        if self.turns_down is not None:
            raise self.turns_down
        other = isinstance(order, Hold) and order.leg not in (None, call.customer.id)
        if not other and word_of(order) not in allowed(call):
            raise NotNow
        self.orders.append((call_id, order))
        if isinstance(order, Consult):
            call.consult = ConsultState.DIALLING

    async def place(self, wanted: Outgoing, by_agent: str | None = None) -> Call:
        if self.not_placed is not None:
            raise self.not_placed
        self.placed.append((wanted, by_agent))
        number, channel = len(self.placed), wanted.channel or "agent"
        caller = Caller("", wanted.trunk or "acme", "+12125550100", wanted.to or wanted.sip_uri or "")
        leg = Leg(LegId(f"leg_9{number:03}"), Role.CUSTOMER, LegState.DIALLING)
        call = Call(CallId(f"call_9{number:03}"), caller, ChannelPolicy(channel), leg, 1.8e9)
        call.direction, call.data = Direction.OUTBOUND, dict(wanted.data)
        return self.add(call)

    def agents(self) -> Sequence[AgentStatus]:
        return [status for name in self.plan.agents if (status := self._agent(name)) is not None]

    def say(self, agent: str, *, away: bool) -> AgentStatus | None:
        if agent in self.plan.agents:
            (self.away.add if away else self.away.discard)(agent)
        return self._agent(agent)

    def _agent(self, name: str) -> AgentStatus | None:
        planned = self.plan.agents.get(name)
        if planned is None:
            return None
        found = next(((call, leg) for call in self.calls.values() if (leg := leg_of(call, name))), (None, None))
        state = AgentState.BUSY if found[0] else AgentState.AWAY if name in self.away else AgentState.AVAILABLE
        return AgentStatus(name, planned.name, planned.trunk, planned.may, state, 1.8e9, *found)

    def drain(self) -> int:
        self.drains += 1
        return len(self.calls)

    def trunks(self) -> Sequence[TrunkStatus]:
        return [
            TrunkStatus(
                name, str(trunk.host), trunk.transport, TrunkHealth(TrunkState.UP, Registration.NONE, 1.8e9),
                calls=sum(call.caller.trunk == name for call in self.calls.values()),
            )
            for name, trunk in self.plan.trunks.items()
        ]  # fmt: skip

    def webhooks(self) -> Sequence[WebhookStatus]:
        return self.webhooks_there

    def route(self, trunk: str, to: str, from_: str, at: datetime | None) -> Decision:
        return inbound(self.plan, trunk, to, from_, at or datetime.now(UTC))

    async def reload(self) -> Reloaded:
        await asyncio.sleep(self.takes_s)
        plan = load_text(self.files, file="dialplans/plan.yaml")
        self.plan, self.reloads = plan, self.reloads + 1
        return Reloaded(len(plan.trunks), len(plan.channels), len(plan.routes))
