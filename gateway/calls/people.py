"""The customer among people: a transfer and what follows it, and keys across the bridge; the base of control.py."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.calls.causes import (
    NORMAL,
    TRANSFER_FAILED,
    Cause,
    EndedBy,
)
from gateway.calls.commands import (
    BotEventName,
    Command,
    Hangup,
    Note,
    SendDigits,
)
from gateway.calls.conversation import Tell
from gateway.calls.desk import Desk
from gateway.calls.model import (
    LegId,
    LegParty,
    Ringback,
    Spoken,
)
from gateway.calls.outbound import TransferReason
from gateway.calls.outcome import Outcome
from gateway.calls.replies import (
    HangupReply,
)
from gateway.calls.states import (
    CALL_TRANSITIONS,
    LEG_TRANSITIONS,
    CallState,
    CallTrigger,
    LegState,
    LegTrigger,
    TransferState,
    advance,
)
from gateway.calls.switch import OnFailHandoff, Switch
from gateway.calls.transfer import Transfer

RELAYED_MS = 160
"""How long a key is that one leg pressed and another is sent."""


@dataclass(slots=True)
class AmongPeople(Desk):
    """What control knows of transfers; `_hang_up` is control's."""

    def _hang_up(self, cause: Cause, by: EndedBy, headers: Mapping[str, str] | None = None) -> list[Command]:
        """End the whole call."""
        raise NotImplementedError

    def _asked_to_transfer(self, switch: Switch) -> list[Command]:
        # It has changed since it was looked at; or the call is about to end, and nobody would take the customer back.
        if self.call.state is not CallState.BOT or self.transfer is not None or self.conversation.closed:
            return [Note("transfer.late", {"state": self.call.state.value})]
        stopped = self.turns.drop()
        return [*self._carry_out(stopped), *self._begin_transfer(switch, by_bot=False)]

    def _begin_transfer(self, switch: Switch, *, by_bot: bool) -> list[Command]:
        call = self.call
        call.data |= switch.data
        call.ringback = Ringback(switch.ringback)
        call.state = advance(CALL_TRANSITIONS, call.state, CallTrigger.TRANSFER)
        self.transfer = Transfer(self.new_id("xfer"), switch, call, self.outbound, self._new_leg_id, self.turns.aside)
        call.transfer_id = self.transfer.id
        gone_by = self.conversation.give_way(by_bot=by_bot)
        parked = [*gone_by, *self._carry_out(self.turns.park())]
        return parked + self.transfer.begin(self._now, self._unknown_channel(switch))

    def _new_leg_id(self) -> LegId:
        return LegId(self.new_id("leg"))

    def _unknown_channel(self, switch: Switch) -> str | None:
        """What is wrong with the channels that the customer shall go to afterwards; None if nothing is."""
        wanted = {"postSession.channel": switch.post_session.channel if switch.post_session else None}
        if isinstance(switch.on_fail, OnFailHandoff):
            wanted["onFail.handoff.channel"] = switch.on_fail.handoff.channel
        wrong = (f"{key}: no channel {name!r}" for key, name in wanted.items() if name and name not in self.channels)
        return next(wrong, None)

    def _after_transfer(self) -> list[Command]:
        """What becomes of the customer when people are through with it, or could not be reached."""
        transfer = self.transfer
        if transfer is None:
            return []
        if transfer.state is TransferState.BRIDGED and self.call.state is CallState.TRANSFERRING:
            self.call.state = advance(CALL_TRANSITIONS, self.call.state, CallTrigger.BRIDGED)
        outcome = transfer.outcome
        if outcome is None:
            return []
        self.transfer, self.call.transfer_id = None, None
        status = outcome.as_json()
        commands: list[Command] = [Note("transfer.ended", status)]
        told = self.conversation.tell(Tell(BotEventName.TRANSFER, status))
        if outcome.hangup:
            return commands + told
        self.call.state = advance(CALL_TRANSITIONS, self.call.state, CallTrigger.RETURNED)
        self.turns.parked = False
        return commands + told + self._go_on_with(transfer.switch, outcome)

    def _go_on_with(self, switch: Switch, outcome: Outcome) -> list[Command]:
        lost = outcome.success and outcome.reason is TransferReason.MEDIA_FAILED
        if outcome.success and not lost:
            if switch.post_session is not None and switch.post_session.channel in self.channels:
                session = switch.post_session
                return self._hand_off(session.channel, "postSession", session.parameters)
            if switch.continue_call:
                return []
            return self._hang_up(NORMAL, EndedBy.AGENT)
        match switch.on_fail:
            case OnFailHandoff() as other if other.handoff.channel in self.channels:
                return self._hand_off(other.handoff.channel, "handoff", other.handoff.parameters)
            case "return":
                return []
            case None if switch.continue_call:
                return []
            case _:
                self._parting = (TRANSFER_FAILED, EndedBy.GATEWAY)
                self.turns.take((HangupReply(type="hangup"),))
                return [self.turns.say(Spoken(prompt="apology")), *self.conversation.give_up()]

    def _release_others(self) -> list[Command]:
        """Whoever is left hears no more."""
        commands: list[Command] = []
        for leg in self.call.others:
            if leg.state in (LegState.DIALLING, LegState.RINGING, LegState.CONNECTED):
                leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.RELEASE)
                commands.append(Hangup(leg.id, NORMAL))
        return commands

    def _relay(self, leg_id: LegId, digit: str) -> list[Command]:
        """Keys follow the edges of the leg that pressed them (house.md): the bridge carries none by itself."""
        ears = (edge.sink for edge in self._edges if edge.source == LegParty(leg_id))
        return [SendDigits(ear.leg_id, digit, RELAYED_MS) for ear in ears if isinstance(ear, LegParty)]
