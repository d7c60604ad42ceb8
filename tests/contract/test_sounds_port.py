"""What every Sounds keeps to: the real SoundLibrary (with espeak-ng) and the fake of the engine's tests."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.calls.commands import SayText
from gateway.calls.errors import SoundError
from gateway.calls.model import VoiceSettings
from gateway.engine.ports import Sounds
from gateway.speech.sounds import SoundLibrary
from tests.fakes.sounds import FakeSounds, tone

MEDIA = Path(__file__).parents[2] / "media"
HELLO = SayText("Hello there.", False, VoiceSettings())


@pytest.fixture(params=["library", "library without disk", "fake"])
async def sounds(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sounds]:
    port: Sounds
    if request.param == "fake":
        port = FakeSounds({"one-moment": tone(440, 1000)})
    else:
        port = SoundLibrary(media=MEDIA, clock_rate=8000, cache=tmp_path if request.param == "library" else None)
    yield port
    await port.close()


async def test_text_becomes_whole_samples_and_the_same_each_time(sounds: Sounds) -> None:
    first = await sounds.speak(HELLO)
    assert len(first) > 4000
    assert len(first) % 2 == 0
    assert await sounds.speak(HELLO) == first


async def test_another_text_is_another_sound(sounds: Sounds) -> None:
    assert await sounds.speak(HELLO) != await sounds.speak(replace(HELLO, text="Goodbye, and thank you."))


async def test_many_at_once(sounds: Sounds) -> None:
    results = await asyncio.gather(*(sounds.speak(HELLO) for _ in range(20)))
    assert len(set(results)) == 1


async def test_a_cancelled_caller_does_not_harm_the_others(sounds: Sounds) -> None:
    text = replace(HELLO, text="One two three four five.")
    first, second = (asyncio.create_task(sounds.speak(text)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert len(await second) > 4000


async def test_an_unknown_voice_is_the_bots_mistake(sounds: Sounds) -> None:
    with pytest.raises(SoundError) as caught:
        await sounds.speak(replace(HELLO, voice=VoiceSettings(voice="xx-nowhere")))
    assert caught.value.by_bot


async def test_prompts(sounds: Sounds) -> None:
    assert len(await sounds.prompt("one-moment")) > 8000
    with pytest.raises(SoundError) as caught:
        await sounds.prompt("none-such")
    assert caught.value.by_bot


async def test_a_url_that_gives_nothing_is_the_bots_mistake(sounds: Sounds) -> None:
    with pytest.raises(SoundError) as caught:
        await sounds.fetch("http://127.0.0.1:9/none.wav")
    assert caught.value.by_bot


async def test_closing_ends_what_is_under_way(sounds: Sounds) -> None:
    waiter = asyncio.create_task(sounds.speak(replace(HELLO, text="Never to be heard, perhaps.")))
    await asyncio.sleep(0.001)
    await sounds.close()
    result = (await asyncio.gather(waiter, return_exceptions=True))[0]
    assert isinstance(result, bytes | SoundError)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
