"""The ringback tone."""

from gateway.audio.pcm import pcm_of
from gateway.audio.ringback import ringback
from tests.spectrum import has_tone, rms_db

RATE = 8000


def test_it_rings_two_seconds_and_is_silent_for_four() -> None:
    loop = ringback(RATE)
    rings, silence = pcm_of(loop[: 2 * RATE]), pcm_of(loop[2 * RATE :])
    assert len(loop) == 6 * RATE
    assert has_tone(rings, 440) and has_tone(rings, 480)
    assert rms_db(silence) < -90


def test_it_begins_and_ends_without_a_click() -> None:
    loop = ringback(RATE)
    assert abs(float(loop[0])) < 0.01 and abs(float(loop[2 * RATE - 1])) < 0.01
