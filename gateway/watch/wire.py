"""Reads the API's JSON and event stream into rows; tolerant, so that an older or newer gateway can be watched; pure.

All text passes `cleaned` on its way in: nothing that came off a wire can move the terminal's cursor. Used by follow.py.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeVar

from gateway.telemetry.ladder_events import clean
from gateway.watch.rows import CallRow, EndRow, Happened, Hears, LegRow, TrunkRow

Fields = Mapping[str, object]
T = TypeVar("T")

_LONGEST: Final = 300
_METRICS: Final = ("switchhook_calls_limit", "switchhook_draining")


class NotOurs(ValueError):
    """It is no answer of a Switchhook gateway."""


def cleaned(value: object) -> object:
    """The same JSON with texts that fit a terminal."""
    if isinstance(value, str):
        return clean(value[:_LONGEST])
    if isinstance(value, Mapping):
        return {str(cleaned(key)): cleaned(each) for key, each in value.items()}
    return [cleaned(each) for each in value] if isinstance(value, list) else value


def json_object(body: str | bytes) -> Fields:
    """A JSON object as it came, for programs. Raises NotOurs."""
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        raise NotOurs from None
    if not isinstance(read, dict):
        raise NotOurs
    return read


def fit(fields: Fields) -> Fields:
    """The same, cleaned. Raises NotOurs."""
    try:
        return {str(cleaned(key)): cleaned(each) for key, each in fields.items()}
    except RecursionError:
        raise NotOurs from None


def document(body: str | bytes) -> Fields:
    """A JSON object, cleaned. Raises NotOurs."""
    return fit(json_object(body))


def items(answer: Fields) -> list[Fields]:
    """The items of a list. Raises NotOurs."""
    found = answer.get("items")
    if not isinstance(found, list):
        raise NotOurs
    return _objects(found)


# ── rows ────────────────────────────────────────────────────────────────────────────────────────────


def call_of(fields: Fields) -> CallRow:
    """A live call."""
    return CallRow(
        call_id=text(fields, "id"),
        from_=text(fields, "from"),
        to=text(fields, "to"),
        started_at=time(fields, "startedAt") or 0.0,
        channel=text(fields, "channel") or None,
        trunk=text(fields, "trunk") or None,
        state=text(fields, "state"),
        consult=text(fields, "consultState") or "none",
        legs=tuple(_leg_of(leg) for leg in _objects(fields.get("legs"))),
        hearing=tuple(Hears(text(edge, "source"), text(edge, "sink")) for edge in _objects(fields.get("hearing"))),
    )


def _leg_of(fields: Fields) -> LegRow:
    return LegRow(
        leg_id=text(fields, "legId"),
        role=text(fields, "role"),
        state=text(fields, "state"),
        room=text(fields, "room"),
        muted=fields.get("muted") is True,
        held=fields.get("held") is True,
        peer_hold=text(fields, "peerHold") or "sendrecv",
        mode=text(fields, "mode") or None,
        whisper_to=text(fields, "whisperTo") or None,
    )


def trunk_of(fields: Fields) -> TrunkRow:
    """A trunk."""
    return TrunkRow(
        name=text(fields, "name"),
        host=text(fields, "host"),
        state=text(fields, "state") or "unknown",
        registration=text(fields, "registration") or "none",
        since=time(fields, "since"),
        calls=whole(fields, "calls") or 0,
        max_calls=whole(fields, "maxCalls"),
        detail=text(fields, "detail") or None,
    )


def end_of_cdr(fields: Fields) -> EndRow:
    """A CDR."""
    result, reason = cause_of(fields)
    return EndRow(
        call_id=text(fields, "callId"),
        at=time(fields, "endedAt") or 0.0,
        started_at=time(fields, "startedAt") or 0.0,
        from_=text(fields, "from"),
        to=text(fields, "to"),
        duration_ms=whole(fields, "durationMs") or 0,
        result=result,
        reason=reason,
        ended_by=text(fields, "endedBy"),
    )


def event_of(fields: Fields) -> Happened:
    """An event. Raises NotOurs."""
    seq, data = whole(fields, "seq"), fields.get("data")
    if seq is None:
        raise NotOurs
    return Happened(
        seq,
        text(fields, "type"),
        time(fields, "at") or 0.0,
        text(fields, "callId"),
        text(fields, "legId") or None,
        data if isinstance(data, dict) else {},
    )


def cause_of(fields: Fields) -> tuple[str, str]:
    """The result and reason of a `cause`."""
    cause = fields.get("cause")
    return (text(cause, "result"), text(cause, "reason")) if isinstance(cause, Mapping) else ("unknown", "")


# ── fields ──────────────────────────────────────────────────────────────────────────────────────────


def text(fields: Fields, name: str) -> str:
    """A text; "" if there is none."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def whole(fields: Fields, name: str) -> int | None:
    """A whole number."""
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def time(fields: Fields, name: str) -> float | None:
    """An RFC 3339 time as seconds since the epoch."""
    try:
        return datetime.fromisoformat(text(fields, name)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _objects(value: object) -> list[Fields]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def metrics_of(body: str) -> dict[str, float]:
    """The few metrics that are shown, from Prometheus' text."""
    found: dict[str, float] = {}
    for line in body.splitlines():
        name, _, value = line.partition(" ")
        if name in _METRICS:
            try:
                found[name.removeprefix("switchhook_")] = float(value)
            except ValueError:
                continue
    return found


# ── server-sent events ──────────────────────────────────────────────────────────────────────────────


class Frames:
    """Puts the lines of an event stream together (HTML, §9.2.6), of which the gateway uses data and comments."""

    def __init__(self) -> None:
        self._data: list[str] = []

    def take(self, line: str) -> Iterator[Happened | str]:
        """What the next line completes: an event, or the text of a comment. Raises NotOurs."""
        if line.startswith(":"):
            yield clean(line[1:].strip()[:_LONGEST])
        elif line.startswith("data:"):
            self._data.append(line[5:].removeprefix(" "))
        elif not line and self._data:
            data, self._data = "\n".join(self._data), []
            yield event_of(document(data))


def newest(ends: Sequence[EndRow], count: int) -> list[EndRow]:
    """So many ends, the newest first, each call once."""
    by_call = {end.call_id: end for end in ends}
    return sorted(by_call.values(), key=lambda end: end.at, reverse=True)[:count]
