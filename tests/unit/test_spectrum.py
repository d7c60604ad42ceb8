"""tests/spectrum.py measures what other tests prove things with: here it is proved with sounds that are known."""

from pathlib import Path

import numpy as np
import pytest

from gateway.audio.pcm import pcm_of
from gateway.audio.wav import write_wav
from tests import spectrum

RATE = 8000


def sine(hz: float, dbfs: float, seconds: float = 1.0) -> spectrum.Floats:
    return 10 ** (dbfs / 20) * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)


@pytest.mark.parametrize("hz", [100.0, 440.0, 997.3, 3400.0])
@pytest.mark.parametrize("dbfs", [0.0, -12.0, -40.0])
def test_a_tone_has_its_level_and_its_frequency(hz: float, dbfs: float) -> None:
    assert spectrum.tone_db(sine(hz, dbfs), hz) == pytest.approx(dbfs, abs=0.1)
    assert spectrum.dominant_hz(sine(hz, dbfs)) == pytest.approx(hz, abs=0.5)
    assert spectrum.rms_db(sine(hz, dbfs)) == pytest.approx(dbfs - 3.01, abs=0.1)


def test_a_tone_beside_another_is_told_apart() -> None:
    both = sine(440, -12) + sine(1000, -30)
    assert spectrum.tone_db(both, 440) == pytest.approx(-12, abs=0.1)
    assert spectrum.tone_db(both, 1000) == pytest.approx(-30, abs=0.2)
    assert spectrum.tone_db(both, 700) < -80
    assert spectrum.has_tone(both, 1000)
    assert not spectrum.has_tone(both, 700)
    assert spectrum.dominant_hz(both) == pytest.approx(440, abs=0.5)


def test_a_short_piece_is_enough() -> None:
    assert spectrum.tone_db(sine(440, -12, 0.1), 440) == pytest.approx(-12, abs=0.2)


def test_bytes_are_pcm() -> None:
    assert spectrum.tone_db(pcm_of(sine(440, -12).astype(np.float32)), 440) == pytest.approx(-12, abs=0.1)


def test_silence_and_nothing() -> None:
    for sound in (bytes(1600), b"", np.zeros(0)):
        assert spectrum.rms_db(sound) == spectrum.SILENCE_DB
        assert spectrum.tone_db(sound, 440) == spectrum.SILENCE_DB
        assert spectrum.dominant_hz(sound) == 0.0
        assert spectrum.sounding(sound) == (0.0, 0.0)
    assert spectrum.longest_gap(bytes(1600)) == pytest.approx(0.1)


def test_the_longest_gap_is_between_sounds() -> None:
    def quiet(seconds: float) -> spectrum.Floats:
        return np.zeros(int(seconds * RATE))

    tone = sine(440, -12, 0.5)
    sound = np.concatenate([quiet(0.4), tone, quiet(0.1), tone, quiet(0.26), tone, quiet(0.8)])
    assert spectrum.longest_gap(sound) == pytest.approx(0.26, abs=0.011)
    assert spectrum.longest_gap(tone) == 0.0
    begin, end = spectrum.sounding(sound)
    assert (begin, end) == (pytest.approx(0.4, abs=0.001), pytest.approx(2.26, abs=0.001))


def test_a_wav_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(write_wav(pcm_of(sine(440, -12).astype(np.float32)), RATE))
    samples, rate = spectrum.read(path)
    assert rate == RATE
    assert spectrum.dominant_hz(samples, rate) == pytest.approx(440, abs=0.5)
