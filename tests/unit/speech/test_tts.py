"""espeak-ng, the real one: it speaks promptly, at a constant level, in the voice asked for, and leaves nothing."""

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway.audio.pcm import peak_dbfs, rms_dbfs, samples_of
from gateway.calls.commands import SayText
from gateway.calls.errors import SoundError
from gateway.calls.model import VoiceSettings
from gateway.speech.tts import Espeak

TEN_WORDS = "Good morning, this is the reception, how can I help"


def say(text: str, *, ssml: bool = False, **voice: object) -> SayText:
    return SayText(text, ssml, replace(VoiceSettings(), **voice))  # type: ignore[arg-type]


async def test_speech_has_level_and_pitch_of_speech() -> None:
    pcm = samples_of(await Espeak().render(say(TEN_WORDS), 8000))
    assert 1.5 < pcm.size / 8000 < 5
    assert -7 < peak_dbfs(pcm) < -0.9
    assert -27 < rms_dbfs(pcm) < -17
    power = np.abs(np.fft.rfft(pcm)) ** 2
    hertz = np.fft.rfftfreq(pcm.size, 1 / 8000)
    assert power[(hertz > 80) & (hertz < 3400)].sum() / power.sum() > 0.95


async def test_the_first_sound_comes_at_once_and_the_end_is_short() -> None:
    pcm = samples_of(await Espeak().render(say("Hello"), 8000))
    loud = np.flatnonzero(np.abs(pcm) > 0.003)
    assert loud[0] / 8000 < 0.015
    assert (pcm.size - loud[-1]) / 8000 < 0.12


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
async def test_every_bridge_rate_lasts_as_long(rate: int) -> None:
    pcm = await Espeak().render(say("One moment, please."), rate)
    assert len(pcm) / 2 / rate == pytest.approx(1.43, abs=0.1)


async def test_rate_is_a_factor() -> None:
    slow, normal, fast = [len(await Espeak().render(say(TEN_WORDS, rate=rate), 8000)) for rate in (0.5, 1.0, 2.0)]
    assert slow / normal == pytest.approx(2, rel=0.25)
    assert normal / fast == pytest.approx(2, rel=0.25)


async def test_voice_wins_over_language_and_language_is_used_without_one() -> None:
    engine = Espeak()
    german, english = [await engine.render(say("Guten Tag", voice=voice), 8000) for voice in ("de", "en-us")]
    assert await engine.render(say("Guten Tag", voice="de", language="en-US"), 8000) == german
    assert await engine.render(say("Guten Tag", voice="", language="de-DE"), 8000) == german
    assert german != english


@pytest.mark.parametrize("voice", ["xx-nowhere", "../../etc/passwd", "-f/etc/passwd", ""])
async def test_an_unknown_voice_is_the_bots_mistake_and_named(voice: str) -> None:
    with pytest.raises(SoundError) as caught:
        await Espeak().render(say("Hi", voice=voice, language=voice), 8000)
    assert caught.value.by_bot
    assert repr(voice) in caught.value.source


async def test_ssml_is_understood_and_its_pauses_stay() -> None:
    engine = Espeak()
    short = await engine.render(say("Hello there", ssml=True), 8000)
    long = await engine.render(say('Hello <break time="1s"/> there', ssml=True), 8000)
    assert 0.7 < (len(long) - len(short)) / 16000 < 1.5


async def test_ssml_cannot_open_files() -> None:
    with pytest.raises(SoundError, match="<audio> is not allowed") as caught:
        await Espeak().render(say('<audio src="/etc/passwd">x</audio>', ssml=True), 8000)
    assert caught.value.by_bot


async def test_a_text_that_never_ends_is_refused() -> None:
    with pytest.raises(SoundError, match="more than 10 minutes") as caught:
        await Espeak().render(say('Hi <break time="3600s"/> there', ssml=True), 8000)
    assert caught.value.by_bot


@pytest.mark.parametrize("text", ["", "   ", "\x00\x01", "<speak/>"])
async def test_nothing_to_say_is_no_sound(text: str) -> None:
    assert await Espeak().render(say(text, ssml="<" in text), 8000) == b""


@pytest.mark.parametrize(
    "text", ["...", "-f /etc/passwd", "Grüße \U0001f600 \ud800", "[[h@l'oU]]", "$(id) `id` %s", "a" * 8192]
)
async def test_odd_texts_do_no_harm(text: str) -> None:
    assert len(await Espeak().render(say(text), 8000)) % 2 == 0


async def test_a_missing_binary_names_the_package() -> None:
    with pytest.raises(SoundError, match="Debian package: espeak-ng") as caught:
        await Espeak("/nowhere/espeak-ng").render(say("Hi"), 8000)
    assert not caught.value.by_bot


def script(tmp_path: Path, body: str) -> str:
    path = tmp_path / "espeak"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


async def test_an_engine_that_hangs_is_killed(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(SoundError, match=r"no speech after 0\.2 s") as caught:
        await Espeak(script(tmp_path, "exec sleep 30"), timeout_s=0.2).render(say("Hi"), 8000)
    assert not caught.value.by_bot
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    ("body", "why"),
    [("echo broken >&2; exit 1", "broken"), ("echo no wav", "not a WAV file"), ("kill -SEGV $$", "-11")],
)
async def test_an_engine_that_fails_is_our_trouble(tmp_path: Path, body: str, why: str) -> None:
    with pytest.raises(SoundError, match=why) as caught:
        await Espeak(script(tmp_path, body)).render(say("Hi"), 8000)
    assert not caught.value.by_bot


async def test_no_more_at_once_than_told_and_cancelling_leaves_no_process(tmp_path: Path) -> None:
    engine = Espeak(script(tmp_path, "exec sleep 30"), concurrency=2)
    tasks = [asyncio.create_task(engine.render(say("Hi"), 8000)) for _ in range(5)]
    await asyncio.sleep(0.2)
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    assert len(children.read_text().split()) == 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.05)
    assert children.read_text().split() == []


async def test_ten_words_in_a_quarter_second() -> None:
    engine = Espeak()
    await engine.version()
    start = time.perf_counter()
    await engine.render(say(TEN_WORDS), 8000)
    assert time.perf_counter() - start < 0.25


async def test_version() -> None:
    assert "eSpeak NG" in await Espeak().version()
