"""Calls that we place: the customer is called for a bot, or for an agent who is called first; the base of control.py.

control-api.md, `POST /v1/calls`. Until the customer has answered the call is `offered`, and no bot knows of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.calls import causes
from gateway.calls.causes import CANCELLED, NORMAL, NOT_ANSWERED, Cause, EndedBy, Reason, Result
from gateway.calls.commands import Command, Hangup, Note, StartTimer, StopTimer, Timer
from gateway.calls.desk import start
from gateway.calls.ending import Ending
from gateway.calls.events import CallPlaced, Event, HangupRequested, LegEnded, LegRinging
from gateway.calls.fitting import unreached
from gateway.calls.manual import Manual
from gateway.calls.model import JsonObject, LegId, Role
from gateway.calls.outbound import TransferReason
from gateway.calls.outcome import Attempt, reason_of
from gateway.calls.states import (
    CALL_TRANSITIONS,
    LEG_TRANSITIONS,
    CallTrigger,
    LegState,
    LegTrigger,
    advance,
)
from gateway.calls.witnesses import leg_of

_CALLING: Final = (LegState.DIALLING, LegState.RINGING)
_ELSEWHERE: Final = Cause(Result.CALLEE, Reason.UNAVAILABLE)
"""Of a customer's side that answers with a redirection (3xx): whoever placed the call may follow it."""


@dataclass(slots=True)
class Placing(Ending):
    """What control knows of calls that we place. Once the customer has answered nothing here matters any more."""

    _placed: CallPlaced | None = None

    @property
    def calls_customer(self) -> bool:
        """Our INVITE to the customer is out and has no answer."""
        return self._placed is not None and self.call.customer.state in _CALLING

    # ── How it goes ─────────────────────────────────────────────────────────────────────────────────

    def _place(self, event: CallPlaced) -> list[Command]:
        call, self._placed = self.call, event
        tagged = [Note("call.tagged", {"keys": [*call.data]})] if call.data else []
        if event.agent is None:
            return [*tagged, *self._call_customer(event)]
        self.turns.parked = True
        self.conversation.closed = True  # it has no bot
        self.transfer = Manual(
            self.new_id("xfer"), event.agent, call, self.outbound, new_leg_id=self._new_leg_id, say=self.turns.aside
        )
        call.transfer_id = self.transfer.id
        return [*tagged, *self.transfer.begin(self._now)]

    def _call_customer(self, placed: CallPlaced) -> list[Command]:
        leg = self.call.customer
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.DIAL)
        return [placed.dial, StartTimer(Timer.RING, round(placed.timeout_s * 1000))]

    def _rings(self, event: LegRinging, now: float) -> list[Command]:
        leg = self.call.customer
        if event.leg_id != leg.id:
            return self._dialling.ringing(event, now) if self._dialling else []
        if self.calls_customer:
            leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.PROVISIONAL)
            leg.early_media = leg.early_media or event.media
        return []

    def _customer_answered(self, now: float) -> list[Command]:
        call, manual = self.call, self._manual
        call.customer.state = advance(LEG_TRANSITIONS, call.customer.state, LegTrigger.ANSWERED)
        call.answered_at, self.turns.connected = now, True
        if manual is not None:
            call.state = advance(CALL_TRANSITIONS, call.state, CallTrigger.BRIDGED)
            return [StopTimer(Timer.RING), *manual.meet(now)]
        call.state = advance(CALL_TRANSITIONS, call.state, CallTrigger.CONNECTED)
        told = self.conversation.tell(start(call.direction.value, {}))
        most_s = self._placed.max_talk_s if self._placed is not None else None
        limit = [StartTimer(Timer.MAX_CALL, round(most_s * 1000))] if most_s is not None else []
        return [StopTimer(Timer.RING), *limit, *told, *self._go_on()]

    def _settle_all(self) -> list[Command]:
        commands = super(Placing, self)._settle_all()  # slots=True makes another class: no bare super()
        placed, manual = self._placed, self._manual
        agent_waits = manual is not None and manual.waiting is not None
        if placed is not None and agent_waits and self.call.customer.state is LegState.PLANNED:
            commands += self._call_customer(placed)
        return commands

    def _is_theirs(self, event: Event) -> bool:
        """Before they talk the agent has nothing to act with, but may think better of the call."""
        if isinstance(event, HangupRequested) and event.agent is not None and unreached(self.call):
            return leg_of(self.call, event.agent) is not None
        return super(Placing, self)._is_theirs(event)

    # ── How it comes to nothing ─────────────────────────────────────────────────────────────────────

    def _not_answered(self) -> list[Command]:
        """The customer lets it ring for too long."""
        commands, manual = list[Command](), self._manual
        if manual is not None:
            told = Attempt(self.call.caller.to, None, TransferReason.NO_ANSWER)
            commands += manual.unmet(TransferReason.NO_ANSWER, "gateway", self._now, customer=told, cause=NOT_ANSWERED)
        return [*commands, *self._told_unmet(), *self._withdraw(NOT_ANSWERED, EndedBy.GATEWAY)]

    def _hang_up(self, cause: Cause, by: EndedBy, headers: Mapping[str, str] | None = None) -> list[Command]:
        if not unreached(self.call):
            return super(Placing, self)._hang_up(cause, by, headers)
        commands, manual = list[Command](), self._manual
        if manual is not None:
            commands += manual.unmet(TransferReason.CANCELLED, "gateway", self._now, cause=cause)
        return [*commands, *self._told_unmet(), *self._withdraw(CANCELLED if cause == NORMAL else cause, by)]

    def _customer_left(self, *, by_gateway: bool, lost: bool) -> list[Command]:
        event = self._gone[0] if self._gone is not None else None
        if not unreached(self.call) or event is None:
            return super(Placing, self)._customer_left(by_gateway=by_gateway, lost=lost)
        if self._ending is None and event.by_peer and event.sip_status < 400:
            self._ending = (_ELSEWHERE, EndedBy.CUSTOMER)
        manual, commands = self._manual, list[Command]()
        if manual is not None:
            reason = reason_of(event)
            told = Attempt(self.call.caller.to, event.sip_status if event.by_peer else None, reason)
            by = "customer" if event.by_peer else "gateway"
            commands += manual.unmet(reason, by, self._now, customer=told, cause=event.cause)
        return [*commands, *self._told_unmet(), *self._stop_all(), *self.conversation.give_up()]

    def _after_transfer(self) -> list[Command]:
        manual = self._manual
        if manual is None or not unreached(self.call):
            return super(Placing, self)._after_transfer()
        if manual.outcome is None:
            return []
        return [*self._told_unmet(), *self._withdraw(*manual.why())]

    def _told_unmet(self) -> list[Command]:
        """The end of the agent's transfer, which no bot is told."""
        outcome = self.transfer.outcome if self.transfer is not None else None
        if outcome is None:
            return []
        self.transfer, self.call.transfer_id = None, None
        return [Note("transfer.ended", outcome.as_json())]

    def _withdraw(self, cause: Cause, by: EndedBy) -> list[Command]:
        """The customer is not called any more, or will not be."""
        leg, closing = self.call.customer, self._closing(cause, by)
        if leg.state is LegState.PLANNED:
            leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.GONE)
            self._gone = (LegEnded(leg.id, cause, 487, causes.q850_of(cause), by_peer=False), self._now)
            return [*closing, Note("leg.left", _never_called(leg.id, cause))]
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.RELEASE)
        return [*closing, Hangup(leg.id, cause)]

    @property
    def _manual(self) -> Manual | None:
        return self.transfer if isinstance(self.transfer, Manual) else None


def _never_called(leg_id: LegId, cause: Cause) -> JsonObject:
    """The end of a leg that is in the history since the call began, and had no dialog that could end."""
    told = {"result": cause.result.value, "reason": cause.reason.value}
    return {
        "legId": leg_id,
        "role": Role.CUSTOMER.value,
        "cause": {**told},
        "sipStatus": None,
        "q850": None,
        "by": "gateway",
        "rtp": None,
    }
