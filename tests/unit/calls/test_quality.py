"""The MOS estimate, and how a leg's RTP reads in JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.quality import RtpFlow, RtpQuality, as_json, mos

codecs = st.sampled_from(["PCMU", "PCMA", "G722", "opus", "G729", "unheard-of"])
parts = st.floats(0, 1)
delays = st.floats(0, 60_000)


@given(codecs, parts, delays)
def test_it_is_on_the_scale(codec: str, loss: float, delay_ms: float):
    assert 1 <= mos(codec, loss, delay_ms) <= 4.5


@given(codecs, parts, parts, delays, delays)
def test_more_loss_or_more_delay_is_never_better(codec: str, loss: float, more: float, delay_ms: float, longer: float):
    worse = mos(codec, max(loss, more), max(delay_ms, longer))
    assert worse <= mos(codec, min(loss, more), min(delay_ms, longer)) + 1e-9


@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "G722", "opus"])
def test_a_clean_call_is_as_good_as_it_gets(codec: str):
    assert mos(codec, 0, 60) >= 4.3


def test_what_is_known_of_a_codec_counts():
    assert 3.9 < mos("G729", 0, 60) < 4.2 < mos("PCMU", 0, 60)
    assert mos("PCMU", 0.05, 60) - mos("G729", 0.05, 60) > 0.3


@pytest.mark.parametrize(
    ("loss", "delay_ms", "r"),
    [(0, 0, 93.2), (0.01, 0, 93.2 - 95 / 26.1), (0, 100, 90.8), (0, 277.3, 93.2 - 0.024 * 277.3 - 11)],
)
def test_it_is_the_e_model(loss: float, delay_ms: float, r: float):
    assert mos("PCMU", loss, delay_ms) == pytest.approx(1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


@given(st.integers(0, 1000), st.integers(0, 2000), st.none() | delays, st.none() | delays)
def test_a_flow_is_on_the_scale_too(expected: int, lost: int, jitter_ms: float | None, round_trip_ms: float | None):
    flow = RtpFlow(expected, lost, jitter_ms, jitter_ms)
    assert 0 <= flow.loss <= 1
    estimate = flow.mos("PCMU", round_trip_ms)
    assert estimate is None if expected == 0 else estimate is not None and 1 <= estimate <= 4.5


def test_jitter_and_round_trip_count_as_delay():
    steady = RtpFlow(100, 0, 0.0, 0.0)
    assert RtpFlow(100, 0, 60.0, 90.0).mos("PCMU", None) < steady.mos("PCMU", None)
    assert steady.mos("PCMU", 400.0) < steady.mos("PCMU", None)


def test_as_json():
    quality = RtpQuality("PCMU", RtpFlow(150, 15, 7.24, 12.96), 160, RtpFlow(155, 8, 10.0, 10.0), 41.66)
    assert as_json(quality) == {
        "codec": "PCMU",
        "received": {
            "packets": 135, "lost": 15, "lossPercent": 10.0, "jitterMs": 7.2, "jitterMaxMs": 13.0, "mos": 3.32,
        },
        "sent": {
            "packets": 160, "lost": 8, "lossPercent": 5.16, "jitterMs": 10.0, "jitterMaxMs": 10.0, "mos": 3.82,
        },
        "roundTripMs": 41.7,
    }  # fmt: skip


def test_what_nobody_measured_is_null():
    told = as_json(RtpQuality("PCMU", RtpFlow(0, 0), 5))
    assert told["received"] == {
        "packets": 0, "lost": 0, "lossPercent": 0.0, "jitterMs": None, "jitterMaxMs": None, "mos": None,
    }  # fmt: skip
    assert told["sent"] == {
        "packets": 5, "lost": None, "lossPercent": None, "jitterMs": None, "jitterMaxMs": None, "mos": None,
    }  # fmt: skip
    assert json.loads(json.dumps(told, allow_nan=False)) == told
