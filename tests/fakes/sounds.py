"""Sounds without an engine: a tone per text or prompt, at once or when the test says so; passes tests/contract too."""

import asyncio
from collections.abc import Mapping

import numpy as np

from gateway.audio.pcm import pcm_of
from gateway.calls.commands import SayText
from gateway.calls.errors import SoundError


def tone(hertz: float, ms: int, rate: int = 8000, level: float = 0.3) -> bytes:
    """A sine as PCM."""
    t = np.arange(rate * ms // 1000) / rate
    return pcm_of((level * np.sin(2 * np.pi * hertz * t)).astype(np.float32))


class FakeSounds:
    """Implements gateway.engine.ports.Sounds. Text lasts 60 ms per character, prompts and URLs what `files` says.

    `hold()` makes every request wait until `release()`; `failing` names what raises SoundError.
    """

    def __init__(self, files: Mapping[str, bytes] | None = None, clock_rate: int = 8000) -> None:
        self._rate = clock_rate
        self.files = dict(files or {})
        self.failing: dict[str, SoundError] = {}
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self._gate = asyncio.Event()
        self._gate.set()

    def hold(self) -> None:
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    async def speak(self, say: SayText) -> bytes:
        if say.voice.voice == "xx-nowhere":
            raise SoundError("voice 'xx-nowhere'", "no such voice", by_bot=True)
        return await self._give(say.text, tone(300 + 10 * len(say.text), 60 * len(say.text), self._rate))

    async def prompt(self, name: str) -> bytes:
        return await self._give(name, self.files.get(name))

    async def fetch(self, url: str) -> bytes:
        return await self._give(url, self.files.get(url))

    async def close(self) -> None:
        self._gate.set()

    async def _give(self, name: str, pcm: bytes | None) -> bytes:
        self.asked.append(name)
        try:
            await self._gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        if name in self.failing:
            raise self.failing[name]
        if pcm is None:
            raise SoundError(name, "there is none", by_bot=True)
        return pcm
