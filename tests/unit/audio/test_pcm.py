"""PCM arithmetic keeps lengths, levels and frequencies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audio import pcm


def sine(hertz: float, rate: int, seconds: float = 1.0, level: float = 0.5) -> pcm.Samples:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def loudest_hertz(samples: pcm.Samples, rate: int) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * rate / samples.size)


@given(st.binary(max_size=400))
def test_bytes_to_samples_and_back(data: bytes) -> None:
    assert pcm.pcm_of(pcm.samples_of(data)) == data[: len(data) - len(data) % 2]


def test_over_full_scale_is_clipped_not_wrapped() -> None:
    assert pcm.pcm_of(np.array([2.0, -2.0], dtype=np.float32)) == b"\xff\x7f\x00\x80"


@given(st.integers(0, 100_000), st.sampled_from([8000, 16000, 48000]))
def test_ms_and_samples_agree(ms: int, rate: int) -> None:
    assert pcm.ms_of(pcm.samples_in(ms, rate), rate) == ms
    assert len(pcm.silence(ms, rate)) == 2 * pcm.samples_in(ms, rate)


@pytest.mark.parametrize(("rate", "to_rate"), [(22050, 8000), (16000, 8000), (22050, 16000), (8000, 48000)])
def test_resampling_keeps_pitch_level_and_length(rate: int, to_rate: int) -> None:
    there = pcm.resample(sine(1000, rate), rate, to_rate)
    assert abs(there.size - to_rate) <= 1
    assert loudest_hertz(there, to_rate) == pytest.approx(1000, abs=2)
    assert pcm.rms_dbfs(there) == pytest.approx(pcm.rms_dbfs(sine(1000, rate)), abs=0.2)


def test_resampling_folds_nothing_back() -> None:
    assert pcm.rms_dbfs(pcm.resample(sine(6000, 22050), 22050, 8000)[200:-200]) < -70


def test_a_resampled_loop_has_no_seam() -> None:
    loop = sine(440, 16000, 0.5)  # 220 whole periods
    there = pcm.resample_loop(loop, 16000, 8000)
    twice = np.concatenate([there, there])
    assert there.size == 4000
    np.testing.assert_allclose(twice, sine(440, 8000, 1.0), atol=2e-3)


def test_trim_leaves_a_little_at_both_ends() -> None:
    rate = 8000
    quiet = np.zeros(rate, dtype=np.float32)
    trimmed = pcm.trim(np.concatenate([quiet, sine(500, rate), quiet]), rate, lead_ms=5, tail_ms=100)
    assert trimmed.size / rate == pytest.approx(1.105, abs=0.002)
    assert pcm.trim(quiet, rate).size == 0


@given(st.floats(0.01, 1.0), st.floats(0.1, 10.0))
def test_amplify_never_passes_the_ceiling(level: float, gain: float) -> None:
    louder = pcm.amplify(sine(500, 8000, 0.1, level), gain)
    assert np.abs(louder).max() <= 0.9001


def test_levels() -> None:
    assert pcm.peak_dbfs(sine(500, 8000)) == pytest.approx(-6.02, abs=0.05)
    assert pcm.rms_dbfs(sine(500, 8000)) == pytest.approx(-9.03, abs=0.05)
    assert pcm.rms_dbfs(np.zeros(10, dtype=np.float32)) == float("-inf") == pcm.peak_dbfs(pcm.samples_of(b""))


@pytest.mark.parametrize("level", [1.0, 0.1])
def test_a_tone_is_found_at_its_frequency_and_nowhere_else(level: float) -> None:
    samples = sine(1300, 8000, seconds=0.8, level=level)
    assert pcm.tone_dbfs(samples, 8000, 1300) == pytest.approx(20 * np.log10(level), abs=0.1)
    assert pcm.tone_dbfs(samples, 8000, 500) < -80


def test_there_is_no_tone_in_silence() -> None:
    assert pcm.tone_dbfs(np.zeros(800, dtype=np.float32), 8000, 500) == float("-inf")
    assert pcm.tone_dbfs(np.zeros(0, dtype=np.float32), 8000, 500) == float("-inf")
