"""Whose turn it is: carries out a bot's reply list, with barge-in, digit collection and no-input; driven by control.

One list at a time is being carried out, in order; a list that comes while another is under way is put behind it. Three
things can keep it waiting: playback, an open digit collection, digits on their way out. When nothing is left and the
bot is not thinking either, it is the customer's turn, and control lets the no-input timer run.
"""

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TypeAlias, assert_never

from gateway.calls.commands import (
    BotEventName,
    Command,
    Play,
    Playable,
    PlayPrompt,
    PlayUrl,
    SayText,
    SendDigits,
    Silence,
    StartTimer,
    StopPlayback,
    StopTimer,
    Timer,
)
from gateway.calls.conversation import Tell
from gateway.calls.events import PlaybackEnded
from gateway.calls.model import LegId, Spoken, VoiceSettings
from gateway.calls.replies import (
    AnswerReply,
    Audio,
    BargeIn,
    BargeInChoice,
    Config,
    Dtmf,
    Handoff,
    HangupReply,
    Pause,
    RedirectReply,
    RejectReply,
    Reply,
    RingingReply,
    SendDtmf,
    Tag,
    Text,
)
from gateway.calls.switch import Switch

Decisive: TypeAlias = Tag | Handoff | HangupReply | AnswerReply | RingingReply | RejectReply | RedirectReply | Switch
"""Replies that change the call itself: turns hands them to control when their turn has come."""
Step: TypeAlias = Command | Tell | Decisive

DEFAULT_NO_INPUT_MS = 5000
_OFF = BargeIn(mode="off")


@dataclass(frozen=True, slots=True)
class _Playback:
    id: int
    replies: tuple[int, ...]
    """For each item of the Play: its index in the bot's list; empty for what the gateway says of its own accord."""
    barge_in: BargeIn


@dataclass(slots=True)
class _Collection:
    want: Dtmf
    digits: str = ""


@dataclass(slots=True)
class Turns:
    """The customer's and the bot's turns in one call. `leg_id` is the customer's leg."""

    leg_id: LegId
    voice: VoiceSettings
    barge_in: BargeIn = field(default_factory=BargeIn)
    no_input_ms: int = DEFAULT_NO_INPUT_MS
    connected: bool = False
    held: bool = False
    parked: bool = False
    """The customer is with people: the bot's turn does not come."""
    _plan: deque[tuple[int, Reply]] = field(default_factory=deque)
    _playing: deque[_Playback] = field(default_factory=deque)
    _stopping: int | None = None
    _collection: _Collection | None = None
    _sending: bool = False
    _typed: str = ""
    _silences: int = 0
    _last_secure: bool = False
    _last_playback: int = 0

    # ── What the bot wants ──────────────────────────────────────────────────────────────────────────

    def configure(self, config: Config) -> None:
        """Settings for the rest of the call; what is left out stays."""
        if config.barge_in is not None:
            self.barge_in = _barge_in(config.barge_in, self.barge_in)
        if config.no_input_timeout_ms is not None:
            self.no_input_ms = config.no_input_timeout_ms
        if config.language is not None:
            self.voice = replace(self.voice, language=config.language, voice="")
        if config.tts is not None:
            self.voice = replace(
                self.voice, voice=config.tts.voice or self.voice.voice, rate=config.tts.rate or self.voice.rate
            )

    def take(self, replies: tuple[Reply, ...]) -> None:
        """Put a bot's list behind what is under way."""
        self._plan.extend(enumerate(replies))

    def reset(self, voice: VoiceSettings) -> None:
        """Another channel takes the customer: nothing of the first one's settings stays."""
        self.voice, self.barge_in, self.no_input_ms = voice, BargeIn(), DEFAULT_NO_INPUT_MS
        self._silences, self._last_secure = 0, False

    @property
    def secret(self) -> bool:
        """A key that is pressed now may belong to a `secure` collection, open, planned, or one after the last one
        (a code typed ahead while the bot thinks)."""
        if self._collection is not None:
            return self._collection.want.secure
        return self._last_secure or any(isinstance(reply, Dtmf) and reply.secure for _, reply in self._plan)

    @property
    def playing(self) -> bool:
        """Something is being played, or about to be."""
        return bool(self._playing)

    def say(self, spoken: Spoken) -> Play:
        """Something the gateway says of its own accord, behind whatever plays now; no digit interrupts it."""
        return self._say(spoken)

    def aside(self, what: Spoken | PlayUrl) -> Play:
        """Something for people: nobody's turn waits for it."""
        play = self._say(what)
        self._playing.pop()
        return play

    def _say(self, what: Spoken | PlayUrl) -> Play:
        item: Playable
        match what:
            case PlayUrl():
                item = what
            case Spoken(prompt=str(name)):
                item = PlayPrompt(name)
            case _:
                item = SayText(what.text or "", False, self.voice)
        return self._play((item,), (), _OFF)

    def park(self) -> list[Step]:
        """The customer goes to people: what the bot had in mind is dropped."""
        self.parked = True
        return self.stop()

    def drop(self) -> list[Step]:
        """Forget the plan and the digits; what plays is played out."""
        self._plan.clear()
        self._collection, self._typed = None, ""
        return [StopTimer(Timer.INTER_DIGIT)]

    def stop(self) -> list[Step]:
        """The bot's turn is over for good: drop everything and stop what plays."""
        playing, self._playing, self._stopping = self._playing, deque(), None
        return [*self.drop(), *(StopPlayback(p.id) for p in playing)]

    # ── What happened ───────────────────────────────────────────────────────────────────────────────

    def digit(self, digit: str, bot_is_thinking: bool) -> list[Step]:
        """A key was pressed: it interrupts, it is collected, it is kept for the collection to come, or it is told."""
        self._silences = 0
        if self._collection is not None:
            return self._collect(digit)
        steps: list[Step] = []
        if self._playing and self._stopping is None and self._playing[0].barge_in.mode != "off":
            steps += self._interrupt()
        if self._stopping is not None or bot_is_thinking or any(isinstance(r, Dtmf) for _, r in self._plan):
            self._typed += digit
            return steps
        return [*steps, _single(digit)]

    def playback_ended(self, event: PlaybackEnded) -> list[Step]:
        """A Play is over."""
        playback = next((p for p in self._playing if p.id == event.playback_id), None)
        if playback is None:
            return []
        self._playing.remove(playback)
        if self._stopping != playback.id:
            return []
        self._stopping = None
        if not event.stopped:  # the interruption came as it ended by itself
            return []
        return [Tell(BotEventName.BARGE_IN, {"playedMs": event.played_ms, "reply": playback.replies[event.item]})]

    def digits_sent(self) -> None:
        """A SendDigits is out."""
        self._sending = False

    def move(self, leg_id: LegId, *, held: bool) -> list[Step]:
        """The customer speaks through this leg from now on: what was on its way to the other one, and who had put us on
        hold there, is not waited for."""
        self.leg_id, self._sending = leg_id, False
        return self.hold(held)

    def no_input(self) -> list[Step]:
        """The customer did nothing for too long."""
        self._silences += 1
        self._collection = None
        return [Tell(BotEventName.NO_INPUT, {"count": self._silences})]

    def digits_timeout(self) -> list[Step]:
        """No further digit came in time."""
        return self._collected("timeout") if self._collection and self._collection.digits else []

    # ── Going on ────────────────────────────────────────────────────────────────────────────────────

    @property
    def ready(self) -> bool:
        """The next reply can be carried out now."""
        if not self._plan or self._busy or self.parked:
            return False
        # A list such as [answer, text]: the text waits for the ACK.
        return self.connected or not isinstance(self._plan[0][1], Text | Audio | Pause | Dtmf | SendDtmf | Switch)

    @property
    def silent(self) -> bool:
        """Connected, and nothing is under way: whoever is silent now is the bot or the customer."""
        return self.connected and not (self._plan or self._busy or self.parked)

    @property
    def awaits_digits(self) -> bool:
        """A collection is open and still empty."""
        return self._collection is not None and not self._collection.digits

    @property
    def _busy(self) -> bool:
        return bool(self._playing or self._collection or self._sending)

    def step(self) -> list[Step]:
        """Carry out the next reply; only when `ready`."""
        _, reply = self._plan[0]
        if isinstance(reply, Text | Audio | Pause):
            return [*self._play_run()]
        self._plan.popleft()
        match reply:
            case Dtmf():
                return self._open(reply)
            case SendDtmf():
                self._sending = True
                return [SendDigits(self.leg_id, reply.digits, reply.duration_ms)]
            case (
                Tag() | Handoff() | HangupReply() | AnswerReply() | RingingReply() | RejectReply() | RedirectReply()
                | Switch()
            ):  # fmt: skip
                return [reply]
            case _:
                assert_never(reply)

    def untaken(self) -> list[Step]:
        """Digits typed ahead that no collection took, now that it is the customer's turn."""
        typed, self._typed = self._typed, ""
        return [_single(d) for d in typed]

    def hold(self, held: bool) -> list[Step]:
        """The peer held the call, or took it back: the time between digits stands still meanwhile."""
        self.held = held
        if self._collection is None or not self._collection.digits:
            return []
        return [StopTimer(Timer.INTER_DIGIT) if held else StartTimer(Timer.INTER_DIGIT, self._collection.want.timeout)]

    # ── Playback ────────────────────────────────────────────────────────────────────────────────────

    def _play_run(self) -> list[Play]:
        """Everything that can be played now, as one Play for each barge-in setting, so that the voice renders ahead."""
        plays: list[Play] = []
        items: list[tuple[int, Playable]] = []
        setting: BargeIn | None = None
        while self._plan and isinstance(self._plan[0][1], Text | Audio | Pause):
            index, reply = self._plan.popleft()
            assert isinstance(reply, Text | Audio | Pause)
            mine = setting if isinstance(reply, Pause) else _barge_in(reply.barge_in, self.barge_in)
            if items and mine != setting and setting is not None:
                plays.append(self._play_items(items, setting))
                items = []
            setting = mine
            items.append((index, self._playable(reply)))
        plays.append(self._play_items(items, setting or self.barge_in))
        return plays

    def _play_items(self, items: list[tuple[int, Playable]], barge_in: BargeIn) -> Play:
        return self._play(tuple(item for _, item in items), tuple(index for index, _ in items), barge_in)

    def _play(self, items: tuple[Playable, ...], replies: tuple[int, ...], barge_in: BargeIn) -> Play:
        self._last_playback += 1
        self._playing.append(_Playback(self._last_playback, replies, barge_in))
        return Play(self._last_playback, items)

    def _playable(self, reply: Text | Audio | Pause) -> Playable:
        match reply:
            case Text():
                voice = self.voice
                if reply.language is not None:
                    voice = replace(voice, language=reply.language, voice="")
                if reply.voice is not None:
                    voice = replace(voice, voice=reply.voice)
                return SayText(reply.ssml or reply.text or "", reply.ssml is not None, voice)
            case Audio():
                return PlayUrl(reply.url) if reply.url is not None else PlayPrompt(reply.prompt or "")
            case Pause():
                return Silence(reply.ms)

    def _interrupt(self) -> list[Step]:
        """Stop what plays and all that would follow it, up to the first thing that may not be interrupted."""
        steps: list[Step] = []
        self._stopping = self._playing[0].id
        for playback in self._playing:
            if playback.barge_in.mode == "off":
                break
            after_item = playback.barge_in.mode == "sentence" and playback is self._playing[0]
            steps.append(StopPlayback(playback.id, after_item))
        return steps

    # ── Collecting digits ───────────────────────────────────────────────────────────────────────────

    def _open(self, want: Dtmf) -> list[Step]:
        self._collection = _Collection(want)
        self._last_secure = want.secure
        typed, self._typed = self._typed, ""
        steps: list[Step] = []
        for i, digit in enumerate(typed):
            steps += self._collect(digit)
            if self._collection is None:
                self._typed = typed[i + 1 :]
                break
        return steps

    def _collect(self, digit: str) -> list[Step]:
        assert self._collection is not None
        want = self._collection.want
        if digit == want.finish_on:
            return self._collected("finish")
        self._collection.digits += digit
        if len(self._collection.digits) == want.max:
            return self._collected("max")
        return [] if self.held else [StartTimer(Timer.INTER_DIGIT, want.timeout)]

    def _collected(self, complete: str) -> list[Step]:
        assert self._collection is not None
        digits, self._collection = self._collection.digits, None
        return [StopTimer(Timer.INTER_DIGIT), Tell(BotEventName.DTMF, {"digits": digits, "complete": complete})]


def _single(digit: str) -> Tell:
    return Tell(BotEventName.DTMF, {"digits": digit, "complete": "single"})


def _barge_in(choice: BargeInChoice | None, default: BargeIn) -> BargeIn:
    match choice:
        case None:
            return default
        case True:
            return BargeIn()
        case False:
            return _OFF
        case BargeIn():
            return choice
