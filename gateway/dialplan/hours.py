"""Opening hours of a route, `mon-fri 09:00-18:00 America/New_York`; read by schema.py, asked by routing.py.

    hours  = span ("," span)* [zone]
    span   = [day ["-" day]] HH:MM "-" HH:MM          no day: every day
    day    = mon | tue | wed | thu | fri | sat | sun

Days without a time take the next time: `mon, wed, fri 09:00-12:00`. A span that ends before it begins goes on after
midnight: `fri 22:00-02:00` is open on Saturday at 01:00. The end is not part of the span; 24:00 is the end of the day.
The zone (default UTC) is of the tz database and holds for all spans. Times are wall-clock times there, so that summer
time needs no thought.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

from gateway.dialplan.problems import nearest

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EVERY_DAY = frozenset(range(7))
_TIMES = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})", re.ASCII)
_EXAMPLE = "mon-fri 09:00-18:00 America/New_York"


@dataclass(frozen=True, slots=True)
class Span:
    """Some weekdays (0 is Monday) and a time in minutes after midnight; `end` <= `start`: until the next day."""

    days: frozenset[int]
    start: int
    end: int

    def holds(self, day: int, minute: int) -> bool:
        """Whether this weekday and minute lie inside."""
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        began_today = day in self.days and minute >= self.start
        began_yesterday = (day - 1) % 7 in self.days and minute < self.end
        return began_today or began_yesterday


@dataclass(frozen=True, slots=True)
class Hours:
    """When a route is open. `text` is what the plan says."""

    text: str
    spans: tuple[Span, ...]
    zone: ZoneInfo

    def open_at(self, at: datetime) -> bool:
        """Whether the route is open at this moment. Raises ValueError when `at` has no time zone."""
        if at.tzinfo is None:
            raise ValueError("at has no time zone")
        there = at.astimezone(self.zone)
        return any(span.holds(there.weekday(), there.hour * 60 + there.minute) for span in self.spans)


def parse_hours(text: str) -> Hours:
    """Read opening hours. Raises ValueError that says what to write instead."""
    if len(text) > 500:
        raise ValueError("is longer than 500 characters; write fewer spans")
    rest, zone = _zone(text.strip())
    spans: list[Span] = []
    waiting: set[int] = set()
    for piece in rest.split(","):
        times = _TIMES.search(piece)
        if times is None:
            waiting |= _days(piece)
            continue
        if piece[times.end() :].strip():
            raise ValueError(f'"{piece.strip()}" is not a span; write days and times like "{_EXAMPLE}"')
        before = piece[: times.start()].strip()
        days = (_days(before) if before else set()) | waiting
        spans.append(Span(frozenset(days) or _EVERY_DAY, *_minutes(times)))
        waiting = set()
    if waiting or not spans:
        raise ValueError(f'has days without times; write hours like "{_EXAMPLE}"')
    return Hours(text, tuple(spans), zone)


def _zone(text: str) -> tuple[str, ZoneInfo]:
    """Split the zone off: the last word, if it is neither a time nor a day."""
    head, _, last = text.rpartition(" ")
    if not head or not last[:1].isalpha() or _is_days(last):
        return text, ZoneInfo("UTC")
    try:
        return head, ZoneInfo(last)
    except (OSError, ValueError, KeyError):  # a folder of the database, an odd name, an unknown one
        near = nearest(last, available_timezones())
        hint = f'did you mean "{near}"?' if near else "write one like America/New_York"
        raise ValueError(f'there is no time zone "{last}"; {hint}') from None


def _is_days(word: str) -> bool:
    return all(day in DAYS for day in word.lower().split("-"))


def _days(text: str) -> set[int]:
    ends = [part.strip() for part in text.lower().split("-")]
    if len(ends) > 2 or any(day not in DAYS for day in ends):
        raise ValueError(f'"{text.strip()}" is not a day; write mon, tue, wed, thu, fri, sat, sun or mon-fri')
    first, last = DAYS.index(ends[0]), DAYS.index(ends[-1])
    return {(first + step) % 7 for step in range((last - first) % 7 + 1)}


def _minutes(times: re.Match[str]) -> tuple[int, int]:
    from_hour, from_minute, to_hour, to_minute = (int(part) for part in times.groups())
    start, end = from_hour * 60 + from_minute, to_hour * 60 + to_minute
    if from_minute > 59 or to_minute > 59 or start >= 24 * 60 or end > 24 * 60:
        raise ValueError(f'"{times[0]}" is not a time of day; write times from 00:00 to 24:00')
    if start == end:
        raise ValueError(f'"{times[0]}" is empty; write 00:00-24:00 for the whole day')
    return start, end
