"""One transfer by REFER: the customer's side calls the target itself, and tells what came of it; driven by control.

transfer.md, "What happens (refer)". Nothing of it may be left to the peer: a NOTIFY may come late, without a body, or
never, so the timer and the end of the leg are ours.
"""

from dataclasses import dataclass

from gateway.calls.commands import Command, Note, StartTimer, StopTimer, Timer
from gateway.calls.handing import Handing
from gateway.calls.model import JsonObject
from gateway.calls.outbound import NoWay, TransferReason
from gateway.calls.outcome import Attempt, reason_of_status
from gateway.calls.refers import SendRefer
from gateway.calls.states import REFER_TRANSITIONS, TransferState, TransferTrigger, advance

LONGER_S = 5.0
"""How much longer than a target may ring we wait for the peer's word of it."""
FINAL_NOTIFY_MS = 5000
"""How long a final NOTIFY may take after the peer's BYE, or where none is to be expected."""


@dataclass(slots=True, kw_only=True)
class Referral(Handing):
    """Targets are tried one after the other, also those of a `parallel` switch: nobody can take a REFER back."""

    _notifies: bool = True
    _assuming: bool = False
    """The peer took the REFER, and is gone or will say nothing more."""
    _gone: bool = False
    """The peer has sent BYE, or is lost."""
    _lost: bool = False
    """No BYE came: nobody said that it worked."""
    _rang: bool = False

    # ── What happens ────────────────────────────────────────────────────────────────────────────────

    def refer_answered(self, status: int, now: float, *, by_peer: bool, notifies: bool) -> list[Command]:
        """Its 2xx, or why not."""
        if self.outcome is not None or self.state is not TransferState.REFERRING:
            return []
        if 200 <= status < 300:
            self._notifies = notifies
            return [*self._accepted(), *([] if notifies else self._assume_soon())]
        reason = reason_of_status(status) if by_peer else TransferReason.UNREACHABLE
        self.attempts.append(Attempt(self._number, status if by_peer else None, reason))
        if reason in (TransferReason.NOT_SUPPORTED, TransferReason.UNREACHABLE):  # no other target would change it
            return self._give_up(reason, now)
        return self._try_next(now)

    def notified(self, status: int, now: float) -> list[Command]:
        """A NOTIFY; it may overtake the 2xx."""
        if self.outcome is not None or self.state not in (TransferState.REFERRING, TransferState.ACCEPTED):
            return []
        accepted = self._accepted() if self.state is TransferState.REFERRING else []
        if status < 200:
            if status == 100 or self._rang:
                return accepted
            self._rang = True
            return [*accepted, self._note("ringing")]
        if status < 300:
            return [*accepted, *self._transferred(now)]
        reason = reason_of_status(status)
        self.attempts.append(Attempt(self._number, status, reason))
        return [*accepted, *(self._give_up(reason, now) if self._gone else self._try_next(now))]

    def timer(self, timer: Timer, now: float) -> list[Command]:
        """RING ran out."""
        if timer is not Timer.RING or self.outcome is not None:
            return []
        if self._lost:
            return self._give_up(TransferReason.CALLER_ABANDONED, now)
        if self._assuming:
            return self._transferred(now, assumed=True)
        reason = TransferReason.NO_ANSWER if self.state is TransferState.ACCEPTED else TransferReason.UNREACHABLE
        self.attempts.append(Attempt(self._number, None, reason))
        return self._give_up(reason, now)

    def customer_left(self, now: float, *, by_gateway: bool, lost: bool = False) -> list[Command]:
        """The peer's BYE after its 2xx is how many carriers say that it worked: a last word may still come. It may come
        of a peer that is lost, too; else that is no success."""
        if self.outcome is not None:
            return []
        if self.state is TransferState.ACCEPTED and not by_gateway:
            self._gone, self._lost = True, lost and self._notifies
            return self._assume_soon() if self._notifies else self._transferred(now, assumed=True)
        self._go(TransferTrigger.ABANDON)
        reason = TransferReason.CANCELLED if by_gateway else TransferReason.CALLER_ABANDONED
        self._conclude(reason, "gateway" if by_gateway else "customer", now, success=False, hangup=True)
        return [StopTimer(Timer.RING)]

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _try_next(self, now: float) -> list[Command]:
        while self._left:
            callee = self._left.popleft()
            way = self.outbound.way_to(self.call, self.switch, callee, now)
            if isinstance(way, NoWay):
                self._no_way(callee, way.reason, way.detail)
                continue
            self._go(TransferTrigger.REFER)
            self._number, self._rang, self._assuming = way.shown, False, False
            if self._dialled_at is None:
                self._dialled_at = now
            headers = tuple(callee.headers.items())
            refer = SendRefer(self.call.customer.id, way.trunk, way.number, way.uri, headers, self._uui)
            return [refer, StartTimer(Timer.RING, round((callee.timeout_s + LONGER_S) * 1000))]
        return self._give_up(self._last_reason(), now)

    def _give_up(self, reason: TransferReason, now: float) -> list[Command]:
        """The customer, if still there, is with the bot again."""
        self._go(TransferTrigger.FAIL)
        self._conclude(reason, "customer" if self._gone else "gateway", now, success=False, hangup=self._gone)
        return [StopTimer(Timer.RING)]

    def _accepted(self) -> list[Command]:
        self._go(TransferTrigger.ACCEPT)
        return [self._note("accepted")]

    def _assume_soon(self) -> list[Command]:
        self._assuming = True
        return [StartTimer(Timer.RING, FINAL_NOTIFY_MS)]

    def _transferred(self, now: float, *, assumed: bool = False) -> list[Command]:
        self._go(TransferTrigger.TRANSFERRED)
        self._answered_at = now
        self._conclude(TransferReason.COMPLETED, "transferred", now, success=True, hangup=True, assumed=assumed)
        return [StopTimer(Timer.RING)]

    def _go(self, trigger: TransferTrigger) -> None:
        self.state = advance(REFER_TRANSITIONS, self.state, trigger)

    def _note(self, word: str) -> Note:
        told: JsonObject = {"legId": self.call.customer.id, "target": self._number}
        return Note(f"{self.noun}.{word}", self._named() | told)
