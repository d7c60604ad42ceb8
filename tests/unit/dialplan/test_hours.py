"""Opening hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialplan.hours import DAYS, parse_hours

NEW_YORK = ZoneInfo("America/New_York")
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def is_open(hours: str, day: str, time: str) -> bool:
    hour, minute = map(int, time.split(":"))
    zone = parse_hours(hours).zone
    at = datetime(2026, 11, 23 + DAYS.index(day), hour, minute, tzinfo=zone)
    return parse_hours(hours).open_at(at.astimezone(UTC))


@pytest.mark.parametrize(
    ("hours", "opened", "closed"),
    [
        ("mon-fri 09:00-18:00", "mon 09:00, wed 12:00, fri 17:59", "mon 08:59, fri 18:00, sat 12:00"),
        ("mon-fri 09:00-18:00 America/New_York", "mon 09:00", "mon 08:59"),
        (
            "mon-fri 09:00-12:00, mon-fri 13:00-18:00, sat 10:00-14:00",
            "mon 11:59, tue 13:00, sat 10:00",
            "mon 12:30, sat 14:00",
        ),
        ("mon, wed, fri 9:00-12:00 Europe/Oslo", "mon 09:00, wed 10:00, fri 11:00", "tue 10:00, thu 10:00"),
        ("fri 22:00-02:00", "fri 22:00, fri 23:59, sat 00:00, sat 01:59", "fri 01:00, sat 02:00, sat 22:00"),
        ("sun 22:00-02:00", "sun 23:00, mon 01:00", "sun 01:00"),
        ("sat-mon 00:00-24:00", "sat 00:00, sun 12:00, mon 23:59", "tue 00:00, fri 23:59"),
        ("08:00-20:00", "mon 08:00, sun 19:59", "mon 07:59, sun 20:00"),
        ("Mon-Fri 09:00 - 18:00 UTC", "mon 09:00", "sun 09:00"),
    ],
)
def test_hours(hours: str, opened: str, closed: str) -> None:
    for moment in opened.split(", "):
        assert is_open(hours, *moment.split()), moment
    for moment in closed.split(", "):
        assert not is_open(hours, *moment.split()), moment


def test_summer_time_is_the_zones_business() -> None:
    hours = parse_hours("mon-fri 09:00-18:00 America/New_York")
    assert hours.open_at(datetime(2026, 7, 1, 13, 0, tzinfo=UTC))  # EDT
    assert not hours.open_at(datetime(2026, 12, 1, 13, 0, tzinfo=UTC))  # EST


def test_a_moment_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        parse_hours("09:00-18:00").open_at(datetime(2026, 1, 1))


@pytest.mark.parametrize(
    "text",
    ["", "mon-fri", "9-5", "mon 09:00", "mon 09:00-25:00", "mon 24:00-09:00", "mon 09:60-10:00", "mon 09:00-09:00",
     "xyz 09:00-10:00", "mon-wed-fri 09:00-10:00", "mon 09:00-10:00 x",
     "mon 09:00-10:00 America", "mon 09:00-10:00 ../../etc/passwd", "mon 09:00-10:00 tue",
     "mon 09:00-10:00,", ",", "mon 09:00-10:00 Mars/Phobos", "x" * 1000],
)  # fmt: skip
def test_what_are_not_hours(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_hours(text)


@given(st.text(alphabet=st.sampled_from("monfrisatu-: ,0123456789/AZ"), max_size=40))
def test_any_text_is_hours_or_a_value_error(text: str) -> None:
    try:
        assert parse_hours(text).spans
    except ValueError as error:
        assert str(error)


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 1439), st.integers(1, 1440), st.integers(0, 7 * 1440 - 1))
def test_a_span_is_open_exactly_between_its_ends(first: int, last: int, start: int, end: int, minute: int) -> None:
    if start == end:
        return
    text = f"{DAYS[first]}-{DAYS[last]} {start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
    days = [(first + step) % 7 for step in range((last - first) % 7 + 1)]
    length = (end - start) % 1440 or 1440
    expected = any((minute - (day * 1440 + start)) % (7 * 1440) < length for day in days)
    assert parse_hours(text).open_at(MONDAY + timedelta(minutes=minute)) is expected
