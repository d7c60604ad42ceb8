"""SoundLibrary: where a sound comes from the second time, and that two at once cost one."""

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.calls.commands import SayText
from gateway.calls.errors import SoundError
from gateway.calls.model import VoiceSettings
from gateway.speech.sounds import SoundLibrary
from tests.fakes.sounds import tone

MEDIA = Path(__file__).parents[3] / "media"
HELLO = SayText("Hello there.", False, VoiceSettings())


class Engine:
    """A TtsEngine that counts; its sound lasts 100 ms."""

    def __init__(self, version: str = "1") -> None:
        self.rendered: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._version = version

    async def version(self) -> str:
        return self._version

    async def render(self, say: SayText, clock_rate: int) -> bytes:
        self.rendered.append(say.text)
        await self.gate.wait()
        return tone(500, 100, clock_rate)


def library(engine: Engine, cache: Path | None = None, clock_rate: int = 8000) -> SoundLibrary:
    return SoundLibrary(media=MEDIA, clock_rate=clock_rate, cache=cache, engines={"espeak": engine})


async def test_once_for_all_who_ask_at_once_and_later() -> None:
    engine = Engine()
    sounds = library(engine)
    await asyncio.gather(*(sounds.speak(HELLO) for _ in range(10)))
    await sounds.speak(HELLO)
    assert engine.rendered == ["Hello there."]
    await sounds.close()


async def test_from_disk_after_a_restart(tmp_path: Path) -> None:
    first = library(Engine(), tmp_path)
    pcm = await first.speak(HELLO)
    await first.close()
    engine = Engine()
    second = library(engine, tmp_path)
    assert await second.speak(HELLO) == pcm
    assert engine.rendered == []
    await second.close()


@pytest.mark.parametrize("change", ["text", "ssml", "voice", "rate", "version", "clock_rate"])
async def test_whatever_sounds_different_is_another_file(tmp_path: Path, change: str) -> None:
    first = library(Engine(), tmp_path)
    await first.speak(HELLO)
    await first.close()
    changed = {
        "text": replace(HELLO, text="Hello."),
        "ssml": replace(HELLO, ssml=True),
        "voice": replace(HELLO, voice=VoiceSettings(voice="de")),
        "rate": replace(HELLO, voice=VoiceSettings(rate=1.1)),
    }
    engine = Engine("2" if change == "version" else "1")
    second = library(engine, tmp_path, 16000 if change == "clock_rate" else 8000)
    await second.speak(changed.get(change, HELLO))
    assert len(engine.rendered) == 1
    await second.close()


async def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    first = library(Engine(), tmp_path)
    pcm = await first.speak(HELLO)
    await first.close()
    (file,) = tmp_path.glob("*/*.pcm")
    file.write_bytes(file.read_bytes()[:-2] + b"xx")
    engine = Engine()
    second = library(engine, tmp_path)
    assert await second.speak(HELLO) == pcm
    assert len(engine.rendered) == 1
    await second.close()


async def test_no_cache_folder_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sounds = library(Engine(), tmp_path / "file" / "cache")
    assert await sounds.speak(HELLO)
    await sounds.close()


async def test_a_failure_is_not_kept() -> None:
    sounds = SoundLibrary(media=MEDIA, clock_rate=8000)
    unknown = replace(HELLO, voice=VoiceSettings(engine="polly"))
    with pytest.raises(SoundError, match="'polly'") as caught:
        await sounds.speak(unknown)
    assert caught.value.by_bot
    await sounds.close()


async def test_a_cached_text_and_prompt_take_no_task_and_less_than_a_millisecond() -> None:
    sounds = SoundLibrary(media=MEDIA, clock_rate=8000)
    await sounds.preload(["hold/calm"])
    await sounds.speak(HELLO)
    for again in (sounds.speak(HELLO), sounds.prompt("apology")):
        start = time.perf_counter()
        with pytest.raises(StopIteration):
            again.send(None)
        assert time.perf_counter() - start < 0.001
    start = time.perf_counter()
    assert sounds.music("hold/calm")
    assert time.perf_counter() - start < 0.001
    await sounds.close()


async def test_the_last_one_who_leaves_stops_the_engine() -> None:
    sounds = SoundLibrary(media=MEDIA, clock_rate=8000)
    text = replace(HELLO, text="word " * 1600)
    waiters = [asyncio.create_task(sounds.speak(text)) for _ in range(3)]
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while not children.read_text().split():
        await asyncio.sleep(0.001)
    for waiter in waiters:
        waiter.cancel()
    await asyncio.gather(*waiters, return_exceptions=True)
    await asyncio.sleep(0.05)
    assert children.read_text().split() == []
    await sounds.close()
