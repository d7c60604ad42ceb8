"""A leg that called us: 180, 200, refusals, and what its end was; legs.py makes one for each INVITE."""

import time
from typing import Any, Final

import pjsua2 as pj

from gateway.calls import causes
from gateway.calls.causes import Cause, Result
from gateway.calls.model import LegId
from gateway.sip.accounts import TrunkAccount
from gateway.sip.endpoint import reason_of
from gateway.sip.leg import Leg, LegHost, ended_by_itself, reasons_in, received
from gateway.telemetry.log import get_logger

log = get_logger(__name__)

_NO_ACK: Final = 33.0


class InboundLeg(Leg):
    """A dialog that the peer began."""

    def __init__(self, account: TrunkAccount, call_id: int, leg_id: LegId, host: LegHost, *, known: bool) -> None:
        """`known`: it has a trunk, and the engine is told of it."""
        super().__init__(account, call_id, leg_id, host)
        self._known = known
        self._answered_at = 0.0

    def ring(self) -> None:
        """180, without headers of ours: PJSIP would repeat them in the 200."""
        self._respond(pj.PJSIP_SC_RINGING)

    def accept(self) -> None:
        """200."""
        if not self._answered:
            self._answered, self._answered_at = True, time.monotonic()
            self._respond(pj.PJSIP_SC_OK)

    def redirect(self, contacts: tuple[str, ...]) -> None:
        """302 (RFC 3261 §21.3.3); the caller's side dials on."""
        if self._ended or self._answered or self._release is not None:
            return
        value = ", ".join(f"<{uri}>" for uri in contacts if uri.isprintable() and not set(uri) & set('<> "'))
        if not value:
            self.release(causes.PROTOCOL_ERROR, status=500)
            return
        self._release = (causes.BOT_REDIRECTED, 302, False)
        try:
            self.answer(self._order(302, (("Contact", value),)))
        except pj.Error as error:
            log.warning("leg.redirect_failed", leg_id=self.leg_id, detail=reason_of(error))
            self._release = None
            self.release(causes.PROTOCOL_ERROR, status=500)
            return
        self._make_sure()

    def check_media(self, now: float) -> None:
        """It minds the ACK too: PJSIP waits 64*T1 for it (RFC 3261 §13.3.1.4), and as long again for the answer to its
        BYE."""
        if self._answered and not self._connected and now - self._answered_at > _NO_ACK:
            self.release(causes.NO_ACK, by_peer=True)
        super().check_media(now)

    def _progressed(self, event: Any) -> None:
        if self._answered and not self._connected and event.type == pj.PJSIP_EVENT_RX_MSG:  # the ACK
            if self._negotiated:
                self._connect()
            else:  # a late offer, and no usable answer in the ACK (RFC 3261 §13.2.1)
                self._host.later(0, lambda: self.release(causes.NO_COMMON_CODEC, by_peer=True))

    def _respond(self, status: int) -> None:
        if self._ended or self._release is not None:
            return
        try:
            self.answer(self._order(status))
        except pj.Error as error:
            log.warning("leg.answer_failed", leg_id=self.leg_id, status=status, detail=reason_of(error))
            if status >= 200:
                self._answered = False
                self.release(causes.PROTOCOL_ERROR, status=500)

    def _why(self, event: Any) -> tuple[Cause, int, int | None, bool]:
        if self._release is not None:
            cause, status, by_peer = self._release
            return cause, 200 if self._answered else status, causes.q850_of(cause), by_peer
        text = received(event)
        if text.startswith("BYE "):
            cause, q850 = causes.of_bye(reasons_in(text))
            if not self._answered:  # RFC 3261 §15.1.2: a BYE ends an early dialog too
                return causes.CANCELLED, 487, q850, True
            return cause, 200, q850, True
        if self._answered and not self._connected:
            return causes.NO_ACK, 200, None, True
        status = int(self.getInfo().lastStatusCode)
        if self._connected:
            return ended_by_itself(event, status), 200, None, True
        if status == 487:
            return causes.CANCELLED, 487, None, True
        if status == 504:  # PJSIP: nobody acknowledged a reliable 180 (RFC 3262 §3)
            return causes.NO_ACK, 504, None, True
        by_caller = status in (415, 422, 488, 606)
        return causes.of_status(status, Result.CALLER if by_caller else Result.GATEWAY), status, None, False
