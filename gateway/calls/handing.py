"""One handing of the customer to people, whatever the method: who is asked, in what order, and how it ended.

The base of hunt.py (INVITE) and referral.py (REFER).

Control talks to this class only. What a method has no use for does nothing.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from gateway.calls.commands import Command, Note, Timer
from gateway.calls.events import LegEnded, LegRinging
from gateway.calls.model import Call, JsonObject, Leg, LegId
from gateway.calls.outbound import Callee, Outbound, TransferReason, callees
from gateway.calls.outcome import Attempt, Outcome
from gateway.calls.states import TransferState, TransferTrigger
from gateway.calls.switch import Switch, SwitchUui
from gateway.calls.uui import Uui, encode_all


@dataclass(slots=True)
class Handing:
    """Its methods give commands and do nothing else. `_try_next`, `_go` and `_give_up` are of the method."""

    id: str
    switch: Switch
    call: Call
    outbound: Outbound
    state: TransferState = TransferState.REQUESTED
    outcome: Outcome | None = None
    """Set once, when it is over."""
    bridged: LegId | None = None
    """The leg of whoever talks to the customer."""
    is_hop: bool = False
    """Somebody who talks to the customer, or the customer's own side, passes the call on by it: it ends when the next
    one is there."""
    hop_of: str | None = None
    """The transfer that goes on then."""
    noun: Literal["transfer", "consult"] = "transfer"
    """What its events are called."""
    attempts: list[Attempt] = field(default_factory=list)
    hops: list[JsonObject] = field(default_factory=list)
    """What those people did with the customer meanwhile (transfer.md, "How long a transfer lasts")."""
    _left: deque[Callee] = field(default_factory=deque)
    _uui: tuple[str, ...] = ()
    _dialled_at: float | None = None
    _answered_at: float | None = None
    _bridged_at: float | None = None
    _number: str = ""
    _detail: str | None = None

    def begin(self, now: float, wrong: str | None = None) -> list[Command]:
        """Ask the first target, or all of them at once; none if something else about it is `wrong`."""
        self._left = deque(callees(self.switch))
        asked: JsonObject = {"method": self.switch.method, "targets": [one.value for one in self._left]}
        if self.switch.note is not None:
            asked["note"] = self.switch.note
        started = Note(f"{self.noun}.started", self._named() | asked)
        try:
            self._uui = encoded_uui(self.switch)
        except ValueError as error:
            wrong = str(error)
        if wrong is not None:
            self._detail = wrong
            return [started, *self._give_up(TransferReason.INVALID_REQUEST, now)]
        return [started, *self._try_next(now)]

    @property
    def number(self) -> str:
        """Whom it is about, as the status event calls them."""
        return self._number or next((one.value for one in callees(self.switch)), "")

    def cancel(self, now: float) -> list[Command]:
        """Take it back, before the bridge."""
        if self.outcome is not None or self.bridged is not None:
            return []
        return self._give_up(TransferReason.CANCELLED, now)

    # ── What may happen ─────────────────────────────────────────────────────────────────────────────

    def ringing(self, event: LegRinging, now: float) -> list[Command]:
        """A provisional response."""
        return []

    def answered(self, leg_id: LegId, now: float) -> list[Command]:
        """A 200 came, and its ACK went."""
        return []

    def digits_sent(self, leg_id: LegId, now: float) -> list[Command]:
        """The digits for whatever stands behind the answer are out."""
        return []

    def playback_ended(self, playback_id: int, now: float) -> list[Command]:
        """A briefing has been heard."""
        return []

    def digit(self, leg_id: LegId, digit: str, now: float) -> list[Command]:
        """A key of somebody who was called."""
        return []

    def leg_ended(self, event: LegEnded, now: float) -> list[Command]:
        """A leg of somebody who was called is gone. (Its state is set by control.)"""
        return []

    def refer_answered(self, status: int, now: float, *, by_peer: bool, notifies: bool) -> list[Command]:
        """The final status of our REFER."""
        return []

    def notified(self, status: int, now: float) -> list[Command]:
        """What became of the call that our REFER asked for, so far."""
        return []

    def timer(self, timer: Timer, now: float) -> list[Command]:
        """RING, ACCEPT or MAX_TALK ran out."""
        raise NotImplementedError

    def customer_left(self, now: float, *, by_gateway: bool, lost: bool = False) -> list[Command]:
        """The customer is gone: nothing is left ringing. `lost`: without a BYE."""
        raise NotImplementedError

    # ── Of the method ───────────────────────────────────────────────────────────────────────────────

    def _try_next(self, now: float) -> list[Command]:
        """Ask the next target that can be asked; give up when none is left."""
        raise NotImplementedError

    def _give_up(self, reason: TransferReason, now: float) -> list[Command]:
        """No target is left."""
        raise NotImplementedError

    def _go(self, trigger: TransferTrigger) -> None:
        raise NotImplementedError

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _no_way(self, callee: Callee, reason: TransferReason, detail: str) -> None:
        """This one cannot be asked at all."""
        self.attempts.append(Attempt(callee.value, None, reason, detail))
        self._detail = detail

    def _last_reason(self) -> TransferReason:
        return self.attempts[-1].reason if self.attempts else TransferReason.INVALID_REQUEST

    def _conclude(
        self,
        reason: TransferReason,
        by: str,
        now: float,
        *,
        success: bool,
        hangup: bool = False,
        left_alone: bool = False,
        assumed: bool = False,
    ) -> None:
        """Make the final status; exactly once."""
        self.outcome = Outcome(
            transfer_id=self.id,
            method=self.switch.method,
            success=success,
            hangup=hangup,
            number=self.number,
            reason=reason,
            ended_by=by,
            attempts=tuple(self.attempts),
            ring_ms=_ms(self._dialled_at, self._answered_at or now),
            talk_ms=_ms(self._bridged_at, now),
            answered_at=self._answered_at,
            bridged_at=self._bridged_at,
            detail=self._detail if not success else None,
            warnings=self.switch.warnings,
            left_alone=left_alone,
            assumed=assumed,
            hops=tuple(self.hops),
            hop_of=self.hop_of,
        )

    def _named(self) -> JsonObject:
        """Which one it is, in its events."""
        own: JsonObject = {f"{self.noun}Id": self.id}
        return own | ({"hopOf": self.hop_of} if self.hop_of is not None else {})

    def _leg(self, leg_id: LegId) -> Leg | None:
        return next((leg for leg in self.call.others if leg.id == leg_id), None)


def encoded_uui(switch: Switch) -> tuple[str, ...]:
    """Whole header values (RFC 7433). Raises ValueError, a sentence that begins with the field."""
    try:
        return encode_all([one if isinstance(one, str) else _uui(one) for one in switch.user_to_user])
    except ValueError as error:
        raise ValueError(f"userToUser: {error}") from None


def _ms(since: float | None, until: float) -> int:
    return round((until - since) * 1000) if since is not None else 0


def _uui(given: SwitchUui) -> Uui:
    return Uui(
        given.data,
        given.encoding,
        given.purpose,
        given.content,
        given.protocol_discriminator,
        given.discriminator_mode,
    )
