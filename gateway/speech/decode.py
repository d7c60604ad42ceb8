"""Decode audio of any format libsndfile knows; run by speech/fetch.py as a program of its own on strangers' bytes.

    python -I decode.py RATE MAX_SECONDS < file > pcm

A crash, a bomb or an endless loop in a decoder ends this process and no call. It imports nothing of the gateway. Exit 3
means that stderr holds the reason.
"""

import io
import resource
import sys

import numpy as np
import soundfile
import soxr

_MEMORY = 1 << 30
_CPU_S = 10


def main() -> int:
    """Read stdin, write 16-bit mono PCM."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    rate, max_seconds = int(sys.argv[1]), int(sys.argv[2])
    try:
        with soundfile.SoundFile(io.BytesIO(sys.stdin.buffer.read())) as sound:
            samples = _mono(sound, max_seconds)
            found = sound.samplerate
    except (soundfile.LibsndfileError, RuntimeError, ValueError, TypeError, MemoryError) as error:
        sys.stderr.write(str(error) or type(error).__name__)
        return 3
    if found != rate:
        samples = soxr.resample(samples, found, rate, quality="HQ")
    pcm = np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()
    sys.stdout.buffer.write(pcm)
    return 0


def _mono(sound: soundfile.SoundFile, max_seconds: int) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    if not 4000 <= sound.samplerate <= 192_000 or not 1 <= sound.channels <= 8:
        raise ValueError(f"{sound.channels} channels at {sound.samplerate} Hz")
    left = sound.samplerate * max_seconds
    parts = []
    while True:
        block = sound.read(65536, dtype="float32", always_2d=True)
        if not len(block):
            break
        left -= len(block)
        if left < 0:
            raise ValueError(f"it plays for more than {max_seconds // 60} minutes")
        parts.append(np.nan_to_num(block.mean(axis=1), posinf=0.0, neginf=0.0))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


if __name__ == "__main__":
    sys.exit(main())
