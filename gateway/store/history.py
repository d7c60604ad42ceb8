"""The read side: events from memory or disk, CDRs from disk; for the HTTP API and the command line."""

from collections.abc import Sequence, Set

from sqlalchemy import ColumnElement, or_, select

from gateway.calls.cdr import Cdr
from gateway.calls.history import Happening
from gateway.engine.ports import CdrFilter, CdrPage, Recorded, TransferFilter, TransferPage
from gateway.store import cdrs, transfers
from gateway.store.agent_names import holds
from gateway.store.database import Database
from gateway.store.tables import happenings
from gateway.store.tail import Tail


class SqlHistory:
    """See History."""

    def __init__(self, database: Database, tail: Tail) -> None:
        self._database, self._tail = database, tail

    @property
    def last_seq(self) -> int:
        """See History."""
        return self._tail.last_seq

    async def newer_than(self, seq: int) -> int:
        """See History."""
        return await self._tail.newer_than(seq)

    async def events(
        self,
        after_seq: int = 0,
        *,
        call_id: str | None = None,
        types: Set[str] | None = None,
        channels: Set[str] | None = None,
        agent: str | None = None,
        limit: int = 500,
    ) -> Sequence[Recorded]:
        """See History."""
        if after_seq >= self._tail.floor:
            newer = self._tail.after(after_seq)
            return [one for one in newer if _matches(one.happening, call_id, types, channels, agent)][:limit]
        query = select(happenings).where(happenings.c.seq > after_seq, *_conditions(call_id, types, channels, agent))
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(happenings.c.seq).limit(limit))
            return [Recorded(row[0], Happening(row[2], row[1], *row[3:])) for row in rows]

    async def transfers(self, which: TransferFilter, *, cursor: str | None = None, limit: int = 100) -> TransferPage:
        """See History."""
        return await transfers.page(self._database, which, cursor, limit)

    async def cdrs(self, which: CdrFilter, *, cursor: str | None = None, limit: int = 100) -> CdrPage:
        """See History."""
        return await cdrs.page(self._database, which, cursor, limit)

    async def cdr(self, call_id: str) -> Cdr | None:
        """See History."""
        return await cdrs.cdr(self._database, call_id)


def _conditions(
    call_id: str | None, types: Set[str] | None, channels: Set[str] | None, agent: str | None
) -> list[ColumnElement[bool]]:
    columns, conditions = happenings.c, list[ColumnElement[bool]]()
    if call_id is not None:
        conditions.append(columns.call_id == call_id)
    if types is not None:
        families = [columns.type.startswith(t[:-1], autoescape=True) for t in types if t.endswith(".*")]
        conditions.append(or_(columns.type.in_({t for t in types if not t.endswith(".*")}), *families))
    if channels is not None:
        conditions.append(columns.channel.in_(channels))
    if agent is not None:
        conditions.append(holds(columns.agents, agent))
    return conditions


def _matches(
    happening: Happening, call_id: str | None, types: Set[str] | None, channels: Set[str] | None, agent: str | None
) -> bool:
    return (
        (call_id is None or happening.call_id == call_id)
        and (types is None or happening.type in types or f"{happening.type.partition('.')[0]}.*" in types)
        and (channels is None or happening.channel in channels)
        and (agent is None or agent in happening.agents)
    )
