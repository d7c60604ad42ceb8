"""What things are called: who is where and hears whom, ages, numbers, legs, events; for picture.py, watch.py, told.py.

Pure. Numbers, digits and what bots attached are masked as in the log, unless the operator asked for them.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway.dialplan.numbers import mask
from gateway.watch.rows import CallRow, EndRow, Happened, LegRow
from gateway.watch.wire import cause_of, text, whole

_DIGITS: Final = re.compile(r"\+?[0-9](?:[-. ()]?[0-9]){4,}", re.ASCII)
_NOBODY: Final = ("anonymous", "")
_MUSIC: Final = "music:"
_UP: Final = "connected"
_PEERS_HOLD: Final = {"sendonly": "holds us", "inactive": "holds us, silent"}
_ROOMS: Final = ("main", "consult", "lobby")
HEARING: Final = "hearing.now"
"""What an event of our own is called, that follows the gateway's: rooms and hearing are others than before."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """How numbers are written."""

    shown: bool = False

    def one(self, number: str) -> str:
        """A caller's or called number."""
        return (number if self.shown or number in _NOBODY else mask(number)) or "-"

    def both(self, row: CallRow | EndRow) -> str:
        """Who called whom."""
        return f"{self.one(row.from_)} -> {self.one(row.to)}"

    def within(self, words: str) -> str:
        """A text that may have a number in it."""
        return words if self.shown else _DIGITS.sub(lambda found: mask(found[0]), words)

    def secret(self, words: str) -> str:
        """Keys that were pressed."""
        return words if self.shown else "•" * len(words)


# ── who hears whom ──────────────────────────────────────────────────────────────────────────────────


def hears(row: CallRow) -> str:
    """Who hears whom, in one phrase: those that hear each other, then who only listens, then who hears nothing."""
    called, edges = names(row.legs), _edges(row)
    pairs = [(a, b) for a, b in edges if (b, a) in edges and _rank(a, called) < _rank(b, called)]
    pairs.sort(key=lambda pair: (_rank(pair[0], called), _rank(pair[1], called)))
    together = {party for pair in pairs for party in pair}
    if len(pairs) > 1 and len(pairs) == len(together) * (len(together) - 1) // 2:
        phrases = [" <-> ".join(called.get(one, one) for one in sorted(together, key=lambda each: _rank(each, called)))]
    else:
        phrases = [f"{called.get(a, a)} <-> {called.get(b, b)}" for a, b in pairs]
    for leg in row.legs:
        one_way = [source for source, sink in edges if sink == leg.leg_id and (sink, source) not in edges]
        one_way.sort(key=lambda source: (_rank(source, called), source))
        if one_way:
            phrases.append(f"{called[leg.leg_id]} hears {' + '.join(_party(one, called) for one in one_way)}")
        elif leg.state == _UP and not any(leg.leg_id in edge for edge in edges):
            phrases.append(f"{called[leg.leg_id]} hears nothing")
    return ", ".join(phrases) or "-"


def parties(row: CallRow) -> list[tuple[str, str, str]]:
    """Everybody in the call, room by room: the room, who it is and what is done to them, what they hear."""
    called, edges = names(row.legs), _edges(row)
    found = [(leg.room or "main", leg.leg_id, _marked(leg, called)) for leg in row.legs]
    if any("bot" in edge for edge in edges):
        found.append(("main", "bot", "bot"))
    found.sort(key=lambda one: _ROOMS.index(one[0]) if one[0] in _ROOMS else len(_ROOMS))
    return [(room, who, _heard(party, edges, called)) for room, party, who in found]


def rooms(row: CallRow) -> str:
    """Who is in which room, in one phrase: `main: customer (held); consult: agent, consult`."""
    inside: dict[str, list[str]] = {}
    for room, who, _ in parties(row):
        inside.setdefault(room, []).append(who)
    return "; ".join(f"{room}: {', '.join(who)}" for room, who in inside.items()) or "-"


def scene(row: CallRow) -> str:
    """Who hears whom, and who is where: `customer <-> agent [main: customer, agent]`."""
    return f"{hears(row)} [{rooms(row)}]"


def _heard(party: str, edges: set[tuple[str, str]], called: Mapping[str, str]) -> str:
    sources = sorted((source for source, sink in edges if sink == party), key=lambda one: (_rank(one, called), one))
    return " + ".join(_party(one, called) for one in sources) or "nothing"


def _marked(one: LegRow, called: Mapping[str, str]) -> str:
    mode = one.mode
    if mode == "whisper" and one.whisper_to is not None:
        mode = f"whisper to {called.get(one.whisper_to, one.whisper_to)}"
    state = one.state if one.state != _UP else None
    marks = ", ".join(
        filter(None, (state, "held" * one.held, _PEERS_HOLD.get(one.peer_hold), "muted" * one.muted, mode))
    )
    return called[one.leg_id] + (f" ({marks})" if marks else "")


def _edges(row: CallRow) -> set[tuple[str, str]]:
    """Source and sink; the bot hears whom it speaks to, which the API does not say."""
    edges = {(edge.source, edge.sink) for edge in row.hearing}
    return edges | {
        (edge.sink, "bot") for edge in row.hearing if edge.source == "bot" and _is_heard(row.legs, edge.sink)
    }


def _is_heard(legs: Sequence[LegRow], leg_id: str) -> bool:
    return any(leg.leg_id == leg_id and not leg.muted and not leg.held and leg.peer_hold != "inactive" for leg in legs)


def names(legs: Sequence[LegRow]) -> dict[str, str]:
    """By its id what a leg is called: its role, with a number where there are several of it. The bot has a name too."""
    many, given, called = Counter(leg.role for leg in legs), Counter[str](), {"bot": "bot"}
    for leg in legs:
        given[leg.role] += 1
        called[leg.leg_id] = f"{leg.role} {given[leg.role]}" if many[leg.role] > 1 else leg.role
    return called


def _rank(party: str, called: Mapping[str, str]) -> int:
    """Legs in their order, the bot after them, then strangers."""
    order = [*(one for one in called if one != "bot"), "bot"]
    return order.index(party) if party in called else len(order)


def _party(party: str, called: Mapping[str, str]) -> str:
    return called.get(party) or party.removeprefix(_MUSIC)


# ── legs, times, ends ───────────────────────────────────────────────────────────────────────────────


def leg(row: CallRow, one: LegRow) -> str:
    """A leg: `customer connected, PCMU, muted`."""
    held = _PEERS_HOLD.get(one.peer_hold)
    more = (row.codecs.get(one.leg_id), "held" * one.held, held, "muted" * one.muted, one.mode)
    room = f"in {one.room}" if one.room not in ("", "main") else None
    return ", ".join([f"{names(row.legs)[one.leg_id]} {one.state}", *filter(None, (*more, room))])


def where(row: CallRow) -> str:
    """Where a call is; while people talk, where their consult is."""
    return row.consult if row.state == "talking" and row.consult != "none" else row.state


def passed(seconds: float) -> str:
    """A time that has passed: `0:07`, `12:34`, `1:02:03`, `3 d 04 h`."""
    whole_s = max(0, int(seconds))
    days, hours, minutes = whole_s // 86400, whole_s // 3600 % 24, whole_s // 60 % 60
    if days:
        return f"{days} d {hours:02} h"
    return f"{hours}:{minutes:02}:{whole_s % 60:02}" if hours else f"{minutes}:{whole_s % 60:02}"


def clock(at: float) -> str:
    """A time of day where the operator sits."""
    return datetime.fromtimestamp(at).strftime("%H:%M:%S")


# ── an event as a line ──────────────────────────────────────────────────────────────────────────────


def event_line(event: Happened, numbers: Numbers) -> str:
    """For --plain: when (UTC), which call, what, and the rest in words."""
    at = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{at}  {event.call_id}  {event.type:<16}  {event_words(event, numbers)}".rstrip()


def event_words(event: Happened, numbers: Numbers) -> str:
    """What an event says beside its type."""
    write = _WORDS.get(event.type)
    return write(event.data, numbers) if write is not None else _generic(event.data, numbers)


def _offer(data: Mapping[str, object], numbers: Numbers) -> str:
    return f"{numbers.one(text(data, 'from'))} -> {numbers.one(text(data, 'to'))}"


def _refused(data: Mapping[str, object], numbers: Numbers) -> str:
    return f"{_offer(data, numbers)}: {whole(data, 'sipStatus')} {_cause(data)}, {numbers.within(text(data, 'why'))}"


def _ended(data: Mapping[str, object], _: Numbers) -> str:
    return f"by {text(data, 'endedBy')}: {_cause(data)}, {(whole(data, 'durationMs') or 0) / 1000:.1f} s"


def _joined(data: Mapping[str, object], _: Numbers) -> str:
    return " ".join(filter(None, (text(data, "role"), text(data, "agent"), text(data, "codec"))))


def _left(data: Mapping[str, object], _: Numbers) -> str:
    who = " ".join(filter(None, (text(data, "role"), text(data, "agent"))))
    return f"{who}, by {text(data, 'by')}: {_cause(data)}"


def _digit(data: Mapping[str, object], numbers: Numbers) -> str:
    return numbers.secret(text(data, "digit"))


def _tagged(data: Mapping[str, object], numbers: Numbers) -> str:
    tags = data.get("data")
    return _generic(tags, numbers) if numbers.shown and isinstance(tags, dict) else ", ".join(_keys(tags))


def _keys(value: object) -> list[str]:
    return [str(key) for key in value] if isinstance(value, Mapping) else []


def _asked(data: Mapping[str, object], _: Numbers) -> str:
    return text(data, "event") + (", again" if data.get("again") is True else "")


def _cause(data: Mapping[str, object]) -> str:
    return "/".join(cause_of(data))


_FIRST: Final = ("status", "target", "targets", "number", "reason", "detail")


def _generic(data: Mapping[str, object], numbers: Numbers) -> str:
    """Of types that have no words of their own, also such as are not known: `name=value`, digits masked. Whom and why
    first, ids last: a screen has no room for all."""
    said = {key: value for key, value in data.items() if value not in (None, [], {})}
    return " ".join(f"{key}={_value(said[key], numbers)}" for key in sorted(said, key=_weight))


def _weight(key: str) -> int:
    return _FIRST.index(key) if key in _FIRST else len(_FIRST) + (key.endswith("Id") or key == "hopOf")


def _value(value: object, numbers: Numbers) -> str:
    if isinstance(value, list):
        return ",".join(_value(each, numbers) for each in value)
    if isinstance(value, Mapping):
        return "/".join(_value(each, numbers) for each in value.values())
    return numbers.within(value) if isinstance(value, str) else str(value)


def _scene(data: Mapping[str, object], _: Numbers) -> str:
    return text(data, "scene")


_WORDS: Final[Mapping[str, Callable[[Mapping[str, object], Numbers], str]]] = {
    "call.started": _offer,
    "call.refused": _refused,
    "call.ended": _ended,
    "call.tagged": _tagged,
    "leg.joined": _joined,
    "leg.left": _left,
    "dtmf.received": _digit,
    "bot.asked": _asked,
    HEARING: _scene,
}
