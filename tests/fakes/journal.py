"""Journal and History in memory, for tests of engine and API: keeps all, can fail like a disk; passes the contract."""

import asyncio
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from gateway.calls.cdr import Cdr, fold
from gateway.calls.history import LAST, Happening, Type
from gateway.engine.ports import CdrFilter, CdrPage, JournalState, Recorded, TransferFilter, TransferPage


@dataclass
class MemoryJournal:
    """Both ports on one list. What is appended is "on disk" at once, or when `mend` is called after `fail`."""

    recorded: list[Recorded] = field(default_factory=list)
    records: list[Cdr] = field(default_factory=list)
    """The CDRs, in the order of the ends."""
    waiting: list[Happening] = field(default_factory=list)
    room: int = 50_000
    lost: int = 0
    closed: bool = False

    def __post_init__(self) -> None:
        self._appended = 0
        self._failing = False
        self._news = asyncio.Event()

    # ── the test's side ─────────────────────────────────────────────────────────────────────────────

    def fail(self) -> None:
        """The disk takes nothing any more."""
        self._failing = True

    def mend(self) -> None:
        """It does again."""
        self._failing = False
        waiting, self.waiting = self.waiting, []
        for happening in waiting:
            self._record(happening)

    def types(self, call_id: str | None = None) -> list[str]:
        """What happened, in order."""
        return [r.happening.type for r in self.recorded if call_id in (None, r.happening.call_id)]

    # ── Journal ─────────────────────────────────────────────────────────────────────────────────────

    def append(self, happening: Happening) -> None:
        self._appended += 1
        if self.closed:
            self.lost += 1
        elif self._failing:
            self.waiting.append(happening)
            if len(self.waiting) > self.room:
                del self.waiting[0]
                self.lost += 1
        else:
            self._record(happening)

    def _record(self, happening: Happening) -> None:
        self.recorded.append(Recorded(len(self.recorded) + 1, happening))
        known = {cdr.call_id for cdr in self.records}
        if happening.type in LAST and happening.call_id not in known:
            self.records.append(fold([r.happening for r in self.recorded if r.happening.call_id == happening.call_id]))
        self._news.set()
        self._news = asyncio.Event()

    async def settled(self, within_s: float = 0.1) -> bool:
        if self.waiting:
            await asyncio.sleep(within_s)
        return not self.waiting

    def state(self) -> JournalState:
        return JournalState(self._appended, len(self.recorded), self.lost, 1.0 if self.waiting else 0.0)

    async def close(self) -> None:
        self.closed = True
        self.lost += len(self.waiting)
        self.waiting.clear()

    # ── History ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def last_seq(self) -> int:
        return len(self.recorded)

    async def newer_than(self, seq: int) -> int:
        while self.last_seq <= seq:
            await self._news.wait()
        return self.last_seq

    async def events(
        self,
        after_seq: int = 0,
        *,
        call_id: str | None = None,
        types: Set[str] | None = None,
        channels: Set[str] | None = None,
        agent: str | None = None,
        limit: int = 500,
    ) -> Sequence[Recorded]:
        def wanted(h: Happening) -> bool:
            return (
                (call_id is None or h.call_id == call_id)
                and (types is None or h.type in types or f"{h.type.split('.')[0]}.*" in types)
                and (channels is None or h.channel in channels)
                and (agent is None or agent in h.agents)
            )

        return [r for r in self.recorded if r.seq > after_seq and wanted(r.happening)][:limit]

    async def cdrs(self, which: CdrFilter, *, cursor: str | None = None, limit: int = 100) -> CdrPage:
        if cursor is not None and not cursor.isdigit():
            raise ValueError("no such cursor")
        found = [(i, cdr) for i, cdr in enumerate(self.records) if _matches(cdr, which)]
        found = [(i, cdr) for i, cdr in reversed(found) if cursor is None or i < int(cursor)]
        more = len(found) > limit
        return CdrPage(tuple(cdr for _, cdr in found[:limit]), str(found[limit - 1][0]) if more else None)

    async def cdr(self, call_id: str) -> Cdr | None:
        return next((cdr for cdr in self.records if cdr.call_id == call_id), None)

    async def transfers(self, which: TransferFilter, *, cursor: str | None = None, limit: int = 100) -> TransferPage:
        if cursor is not None and not cursor.isdigit():
            raise ValueError("no such cursor")
        found = [
            r
            for r in reversed(self.recorded)
            if r.happening.type == Type.TRANSFER_ENDED and _fits(r.happening, which)
            if cursor is None or r.seq < int(cursor)
        ]
        return TransferPage(tuple(found[:limit]), str(found[limit - 1].seq) if len(found) > limit else None)


def _fits(h: Happening, which: TransferFilter) -> bool:
    return (
        (which.channels is None or h.channel in which.channels)
        and (which.agent is None or which.agent in h.agents)
        and which.call_id in (None, h.call_id)
        and which.status in (None, h.data.get("status"))
        and which.reason in (None, h.data.get("reason"))
        and (which.since is None or h.at >= which.since)
        and (which.until is None or h.at < which.until)
    )


def _matches(cdr: Cdr, which: CdrFilter) -> bool:
    return (
        (which.channels is None or cdr.channel in which.channels)
        and (which.agent is None or which.agent in cdr.agents)
        and which.trunk in (None, cdr.trunk)
        and which.from_ in (None, cdr.from_)
        and which.to in (None, cdr.to)
        and (which.since is None or cdr.started_at >= which.since)
        and (which.until is None or cdr.started_at < which.until)
    )
