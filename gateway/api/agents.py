"""/v1/agents: who is available, away or busy, and how they say so; mounted by v1.py."""

from http import HTTPStatus

from gateway.api.agent_models import AgentOut, Agents, AgentStateBody
from gateway.api.auth import Caller, Scope
from gateway.api.control import Control
from gateway.api.operations import Answer, Asked, Operation
from gateway.api.problems import ApiProblem, Code
from gateway.api.reading import read_body
from gateway.calls.view import rfc3339
from gateway.engine.agents import AgentStatus


class AgentsApi:
    """The endpoints."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def agents(self, asked: Asked) -> Answer:
        """GET /v1/agents"""
        items = [_agent_out(status, asked.caller) for status in self._control.agents()]
        return Answer(HTTPStatus.OK, Agents(items=items, next_cursor=None))

    async def say(self, asked: Asked) -> Answer:
        """PUT /v1/agents/{id}/state"""
        agent = asked.request.match_info["id"]
        if asked.caller.agent not in (None, agent):
            raise _not_found()
        wanted = read_body(asked.body, AgentStateBody)
        status = self._control.say(agent, away=wanted.state == "away")
        if status is None:
            raise _not_found()
        return Answer(HTTPStatus.OK, _agent_out(status, asked.caller))

    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        return (
            Operation(
                method="GET", path="/v1/agents", name="listAgents", tag="Agents", scope=Scope.AGENTS,
                summary="Agents and their states", handler=self.agents, answer=Agents,
                about="All of the running plan, in its order. `callId` and `legId` are of a call that the key sees.",
            ),
            Operation(
                method="PUT", path="/v1/agents/{id}/state", name="setAgentState", tag="Agents", scope=Scope.AGENTS,
                summary="Go away, or come back", handler=self.say, body=AgentStateBody, answer=AgentOut,
                about="Agents are `available` when the gateway starts. Nobody who is `away` is called: a transfer to "
                "them fails with `no-agents`, a consult is refused with `agent-busy`. A call that they are in goes on: "
                "until its end they are `busy`. A key that is bound to an agent sets that agent's state only.",
                problems=(Code.NOT_FOUND, Code.MALFORMED_JSON, Code.INVALID),
            ),
        )  # fmt: skip


def _not_found() -> ApiProblem:
    return ApiProblem(Code.NOT_FOUND, "there is no such agent for this key")


def _agent_out(status: AgentStatus, caller: Caller) -> AgentOut:
    call, leg = status.call, status.leg
    seen = call is not None and leg is not None and caller.sees(call)
    return AgentOut(
        id=status.id,
        name=status.name,
        state=status.state,
        trunk=status.trunk,
        may=[*status.may],
        call_id=call.id if call is not None and seen else None,
        leg_id=leg.id if leg is not None and seen else None,
        since=rfc3339(status.since),
    )
