"""Answers to POSTs, kept for a day, so that a client may ask twice; for the HTTP API."""

from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert

from gateway.engine.ports import Remembered
from gateway.store.database import Database
from gateway.store.tables import idempotency

KEPT_S: Final = 24 * 3600.0


class SqlIdempotency:
    """See Idempotency."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lookup(self, owner: str, key: str, now: float) -> Remembered | None:
        """See Idempotency."""
        columns = idempotency.c
        query = select(columns.fingerprint, columns.status, columns.body).where(
            columns.owner == owner, columns.key == key, columns.at > now - KEPT_S
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return Remembered(*row) if row is not None else None

    async def remember(self, owner: str, key: str, answer: Remembered, now: float) -> None:
        """See Idempotency. What is too old is forgotten here, for all."""
        row = {
            "owner": owner,
            "key": key,
            "fingerprint": answer.fingerprint,
            "status": answer.status,
            "body": answer.body,
            "at": now,
        }
        async with self._database.write() as connection:
            await connection.execute(delete(idempotency).where(idempotency.c.at <= now - KEPT_S))
            await connection.execute(insert(idempotency).on_conflict_do_nothing(), row)
