"""PJSIP's callbacks for the terminal phone's one call, made into events; gateway/sip/phone.py makes and orders it."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, Final

import pjsua2 as pj

from gateway.calls.model import JsonObject
from gateway.sip.endpoint import callback
from gateway.sip.headers import Message, MessageError, long_name, parse_message

_OF_SIP: Final = frozenset({
    "accept", "accept-encoding", "accept-language", "alert-info", "allow", "allow-events", "call-id", "contact",
    "content-disposition", "content-encoding", "content-length", "content-type", "cseq", "date", "expires", "from",
    "max-forwards", "mime-version", "min-se", "priority", "proxy-require", "record-route", "require", "route",
    "session-expires", "supported", "timestamp", "to", "user-agent", "via",
})  # fmt: skip
"""Headers that every INVITE may have; the others are what somebody wanted to tell."""


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
        call_id: int = pj.PJSUA_INVALID_ID,
    ) -> None:
        """`call_id`: of a call that came in; without one it is to be made."""
        super().__init__(account, call_id)
        self.incoming = call_id != pj.PJSUA_INVALID_ID
        self._tell, self._connect, self._over = tell, connect, over
        self.hung_up = False
        self.confirmed = False

    def offered(self, invite: Message) -> None:
        """Tell of the INVITE that it came with."""
        info = self.getInfo()
        headers = [f"{name}: {value}" for name, value in invite.headers if long_name(name) not in _OF_SIP]
        self._message("received", "INVITE")
        called = {"from": info.remoteUri, "to": invite.request_uri, "headers": headers}
        self._tell("incoming", {**called, "sip_call_id": info.callIdString})

    @callback
    def onCallState(self, prm: Any) -> None:
        info = self.getInfo()
        match info.state:
            case pj.PJSIP_INV_STATE_CALLING:
                self._message("sent", "INVITE")
                self._tell("calling", {"to": info.remoteUri, "sip_call_id": info.callIdString})
            case pj.PJSIP_INV_STATE_EARLY:
                self._progressed(info, "180 Ringing")
                self._tell("ringing", {"status": 180 if self.incoming else info.lastStatusCode})
            case pj.PJSIP_INV_STATE_CONNECTING:
                self._progressed(info, "200 OK")
            case pj.PJSIP_INV_STATE_CONFIRMED:
                self.confirmed = True
                self._message("received" if self.incoming else "sent", "ACK")
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

    def _progressed(self, info: Any, ours: str) -> None:
        """A response: `ours`, to a call that came in, or the peer's."""
        if self.incoming:
            self._message("sent", ours)
        else:
            self._message("received", f"{info.lastStatusCode} {info.lastReason}")

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
        if self.incoming and not self.confirmed and (last is None or last.method != "BYE"):
            if info.lastStatusCode == 487 and not ours:
                by = "peer"
                self._message("received", "CANCEL")
            self._message("sent", f"{info.lastStatusCode} {info.lastReason}")
            last = None
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


class PhoneLine(pj.Account):  # type: ignore[misc]
    """Where the phone is called; gives each INVITE on, with PJSUA's number of its call."""

    def __init__(self, on_call: Callable[[int, Message], None]) -> None:
        super().__init__()
        self._on_call = on_call

    @callback
    def onIncomingCall(self, prm: Any) -> None:
        self._on_call(prm.callId, parse_message(prm.rdata.wholeMsg))


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
