"""One batch of the journal as one transaction, in a thread and on a connection of its own; for journal.py.

This is the one hot path of the store: SQLAlchemy compiles the statements, once, and the thread runs them on the driver
in one go. Through SQLAlchemy's asynchronous connections a batch costs four times as much (measured: 1.3 ms of CPU).
"""

import asyncio
import json
import sqlite3
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import ClauseElement, column, delete, insert, select, table, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from gateway.calls.cdr import Cdr
from gateway.calls.model import CallId
from gateway.engine.ports import Recorded
from gateway.store.agent_names import as_text
from gateway.store.cdrs import ADD, row_of
from gateway.store.database import Database
from gateway.store.tables import beat, cdrs, happenings, open_calls

_SEQUENCE: Final = table("sqlite_sequence", column("name"), column("seq"))
_LAST_SEQ: Final = select(_SEQUENCE.c.seq).where(_SEQUENCE.c.name == happenings.name)


async def last_seq(database: Database) -> int:
    """The greatest seq ever given, even if its row was deleted since. Raises StoreUnavailable."""
    async with database.read() as connection:
        return await connection.scalar(_LAST_SEQ) or 0


def _sql(statement: ClauseElement, columns: Collection[str] | None = None) -> str:
    return str(statement.compile(dialect=sqlite.dialect(), column_keys=columns))


_CDR_COLUMNS: Final = [column.name for column in cdrs.columns if column.name != "id"]
_ADD_HAPPENING: Final = _sql(insert(happenings))
_ADD_CDR: Final = _sql(ADD, _CDR_COLUMNS)
_OPEN: Final = _sql(sqlite_insert(open_calls).on_conflict_do_nothing())
_CLOSE: Final = _sql(delete(open_calls).where(open_calls.c.call_id == text("?")))
_BEAT: Final = _sql(sqlite_insert(beat).on_conflict_do_update(index_elements=["id"], set_={"at": text("excluded.at")}))


@dataclass(slots=True)
class Batch:
    """What goes to disk together. `data` are the happenings' own, as JSON already."""

    recorded: Sequence[Recorded]
    data: Sequence[str]
    opened: set[CallId] = field(default_factory=set)
    ended: list[Cdr] = field(default_factory=list)
    beat_at: float | None = None


class Writer:
    """Keeps one connection; after a failure it is given up and the next batch gets a new one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, "journal")
        self._connection: sqlite3.Connection | None = None

    async def write(self, batch: Batch) -> None:
        """All of it or nothing; on disk when this returns. Raises what the driver raises."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, batch)

    async def connect(self) -> None:
        """Have the connection ready before the first call needs it; if that fails, the first batch will tell."""
        with suppress(sqlite3.Error, OSError):
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connected)

    async def close(self) -> None:
        """Give connection and thread up, after what is being written."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._hang_up)
        self._thread.shutdown(wait=False)

    # ── In the thread ───────────────────────────────────────────────────────────────────────────────

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._database.connect()
            with self._connection as connection:
                connection.execute("BEGIN IMMEDIATE")  # SQLite opens the log at the first transaction
        return self._connection

    def _write(self, batch: Batch) -> None:
        try:
            with self._connected() as connection:  # commits, or rolls back
                _run(connection, batch)
        except BaseException:
            self._hang_up()
            raise

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _run(connection: sqlite3.Connection, batch: Batch) -> None:
    if batch.recorded:
        connection.executemany(_ADD_HAPPENING, _rows(batch))
    ended = {cdr.call_id for cdr in batch.ended}
    if opened := batch.opened - ended:
        connection.executemany(_OPEN, [(call_id,) for call_id in opened])
    if ended:
        connection.executemany(_ADD_CDR, [_cdr_row(cdr) for cdr in batch.ended])
    if closed := ended - batch.opened:
        connection.executemany(_CLOSE, [(call_id,) for call_id in closed])
    if batch.beat_at is not None:
        connection.execute(_BEAT, (1, batch.beat_at))


def _rows(batch: Batch) -> list[tuple[object, ...]]:
    """In the order of the table's columns."""
    return [
        (one.seq, h.at, h.type, h.call_id, h.leg_id, h.channel, h.trunk, data, as_text(h.agents))
        for one, data in zip(batch.recorded, batch.data, strict=True)
        for h in (one.happening,)
    ]


def _cdr_row(cdr: Cdr) -> list[object]:
    row = row_of(cdr) | {"agents": as_text(cdr.agents)}
    return [json.dumps(v) if isinstance(v, list | dict) else v for v in (row[name] for name in _CDR_COLUMNS)]
