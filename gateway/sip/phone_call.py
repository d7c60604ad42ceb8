"""PJSIP's callbacks for the terminal phone's one call, made into events; gateway/sip/phone.py makes and orders it."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any

import pjsua2 as pj

from gateway.calls.model import JsonObject
from gateway.sip.endpoint import callback
from gateway.sip.headers import Message, MessageError, parse_message


class DigitsBy(StrEnum):
    """How a digit goes out."""

    RFC4733 = "rfc4733"
    INFO = "info"


class PhoneCall(pj.Call):  # type: ignore[misc]
    """PJSIP's callbacks, made into events."""

    def __init__(
        self,
        account: Any,
        tell: Callable[[str, JsonObject], None],
        connect: Callable[["PhoneCall"], None],
        over: Callable[[JsonObject], None],
    ) -> None:
        super().__init__(account)
        self._tell, self._connect, self._over = tell, connect, over
        self.hung_up = False
        self.confirmed = False

    @callback
    def onCallState(self, prm: Any) -> None:
        info = self.getInfo()
        match info.state:
            case pj.PJSIP_INV_STATE_CALLING:
                self._message("sent", "INVITE")
                self._tell("calling", {"to": info.remoteUri, "sip_call_id": info.callIdString})
            case pj.PJSIP_INV_STATE_EARLY:
                self._message("received", f"{info.lastStatusCode} {info.lastReason}")
                self._tell("ringing", {"status": info.lastStatusCode})
            case pj.PJSIP_INV_STATE_CONNECTING:
                self._message("received", f"{info.lastStatusCode} {info.lastReason}")
            case pj.PJSIP_INV_STATE_CONFIRMED:
                self.confirmed = True
                self._message("sent", "ACK")
                self._tell("answered", {"codec": self._codec()})
            case pj.PJSIP_INV_STATE_DISCONNECTED:
                self._ended(info, prm.e)

    @callback
    def onCallMediaState(self, prm: Any) -> None:
        self._connect(self)

    @callback
    def onDtmfDigit(self, prm: Any) -> None:
        by = DigitsBy.INFO if prm.method == pj.PJSUA_DTMF_METHOD_SIP_INFO else DigitsBy.RFC4733
        self._tell("dtmf-received", {"digit": prm.digit, "by": by.value})

    @callback
    def onCallRxOffer(self, prm: Any) -> None:
        self._message("received", "INVITE (re-INVITE)")

    def _message(self, direction: str, what: str) -> None:
        self._tell("sip", {"dir": direction, "what": what})

    def _codec(self) -> str | None:
        try:
            return str(self.getStreamInfo(0).codecName)
        except pj.Error:  # no media was agreed on
            return None

    def _ended(self, info: Any, event: Any) -> None:
        ours = self.hung_up or event.type == pj.PJSIP_EVENT_USER  # PJSUA hangs up too: no codec in a 200, for one
        by, last = "phone" if ours else "network", _message_of(event)
        if last is not None and not ours:
            by = "peer"
        if last is not None and last.method == "BYE":
            by = "peer"
            self._message("received", "BYE")
            self._message("sent", "200 OK")
        elif last is not None:
            self._message("received", last.start_line.removeprefix("SIP/2.0 "))
            if not self.confirmed:
                self._message("sent", "ACK")
        self._over(
            {
                "status": info.lastStatusCode,
                "reason": info.lastReason,
                "reason_header": _joined(last.values("reason")) if last else None,
                "contact": _joined(last.values("contact")) if last and info.lastStatusCode // 100 == 3 else None,
                "answered": self.confirmed,
                "by": by,
            }
        )


def _joined(values: Iterable[str]) -> str | None:
    return ", ".join(values) or None


def _message_of(event: Any) -> Message | None:
    """The message off the wire that made a state change, if one did. Only readable inside of the callback."""
    if event.type != pj.PJSIP_EVENT_TSX_STATE or event.body.tsxState.type != pj.PJSIP_EVENT_RX_MSG:
        return None
    try:
        return parse_message(event.body.tsxState.src.rdata.wholeMsg)
    except MessageError:
        return None
