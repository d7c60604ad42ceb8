"""WAV files of 16-bit PCM, read strictly and written; called by speech for prompts, TTS and fetched audio."""

import struct
from dataclasses import dataclass

import numpy as np

from gateway.audio.pcm import Samples

_PCM, _EXTENSIBLE = 1, 0xFFFE


class NotPcmWav(ValueError):
    """These bytes are no 16-bit PCM WAV file; the text says what they are instead."""


@dataclass(frozen=True, slots=True)
class Wav:
    """A WAV file's sound, all channels interleaved."""

    rate: int
    channels: int
    pcm: bytes

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return len(self.pcm) / (2 * self.channels * self.rate)

    def mono(self) -> Samples:
        """All channels mixed into one."""
        frames = len(self.pcm) // (2 * self.channels)
        interleaved = np.frombuffer(self.pcm, dtype="<i2", count=frames * self.channels)
        mixed = interleaved.reshape(frames, self.channels).mean(axis=1, dtype=np.float32)
        return np.asarray(mixed / np.float32(32768), dtype=np.float32)


def read_wav(data: bytes) -> Wav:
    """Parse a RIFF/WAVE file. A data chunk that promises more than there is (a stream's header) gives what there is."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise NotPcmWav("not a WAV file")
    form: tuple[int, int] | None = None
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if name == b"fmt ":
            form = _read_format(data[at : at + size])
        elif name == b"data":
            if form is None:
                raise NotPcmWav("a WAV file whose data comes before its format")
            rate, channels = form
            end = min(at + size, len(data))
            whole = (end - at) // (2 * channels) * (2 * channels)
            return Wav(rate, channels, bytes(data[at : at + whole]))
        at += size + size % 2
    raise NotPcmWav("a WAV file without sound in it")


def _read_format(chunk: bytes) -> tuple[int, int]:
    if len(chunk) < 16:
        raise NotPcmWav("a WAV file with a broken format chunk")
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        (tag,) = struct.unpack_from("<H", chunk, 24)
    if tag != _PCM or bits != 16:
        raise NotPcmWav(f"a WAV file of format {tag} with {bits} bits, not 16-bit PCM")
    if not 1 <= channels <= 8 or not 4000 <= rate <= 192_000:
        raise NotPcmWav(f"a WAV file of {channels} channels at {rate} Hz")
    return rate, channels


def write_wav(pcm: bytes, rate: int) -> bytes:
    """Mono PCM as a WAV file."""
    form = struct.pack("<HHIIHH", _PCM, 1, rate, rate * 2, 2, 16)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(pcm)) + pcm
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks
