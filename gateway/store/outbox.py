"""How far the status webhooks are: cursors over the journal, and what waits for a retry; for engine/deliveries.py."""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from typing import Final

from sqlalchemy import Table, bindparam, delete, select
from sqlalchemy.dialects.sqlite import Insert, insert

from gateway.engine.ports import Progress, Retry
from gateway.store.database import Database
from gateway.store.tables import webhook_retries, webhooks

_NONE: Final = frozenset[str]()


def _upsert(table: Table) -> Insert:
    row = insert(table)
    changed = {column.name: row.excluded[column.name] for column in table.columns if not column.primary_key}
    return row.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=changed)


_KEEP_HEAD: Final = _upsert(webhooks)
_KEEP_RETRY: Final = _upsert(webhook_retries)
_DROP_RETRY: Final = delete(webhook_retries).where(
    webhook_retries.c.url == bindparam("of_url"), webhook_retries.c.seq == bindparam("of_seq")
)


class SqlOutbox:
    """See Outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> Mapping[str, Progress]:
        """See Outbox."""
        retries: dict[str, list[Retry]] = defaultdict(list)
        async with self._database.read() as connection:
            for row in await connection.execute(select(webhook_retries).order_by(webhook_retries.c.seq)):
                retries[row.url].append(Retry(row.seq, row.at, row.attempts, row.due_at))
            rows = (await connection.execute(select(webhooks))).all()
        return {
            row.url: Progress(
                row.url,
                row.after_seq,
                row.disabled,
                row.not_before,
                row.last_error,
                row.last_error_at,
                tuple(retries[row.url]),
            )
            for row in rows
        }

    async def save(self, progress: Sequence[Progress], forget: Set[str] = _NONE) -> None:
        """See Outbox."""
        heads = [_head(one) for one in progress]
        kept = [_row(one.url, retry) for one in progress for retry in one.retries]
        done = [{"of_url": one.url, "of_seq": seq} for one in progress for seq in one.done]
        async with self._database.write() as connection:
            if forget:
                await connection.execute(delete(webhooks).where(webhooks.c.url.in_(forget)))
                await connection.execute(delete(webhook_retries).where(webhook_retries.c.url.in_(forget)))
            if heads:
                await connection.execute(_KEEP_HEAD, heads)
            if done:
                await connection.execute(_DROP_RETRY, done)
            if kept:
                await connection.execute(_KEEP_RETRY, kept)


def _head(progress: Progress) -> dict[str, object]:
    return {column.name: getattr(progress, column.name) for column in webhooks.columns}


def _row(url: str, retry: Retry) -> dict[str, object]:
    return {
        "url": url, "seq": retry.seq, "at": retry.at, "attempts": retry.attempts, "due_at": retry.due_at,
    }  # fmt: skip
