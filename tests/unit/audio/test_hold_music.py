"""Hold music is calm, carries over a telephone, loops without a seam, and is never dead air."""

from pathlib import Path

import numpy as np
import pytest

from gateway.audio.hold_music import LOOP_S, calm
from gateway.audio.pcm import peak_dbfs, rms_dbfs, samples_of
from gateway.audio.wav import read_wav

RATE = 16_000
MEDIA = Path(__file__).parents[3] / "media"


def test_level_and_length() -> None:
    music = calm(RATE)
    assert music.size == LOOP_S * RATE
    assert rms_dbfs(music) == pytest.approx(-20, abs=0.5)
    assert peak_dbfs(music) < -6
    assert all(-26 < rms_dbfs(piece) < -16 for piece in music.reshape(-1, RATE // 2))


def test_it_lies_within_what_a_telephone_carries() -> None:
    power = np.abs(np.fft.rfft(calm(RATE))) ** 2
    hertz = np.fft.rfftfreq(LOOP_S * RATE, 1 / RATE)
    assert power[(hertz > 290) & (hertz < 3400)].sum() / power.sum() > 0.95


def test_the_seam_is_as_smooth_as_the_rest() -> None:
    music = calm(RATE)
    second = np.abs(np.diff(np.concatenate([music, music[:100]]), 2))
    assert second[music.size - 2 :].max() <= second[: music.size - 2].max()


def test_the_file_in_media_is_what_the_code_makes() -> None:
    file = MEDIA / "hold" / "calm.wav"
    assert file.stat().st_size < 1 << 20
    np.testing.assert_allclose(samples_of(read_wav(file.read_bytes()).pcm), calm(RATE), atol=2 / 32768)
