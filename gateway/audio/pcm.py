"""PCM arithmetic: bytes to samples and back, levels, silence, trimming, resampling; called by speech, voice and tests.

PCM is what the bridge speaks: 16-bit signed little-endian mono. Samples are float32, full scale ±1.0.
"""

from typing import TypeAlias

import numpy as np
import soxr
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float32]

SAMPLE_BYTES = 2
_QUIET = 0.003  # -50 dBFS: below this nobody hears anything on a telephone


def samples_of(pcm: bytes) -> Samples:
    """PCM as float samples; an odd last byte is left out."""
    whole = len(pcm) - len(pcm) % SAMPLE_BYTES
    return np.frombuffer(pcm, dtype="<i2", count=whole // SAMPLE_BYTES).astype(np.float32) / np.float32(32768)


def pcm_of(samples: Samples) -> bytes:
    """Float samples as PCM; what is over full scale is clipped, not wrapped."""
    scaled = np.rint(samples * np.float32(32768))
    return bytes(np.clip(scaled, -32768, 32767).astype("<i2").tobytes())


def silence(ms: int, rate: int) -> bytes:
    """So many ms of nothing."""
    return bytes(samples_in(ms, rate) * SAMPLE_BYTES)


def samples_in(ms: int, rate: int) -> int:
    """How many samples `ms` are."""
    return ms * rate // 1000


def ms_of(samples: int, rate: int) -> int:
    """How many ms so many samples are, rounded to the nearest."""
    return (samples * 1000 + rate // 2) // rate


def peak_dbfs(samples: Samples) -> float:
    """The loudest sample, in dB under full scale; -inf for silence."""
    return _dbfs(float(np.max(np.abs(samples))) if samples.size else 0.0)


def rms_dbfs(samples: Samples) -> float:
    """The mean level, in dB under full scale; -inf for silence."""
    return _dbfs(float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if samples.size else 0.0)


def tone_dbfs(samples: Samples, rate: int, hertz: float) -> float:
    """How loud a sine of this frequency is in it, in dB under full scale (a full-scale sine is 0); -inf for silence."""
    if not samples.size:
        return float("-inf")
    window = np.hanning(samples.size)
    turning = np.exp(-2j * np.pi * hertz / rate * np.arange(samples.size))
    return _dbfs(2 * float(np.abs(np.sum(samples * window * turning))) / max(float(window.sum()), 1e-9))


def _dbfs(value: float) -> float:
    return float(20 * np.log10(value)) if value > 0 else float("-inf")


def amplify(samples: Samples, gain: float, ceiling: float = 0.9) -> Samples:
    """Times `gain`, or less if the peak would pass `ceiling`: the level stays the same from sentence to sentence."""
    peak = float(np.max(np.abs(samples))) if samples.size else 0.0
    return samples * np.float32(min(gain, ceiling / peak) if peak > 0 else gain)


def trim(samples: Samples, rate: int, lead_ms: int = 5, tail_ms: int = 100) -> Samples:
    """Without the silence at both ends but for a little; empty when all is silence."""
    loud = np.flatnonzero(np.abs(samples) > _QUIET)
    if not loud.size:
        return samples[:0]
    start = max(0, int(loud[0]) - samples_in(lead_ms, rate))
    return samples[start : int(loud[-1]) + 1 + samples_in(tail_ms, rate)]


def resample(samples: Samples, rate: int, to_rate: int) -> Samples:
    """The same sound at another rate (band-limited: nothing folds back)."""
    if rate == to_rate or not samples.size:
        return samples
    return np.asarray(soxr.resample(samples, rate, to_rate, quality="HQ"), dtype=np.float32)


def resample_loop(samples: Samples, rate: int, to_rate: int) -> Samples:
    """As `resample`, for a sound that is looped: its end and its start know of one another, so there is no seam."""
    if rate == to_rate or not samples.size:
        return samples
    around = rate // 5
    turns = np.take(samples, np.arange(-around, samples.size + around), mode="wrap")
    length = round(samples.size * to_rate / rate)
    start = round(around * to_rate / rate)
    return resample(turns, rate, to_rate)[start : start + length]
