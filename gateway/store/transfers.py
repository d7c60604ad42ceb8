"""Finished transfers, a page at a time, from the journal's `transfer.ended`; for history.py."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Select, select, text

from gateway.calls.history import Happening
from gateway.engine.ports import Recorded, TransferFilter, TransferPage
from gateway.store.agent_names import holds
from gateway.store.database import Database
from gateway.store.tables import happenings

_ENDED: Final = text("type = 'transfer.ended'")
"""As the index says it: SQLite takes a partial one only for the very same words."""


async def page(database: Database, which: TransferFilter, cursor: str | None, limit: int) -> TransferPage:
    """The newest that match, or those before `cursor`; ValueError for one that no page gave."""
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise ValueError("no such cursor")
    columns = happenings.c
    query: Select[Any] = select(happenings).where(_ENDED, *_conditions(which))
    if cursor is not None:
        query = query.where(columns.seq < int(cursor))
    async with database.read() as connection:
        rows = (await connection.execute(query.order_by(columns.seq.desc()).limit(limit + 1))).all()
    found = tuple(Recorded(row[0], Happening(row[2], row[1], *row[3:])) for row in rows[:limit])
    return TransferPage(found, str(found[-1].seq) if len(rows) > limit else None)


def _conditions(which: TransferFilter) -> list[ColumnElement[bool]]:
    columns, conditions = happenings.c, list[ColumnElement[bool]]()
    if which.channels is not None:
        conditions.append(columns.channel.in_(which.channels))
    if which.agent is not None:
        conditions.append(holds(columns.agents, which.agent))
    if which.call_id is not None:
        conditions.append(columns.call_id == which.call_id)
    for key, wanted in (("status", which.status), ("reason", which.reason)):
        if wanted is not None:
            conditions.append(columns.data[key].as_string() == wanted)
    if which.since is not None:
        conditions.append(columns.at >= which.since)
    if which.until is not None:
        conditions.append(columns.at < which.until)
    return conditions
