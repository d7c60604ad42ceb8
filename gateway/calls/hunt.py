"""Calls people for a transfer, one by one or all at once, and gives up who does not answer; the base of transfer.py."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gateway.calls.causes import NORMAL, NOT_ANSWERED, Cause
from gateway.calls.commands import (
    Command,
    Dial,
    Hangup,
    Note,
    Play,
    StartTimer,
    StopTimer,
    Timer,
)
from gateway.calls.handing import Handing
from gateway.calls.model import Leg, LegId, Role, Room, Spoken
from gateway.calls.outbound import Callee, NoWay, TransferReason, Way
from gateway.calls.outcome import Attempt
from gateway.calls.states import (
    LEG_TRANSITIONS,
    TRANSFER_TRANSITIONS,
    LegState,
    LegTrigger,
    TransferState,
    TransferTrigger,
    advance,
)


@dataclass(slots=True)
class Try:
    """One call to one callee."""

    callee: Callee
    way: Way
    until: float
    """When it has rung for too long."""


@dataclass(slots=True, kw_only=True)
class Hunt(Handing):
    """Whom a transfer calls. `_give_up`, `_hush`, `_accept_timer` and `_forget` are transfer.py's."""

    new_leg_id: Callable[[], LegId]
    say: Callable[[Spoken], Play]
    role: Role = Role.AGENT
    room: Room = Room.MAIN
    """What those whom it calls are, and where the one who is bridged goes."""
    replaces: str | None = None
    """Whoever is called takes the place of a dialog of its own (RFC 3891)."""
    _tries: dict[LegId, Try] = field(default_factory=dict)
    _called: set[LegId] = field(default_factory=set)
    """All legs that were made for it."""
    _answered: dict[LegId, int | None] = field(default_factory=dict)
    """Those who have answered, and the Play that each still has to hear, if any."""
    _asked: dict[LegId, float | None] = field(default_factory=dict)
    """Those who were asked for a key, and when their time is over, once they have heard the question."""
    _said: list[int] = field(default_factory=list)
    """The Plays for people in the lobby that are not over."""
    _redirections: int = 0

    # ── Dialling ────────────────────────────────────────────────────────────────────────────────────

    def _try_next(self, now: float) -> list[Command]:
        while self._left:
            if self.switch.strategy == "parallel":
                wave, self._left = list(self._left), deque()
            else:
                wave = [self._left.popleft()]
            commands = self._dial(wave, now)
            if commands:
                return commands
        return self._give_up(self._last_reason(), now)

    def _dial(self, wave: Iterable[Callee], now: float) -> list[Command]:
        commands: list[Command] = []
        for callee in wave:
            way = self.outbound.way_to(self.call, self.switch, callee, now)
            if isinstance(way, NoWay):
                self._no_way(callee, way.reason, way.detail)
                continue
            agent = callee.value if callee.kind == "agent" else None
            leg = Leg(self.new_leg_id(), self.role, LegState.DIALLING, Room.LOBBY, trunk=way.trunk, agent=agent)
            self.call.others.append(leg)
            self._called.add(leg.id)
            self._tries[leg.id] = Try(callee, way, now + callee.timeout_s)
            self._number = way.shown
            commands.append(self._order(leg.id, way, callee))
        if not self._tries:
            return []
        if self._dialled_at is None:
            self._dialled_at = now
        if self.state is not TransferState.DIALLING and not self._answered:
            self._go(TransferTrigger.DIAL if self.state is TransferState.REQUESTED else TransferTrigger.NEXT)
        return [*commands, *self._ring_timer(now)]

    def _order(self, leg_id: LegId, way: Way, callee: Callee) -> Dial:
        return Dial(
            leg_id,
            way.trunk,
            way.number,
            way.uri,
            way.caller,
            way.diverting,
            tuple(callee.headers.items()),
            self._uui,
            self.replaces,
        )

    def _ring_timer(self, now: float) -> list[Command]:
        until = [one.until for leg_id, one in self._tries.items() if leg_id not in self._answered]
        if not until:
            return [StopTimer(Timer.RING)]
        return [StartTimer(Timer.RING, max(1, round((min(until) - now) * 1000)))]

    def _drop(self, leg_id: LegId, reason: TransferReason, now: float) -> list[Command]:
        """Give one callee up."""
        one, leg = self._tries.pop(leg_id, None), self._leg(leg_id)
        self._forget(leg_id)
        if one is None or leg is None:
            return []
        self.attempts.append(Attempt(one.way.shown, None, reason))
        return [
            *self._hang_up([leg], NOT_ANSWERED if reason is TransferReason.NO_ANSWER else NORMAL),
            *self._on_failure(now),
        ]

    def _on_failure(self, now: float) -> list[Command]:
        if self.outcome is not None:
            return []
        hushed = [*self._hush(), *self._accept_timer(now)]
        if self._tries:
            if not self._answered and self.state not in (TransferState.DIALLING, TransferState.RINGING):
                self._go(TransferTrigger.NEXT)  # the one that was briefed is gone, others still ring
            return [*hushed, *self._ring_timer(now)]
        self._answered_at = None
        return [*hushed, *self._try_next(now)]

    def calls(self, leg_id: LegId) -> bool:
        """Whether this leg was made for it."""
        return leg_id in self._called

    # ── What a transfer adds ────────────────────────────────────────────────────────────────────────

    def _hush(self) -> list[Command]:
        """Stop what nobody in the lobby waits for any more."""
        raise NotImplementedError

    def _accept_timer(self, now: float) -> list[Command]:
        """The time of those who were asked for a key."""
        raise NotImplementedError

    def _forget(self, leg_id: LegId) -> bool:
        """This one is out of the lobby; whether it had answered."""
        raise NotImplementedError

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _hang_up(self, legs: Iterable[Leg], cause: Cause = NORMAL, *, elsewhere: bool = False) -> list[Command]:
        commands: list[Command] = []
        for leg in legs:
            if leg.state in (LegState.DIALLING, LegState.RINGING, LegState.CONNECTED):
                leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.RELEASE)
                commands.append(Hangup(leg.id, cause, elsewhere=elsewhere))
        return commands

    def _go(self, trigger: TransferTrigger) -> None:
        self.state = advance(TRANSFER_TRANSITIONS, self.state, trigger)

    def _mine(self) -> list[Leg]:
        return [leg for leg in self.call.others if leg.id in self._called and leg.state is not LegState.ENDED]

    def _note(self, word: str, leg: Leg) -> Note:
        one = self._tries.get(leg.id)
        target = one.way.shown if one is not None else self._number
        return Note(f"{self.noun}.{word}", self._named() | {"legId": leg.id, "target": target})
