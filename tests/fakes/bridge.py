"""A Bridge whose clock the test turns: plays what is written, in 20 ms ticks, and gives the marks back."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.calls.model import CallId, Edge

TICK_MS = 20


@dataclass(slots=True)
class _Buffer:
    pcm: bytes
    mark: int
    more: bool
    flushed: bool = False


@dataclass(slots=True)
class FakeVoice:
    """One call's port: what waits in it, and what came out of it."""

    queue: deque[_Buffer] = field(default_factory=deque)
    position: int = 0
    heard: bytearray = field(default_factory=bytearray)
    underruns: int = 0
    expecting: bool = False
    edges: frozenset[Edge] = frozenset()


class FakeBridge:
    """Implements gateway.engine.ports.Bridge. `sink` takes (call, mark, samples, flushed), as Legs' does."""

    def __init__(self, sink: Callable[[CallId, int, int, bool], None] | None = None, clock_rate: int = 8000) -> None:
        self.sink = sink or (lambda *_: None)
        self._rate = clock_rate
        self.voices: dict[CallId, FakeVoice] = {}
        self.written: list[tuple[CallId, bytes, int, bool]] = []
        self.flushes: list[CallId] = []

    @property
    def clock_rate(self) -> int:
        return self._rate

    def open_voice(self, call_id: CallId) -> None:
        self.voices.setdefault(call_id, FakeVoice())

    def write(self, call_id: CallId, pcm: bytes, mark: int, more: bool) -> None:
        voice = self.voices.get(call_id)
        if voice is not None:
            assert pcm and len(pcm) % 2 == 0, "whole samples, and at least one"
            self.written.append((call_id, pcm, mark, more))
            voice.queue.append(_Buffer(pcm, mark, more))

    def flush(self, call_id: CallId) -> None:
        """What is queued now is dropped at the next tick; what is written afterwards is not."""
        self.flushes.append(call_id)
        if call_id in self.voices:
            for buffer in self.voices[call_id].queue:
                buffer.flushed = True

    def set_hearing(self, call_id: CallId, edges: frozenset[Edge]) -> None:
        if call_id in self.voices:
            self.voices[call_id].edges = edges

    def close_voice(self, call_id: CallId) -> None:
        self.voices.pop(call_id, None)

    # ── For the test ────────────────────────────────────────────────────────────────────────────────

    def advance(self, ms: int) -> None:
        """Let so much time pass; marks come back at the end of the tick in which their last sample was played."""
        for _ in range(0, ms, TICK_MS):
            for call_id, voice in list(self.voices.items()):
                for mark, samples, flushed in self._tick(voice):
                    if mark:
                        self.sink(call_id, mark, samples, flushed)

    def _tick(self, voice: FakeVoice) -> list[tuple[int, int, bool]]:
        marks: list[tuple[int, int, bool]] = []
        need = self._rate * TICK_MS // 1000 * 2
        while voice.queue and (voice.queue[0].flushed or need):
            buffer = voice.queue[0]
            if buffer.flushed:
                marks.append((buffer.mark, voice.position // 2, True))
                voice.expecting = False
            else:
                piece = buffer.pcm[voice.position : voice.position + need]
                voice.heard += piece
                voice.position += len(piece)
                need -= len(piece)
                if voice.position < len(buffer.pcm):
                    break
                marks.append((buffer.mark, len(buffer.pcm) // 2, False))
                voice.expecting = buffer.more
            voice.queue.popleft()
            voice.position = 0
        voice.underruns += bool(need and voice.expecting)
        voice.heard += bytes(need)
        return marks
