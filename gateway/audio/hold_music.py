"""Calm, our own hold music, composed from sines; called by speech/prompts.py to make media/hold/calm.wav.

Eight soft chords with a bell-like arpeggio, all notes laid on a circle so that the loop has no seam. Every fundamental
and what matters of the harmonics lie within the 300–3400 Hz that a telephone carries.
"""

import numpy as np

from gateway.audio.pcm import Samples

LOOP_S = 24
_BAR_S = 3.0
_BEATS = 6
_LEVEL = 10 ** (-20 / 20)

# MIDI note numbers, four voices each: Cmaj9, Am7, Fmaj7, G6, Em7, Am9, Dm7, Gsus4 -> back to C.
_CHORDS = (
    (64, 67, 71, 74), (64, 67, 69, 72), (65, 69, 72, 76), (62, 67, 71, 76),
    (64, 67, 71, 74), (64, 69, 71, 72), (65, 69, 72, 74), (65, 67, 72, 74),
)  # fmt: skip
_ARPEGGIO = (0, 2, 1, 3, 2, 1)
_PAD_HARMONICS = ((1, 1.0), (2, 0.35), (3, 0.16), (4, 0.05))
_BELL_HARMONICS = ((1, 1.0, 1.0), (2, 0.4, 1.8), (3, 0.12, 3.0))
_ECHOES = ((0.31, 0.30), (0.47, 0.22), (0.79, 0.15), (1.13, 0.09))


def calm(rate: int) -> Samples:
    """One turn of the loop at about -20 dBFS."""
    circle = np.zeros(LOOP_S * rate, dtype=np.float64)
    for bar, chord in enumerate(_CHORDS):
        for note in chord:
            _lay(circle, _pad(_hertz(note), rate), round(bar * _BAR_S * rate), 0.22)
        for beat, voice in enumerate(_ARPEGGIO):
            start = round((bar * _BAR_S + beat * _BAR_S / _BEATS) * rate)
            _lay(circle, _bell(_hertz(chord[voice] + 12), rate), start, 0.20 if beat else 0.26)
    wet = sum((gain * np.roll(circle, round(delay * rate)) for delay, gain in _ECHOES), circle)
    return np.asarray(wet * (_LEVEL / np.sqrt(np.mean(wet**2))), dtype=np.float32)


def _hertz(note: int) -> float:
    return float(440.0 * 2 ** ((note - 69) / 12))


def _pad(hertz: float, rate: int) -> Samples:
    """A tone that swells and fades well into the next chord; two slightly detuned voices make it warm."""
    length = _BAR_S + 1.5
    t = np.arange(round(length * rate)) / rate
    rise = np.sin(np.pi / 2 * np.minimum(t / 1.2, 1.0)) ** 2
    fall = np.sin(np.pi / 2 * np.minimum((length - t) / 1.6, 1.0)) ** 2
    tone = sum(
        gain * (np.sin(2 * np.pi * hertz * n * t) + np.sin(2 * np.pi * (hertz * 1.0015) * n * t + n))
        for n, gain in _PAD_HARMONICS
    )
    return np.asarray(tone * rise * fall / 2, dtype=np.float32)


def _bell(hertz: float, rate: int) -> Samples:
    """A struck tone whose high partials die first."""
    t = np.arange(round(2.2 * rate)) / rate
    attack = np.minimum(t / 0.012, 1.0)
    tone = sum(
        gain * np.sin(2 * np.pi * hertz * n * t) * np.exp(-t * 2.2 * decay) for n, gain, decay in _BELL_HARMONICS
    )
    release = np.minimum((2.2 - t) / 0.2, 1.0)
    return np.asarray(tone * attack * release, dtype=np.float32)


def _lay(circle: "np.ndarray[tuple[int], np.dtype[np.float64]]", note: Samples, start: int, gain: float) -> None:
    """Add a note at `start`; what reaches over the end goes on at the beginning."""
    places = (start + np.arange(note.size)) % circle.size
    circle[places] += gain * note
