"""What the API needs of the running gateway, as a Protocol: live calls, trunks, the plan; implemented in app.py.

All methods are called on the event loop. The calls that they give are the core's own: the API reads them at once and
keeps none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gateway.calls.causes import Cause, EndedBy
from gateway.calls.commands import TurnDown, Why
from gateway.calls.model import Call
from gateway.calls.orders import Order
from gateway.calls.outgoing import Outgoing
from gateway.calls.replies import BotResponse
from gateway.calls.switch import Switch
from gateway.dialplan.routing import Decision
from gateway.engine.agents import AgentStatus
from gateway.engine.delivery import WebhookStatus
from gateway.engine.trunks import UNASKED, TrunkHealth


@dataclass(frozen=True, slots=True)
class TrunkStatus:
    """A trunk of the running plan. `max_calls` None: no limit."""

    name: str
    host: str
    transport: str
    health: TrunkHealth = UNASKED
    calls: int = 0
    max_calls: int | None = None


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A plan that was loaded and runs: how much is in it."""

    trunks: int
    channels: int
    routes: int


class NotNow(Exception):
    """The call does not take that; `refusal` says why, by default as of the state in which it is."""

    def __init__(self, refusal: TurnDown | None = None) -> None:
        super().__init__(refusal.detail if refusal is not None else "")
        self.why: Why = refusal.why if refusal is not None else "state"
        self.detail = refusal.detail if refusal is not None else ""


class Control(Protocol):
    """The running gateway."""

    def live_calls(self) -> Sequence[Call]:
        """All calls that are not over, in any order. A call is here until its end is in the journal (or given up)."""

    def call(self, call_id: str) -> Call | None:
        """One of them."""

    async def hang_up(self, call_id: str, cause: Cause, by: EndedBy, agent: str | None = None) -> None:
        """End the call; nothing if it is over. Returns when its legs are being ended, before they are. `agent`, here
        and below, is for whom it is asked: raises NotNow when that is not the one who acts in the call."""

    async def place(self, wanted: Outgoing, by_agent: str | None = None) -> Call:
        """Call a customer for a bot or an agent; returns when the first INVITE is under way. `by_agent` is the agent
        who asks for it, whose rights count. Raises NotPlaced, and then there is no call."""

    async def push_replies(self, call_id: str, response: BotResponse) -> None:
        """Carry out replies that nobody asked for, after what is under way.

        Raises BotError (`refused`) when they do not fit this call, as for an answer of the bot; NotNow when the call
        takes none at all (it is ending, or over).
        """

    async def transfer(self, call_id: str, switch: Switch, agent: str | None = None) -> None:
        """Hand the customer to people, or from people on to others; returns when the first is dialled. Raises NotNow
        when the customer is being handed on already or about to go, BotError for a switch that does not fit."""

    async def cancel_transfer(self, call_id: str, agent: str | None = None) -> None:
        """Take a transfer back; nothing is left ringing. Raises NotNow when there is none, or it is bridged."""

    async def order(self, call_id: str, order: Order, agent: str | None = None) -> None:
        """What an agent does in a call: `calls/orders.py`; returns when it is under way, and the call shows it. `agent`
        is for whom it is ordered. Raises NotNow when the call does not take it, as `calls/allowed.py` has it, or
        another command came before."""

    def trunks(self) -> Sequence[TrunkStatus]:
        """The trunks of the running plan, in its order."""

    def webhooks(self) -> Sequence[WebhookStatus]:
        """The status webhooks of the running plan."""

    def route(self, trunk: str, to: str, from_: str, at: datetime | None) -> Decision:
        """What would become of a call now, or at a time (with a zone): `dialplan.routing.inbound`."""

    async def reload(self) -> Reloaded:
        """Read the dialplan's files again and run what they say; live calls keep what they have. Raises ProblemsError,
        and then nothing has changed."""

    def agents(self) -> Sequence[AgentStatus]:
        """The agents of the running plan, in its order."""

    def say(self, agent: str, *, away: bool) -> AgentStatus | None:
        """An agent goes away, or is there again; how they are then. None: the plan has no such agent."""

    def drain(self) -> int:
        """Take no more calls, and stop when the last one is over or `drain_timeout` has passed, as SIGTERM does; how
        many there are. Asking again changes nothing."""
