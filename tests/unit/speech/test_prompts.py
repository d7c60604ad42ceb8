"""Prompts and hold music: what is in media/ is played, what is wrong with a file is said, and all can be made again."""

import asyncio
import shutil
from pathlib import Path

import pytest
import yaml

from gateway.audio.pcm import rms_dbfs, samples_of
from gateway.audio.wav import write_wav
from gateway.calls.errors import SoundError
from gateway.speech.prompts import Prompts, make_loops, make_prompts
from tests.fakes.sounds import tone

MEDIA = Path(__file__).parents[3] / "media"


@pytest.fixture
def media(tmp_path: Path) -> Path:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "hold").mkdir()
    return tmp_path


async def test_every_text_has_its_prompt_and_every_prompt_its_text() -> None:
    texts = yaml.safe_load((MEDIA / "prompts.yaml").read_text())["prompts"]
    prompts = Prompts(MEDIA, 8000)
    assert prompts.names() == frozenset(texts) >= {"one-moment", "apology", "closed", "goodbye"}
    for name in texts:
        assert -28 < rms_dbfs(samples_of(await prompts.prompt(name))) < -17


async def test_a_prompt_is_read_once(media: Path) -> None:
    file = media / "prompts" / "beep.wav"
    file.write_bytes(write_wav(tone(440, 500, 8000), 8000))
    prompts = Prompts(media, 8000)
    first = await prompts.prompt("beep")
    assert first == tone(440, 500, 8000)
    file.unlink()
    assert await prompts.prompt("beep") is first


@pytest.mark.parametrize(("rate", "clock_rate"), [(16000, 8000), (16000, 16000), (16000, 48000), (48000, 48000)])
async def test_rates_that_are_taken(media: Path, rate: int, clock_rate: int) -> None:
    (media / "prompts" / "beep.wav").write_bytes(write_wav(tone(440, 500, rate), rate))
    assert len(await Prompts(media, clock_rate).prompt("beep")) == clock_rate


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (write_wav(tone(440, 10, 44100), 44100), "1 channels at 44100 Hz; it must be mono at 8000 or 16000 Hz"),
        (b"ID3 something", "not a WAV file"),
        (b"", "not a WAV file"),
    ],
)
async def test_files_that_are_refused(media: Path, data: bytes, why: str) -> None:
    (media / "prompts" / "bad.wav").write_bytes(data)
    with pytest.raises(SoundError, match=why) as caught:
        await Prompts(media, 8000).prompt("bad")
    assert not caught.value.by_bot


@pytest.mark.parametrize("name", ["missing", "", "../hold/calm", "/etc/passwd", "a/b", "a.wav", "x" * 65, "a\n"])
async def test_names_that_are_none(name: str) -> None:
    with pytest.raises(SoundError) as caught:
        await Prompts(MEDIA, 8000).prompt(name)
    assert caught.value.by_bot


@pytest.mark.parametrize("rate", [8000, 16000])
def test_music(rate: int) -> None:
    prompts = Prompts(MEDIA, rate)
    music = prompts.music("hold/calm")
    assert len(music) == 24 * rate * 2
    assert rms_dbfs(samples_of(music)) == pytest.approx(-20, abs=0.5)
    assert prompts.music("hold/calm") is music


@pytest.mark.parametrize("name", ["hold/none", "../media/hold/calm", "hold/../hold/calm", "hold/calm.wav", ""])
def test_music_that_there_is_not(name: str) -> None:
    with pytest.raises(SoundError):
        Prompts(MEDIA, 8000).music(name)


def test_prompts_are_made_again_as_they_are(media: Path) -> None:
    shutil.copy(MEDIA / "prompts.yaml", media)
    made = asyncio.run(make_prompts(media))
    assert {path.name for path in made} == {path.name for path in (MEDIA / "prompts").glob("*.wav")}
    for path in made:
        assert abs(path.stat().st_size - (MEDIA / "prompts" / path.name).stat().st_size) < 3200
    for path in make_loops(media):
        assert path.stat().st_size == (MEDIA / path.relative_to(media)).stat().st_size


@pytest.mark.parametrize("text", ["prompts: {a/b: {text: x}}", "prompts: {a: {txt: x}}", "prompts: [", "- 1"])
def test_a_wrong_prompts_file_is_named(media: Path, text: str) -> None:
    (media / "prompts.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"prompts\.yaml"):
        asyncio.run(make_prompts(media))
