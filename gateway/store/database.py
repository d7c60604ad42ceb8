"""The database file: its URL, mode, lock, schema and connections; for store.py, which opens it.

WAL, so that readers never hold up the journal; `synchronous=FULL`, so that every commit is on disk (one fsync each).
"""

import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.engine.ports import StoreUnavailable

VERSION: Final = "0003"
"""The newest step of migrations/versions."""
DRIVER: Final = "sqlite+aiosqlite"
TROUBLE: Final = (SQLAlchemyError, sqlite3.Error, OSError)
"""What a database that cannot be used raises."""
_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_BUSY_S: Final = 5.0
_CONNECTIONS: Final = 3
"""Of each pool, and no more: who asks while all are busy waits."""
_JOURNAL_BYTES: Final = 64 * 1024 * 1024


class StoreUrlError(ValueError):
    """The store.url of the settings cannot be used: the operator's mistake."""


class StoreInUse(StoreUnavailable):
    """Another gateway writes this store: its live calls would be taken for dead ones."""


def path_of(url: str) -> Path:
    """The file of a store.url. Raises StoreUrlError, without what may be a password."""
    try:
        parts = make_url(url)
    except ArgumentError:
        raise StoreUrlError(f"is no database URL; write {DRIVER}:///var/switchhook.db") from None
    if parts.drivername != DRIVER:
        raise StoreUrlError(f"{parts.drivername} is not built yet; write {DRIVER}:///var/switchhook.db")
    if not parts.database or parts.database == ":memory:" or parts.database.startswith("file:") or parts.query:
        raise StoreUrlError(f"must name a file and nothing else; write {DRIVER}:///var/switchhook.db")
    return Path(parts.database)


def lock(path: Path) -> int:
    """Be the only gateway of this store until `os.close` of what is returned, or until the process is gone.

    Raises StoreInUse, or StoreUnavailable when the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(str(error)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreInUse(f"another gateway runs on {path}: end it, or set store.url to another file") from None
    return descriptor


class Database:
    """Two pools on one file: `write` takes the write lock at each begin, `read` cannot write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # -wal and -shm get the mode of the file
        path.chmod(0o600)
        self._writer = _engine(path, "BEGIN IMMEDIATE", "query_only=OFF")
        self._reader = _engine(path, "BEGIN", "query_only=ON")

    async def migrate(self) -> None:
        """Bring the tables up to date: all steps in one transaction, so that a crash leaves the old ones. All
        connections are open afterwards: none is opened, with its thread, in the midst of calls."""
        async with self.write() as connection:
            await connection.run_sync(_upgrade)
        for engine in (self._writer, self._reader):
            async with AsyncExitStack() as stack:
                connections = [await stack.enter_async_context(engine.connect()) for _ in range(_CONNECTIONS)]
                for connection in connections:  # one after the other: a write waits for the one before it
                    await connection.execute(text("SELECT 1 FROM sqlite_master LIMIT 1"))
                    await connection.rollback()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction. Raises StoreUnavailable."""
        try:
            async with self._writer.begin() as connection:
                yield connection
        except TROUBLE as error:
            raise StoreUnavailable(reason(error)) from error

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that sees one state of the store. Raises StoreUnavailable."""
        try:
            async with self._reader.begin() as connection:
                yield connection
        except TROUBLE as error:
            raise StoreUnavailable(reason(error)) from error

    def connect(self) -> sqlite3.Connection:
        """A writing connection for a thread of one's own: it takes the write lock at the first row."""
        connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level="IMMEDIATE")
        _prepare(connection.cursor(), "query_only=OFF")
        return connection

    async def close(self) -> None:
        """Close all connections."""
        await self._reader.dispose()
        await self._writer.dispose()


def reason(error: Exception) -> str:
    """What went wrong, without the values that were to be written."""
    return str(getattr(error, "orig", None) or error).split("\n")[0]


def _engine(path: Path, begin: str, mode: str) -> AsyncEngine:
    engine = create_async_engine(
        f"{DRIVER}:///{path}",
        pool_size=_CONNECTIONS,
        max_overflow=0,
        connect_args={"timeout": _BUSY_S},
        hide_parameters=True,
    )
    _listen(engine.sync_engine, begin, mode)
    return engine


def _listen(engine: Engine, begin: str, mode: str) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: object) -> None:
        connection.isolation_level = None  # SQLAlchemy begins and commits; the driver on its own would leave DDL out
        _prepare(connection.cursor(), mode)

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def _prepare(cursor: Any, mode: str) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"journal_size_limit={_JOURNAL_BYTES}", mode):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _upgrade(connection: Connection) -> None:
    known = inspect(connection).has_table("alembic_version")
    if known and connection.scalar(text("SELECT version_num FROM alembic_version")) == VERSION:
        return
    from alembic import command  # half a second that a start on tables of today can do without
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")
