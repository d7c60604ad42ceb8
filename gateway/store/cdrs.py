"""CDRs as rows, and back; pages of them; for journal, recovery and history."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Insert, RowMapping, Select, select
from sqlalchemy.dialects.sqlite import insert

from gateway.calls.causes import Cause, Reason, Result
from gateway.calls.cdr import Cdr, CdrLeg
from gateway.calls.model import JsonObject
from gateway.engine.ports import CdrFilter, CdrPage
from gateway.store.agent_names import holds
from gateway.store.database import Database
from gateway.store.tables import cdrs

ADD: Final[Insert] = insert(cdrs).on_conflict_do_nothing(index_elements=["call_id"])
"""Adds a row; a call that has its CDR keeps it."""


def row_of(cdr: Cdr) -> dict[str, object]:
    """All columns but the id. Texts are from the wire: what is no Unicode is replaced."""
    row: dict[str, object] = {
        "call_id": cdr.call_id,
        "sip_call_id": cdr.sip_call_id,
        "channel": cdr.channel,
        "trunk": cdr.trunk,
        "direction": cdr.direction,
        "from": cdr.from_,
        "to": cdr.to,
        "started_at": cdr.started_at,
        "answered_at": cdr.answered_at,
        "ended_at": cdr.ended_at,
        "duration_ms": cdr.duration_ms,
        "result": cdr.cause.result.value,
        "reason": cdr.cause.reason.value,
        "sip_status": cdr.sip_status,
        "q850": cdr.q850,
        "ended_by": cdr.ended_by,
    }
    for name, value in row.items():
        if isinstance(value, str):
            row[name] = value.encode("utf-8", "replace").decode()
    lists: dict[str, object] = {
        "legs": [_leg_row(leg) for leg in cdr.legs],
        "transfers": [*cdr.transfers],
        "recordings": [*cdr.recordings],
        "rtp": [*cdr.rtp],
    }
    return {**row, **lists, "data": cdr.data, "agents": cdr.agents}


def _leg_row(leg: CdrLeg) -> JsonObject:
    return {
        "leg_id": leg.leg_id,
        "role": leg.role,
        "joined_at": leg.joined_at,
        "left_at": leg.left_at,
        "codec": leg.codec,
        "cause": [leg.cause.result.value, leg.cause.reason.value] if leg.cause else None,
        "sip_status": leg.sip_status,
        "q850": leg.q850,
        "by": leg.by,
        "agent": leg.agent,
    }


def cdr_of(row: RowMapping) -> Cdr:
    """A row of the table as a Cdr."""
    values = {name: row[name] for name in row if name not in ("id", "from", "result", "reason")}
    values["legs"] = tuple(
        CdrLeg(**(leg | {"cause": _cause(*leg["cause"]) if leg["cause"] else None})) for leg in row["legs"]
    )
    for name in ("transfers", "recordings", "rtp"):
        values[name] = tuple(row[name])
    return Cdr(**values, from_=row["from"], cause=_cause(row["result"], row["reason"]))


def _cause(result: str, reason: str) -> Cause:
    return Cause(Result(result), Reason(reason))


async def cdr(database: Database, call_id: str) -> Cdr | None:
    """The CDR of one call."""
    async with database.read() as connection:
        row = (await connection.execute(select(cdrs).where(cdrs.c.call_id == call_id))).mappings().first()
    return cdr_of(row) if row is not None else None


async def page(database: Database, which: CdrFilter, cursor: str | None, limit: int) -> CdrPage:
    """The newest that match, or those before `cursor`."""
    query: Select[Any] = select(cdrs).where(*_conditions(which)).order_by(cdrs.c.id.desc()).limit(limit + 1)
    if cursor is not None:
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
            raise ValueError("no such cursor")
        query = query.where(cdrs.c.id < int(cursor))
    async with database.read() as connection:
        rows = (await connection.execute(query)).mappings().all()
    more = len(rows) > limit
    return CdrPage(tuple(cdr_of(row) for row in rows[:limit]), str(rows[limit - 1]["id"]) if more else None)


def _conditions(which: CdrFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if which.channels is not None:
        conditions.append(cdrs.c.channel.in_(which.channels))
    if which.agent is not None:
        conditions.append(holds(cdrs.c.agents, which.agent))
    for column, wanted in ((cdrs.c.trunk, which.trunk), (cdrs.c["from"], which.from_), (cdrs.c.to, which.to)):
        if wanted is not None:
            conditions.append(column == wanted)
    if which.since is not None:
        conditions.append(cdrs.c.started_at >= which.since)
    if which.until is not None:
        conditions.append(cdrs.c.started_at < which.until)
    return conditions
