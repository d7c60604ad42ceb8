"""One SIP dialog of ours with its PJSIP callbacks, whoever called: media, hold, digits, watchdog, end; in the PJSIP
thread. inbound.py and outbound.py are the two kinds of it."""

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import pjsua2 as pj

from gateway.calls import causes
from gateway.calls.causes import Cause, Reason, Result
from gateway.calls.events import DigitsSent, DtmfReceived, LegAnswered, LegEnded, LegEvent, LegHoldChanged
from gateway.calls.headers import check_header
from gateway.calls.model import LegId, PeerHold
from gateway.sip.accounts import TrunkAccount
from gateway.sip.digits import DIGITS, DigitSender
from gateway.sip.endpoint import callback, reason_of
from gateway.sip.headers import MessageError, parse_message, reasons
from gateway.sip.quality import RtpTally
from gateway.sip.sdp import keep_codecs
from gateway.sip.trunk import DtmfMode
from gateway.telemetry.log import get_logger

log = get_logger(__name__)

_SAME_PRESS: Final = 0.4
"""A digit that comes again within so long by the other way (RFC 4733 and INFO) is the same key press."""
_SILENCE: Final = 30.0
_SILENCE_AT_FIRST: Final = 60.0
_DECIDED: Final = frozenset({Reason.NORMAL, Reason.DECLINED, Reason.CANCELLED, Reason.TRANSFERRED})

Headers = tuple[tuple[str, str], ...]


class LegHost(Protocol):
    """What a leg needs of legs.SipLegs."""

    def emit(self, event: LegEvent) -> None:
        """Give an event to the engine."""

    def later(self, seconds: float, fn: Callable[[], object]) -> None:
        """Call `fn` in this thread after so long."""

    def media_changed(self, leg_id: LegId, audio: Any) -> None:
        """The leg's place in the bridge is new (None: it has none now)."""

    def gone(self, leg: "Leg") -> None:
        """The leg has ended: forget it."""


class Leg(pj.Call):  # type: ignore[misc]
    """A dialog. Its methods do nothing once it has ended."""

    def __init__(self, account: TrunkAccount, call_id: int, leg_id: LegId, host: LegHost) -> None:
        super().__init__(account, call_id)
        self.account = account
        self.leg_id = leg_id
        self.trunk = account.spec
        self.peer = ""
        """The IP address of its far end, or of whoever stands in front of that."""
        self.look_at_offer = False
        """Whether the peer's first SDP may ask for less than media both ways."""
        self._host = host
        self._known = True
        """Whether the engine has heard of it."""
        self._answered = False
        """The 200 was sent, or is here."""
        self._negotiated = False
        self._connected = False
        self._ended = False
        self._release: tuple[Cause, int, bool] | None = None
        self._hold = PeerHold.NONE
        self._hears_peer = True
        self._stream = 0
        self._packets = 0
        self._heard_at = 0.0
        self._last_digit = ("", -1, 0.0)
        self._digits: DigitSender | None = None
        self._no_events = False
        self._contacts: tuple[str, ...] = ()
        """Where the peer points with a 3xx."""
        self._rtp = RtpTally()

    @property
    def answered(self) -> bool:
        """Whether the 200 was sent, or is here: it is an early dialog no more."""
        return self._answered

    @property
    def over(self) -> bool:
        """Whether it has ended, or is about to."""
        return self._ended or self._release is not None

    # ── orders ──────────────────────────────────────────────────────────────────────────────────────

    def release(
        self,
        cause: Cause,
        extra: Headers = (),
        *,
        status: int = 0,
        phrase: str = "",
        by_peer: bool = False,
        elsewhere: bool = False,
    ) -> None:
        """BYE, or a final failure while unanswered; LegEnded is emitted before this returns."""
        if self._ended or self._release is not None:
            return
        status = status or (603 if cause.reason in _DECIDED else 480)
        self._release = (cause, status, by_peer)
        reason = causes.ANSWERED_ELSEWHERE if elsewhere else causes.reason_header(cause)
        self._say_why(reason)
        order = self._order(0 if self._answered else status, (("Reason", reason),), extra)
        order.reason = "".join(char for char in phrase if char.isprintable())[:100]
        try:
            self.hangup(order)
        except pj.Error as error:
            log.warning("leg.hangup_failed", leg_id=self.leg_id, detail=reason_of(error))
        self._make_sure()

    def _say_why(self, reason: str) -> None:
        """The Reason of what ends it, should it not go out now."""

    def send_digits(self, digits: str, duration_ms: int) -> None:
        """One after the other; a second order waits for the first."""
        if self._digits is None:
            sent = DigitsSent(self.leg_id)
            self._digits = DigitSender(self._send_key, self._host.later, lambda: self._host.emit(sent))
        self._digits.add(digits, duration_ms)

    def check_media(self, now: float) -> None:
        """The RTP watchdog: hang up when the peer has sent nothing for too long although it should."""
        if self._ended or not self._connected:
            return
        if self._hold is not PeerHold.NONE or not self._hears_peer:
            self._heard_at = now
            return
        counted = self.getStreamStat(self._stream)  # must outlive the look: its parts are not copies
        packets = counted.rtcp.rxStat.pkt
        if packets != self._packets:
            self._packets, self._heard_at = packets, now
        elif now - self._heard_at > (_SILENCE if packets else _SILENCE_AT_FIRST):
            self.release(causes.MEDIA_TIMEOUT, by_peer=True)

    # ── PJSIP's callbacks ───────────────────────────────────────────────────────────────────────────

    @callback
    def onCallState(self, prm: Any) -> None:
        if self._ended:
            return
        if self.isActive():
            self._progressed(prm.e)
        else:
            self._end(prm.e)

    @callback
    def onCallMediaState(self, prm: Any) -> None:
        if self._ended or self._release is not None:
            return
        self._negotiated, self._no_events = True, False
        audio = self.getAudioMedia(-1) if self.hasMedia() else None  # inactive: no slot in the bridge for now
        self._host.media_changed(self.leg_id, audio)
        if self._connected or self.look_at_offer or audio is None:
            self._look_at_hold()
        self._media_came()

    @callback
    def onStreamDestroyed(self, prm: Any) -> None:
        """The last moment to read what was counted: onCallState comes when the stream is gone, whoever hung up."""
        stream = prm.streamIdx
        self._rtp.add(str(self.getStreamInfo(stream).codecName), self.getStreamStat(stream))

    @callback
    def onCallSdpCreated(self, prm: Any) -> None:
        if self.trunk.codecs:
            before = prm.sdp.wholeSdp
            after = keep_codecs(before, self.trunk.codecs, prm.remSdp.wholeSdp)
            if after != before:
                prm.sdp.wholeSdp = after

    @callback
    def onDtmfDigit(self, prm: Any) -> None:
        digit, way, now = prm.digit.upper(), prm.method, time.monotonic()
        last, last_way, at = self._last_digit
        if self._ended or digit not in DIGITS:
            return
        self._last_digit = (digit, way, now)
        if digit == last and way != last_way and now - at < _SAME_PRESS:
            self._last_digit = ("", -1, 0.0)
            return
        self._host.emit(DtmfReceived(self.leg_id, digit))

    @callback
    def onCallTransferRequest(self, prm: Any) -> None:
        # 202, the default, would dial whatever Refer-To says. A second lock: refers.py takes each REFER before PJSUA.
        prm.statusCode = pj.PJSIP_SC_DECLINE

    @callback
    def onCallReplaceRequest(self, prm: Any) -> None:
        prm.statusCode = pj.PJSIP_SC_DECLINE  # 200, the default, would hand the call to whoever knows its tags

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _progressed(self, event: Any) -> None:
        """The dialog came further, and is not over."""
        raise NotImplementedError

    def _media_came(self) -> None:
        """The leg has new media."""

    def _why(self, event: Any) -> tuple[Cause, int, int | None, bool]:
        """(cause, final status of the INVITE, Q.850 cause, by the peer) of the end."""
        raise NotImplementedError

    def _connect(self) -> None:
        """The INVITE is through: media may flow both ways."""
        self._connected = True
        self._heard_at = time.monotonic()
        self._host.emit(LegAnswered(self.leg_id, self._codec()))
        if self._hold is not PeerHold.NONE:
            self._host.emit(LegHoldChanged(self.leg_id, self._hold))

    @staticmethod
    def _order(status: int, own: Headers = (), given: Headers = (), *, identity: bool = False) -> Any:
        order = pj.CallOpParam(True)
        order.statusCode = status
        kinds = order.opt
        kinds.audioCount, kinds.videoCount, kinds.textCount = 1, 0, 0
        headers = list(own)
        for name, value in given:
            try:
                check_header(name, value, identity=identity)
            except ValueError as error:  # the core checks first; what a bug lets through must not reach the wire
                log.warning("leg.header_refused", detail=str(error))
            else:
                headers.append((name, value))
        for name, value in headers:
            header = pj.SipHeader()
            header.hName, header.hValue = name, value
            order.txOption.headers.append(header)
        return order

    def _codec(self) -> str:
        try:
            return str(self.getStreamInfo(self._stream).codecName)
        except pj.Error:  # the answer in the ACK was none: PJSIP hangs up in a moment
            return ""

    def _look_at_hold(self) -> None:
        direction, status = 0, None
        info = self.getInfo()  # must outlive the loop: its media are not copies
        for media in info.media:
            if media.type == pj.PJMEDIA_TYPE_AUDIO:
                direction, status, self._stream = media.dir, media.status, media.index
                break
        self._hears_peer = bool(direction & pj.PJMEDIA_DIR_DECODING)
        if direction & pj.PJMEDIA_DIR_ENCODING and status != pj.PJSUA_CALL_MEDIA_NONE:
            hold = PeerHold.NONE
        else:
            hold = PeerHold.SENDONLY if self._hears_peer else PeerHold.INACTIVE
        if hold is not self._hold:
            self._hold = hold
            self._heard_at = time.monotonic()
            if self._connected:
                self._host.emit(LegHoldChanged(self.leg_id, hold))

    def _send_key(self, key: str, duration_ms: int) -> None:
        order = pj.CallSendDtmfParam()
        order.digits, order.duration = key, duration_ms
        while True:
            by_info = self.trunk.dtmf is DtmfMode.INFO or self._no_events
            order.method = pj.PJSUA_DTMF_METHOD_SIP_INFO if by_info else pj.PJSUA_DTMF_METHOD_RFC2833
            try:
                self.sendDtmf(order)
            except pj.Error as error:  # no telephone-event in the peer's SDP, or no media
                log.info("leg.digit_not_sent", leg_id=self.leg_id, by_info=by_info, detail=reason_of(error))
                self._no_events = self.trunk.dtmf is DtmfMode.AUTO
                if by_info or not self._no_events:
                    return
            else:
                return

    def _make_sure(self) -> None:
        """PJSUA reports the end from within `hangup`; should it ever not, the engine still gets its LegEnded."""
        if not self._ended:
            self._host.later(0.5, self._end_anyway)

    def _end_anyway(self) -> None:
        if not self._ended:
            self._end(None)

    def _end(self, event: Any) -> None:
        self._ended = True
        try:
            cause, status, q850, by_peer = self._why(event)
        except pj.Error as error:  # PJSUA has forgotten the call already
            log.warning("leg.cause_unknown", leg_id=self.leg_id, detail=reason_of(error))
            cause, status, q850, by_peer = causes.PROTOCOL_ERROR, 200 if self._answered else 500, None, False
        if self._digits is not None:
            self._digits.give_up()
            self._digits = None  # it holds on to us
        if self._known:
            self._host.emit(LegEnded(self.leg_id, cause, status, q850, by_peer, self._rtp.total(), self._contacts))
        self._host.gone(self)


def ended_by_itself(event: Any, status: int) -> Cause:
    """Why PJSIP gave up a connected dialog: with a BYE of its own when nobody refreshed the session (RFC 4028 §10), or
    because the transport or a request in the dialog failed."""
    if event is not None and event.type == pj.PJSIP_EVENT_TSX_STATE and event.body.tsxState.tsx.method == "BYE":
        return causes.SESSION_EXPIRED
    return causes.of_status(status, Result.CARRIER)


def received(event: Any) -> str:
    """The message that ended it, or ""."""
    if event is not None and event.type == pj.PJSIP_EVENT_TSX_STATE:
        change = event.body.tsxState
        if change.type == pj.PJSIP_EVENT_RX_MSG:
            return str(change.src.rdata.wholeMsg)
    return ""


def reasons_in(text: str) -> list[causes.ReasonHeader]:
    if "eason" not in text and "EASON" not in text:  # most have none
        return []
    try:
        return reasons(parse_message(text))
    except MessageError:
        return []
