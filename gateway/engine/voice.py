"""Voice: plays one call's sounds on the bridge, one Play after another; made per call and driven by engine/engine.py.

A Play is cut into parts (sentences, prompts, files, silence). At most one task per voice makes parts ahead of what is
heard; each is written to the bridge as a whole buffer with a mark, and the marks that come back tell what was heard.
Only the Play that is heard has buffers in the bridge, as a flush drops everything there; the next one waits here, made.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import chain

import structlog

from gateway.audio.pcm import SAMPLE_BYTES, ms_of, silence
from gateway.audio.sentences import sentences
from gateway.calls.commands import Play, Playable, PlayPrompt, PlayUrl, SayText, Silence, StopPlayback
from gateway.calls.errors import SoundError
from gateway.calls.events import PlaybackEnded, PlaybackStarted, SoundFailed, VoiceEvent
from gateway.calls.model import CallId
from gateway.engine.ports import Bridge, Sounds

log = structlog.get_logger(__name__)

_AHEAD = 2
"""Parts that are made, or handed over, beyond the one that is heard."""
_BREATH_MS = 200
"""Before every sentence but the first. It leads the sentence, so that a stop after the former one is clean."""
_CLOSING_MS = 20
"""Tells the bridge that no more comes, when the part that should have come could not be made."""


@dataclass(slots=True)
class _Part:
    """What is made and written in one piece; `breath_ms` of silence come first."""

    item: int
    sound: Playable
    breath_ms: int = 0
    pcm: bytes | None = None
    mark: int = 0
    heard: bool = False
    """Nothing of it is left to hear: played to its end, or there was nothing to play."""


@dataclass(slots=True)
class _Playback:
    id: int
    items: int
    parts: list[_Part]
    made: int = 0
    """Parts before this one need no making any more."""
    written: int = 0
    """Parts before this one were handed over (or had nothing to hand over)."""
    waiting: dict[int, _Part] = field(default_factory=dict)
    """Parts in the bridge, by mark."""
    samples: int = 0
    started: bool = False
    open: bool = False
    """The bridge was told that more comes."""
    stopped_at: int | None = None
    """The item that was heard when it was told to stop."""
    flushed: bool = False
    """The bridge was told to drop it: once is enough, and a second time might hit the next Play."""

    @property
    def over(self) -> bool:
        """Nothing more will be heard."""
        done = self.stopped_at is not None or self.written == len(self.parts)
        return done and not self.waiting


class Voice:
    """Everything that one call's BotParty says. Its port on the bridge is opened and closed by the engine."""

    def __init__(self, call_id: CallId, bridge: Bridge, sounds: Sounds, emit: Callable[[VoiceEvent], None]) -> None:
        self._call_id, self._bridge, self._sounds, self._emit = call_id, bridge, sounds, emit
        self._queue: deque[_Playback] = deque()
        self._making: asyncio.Task[None] | None = None
        self._making_for: _Playback | None = None
        self._last_mark = 0
        self._closed = False

    def play(self, play: Play) -> None:
        """Play it after whatever plays now."""
        if self._closed:
            return
        self._queue.append(_Playback(play.playback_id, len(play.items), _parts(play.items)))
        self._go_on()

    def stop(self, stop: StopPlayback) -> None:
        """End a Play: at once, or after what is heard of it now (a sentence counts); nothing if it ended already."""
        playback = next((p for p in self._queue if p.id == stop.playback_id), None)
        if playback is None or self._closed:
            return
        if playback.stopped_at is None:
            unheard = next((part.item for part in playback.parts if not part.heard), playback.items - 1)
            playback.stopped_at = max(0, unheard)
            if self._making_for is playback:
                self._stop_making()
        if not stop.after_item:
            self._flush(playback)
        self._go_on()

    def on_mark(self, mark: int, samples: int, flushed: bool) -> None:
        """A buffer was heard to its end, or dropped after so many samples of it."""
        playback = self._queue[0] if self._queue else None
        part = playback.waiting.pop(mark, None) if playback is not None else None
        if playback is None or part is None or self._closed:
            return
        part.heard = not flushed
        playback.samples += samples
        if playback.stopped_at is not None:
            self._flush(playback)  # it was told to stop after this part
        self._go_on()

    def close(self) -> None:
        """The call is over: make no more sounds, tell nobody anything."""
        self._closed = True
        self._queue.clear()
        self._stop_making()

    # ── What to do next, decided again after everything that happens ────────────────────────────────

    def _go_on(self) -> None:
        """Hand over what is ready, tell what is over, make what will be needed."""
        events: list[VoiceEvent] = []
        for playback in [p for p in self._queue if p.stopped_at is not None and not p.waiting]:
            self._queue.remove(playback)
            events.append(self._ended(playback))
        while self._queue:
            playback = self._queue[0]
            self._hand_over(playback, events)
            if not playback.over:
                break
            self._queue.popleft()
            events.append(self._ended(playback))
        if self._making is None and self._next_to_make() is not None:
            self._making = asyncio.create_task(self._make_ahead(), name=f"voice {self._call_id}")
        for event in events:
            self._emit(event)

    def _hand_over(self, playback: _Playback, events: list[VoiceEvent]) -> None:
        """Write every part that is made, in order."""
        while playback.stopped_at is None and playback.written < playback.made:
            part = playback.parts[playback.written]
            playback.written += 1
            more = any(not later.heard for later in playback.parts[playback.written :])
            if part.pcm:
                self._write(playback, part, part.pcm, more)
            elif not more and playback.open:
                self._write(playback, part, silence(_CLOSING_MS, self._bridge.clock_rate), more)
            else:
                continue
            if not playback.started:
                playback.started = True
                events.append(PlaybackStarted(playback.id))

    def _write(self, playback: _Playback, part: _Part, pcm: bytes, more: bool) -> None:
        self._last_mark += 1
        part.mark, part.pcm, part.heard = self._last_mark, None, False
        playback.waiting[part.mark] = part
        playback.open = more
        self._bridge.write(self._call_id, pcm, part.mark, more)

    def _flush(self, playback: _Playback) -> None:
        if playback.waiting and not playback.flushed:
            playback.flushed = True
            self._bridge.flush(self._call_id)

    def _ended(self, playback: _Playback) -> PlaybackEnded:
        stopped = playback.stopped_at is not None and not all(part.heard for part in playback.parts)
        last = max(0, playback.items - 1)
        item = playback.stopped_at if stopped and playback.stopped_at is not None else last
        return PlaybackEnded(playback.id, stopped, item, ms_of(playback.samples, self._bridge.clock_rate))

    # ── Making ──────────────────────────────────────────────────────────────────────────────────────

    def _next_to_make(self) -> tuple[_Playback, _Part] | None:
        """The next part without sound, unless enough are ready already."""
        unheard = 0
        for playback in self._queue:
            if playback.stopped_at is not None:
                continue
            unheard += len(playback.waiting) + playback.made - playback.written
            if unheard > _AHEAD:
                return None
            if playback.made < len(playback.parts):
                return playback, playback.parts[playback.made]
        return None

    async def _make_ahead(self) -> None:
        """Make parts one after the other until enough are ready. Ends rather than waits."""
        while (due := self._next_to_make()) is not None:
            self._making_for, part = due
            failure = None
            try:
                part.pcm = await self._sound(part)
            except SoundError as error:
                failure = SoundFailed(self._making_for.id, part.item, str(error), error.by_bot)
            except Exception as error:
                log.exception("voice.defect", call=self._call_id)
                failure = SoundFailed(self._making_for.id, part.item, type(error).__name__, by_bot=False)
            self._made(self._making_for, part, failure)
        self._making = self._making_for = None

    def _made(self, playback: _Playback, part: _Part, failure: SoundFailed | None) -> None:
        """A part is ready, or its item is given up: then all that is left of the item is left out."""
        part.heard = not part.pcm
        playback.made += 1
        while failure and playback.made < len(playback.parts) and playback.parts[playback.made].item == part.item:
            playback.parts[playback.made].heard = True
            playback.made += 1
        if failure is not None:
            self._emit(failure)
        self._go_on()

    async def _sound(self, part: _Part) -> bytes:
        match part.sound:
            case SayText():
                pcm = await self._sounds.speak(part.sound)
            case PlayPrompt(name):
                pcm = await self._sounds.prompt(name)
            case PlayUrl(url):
                pcm = await self._sounds.fetch(url)
            case Silence(ms):
                pcm = silence(ms, self._bridge.clock_rate)
        breath = silence(part.breath_ms, self._bridge.clock_rate)
        return breath + pcm[: len(pcm) - len(pcm) % SAMPLE_BYTES] if pcm else b""

    def _stop_making(self) -> None:
        if self._making is not None:
            self._making.cancel()
        self._making = self._making_for = None


def _parts(items: tuple[Playable, ...]) -> list[_Part]:
    return list(chain.from_iterable(_cut(index, item) for index, item in enumerate(items)))


def _cut(index: int, item: Playable) -> list[_Part]:
    """An item's parts: text by sentence, all else whole."""
    if not isinstance(item, SayText) or item.ssml:
        return [_Part(index, item)]
    texts = sentences(item.text) or [item.text]
    return [_Part(index, replace(item, text=text), _BREATH_MS if i else 0) for i, text in enumerate(texts)]
