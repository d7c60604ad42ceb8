"""Starting is recovering: every call that the last run left open gets its one end and its CDR; for store.py.

A call's end, its CDR and its leaving the list of open calls are one transaction: killed at any moment, the next start
goes on with the calls that are still on the list.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.calls.cdr import Cdr, crashed, fold
from gateway.calls.history import Happening
from gateway.store.cdrs import ADD, row_of
from gateway.store.database import Database
from gateway.store.tables import beat, happenings, open_calls

AT_ONCE: Final = 50
"""Calls of one transaction: few enough for others to write in between, many enough for 500 calls to take a moment."""


async def recover(database: Database, now: float) -> list[Cdr]:
    """The CDRs of the calls that were open; empty after a clean stop. Raises StoreUnavailable."""
    recovered: list[Cdr] = []
    while True:
        async with database.write() as connection:
            some = (await connection.scalars(select(open_calls.c.call_id).limit(AT_ONCE))).all()
            if not some:
                return recovered
            alive_at = await connection.scalar(select(beat.c.at))
            recovered += await _end(connection, some, min(alive_at or 0.0, now))


async def _end(connection: AsyncConnection, calls: Sequence[str], alive_at: float) -> list[Cdr]:
    """End calls at the moment when the gateway was last known to live, or when they were last heard of."""
    histories = await _histories(connection, calls)
    rests = {call_id: crashed(history, alive_at) for call_id, history in histories.items()}
    rows = [_row(happening) for rest in rests.values() for happening in rest]
    cdrs = [fold([*history, *rests[call_id]]) for call_id, history in histories.items()]
    if rows:
        await connection.execute(insert(happenings), rows)
    if cdrs:
        await connection.execute(ADD, [row_of(cdr) for cdr in cdrs])
    await connection.execute(delete(open_calls).where(open_calls.c.call_id.in_(calls)))
    return cdrs


async def _histories(connection: AsyncConnection, calls: Sequence[str]) -> dict[str, list[Happening]]:
    histories: dict[str, list[Happening]] = {}
    query = select(happenings).where(happenings.c.call_id.in_(calls)).order_by(happenings.c.seq)
    for row in await connection.execute(query):
        histories.setdefault(row[3], []).append(Happening(row[2], row[1], *row[3:]))
    return histories


def _row(happening: Happening) -> dict[str, object]:
    return {
        "at": happening.at,
        "type": happening.type,
        "call_id": happening.call_id,
        "leg_id": happening.leg_id,
        "channel": happening.channel,
        "trunk": happening.trunk,
        "data": happening.data,
        "agents": happening.agents,
    }
