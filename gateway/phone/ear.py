"""What the terminal phone hears, on a time line without holes: for its recording and for `listen`; used by call.py."""

import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from gateway.audio.pcm import SAMPLE_BYTES

_SLACK: Final = 0.2
"""Seconds that audio may be late before it counts as not there: more than a busy machine, less than a word."""
_AUDIBLE: Final = 330
"""-40 dBFS: above the idle noise of G.711 (8) and of a comfort noise generator."""


@dataclass(slots=True)
class _Listener:
    wanted: int
    done: Callable[[bytes], None]
    pcm: bytearray = field(default_factory=bytearray)


class Ear:
    """Takes PCM as it comes; while none comes (hold, no media), time passes as silence. `now` is in seconds."""

    def __init__(self, rate: int, sink: Callable[[bytes], None], on_sound: Callable[[], None]) -> None:
        self._rate, self._sink, self._on_sound = rate, sink, on_sound
        self._begun: float | None = None
        self._position = 0
        self._index: int | None = None
        self._listeners: list[_Listener] = []
        self._heard_sound = False

    def begin(self, now: float) -> None:
        """From here on time counts, if it does not yet."""
        if self._begun is None:
            self._begun = now

    def heard(self, pcm: bytes, index: int, now: float) -> None:
        """Audio whose first sample is number `index` of all that were sent; a jump is audio that was lost."""
        samples = len(pcm) // SAMPLE_BYTES
        self.begin(now - samples / self._rate)
        lost = index - self._index if self._index is not None else 0
        self._index = index + samples
        if lost > 0:
            self._take(bytes(lost * SAMPLE_BYTES))
        else:
            self._fill(now - samples / self._rate)
        if not self._heard_sound and int(np.abs(np.frombuffer(pcm, dtype="<i2").astype(np.int32)).max()) > _AUDIBLE:
            self._heard_sound = True
            self._on_sound()
        self._take(pcm)

    def catch_up(self, now: float) -> None:
        """Call it now and then: it lets silence pass while nothing comes."""
        self._fill(now - _SLACK)

    def listen(self, ms: int, done: Callable[[bytes], None]) -> None:
        """Give the next `ms` to `done`."""
        self._listeners.append(_Listener(ms * self._rate // 1000 * SAMPLE_BYTES, done))

    def end(self) -> None:
        """Nothing will come any more: listeners get what they have."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.done(bytes(listener.pcm))

    def _fill(self, until: float) -> None:
        """Silence up to that time, if we are behind by more than is explained by a late frame."""
        if self._begun is not None:
            behind = int((until - self._begun) * self._rate) - self._position
            if behind > _SLACK * self._rate:
                self._take(bytes(behind * SAMPLE_BYTES))

    def _take(self, pcm: bytes) -> None:
        self._position += len(pcm) // SAMPLE_BYTES
        self._sink(pcm)
        for listener in self._listeners[:]:
            listener.pcm += pcm[: listener.wanted - len(listener.pcm)]
            if len(listener.pcm) >= listener.wanted:
                self._listeners.remove(listener)
                listener.done(bytes(listener.pcm))


class Recording:
    """A WAV file that grows while the call lasts; 16-bit mono."""

    def __init__(self, path: Path, rate: int) -> None:
        """Raises OSError when the file cannot be written."""
        self.path, self._rate, self._samples = path, rate, 0
        self._file = wave.open(str(path), "wb")  # noqa: SIM115 - open for as long as the call
        self._file.setnchannels(1)
        self._file.setsampwidth(SAMPLE_BYTES)
        self._file.setframerate(rate)

    def write(self, pcm: bytes) -> None:
        """Add to its end."""
        self._file.writeframesraw(pcm)
        self._samples += len(pcm) // SAMPLE_BYTES

    def close(self) -> float:
        """Finish the file; its length in seconds."""
        self._file.close()
        return self._samples / self._rate
