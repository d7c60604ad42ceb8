"""Text to speech: what an engine is, and espeak-ng, the embedded one; called by speech/sounds.py and prompts.py."""

import asyncio
import os
import re
from typing import Protocol

from gateway.audio.pcm import amplify, pcm_of, resample, trim
from gateway.audio.wav import NotPcmWav, read_wav
from gateway.calls.commands import SayText
from gateway.calls.errors import SoundError
from gateway.speech.child import run
from gateway.speech.ssml import BadSsml, clean, plain

MAX_SECONDS = 600
_WORDS_PER_MINUTE = 175
_GAIN = 0.75  # espeak's sentences peak at -0.5 to -5.5 dBFS; this leaves 2.5 dB, at about -23 dBFS while speaking
_VOICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+\-]{0,63}")


class TtsEngine(Protocol):
    """Makes PCM of text. Stateless for its caller: the same words in the same voice sound the same."""

    async def version(self) -> str:
        """What changes when the engine would sound different. Raises SoundError."""

    async def render(self, say: SayText, clock_rate: int) -> bytes:
        """PCM at `clock_rate`, without silence at its ends. Raises SoundError; cancelling it stops the work."""


class Espeak:
    """espeak-ng as a child process per text: about 15 ms of CPU, and no crash of it is ours."""

    def __init__(self, binary: str = "espeak-ng", *, concurrency: int | None = None, timeout_s: float = 10.0) -> None:
        self._binary, self._timeout_s = binary, timeout_s
        self._slots = asyncio.Semaphore(concurrency or os.cpu_count() or 1)
        self._version: str | None = None

    async def version(self) -> str:
        """The first line of `espeak-ng --version`."""
        if self._version is None:
            said = await self._espeak(["--version"], "", 65536, source="espeak-ng")
            self._version = said.decode(errors="replace").split("  ")[0].strip()
        return self._version

    async def render(self, say: SayText, clock_rate: int) -> bytes:
        """Speak it. `voice` wins over `language`; an empty text is no sound at all."""
        voice = say.voice.voice or say.voice.language
        if not _VOICE.fullmatch(voice):
            raise SoundError(f"voice {voice!r}", "not a name of an espeak-ng voice", by_bot=True)
        try:
            text = clean(say.text) if say.ssml else plain(say.text)
        except BadSsml as error:
            raise SoundError("ssml", str(error), by_bot=True) from None
        if not text.strip():
            return b""
        speed = max(80, min(450, round(_WORDS_PER_MINUTE * say.voice.rate)))
        options = ["--stdin", "--stdout", "-b", "1", "-v", voice, "-s", str(speed), *(["-m"] if say.ssml else [])]
        max_output = MAX_SECONDS * 22050 * 2 + 44
        wav = await self._espeak(options, text, max_output, source=f"voice {voice!r}")
        return await asyncio.to_thread(_finish, wav, clock_rate, "<break" not in text or not say.ssml)

    async def _espeak(self, options: list[str], text: str, max_output: int, source: str) -> bytes:
        try:
            async with self._slots:
                data = text.encode(errors="replace")
                child = await run([self._binary, *options], data, timeout_s=self._timeout_s, max_output=max_output)
        except FileNotFoundError:
            detail = f"{self._binary} is not installed (Debian package: espeak-ng)"
            raise SoundError("espeak-ng", detail, by_bot=False) from None
        except TimeoutError:
            detail = f"no speech after {self._timeout_s:g} s"
            raise SoundError("espeak-ng", detail, by_bot=False) from None
        except OSError as error:
            raise SoundError("espeak-ng", f"cannot be started: {error}", by_bot=False) from None
        if child.too_long:
            raise SoundError("espeak-ng", f"the text takes more than {MAX_SECONDS // 60} minutes to say", by_bot=True)
        if child.returncode:
            if "voice does not exist" in child.stderr:
                raise SoundError(source, "espeak-ng has no such voice (`espeak-ng --voices` lists them)", by_bot=True)
            detail = child.stderr.strip() or f"ended with {child.returncode}"
            raise SoundError("espeak-ng", detail, by_bot=False)
        return child.stdout


def _finish(data: bytes, clock_rate: int, tidy: bool) -> bytes:
    """espeak's WAV as PCM at the bridge's rate: constant gain, and no silent ends (but those that SSML asked for)."""
    if not data:
        return b""
    try:
        wav = read_wav(data)
    except NotPcmWav as error:
        raise SoundError("espeak-ng", f"answered with {error}", by_bot=False) from None
    samples = wav.mono()
    if tidy:
        samples = trim(samples, wav.rate)
    return pcm_of(amplify(resample(samples, wav.rate, clock_rate), _GAIN))
