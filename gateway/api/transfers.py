"""/v1/transfers: the transfers that have ended; mounted by v1.py."""

from http import HTTPStatus

from gateway.api.agent_models import TransferOut, Transfers, TransfersQuery
from gateway.api.auth import Scope
from gateway.api.base import seconds
from gateway.api.operations import Answer, Asked, Operation
from gateway.api.problems import Code, invalid
from gateway.api.reading import read_query
from gateway.calls.model import JsonObject
from gateway.calls.view import rfc3339
from gateway.engine.ports import History, Recorded, TransferFilter


class TransfersApi:
    """The endpoint."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def page(self, asked: Asked) -> Answer:
        """GET /v1/transfers"""
        query, caller = read_query(asked.request, TransfersQuery), asked.caller
        which = TransferFilter(
            caller.channels,
            caller.agent,
            query.call,
            query.status,
            query.reason.value if query.reason is not None else None,
            seconds(query.since),
            seconds(query.until),
        )
        try:
            page = await self._history.transfers(which, cursor=query.cursor, limit=query.limit)
        except ValueError:
            raise invalid("query", "cursor", "is not one that a page gave") from None
        items = [transfer_out(one) for one in page.items]
        return Answer(HTTPStatus.OK, Transfers(items=items, next_cursor=page.next_cursor))

    def operations(self) -> tuple[Operation, ...]:
        """The one."""
        return (
            Operation(
                method="GET", path="/v1/transfers", name="listTransfers", tag="History", scope=Scope.CALLS_READ,
                summary="Finished transfers", handler=self.page, query=TransfersQuery, answer=Transfers,
                about="One for each `transfer.ended` that the key sees, the newest first, of live calls too.",
                problems=(Code.INVALID, Code.STORE_UNAVAILABLE),
            ),
        )  # fmt: skip


def transfer_out(recorded: Recorded) -> TransferOut:
    """A transfer, from its `transfer.ended`."""
    one = recorded.happening
    at: JsonObject = {"callId": one.call_id, "at": rfc3339(one.at), "channel": one.channel}
    return TransferOut.model_validate({"hopOf": None, "detail": None, **one.data, **at})
