"""SIP legs without SIP: a far end that the test plays by method calls, and what it got to see."""

import asyncio
from dataclasses import dataclass, field, replace

from gateway.calls import causes
from gateway.calls.causes import Cause, Reason, Result
from gateway.calls.commands import Dial
from gateway.calls.events import (
    DigitsSent,
    DtmfReceived,
    LegAnswered,
    LegEnded,
    LegEvent,
    LegHoldChanged,
    LegOffered,
    LegRinging,
)
from gateway.calls.model import Caller, LegId, PeerHold
from gateway.calls.quality import RtpFlow, RtpQuality
from gateway.calls.refers import ReferAnswered, ReferNotified, ReferReceived, ReferTarget, SendRefer
from gateway.engine.ports import LegSink, VoiceSink

CALLER = Caller(sip_call_id="call-1@far", trunk="t", from_="+4912", to="100", from_name="Ann")
RTP = RtpQuality("PCMU", RtpFlow(150, 0, 0.3, 1.1), 150)
"""Of every leg that was answered."""


@dataclass(slots=True)
class FakeLeg:
    """What the far end of one dialog saw."""

    acks: bool = True
    statuses: list[int] = field(default_factory=lambda: [100])
    headers: tuple[tuple[str, str], ...] = ()
    """Of the last response or BYE."""
    contacts: tuple[str, ...] = ()
    got_bye: bool = False
    digits: str = ""
    hold: PeerHold = PeerHold.NONE
    connected: bool = False
    early: bool = False
    order: Dial | None = None
    """Of a leg that was dialled."""
    trunk: str = ""
    address: str = ""
    """Of the far end."""
    referred: list[SendRefer] = field(default_factory=list)
    """The REFERs that it got."""
    refers: dict[int, int] = field(default_factory=dict)
    """The final statuses of the REFERs that it sent, 0 as long as there is none."""
    notified: dict[int, list[int]] = field(default_factory=dict)
    """What it was told of them."""


class FakeLegs:
    """Implements gateway.engine.ports.Legs. Events come from the loop, one turn later, as the real ones do."""

    def __init__(self) -> None:
        self.live: dict[LegId, FakeLeg] = {}
        self.all: dict[LegId, FakeLeg] = {}
        self.voices: VoiceSink = lambda *_: None
        self.turned_away: list[tuple[int | None, bool]] = []
        """Every order to turn calls away, or to take them again: the Retry-After, and whether it drains."""
        self._sink: LegSink = lambda event: None
        self._pending: list[asyncio.Handle] = []
        self._unanswered_refers: list[LegId] = []
        self._last_refer = 0

    async def start(self, legs: LegSink, voices: VoiceSink) -> None:
        self._sink, self.voices = legs, voices

    async def stop(self) -> None:
        for leg_id in list(self.live):
            self.hangup(leg_id, causes.DRAINED, ())
        for leg_id in self._unanswered_refers:
            self._emit(ReferAnswered(leg_id, 503, by_peer=False))
        await asyncio.sleep(0)

    def dial(self, order: Dial) -> None:
        leg = self.all[order.leg_id] = FakeLeg(statuses=[], order=order, trunk=order.trunk)
        if order.trunk == "nobody":
            self._emit(LegEnded(order.leg_id, Cause(Result.CARRIER, Reason.NO_RESPONSE), 503, None, False))
        else:
            self.live[order.leg_id] = leg

    def turn_away(self, retry_after_s: int | None, *, draining: bool) -> None:
        self.turned_away.append((retry_after_s, draining))

    def ring(self, leg_id: LegId) -> None:
        if (leg := self._unanswered(leg_id)) is not None:
            leg.statuses.append(180)

    def answer(self, leg_id: LegId) -> None:
        if (leg := self._unanswered(leg_id)) is not None:
            leg.statuses.append(200)
            if leg.acks:
                self.ack(leg_id)

    def reject(
        self, leg_id: LegId, status: int, phrase: str, cause: Cause, headers: tuple[tuple[str, str], ...]
    ) -> None:
        if self._unanswered(leg_id) is None:
            self.hangup(leg_id, cause, headers)
        else:
            self._refuse(leg_id, status, cause, headers)

    def redirect(self, leg_id: LegId, contacts: tuple[str, ...]) -> None:
        if (leg := self._unanswered(leg_id)) is not None:
            leg.contacts = contacts
            self._refuse(leg_id, 302, causes.BOT_REDIRECTED, ())

    def hangup(
        self, leg_id: LegId, cause: Cause, headers: tuple[tuple[str, str], ...], *, elsewhere: bool = False
    ) -> None:
        leg = self.live.get(leg_id)
        if leg is None:
            return
        if 200 not in leg.statuses:
            self._refuse(leg_id, 603 if leg.order is None else 487, cause, headers)
            return
        leg.got_bye = True
        leg.headers = (("Reason", causes.reason_header(cause)), *headers)
        self._end(leg_id, LegEnded(leg_id, cause, 200, causes.q850_of(cause), False))

    def refer(self, order: SendRefer) -> None:
        leg = self.live.get(order.leg_id)
        if leg is None or not leg.connected:
            self._emit(ReferAnswered(order.leg_id, 481, by_peer=False))
        elif order.number is not None and order.trunk == "nobody":
            self._emit(ReferAnswered(order.leg_id, 503, by_peer=False))
        else:
            leg.referred.append(order)
            self._unanswered_refers = [*(leg for leg in self._unanswered_refers if leg != order.leg_id), order.leg_id]

    def answer_refer(self, leg_id: LegId, refer_id: int, status: int) -> None:
        leg = self.live.get(leg_id)
        if leg is not None and leg.refers.get(refer_id) == 0:
            leg.refers[refer_id] = status

    def notify_refer(self, leg_id: LegId, refer_id: int, status: int) -> None:
        leg = self.live.get(leg_id)
        if leg is not None and 200 <= leg.refers.get(refer_id, 0) < 300 and refer_id in leg.notified:
            told = leg.notified[refer_id]
            if not told or told[-1] < 200:
                told.append(status)

    def send_digits(self, leg_id: LegId, digits: str, duration_ms: int) -> None:
        if (leg := self.live.get(leg_id)) is not None:
            leg.digits += digits.replace("w", "").replace("W", "")
        self._emit(DigitsSent(leg_id))

    # ── For the test: the far end ───────────────────────────────────────────────────────────────────

    def call(
        self,
        leg_id: LegId,
        caller: Caller = CALLER,
        *,
        acks: bool = True,
        on_its_way: bool = False,
        address: str = "192.0.2.1",
        replaces: LegId | None = None,
        early_only: bool = False,
    ) -> FakeLeg:
        """An INVITE comes; one `on_its_way` came before the order to turn calls away was carried out. `replaces`: it
        wants the place of this leg (RFC 3891)."""
        leg = self.all[leg_id] = FakeLeg(acks=acks, trunk=caller.trunk, address=address)
        retry_after_s = self.turned_away[-1][0] if self.turned_away else None
        if retry_after_s is not None and not on_its_way:
            leg.statuses.append(503)
            leg.headers = (("Retry-After", str(retry_after_s)),)
            return leg
        if replaces is not None and (refusal := self._refusal(leg, replaces, early_only=early_only)):
            leg.statuses.append(refusal)
            return leg
        self.live[leg_id] = leg
        self._emit(LegOffered(leg_id, caller, replaces))
        return leg

    def ack(self, leg_id: LegId) -> None:
        """The ACK to our 200 comes."""
        if (leg := self.live.get(leg_id)) is not None and not leg.connected:
            leg.connected = True
            self._emit(LegAnswered(leg_id, "PCMU"))

    def rings(self, leg_id: LegId, status: int = 180, *, media: bool = False) -> None:
        """The called one rings; early media, once there, stay."""
        leg = self.live[leg_id]
        leg.early = leg.early or media
        self._emit(LegRinging(leg_id, status, leg.early))

    def picks_up(self, leg_id: LegId) -> None:
        """The called one answers."""
        self.live[leg_id].statuses.append(200)
        self.ack(leg_id)

    def turns_down(self, leg_id: LegId, status: int) -> None:
        """The called one, or its carrier, refuses."""
        by_it = status in (480, 486, 487, 600, 603, 607, 608)
        cause = causes.of_status(status, Result.CALLEE if by_it else Result.CARRIER)
        contacts = ("sip:elsewhere@192.0.2.9",) if 300 <= status < 400 else ()
        self._end(leg_id, LegEnded(leg_id, cause, status, None, True, contacts=contacts))

    def bye(self, leg_id: LegId, reason: str = "") -> None:
        """A BYE comes, with this Reason header."""
        leg = self.live.get(leg_id)
        if leg is None:
            return
        parsed = causes.parse_reason(reason)
        cause, q850 = causes.of_bye([parsed] if parsed else [])
        status = 200 if 200 in leg.statuses else 487
        self._end(leg_id, LegEnded(leg_id, cause if status == 200 else causes.CANCELLED, status, q850, True))

    def cancel(self, leg_id: LegId) -> None:
        """A CANCEL comes."""
        if (leg := self._unanswered(leg_id)) is not None:
            leg.statuses.append(487)
            self._end(leg_id, LegEnded(leg_id, causes.CANCELLED, 487, None, True))

    def hold(self, leg_id: LegId, hold: PeerHold) -> None:
        """A re-INVITE comes."""
        if (leg := self.live.get(leg_id)) is not None and leg.hold is not hold:
            leg.hold = hold
            self._emit(LegHoldChanged(leg_id, hold))

    def press(self, leg_id: LegId, digit: str) -> None:
        """A key is pressed."""
        if leg_id in self.live:
            self._emit(DtmfReceived(leg_id, digit))

    def answers_refer(self, leg_id: LegId, status: int, *, notifies: bool = True) -> None:
        """It answers our REFER, perhaps after its end."""
        self._unanswered_refers.remove(leg_id)
        self._emit(ReferAnswered(leg_id, status, by_peer=True, notifies=notifies))

    def notifies(self, leg_id: LegId, status: int | None) -> None:
        """A NOTIFY of our REFER comes, perhaps after its end; without a status line that can be read for None."""
        if status is not None:
            self._emit(ReferNotified(leg_id, status))

    def refers(self, leg_id: LegId, target: ReferTarget, *, subscribes: bool = True) -> int:
        """A REFER comes; its id."""
        leg = self.live[leg_id]
        self._last_refer += 1
        refer_id = self._last_refer
        if 0 in leg.refers.values():
            leg.refers[refer_id] = 491
            return refer_id
        leg.refers[refer_id] = 0
        if subscribes:
            leg.notified[refer_id] = []
        self._emit(ReferReceived(leg_id, refer_id, target))
        return refer_id

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _unanswered(self, leg_id: LegId) -> FakeLeg | None:
        leg = self.live.get(leg_id)
        return leg if leg is not None and 200 not in leg.statuses else None

    def _refusal(self, by: FakeLeg, replaces: LegId, *, early_only: bool) -> int:
        leg = self.all.get(replaces)
        if leg is None:
            return 481
        if by.trunk != leg.trunk and by.address != leg.address:
            return 403
        if replaces not in self.live:
            return 603
        if 200 in leg.statuses:
            return 486 if early_only else 0
        return 481 if leg.order is None else 0

    def _refuse(self, leg_id: LegId, status: int, cause: Cause, headers: tuple[tuple[str, str], ...]) -> None:
        leg = self.live[leg_id]
        leg.statuses.append(status)
        leg.headers = (("Reason", causes.reason_header(cause)), *headers)
        self._end(leg_id, LegEnded(leg_id, cause, status, causes.q850_of(cause), False))

    def _end(self, leg_id: LegId, event: LegEnded) -> None:
        leg = self.live.pop(leg_id)
        leg.refers = {refer_id: status or 481 for refer_id, status in leg.refers.items()}
        answered = 200 in leg.statuses
        self._emit(replace(event, rtp=RTP) if answered else event)

    def _emit(self, event: LegEvent) -> None:
        asyncio.get_running_loop().call_soon(self._sink, event)
