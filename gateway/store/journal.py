"""The journal: takes every happening at once, writes it in batches of at most 20 ms; engine/ports.py says what it owes.

A transaction is what costs (about 1 ms of CPU, half of it the fsync; a happening more costs 20 us), so with more than a
few calls up those who await theirs share one each 20 ms; a lone call does not wait for others. Every commit is synced:
with calls at a rate nearly all batches hold a call boundary, so a weaker sync for the rest would save next to nothing.

One task writes. While the disk fails, calls go on: what waits is kept and tried again, the oldest is dropped when there
is too much of it, and the log says so once at the beginning, once at the first loss and once when it is over.
"""

import asyncio
import json
import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from gateway.calls.cdr import Cdr, Tally
from gateway.calls.history import LAST, Happening, Type
from gateway.calls.model import CallId
from gateway.engine.ports import JournalState, Recorded, StoreUnavailable
from gateway.store.database import TROUBLE, Database, reason
from gateway.store.tail import Tail
from gateway.store.writing import Batch, Writer, last_seq
from gateway.telemetry.log import get_logger

BATCH_S: Final = 0.02
"""The longest that a happening waits for its batch to begin."""
ALONE_S: Final = 0.004
"""From one batch to the next that somebody awaits, while at most FEW calls are up; with more of them it is BATCH_S."""
FEW: Final = 8
BATCH: Final = 1000
WAITING: Final = 50_000
"""Most happenings that wait for a disk to come back."""
RETRY_S: Final = 0.5
BEAT_S: Final = 1.0
CLOSE_S: Final = 5.0
_HOPELESS: Final = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError, OverflowError, ValueError)
"""No other disk would take these values either."""

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode

log = get_logger(__name__)


@dataclass(slots=True)
class _Entry:
    number: int
    since: float
    happening: Happening
    data: str
    cdr: Cdr | None


@dataclass(slots=True)
class _Open:
    tally: Tally
    on_disk: bool = False


class SqlJournal:
    """The one writer of the journal. `clock` gives seconds since the epoch; `room` is how many happenings may wait."""

    def __init__(self, database: Database, tail: Tail, clock: Callable[[], float], room: int = WAITING) -> None:
        self._database, self._tail, self._clock, self._room = database, tail, clock, room
        self._writer = Writer(database)
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Entry] = deque()
        self._in_hand: list[_Entry] = []
        self._calls: dict[CallId, _Open] = {}
        self._appended = self._written = self._lost = 0
        self._done = self._lost_up_to = 0  # numbers of entries
        self._wake = asyncio.Event()
        self._due: asyncio.TimerHandle | None = None
        self._began = self._beat_due = 0.0
        self._settling: deque[tuple[int, asyncio.Future[bool]]] = deque()  # in the order of their numbers
        self._failing = self._said_lost = self._closed = False
        self._task = asyncio.create_task(self._run(), name="journal")

    # ── What the engine calls ───────────────────────────────────────────────────────────────────────

    def append(self, happening: Happening) -> None:
        """See Journal."""
        self._appended += 1
        number = self._appended
        if self._closed:
            self._lose(number, "the journal is closed")
            return
        cdr = self._tally(happening)
        data = self._as_json(happening, number)
        now = self._loop.time()
        self._waiting.append(_Entry(number, now, happening, data, cdr))
        if len(self._waiting) > self._room:
            self._lose(self._waiting.popleft().number, "the disk has failed for too long")
        self._wake_at(now + BATCH_S)

    async def settled(self, within_s: float = 0.1) -> bool:
        """See Journal. It ends the 20 ms: at once if no batch began within the last 20 ms (4 ms with few calls up)."""
        target, before = self._appended, self._done
        if before < target:
            self._wake_at(self._began + (ALONE_S if len(self._calls) <= FEW else BATCH_S))
            waiter: asyncio.Future[bool] = self._loop.create_future()
            patience = self._loop.call_later(within_s, _settle, waiter, False)
            self._settling.append((target, waiter))
            try:
                if not await waiter:
                    return False
            finally:
                patience.cancel()
        return self._lost_up_to <= before

    async def connect(self) -> None:
        """Open the connection of the one writer, at the start."""
        await self._writer.connect()

    def state(self) -> JournalState:
        """See Journal."""
        oldest = self._in_hand or self._waiting
        lag_s = self._loop.time() - oldest[0].since if oldest else 0.0
        return JournalState(self._appended, self._written, self._lost, lag_s)

    async def close(self) -> None:
        """See Journal."""
        if self._closed:
            return
        self._closed = True
        self._wake.set()
        await asyncio.wait({self._task}, timeout=CLOSE_S)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})
        for entry in (*self._in_hand, *self._waiting):
            self._lose(entry.number, "the gateway stopped while the disk failed")
        self._in_hand = []
        self._waiting.clear()
        if self._due is not None:
            self._due.cancel()
        await self._writer.close()

    # ── Taking ──────────────────────────────────────────────────────────────────────────────────────

    def _tally(self, happening: Happening) -> Cdr | None:
        """Keep the account of open calls; the CDR of one that ends with this."""
        call = self._calls.get(happening.call_id)
        if call is None:
            call = _Open(Tally(happening))
            if happening.type == Type.CALL_STARTED:  # all else without a call is late, and opens none
                self._calls[happening.call_id] = call
        call.tally.add(happening)
        if happening.type not in LAST:
            return None
        self._calls.pop(happening.call_id, None)
        return call.tally.cdr()

    def _as_json(self, happening: Happening, number: int) -> str:
        try:
            return _encode(happening.data)
        except (TypeError, ValueError) as error:
            self._lose(number, f"{happening.type}: its data are no JSON: {type(error).__name__}")
            return "{}"

    def _wake_at(self, at: float) -> None:
        if self._due is None or at < self._due.when():
            if self._due is not None:
                self._due.cancel()
            self._due = self._loop.call_at(at, self._wake.set)

    def _lose(self, number: int, why: str) -> None:
        self._lost += 1
        self._lost_up_to = max(self._lost_up_to, number)
        if not self._said_lost:
            self._said_lost = True
            _say(log.error, "journal.losing", why=why)

    # ── Writing ─────────────────────────────────────────────────────────────────────────────────────

    async def _run(self) -> None:
        while not (self._closed and not self._waiting and not self._in_hand):
            await self._woken()
            while self._waiting and len(self._in_hand) < BATCH:
                self._in_hand.append(self._waiting.popleft())
            try:
                if self._failing:
                    await self._look_again()
                await self._write(self._in_hand)
            except (*TROUBLE, StoreUnavailable) as error:
                await self._failed(reason(error))
            except Exception as error:
                with suppress(OSError):
                    log.exception("journal.defect")
                await self._failed(type(error).__name__)
            else:
                self._went_on()

    async def _woken(self) -> None:
        """Wait until a batch is due, or until it is time to say that we live."""
        if self._calls and self._due is None:
            self._wake_at(self._loop.time() + BEAT_S)
        await self._wake.wait()
        if not self._closed:
            self._wake.clear()
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._began = self._loop.time()

    async def _write(self, entries: list[_Entry]) -> None:
        try:
            await self._transact(entries)
        except _HOPELESS as error:
            if len(entries) > 1:
                for entry in entries:
                    await self._write([entry])
            else:
                self._lose(entries[0].number, f"{entries[0].happening.type}: {type(error).__name__}")

    async def _transact(self, entries: list[_Entry]) -> None:
        now = self._loop.time()
        beats = bool(self._calls) and now >= self._beat_due
        if not entries and not beats:
            return
        first = self._tail.last_seq + 1
        recorded = [Recorded(first + i, entry.happening) for i, entry in enumerate(entries)]
        opened = {entry.happening.call_id for entry in entries if self._opens(entry.happening)}
        ended = [entry.cdr for entry in entries if entry.cdr is not None]
        beat_at = self._clock() if beats else None
        await self._writer.write(Batch(recorded, [entry.data for entry in entries], opened, ended, beat_at))
        for call_id in opened & self._calls.keys():
            self._calls[call_id].on_disk = True
        if beats:
            self._beat_due = now + BEAT_S
        self._written += len(entries)
        self._tail.add(recorded)

    def _opens(self, happening: Happening) -> bool:
        """The first of its call that reaches the disk: `call.started`, or another if that was lost."""
        call = self._calls.get(happening.call_id)
        return happening.type == Type.CALL_STARTED or (call is not None and not call.on_disk)

    # ── The disk, well and unwell ───────────────────────────────────────────────────────────────────

    def _went_on(self) -> None:
        if self._in_hand:
            self._done = self._in_hand[-1].number
            self._in_hand = []
        while self._settling and self._settling[0][0] <= self._done:
            _settle(self._settling.popleft()[1], True)
        if self._failing:
            self._failing = self._said_lost = False
            _say(log.warning, "journal.recovered", lost=self._lost, waiting=len(self._waiting))
        if len(self._waiting) >= BATCH:
            self._wake.set()
        elif self._waiting and self._due is None:  # the rest of a burst: its own wake-up went into the first batch
            self._wake_at(self._loop.time() + ALONE_S)

    async def _failed(self, why: str) -> None:
        if not self._failing:
            self._failing = True
            _say(log.error, "journal.failing", detail=why, effect="calls go on; what happens waits in memory")
        await asyncio.sleep(RETRY_S)
        self._wake.set()

    async def _look_again(self) -> None:
        """After a failure: what is on disk may be more than we know."""
        self._tail.advance(await last_seq(self._database))


def _settle(waiter: asyncio.Future[bool], written: bool) -> None:
    if not waiter.done():
        waiter.set_result(written)


def _say(say: Callable[..., object], event: str, **fields: object) -> None:
    """The log may be on the disk that is full."""
    with suppress(OSError):
        say(event, **fields)
