"""Overload: two late samples of a clock begin it, one never does, calm ends it; whatever the samples."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.overload import WINDOW_S, Overload
from gateway.telemetry.lag import Clock

LOOP, MEDIA = Clock.EVENT_LOOP, Clock.MEDIA


class Node:
    """Samples come as telemetry/lag.py takes them."""

    def __init__(self) -> None:
        self.overload, self.now = Overload(0.05), 1000.0
        self.changes: list[bool] = []

    def is_late(self, *late_s: float, clock: Clock = LOOP) -> None:
        """A sample each 100 ms (of the media clock: each second)."""
        for late in late_s:
            self.now += 0.1 if clock is LOOP else 1.0
            if self.overload.sample(clock, late, self.now):
                self.changes.append(self.overload.on)

    def is_on_time(self, seconds: float) -> None:
        self.is_late(*[0.001] * round(seconds * 10))


def test_a_single_hiccup_however_long_turns_no_call_away():
    node = Node()
    node.is_late(3.0, 0.001)
    node.is_on_time(5.0)
    node.is_late(0.3)
    node.is_on_time(5.0)
    assert node.changes == []


def test_two_late_samples_within_five_seconds_are_an_overload():
    node = Node()
    node.is_late(0.06)
    node.is_on_time(4.5)
    node.is_late(0.051)
    assert node.changes == [True] and node.overload.times == 1
    assert node.overload.late_s(LOOP) == 0.051


def test_exactly_the_limit_is_not_late():
    node = Node()
    node.is_late(0.05, 0.05, 0.05)
    assert node.changes == []


def test_the_media_clock_counts_by_itself():
    node = Node()
    node.is_late(0.2)
    node.is_late(0.2, clock=MEDIA)
    assert node.changes == [], "one hiccup that both saw is one hiccup"
    node.is_late(0.06, clock=MEDIA)
    assert node.changes == [True]


def test_it_ends_after_five_seconds_below_the_half():
    node = Node()
    node.is_late(0.1, 0.1)
    node.is_on_time(9.8)
    assert node.changes == [True], "five seconds until they are out of the window, and five of calm"
    node.is_on_time(0.4)
    assert node.changes == [True, False]
    node.is_late(0.1, 0.1)
    assert node.changes == [True, False, True] and node.overload.times == 2


def test_between_the_half_and_the_limit_it_stays_as_it_is():
    node = Node()
    node.is_late(*[0.03] * 200)
    assert node.changes == []
    node.is_late(0.1, 0.1)
    node.is_late(*[0.03] * 200)
    assert node.changes == [True]
    node.is_on_time(8.0)
    node.is_late(0.03, 0.03)
    node.is_on_time(9.0)
    assert node.changes == [True], "the calm was broken"
    node.is_on_time(2.0)
    assert node.changes == [True, False]


def test_a_media_clock_that_nobody_watches_any_more_is_forgotten():
    node = Node()
    node.is_late(0.1, 0.1, clock=MEDIA)
    node.is_on_time(12)
    assert node.changes == [True, False]


LATE = st.sampled_from([0.0, 0.01, 0.024, 0.026, 0.049, 0.051, 0.5])


@given(st.lists(st.tuples(st.sampled_from(Clock), LATE, st.floats(0.001, 2.0)), max_size=150))
def test_it_is_true_to_its_rule(samples: list[tuple[Clock, float, float]]):
    overload, now, past = Overload(0.05), 0.0, list[tuple[Clock, float, float]]()
    began = 0
    for clock, late_s, pause in samples:
        now += pause
        past.append((clock, late_s, now))
        was = overload.on
        changed = overload.sample(clock, late_s, now)
        assert changed == (was != overload.on)
        in_window = [(which, late) for which, late, at in past if at > now - WINDOW_S]
        many = any(sum(which is one and late > 0.05 for which, late in in_window) >= 2 for one in Clock)
        if many:
            assert overload.on
        if changed and overload.on:
            assert many
            began += 1
        if changed and not overload.on:
            assert all(sum(which is one and late >= 0.025 for which, late in in_window) < 2 for one in Clock)
    assert overload.times == began
