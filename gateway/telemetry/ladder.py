"""Draws calls as a ladder (who sent what to whom, when) from the log lines of gateway and phone; for phone and demo.

Pure: an event (a dict as it stands in a JSON line) gives lines of text. Events that it does not know give none.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from gateway.telemetry.ladder_events import AGENT, BOT, DRAWN, Arrow, Mark, clean

Event: TypeAlias = Mapping[str, Any]

_TIME: Final = 9
_NARROWEST: Final = 60
_WIDEST_LANE: Final = 60
_LONGEST_LABEL: Final = 600
_STYLES: Final = {
    "sip": "cyan",
    "speech": "green",
    "digit": "bold yellow",
    "bot": "magenta",
    "note": "dim",
    "bad": "bold red",
}


def at(event: Event) -> float:
    """When it happened: `at` of the phone (seconds since the epoch) or `timestamp` of the log (ISO 8601); else 0."""
    try:
        if "at" in event:
            return float(event["at"])
        return datetime.fromisoformat(str(event["timestamp"])).timestamp()
    except (KeyError, TypeError, ValueError):
        return 0.0


def kind(event: Event) -> str:
    """What happened: `type` of the phone, `event` of the log."""
    return str(event.get("type") or event.get("event") or "")


class InOrder:
    """Puts the events of several processes into one order: each waits until none that is older can come."""

    def __init__(self, wait: float = 0.3) -> None:
        self._wait = wait
        self._waiting: list[Event] = []

    def push(self, event: Event) -> None:
        """An event came."""
        self._waiting.append(event)

    def ready(self, now: float) -> list[Event]:
        """Those that have waited long enough, oldest first; `now` is in seconds since the epoch."""
        self._waiting.sort(key=at)
        count = sum(at(event) <= now - self._wait for event in self._waiting)
        ready, self._waiting = self._waiting[:count], self._waiting[count:]
        return ready


class Ladder:
    """Two or three parties side by side; the first event that is drawn is at 0.000 and brings the heading.

    A fourth, the agent, and any after it takes the third one's column when it has something to show, and gives it back;
    each time with a heading.
    """

    def __init__(self, parties: Sequence[str], width: int = 80) -> None:
        self._parties = tuple(parties)
        self._lanes = lanes = min(len(parties) - 1, BOT)
        self._right = lanes
        """Who is in the column on the right."""
        self._lane = min((max(width, _NARROWEST) - _TIME - lanes - 1) // lanes, _WIDEST_LANE)
        self._start: float | None = None

    def lines(self, event: Event) -> list[Text]:
        """What to print for this event; each line without its line feed."""
        draw = DRAWN.get(kind(event))
        drawn = list(draw(event)) if draw is not None else []
        drawn = [each for each in drawn if self._fits(each)]
        if not drawn:
            return []
        right = max((_last(each) for each in drawn if _last(each) >= self._lanes), default=self._right)
        begins, changes = self._start is None, right != self._right
        self._right = right
        heading = [self._heading()] if begins or changes else []
        if self._start is None:
            self._start = at(event)
        passed = max(0.0, at(event) - self._start)
        lines: list[Text] = []
        for each in drawn:
            lines += self._arrow(each) if isinstance(each, Arrow) else self._mark(each)
        for number, line in enumerate(lines):
            time = f"{passed:{_TIME - 1}.3f} " if number == 0 else " " * _TIME
            lines[number] = Text(time, style="dim").append_text(line)
        return heading + lines

    def _fits(self, drawn: Arrow | Mark) -> bool:
        """Whether its party is there, and for a mark a lane beside it that is its own."""
        last = len(self._parties) - 1
        if isinstance(drawn, Arrow):
            return _last(drawn) <= last
        return drawn.party < self._lanes or AGENT <= drawn.party <= last

    def _heading(self) -> Text:
        line, last = " " * (_TIME - 1), self._lanes
        for number, name in enumerate((*self._parties[:last], self._parties[self._right])):
            name = clean(name)[: self._lane - 2]
            before = 0 if number == 0 else cell_len(name) - 1 if number == last else cell_len(name) // 2
            begin = _TIME + number * (self._lane + 1) - before
            line = set_cell_size(line, max(begin, cell_len(line) + 1)) + name
        return Text(line, style="bold")

    def _row(self, lane: int, content: Text) -> Text:
        """The parties' life lines with something in one lane between them."""
        row = Text("│")
        for number in range(self._lanes):
            if number == lane:
                row.append_text(content)
            row.append(" " * (self._lane - (content.cell_len if number == lane else 0)) + "│")
        return row

    def _arrow(self, arrow: Arrow) -> list[Text]:
        style = _STYLES[arrow.style]
        lane = min(arrow.source, arrow.sink, self._lanes - 1)
        right = arrow.sink > arrow.source
        label = clean(arrow.label)[:_LONGEST_LABEL]
        room = self._lane - 8
        rows = _wrapped(label, room)
        dash = "╌" if arrow.style == "speech" else "─"
        shaft = dash * 3 + f" {rows[0]} "
        shaft += dash * (self._lane - 1 - cell_len(shaft))
        drawn = [shaft + "▶" if right else "◀" + shaft]
        drawn += ["     " + row for row in rows[1:]]
        return [self._row(lane, Text(row, style=style)) for row in drawn]

    def _mark(self, mark: Mark) -> list[Text]:
        style = _STYLES[mark.style]
        rows = _wrapped(clean(mark.text)[:_LONGEST_LABEL], self._lane - 4)
        if mark.party >= self._lanes:
            ends = [" · "] + ["   "] * (len(rows) - 1)
            texts = [set_cell_size("", self._lane - 3 - cell_len(row)) + row for row in rows]
            return [
                self._row(self._lanes - 1, Text(row + end, style=style)) for row, end in zip(texts, ends, strict=True)
            ]
        starts = [" · "] + ["   "] * (len(rows) - 1)
        return [self._row(mark.party, Text(start + row, style=style)) for start, row in zip(starts, rows, strict=True)]


def _last(drawn: Arrow | Mark) -> int:
    """The rightmost party of it."""
    return max(drawn.source, drawn.sink) if isinstance(drawn, Arrow) else drawn.party


def _wrapped(text: str, room: int) -> list[str]:
    """The text in rows of at most `room` cells, at spaces where there are some."""
    rows, row = [], ""
    for word in text.split(" "):
        if row and cell_len(row) + 1 + cell_len(word) > room:
            rows.append(row)
            row = ""
        row = f"{row} {word}" if row else word
        while cell_len(row) > room:
            cut = next(n for n in range(len(row), 0, -1) if cell_len(row[:n]) <= room)
            rows.append(row[:cut])
            row = row[cut:]
    return [*rows, row] if row or not rows else rows


def summary(events: Iterable[Event]) -> list[Text]:
    """How the call ended, who ended it, how long it took, and where the recording is."""
    last: dict[str, Event] = {}
    first: dict[str, Event] = {}
    for event in events:
        last[kind(event)] = event
        first.setdefault(kind(event), event)
    lines: list[Text] = []
    if "call.ended" in last:
        lines.append(_ending(last["call.ended"]))
    elif "ended" in last:
        lines.append(_phone_ending(last["ended"], first.get("answered"), called="incoming" in first))
    elif "error" in last:
        lines.append(Text(f"failed: {clean(last['error'].get('detail', ''))}", style=_STYLES["bad"]))
    if "recorded" in last:
        recorded = last["recorded"]
        lines.append(Text(f"what the phone heard: {clean(recorded['file'])} ({recorded['seconds']} s)"))
    return lines


def _ending(ended: Event) -> Text:
    seconds = float(ended.get("duration_ms") or 0) / 1000
    by = clean(ended.get("ended_by") or "nobody")
    return Text(f"call ended by the {by}, cause {clean(ended.get('cause', 'unknown'))}, after {seconds:.1f} s")


def _phone_ending(ended: Event, answered: Event | None, *, called: bool) -> Text:
    status = f"{ended.get('status')} {clean(ended.get('reason') or '')}".strip()
    why = f" ({clean(ended['reason_header'])})" if ended.get("reason_header") else ""
    if answered is None and called:
        how = {"peer": "given up by the caller", "phone": "refused"}.get(str(ended.get("by")), "failed")
        return Text(f"call {how}: {status}{why}", style=_STYLES["bad"])
    if answered is None:
        how = {"phone": "given up", "network": "failed"}.get(str(ended.get("by")), "refused")
        return Text(f"call {how}: {status}{why}", style=_STYLES["bad"])
    return Text(f"call ended by the {clean(ended.get('by'))}{why}, after {at(ended) - at(answered):.1f} s")
