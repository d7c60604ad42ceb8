"""A leg that we call: INVITE to one target after the other, ringing, answer, and what its end was; made by legs.py."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import pjsua2 as pj

from gateway.calls import causes
from gateway.calls.causes import Cause, Reason, Result
from gateway.calls.commands import Dial
from gateway.calls.events import LegRinging
from gateway.sip.accounts import TrunkAccount
from gateway.sip.endpoint import reason_of
from gateway.sip.headers import MessageError, parse_message, parse_name_addr, split_values
from gateway.sip.leg import Headers, Leg, LegHost, ended_by_itself, reasons_in, received
from gateway.sip.replaces import ReplacesError, parse_replaces
from gateway.sip.resolver import Target
from gateway.sip.shown import shown
from gateway.sip.udp_only import UdpOnly
from gateway.telemetry.log import get_logger

log = get_logger(__name__)

_SILENT_FOR_S: Final = 5.0
"""How long a target may leave an INVITE without any response, if there is another one (RFC 3263 §4.3)."""
_LOOK_EVERY_S: Final = 1.0
_LOOK_FOR_RTP_EVERY_S: Final = 0.1
_MOST_SILENT_LOOKS: Final = 3
"""So many seconds may an INVITE that PJSIP moved to TCP for its size (RFC 3261 §18.1.1) stay without any response; a
lost SYN is repeated after 1 s."""
_MOST_CONTACTS: Final = 5
_BY_THE_CALLED: Final = frozenset({480, 486, 487, 600, 603, 607, 608})
_SILENCE: Final = Cause(Result.CARRIER, Reason.NO_RESPONSE)


class Dialler(LegHost, Protocol):
    """What an outbound leg needs of legs.SipLegs."""

    def via(self, account: TrunkAccount, target: Target) -> AbstractContextManager[None]:
        """Within it, what is sent on this account goes to this target."""

    udp_only: UdpOnly

    def reason_of_cancel(self, call_id: int, value: str) -> None:
        """A CANCEL of this PJSUA call that PJSIP sends later gets this Reason."""

    def again(self, leg: "OutboundLeg", targets: tuple[Target, ...]) -> None:
        """This attempt is over without an answer: make the next one, to these targets."""


class OutboundLeg(Leg):
    """One INVITE of ours to the first of `targets`. A leg that changes targets is one of these after the other."""

    def __init__(self, account: TrunkAccount, order: Dial, targets: tuple[Target, ...], host: Dialler) -> None:
        super().__init__(account, pj.PJSUA_INVALID_ID, order.leg_id, host)
        self.order, self.targets, self.peer = order, targets, targets[0].ip
        self.look_at_offer = True
        self._dialler = host
        self._told: tuple[int, bool] | None = None
        self._silent_looks = 0
        self._flowing = self._awaiting_rtp = False

    def dial(self) -> None:
        """Send it."""
        try:
            replaces = self._replaces()
        except ReplacesError as error:  # refer_to.py lets none through
            log.warning("leg.dial_failed", leg_id=self.leg_id, detail=str(error))
            self._end(None)
            return
        who = shown(self.order.caller, self.order.diverting, self.trunk)
        own = (*who.headers, *(("User-to-User", value) for value in self.order.user_to_user))
        order = self._order(0, replaces, (*own, *self._given(own)), identity=True)
        order.txOption.localUri = who.from_
        try:
            with self._dialler.via(self.account, self.targets[0]):
                self.makeCall(self._uri(), order)
        except pj.Error as error:  # no transport to get there, no port for its media
            log.warning("leg.dial_failed", leg_id=self.leg_id, address=str(self.targets[0]), detail=reason_of(error))
            if not self._ended:  # makeCall may have told the end before it raised
                self._end(None)
            return
        if len(self.targets) > 1:
            self._host.later(_SILENT_FOR_S, self._no_response)
        if self.targets[0].transport == "udp" and self.targets[0] not in self._dialler.udp_only:
            self._host.later(_LOOK_EVERY_S, self._look_for_silent_tcp)

    def _replaces(self) -> Headers:
        """Require, as a peer that knows nothing of Replaces would take it for a new call (RFC 3891 §4)."""
        if self.order.replaces is None:
            return ()
        return ("Replaces", str(parse_replaces(self.order.replaces))), ("Require", "replaces")

    def _given(self, own: Headers) -> Iterator[tuple[str, str]]:
        """The bot's headers, but for those that the INVITE has already."""
        taken = {name.lower() for name, _ in own}
        for name, value in self.order.headers:
            if name.lower() in taken:
                log.warning("leg.header_dropped", leg_id=self.leg_id, header=name)
            else:
                yield name, value

    def _uri(self) -> str:
        return self.order.uri if self.order.uri is not None else self.trunk.uri_of(self.order.number or "")

    def _no_response(self) -> None:
        if not self._ended and self._release is None and pj.inviteStatus(self.getId()) < 100:
            log.info("leg.target_silent", leg_id=self.leg_id, address=str(self.targets[0]))
            self._quit(self.targets[1:])

    def _look_for_silent_tcp(self) -> None:
        """Every second until it rings, as PJSIP does not tell of the INVITE that follows a challenge, and that one may
        be too large where the first was not."""
        if self._ended or self._release is not None or self._told is not None or self._answered:
            return
        # Where TCP is refused, PJSIP takes UDP by itself.
        silent = pj.inviteTransport(self.getId()) != "UDP" and pj.inviteStatus(self.getId()) < 100
        self._silent_looks = self._silent_looks + 1 if silent else 0
        if self._silent_looks < _MOST_SILENT_LOOKS:
            self._host.later(_LOOK_EVERY_S, self._look_for_silent_tcp)
        else:
            self._give_tcp_up()
            self._quit(self.targets)

    def _give_tcp_up(self) -> None:
        log.info("leg.tcp_useless", leg_id=self.leg_id, address=str(self.targets[0]))
        self._dialler.udp_only.add(self.targets[0])

    def _quit(self, targets: tuple[Target, ...]) -> None:
        """Give this attempt up for one to these targets."""
        self._ended = True
        try:
            self.hangup(self._order(0))
        except pj.Error as error:
            log.debug("leg.hangup_failed", leg_id=self.leg_id, detail=reason_of(error))
        self._dialler.again(self, targets)

    def _say_why(self, reason: str) -> None:
        if not self._answered and pj.inviteStatus(self.getId()) < 101:  # RFC 3261 §9.1: the CANCEL must wait
            self._dialler.reason_of_cancel(self.getId(), reason)

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
        self._flowing = self._flowing or (self._negotiated and self._hears_rtp())
        now = (pj.inviteStatus(self.getId()), self._flowing)
        if 100 < now[0] < 200 and now != self._told and self._release is None:
            self._told = now
            self._host.emit(LegRinging(self.leg_id, *now))

    def _hears_rtp(self) -> bool:
        """An SDP only promises early media: many send one and no sound with it. Looks again until there is some."""
        if self.hasMedia() and self.getStreamStat(self._stream).rtcp.rxStat.pkt > 0:
            return True
        if not self._awaiting_rtp:
            self._awaiting_rtp = True
            self._host.later(_LOOK_FOR_RTP_EVERY_S, self._look_for_rtp)
        return False

    def _look_for_rtp(self) -> None:
        self._awaiting_rtp = False
        if not (self._ended or self._answered or self._release is not None):
            self._tell_ringing()

    def _end(self, event: Any) -> None:
        following = self._following(event)
        if following:
            self._ended = True
            self._host.later(0, lambda: self._dialler.again(self, following))
        else:
            super()._end(event)

    def _following(self, event: Any) -> tuple[Target, ...]:
        """Where to try next, as this attempt has failed; nowhere, if it was ended or its failure is for good."""
        if self._told is not None or self._answered or self._release is not None:
            return ()
        if self.targets[0].transport == "udp" and _broke_over_tcp(event):  # a listener that is none of SIP
            self._give_tcp_up()
            return self.targets
        if len(self.targets) > 1 and self._failed_for_good(event) is None:
            log.info("leg.target_failed", leg_id=self.leg_id, address=str(self.targets[0]))
            return self.targets[1:]
        return ()

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
        self._contacts = _contacts(text) if status < 400 else ()
        whose = Result.CALLEE if status in _BY_THE_CALLED else Result.CARRIER
        return causes.of_status(status, whose), status, q850, True


def _broke_over_tcp(event: Any) -> bool:
    """Whether it ended without a response, and what was sent last went over TCP."""
    if event is None or event.type != pj.PJSIP_EVENT_TSX_STATE or received(event):
        return False
    try:
        return parse_message(str(event.body.tsxState.tsx.lastTx.wholeMsg)).transport == "tcp"
    except MessageError:
        return False


def _contacts(text: str) -> tuple[str, ...]:
    """Of a 3xx, best first as they stand there."""
    try:
        values = parse_message(text).values("contact")
    except MessageError:
        return ()
    found = [parse_name_addr(one).uri for value in values for one in split_values(value)]
    return tuple(uri for uri in found if uri)[:_MOST_CONTACTS]


Targets = Callable[[str], tuple[Target, ...]]
"""Gives the targets of a trunk, the best first; on the event loop."""
