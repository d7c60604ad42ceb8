"""One call's control: `handle(event, now)` takes what happened and says what to do; called by the engine."""

from dataclasses import dataclass
from typing import assert_never

from gateway.calls import rights
from gateway.calls.causes import (
    BOT_REDIRECTED,
    TOO_LONG,
    EndedBy,
    Result,
    of_status,
)
from gateway.calls.commands import (
    Answer,
    BotEventName,
    Command,
    Note,
    Redirect,
    Reject,
    Ring,
    SetHearing,
    StartTimer,
    StopTimer,
    Timer,
)
from gateway.calls.conversation import Tell
from gateway.calls.desk import start
from gateway.calls.events import (
    BotFailed,
    BotReplied,
    CallPlaced,
    DigitsSent,
    DtmfReceived,
    Event,
    HangupRequested,
    LegAnswered,
    LegEnded,
    LegHoldChanged,
    LegOffered,
    LegRinging,
    PlaybackEnded,
    PlaybackStarted,
    RepliesPushed,
    SoundFailed,
    TimerFired,
    TransferCancelled,
    TransferRequested,
)
from gateway.calls.hearing import hearing
from gateway.calls.model import (
    AnswerMode,
    LegId,
    PeerHold,
    Room,
)
from gateway.calls.orders import Ordered
from gateway.calls.placing import Placing
from gateway.calls.refers import (
    ClaimRefused,
    LegTakenOver,
    PeerClaimed,
    ReferAnswered,
    ReferNotified,
    ReferReceived,
)
from gateway.calls.replies import (
    AnswerReply,
    Handoff,
    HangupReply,
    RedirectReply,
    RejectReply,
    RingingReply,
    Tag,
)
from gateway.calls.states import (
    CALL_TRANSITIONS,
    LEG_TRANSITIONS,
    CallState,
    CallTrigger,
    LegState,
    LegTrigger,
    advance,
)
from gateway.calls.switch import Switch
from gateway.calls.turns import Decisive

BOT_DECIDES_MS = 10_000
"""How long a bot may think about an `offered` call before it is answered all the same (bot-protocol.md)."""


@dataclass(slots=True)
class CallControl(Placing):
    """The call's state machine. No I/O, no clock, no randomness: the same events give the same commands."""

    # ── The one entry ───────────────────────────────────────────────────────────────────────────────

    def handle(self, event: Event, now: float) -> list[Command]:
        """What to do about `event`, in order. After EndCall every event gives an empty list."""
        if self.call.state is CallState.ENDED:
            return []
        self._now = now
        if self._is_late(event) or not self._is_theirs(event):
            return self._turned_away(event)
        commands = self._dispatch(event, now)
        commands += self._settle_all()
        commands += self._end_if_over()
        commands += self._keep_time()
        edges = hearing(self.call)
        if edges != self._edges:
            self._edges = edges
            commands.insert(0, SetHearing(edges))  # before any Play: nothing is played to nobody
        return [c for c in commands if self._is_news(c)]

    def _dispatch(self, event: Event, now: float) -> list[Command]:
        match event:
            case LegOffered():
                return self._offered() if event.replaces is None else self._replacement_offered(event)
            case LegRinging() if self._joins(event.leg_id):
                return self._joiner_rings(event.leg_id)
            case CallPlaced():
                return self._place(event)
            case LegRinging():
                return self._rings(event, now)
            case LegAnswered():
                return self._answered(event.leg_id, now)
            case LegEnded():
                return self._ended(event, now)
            case LegHoldChanged():
                return self._hold_changed(event.leg_id, event.hold)
            case DtmfReceived():
                return self._digit(event.leg_id, event.digit)
            case DigitsSent():
                if event.leg_id != self.call.customer.id:
                    return self._dialling.digits_sent(event.leg_id, now) if self._dialling else []
                self.turns.digits_sent()
                return self._go_on()
            case PlaybackEnded():
                ended = [*self._carry_out(self.turns.playback_ended(event)), *self._announced(event)]
                briefed = self._dialling.playback_ended(event.playback_id, now) if self._dialling else []
                return ended + briefed + self._go_on()
            case PlaybackStarted() | SoundFailed():
                return []  # facts for the timeline
            case BotReplied():
                return self._bot_replied(event)
            case BotFailed():
                return self._bot_failed(event.seq, event.kind, event.detail)
            case RepliesPushed():
                return self._pushed(event.response)
            case TransferRequested():
                return [*rights.beyond(event, self._acting(), self.outbound)] or self._asked_to_transfer(event.switch)
            case TransferCancelled():
                return self._cancel(now)
            case TimerFired():
                return self._timer_fired(event.timer)
            case ReferAnswered() | ReferNotified():
                return self._our_refer(event, now)
            case ReferReceived():
                return self._refer_received(event)
            case PeerClaimed():
                return self._peer_claimed(event)
            case LegTakenOver():
                return self._taken_over(event)
            case ClaimRefused():
                return self._claim_refused()
            case Ordered():
                return [*rights.beyond(event, self._acting(), self.outbound)] or self._ordered(event.order)
            case HangupRequested():
                return self._hang_up(event.cause, event.by)
            case _:
                assert_never(event)

    # ── The customer's leg ──────────────────────────────────────────────────────────────────────────

    def _offered(self) -> list[Command]:
        match self.call.channel.answer:
            case AnswerMode.IMMEDIATELY:
                return self._answer()
            case AnswerMode.AFTER:
                return [*self._ring(), StartTimer(Timer.ANSWER, self.call.channel.answer_after_ms)]
            case AnswerMode.BOT:
                return [
                    StartTimer(Timer.ANSWER, BOT_DECIDES_MS),
                    *self.conversation.tell(Tell(BotEventName.OFFERED, {})),
                ]

    def _ring(self) -> list[Command]:
        leg = self.call.customer
        if leg.state is not LegState.OFFERED:
            return []
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.RING)
        return [Ring(leg.id)]

    def _answer(self) -> list[Command]:
        leg = self.call.customer
        if leg.state not in (LegState.OFFERED, LegState.RINGING):
            return []
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.ANSWER)
        return [StopTimer(Timer.ANSWER), Answer(leg.id)]

    def _answered(self, leg_id: LegId, now: float) -> list[Command]:
        leg = self.call.customer
        if leg_id in self._replacing:
            return self._replacement_answered(leg_id)
        if self._joins(leg_id):
            return self._joiner_answered(leg_id)
        if leg_id != leg.id:
            return self._dialling.answered(leg_id, now) if self._dialling else []
        if self.calls_customer:
            return self._customer_answered(now)
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.ACK)
        self.call.state = advance(CALL_TRANSITIONS, self.call.state, CallTrigger.CONNECTED)
        self.call.answered_at = now
        self.turns.connected = True
        return self.conversation.tell(start(self.call.direction.value, {})) + self._go_on()

    def _our_refer(self, event: ReferAnswered | ReferNotified, now: float) -> list[Command]:
        if self.transfer is None or event.leg_id != self.call.customer.id:
            return []  # it is over, or went out on a leg whose place was taken
        if isinstance(event, ReferNotified):
            return self.transfer.notified(event.status, now)
        return self.transfer.refer_answered(event.status, now, by_peer=event.by_peer, notifies=event.notifies)

    def _hold_changed(self, leg_id: LegId, hold: PeerHold) -> list[Command]:
        """RFC 3264 §8.4: while the peer holds us its customer cannot answer, so nobody's time runs."""
        leg = self.call.legs.get(leg_id)
        if leg is not None:
            leg.peer_hold = hold
        if leg is not self.call.customer:
            return []
        return self._carry_out(self.turns.hold(hold is not PeerHold.NONE))

    def _decide(self, reply: Decisive) -> list[Command]:
        leg = self.call.customer
        match reply:
            case AnswerReply():
                return self._answer()
            case RingingReply():
                return self._ring()
            case RejectReply():
                cause = of_status(reply.status, Result.BOT)
                leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.RELEASE)
                reject = Reject(leg.id, reply.status, cause, reply.reason, tuple(reply.headers.items()))
                return [*self._closing(cause, EndedBy.BOT), reject]
            case RedirectReply():
                leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.RELEASE)
                return [*self._closing(BOT_REDIRECTED, EndedBy.BOT), Redirect(leg.id, tuple(reply.contacts))]
            case HangupReply():
                said = [Note("bot.hung_up", {"reason": reply.reason})] if reply.reason else []
                return [*said, *self._hang_up(*self._parting, reply.headers)]
            case Tag():
                self.call.data |= reply.data
                return [Note("call.tagged", {"keys": [*reply.data]})]
            case Handoff():
                return self._hand_off(reply.channel, "handoff", reply.parameters)
            case Switch():
                return self._begin_transfer(reply, by_bot=True)
            case _:
                assert_never(reply)

    # ── Time ────────────────────────────────────────────────────────────────────────────────────────

    def _digit(self, leg_id: LegId, digit: str) -> list[Command]:
        transfer, leg = self._dialling, self.call.legs.get(leg_id)
        people = self.call.state in (CallState.TALKING, CallState.AGENTS_ONLY)
        if people and leg is not None and leg.room is not Room.LOBBY:
            return self._relay(leg_id, digit)
        if leg_id != self.call.customer.id or self.turns.parked:  # a parked bot hears no digit
            return transfer.digit(leg_id, digit, self._now) if transfer else []
        if self.call.customer.state in (LegState.OFFERED, LegState.RINGING):
            return []
        # RTP may overtake the ACK: a key pressed right after the 200 is kept for the bot's first collection.
        wait = self.conversation.pending is not None or not self.turns.connected
        return self._carry_out(self.turns.digit(digit, wait)) + self._go_on()

    def _timer_fired(self, timer: Timer) -> list[Command]:
        if timer not in self._timers:
            return []  # it ran out as it was being stopped
        self._timers.discard(timer)
        match timer:
            case Timer.ANSWER:
                return [*self.conversation.abandon(), *self._answer()]
            case Timer.NO_INPUT:
                return self._carry_out(self.turns.no_input()) + self._go_on()
            case Timer.INTER_DIGIT:
                return self._carry_out(self.turns.digits_timeout()) + self._go_on()
            case Timer.FILLER:
                filler = self.call.channel.filler
                return [self.turns.say(filler)] if filler else []
            case Timer.RING if self.calls_customer:
                return self._not_answered()
            case Timer.RING | Timer.ACCEPT:
                return self._dialling.timer(timer, self._now) if self._dialling else []
            case Timer.MAX_TALK if self.call.state is CallState.AGENTS_ONLY:
                return self._part()
            case Timer.MAX_TALK:
                return self.transfer.timer(timer, self._now) if self.transfer else []
            case Timer.JOIN:
                return self._time_is_over()
            case Timer.MAX_CALL:
                return self._hang_up(TOO_LONG, EndedBy.GATEWAY)
            case Timer.NOTICE:
                return self._notice_is_over()
            case _:
                assert_never(timer)
