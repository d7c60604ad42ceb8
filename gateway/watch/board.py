"""The board: all that `switchhook watch` knows of a gateway, folded from answers and events; filled by follow.py.

Pure: no clock, no terminal. Answers and events overlap, as the stream is opened before the first answer is asked for;
so every fold may come twice, and an answer never undoes what an event told after it was asked for (`mark`).
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Final

from gateway.watch.rows import CallRow, Doing, EndRow, Happened, TrunkRow
from gateway.watch.wire import cause_of, newest, text, whole
from gateway.watch.words import HEARING, scene

ENDS: Final = 5
MINUTE_S: Final = 60.0
SLOW_S: Final = 3.0
"""A bot that takes longer than this makes its customer wonder."""
TIMELINE: Final = 500
_REMEMBERED: Final = 20_000
_QUIET: Final = frozenset({"dtmf", "bot", "playback", "sound", "fallback"})
"""The families of events that change neither legs, state nor hearing."""


class Link(Enum):
    """How we stand with the gateway."""

    CONNECTING = auto()
    LIVE = auto()
    GONE = auto()


class Board:
    """What is shown. `focus` is the one call that is watched, or None for all."""

    def __init__(self, address: str, focus: str | None = None) -> None:
        self.address, self.focus = address, focus
        self.link = Link.CONNECTING
        self.heard_at = 0.0
        """When the gateway last answered: what is shown is of this time."""
        self.gone_at = self.retry_at = 0.0
        self.why_gone = ""
        self.ready: bool | None = None
        self.draining = False
        self.limit: int | None = None
        self.calls: dict[str, CallRow] = {}
        self.trunks: Sequence[TrunkRow] | None = ()
        """None: the key may not see them."""
        self.ends: list[EndRow] = []
        self.timeline: deque[Happened] = deque(maxlen=TIMELINE)
        """Of the call in focus, the newest last."""
        self.mark = 0
        """Counts the events that were folded."""
        self._over: OrderedDict[str, None] = OrderedDict()
        self._starts: OrderedDict[str, float] = OrderedDict()
        self._starts_known_from = 0.0

    # ── how we stand ────────────────────────────────────────────────────────────────────────────────

    def answered(self, now: float) -> None:
        """The gateway said something."""
        self.heard_at = max(self.heard_at, now)

    def live(self, now: float) -> None:
        """The picture is true, and will stay true."""
        self.link = Link.LIVE
        self.answered(now)

    def gone(self, now: float, why: str, retry_at: float) -> None:
        """The gateway does not answer; it is tried again at `retry_at`."""
        if self.link is not Link.GONE:
            self.gone_at = now
        self.link, self.why_gone, self.retry_at = Link.GONE, why, retry_at

    def forget(self) -> None:
        """Events were missed: nothing that they told can be believed any more."""
        self.calls.clear()
        self.timeline.clear()
        self._over.clear()
        self.ends = []

    # ── answers ─────────────────────────────────────────────────────────────────────────────────────

    def node(self, ready: bool, metrics: Mapping[str, float] | None) -> None:
        """/readyz, and what is of interest in /metrics if it was asked."""
        self.ready = ready
        if metrics is not None:
            limit = metrics.get("calls_limit")
            self.limit = int(limit) if limit is not None else None
            self.draining = metrics.get("draining", 0.0) > 0

    def snapshot(self, rows: Sequence[CallRow], asked: int) -> None:
        """All live calls, as an answer has them that was asked for at the mark `asked`."""
        there = {row.call_id for row in rows}
        for call_id, row in list(self.calls.items()):
            if call_id not in there and row.known_from <= asked:
                del self.calls[call_id]
        for row in rows:
            if row.call_id in self._over:
                continue
            known = self.calls.get(row.call_id)
            if known is None:
                self.calls[row.call_id] = row
            else:
                known.channel, known.trunk, known.state = row.channel, row.trunk, row.state
                known.consult, known.legs, known.hearing = row.consult, row.legs, row.hearing
            self._started(row.call_id, row.started_at)

    def ended(self, ends: Sequence[EndRow], complete: bool) -> None:
        """The newest CDRs. `complete`: there are no older ones."""
        for end in ends:
            self._started(end.call_id, end.started_at)
        if not complete and ends:
            self._starts_known_from = max(self._starts_known_from, min(end.started_at for end in ends))
        self.ends = newest([*ends, *self.ends], ENDS)

    def recall(self, call_id: str, events: Sequence[Happened]) -> None:
        """What happened to a call before we looked."""
        row = self.calls.get(call_id)
        if row is not None:
            row.recalled = True
            for event in events:
                _fold_into(row, event)
        if call_id == self.focus:
            self._remember(events)

    def heard_anew(self) -> list[Happened]:
        """An event of our own for each call whose rooms or hearing are others than when this was asked last; that in
        focus keeps it among what happened."""
        found: list[Happened] = []
        for row in self.calls.values():
            if row.legs and (now := scene(row)) != row.scene:
                row.scene = now
                found.append(Happened(row.seq, HEARING, self.heard_at, row.call_id, None, {"scene": now}))
        self.timeline.extend(event for event in found if event.call_id == self.focus)
        return found

    # ── events ──────────────────────────────────────────────────────────────────────────────────────

    def happened(self, event: Happened) -> bool:
        """Fold it in; whether legs, state or hearing may be others now, so that the calls should be asked for."""
        self.mark += 1
        if event.call_id == self.focus:
            self._remember([event])
        match event.type:
            case "call.started":
                self._begin(event)
            case "call.ended" | "call.refused":
                self._end(event)
            case _:
                row = self.calls.get(event.call_id)
                if row is not None:
                    _fold_into(row, event)
        return event.type.partition(".")[0] not in _QUIET and event.type != "call.refused"

    def _begin(self, event: Happened) -> None:
        self._started(event.call_id, event.at)
        if event.call_id in self.calls or event.call_id in self._over:
            return
        self.calls[event.call_id] = CallRow(
            event.call_id, text(event.data, "from"), text(event.data, "to"), event.at,
            seq=event.seq, known_from=self.mark, recalled=True,
        )  # fmt: skip

    def _end(self, event: Happened) -> None:
        row = self.calls.pop(event.call_id, None)
        self._started(event.call_id, row.started_at if row else event.at)
        self._over[event.call_id] = None
        while len(self._over) > _REMEMBERED:
            self._over.popitem(last=False)
        known = next((end for end in self.ends if end.call_id == event.call_id), None)
        if known is not None:
            return
        result, reason = cause_of(event.data)
        end = EndRow(
            call_id=event.call_id,
            at=event.at,
            started_at=row.started_at if row else event.at,
            from_=row.from_ if row else text(event.data, "from"),
            to=row.to if row else text(event.data, "to"),
            duration_ms=whole(event.data, "durationMs") or 0,
            result=result,
            reason=reason,
            ended_by=text(event.data, "endedBy") or "gateway",
        )
        self.ends = newest([*self.ends, end], ENDS)

    def _remember(self, events: Sequence[Happened]) -> None:
        last = max((event.seq for event in self.timeline), default=0)
        self.timeline.extend(event for event in events if event.seq > last)

    def _started(self, call_id: str, at: float) -> None:
        self._starts.setdefault(call_id, at)
        while len(self._starts) > _REMEMBERED:
            self._starts.popitem(last=False)

    # ── what it comes to ────────────────────────────────────────────────────────────────────────────

    def last_minute(self, now: float) -> tuple[int, bool]:
        """How many calls came in the last minute (refused ones too), and whether that is all of them."""
        since = now - MINUTE_S
        return sum(at > since for at in self._starts.values()), self._starts_known_from <= since

    def troubles(self, now: float) -> list[str]:
        """What an operator should look at, in a few words each; the worst first."""
        found = [f"trunk {trunk.name} down" for trunk in self.trunks or () if trunk.state == "down"]
        found += [
            f"trunk {trunk.name} not registered"
            for trunk in self.trunks or ()
            if trunk.registration == "failed" and trunk.state != "down"
        ]
        failing = sum(row.trouble is not None for row in self.calls.values())
        slow = sum(row.trouble is None and is_slow(row, now) for row in self.calls.values())
        found += [f"bot fails in {_calls(failing)}"] if failing else []
        found += [f"bot slow in {_calls(slow)}"] if slow else []
        if self.limit is not None and len(self.calls) >= self.limit:
            found.append("no room for another call")
        return found


def is_slow(row: CallRow, now: float) -> bool:
    """Its customer waits too long for the bot."""
    return row.doing is not None and row.doing.waits and now - row.doing.since > SLOW_S


def _calls(count: int) -> str:
    return f"{count} call" if count == 1 else f"{count} calls"


# ── an event of one call ────────────────────────────────────────────────────────────────────────────


def _fold_into(row: CallRow, event: Happened) -> None:
    if event.seq <= row.seq:
        return
    row.seq = event.seq
    fold = _FOLDS.get(event.type)
    if fold is not None:
        fold(row, event)


def _joined(row: CallRow, event: Happened) -> None:
    codec = text(event.data, "codec")
    if event.leg_id and codec:
        row.codecs[event.leg_id] = codec


def _handed_off(row: CallRow, event: Happened) -> None:
    row.channel = text(event.data, "channel") or row.channel


def _asked(row: CallRow, event: Happened) -> None:
    row.doing = Doing(f"asked: {text(event.data, 'event')}", event.at, waits=True)


def _replied(row: CallRow, event: Happened) -> None:
    replies = event.data.get("replies")
    said = ", ".join(str(each) for each in replies) if isinstance(replies, list) else ""
    row.doing, row.trouble = Doing(f"said: {said}" if said else "said nothing", event.at), None


def _failed(row: CallRow, event: Happened) -> None:
    row.trouble = f"failed: {text(event.data, 'kind') or 'no answer'}"
    row.doing = Doing(row.trouble, event.at)


def _given_up(row: CallRow, event: Happened) -> None:
    row.trouble = "given up, apologised"
    row.doing = Doing(row.trouble, event.at)


def _speaks(row: CallRow, event: Happened) -> None:
    row.doing = Doing("speaks", event.at)


def _listens(row: CallRow, event: Happened) -> None:
    if row.doing is not None and row.doing.what == "speaks":  # else it was asked something meanwhile
        row.doing = Doing("listens", event.at)


def _sound_failed(row: CallRow, event: Happened) -> None:
    row.trouble = "a sound failed"


_FOLDS: Final[Mapping[str, Callable[[CallRow, Happened], None]]] = {
    "leg.joined": _joined,
    "call.handedOff": _handed_off,
    "bot.asked": _asked,
    "bot.replied": _replied,
    "bot.failed": _failed,
    "fallback.started": _given_up,
    "playback.started": _speaks,
    "playback.ended": _listens,
    "sound.failed": _sound_failed,
}
