"""The customer among people: a transfer and what follows it, and keys across the bridge; the base of control.py."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.calls.causes import (
    NORMAL,
    TRANSFER_FAILED,
    TRANSFERRED,
    Cause,
    EndedBy,
)
from gateway.calls.commands import (
    BotEventName,
    Command,
    Hangup,
    Note,
    SendDigits,
    TurnDown,
)
from gateway.calls.conversation import Tell
from gateway.calls.desk import Desk
from gateway.calls.model import (
    JsonObject,
    Leg,
    LegId,
    LegParty,
    Ringback,
    Role,
    Room,
    Spoken,
)
from gateway.calls.outcome import Outcome
from gateway.calls.referral import Referral
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
from gateway.calls.view import rfc3339

RELAYED_MS = 160
"""How long a key is that one leg pressed and another is sent."""


@dataclass(slots=True)
class AmongPeople(Desk):
    """What control knows of transfers; `_hang_up` is control's."""

    def _hang_up(self, cause: Cause, by: EndedBy, headers: Mapping[str, str] | None = None) -> list[Command]:
        """End the whole call."""
        raise NotImplementedError

    def _leaves(self, leg: Leg) -> list[Command]:
        """Somebody else speaks in place of this leg, or to it: what it had begun is given up."""
        raise NotImplementedError

    def _pass_on(self, switch: Switch) -> list[Command]:
        """The customer, who talks to people, shall talk to somebody else."""
        raise NotImplementedError

    def _asked_to_transfer(self, switch: Switch) -> list[Command]:
        if not self.call.transferable:  # it has changed since it was looked at
            return [TurnDown("transfer")]
        if self.call.state is CallState.TALKING:
            return self._pass_on(switch)
        stopped = self.turns.drop()
        return [*self._carry_out(stopped), *self._begin_transfer(switch, by_bot=False)]

    def _begin_transfer(self, switch: Switch, *, by_bot: bool) -> list[Command]:
        call = self.call
        given_up = self._leaves(call.customer)  # it was about to pass the call on
        call.data |= switch.data
        call.ringback = Ringback(switch.ringback)
        call.state = advance(CALL_TRANSITIONS, call.state, CallTrigger.TRANSFER)
        new_id = self.new_id("xfer")
        if switch.method == "refer":
            self.transfer = Referral(new_id, switch, call, self.outbound)
        else:
            self.transfer = self._hunt(new_id, switch)
        call.transfer_id = self.transfer.id
        gone_by = self.conversation.give_way(by_bot=by_bot)
        parked = [*given_up, *gone_by, *self._carry_out(self.turns.park())]
        return parked + self.transfer.begin(self._now, self._unknown_channel(switch))

    def _hunt(
        self,
        new_id: str,
        switch: Switch,
        *,
        hop_of: str | None = None,
        is_hop: bool = False,
        replaces: str | None = None,
        consult: bool = False,
    ) -> Transfer:
        return Transfer(
            new_id,
            switch,
            self.call,
            self.outbound,
            is_hop=is_hop,
            hop_of=hop_of,
            new_leg_id=self._new_leg_id,
            say=self.turns.aside,
            replaces=replaces,
            noun="consult" if consult else "transfer",
            role=Role.CONSULT if consult else Role.AGENT,
            room=Room.CONSULT if consult else Room.MAIN,
        )

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
        talking = transfer.state is TransferState.BRIDGED and not self.call.passing_on
        if talking and self.call.state is CallState.TRANSFERRING:
            self.call.state = advance(CALL_TRANSITIONS, self.call.state, CallTrigger.BRIDGED)
        outcome = transfer.outcome
        if outcome is None:
            return []
        self.transfer, self.call.transfer_id = None, None
        status = outcome.as_json()
        commands: list[Command] = [Note("transfer.ended", status)]
        told = self.conversation.tell(Tell(BotEventName.TRANSFER, status))
        if outcome.hangup:
            return commands + told + self._transferred_away(outcome)
        self.call.state = advance(CALL_TRANSITIONS, self.call.state, CallTrigger.RETURNED)
        self.turns.parked = False
        return commands + told + self._go_on_with(transfer.switch, outcome)

    def _transferred_away(self, outcome: Outcome) -> list[Command]:
        """After a REFER that worked the customer is somebody else's: we hang up, if the peer has not."""
        if outcome.method != "refer" or not outcome.success:
            return []
        if self._gone is not None:
            self._ending = (TRANSFERRED, EndedBy.TRANSFERRED)
            return []
        return self._hang_up(TRANSFERRED, EndedBy.TRANSFERRED)

    def _go_on_with(self, switch: Switch, outcome: Outcome) -> list[Command]:
        if outcome.success and not outcome.left_alone:
            if switch.post_session is not None and switch.post_session.channel in self.channels:
                session = switch.post_session
                return self._hand_off(session.channel, "postSession", session.parameters)
            if switch.continue_call:
                return []
            own = self.call.channel.post_session
            if own is not None and own.channel in self.channels:
                return self._hand_off(own.channel, "postSession", own.parameters)
            return self._hang_up(NORMAL, EndedBy.AGENT)
        match switch.on_fail:
            case OnFailHandoff() as other if other.handoff.channel in self.channels:
                return self._hand_off(other.handoff.channel, "handoff", other.handoff.parameters)
            case "return":
                return []
            case None if switch.continue_call or switch.method == "refer":  # who could not be referred stays
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

    def _reopen(self, *legs: Leg) -> list[Command]:
        """Our own holds and mutes were for those who talked then: nobody is left in them when others talk, or nobody
        does."""
        commands: list[Command] = []
        for leg in legs:
            if leg.state is not LegState.CONNECTED or leg.role is Role.SUPERVISOR:
                continue
            if leg.held:
                commands.append(Note("leg.unheld", {"legId": leg.id, "by": "gateway"}))
            if leg.muted:
                commands.append(Note("leg.unmuted", {"legId": leg.id}))
            leg.held = leg.muted = False
        return commands

    def _agent(self) -> Leg | None:
        """The one who talks to the customer."""
        leg = self.call.legs.get(self.transfer.bridged) if self.transfer and self.transfer.bridged else None
        return leg if leg is not None and leg.state is LegState.CONNECTED else None

    def _people(self) -> list[Leg]:
        """All who talk, but for the customer and supervisors."""
        rooms, roles = (Room.MAIN, Room.CONSULT), (Role.AGENT, Role.CONSULT)
        return [
            leg
            for leg in self.call.others
            if leg.state is LegState.CONNECTED and leg.room in rooms and leg.role in roles
        ]

    def _heir(self) -> Leg | None:
        """Who is the agent when the one who talks to the customer leaves: somebody who joined them."""
        talks = self.transfer.bridged if self.transfer else None
        joined = (leg for leg in self._people() if leg.role is Role.AGENT and leg.room is Room.MAIN)
        return next((leg for leg in joined if leg.id != talks), None)

    def _pass_to(self, heir: Leg) -> list[Command]:
        """The agent has left, this one is the agent now."""
        if isinstance(self.transfer, Transfer):
            told: JsonObject = {"kind": "joined", "status": "SUCCESS", "legId": heir.id, "at": rfc3339(self._now)}
            self.transfer.adopt(heir, told)
        return self._reopen(self.call.customer, heir)

    def _relay(self, leg_id: LegId, digit: str) -> list[Command]:
        """Keys follow the edges of the leg that pressed them (house.md): the bridge carries none by itself."""
        ears = (edge.sink for edge in self._edges if edge.source == LegParty(leg_id))
        return [SendDigits(ear.leg_id, digit, RELAYED_MS) for ear in ears if isinstance(ear, LegParty)]
