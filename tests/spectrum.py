"""What is in a sound (tones, levels, gaps): tests prove with it who hears whom.

A sound is PCM (bytes, 16-bit mono) or float samples of ±1.0.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.audio.pcm import samples_of
from gateway.audio.wav import read_wav

Floats = NDArray[np.float64]
Sound = bytes | NDArray[np.floating]

SILENCE_DB = -120.0
"""What is told instead of -inf."""


def read(path: Path) -> tuple[Floats, int]:
    """A WAV file's samples (±1.0; all channels mixed) and its rate."""
    wav = read_wav(path.read_bytes())
    return wav.mono().astype(np.float64), wav.rate


def floats(sound: Sound) -> Floats:
    """PCM bytes as samples of ±1.0; samples as they are."""
    return samples_of(sound).astype(np.float64) if isinstance(sound, bytes) else np.asarray(sound, dtype=np.float64)


def rms_db(sound: Sound) -> float:
    """The mean level in dBFS; a full-scale sine is -3."""
    samples = floats(sound)
    return _db(float(np.sqrt(np.mean(samples**2)))) if samples.size else SILENCE_DB


def tone_db(sound: Sound, hz: float, rate: int = 8000, width: float = 15.0) -> float:
    """The level of what lies within `width` Hz of a frequency, in dBFS; a full-scale sine is 0 (not -3)."""
    samples = floats(sound)
    if samples.size < 2:
        return SILENCE_DB
    window = np.hanning(samples.size)
    power = np.abs(np.fft.rfft(samples * window)) ** 2
    # Parseval, one-sided, over the window's energy: the mean square of what is in the band.
    near = np.abs(np.fft.rfftfreq(samples.size, 1 / rate) - hz) <= max(width, 2 * rate / samples.size)
    mean_square = 2 * float(power[near].sum()) / (samples.size * float((window**2).sum()))
    return _db(float(np.sqrt(2 * mean_square)))


def dominant_hz(sound: Sound, rate: int = 8000) -> float:
    """The frequency of the strongest tone; 0.0 in silence."""
    samples = floats(sound)
    if samples.size < 2 or not samples.any():
        return 0.0
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    spectrum[np.fft.rfftfreq(samples.size, 1 / rate) < 20] = 0  # a constant offset is no tone
    at = int(spectrum.argmax())
    if 0 < at < spectrum.size - 1:  # a parabola through the peak: better than the grid
        left, top, right = np.log(spectrum[at - 1 : at + 2] + 1e-12)
        bend = left - 2 * top + right
        offset = 0.5 * (left - right) / bend if bend else 0.0
    else:
        offset = 0.0
    return float((at + offset) * rate / samples.size)


def has_tone(sound: Sound, hz: float, rate: int = 8000, above_db: float = -40.0) -> bool:
    """Whether a tone is there that anybody would hear."""
    return tone_db(sound, hz, rate) > above_db


def longest_gap(sound: Sound, rate: int = 8000, quiet_db: float = -50.0, frame_ms: int = 10) -> float:
    """The longest stretch, in seconds, whose frames are all under `quiet_db`, between the first and the last loud one.

    All of it, when there is no loud frame.
    """
    samples = floats(sound)
    frame = max(1, rate * frame_ms // 1000)
    count = samples.size // frame
    levels = np.sqrt(np.mean(samples[: count * frame].reshape(count, frame) ** 2, axis=1)) if count else np.zeros(0)
    loud = np.flatnonzero(levels > 10 ** (quiet_db / 20))
    if not loud.size:
        return samples.size / rate
    return float(max(0, *(np.diff(loud) - 1)) if loud.size > 1 else 0) * frame / rate


def sounding(sound: Sound, rate: int = 8000, quiet_db: float = -50.0) -> tuple[float, float]:
    """From when to when there is sound, in seconds; (0, 0) if there is none."""
    loud = np.flatnonzero(np.abs(floats(sound)) > 10 ** (quiet_db / 20))
    return (float(loud[0]) / rate, float(loud[-1] + 1) / rate) if loud.size else (0.0, 0.0)


def _db(value: float) -> float:
    return max(SILENCE_DB, 20 * float(np.log10(value))) if value > 0 else SILENCE_DB
