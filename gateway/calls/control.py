"""One call's control: `handle(event, now)` takes what happened and says what to do; called by the engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from gateway.calls.causes import (
    BOT_REDIRECTED,
    Cause,
    EndedBy,
    Result,
    of_status,
)
from gateway.calls.commands import (
    Answer,
    BotEventName,
    Command,
    EndCall,
    Hangup,
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
)
from gateway.calls.people import AmongPeople
from gateway.calls.refers import ClaimRefused, LegTakenOver, PeerClaimed, ReferAnswered, ReferNotified, ReferReceived
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
from gateway.calls.view import farewell

BOT_DECIDES_MS = 10_000
"""How long a bot may think about an `offered` call before it is answered all the same (bot-protocol.md)."""


@dataclass(slots=True)
class CallControl(AmongPeople):
    """The call's state machine. No I/O, no clock, no randomness: the same events give the same commands."""

    # ── The one entry ───────────────────────────────────────────────────────────────────────────────

    def handle(self, event: Event, now: float) -> list[Command]:
        """What to do about `event`, in order. After EndCall every event gives an empty list."""
        if self.call.state is CallState.ENDED:
            return []
        late = self._gone is not None and not (isinstance(event, TimerFired) and event.timer is Timer.NOTICE)
        if (self._ending or late) and not isinstance(event, LegEnded):
            return []  # we have hung up, or the customer has: all that still comes is late
        self._now = now
        commands = self._dispatch(event, now)
        commands += self._after_transfer()
        commands += self._keep_time()
        edges = hearing(self.call)
        if edges != self._edges:
            self._edges = edges
            commands.insert(0, SetHearing(edges))  # before any Play: nothing is played to nobody
        return [c for c in commands if self._is_news(c)]

    def _dispatch(self, event: Event, now: float) -> list[Command]:
        match event:
            case LegOffered():
                return self._offered()
            case LegRinging():
                return self.transfer.ringing(event, now) if self.transfer else []
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
                    return self.transfer.digits_sent(event.leg_id, now) if self.transfer else []
                self.turns.digits_sent()
                return self._go_on()
            case PlaybackEnded():
                ended = self._carry_out(self.turns.playback_ended(event))
                briefed = self.transfer.playback_ended(event.playback_id, now) if self.transfer else []
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
                return self._asked_to_transfer(event.switch)
            case TransferCancelled():
                return self.transfer.cancel(now) if self.transfer else []
            case TimerFired():
                return self._timer_fired(event.timer)
            case ReferAnswered() | ReferNotified() | ReferReceived() | PeerClaimed() | LegTakenOver() | ClaimRefused():
                return []
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
        if leg_id != leg.id:
            return self.transfer.answered(leg_id, now) if self.transfer else []
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.ACK)
        self.call.state = advance(CALL_TRANSITIONS, self.call.state, CallTrigger.CONNECTED)
        self.call.answered_at = now
        self.turns.connected = True
        return self.conversation.tell(start(self.call.direction.value, {})) + self._go_on()

    def _hold_changed(self, leg_id: LegId, hold: PeerHold) -> list[Command]:
        """RFC 3264 §8.4: while the peer holds us its customer cannot answer, so nobody's time runs."""
        leg = self.call.legs.get(leg_id)
        if leg is not None:
            leg.peer_hold = hold
        if leg is not self.call.customer:
            return []
        return self._carry_out(self.turns.hold(hold is not PeerHold.NONE))

    def _hang_up(self, cause: Cause, by: EndedBy, headers: Mapping[str, str] | None = None) -> list[Command]:
        leg = self.call.customer
        commands = self.transfer.customer_left(self._now, by_gateway=True) if self.transfer else []
        commands += self._after_transfer()
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.RELEASE)
        return [*commands, *self._closing(cause, by), Hangup(leg.id, cause, tuple((headers or {}).items()))]

    def _closing(self, cause: Cause, by: EndedBy) -> list[Command]:
        self._ending = (cause, by)
        return [*self._stop_all(), *self.conversation.give_up()]

    def _ended(self, event: LegEnded, now: float) -> list[Command]:
        leg = self.call.legs.get(event.leg_id)
        if leg is None:
            return []
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.GONE)
        commands: list[Command] = []
        if leg is self.call.customer:
            self._gone = (event, now)
            if self.transfer is not None:
                commands += self.transfer.customer_left(now, by_gateway=not event.by_peer)
                commands += self._after_transfer()
            commands += [*self._stop_all(but=Timer.NOTICE), *self.conversation.give_up()]
        elif self.transfer is not None:
            commands += self.transfer.leg_ended(event, now)
        elif self._gone is not None and not any(one.state is LegState.CONNECTED for one in self.call.others):
            commands.append(StopTimer(Timer.NOTICE))  # whoever heard it has hung up
        if self._gone is None or any(one.state is not LegState.ENDED for one in self.call.legs.values()):
            return commands
        return commands + self._end(*self._gone)

    def _end(self, event: LegEnded, at: float) -> list[Command]:
        """The last leg is gone; the call is over since the customer's was."""
        call = self.call
        cause, by = self._ending or (event.cause, EndedBy.CUSTOMER if event.by_peer else EndedBy.GATEWAY)
        call.state = advance(CALL_TRANSITIONS, call.state, CallTrigger.LEFT)
        call.ended_at, call.cause, call.ended_by = at, cause, by
        duration_ms = round((at - call.answered_at) * 1000) if call.answered_at is not None else 0
        end = EndCall(call.id, cause, by, event.sip_status, event.q850, duration_ms)
        return [*self._stop_all(), *self.conversation.farewell(farewell(end)), end]

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
        transfer = self.transfer
        if self.call.state is CallState.TALKING:
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
            case Timer.RING | Timer.ACCEPT | Timer.MAX_TALK:
                return self.transfer.timer(timer, self._now) if self.transfer else []
            case Timer.NOTICE:
                return self._release_others()
            case _:
                assert_never(timer)
