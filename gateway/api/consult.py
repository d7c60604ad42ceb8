"""/v1/calls/{id}/consult, swap, merge, forward, hold and unhold: what an agent does with a call; mounted by v1.py."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from gateway.api.auth import Scope
from gateway.api.control import Control, NotNow
from gateway.api.models import CallOut, HoldBody
from gateway.api.node_models import Nothing
from gateway.api.operations import Answer, Asked, Operation
from gateway.api.problems import Code, invalid
from gateway.api.reach import Reach, turned_down
from gateway.api.reading import read_body, read_called
from gateway.api.views import call_out
from gateway.calls.called import Consulted
from gateway.calls.model import Call, LegId
from gateway.calls.orders import EndConsult, Forward, Hold, Merge, Order, Swap
from gateway.calls.states import LegState
from gateway.engine.ports import History

_PROBLEMS: Final = (Code.NOT_FOUND, Code.ILLEGAL_STATE, Code.STORE_UNAVAILABLE)
_OF_A_BODY: Final = (*_PROBLEMS, Code.MALFORMED_JSON, Code.TOO_LARGE, Code.INVALID)


class ConsultApi:
    """The endpoints. Each answers with the call as it is when the order has been carried out."""

    def __init__(self, control: Control, history: History) -> None:
        self._control, self._reach = control, Reach(control, history)

    async def consult(self, asked: Asked) -> Answer:
        """POST /v1/calls/{id}/consult"""
        call = await self._reach.commandable(asked)
        wanted = read_called(Consulted, asked.body)
        _known_leg(call, wanted.leg_id)
        return await self._order(asked, call, wanted.order())

    async def end_consult(self, asked: Asked) -> Answer:
        """DELETE /v1/calls/{id}/consult"""
        return await self._order(asked, await self._reach.commandable(asked), EndConsult())

    def _plain(self, order: Order) -> Callable[[Asked], Awaitable[Answer]]:
        """POST /v1/calls/{id}/swap and the like, with nothing to say about it."""

        async def handle(asked: Asked) -> Answer:
            call = await self._reach.commandable(asked)
            read_body(asked.body, Nothing)
            return await self._order(asked, call, order)

        return handle

    def _holding(self, *, on: bool) -> Callable[[Asked], Awaitable[Answer]]:
        """POST /v1/calls/{id}/hold or …/unhold"""

        async def handle(asked: Asked) -> Answer:
            call = await self._reach.commandable(asked)
            leg_id = read_body(asked.body, HoldBody).leg_id
            _known_leg(call, leg_id)
            return await self._order(asked, call, Hold(on, LegId(leg_id) if leg_id is not None else None))

        return handle

    async def _order(self, asked: Asked, call: Call, order: Order) -> Answer:
        try:
            await self._control.order(call.id, order, asked.caller.agent)
        except NotNow as refusal:
            raise turned_down(call, refusal) from None
        return Answer(HTTPStatus.ACCEPTED, call_out(call))

    # ── What is documented ──────────────────────────────────────────────────────────────────────────

    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        scope, ok = Scope.CALLS_CONTROL, HTTPStatus.ACCEPTED
        return (
            Operation(
                method="POST", path="/v1/calls/{id}/consult", name="consult", tag="Agents", scope=scope, status=ok,
                summary="Ask somebody while the customer waits", handler=self.consult, body=Consulted, answer=CallOut,
                about="The customer hears hold music, and nothing of the consult; the agent hears ringback, then the "
                "consultant. `consult.started` and `consult.answered` or `consult.failed` follow: after a failure "
                "agent and customer are together again. `onAgentHangup` says what becomes of it when the agent hangs "
                "up: `forward` gives the customer to the consultant, `end` ends the consult as well. `legId` is the "
                "agent's. An `agent` who is away or on a call is not called (409 `agent-busy`); what the agent who "
                "asks may do is said in the plan, `agents.*.may` (403).",
                problems=(*_OF_A_BODY, Code.AGENT_BUSY),
            ),
            Operation(
                method="DELETE", path="/v1/calls/{id}/consult", name="endConsult", tag="Agents", scope=scope,
                status=ok, summary="End the consult", handler=self.end_consult, answer=CallOut,
                about="The consultant is released, or not called any more; the agent is with the customer. Once the "
                "customer has left, the call ends by it.",
                problems=_PROBLEMS,
            ),
            Operation(
                method="POST", path="/v1/calls/{id}/swap", name="swap", tag="Agents", scope=scope, status=ok,
                summary="Change between customer and consultant", handler=self._plain(Swap()), body=Nothing,
                answer=CallOut, about="Whoever is left hears hold music.", problems=_OF_A_BODY,
            ),
            Operation(
                method="POST", path="/v1/calls/{id}/merge", name="merge", tag="Agents", scope=scope, status=ok,
                summary="Bring all three together", handler=self._plain(Merge()), body=Nothing, answer=CallOut,
                about="Customer, agent and consultant hear each other.", problems=_OF_A_BODY,
            ),
            Operation(
                method="POST", path="/v1/calls/{id}/forward", name="forward", tag="Agents", scope=scope, status=ok,
                summary="Leave the customer with the consultant", handler=self._plain(Forward()), body=Nothing,
                answer=CallOut,
                about="A warm transfer: the agent is released, the consultant is the agent from then on. While the "
                "consultant is still called: as soon as there is an answer; if there is none, agent and customer are "
                "together again.",
                problems=_OF_A_BODY,
            ),
            Operation(
                method="POST", path="/v1/calls/{id}/hold", name="hold", tag="Agents", scope=scope, status=ok,
                summary="Put the customer on hold", handler=self._holding(on=True), body=HoldBody, answer=CallOut,
                about="The customer hears hold music and is heard by nobody; with `legId` another leg does. The "
                "customer cannot be put on hold between `consult` and `merge`: then they hear music already. "
                "A hold ends with the talk that it was for: by a consult, or when the agent goes.",
                problems=_OF_A_BODY,
            ),
            Operation(
                method="POST", path="/v1/calls/{id}/unhold", name="unhold", tag="Agents", scope=scope, status=ok,
                summary="Take the customer off hold", handler=self._holding(on=False), body=HoldBody, answer=CallOut,
                about="With `legId` another leg.", problems=_OF_A_BODY,
            ),
        )  # fmt: skip


def _known_leg(call: Call, leg_id: str | None) -> None:
    """Raises 422 for a leg that this call does not have, or has no more."""
    leg = call.legs.get(LegId(leg_id)) if leg_id is not None else None
    if leg_id is not None and (leg is None or leg.state is LegState.ENDED):
        raise invalid("body", "legId", "the call has no such leg")
