"""REFER in the dialogs of our legs, as the core's events and commands; made by legs.py, in the PJSIP thread.

PJSIP's part is ReferServer (native/refer_server.hpp): it gives us each REFER whole, and knows which NOTIFY belongs to
which REFER of ours, also when the leg has ended.
"""

from collections.abc import Iterable
from typing import Any, Final, Protocol

import pjsua2 as pj

from gateway.calls.events import LegEvent
from gateway.calls.model import LegId
from gateway.calls.refers import ReferAnswered, ReferNotified, ReferReceived, SendRefer
from gateway.sip.endpoint import SipSettings, callback, reason_of
from gateway.sip.headers import MessageError, parse_message
from gateway.sip.leg import Leg
from gateway.sip.refer_to import ReferToError, target_of
from gateway.sip.referral import host_of, refer_to, referred_by
from gateway.sip.trunk import TrunkSpec
from gateway.telemetry.log import get_logger

log = get_logger(__name__)

_NO_SUCH_CALL: Final = 481
_NOT_SENT: Final = 503


class ReferHost(Protocol):
    """What is needed of legs.SipLegs."""

    def emit(self, event: LegEvent) -> None:
        """Give an event to the engine."""

    def live(self) -> Iterable[Leg]:
        """All legs that have not ended."""

    def leg_of(self, call_id: str, own_tag: str, peer_tag: str) -> LegId | None:
        """The leg that has this dialog (dialogs.py)."""


class Refers:
    """All REFERs of one endpoint, both ways."""

    def __init__(self, host: ReferHost, settings: SipSettings) -> None:
        self._host = host
        self._here = {settings.public_address.lower(), settings.bind.lower()} - {"", "0.0.0.0"}
        self._server: _Server | None = None

    def open(self) -> None:
        """From now on PJSUA sees no REFER."""
        self._server = _Server(self)
        self._server.install()

    def close(self) -> None:
        """The end; what is not answered yet is told of."""
        if self._server is not None:
            self._server.remove()
            self._server.desk = None
            self._server = None

    def send(self, leg: Leg | None, order: SendRefer, trunk: TrunkSpec | None) -> None:
        """REFER on this leg; ReferAnswered follows once, whatever happens."""
        if leg is None or self._server is None:
            self.answered(order.leg_id, _NO_SUCH_CALL, by_peer=False, notifies=True)
            return
        try:
            target = refer_to(order, trunk)
            info = leg.getInfo()
            by = referred_by(info.localUri, info.localContact)
            self._server.refer(leg.getId(), order.leg_id, target, by)
        except (ValueError, pj.Error) as error:
            log.warning("leg.refer_failed", leg_id=order.leg_id, detail=reason_of(error))
            self.answered(order.leg_id, _NOT_SENT, by_peer=False, notifies=True)

    def answer(self, refer_id: int, status: int) -> None:
        """The final response to a REFER that came."""
        if self._server is not None:
            self._server.answer(refer_id, status)

    def notify(self, refer_id: int, status: int) -> None:
        """NOTIFY of this status."""
        if self._server is not None:
            self._server.notify(refer_id, status)

    def remembered(self) -> int:
        """How much PJSIP's part holds, for tests and metrics."""
        return 0 if self._server is None else int(self._server.remembered())

    # ── what PJSIP tells ────────────────────────────────────────────────────────────────────────────

    def received(self, call_id: int, refer_id: int, text: str) -> None:
        """A REFER came. One that cannot be read is answered here, and nobody is told."""
        leg = self._leg_of_call(call_id)
        if leg is None:
            self.answer(refer_id, _NO_SUCH_CALL)
            return
        try:
            target = target_of(parse_message(text), lambda host: self._own(host, leg), self._host.leg_of)
        except MessageError:
            self.answer(refer_id, 400)
        except ReferToError as error:
            log.info("leg.refer_refused", leg_id=leg.leg_id, status=error.status)
            self.answer(refer_id, error.status)
        else:
            self._host.emit(ReferReceived(leg.leg_id, refer_id, target))

    def answered(self, leg_id: str, status: int, *, by_peer: bool, notifies: bool) -> None:
        """The final status of a REFER of ours."""
        self._host.emit(ReferAnswered(LegId(leg_id), status, by_peer, notifies))

    def notified(self, leg_id: str, status: int) -> None:
        """A NOTIFY of a REFER of ours says this."""
        self._host.emit(ReferNotified(LegId(leg_id), status))

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _own(self, host: str, leg: Leg) -> bool:
        return host.lower() in {*self._here, host_of(leg.getInfo().localContact)}

    def _leg_of_call(self, call_id: int) -> Leg | None:
        return next((leg for leg in self._host.live() if leg.getId() == call_id), None)


class _Server(pj.ReferServer):  # type: ignore[misc]
    """PJSIP's callbacks."""

    def __init__(self, desk: Refers) -> None:
        super().__init__()
        self.desk: Refers | None = desk

    @callback
    def onRefer(self, call_id: int, refer_id: int, text: str) -> None:
        if self.desk is not None:
            self.desk.received(call_id, refer_id, text)

    @callback
    def onReferAnswered(self, key: str, status: int, by_peer: Any, notifies: Any) -> None:
        if self.desk is not None:
            self.desk.answered(key, status, by_peer=bool(by_peer), notifies=bool(notifies))

    @callback
    def onNotify(self, key: str, status: int) -> None:
        if self.desk is not None:
            self.desk.notified(key, status)
