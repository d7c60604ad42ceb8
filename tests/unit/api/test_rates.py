"""Token buckets, with time as the test wants it."""

import pytest

from gateway.api.rates import Rates


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_burst_then_the_rate(clock: Clock):
    rates = Rates(2.0, 3, clock)
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    clock.now = 0.25
    assert rates.take("a") == 0.25
    clock.now = 0.5
    assert [rates.take("a"), rates.take("a")] == [0, 0.5]


def test_refused_requests_cost_nothing(clock: Clock):
    rates = Rates(1.0, 1, clock)
    assert [rates.take("a") for _ in range(100)][-1] == 1
    clock.now = 1.0
    assert rates.take("a") == 0


def test_it_never_holds_more_than_the_burst(clock: Clock):
    rates = Rates(1.0, 2, clock)
    rates.take("a")
    clock.now = 1e6
    assert [rates.take("a") for _ in range(3)] == [0, 0, 1]


def test_names_do_not_share(clock: Clock):
    rates = Rates(1.0, 1, clock)
    assert [rates.take("a"), rates.take("b"), rates.take("a")] == [0, 0, 1]


def test_the_idlest_are_forgotten(clock: Clock):
    rates = Rates(1.0, 1, clock, most=2)
    for name in ("a", "b", "c"):
        rates.take(name)
    assert rates.take("c") == 1 and rates.take("b") == 1 and rates.take("a") == 0
