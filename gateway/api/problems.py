"""What can go wrong, as RFC 9457 problem details: the codes, the exception, the middleware; used by all of api.

ApiProblem is raised wherever a request cannot be served; `shape_errors` makes the answer of it, and of whatever else
comes out of a handler. No detail ever holds a secret: not the key, not an exception's text that we did not write.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Final

from aiohttp import web

from gateway.calls.model import Json, JsonObject
from gateway.engine.ports import StoreUnavailable
from gateway.telemetry.log import get_logger

MEDIA_TYPE: Final = "application/problem+json"
DOCS: Final = "/docs"

log = get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Code(StrEnum):
    """What went wrong, for programs; the documentation lists all of them."""

    MALFORMED_REQUEST = "malformed-request"
    MALFORMED_JSON = "malformed-json"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    BLOCKED = "blocked"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    ILLEGAL_STATE = "illegal-state"
    AGENT_BUSY = "agent-busy"
    IDEMPOTENCY_KEY_IN_USE = "idempotency-key-in-use"
    TOO_LARGE = "too-large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    INVALID = "invalid"
    IDEMPOTENCY_KEY_REUSED = "idempotency-key-reused"
    UNKNOWN_SEQ = "unknown-seq"
    BAD_DIALPLAN = "bad-dialplan"
    RATE_LIMITED = "rate-limited"
    INTERNAL = "internal"
    TOO_MANY_STREAMS = "too-many-streams"
    STORE_UNAVAILABLE = "store-unavailable"
    OVER_LIMIT = "over-limit"


PROBLEMS: Final[Mapping[Code, tuple[int, str]]] = {
    Code.MALFORMED_REQUEST: (400, "The request cannot be read"),
    Code.MALFORMED_JSON: (400, "The body is no JSON object"),
    Code.UNAUTHENTICATED: (401, "A valid key is needed"),
    Code.FORBIDDEN: (403, "This key may not do that"),
    Code.BLOCKED: (403, "The destination policy does not let us dial that"),
    Code.NOT_FOUND: (404, "There is no such thing, or not for this key"),
    Code.METHOD_NOT_ALLOWED: (405, "The path does not take this method"),
    Code.ILLEGAL_STATE: (409, "The call cannot take this now"),
    Code.AGENT_BUSY: (409, "The agent is away, or on a call"),
    Code.IDEMPOTENCY_KEY_IN_USE: (409, "The first request with this Idempotency-Key is not answered yet"),
    Code.TOO_LARGE: (413, "The request is too large"),
    Code.UNSUPPORTED_MEDIA_TYPE: (415, "The body must be JSON"),
    Code.INVALID: (422, "A field or parameter is wrong"),
    Code.IDEMPOTENCY_KEY_REUSED: (422, "This Idempotency-Key belongs to another request"),
    Code.UNKNOWN_SEQ: (422, "There is no event with this number yet"),
    Code.BAD_DIALPLAN: (422, "The dialplan has mistakes; the running one stays"),
    Code.RATE_LIMITED: (429, "Too many requests"),
    Code.INTERNAL: (500, "A defect of the gateway"),
    Code.TOO_MANY_STREAMS: (503, "Too many event streams are open"),
    Code.STORE_UNAVAILABLE: (503, "The store cannot be read or written"),
    Code.OVER_LIMIT: (503, "A limit is reached, or the gateway drains"),
}
"""The status and title of each code."""

_OF_STATUS: Final[Mapping[int, Code]] = {
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    413: Code.TOO_LARGE,
    415: Code.UNSUPPORTED_MEDIA_TYPE,
}


class ApiProblem(Exception):
    """A request that is not served. `members` stand in the answer beside the standard ones (`path`, `allowed`, …)."""

    def __init__(
        self,
        code: Code,
        detail: str,
        members: Mapping[str, Json] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code.value}: {detail}")
        self.code, self.detail = code, detail
        self.members, self.headers = dict(members or {}), dict(headers or {})

    @property
    def status(self) -> int:
        """The HTTP status."""
        return PROBLEMS[self.code][0]

    def body(self) -> JsonObject:
        """As it is sent."""
        status, title = PROBLEMS[self.code]
        return {
            "type": f"{DOCS}#{self.code.value}",
            "title": title,
            "status": status,
            "code": self.code.value,
            "detail": self.detail,
            **self.members,
        }

    def response(self) -> web.Response:
        """The answer."""
        return web.Response(
            body=json.dumps(self.body()).encode(), status=self.status, content_type=MEDIA_TYPE, headers=self.headers
        )


def invalid(where: str, path: str, detail: str) -> ApiProblem:
    """A wrong field of the body, parameter of the query, or header (`where`), with its path."""
    return ApiProblem(Code.INVALID, f"{path}: {detail}" if path else detail, {"in": where, "path": path})


# ── Whatever comes out of a handler ─────────────────────────────────────────────────────────────────


@web.middleware
async def shape_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Outermost of all: each error leaves as problem+json."""
    try:
        return await handler(request)
    except ApiProblem as problem:
        return problem.response()
    except web.HTTPException as error:
        return _of_http(request, error).response()
    except StoreUnavailable as error:
        log.warning("api.store_unavailable", path=request.path, why=str(error))
        return store_unavailable().response()
    except ConnectionError:
        raise  # the client went away
    except Exception:
        log.exception("api.failed", method=request.method, path=request.path)
        return ApiProblem(Code.INTERNAL, "it is in the log").response()


def store_unavailable() -> ApiProblem:
    """History, keys or answers cannot be had just now; calls go on."""
    return ApiProblem(Code.STORE_UNAVAILABLE, "calls go on; try again soon", headers={"Retry-After": "2"})


def _of_http(request: web.Request, error: web.HTTPException) -> ApiProblem:
    """What aiohttp itself refuses: paths, methods, sizes."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = sorted(error.allowed_methods)
        detail = f"{request.method[:20]} is not possible here; {', '.join(allowed)} is"
        return ApiProblem(Code.METHOD_NOT_ALLOWED, detail, {"allowed": [*allowed]}, {"Allow": ", ".join(allowed)})
    code = _OF_STATUS.get(error.status, Code.MALFORMED_REQUEST if error.status < 500 else Code.INTERNAL)
    details = {
        Code.NOT_FOUND: "no such path; /docs lists them",
        Code.TOO_LARGE: "the body may have 64 KiB",
    }
    return ApiProblem(code, details.get(code, error.reason))
