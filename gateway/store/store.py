"""Opens the store, for the gateway (which writes the journal and recovers) or a command beside it; for app and cli.

`open_store` is of the one gateway of a store; `visit_store` is for `switchhook keys` and `switchhook cdrs`, while the
gateway runs or not.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.calls.cdr import Cdr
from gateway.engine.ports import History, Idempotency, Journal, Keys, Outbox, StoreUnavailable
from gateway.store.database import Database, StoreInUse, lock, path_of, reason
from gateway.store.history import SqlHistory
from gateway.store.idempotency import SqlIdempotency
from gateway.store.journal import SqlJournal
from gateway.store.keys import SqlKeys
from gateway.store.outbox import SqlOutbox
from gateway.store.recovery import recover
from gateway.store.tail import Tail
from gateway.store.writing import last_seq
from gateway.telemetry.log import get_logger

LOCK_TRIES: Final = 10
LOCK_RETRY_S: Final = 0.1

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Visit:
    """What a command may read and write. Its history does not learn what is new: ask `events` again."""

    history: History
    keys: Keys
    _database: Database

    async def close(self) -> None:
        """Close the file."""
        await self._database.close()


@dataclass(frozen=True, slots=True)
class Store:
    """What a gateway has. `recovered` are the CDRs of the calls that the last run left open, ended now."""

    journal: Journal
    history: History
    keys: Keys
    idempotency: Idempotency
    outbox: Outbox
    recovered: Sequence[Cdr]
    _database: Database
    _lock: int

    async def close(self) -> None:
        """Write what waits, and let go of the file; once."""
        await self.journal.close()
        await self._database.close()
        os.close(self._lock)


async def open_store(url: str, clock: Callable[[], float]) -> Store:
    """Be the gateway of this store: bring it up to date, end what the last run left open.

    `clock` gives seconds since the epoch. Raises StoreUrlError (the settings), StoreInUse or StoreUnavailable.
    """
    path = path_of(url)
    held = await _lock(path)
    try:
        database = await _open(path, migrate=True)
        try:
            recovered = await recover(database, clock())
            tail = Tail(await last_seq(database))
        except BaseException:
            await database.close()
            raise
    except BaseException:
        os.close(held)
        raise
    if recovered:
        log.warning("store.recovered", calls=len(recovered))
    journal = SqlJournal(database, tail, clock)
    await journal.connect()
    return Store(
        journal,
        SqlHistory(database, tail),
        SqlKeys(database),
        SqlIdempotency(database),
        SqlOutbox(database),
        recovered,
        database,
        held,
    )


async def visit_store(url: str) -> Visit:
    """Look in, whether a gateway runs or not; a store that is not there yet is made. Raises like `open_store`."""
    path = path_of(url)
    try:
        held = lock(path)
    except StoreInUse:
        database = await _open(path, migrate=False)  # its gateway has brought it up to date
    else:
        try:
            database = await _open(path, migrate=True)
        finally:
            os.close(held)
    try:
        tail = Tail(await last_seq(database), fed=False)
    except BaseException:
        await database.close()
        raise
    return Visit(SqlHistory(database, tail), SqlKeys(database), database)


async def _lock(path: Path) -> int:
    """The lock; a command that makes the store holds it for a moment."""
    for _ in range(LOCK_TRIES - 1):
        try:
            return lock(path)
        except StoreInUse:
            await asyncio.sleep(LOCK_RETRY_S)
    return lock(path)


async def _open(path: Path, *, migrate: bool) -> Database:
    try:
        database = Database(path)
    except OSError as error:
        raise StoreUnavailable(reason(error)) from error
    if migrate:
        try:
            await database.migrate()
        except BaseException:
            await database.close()
            raise
    return database
