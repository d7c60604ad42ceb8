"""POST /v1/calls: calls that we place, for a bot or for an agent; mounted by v1.py."""

from http import HTTPStatus
from typing import assert_never

from gateway.api.auth import Caller, Scope
from gateway.api.control import Control
from gateway.api.models import CallOut
from gateway.api.operations import Answer, Asked, Operation
from gateway.api.problems import ApiProblem, Code, invalid
from gateway.api.reading import read_outgoing
from gateway.api.views import call_out
from gateway.calls.outgoing import Outgoing
from gateway.engine.placing import NO_SUCH_CHANNEL, NotPlaced


class OriginateApi:
    """The endpoint."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def place(self, asked: Asked) -> Answer:
        """POST /v1/calls"""
        wanted = read_outgoing(asked.body)
        try:
            _permit(asked.caller, wanted)
            call = await self._control.place(wanted, asked.caller.key.agent)
        except NotPlaced as error:
            raise _problem(error) from None
        return Answer(HTTPStatus.ACCEPTED, call_out(call))

    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        return (
            Operation(
                method="POST", path="/v1/calls", name="placeCall", tag="Calls", scope=Scope.CALLS_CONTROL,
                summary="Place a call", handler=self.place, body=Outgoing, answer=CallOut,
                status=HTTPStatus.ACCEPTED,
                about="Calls a customer: with `channel` for its bot, which gets `start` with reason `outbound` when "
                "the customer has answered; with `agent` for that agent, who is called first, then hears the "
                "customer's phone ring, and talks to the customer as after a transfer. What cannot be dialled is said "
                "at once; how the call goes is in the events: busy, no answer within `timeout` seconds and the like "
                "end it, with the cause in `call.ended`. `trunk` may be left out where the channel has one. "
                "`callerId` may be left out where the trunk's `caller_id` fixes a number. A key that is bound to an "
                "agent places calls for that agent only.",
                problems=(Code.MALFORMED_JSON, Code.BLOCKED, Code.AGENT_BUSY, Code.TOO_LARGE, Code.INVALID,
                          Code.OVER_LIMIT),
            ),
        )  # fmt: skip


def _permit(caller: Caller, wanted: Outgoing) -> None:
    """What a bound key may place. Raises 403, or NotPlaced for a channel that is not there for this key."""
    agent = caller.key.agent
    if agent is not None:
        if wanted.agent != agent:
            raise ApiProblem(Code.FORBIDDEN, f"the key places calls for agent {agent} only")
    elif wanted.agent is not None and caller.bound:
        raise ApiProblem(Code.FORBIDDEN, "the key is bound to channels: it places calls for their bots only")
    elif wanted.agent is None and caller.channels is not None and wanted.channel not in caller.channels:
        raise NotPlaced("invalid", NO_SUCH_CHANNEL)


def _problem(refusal: NotPlaced) -> ApiProblem:
    match refusal.why:
        case "invalid":
            path, _, sentence = refusal.detail.partition(": ")
            return invalid("body", path, sentence)
        case "blocked":
            return ApiProblem(Code.BLOCKED, refusal.detail)
        case "forbidden":
            return ApiProblem(Code.FORBIDDEN, refusal.detail)
        case "unreachable":
            after = {"Retry-After": str(refusal.retry_after_s)}
            return ApiProblem(Code.OVER_LIMIT, refusal.detail, headers=after)
        case "agent-busy" | "state":
            return ApiProblem(Code.AGENT_BUSY, refusal.detail)
        case _:
            assert_never(refusal.why)
