"""Which call or leg is meant by how little of its name."""

import pytest

from gateway.watch.client import WatchError
from gateway.watch.options import UsageError
from gateway.watch.pick import only_supervisor, pick_call, pick_leg
from gateway.watch.rows import CallRow, LegRow
from tests.unit.watch.boards import CUSTOMER, a_call

OLD = a_call("call_01KAJ0000000000000000A1B2C", age_s=60)
NEW = a_call("call_01KAJ0000000000000000X9Y8Z", age_s=5)
OTHER = a_call("call_01KAK0000000000000000A1B2C", age_s=30)
ALL = (OLD, NEW, OTHER)


@pytest.mark.parametrize(
    ("given", "rows", "meant"),
    [
        (None, (OLD,), OLD),
        ("last", (OLD, NEW, OTHER), NEW),
        (OLD.call_id, ALL, OLD),
        ("Y8Z", ALL, NEW),
        ("y8z", ALL, NEW),
        ("01KAK", ALL, OTHER),
        ("call_01KAK", ALL, OTHER),
    ],
)
def test_the_call_that_is_meant(given: str | None, rows: tuple[CallRow, ...], meant: CallRow) -> None:
    assert pick_call(given, rows) == meant.call_id


def test_a_whole_id_is_taken_even_if_the_call_is_over() -> None:
    assert pick_call("call_01ZZZ", ALL) == "call_01ZZZ"


def test_an_id_that_is_the_beginning_of_another_is_itself() -> None:
    assert pick_call("call_1", (a_call("call_1"), a_call("call_11"))) == "call_1"


@pytest.mark.parametrize(
    ("given", "rows", "error", "says"),
    [
        (None, (), WatchError, "no call is up"),
        ("last", (), WatchError, "no call is up"),
        (None, ALL, UsageError, f"3 calls are up: say which .*: {NEW.call_id} .*, {OTHER.call_id} .*, {OLD.call_id} "),
        ("A1B2C", ALL, UsageError, f"A1B2C may be any of 2 calls: {OTHER.call_id} .*, {OLD.call_id} "),
        ("QQQ", ALL, WatchError, "no call that is up has an id that begins or ends with QQQ: call_"),
        ("QQQ", (), WatchError, "begins or ends with QQQ: none is up"),
        ("8Z", ALL, UsageError, "8Z is no call: write an id"),
        ("a b c", ALL, UsageError, "a b c is no call"),
        (None, tuple(a_call(f"call_{n}") for n in range(9)), UsageError, "9 calls are up: .* and 5 more"),
    ],
)
def test_what_is_not_clear(given: str | None, rows: tuple[CallRow, ...], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        pick_call(given, rows)
    assert "\n" not in str(caught.value) and "5550123" not in str(caught.value)


AGENT, SECOND = LegRow("leg_01A1B2C", "agent", "connected"), LegRow("leg_01X9Y8Z", "agent", "dialling")
SUE, TIM = LegRow("leg_01S", "supervisor", "connected"), LegRow("leg_01T", "supervisor", "connected")
CALL = a_call(legs=(CUSTOMER, AGENT, SECOND, SUE))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("customer", CUSTOMER), ("agent 2", SECOND), ("leg_01A1B2C", AGENT), ("Y8Z", SECOND), ("01a1", AGENT),
        ("supervisor", SUE),
    ],
)  # fmt: skip
def test_the_leg_that_is_meant(given: str, meant: LegRow) -> None:
    assert pick_leg(given, CALL) == meant.leg_id


@pytest.mark.parametrize("given", ["agent", "leg_01", "2C", "consult", ""])
def test_a_leg_that_is_not_clear(given: str) -> None:
    with pytest.raises(UsageError, match=rf"--leg {given}: the call has customer \(leg_c\), agent 1 \(leg_01A1B2C\), "):
        pick_leg(given, CALL)


def test_the_only_one_who_listens() -> None:
    assert only_supervisor(CALL) == SUE.leg_id
    with pytest.raises(UsageError, match="nobody listens"):
        only_supervisor(a_call())
    with pytest.raises(UsageError, match="say which with --leg: supervisor 1, supervisor 2"):
        only_supervisor(a_call(legs=(CUSTOMER, SUE, TIM)))
