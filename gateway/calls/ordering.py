"""What the API orders of a call, carried out if the call takes it when its turn comes; a base of control.py.

control-api.md: each order has its word in `allowed`; one that is not taken changes nothing, and whoever asked is told.
"""

from dataclasses import dataclass, field
from typing import Final, assert_never

from gateway.calls.allowed import CommandWord, allowed
from gateway.calls.causes import NORMAL
from gateway.calls.commands import Command, Note, SendDigits, StopPlayback, TurnDown
from gateway.calls.events import LegEnded, PlaybackEnded
from gateway.calls.joining import Joining
from gateway.calls.model import Announcement, JsonObject, Leg, LegId, Role, Room
from gateway.calls.orders import (
    AddLeg,
    ChangeLeg,
    Consult,
    EndConsult,
    Forward,
    Hold,
    Merge,
    Order,
    PlayAnnouncement,
    PressKeys,
    ReleaseLeg,
    StopAnnouncement,
    Swap,
)
from gateway.calls.states import CallState, LegState

LEAST_LOOP_MS: Final = 500
"""What is shorter is not repeated: each time stands in the journal."""
KEY_MS: Final = 120
"""How long a key is pressed."""
_WORDS: Final[dict[type, CommandWord]] = {
    Consult: "consult", Swap: "swap", Merge: "merge", Forward: "forward", EndConsult: "end-consult",
    AddLeg: "legs", ChangeLeg: "legs", ReleaseLeg: "legs", PressKeys: "legs",
    PlayAnnouncement: "play", StopAnnouncement: "play",
}  # fmt: skip


def word_of(order: Order) -> CommandWord:
    """What the API calls it."""
    if isinstance(order, Hold):
        return "hold" if order.on else "unhold"
    return _WORDS[type(order)]


@dataclass(slots=True)
class Ordering(Joining):
    """What control knows of orders. `_one_left` is ending.py's."""

    _repeats: PlayAnnouncement | None = None
    """What plays to people again and again."""
    _let_go: set[LegId] = field(default_factory=set)
    """Legs that were released by an order: for the others they are gone already."""

    def _one_left(self, leg: Leg, event: LegEnded) -> list[Command]:
        """One of the people is gone."""
        raise NotImplementedError

    def _ordered(self, order: Order) -> list[Command]:
        """An order of the API, if the call still takes it."""
        if not self._takes(order):
            return [TurnDown(word_of(order))]
        match order:
            case Consult():
                return self._consult(order)
            case Swap():
                return self._swap()
            case Merge():
                return self._merge()
            case Forward():
                return self._forward()
            case EndConsult():
                return self._end_consult()
            case Hold():
                leg = self.call.legs[order.leg] if order.leg else self.call.customer
                return self._hold(leg, on=order.on)
            case AddLeg():
                return self._add_leg(order)
            case ChangeLeg():
                return self._change(order)
            case ReleaseLeg():
                return self._release_leg(self.call.legs[order.leg])
            case PressKeys():
                return [SendDigits(order.leg, order.digits, KEY_MS)]
            case PlayAnnouncement():
                return [*self._stop_announcement(), *self._announce(order)]
            case StopAnnouncement():
                return self._stop_announcement()
            case _:
                assert_never(order)

    def _takes(self, order: Order) -> bool:
        """What `allowed` says is of the customer and the one agent; the rest is of single legs."""
        match order:
            case Hold(leg=leg_id) if leg_id not in (None, self.call.customer.id):
                return self._may_hold(self.call.legs.get(leg_id), on=order.on) if leg_id else False
            case Consult():
                agent = self._agent()
                return "consult" in allowed(self.call) and agent is not None and order.agent in (None, agent.id)
            case AddLeg(role=Role.AGENT):
                return self.call.state is CallState.TALKING and "legs" in allowed(self.call)
            case PressKeys(leg=leg_id) if self._joins(leg_id):
                return False  # nobody is there yet who could hear them
            case ChangeLeg() | ReleaseLeg() | PressKeys():
                return "legs" in allowed(self.call) and self._is_there(self.call.legs.get(order.leg))
            case PlayAnnouncement(to=to) if to is not None:
                return "play" in allowed(self.call) and self._is_there(self.call.legs.get(to))
            case _:
                return word_of(order) in allowed(self.call)

    def _is_there(self, leg: Leg | None) -> bool:
        """It talks or listens, or is called to; not one that a transfer calls or briefs."""
        if leg is None:
            return False
        return self._joins(leg.id) or (
            leg.state is LegState.CONNECTED and (leg.room is not Room.LOBBY or leg.role is Role.SUPERVISOR)
        )

    # ── Legs ────────────────────────────────────────────────────────────────────────────────────────

    def _may_hold(self, leg: Leg | None, *, on: bool) -> bool:
        """This one of the people. (The customer: as `allowed` says.)"""
        if leg is None or leg.held is on or leg.role is Role.SUPERVISOR or leg.room is Room.LOBBY:
            return False
        return leg.state is LegState.CONNECTED and self.call.state in (CallState.TALKING, CallState.AGENTS_ONLY)

    def _hold(self, leg: Leg, *, on: bool) -> list[Command]:
        """Our own hold, inside the bridge: no re-INVITE."""
        leg.held = on
        return [Note("leg.held" if on else "leg.unheld", {"legId": leg.id, "by": "gateway"})]

    def _change(self, order: ChangeLeg) -> list[Command]:
        leg = self.call.legs[order.leg]
        wrong = self._mode_refused(order, leg)
        if wrong is not None:
            return [TurnDown("legs", "invalid", wrong)]
        holds = order.held is not None and order.held is not leg.held
        if holds and not self._takes(Hold(not leg.held, leg.id)):
            return [TurnDown("unhold" if leg.held else "hold")]
        if order.muted is not None and self.call.state not in (CallState.TALKING, CallState.AGENTS_ONLY):
            return [TurnDown("legs")]
        commands = self._hold(leg, on=not leg.held) if holds else []
        if order.muted is not None and order.muted is not leg.muted:
            leg.muted = order.muted
            commands.append(Note("leg.muted" if leg.muted else "leg.unmuted", {"legId": leg.id}))
        if order.mode is not None or order.whisper_to is not None:
            commands.append(self._change_mode(leg, order))
        return commands

    def _mode_refused(self, order: ChangeLeg, leg: Leg) -> str | None:
        given = {"mode": order.mode, "whisperTo": order.whisper_to}
        named = next((name for name, value in given.items() if value is not None), None)
        if named is not None and leg.role is not Role.SUPERVISOR:
            return f"{named}: is for supervisors, and this is the leg of a {leg.role.value}"
        if order.held is not None and leg.role is Role.SUPERVISOR:
            return "held: is not for supervisors; write mode: monitor, and nobody hears this one"
        return self._whisper_refused(order.whisper_to)

    def _change_mode(self, leg: Leg, order: ChangeLeg) -> Note:
        leg.mode = order.mode or leg.mode
        if order.whisper_to is not None:
            self._whispers_to[leg.id] = order.whisper_to
        self._follow()
        told: JsonObject = {"legId": leg.id, "mode": leg.mode.value, "whisperTo": leg.whisper_to}
        return Note("leg.modeChanged", told)

    def _release_leg(self, leg: Leg) -> list[Command]:
        """It is gone for the others at once, whenever its dialog is."""
        if self._joins(leg.id):
            return [*self._call_off(leg.id), *self._join_timer()]
        if leg is self.call.customer:
            return [TurnDown("legs", "invalid", "leg: is the customer's; DELETE /v1/calls/{id} ends the call")]
        if self.hop is not None and self.hop.referrer is leg:
            return [TurnDown("legs")]
        self._let_go.add(leg.id)
        gone = LegEnded(leg.id, NORMAL, 200, None, by_peer=False)
        return [*self._release(leg, NORMAL), *self._one_left(leg, gone)]

    # ── Announcements ───────────────────────────────────────────────────────────────────────────────

    def _announce(self, order: PlayAnnouncement) -> list[Command]:
        play = self.turns.aside(order.what)
        self.call.announcement = Announcement(play.playback_id, order.to)
        self._repeats = order if order.loop else None
        return [play]

    def _announced(self, event: PlaybackEnded) -> list[Command]:
        """It has been heard to its end. What could not be made, or is all but nothing, is not repeated."""
        told = self.call.announcement
        if told is None or told.playback_id != event.playback_id:
            return []
        self.call.announcement = None
        again = self._repeats is not None and event.played_ms >= LEAST_LOOP_MS
        return self._announce(self._repeats) if self._repeats is not None and again else []

    def _stop_announcement(self) -> list[Command]:
        told, self.call.announcement, self._repeats = self.call.announcement, None, None
        return [StopPlayback(told.playback_id)] if told is not None else []

    def _after_joining(self) -> list[Command]:
        told = self.call.announcement
        commands = super(Ordering, self)._after_joining()
        if told is None:
            return commands
        heard = told.to is None or self._is_there(self.call.legs.get(told.to))
        if heard and "play" in allowed(self.call):
            return commands
        return [*commands, *self._stop_announcement()]
