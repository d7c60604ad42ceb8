"""Draws the board: lines for a terminal of a given size, what matters most first; pure, called by watch.py.

The first line is the verdict, the second what is wrong. Colour never says anything that the words do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from gateway.watch.board import Board, Link, is_slow
from gateway.watch.columns import Column, fitted, line, widths
from gateway.watch.rows import CallRow, EndRow, TrunkRow
from gateway.watch.words import HEARING, Numbers, clock, event_words, hears, leg, parties, passed, where

NARROWEST: Final = 40
_SILENT_S: Final = 5.0
_BAD, _DOUBTFUL, _FINE, _FAINT, _TITLE = "bold red", "yellow", "green", "dim", "bold"
_FAULTS: Final = {
    "completed": _FINE, "caller": "", "callee": "", "carrier": _DOUBTFUL, "bot": _BAD, "gateway": _BAD,
}  # fmt: skip
"""An end's style by whose doing it was; what is not here is as bad as the gateway's."""

_TRUNKS: Final = (
    Column("TRUNK", 8, 14, 16),
    Column("STATE", 10, 14, 14),
    Column("CALLS", 5, 6, 9),
    Column("REGISTRATION", 12, 12, 12, drop=1),
    Column("HOST", 15, 22, 30, drop=2),
    Column("WHAT IS WRONG", 14, 34, 80),
)
_CALLS: Final = (
    Column("AGE", 7, 7, 8),
    Column("FROM -> TO", 20, 28, 28),
    Column("STATE", 8, 12, 12, drop=1),
    Column("BOT", 11, 16, 22),
    Column("WHO HEARS WHOM", 16, 34, 60),
    Column("CHANNEL", 10, 14, 14, drop=2),
    Column("TRUNK", 10, 14, 14, drop=3),
)
_ENDS: Final = (
    Column("ENDED", 8, 8, 8),
    Column("FROM -> TO", 20, 28, 28),
    Column("TOOK", 7, 7, 7),
    Column("WHY", 19, 21, 30),
    Column("BY", 8, 8, 11, drop=1),
)
_LEAST_HISTORY: Final = 5
"""A blank line, a title and some events are more worth than the rooms, which the legs tell as well."""
_PARTIES: Final = (Column("ROOM", 7, 7, 7), Column("WHO", 20, 30, 40), Column("HEARS", 9, 30, 80))


@dataclass(frozen=True, slots=True)
class Look:
    """How it is drawn: `width` cells, `height` lines (None: as many as there are)."""

    width: int
    height: int | None
    numbers: Numbers


def picture(board: Board, now: float, look: Look) -> Text:
    """All of it. `now` is the time by the gateway's clock; once the gateway is gone, time stands still."""
    gone = board.link is Link.GONE
    shown_at = board.heard_at if gone else now
    look = Look(max(look.width, NARROWEST), look.height, look.numbers)
    rows = [*_header(board, now, look.width), Text()]
    room = None if look.height is None else max(0, look.height - len(rows))
    body = _focus(board, shown_at, look, room) if board.focus else _node(board, shown_at, look, room)
    if gone:
        for row in body:
            row.stylize(_FAINT)
    rows = [*rows, *body][: look.height]
    for row in rows:
        row.truncate(look.width, overflow="ellipsis")
    return Text("\n", no_wrap=True, end="").join(rows)


# ── the verdict ─────────────────────────────────────────────────────────────────────────────────────


def _header(board: Board, now: float, width: int) -> list[Text]:
    minute, all_of_them = board.last_minute(now)
    limit = f" of {board.limit}" if board.limit is not None else ""
    counts = f"{len(board.calls)}{limit} calls up, {'' if all_of_them else 'more than '}{minute} in the last minute"
    match board.link:
        case Link.GONE:
            wait = max(0, round(board.retry_at - now))
            again = f"trying again in {wait} s" if wait else "trying again"
            verdict = (" GONE ", "bold white on red", f"gateway gone since {clock(board.gone_at)}, {again}")
            second = Text(f"{board.address}: {board.why_gone}", style=_BAD)
            third = Text(f"what follows is of {clock(board.heard_at)}, not of now", style=_BAD)
        case Link.CONNECTING:
            verdict = (" ASKING ", "reverse", board.address)
            second, third = Text(), Text()
        case Link.LIVE:
            verdict, second = _live(board), _troubles(board, now)
            third = Text(f"watching {board.focus}" if board.focus else counts)
    badge, style, words = verdict
    time = f"updated {clock(board.heard_at)}" if board.link is Link.LIVE else ""
    room = width - len(badge) - len(time) - 3
    first = Text.assemble((badge, style), "  ", (fitted(words, room), _TITLE), " ", (time, _FAINT))
    return [first, second, third]


def _live(board: Board) -> tuple[str, str, str]:
    if board.ready:
        return " READY ", "bold white on green", board.address
    why = "DRAINING" if board.draining else "NOT READY"
    return f" {why} ", "bold black on yellow", f"{board.address} takes no new calls"


def _troubles(board: Board, now: float) -> Text:
    silent = now - board.heard_at
    if silent > _SILENT_S:
        return Text(f"no answer for {silent:.0f} s: this may be old", style=_BAD)
    found = board.troubles(now)
    return Text("look at: " + "; ".join(found), style=_BAD) if found else Text("nothing is wrong", style=_FINE)


# ── all calls ───────────────────────────────────────────────────────────────────────────────────────


def _node(board: Board, now: float, look: Look, room: int | None) -> list[Text]:
    trunks = _trunks(board, now, look.width, None if room is None else max(1, (room - 6) // 3))
    ends = _ends(board.ends, look, None if room is None else min(5, max(0, (room - len(trunks)) // 3 - 1)))
    left = None if room is None else room - len(trunks) - len(ends) - 1 - bool(ends)
    calls = _calls(board, now, look, left)
    if left is not None:  # the ends keep their place at the foot
        calls += [Text()] * (left - len(calls))
    return [*trunks, Text(), *calls, *([Text(), *ends] if ends else [])]


def _trunks(board: Board, now: float, width: int, most: int | None) -> list[Text]:
    if board.trunks is None:
        return [Text("this key does not see trunks: it is bound to some calls", style=_FAINT)]
    if not board.trunks:
        return [Text("no trunks", style=_FAINT)]
    shown = widths(_TRUNKS, width)
    rows = [_trunk(trunk, now, shown) for trunk in sorted(board.trunks, key=lambda trunk: not trunk.down)]
    return [_title(shown), *_at_most(rows, most, "trunks")]


def _trunk(trunk: TrunkRow, now: float, shown: dict[str, int]) -> Text:
    since = f" {passed(now - trunk.since)}" if trunk.since is not None and trunk.state != "unknown" else ""
    style = _BAD if trunk.state == "down" else _FINE if trunk.state == "up" else ""
    registered = {"registered": _FINE, "pending": _DOUBTFUL, "failed": _BAD}.get(trunk.registration, _FAINT)
    full = trunk.max_calls is not None and trunk.calls >= trunk.max_calls
    calls = f"{trunk.calls}/{trunk.max_calls}" if trunk.max_calls is not None else str(trunk.calls)
    cells = {
        "TRUNK": (trunk.name, _BAD if trunk.down else ""),
        "STATE": (trunk.state + since, style),
        "CALLS": (calls, _DOUBTFUL if full else ""),
        "REGISTRATION": ("-" if trunk.registration == "none" else trunk.registration, registered),
        "HOST": (trunk.host, _FAINT),
        "WHAT IS WRONG": (trunk.detail or "registration failed" * (trunk.registration == "failed"), _BAD),
    }
    return _row(cells, shown)


def _calls(board: Board, now: float, look: Look, most: int | None) -> list[Text]:
    if not board.calls:
        return [Text("no calls", style=_FAINT)]
    shown = widths(_CALLS, look.width)
    rows = sorted(board.calls.values(), key=lambda row: (not _is_odd(row, now), -row.started_at, row.call_id))
    fit = rows if most is None else rows[:most]
    lines = [_call(row, now, look.numbers, shown) for row in fit]
    in_full = [
        each for row, first in zip(fit, lines, strict=True) for each in (first, *_details(row, look.width, shown))
    ]
    if most is None or (len(fit) == len(rows) and len(in_full) < most):
        return [_title(shown), *in_full]
    return [_title(shown), *_at_most(lines, most - 1, "calls", of=len(rows))]


def _is_odd(row: CallRow, now: float) -> bool:
    return row.trouble is not None or is_slow(row, now)


def _call(row: CallRow, now: float, numbers: Numbers, shown: dict[str, int]) -> Text:
    bot, style = _bot(row, now, "STATE" in shown)
    cells = {
        "AGE": (passed(now - row.started_at), ""),
        "FROM -> TO": (numbers.both(row), _TITLE),
        "STATE": (where(row), ""),
        "BOT": (bot, style),
        "WHO HEARS WHOM": (hears(row), ""),
        "CHANNEL": (row.channel or "", _FAINT),
        "TRUNK": (row.trunk or "", _FAINT),
    }
    return _row(cells, shown)


def _bot(row: CallRow, now: float, with_state: bool) -> tuple[str, str]:
    """What the bot does; where the call is, if that has no column and the bot does nothing."""
    if row.trouble is not None:
        return row.trouble, _BAD
    if row.doing is None:
        return ("-" if with_state or row.state == "bot" else where(row)), ""
    if is_slow(row, now):
        return f"slow {passed(now - row.doing.since)}, {row.doing.what.removeprefix('asked: ')}", _DOUBTFUL
    return row.doing.what, ""


def _details(row: CallRow, width: int, shown: dict[str, int]) -> list[Text]:
    """The legs, a line each, and what has no column or no room in it: where the call is, who hears whom."""
    lines = [leg(row, one) for one in row.legs] or ["no leg yet"]
    if "CHANNEL" not in shown and row.channel:
        lines[0] += f"; {row.channel} on {row.trunk}"
    if cell_len(hears(row)) > shown["WHO HEARS WHOM"]:
        lines.append(hears(row))
    return [line([("", 7, ""), (words, width - 9, _FAINT)]) for words in lines]


def _ends(ends: Sequence[EndRow], look: Look, most: int | None) -> list[Text]:
    if not ends or most == 0:
        return []
    shown = widths(_ENDS, look.width)
    return [_title(shown), *(_end(end, look.numbers, shown) for end in ends[:most])]


def _end(end: EndRow, numbers: Numbers, shown: dict[str, int]) -> Text:
    cells = {
        "ENDED": (clock(end.at), _FAINT),
        "FROM -> TO": (numbers.both(end), ""),
        "TOOK": (passed(end.duration_ms / 1000), ""),
        "WHY": (f"{end.result}/{end.reason}", _FAULTS.get(end.result, _BAD)),
        "BY": (end.ended_by, ""),
    }
    return _row(cells, shown)


# ── one call ────────────────────────────────────────────────────────────────────────────────────────


def _focus(board: Board, now: float, look: Look, room: int | None) -> list[Text]:
    """The call that is watched: where it is, its legs, its rooms, and what happened, the newest at the foot."""
    call = _calls(board, now, look, None)
    if not board.calls:
        call = _ends([end for end in board.ends if end.call_id == board.focus], look, None) or call
    rooms = [row for each in board.calls.values() for row in _rooms(each, look.width)]
    if room is None or len(call) + len(rooms) + _LEAST_HISTORY <= room:
        call += rooms
    events = [_event(event.at, event.type, event_words(event, look.numbers), look.width) for event in board.timeline]
    if room is not None:
        events = events[max(0, len(events) - max(1, room - len(call) - 2)) :]
    return [*call, Text(), Text("WHAT HAPPENED", style=_TITLE), *events]


def _rooms(row: CallRow, width: int) -> list[Text]:
    """Everybody in the call: where they are, what is done to them, what they hear."""
    found = [dict(zip(("ROOM", "WHO", "HEARS"), each, strict=True)) for each in parties(row)]
    shown = widths(_PARTIES, width)
    for above, below in zip(found[-2::-1], found[:0:-1], strict=True):  # each room is named once
        if above["ROOM"] == below["ROOM"]:
            below["ROOM"] = ""
    rows = [_row({name: (words, "") for name, words in each.items()}, shown) for each in found]
    return [Text(), _title(shown), *rows] if rows else []


def _event(at: float, kind: str, words: str, width: int) -> Text:
    bad = kind.endswith(".failed") or kind in ("fallback.started", "call.refused")
    style = _BAD if bad else _TITLE if kind == HEARING else ""
    return line([(clock(at), 8, _FAINT), (kind, 17, ""), (words, width - 29, style)])


# ── rows ────────────────────────────────────────────────────────────────────────────────────────────


def _title(shown: dict[str, int]) -> Text:
    return line([(name, shown[name], _TITLE) for name in shown])


def _row(cells: dict[str, tuple[str, str]], shown: dict[str, int]) -> Text:
    return line([(cells[name][0], shown[name], cells[name][1]) for name in shown])


def _at_most(rows: list[Text], most: int | None, what: str, of: int | None = None) -> list[Text]:
    """The first of them, and how many more there are."""
    of = len(rows) if of is None else of
    if most is None or of <= most:
        return rows
    kept = max(0, most - 1)
    return [*rows[:kept], Text(f"and {of - kept} more {what}", style=_FAINT)]
