"""The door: shut when draining, full or overloaded; SIP is told at each change and only then."""

from collections.abc import Callable
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.model import CallId
from gateway.engine.call import LiveCall
from gateway.engine.intake import Intake, Shut
from gateway.engine.live import Live
from gateway.engine.overload import Overload
from tests.fakes.legs import FakeLegs


class Door:
    """An intake whose node is what the test says."""

    def __init__(self, limit: int = 100, draw: Callable[[int, int], int] = lambda low, high: low) -> None:
        self.live, self.overload, self.legs = Live(limit), Overload(), FakeLegs()
        self.intake = Intake(self.live, self.overload, self.legs, draw)
        self.now = 1000.0

    def holds(self, calls: int) -> Shut | None:
        """So many calls are up."""
        self.live.calls = {CallId(f"call_{number}"): cast(LiveCall, None) for number in range(calls)}
        return self.looks()

    def is_overloaded(self, on: bool = True) -> Shut | None:
        self.overload.on = on
        return self.looks()

    def looks(self, after_s: float = 0.0) -> Shut | None:
        self.now += after_s
        return self.intake.look(self.now)

    @property
    def told(self) -> list[tuple[int | None, bool]]:
        """What SIP was told."""
        return self.legs.turned_away


def test_open_at_first_and_nothing_is_told():
    door = Door()
    assert door.holds(99) is None
    assert door.told == []


def test_full_is_told_once_and_taken_back_when_some_places_are_free():
    door = Door(500)
    assert [door.holds(calls) for calls in (499, 500, 499, 500, 491)] == [None, *[Shut.FULL] * 4]
    assert door.told == [(30, False)]
    assert door.holds(490) is None
    assert door.told == [(30, False), (None, False)]
    assert door.holds(499) is None


def test_of_few_places_one_free_is_enough():
    door = Door(2)
    assert [door.holds(calls) for calls in (2, 1, 2, 0)] == [Shut.FULL, None, Shut.FULL, None]


def test_draining_is_for_good():
    door = Door(1)
    door.holds(1)
    door.live.draining = True
    assert door.looks() is Shut.DRAINING
    assert door.holds(0) is Shut.DRAINING
    assert door.is_overloaded() is Shut.DRAINING
    assert door.told == [(30, False), (30, True)]


def test_who_comes_in_an_overload_is_told_another_time_each_second():
    numbers = iter([7, 12, 5])
    drawn: list[tuple[int, int]] = []

    def draw(low: int, high: int) -> int:
        drawn.append((low, high))
        return next(numbers)

    door = Door(draw=draw)
    assert door.is_overloaded() is Shut.OVERLOADED
    for _ in range(24):
        door.looks(0.1)
    assert door.told == [(7, False), (12, False), (5, False)]
    assert drawn == [(5, 15)] * 3
    assert door.is_overloaded(False) is None
    assert door.told[-1] == (None, False)


@given(st.integers(1, 200), st.lists(st.tuples(st.integers(0, 200), st.booleans()), max_size=60))
def test_sip_is_told_what_holds(limit: int, steps: list[tuple[int, bool]]):
    door = Door(limit)
    for calls, late in steps:
        door.overload.on = late
        shut = door.holds(calls)
        assert (shut is None) == (not door.told or door.told[-1][0] is None)
        if calls >= limit:
            assert shut is Shut.FULL
        if calls <= limit - max(1, 0.02 * limit) and not late:
            assert shut is None
    assert all(one != other for one, other in zip(door.told, door.told[1:], strict=False))
