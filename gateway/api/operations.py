"""An endpoint as one value, from which both its route and its documentation are made; used by every endpoint module."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from aiohttp import web
from pydantic import BaseModel

from gateway.api.auth import CALLER, Caller, Scope, require
from gateway.api.base import CALL_ID
from gateway.api.idempotency import Once
from gateway.api.problems import ApiProblem, Code
from gateway.telemetry.log import get_logger

BODY_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})
MAX_BODY: Final = 64 * 1024
BODY_S: Final = 10.0

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint says."""

    status: int
    body: BaseModel

    def json(self) -> bytes:
        """As it is sent."""
        return self.body.model_dump_json(by_alias=True).encode()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request whose key may send it."""

    request: web.Request
    caller: Caller
    body: bytes

    @property
    def call_id(self) -> str:
        """The id in the path. Raises 404 for what cannot be one."""
        call_id = self.request.match_info["id"]
        if not re.fullmatch(CALL_ID, call_id):
            raise ApiProblem(Code.NOT_FOUND, "that is not the id of a call")
        return call_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. `of_node`: it is not for bound keys. `stream`: it answers with SSE, by itself."""

    method: str
    path: str
    name: str
    summary: str
    about: str
    tag: str
    scope: Scope
    handler: Callable[[Asked], Awaitable[Answer | web.StreamResponse]]
    status: int = HTTPStatus.OK
    answer: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    or_scope: Scope | None = None
    """With this one it may be asked too; the handler looks at which of the two it takes."""
    of_node: bool = False
    stream: bool = False
    problems: tuple[Code, ...] = ()


def mount(app: web.Application, operation: Operation, once: Once) -> None:
    """Serve it."""

    async def serve(request: web.Request) -> web.StreamResponse:
        caller = request[CALLER]
        require(caller, operation.scope, operation.or_scope, of_node=operation.of_node)
        body = await _body(request) if operation.method in BODY_METHODS else b""
        asked = Asked(request, caller, body)
        if operation.method == "POST":
            response = await once.serve(request, caller.key.id, body, lambda: _rendered(operation, asked))
        else:
            response = await _rendered(operation, asked)
        if operation.method != "GET":
            log.info("api.commanded", what=operation.name, path=request.path, key=caller.key.name)
        return response

    app.router.add_route(operation.method, operation.path, serve, name=operation.name, expect_handler=_expect)


async def _rendered(operation: Operation, asked: Asked) -> web.StreamResponse:
    answer = await operation.handler(asked)
    if isinstance(answer, web.StreamResponse):
        return answer
    return web.Response(body=answer.json(), status=answer.status, content_type="application/json")


async def _body(request: web.Request) -> bytes:
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):  # decompressing could make gigabytes of a few KiB
        raise ApiProblem(Code.UNSUPPORTED_MEDIA_TYPE, "the body must not be compressed")
    if (request.content_length or 0) > MAX_BODY:
        raise ApiProblem(Code.TOO_LARGE, f"the body may have {MAX_BODY // 1024} KiB")
    try:
        async with asyncio.timeout(BODY_S):
            body = await request.read()
    except TimeoutError:
        raise ApiProblem(Code.MALFORMED_REQUEST, f"the body did not come within {BODY_S:g} s") from None
    except ConnectionError:  # who has gone is answered nothing; it is no defect of ours
        raise ApiProblem(Code.MALFORMED_REQUEST, "the connection ended before the body did") from None
    if body and not (request.content_type == "application/json" or request.content_type.endswith("+json")):
        raise ApiProblem(Code.UNSUPPORTED_MEDIA_TYPE, "send it with Content-Type: application/json")
    return body


async def _expect(request: web.Request) -> None:
    """RFC 9110 §10.1.1: what else is expected may be ignored, and aiohttp's own 417 would be no problem+json."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun
