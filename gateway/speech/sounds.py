"""SoundLibrary: the engine's port `Sounds` on text to speech, prompts and URLs; made by app.py for the engine."""

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.calls.commands import SayText
from gateway.calls.errors import SoundError
from gateway.speech.addresses import Network, Resolve, resolve_by_system
from gateway.speech.cache import DiskCache, MemoryCache
from gateway.speech.fetch import Fetcher
from gateway.speech.flight import Closed, SingleFlight
from gateway.speech.prompts import Prompts
from gateway.speech.tts import Espeak, TtsEngine
from gateway.telemetry.observer import NOBODY, SoundObserver, SpeechSource

_FORMAT = 1
"""Part of every key on disk: raise it when the same words come out of our processing otherwise than before."""
_MAX_STORING = 64


class SoundLibrary:
    """Everything that becomes PCM at the bridge's rate. What is hot is a look-up and never leaves the event loop."""

    def __init__(
        self,
        *,
        media: Path,
        clock_rate: int,
        cache: Path | None = None,
        cache_limit: int = 256 << 20,
        memory_limit: int = 64 << 20,
        fetch_allow: Sequence[Network | str] = (),
        resolve: Resolve = resolve_by_system,
        engines: Mapping[str, TtsEngine] | None = None,
        observer: SoundObserver = NOBODY,
    ) -> None:
        self._rate, self._observer = clock_rate, observer
        self._engines = dict(engines) if engines is not None else {"espeak": Espeak()}
        self._prompts = Prompts(media, clock_rate)
        self._fetcher = Fetcher(clock_rate, allow=fetch_allow, resolve=resolve)
        self._hot: MemoryCache[SayText] = MemoryCache(memory_limit)
        self._disk = DiskCache(cache, cache_limit) if cache is not None else None
        self._flights: SingleFlight[SayText, bytes] = SingleFlight()
        self._storing: set[asyncio.Task[None]] = set()

    async def preload(self, music: Sequence[str] = ()) -> None:
        """Read all prompts, and this hold music, before the first call needs them. Raises SoundError."""
        for name in sorted(self._prompts.names()):
            await self._prompts.prompt(name)
        for name in music:
            await asyncio.to_thread(self._prompts.music, name)

    async def speak(self, say: SayText) -> bytes:
        """Text to speech: from memory, from disk, or rendered, once for all who want it now."""
        hot = self._hot.get(say)
        if hot is not None:
            self._observer.spoken(say.voice.engine, SpeechSource.MEMORY)
            return hot
        try:
            return await self._flights.run(say, lambda: self._make(say))
        except Closed:
            raise SoundError("text", "the gateway is stopping", by_bot=False) from None

    async def prompt(self, name: str) -> bytes:
        """A file of media/prompts."""
        return await self._prompts.prompt(name)

    async def fetch(self, url: str) -> bytes:
        """Audio from a URL that a bot gave."""
        try:
            return await self._fetcher.fetch(url)
        except Closed:
            raise SoundError("audio URL", "the gateway is stopping", by_bot=False) from None

    def music(self, name: str) -> bytes:
        """One turn of a loop, e.g. `hold/calm`."""
        return self._prompts.music(name)

    def prompt_names(self) -> frozenset[str]:
        """The prompts that there are, for `switchhook check`."""
        return self._prompts.names()

    async def close(self) -> None:
        """Give up what is under way, finish what is being written, release connections."""
        await self._flights.close()
        await self._fetcher.close()
        await asyncio.gather(*self._storing, return_exceptions=True)

    async def _make(self, say: SayText) -> bytes:
        engine = self._engines.get(say.voice.engine)
        if engine is None:
            raise SoundError(f"tts engine {say.voice.engine!r}", "not available here", by_bot=True)
        key = _key(say, await engine.version(), self._rate) if self._disk is not None else ""
        pcm = await asyncio.to_thread(self._disk.get, key) if self._disk is not None else None
        if pcm is not None:
            self._observer.spoken(say.voice.engine, SpeechSource.DISK)
        else:
            began = time.monotonic()
            pcm = await engine.render(say, self._rate)
            self._observer.rendered(say.voice.engine, time.monotonic() - began)
            self._observer.spoken(say.voice.engine, SpeechSource.RENDERED)
            self._store(key, pcm)
        self._hot.put(say, pcm)
        return pcm

    def _store(self, key: str, pcm: bytes) -> None:
        """Write to disk, while the caller hears it already; a disk that does not keep up stores less."""
        if self._disk is None or len(self._storing) >= _MAX_STORING:
            return
        task = asyncio.create_task(asyncio.to_thread(self._disk.put, key, pcm))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)


def _key(say: SayText, version: str, clock_rate: int) -> str:
    voice = say.voice
    parts = [_FORMAT, voice.engine, version, voice.voice or voice.language, say.text, say.ssml, voice.rate, clock_rate]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
