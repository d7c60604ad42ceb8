"""The engine's Legs port on PJSIP: INVITEs in, orders to legs; made by app.py."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

import pjsua2 as pj

from gateway.calls import causes
from gateway.calls.causes import Cause, Reason, Result
from gateway.calls.commands import Dial
from gateway.calls.events import DigitsSent, LegEnded, LegEvent, LegOffered
from gateway.calls.model import LegId
from gateway.calls.refers import SendRefer
from gateway.engine.ports import LegSink, VoiceSink
from gateway.sip.accounts import Accounts, TrunkAccount
from gateway.sip.dialogs import Dialogs
from gateway.sip.elsewhere import Resolve, Searches, leads_elsewhere
from gateway.sip.endpoint import Admitted, Endpoint, reason_of
from gateway.sip.headers import Message, MessageError, parse_message, user_of
from gateway.sip.inbound import InboundLeg
from gateway.sip.leg import Headers, Leg
from gateway.sip.media import SipBridge
from gateway.sip.outbound import OutboundLeg, Targets
from gateway.sip.refers import Refers
from gateway.sip.resolver import Target
from gateway.sip.sdp import may_hold
from gateway.sip.trunk import TrunkLookup, TrunkSpec, caller_of
from gateway.telemetry.log import get_logger

log = get_logger(__name__)

_WATCH_EVERY: Final = 5.0
_WATCH_SLICES: Final = 20
_LONGEST_INVITE: Final = 16_000


class SipLegs:
    """`Legs`. It starts and stops the endpoint and the bridge, as all three have one life."""

    def __init__(
        self,
        endpoint: Endpoint,
        bridge: SipBridge,
        accounts: Accounts,
        specs: Sequence[TrunkSpec],
        trunks: TrunkLookup,
        targets: Targets,
        resolve: Resolve,
        new_leg_id: Callable[[], LegId],
    ) -> None:
        self._endpoint = endpoint
        self._bridge = bridge
        self._accounts = accounts
        self._specs = {spec.name: spec for spec in specs}
        self._searches = Searches(resolve, self._found)
        self.refers = Refers(self, endpoint.settings)
        self._trunks = trunks
        self._targets = targets
        self._new_leg_id = new_leg_id
        self._sink: LegSink = lambda event: None
        self._legs: dict[LegId, Leg] = {}
        self._dialogs = Dialogs(self._legs)
        self._opened = False
        self._asked: tuple[str, Message, TrunkAccount] | None = None
        """The INVITE for which PJSUA was told an account last; it comes back within the same turn."""
        self._watched: list[LegId] = []
        self._watch_slice = 0
        self._last_end = 0.0
        self.later = endpoint.later
        self.reason_of_cancel = endpoint.reason_of_cancel
        self.via = accounts.via
        self.udp_only = accounts.udp_only
        self.media_changed = bridge.mixer.leg_media

    # ── the port, on the event loop ─────────────────────────────────────────────────────────────────

    async def start(self, legs: LegSink, voices: VoiceSink) -> None:
        """Listen. Raises OSError when an address cannot be had."""
        self._sink = legs
        self._endpoint.at_stop(self._hang_up_all, self._all_gone, self._release)
        await self._endpoint.start()
        self._bridge.start(voices)
        await self._endpoint.run(self._open)

    async def stop(self) -> None:
        """Hang up what is left, and end PJSIP; LegEnded comes for every leg."""
        for leg_id in self._searches.legs:
            self.hangup(leg_id, causes.DRAINED, ())
        self._bridge.stop()
        await self._endpoint.stop()

    def dial(self, order: Dial) -> None:
        """INVITE on a trunk."""
        spec = self._specs.get(order.trunk)
        uri = leads_elsewhere(order, spec) if spec is not None else None
        if uri is None or spec is None:
            self._endpoint.submit(self._dial, order, self._targets(order.trunk), self._accounts.of)
        else:
            self._searches.begin(order, uri, spec.transport)

    def _found(self, order: Dial, targets: tuple[Target, ...]) -> None:
        self._endpoint.submit(self._dial, order, targets, self._accounts.guest)

    def turn_away(self, retry_after_s: int | None, *, draining: bool) -> None:
        """503 with Retry-After to all that is new; None: no more."""
        self._endpoint.submit(self._endpoint.turn_away, retry_after_s, draining)

    def ring(self, leg_id: LegId) -> None:
        """180."""
        self._endpoint.submit(self._with_inbound, leg_id, InboundLeg.ring)

    def answer(self, leg_id: LegId) -> None:
        """200."""
        self._endpoint.submit(self._with_inbound, leg_id, InboundLeg.accept)

    def reject(
        self, leg_id: LegId, status: int, phrase: str, cause: Cause, headers: tuple[tuple[str, str], ...]
    ) -> None:
        """A final failure."""
        self._endpoint.submit(self._reject, leg_id, status, phrase, cause, headers)

    def redirect(self, leg_id: LegId, contacts: tuple[str, ...]) -> None:
        """302."""
        self._endpoint.submit(self._with_inbound, leg_id, InboundLeg.redirect, contacts)

    def hangup(
        self, leg_id: LegId, cause: Cause, headers: tuple[tuple[str, str], ...], *, elsewhere: bool = False
    ) -> None:
        """BYE, or a failure while unanswered, or CANCEL."""
        if self._searches.give_up(leg_id):
            ended = LegEnded(leg_id, cause, 487, causes.q850_of(cause), by_peer=False)
            asyncio.get_running_loop().call_soon(self._sink, ended)
            return
        self._endpoint.submit(self._with, leg_id, partial(Leg.release, elsewhere=elsewhere), cause, headers)

    def send_digits(self, leg_id: LegId, digits: str, duration_ms: int) -> None:
        """DTMF as the trunk wants it."""
        self._endpoint.submit(self._send_digits, leg_id, digits, duration_ms)

    def refer(self, order: SendRefer) -> None:
        """REFER on a leg."""
        self._endpoint.submit(self._refer, order)

    def answer_refer(self, leg_id: LegId, refer_id: int, status: int) -> None:
        """The final response to a REFER that came."""
        self._endpoint.submit(self.refers.answer, refer_id, status)

    def notify_refer(self, leg_id: LegId, refer_id: int, status: int) -> None:
        """NOTIFY."""
        self._endpoint.submit(self.refers.notify, refer_id, status)

    def replace_trunks(self, specs: Sequence[TrunkSpec], trunks: TrunkLookup, admit: Admitted) -> None:
        """From now on these trunks, and the networks of their peers; live calls are not touched."""
        self._specs = {spec.name: spec for spec in specs}
        self._endpoint.submit(self._replace_trunks, specs, trunks, admit)

    def counts(self) -> dict[str, int]:
        """What is held, for tests and metrics."""
        return {"legs": len(self._legs), "orders": self._endpoint.thread.queued, **self._bridge.counts()}

    # ── in the PJSIP thread ─────────────────────────────────────────────────────────────────────────

    def emit(self, event: LegEvent) -> None:
        """Of LegHost."""
        self._endpoint.emit(self._sink, event)

    def gone(self, leg: Leg) -> None:
        """Of LegHost."""
        if self._legs.pop(leg.leg_id, None) is not None:
            self._accounts.left(leg.account)
            self._dialogs.ended(leg)
        self._bridge.mixer.leg_gone(leg.leg_id)
        self._endpoint.bury(leg)
        self._last_end = time.monotonic()

    def live(self) -> Iterable[Leg]:
        """Of ReferHost."""
        return self._legs.values()

    def leg_of(self, call_id: str, own_tag: str, peer_tag: str) -> LegId | None:
        """Of ReferHost."""
        return self._dialogs.leg_of(call_id, own_tag, peer_tag)

    def again(self, leg: OutboundLeg, targets: tuple[Target, ...]) -> None:
        """Of Dialler."""
        if self._legs.get(leg.leg_id) is leg:
            self._endpoint.bury(leg)
            following = OutboundLeg(leg.account, leg.order, targets, self)
            self._legs[leg.leg_id] = following
            following.dial()

    def _select(self, text: str, source: str) -> int:
        """The account of an INVITE's trunk; PJSUA makes its call with that one, and tells us there."""
        self._asked = None
        invite = self._parsed(text)
        trunk = self._trunk_of(source, invite) if invite is not None else None
        account = self._accounts.of(trunk or "")
        if account is None:
            return 0
        if trunk is not None and invite is not None:
            self._asked = (text, invite, account)
        return int(account.getId())

    def _incoming(self, account: TrunkAccount, call_id: int, text: str, source: str) -> None:
        """An INVITE outside of any dialog. A Leg must be made in any case, else PJSUA answers 500."""
        asked, self._asked = self._asked, None
        invite = asked[1] if asked is not None and asked[0] == text and asked[2] is account else None
        peer = source.rpartition(":")[0].strip("[]")
        replaces, refusal = None, 403
        if invite is not None:
            replaces, refusal = self._dialogs.replaced_by(invite, account.spec.name, peer)
        leg = InboundLeg(account, call_id, self._new_leg_id(), self, known=refusal == 0)
        if invite is None or refusal != 0:
            self._turn_away(leg, refusal)
            return
        account.calls += 1
        leg.peer = peer
        leg.look_at_offer = may_hold(invite.body)
        self._legs[leg.leg_id] = leg
        self.emit(LegOffered(leg.leg_id, caller_of(invite, account.spec), replaces))

    @staticmethod
    def _parsed(text: str) -> Message | None:
        try:
            return parse_message(text[:_LONGEST_INVITE])
        except MessageError:
            return None

    def _turn_away(self, leg: InboundLeg, status: int) -> None:
        """An INVITE that the gatekeeper let pass and that still has no trunk: unreadable, or another plan; or whose
        Replaces comes to nothing."""
        leg.release(causes.of_status(status, causes.Result.GATEWAY), status=status)

    def _trunk_of(self, source: str, invite: Message) -> str | None:
        host, _, port = source.rpartition(":")
        try:
            return self._trunks(host.strip("[]"), invite.transport, int(port), user_of(invite.request_uri))
        except Exception:  # the look-up is not ours; a stranger is the safe answer
            log.exception("legs.lookup_failed", source=source)
            return None

    def _replace_trunks(self, specs: Sequence[TrunkSpec], trunks: TrunkLookup, admit: Admitted) -> None:
        self._accounts.apply(specs)
        self._trunks = trunks
        self._endpoint.admit(admit)

    def _open(self) -> None:
        self._accounts.open(self._incoming)
        self._accounts.apply(tuple(self._specs.values()))
        self._endpoint.select = self._select
        self.refers.open()
        self._opened = True
        self._watch()

    def _dial(self, order: Dial, targets: tuple[Target, ...], account_of: Callable[[str], TrunkAccount | None]) -> None:
        account = account_of(order.trunk)
        if account is None or account.spec.name != order.trunk or not targets:
            self.emit(LegEnded(order.leg_id, Cause(Result.CARRIER, Reason.NO_RESPONSE), 503, None, by_peer=False))
            return
        leg = self._legs[order.leg_id] = OutboundLeg(account, order, targets, self)
        account.calls += 1
        leg.dial()

    def _with_inbound(self, leg_id: LegId, order: Callable[..., object], *args: object) -> None:
        leg = self._legs.get(leg_id)
        if isinstance(leg, InboundLeg):
            order(leg, *args)

    def _with(self, leg_id: LegId, order: Callable[..., object], *args: object) -> None:
        leg = self._legs.get(leg_id)
        if leg is not None:
            order(leg, *args)

    def _reject(self, leg_id: LegId, status: int, phrase: str, cause: Cause, headers: Headers) -> None:
        leg = self._legs.get(leg_id)
        if leg is not None:
            leg.release(cause, headers, status=status if 300 <= status <= 699 else 480, phrase=phrase)

    def _refer(self, order: SendRefer) -> None:
        account = self._accounts.of(order.trunk)
        known = account is not None and account.spec.name == order.trunk
        self.refers.send(self._legs.get(order.leg_id), order, account.spec if account is not None and known else None)

    def _send_digits(self, leg_id: LegId, digits: str, duration_ms: int) -> None:
        leg = self._legs.get(leg_id)
        if leg is None:
            self.emit(DigitsSent(leg_id))
        else:
            leg.send_digits(digits, duration_ms)

    def _watch(self) -> None:
        """Look at a part of the legs at a time, so that no round is long; each is seen every few seconds."""
        if not self._opened:
            return
        self._endpoint.later(_WATCH_EVERY / _WATCH_SLICES, self._watch)
        if self._watch_slice == 0:
            self._watched = list(self._legs)
        now = time.monotonic()
        for leg_id in self._watched[self._watch_slice :: _WATCH_SLICES]:
            leg = self._legs.get(leg_id)
            if leg is not None:
                try:
                    leg.check_media(now)
                except pj.Error as error:  # no such stream: its media changes this moment
                    log.debug("leg.no_statistics", leg_id=leg_id, detail=reason_of(error))
        self._watch_slice = (self._watch_slice + 1) % _WATCH_SLICES

    def _hang_up_all(self) -> None:
        for leg in list(self._legs.values()):
            leg.release(causes.DRAINED)
        self._accounts.take_back()

    def _all_gone(self) -> bool:
        # PJSUA tells the end before the peer has confirmed the BYE: give the answers a moment.
        return not self._legs and self._accounts.settled() and time.monotonic() - self._last_end > 0.2

    def _release(self) -> None:
        self._opened = False
        self._endpoint.select = None
        self.refers.close()
        self._bridge.mixer.close()
        self._accounts.close()
