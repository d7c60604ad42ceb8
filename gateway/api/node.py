"""/v1/trunks, /v1/dialplan, /v1/drain: what concerns the whole node, for keys bound to nothing; mounted by v1.py."""

from http import HTTPStatus
from typing import assert_never

from gateway.api.auth import Scope
from gateway.api.control import Control
from gateway.api.node_models import DrainOut, FileProblem, Nothing, ReloadOut, RouteBody, RouteOut, Trunks
from gateway.api.operations import Answer, Asked, Operation
from gateway.api.problems import ApiProblem, Code, invalid
from gateway.api.reading import read_body
from gateway.api.views import trunk_out
from gateway.dialplan.problems import ProblemsError, did_you_mean
from gateway.dialplan.routing import Decision, Refuse, ToAgent, ToChannel, ToPrompt


class NodeApi:
    """The endpoints."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def trunks(self, _: Asked) -> Answer:
        """GET /v1/trunks"""
        items = [trunk_out(trunk) for trunk in self._control.trunks()]
        return Answer(HTTPStatus.OK, Trunks(items=items, next_cursor=None))

    async def route(self, asked: Asked) -> Answer:
        """POST /v1/dialplan/route"""
        body = read_body(asked.body, RouteBody)
        names = [trunk.name for trunk in self._control.trunks()]
        trunk = body.trunk if body.trunk is not None else next(iter(names), None)
        if trunk not in names or trunk is None:
            known = f"there is {', '.join(names)}" if names else "the plan has none"
            raise invalid("body", "trunk", f"is no trunk of the plan; {did_you_mean(trunk or '', names, known)}")
        decision = self._control.route(trunk, body.to, body.from_, body.at)
        return Answer(HTTPStatus.OK, _route_out(decision))

    async def reload(self, asked: Asked) -> Answer:
        """POST /v1/dialplan/reload"""
        read_body(asked.body, Nothing)
        try:
            done = await self._control.reload()
        except ProblemsError as error:
            found = [
                FileProblem(file=one.file, line=one.line, path=one.path, message=one.message).model_dump(by_alias=True)
                for one in error.problems
            ]
            raise ApiProblem(Code.BAD_DIALPLAN, str(error.problems[0]), {"problems": [*found]}) from None
        return Answer(HTTPStatus.OK, ReloadOut(trunks=done.trunks, channels=done.channels, routes=done.routes))

    async def drain(self, asked: Asked) -> Answer:
        """POST /v1/drain"""
        read_body(asked.body, Nothing)
        return Answer(HTTPStatus.ACCEPTED, DrainOut(draining=True, calls=self._control.drain()))

    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        return (
            Operation(
                method="GET", path="/v1/trunks", name="listTrunks", tag="Node", scope=Scope.CALLS_READ, of_node=True,
                summary="Trunks and their states", about="Of the running plan, in its order.",
                handler=self.trunks, answer=Trunks,
            ),
            Operation(
                method="POST", path="/v1/dialplan/route", name="route", tag="Node", scope=Scope.ADMIN, of_node=True,
                summary="Where would a call go?", handler=self.route, body=RouteBody, answer=RouteOut,
                about="What the running plan would do with a call, and why, step by step. Nothing is dialled.",
                problems=(Code.MALFORMED_JSON, Code.INVALID),
            ),
            Operation(
                method="POST", path="/v1/dialplan/reload", name="reload", tag="Node", scope=Scope.ADMIN, of_node=True,
                summary="Load the dialplan again", handler=self.reload, body=Nothing, answer=ReloadOut,
                about="Live calls keep what they have. If the files have a mistake, all mistakes are listed with file "
                "and line, and the running plan stays.",
                problems=(Code.MALFORMED_JSON, Code.INVALID, Code.BAD_DIALPLAN),
            ),
            Operation(
                method="POST", path="/v1/drain", name="drain", tag="Node", scope=Scope.ADMIN, of_node=True,
                status=HTTPStatus.ACCEPTED, summary="Stop when the last call is over", handler=self.drain,
                body=Nothing, answer=DrainOut,
                about="New calls are refused with 503 from now on. The process ends, with exit code 0, when the last "
                "call is over or `drain_timeout` has passed, which ends the rest. It is what SIGTERM does; asking "
                "again changes nothing.",
                problems=(Code.MALFORMED_JSON, Code.INVALID),
            ),
        )  # fmt: skip


def _route_out(decision: Decision) -> RouteOut:
    steps = list(decision.steps)
    match decision:
        case ToChannel():
            return RouteOut(
                decision="channel", channel=decision.channel, route=decision.route, where=decision.where, steps=steps
            )
        case ToAgent():
            return RouteOut(
                decision="agent", agent=decision.agent, route=decision.route, where=decision.where, steps=steps
            )
        case ToPrompt():
            return RouteOut(
                decision="prompt", prompt=decision.prompt, say=decision.say,
                route=decision.route, where=decision.where, steps=steps,
            )  # fmt: skip
        case Refuse():
            return RouteOut(
                decision="refuse", sip_status=decision.status, why=decision.why,
                route=decision.route, where=decision.where, steps=steps,
            )  # fmt: skip
        case _:
            assert_never(decision)
