"""One call's control: `handle(event, now)` takes what happened and says what to do; called by the engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from gateway.calls.causes import BOT_FAILED, BOT_REDIRECTED, NORMAL, Cause, EndedBy, Result, of_status
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
from gateway.calls.conversation import Conversation, Tell
from gateway.calls.errors import BotErrorKind
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
)
from gateway.calls.fitting import misfit
from gateway.calls.hearing import hearing
from gateway.calls.model import AnswerMode, Call, ChannelPolicy, Edge, JsonObject, PeerHold, Spoken
from gateway.calls.replies import (
    AnswerReply,
    BotResponse,
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
from gateway.calls.turns import Decisive, Step, Turns
from gateway.calls.view import farewell

BOT_DECIDES_MS = 10_000
"""How long a bot may think about an `offered` call before it is answered all the same (bot-protocol.md)."""


@dataclass(slots=True)
class CallControl:
    """The call's state machine. No I/O, no clock, no randomness: the same events give the same commands."""

    call: Call
    channels: Mapping[str, ChannelPolicy]
    conversation: Conversation = field(init=False)
    turns: Turns = field(init=False)
    _timers: set[Timer] = field(default_factory=set)
    _edges: frozenset[Edge] = frozenset()
    _ending: tuple[Cause, EndedBy] | None = None
    _parting: tuple[Cause, EndedBy] = (NORMAL, EndedBy.BOT)

    def __post_init__(self) -> None:
        self.conversation = Conversation(self.call)
        self.turns = Turns(self.call.customer.id, self.call.channel.voice)

    # ── The one entry ───────────────────────────────────────────────────────────────────────────────

    def handle(self, event: Event, now: float) -> list[Command]:
        """What to do about `event`, in order. After EndCall every event gives an empty list."""
        if self.call.state is CallState.ENDED:
            return []
        if self._ending and not isinstance(event, LegEnded):
            return []  # we have hung up: all that still comes is late
        commands = self._dispatch(event, now)
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
            case LegAnswered():
                return self._answered(now)
            case LegEnded():
                return self._ended(event, now)
            case LegHoldChanged():
                return self._hold_changed(event.hold)
            case DtmfReceived():
                return self._digit(event.digit)
            case DigitsSent():
                self.turns.digits_sent()
                return self._go_on()
            case PlaybackEnded():
                return self._carry_out(self.turns.playback_ended(event)) + self._go_on()
            case LegRinging() | PlaybackStarted() | SoundFailed():
                return []  # facts for the timeline
            case BotReplied():
                return self._bot_replied(event)
            case BotFailed():
                return self._bot_failed(event.seq, event.kind, event.detail)
            case RepliesPushed():
                return self._pushed(event.response)
            case TimerFired():
                return self._timer_fired(event.timer)
            case HangupRequested():
                return self._hang_up(event.cause, event.by)
            case _:
                assert_never(event)

    def _is_news(self, command: Command) -> bool:
        """Keeps the account of running timers; a timer that does not run needs no stop."""
        match command:
            case StartTimer():
                self._timers.add(command.timer)
            case StopTimer():
                if command.timer not in self._timers:
                    return False
                self._timers.discard(command.timer)
            case _:
                pass
        return True

    def _keep_time(self) -> list[Command]:
        """The two timers that follow from whose turn it is: the bot's (filler) and the customer's (no-input)."""
        if self._ending or self.call.state is CallState.ENDED:
            return []
        turns, thinking = self.turns, self.conversation.pending is not None
        filler = turns.silent and thinking and self.call.channel.filler is not None
        input_ = turns.awaits_digits or (turns.silent and not thinking)
        wanted = {
            Timer.FILLER: (filler, self.call.channel.filler_after_ms),
            Timer.NO_INPUT: (input_ and turns.no_input_ms > 0 and not turns.held, turns.no_input_ms),
        }
        commands: list[Command] = []
        for timer, (run, after_ms) in wanted.items():
            if run != (timer in self._timers):
                commands.append(StartTimer(timer, after_ms) if run else StopTimer(timer))
        return commands

    def _carry_out(self, steps: list[Step]) -> list[Command]:
        commands: list[Command] = []
        for step in steps:
            match step:
                case Tell():
                    commands += self.conversation.tell(step)
                case (
                    Tag() | Handoff() | HangupReply() | AnswerReply() | RingingReply() | RejectReply() | RedirectReply()
                ):
                    commands += self._decide(step)
                case _:
                    commands.append(step)
        return commands

    def _go_on(self) -> list[Command]:
        """Carry out what can be carried out; then, if it is the customer's turn, what was typed ahead."""
        commands: list[Command] = []
        while self.turns.ready and not self._ending:
            commands += self._carry_out(self.turns.step())
        if self.turns.silent and self.conversation.pending is None and not self._ending:
            commands += self._carry_out(self.turns.untaken())
        return commands

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

    def _answered(self, now: float) -> list[Command]:
        leg = self.call.customer
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.ACK)
        self.call.state = advance(CALL_TRANSITIONS, self.call.state, CallTrigger.CONNECTED)
        self.call.answered_at = now
        self.turns.connected = True
        return self.conversation.tell(_start(self.call.direction.value, {})) + self._go_on()

    def _hold_changed(self, hold: PeerHold) -> list[Command]:
        """RFC 3264 §8.4: while the peer holds us its customer cannot answer, so nobody's time runs."""
        self.call.customer.peer_hold = hold
        return self._carry_out(self.turns.hold(hold is not PeerHold.NONE))

    def _hang_up(self, cause: Cause, by: EndedBy, headers: Mapping[str, str] | None = None) -> list[Command]:
        leg = self.call.customer
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.RELEASE)
        return [*self._closing(cause, by), Hangup(leg.id, cause, tuple((headers or {}).items()))]

    def _closing(self, cause: Cause, by: EndedBy) -> list[Command]:
        self._ending = (cause, by)
        return [*self._stop_all(), *self.conversation.give_up()]

    def _stop_all(self) -> list[Command]:
        return [*self._carry_out(self.turns.stop()), *(StopTimer(timer) for timer in sorted(self._timers))]

    def _ended(self, event: LegEnded, now: float) -> list[Command]:
        call = self.call
        cause, by = self._ending or (event.cause, EndedBy.CUSTOMER if event.by_peer else EndedBy.GATEWAY)
        call.customer.state = advance(LEG_TRANSITIONS, call.customer.state, LegTrigger.GONE)
        call.state = advance(CALL_TRANSITIONS, call.state, CallTrigger.LEFT)
        call.ended_at, call.cause, call.ended_by = now, cause, by
        duration_ms = round((now - call.answered_at) * 1000) if call.answered_at is not None else 0
        end = EndCall(call.id, cause, by, event.sip_status, event.q850, duration_ms)
        return [*self._stop_all(), *self.conversation.farewell(farewell(end)), end]

    # ── The bot ─────────────────────────────────────────────────────────────────────────────────────

    def _bot_replied(self, event: BotReplied) -> list[Command]:
        pending = self.conversation.pending
        if pending is None or pending.seq != event.seq:
            return []
        problem = misfit(event.response, self.call, self.channels)
        if problem:
            return self._bot_failed(event.seq, BotErrorKind.REFUSED, problem)
        self.conversation.replied(event.seq)
        return self._take(event.response) + self.conversation.proceed()

    def _take(self, response: BotResponse) -> list[Command]:
        if response.config:
            self.turns.configure(response.config)
        self.turns.take(response.replies)
        return self._go_on()

    def _pushed(self, response: BotResponse) -> list[Command]:
        problem = misfit(response, self.call, self.channels)
        if problem:  # the call has changed since they were looked at
            return [Note("replies.late", {"detail": problem})]
        return self._take(response)

    def _bot_failed(self, seq: int, kind: BotErrorKind, detail: str) -> list[Command]:
        asked = self.conversation.failed(seq)
        if asked is None:
            return []
        failed = Note("bot.failed", {"event": asked.event.value, "kind": kind.value, "detail": detail})
        commands: list[Command] = [failed]
        if self.conversation.failures < self.call.channel.fallback_after:
            if self.turns.connected and not self.turns.playing:
                commands.append(self.turns.say(Spoken(prompt="one-moment")))
            return commands + self.conversation.again(asked)
        if not self.turns.connected:
            # It cannot be asked whether to answer: answer, so that the caller hears the fallback and not ringing
            # without end. The failures count on: `start` failing once is then enough.
            return commands + self._answer()
        return commands + self._fall_back()

    def _fall_back(self) -> list[Command]:
        """Never dead air, never a silent drop: what plays is played out, then the apology, then a normal hangup."""
        self._parting = (BOT_FAILED, EndedBy.GATEWAY)
        commands = [*self._carry_out(self.turns.drop()), *self.conversation.give_up()]
        commands.append(Note("fallback.started", {"channel": self.call.channel.name}))
        commands.append(self.turns.say(self.call.channel.fallback))
        self.turns.take((HangupReply(type="hangup"),))
        return commands

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
                return self._hand_off(reply)
            case _:
                assert_never(reply)

    def _hand_off(self, reply: Handoff) -> list[Command]:
        before, self.call.channel = self.call.channel, self.channels[reply.channel]
        self.turns.reset(self.call.channel.voice)
        note = Note("call.handed_off", {"channel_before": before.name, "channel": reply.channel})
        commands = [note, *self.conversation.hand_over()]
        return commands + self.conversation.tell(_start("handoff", reply.parameters))

    # ── Time ────────────────────────────────────────────────────────────────────────────────────────

    def _digit(self, digit: str) -> list[Command]:
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
            case _:
                assert_never(timer)


def _start(reason: str, parameters: JsonObject) -> Tell:
    return Tell(BotEventName.START, {"reason": reason, "parameters": parameters})
