"""What a call's control works with: the bot's side of it, the turns, the timers that run; the base of control.py."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.calls.causes import BOT_FAILED, NORMAL, Cause, EndedBy
from gateway.calls.commands import BotEventName, Command, Note, StartTimer, StopTimer, Timer
from gateway.calls.conversation import Conversation, Tell
from gateway.calls.errors import BotErrorKind
from gateway.calls.events import BotReplied, LegEnded
from gateway.calls.fitting import WHILE_PARKED, misfit, unreached
from gateway.calls.handing import Handing
from gateway.calls.model import Call, ChannelPolicy, Edge, JsonObject, Spoken
from gateway.calls.outbound import Outbound
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
from gateway.calls.states import CallState
from gateway.calls.switch import Switch
from gateway.calls.turns import Decisive, Step, Turns


@dataclass(slots=True)
class Desk:
    """Its methods give commands and do nothing else; `_decide` and `_answer` are control's."""

    call: Call
    channels: Mapping[str, ChannelPolicy]
    outbound: Outbound
    new_id: Callable[[str], str]
    """Gives a fresh id with this prefix, such as `leg`."""
    conversation: Conversation = field(init=False)
    turns: Turns = field(init=False)
    transfer: Handing | None = None
    """The one that is under way."""
    _timers: set[Timer] = field(default_factory=set)
    _edges: frozenset[Edge] = frozenset()
    _ending: tuple[Cause, EndedBy] | None = None
    _parting: tuple[Cause, EndedBy] = (NORMAL, EndedBy.BOT)
    _now: float = 0.0
    """When what is being handled happened."""
    _gone: tuple[LegEnded, float] | None = None
    """How and when the customer's leg ended, while others are still being released."""

    def __post_init__(self) -> None:
        self.conversation = Conversation(self.call)
        self.turns = Turns(self.call.customer.id, self.call.channel.voice)

    # ── What control adds ───────────────────────────────────────────────────────────────────────────

    def _decide(self, reply: Decisive) -> list[Command]:
        """Carry out a reply that changes the call itself."""
        raise NotImplementedError

    def _answer(self) -> list[Command]:
        """Send 200, if that was not done."""
        raise NotImplementedError

    # ── Time ────────────────────────────────────────────────────────────────────────────────────────

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
        if self._ending or self._gone is not None or self.call.state is CallState.ENDED:
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

    def _stop_all(self, *but: Timer) -> list[Command]:
        stopped = (StopTimer(timer) for timer in sorted(self._timers) if timer not in but)
        return [*self._carry_out(self.turns.stop()), *stopped]

    # ── Replies ─────────────────────────────────────────────────────────────────────────────────────

    def _carry_out(self, steps: list[Step]) -> list[Command]:
        commands: list[Command] = []
        for step in steps:
            match step:
                case Tell():
                    commands += self.conversation.tell(step)
                case (
                    Tag() | Handoff() | HangupReply() | AnswerReply() | RingingReply() | RejectReply() | RedirectReply()
                    | Switch()
                ):  # fmt: skip
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

    # ── The bot ─────────────────────────────────────────────────────────────────────────────────────

    def _bot_replied(self, event: BotReplied) -> list[Command]:
        pending = self.conversation.pending
        if pending is None or pending.seq != event.seq:
            return []
        if self.turns.parked or self.conversation.is_overtaken(event.seq):
            return self._too_late(event.seq)
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
        if self.call.state is CallState.AGENTS_ONLY:  # its bot has had its last word
            return [Note("replies.late", {"detail": "the customer has left"})]
        if unreached(self.call):
            return [Note("replies.late", {"detail": "the customer has not answered"})]
        if self.turns.parked:  # what a parked bot may say does not wait for its turn (transfer.md)
            return [c for reply in response.replies if isinstance(reply, WHILE_PARKED) for c in self._decide(reply)]
        return self._take(response)

    def _too_late(self, seq: int) -> list[Command]:
        """The answer, or none, to what was asked before the customer went to people: it changes nothing any more."""
        return self.conversation.proceed() if self.conversation.settled(seq) else []

    def _bot_failed(self, seq: int, kind: BotErrorKind, detail: str) -> list[Command]:
        if self.turns.parked or self.conversation.is_overtaken(seq):
            return [Note("bot.failed", {"kind": kind.value, "detail": detail}), *self._too_late(seq)]
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
        """Never dead air, never a silent drop: what plays is played out, then the apology, then people or a normal
        hangup."""
        self._parting = (BOT_FAILED, EndedBy.GATEWAY)
        commands = [*self._carry_out(self.turns.drop()), *self.conversation.give_up()]
        commands.append(Note("fallback.started", {"channel": self.call.channel.name}))
        commands.append(self.turns.say(self.call.channel.fallback))
        self.turns.take((self.call.channel.fallback_switch or HangupReply(type="hangup"),))
        return commands

    def _hand_off(self, channel: str, reason: str, parameters: JsonObject) -> list[Command]:
        given_up = self.conversation.hand_over()
        before, self.call.channel = self.call.channel, self.channels[channel]
        self.turns.reset(self.call.channel.voice)
        note = Note("call.handed_off", {"channel_before": before.name, "channel": channel})
        return [note, *given_up, *self.conversation.tell(start(reason, parameters))]


def start(reason: str, parameters: JsonObject) -> Tell:
    return Tell(BotEventName.START, {"reason": reason, "parameters": parameters})
