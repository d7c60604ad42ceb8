"""The limits of a trunk: channels over both directions, calls per second for each; a bucket never gives more."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialplan.schema import TrunkLimits
from gateway.engine.limits import Admission, Bucket, Limit, Refusal


class Trunks:
    """Plan and legs, to be changed at will."""

    def __init__(self, **limits: TrunkLimits) -> None:
        self.limits, self.legs = dict(limits), Counter[str]()
        self.admission = Admission(self.limits.get, self.legs)

    def takes_in(self, trunk: str, now: float = 0.0) -> bool:
        """An INVITE comes; it becomes a leg if it may."""
        admitted = self.admission.admit_in(trunk, now) is None
        self.legs[trunk] += admitted
        return admitted

    def takes_out(self, trunk: str, now: float = 0.0) -> bool:
        """We dial if we may."""
        admitted = self.admission.admit_out(trunk, now) is None
        self.legs[trunk] += admitted
        return admitted


# ── The bucket ──────────────────────────────────────────────────────────────────────────────────────


def test_a_bucket_gives_one_seconds_worth_at_once_and_then_its_rate():
    bucket = Bucket()
    assert [bucket.take(3, 10.0) for _ in range(5)] == [True, True, True, False, False]
    assert [bucket.take(3, 10.0 + 0.34 * step) for step in range(1, 4)] == [True, True, True]
    assert not bucket.take(3, 11.03)
    assert [bucket.take(3, 100.0) for _ in range(4)] == [True, True, True, False], "a long rest saves up no more"


def test_a_rate_below_one_is_one_call_in_so_many_seconds():
    bucket = Bucket()
    assert [bucket.take(0.5, now) for now in (0.0, 1.0, 1.9, 2.0, 3.9, 4.1)] == [True, False, False, True, False, True]


@given(
    st.floats(0.1, 50, allow_nan=False),
    st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=200),
)
def test_over_any_time_no_more_than_the_rate_and_one_burst(rate: float, pauses: list[float]):
    bucket, now, taken = Bucket(), 1000.0, []
    for pause in pauses:
        now += pause
        if bucket.take(rate, now):
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= max(1, rate) + rate * (taken[last] - taken[first]) + 1e-6


@given(st.floats(0.1, 50, allow_nan=False), st.integers(1, 100))
def test_who_keeps_to_the_rate_is_never_refused(rate: float, calls: int):
    bucket = Bucket()
    assert all(bucket.take(rate, 1000.0 + call * 1.0001 / rate) for call in range(calls))


# ── Trunks ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_trunk_without_limits_takes_everything():
    trunks = Trunks(free=TrunkLimits())
    assert all(trunks.takes_in("free") and trunks.takes_in("unknown") for _ in range(1000))


def test_channels_are_legs_in_both_directions():
    trunks = Trunks(acme=TrunkLimits(channels=2), other=TrunkLimits(channels=1))
    assert trunks.takes_in("acme") and trunks.takes_out("acme")
    assert not trunks.takes_in("acme") and not trunks.takes_out("acme")
    assert trunks.takes_out("other"), "each trunk has its own"
    trunks.legs["acme"] -= 1
    assert trunks.takes_in("acme")


def test_calls_per_second_are_counted_for_each_direction_and_trunk():
    trunks = Trunks(acme=TrunkLimits(cps=2), other=TrunkLimits(cps=1))
    assert [trunks.takes_in("acme") for _ in range(3)] == [True, True, False]
    assert [trunks.takes_out("acme") for _ in range(3)] == [True, True, False]
    assert trunks.takes_in("other")
    assert trunks.takes_in("acme", 0.5) and not trunks.takes_in("acme", 0.6)


def test_a_call_that_finds_no_channel_counts_as_no_new_call():
    trunks = Trunks(acme=TrunkLimits(channels=1, cps=2))
    assert [trunks.takes_in("acme") for _ in range(9)] == [True, *[False] * 8]
    trunks.legs["acme"] -= 1
    assert trunks.takes_in("acme"), "the second token of this second is still there"


def test_another_plan_holds_for_new_calls_and_live_ones_are_counted_on():
    trunks = Trunks(acme=TrunkLimits(channels=3))
    assert [trunks.takes_in("acme") for _ in range(4)] == [True, True, True, False]
    trunks.limits["acme"] = TrunkLimits(channels=4)
    assert [trunks.takes_in("acme") for _ in range(2)] == [True, False]
    trunks.limits["acme"] = TrunkLimits(channels=2)
    trunks.legs["acme"] -= 2
    assert not trunks.takes_in("acme")
    del trunks.limits["acme"]
    assert trunks.takes_in("acme")


@pytest.mark.parametrize(
    ("limits", "limit", "why"),
    [
        (TrunkLimits(channels=1), Limit.CHANNELS, "trunk acme has reached limits.channels: 1 calls at a time"),
        (TrunkLimits(cps=0.5), Limit.CPS, "trunk acme has reached limits.cps: 0.5 new calls per second"),
    ],
)
def test_a_refusal_says_which_limit(limits: TrunkLimits, limit: Limit, why: str):
    trunks = Trunks(acme=limits)
    assert trunks.takes_in("acme")
    refusal = trunks.admission.admit_in("acme", 0.0)
    assert isinstance(refusal, Refusal)
    assert (refusal.trunk, refusal.limit, refusal.why) == ("acme", limit, why)
