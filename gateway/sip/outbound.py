"""A leg that we call: INVITE to one target after the other, ringing, answer, and what its end was; made by legs.py."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import pjsua2 as pj

from gateway.calls import causes
from gateway.calls.causes import Cause, Reason, Result
from gateway.calls.commands import Dial
from gateway.calls.events import LegRinging
from gateway.sip.accounts import TrunkAccount
from gateway.sip.endpoint import reason_of
from gateway.sip.leg import Leg, LegHost, ended_by_itself, reasons_in, received
from gateway.sip.resolver import Target
from gateway.telemetry.log import get_logger

log = get_logger(__name__)

_SILENT_FOR_S: Final = 5.0
"""How long a target may leave an INVITE without any response, if there is another one (RFC 3263 §4.3)."""
_BY_THE_CALLED: Final = frozenset({480, 486, 487, 600, 603, 607, 608})
_SILENCE: Final = Cause(Result.CARRIER, Reason.NO_RESPONSE)


class Dialler(LegHost, Protocol):
    """What an outbound leg needs of legs.SipLegs."""

    def via(self, account: TrunkAccount, target: Target) -> AbstractContextManager[None]:
        """Within it, what is sent on this account goes to this target."""

    def again(self, leg: "OutboundLeg") -> None:
        """This attempt is over without an answer, and there are targets left: make the next one."""


class OutboundLeg(Leg):
    """One INVITE of ours to the first of `targets`. A leg that changes targets is one of these after the other."""

    def __init__(self, account: TrunkAccount, order: Dial, targets: tuple[Target, ...], host: Dialler) -> None:
        super().__init__(account, pj.PJSUA_INVALID_ID, order.leg_id, host)
        self.order, self.targets = order, targets
        self.look_at_offer = True
        self._dialler = host
        self._told: tuple[int, bool] | None = None

    def dial(self) -> None:
        """Send it."""
        order = self._order(0, (), self.order.headers)
        order.txOption.localUri = _from(self.order, self.trunk.host_in_uri)
        try:
            with self._dialler.via(self.account, self.targets[0]):
                self.makeCall(self._uri(), order)
        except pj.Error as error:  # no transport to get there, no port for its media
            log.warning("leg.dial_failed", leg_id=self.leg_id, target=str(self.targets[0]), detail=reason_of(error))
            self._end(None)
            return
        if len(self.targets) > 1:
            self._host.later(_SILENT_FOR_S, self._no_response)

    def _uri(self) -> str:
        if self.order.uri is not None:
            return self.order.uri
        transport = "" if self.trunk.transport == "udp" else f";transport={self.trunk.transport}"
        return f"sip:{self.order.number}@{self.trunk.authority}{transport}"

    def _no_response(self) -> None:
        if not self._ended and self._release is None and pj.inviteStatus(self.getId()) < 100:
            log.info("leg.target_silent", leg_id=self.leg_id, target=str(self.targets[0]))
            self._quit()

    def _quit(self) -> None:
        """Give this attempt up for the next target."""
        self._ended = True
        try:
            self.hangup(self._order(0))
        except pj.Error as error:
            log.debug("leg.hangup_failed", leg_id=self.leg_id, detail=reason_of(error))
        self._dialler.again(self)

    def _progressed(self, event: Any) -> None:
        state = self.getInfo().state
        if state == pj.PJSIP_INV_STATE_EARLY:
            self._tell_ringing()
        elif state == pj.PJSIP_INV_STATE_CONNECTING:
            self._answered = True
        elif state == pj.PJSIP_INV_STATE_CONFIRMED and not self._connected:
            self._answered = True
            if self._negotiated:
                self._connect()
            else:  # its 200 had no usable answer
                self._host.later(0, lambda: self.release(causes.NO_COMMON_CODEC, by_peer=True))

    def _media_came(self) -> None:
        if not self._answered:
            self._tell_ringing()

    def _tell_ringing(self) -> None:
        """Once for each new status, and when media begin to flow; media that flow are not taken back by a 180."""
        now = (pj.inviteStatus(self.getId()), self._negotiated)
        if 100 < now[0] < 200 and now != self._told and self._release is None:
            self._told = now
            self._host.emit(LegRinging(self.leg_id, *now))

    def _end(self, event: Any) -> None:
        elsewhere = len(self.targets) > 1 and self._told is None and not self._answered and self._release is None
        if elsewhere and self._failed_for_good(event) is None:
            self._ended = True
            log.info("leg.target_failed", leg_id=self.leg_id, target=str(self.targets[0]))
            self._host.later(0, lambda: self._dialler.again(self))
            return
        super()._end(event)

    def _failed_for_good(self, event: Any) -> str | None:
        """The response that ends the leg wherever it goes; None for silence, a broken transport and a 503, which are
        about the target alone (RFC 3263 §4.3)."""
        text = received(event)
        return None if not text or text.startswith("SIP/2.0 503") else text

    def _why(self, event: Any) -> tuple[Cause, int, int | None, bool]:
        if self._release is not None:
            cause, _, by_peer = self._release
            return cause, 200 if self._answered else 487, causes.q850_of(cause), by_peer
        text = received(event)
        if text.startswith("BYE "):
            cause, q850 = causes.of_bye(reasons_in(text))
            return cause, 200 if self._answered else 487, q850, True
        status = int(self.getInfo().lastStatusCode) if event is not None else 503
        if self._connected:
            return ended_by_itself(event, status), 200, None, True
        if not text.startswith("SIP/2.0 "):
            return _SILENCE, status if status >= 300 else 503, None, False
        status = int(text[8:11])  # PJSUA calls a redirection that it does not follow 487
        q850 = next((reason.cause for reason in reasons_in(text) if reason.protocol == "Q.850"), None)
        whose = Result.CALLEE if status in _BY_THE_CALLED else Result.CARRIER
        return causes.of_status(status, whose), status, q850, True


def _from(order: Dial, host: str) -> str:
    name = "".join(char for char in order.caller.name or "" if char.isprintable() and char not in '"\\')
    shown = f'"{name}" ' if name else ""
    return f"{shown}<sip:{order.caller.number}@{host}>"


Targets = Callable[[str], tuple[Target, ...]]
"""Gives the targets of a trunk, the best first; on the event loop."""
