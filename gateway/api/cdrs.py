"""/v1/cdrs: the records of calls that are over; mounted by v1.py."""

from http import HTTPStatus

from gateway.api.auth import Scope
from gateway.api.base import seconds
from gateway.api.models import Cdrs, CdrsQuery
from gateway.api.operations import Answer, Asked, Operation
from gateway.api.problems import Code, invalid
from gateway.api.reading import read_query
from gateway.api.views import cdr_out
from gateway.engine.ports import CdrFilter, History


class CdrsApi:
    """The endpoints."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def page(self, asked: Asked) -> Answer:
        """GET /v1/cdrs"""
        query = read_query(asked.request, CdrsQuery)
        channels = asked.caller.channels
        if query.channel is not None:
            channels = frozenset({query.channel}) if channels is None else channels & {query.channel}
        which = CdrFilter(
            channels,
            query.trunk,
            query.from_,
            query.to,
            seconds(query.since),
            seconds(query.until),
            asked.caller.agent,
        )
        try:
            page = await self._history.cdrs(which, cursor=query.cursor, limit=query.limit)
        except ValueError:
            raise invalid("query", "cursor", "is not one that a page gave") from None
        return Answer(HTTPStatus.OK, Cdrs(items=[cdr_out(cdr) for cdr in page.items], next_cursor=page.next_cursor))

    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        return (
            Operation(
                method="GET", path="/v1/cdrs", name="listCdrs", tag="History", scope=Scope.CALLS_READ,
                summary="Records of finished calls", handler=self.page, query=CdrsQuery, answer=Cdrs,
                about="One for each call that is over, the newest first; refused calls too.",
                problems=(Code.INVALID, Code.STORE_UNAVAILABLE),
            ),
        )  # fmt: skip
