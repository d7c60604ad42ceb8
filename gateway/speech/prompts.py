"""Prompts and hold music: the files of media/, read for speech/sounds.py, made for `switchhook prompts make`."""

import asyncio
import re
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.audio.hold_music import calm
from gateway.audio.pcm import pcm_of, resample, resample_loop
from gateway.audio.ringback import ringback
from gateway.audio.wav import NotPcmWav, Wav, read_wav, write_wav
from gateway.calls.commands import SayText
from gateway.calls.errors import SoundError
from gateway.calls.model import VoiceSettings
from gateway.speech.tts import Espeak, TtsEngine

FILE_RATE = 16_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,63}")
_MUSIC = re.compile(rf"{_NAME.pattern}(/{_NAME.pattern})?")


class Prompts:
    """The files of one media folder as PCM at `clock_rate`, each read and resampled once."""

    def __init__(self, media: Path, clock_rate: int) -> None:
        self._media, self._rate = media, clock_rate
        self._ready: dict[str, bytes] = {}

    def names(self) -> frozenset[str]:
        """The prompts that there are."""
        return frozenset(path.stem for path in (self._media / "prompts").glob("*.wav") if _NAME.fullmatch(path.stem))

    async def prompt(self, name: str) -> bytes:
        """A prompt by name; once read it is a look-up. Raises SoundError."""
        if not _NAME.fullmatch(name):
            raise SoundError(f"prompt {name!r}", "not a name of a prompt", by_bot=True)
        key = f"prompts/{name}"
        if key not in self._ready:
            self._ready[key] = await asyncio.to_thread(self._load, key, False)
        return self._ready[key]

    def music(self, name: str) -> bytes:
        """One turn of a loop by its name in media/, e.g. `hold/calm`; read at first use. Raises SoundError."""
        if not _MUSIC.fullmatch(name):
            raise SoundError(f"music {name!r}", "not a name of a file in media/", by_bot=False)
        key = f"loop/{name}"
        if key not in self._ready:
            self._ready[key] = self._load(name, True)
        return self._ready[key]

    def _load(self, name: str, looped: bool) -> bytes:
        path = self._media / f"{name}.wav"
        try:
            wav = read_wav(path.read_bytes())
        except FileNotFoundError:
            raise SoundError(name, f"there is no {path}", by_bot=not looped) from None
        except OSError as error:
            raise SoundError(name, f"{path} cannot be read: {error.strerror}", by_bot=False) from None
        except NotPcmWav as error:
            raise SoundError(name, f"{path} is {error}", by_bot=False) from None
        self._check(name, path, wav)
        change = resample_loop if looped else resample
        return wav.pcm if wav.rate == self._rate else pcm_of(change(wav.mono(), wav.rate, self._rate))

    def _check(self, name: str, path: Path, wav: Wav) -> None:
        rates = sorted({FILE_RATE, self._rate})
        if wav.channels != 1 or wav.rate not in rates:
            wanted = " or ".join(str(rate) for rate in rates)
            detail = f"{path} has {wav.channels} channels at {wav.rate} Hz; it must be mono at {wanted} Hz"
            raise SoundError(name, detail, by_bot=False)


# ── Making them ─────────────────────────────────────────────────────────────────────────────────────


class _Prompt(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1)]
    voice: str = "en-us"
    rate: float = 1.0


class _PromptFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    prompts: dict[Annotated[str, Field(pattern=f"^{_NAME.pattern}$")], _Prompt]


async def make_prompts(media: Path, engine: TtsEngine | None = None) -> list[Path]:
    """Speak every text of media/prompts.yaml into media/prompts/<name>.wav. Raises SoundError, ValueError."""
    source = media / "prompts.yaml"
    try:
        listed = _PromptFile.model_validate(yaml.safe_load(source.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise ValueError(f"{source}: {error}") from None
    engine = engine or Espeak()
    made: list[Path] = []
    for name, prompt in listed.prompts.items():
        settings = VoiceSettings(voice=prompt.voice, rate=prompt.rate)
        pcm = await engine.render(SayText(prompt.text, False, settings), FILE_RATE)
        made.append(_write(media / "prompts" / f"{name}.wav", pcm))
    return made


def make_loops(media: Path) -> list[Path]:
    """Compose media/hold/calm.wav and media/tones/ringback.wav."""
    return [
        _write(media / "hold" / "calm.wav", pcm_of(calm(FILE_RATE))),
        _write(media / "tones" / "ringback.wav", pcm_of(ringback(FILE_RATE))),
    ]


def _write(path: Path, pcm: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(write_wav(pcm, FILE_RATE))
    return path
