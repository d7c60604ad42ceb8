"""API keys: made once, shown once, kept as SHA-256; for the HTTP API and `switchhook keys`."""

import builtins
import hmac
import secrets
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from hashlib import sha256
from typing import Final

from sqlalchemy import RowMapping, insert, select, update
from ulid import ULID

from gateway.engine.ports import Key, KeyNameTaken
from gateway.store.database import Database
from gateway.store.tables import keys

PREFIX: Final = "shk_"


class SqlKeys:
    """See Keys. `random` gives that many random bytes."""

    def __init__(self, database: Database, random: Callable[[int], str] = secrets.token_urlsafe) -> None:
        self._database, self._random = database, random

    async def find(self, sha256: str) -> Key | None:
        """See Keys."""
        query = select(keys).where(keys.c.sha256 == sha256, keys.c.revoked_at.is_(None))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None or not hmac.compare_digest(str(row["sha256"]).encode(), sha256.encode()):
            return None
        return _key(row)

    async def add(
        self,
        name: str,
        scopes: Set[str],
        now: float,
        *,
        channels: Set[str] | None = None,
        agent: str | None = None,
    ) -> tuple[str, Key]:
        """See Keys."""
        text = PREFIX + self._random(32)
        bound = None if channels is None else frozenset(channels)
        key = Key(f"key_{ULID()}", name, frozenset(scopes), bound, agent, now)
        row = {
            "id": key.id,
            "sha256": sha256(text.encode()).hexdigest(),
            "name": name,
            "scopes": sorted(scopes),
            "channels": None if channels is None else sorted(channels),
            "agent": agent,
            "created_at": now,
        }
        async with self._database.write() as connection:
            if await connection.scalar(select(keys.c.id).where(keys.c.name == name, keys.c.revoked_at.is_(None))):
                raise KeyNameTaken(name)
            await connection.execute(insert(keys), row)
        return text, replace(key)

    async def list(self) -> Sequence[Key]:
        """See Keys."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(keys).order_by(keys.c.created_at, keys.c.id))).mappings()
            return [_key(row) for row in rows]

    async def revoke(self, name: str, now: float) -> bool:
        """See Keys."""
        late = update(keys).where(keys.c.name == name, keys.c.revoked_at.is_(None)).values(revoked_at=now)
        async with self._database.write() as connection:
            return (await connection.execute(late)).rowcount > 0


def _key(row: RowMapping) -> Key:
    channels: builtins.list[str] | None = row["channels"]
    return Key(
        row["id"],
        row["name"],
        frozenset(row["scopes"]),
        None if channels is None else frozenset(channels),
        row["agent"],
        row["created_at"],
        row["revoked_at"],
    )
