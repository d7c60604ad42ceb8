"""The OpenAPI 3.1 document, made from the operations and their models; served by docs.py, checked by the tests."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from gateway import __version__
from gateway.api.auth import Scope
from gateway.api.base import CALL_ID
from gateway.api.idempotency import HEADER, REPLAYED
from gateway.api.node_models import Health, ProblemOut, Ready
from gateway.api.operations import BODY_METHODS, Operation
from gateway.api.problems import MEDIA_TYPE, PROBLEMS, Code
from gateway.calls.replies import MAX_REPLIES, BotResponse

Schema = dict[str, Any]

_ALWAYS: Final = (Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.RATE_LIMITED, Code.STORE_UNAVAILABLE)
_POSTS: Final = (
    Code.TOO_LARGE,
    Code.UNSUPPORTED_MEDIA_TYPE,
    Code.IDEMPOTENCY_KEY_IN_USE,
    Code.IDEMPOTENCY_KEY_REUSED,
)
_SCOPES: Final = {
    Scope.CALLS_READ: "see calls, their events and CDRs, and the trunks",
    Scope.CALLS_CONTROL: "end calls",
    Scope.BOT_REPLY: "push a bot's replies",
    Scope.AGENTS: "see the agents of the plan, and set whether they take calls",
    Scope.SUPERVISE: "for what is not built yet: supervisors",
    Scope.RECORDINGS_READ: "for what is not built yet: recordings",
    Scope.ADMIN: "the dialplan, and the end of the node",
}
_ABOUT: Final = """\
Live calls to see, to end and to send replies to; what happened, as it happens; trunks and the dialplan.

Times are RFC 3339 in UTC, durations are milliseconds. Lists are `{"items": […], "nextCursor": …}`: give `nextCursor` as
`cursor` to go on; null is the end. A command answers with 202 and the call as it is at that moment; what becomes of it
is in the events. A field or parameter that is not known is an error.

A key has scopes, and may be bound to channels: then calls of others are not there for it (404), and what concerns the
whole node is forbidden (403). One that is bound to an agent sees the calls in which that agent has a leg, as long as
that lasts, and their records afterwards; what it commands is done for that agent, or refused (409) when another one
talks to the customer.

Every POST takes an `Idempotency-Key`: sent again within 24 hours with the same body, the first answer comes again (with
`Idempotent-Replayed: true`) and nothing is done twice. Only what was done is remembered, refusals are not.

Every error is `application/problem+json` (RFC 9457). `code` is for programs, `detail` for people."""


_ABOUT_READY = "503 while they are not: the node drains, holds all the calls that it may, or is overloaded."


def build(operations: Sequence[Operation]) -> Schema:
    """The whole document."""
    schemas, of = _schemas(operations)
    paths: dict[str, Schema] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas, of)
    paths["/healthz"] = {"get": _open("health", "Is the process alive?", "What it holds and has counted.", Health, of)}
    paths["/readyz"] = {"get": _open("ready", "Are new calls taken?", _ABOUT_READY, Ready, of, 503)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Switchhook control API",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "GPL-2.0-or-later", "identifier": "GPL-2.0-or-later"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "Calls", "description": "Live calls, and one call whether live or over."},
            {"name": "Agents", "description": "What an agent who talks to the customer can do meanwhile."},
            {"name": "Legs", "description": "Who else is in a call, who hears whom, and what is announced."},
            {"name": "History", "description": "What happened: events as they come, and records of finished calls."},
            {"name": "Node", "description": "Trunks and the dialplan: for keys that are bound to nothing."},
            {"name": "Health", "description": "For load balancers and supervisors; no key is needed."},
        ],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key made by `switchhook keys add NAME --scope …`. Scopes: "
                    + "; ".join(f"`{scope.value}` {about}" for scope, about in _SCOPES.items())
                    + ".",
                }
            },
        },
    }


# ── Schemas ─────────────────────────────────────────────────────────────────────────────────────────

_Refs = dict[tuple[type[BaseModel], JsonSchemaMode], Schema]


def _schemas(operations: Sequence[Operation]) -> tuple[dict[str, Schema], _Refs]:
    """All models by name, and how to refer to each."""
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {
        (model, "serialization"): None for model in (ProblemOut, Health, Ready)
    }
    for operation in operations:
        wanted |= {(model, "validation"): None for model in (operation.query, operation.body) if model}
        wanted |= {(model, "serialization"): None for model in (operation.answer,) if model}
    refs, definitions = models_json_schema([*wanted], ref_template="#/components/schemas/{model}")
    schemas: dict[str, Schema] = {name: _plain(schema) for name, schema in definitions["$defs"].items()}
    schemas[BotResponse.__name__]["properties"]["replies"]["maxItems"] = MAX_REPLIES
    problem = schemas[ProblemOut.__name__]
    problem["required"] = ["type", "title", "status", "code", "detail"]  # what is null is not sent
    return schemas, {(model, mode): dict(refs[model, mode]) for model, mode in wanted}


def _plain(schema: Any) -> Any:
    """Without the titles that pydantic makes of names: they say nothing."""
    if isinstance(schema, dict):
        return {
            key: {name: _plain(below) for name, below in value.items()} if key == "properties" else _plain(value)
            for key, value in schema.items()
            if not (key == "title" and isinstance(value, str))
        }
    return [_plain(item) for item in schema] if isinstance(schema, list) else schema


# ── Operations ──────────────────────────────────────────────────────────────────────────────────────


def _operation(operation: Operation, schemas: dict[str, Schema], of: _Refs) -> Schema:
    scopes = [scope.value for scope in (operation.scope, operation.or_scope) if scope is not None]
    about = f"{operation.about}\n\nScope: {' or '.join(f'`{scope}`' for scope in scopes)}."
    if operation.of_node:
        about += " Not for keys that are bound to channels or to an agent."
    done: Schema = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": about,
        "security": [{"key": [scope]} for scope in scopes],
        "parameters": list(_parameters(operation, schemas, of)),
        "responses": _responses(operation, of),
    }
    if operation.body is not None:
        required = bool(schemas[_name(of[operation.body, "validation"])].get("required"))
        content = {"application/json": {"schema": of[operation.body, "validation"]}}
        done["requestBody"] = {"required": required or operation.body is BotResponse, "content": content}
    return done


def _parameters(operation: Operation, schemas: dict[str, Schema], of: _Refs) -> Iterable[Schema]:
    if "{id}" in operation.path:
        of_call = operation.path.startswith("/v1/calls/")
        schema = {"type": "string", **({"pattern": CALL_ID} if of_call else {"minLength": 1, "maxLength": 64})}
        what = "The call." if of_call else "The agent, by the name in the plan."
        yield {"name": "id", "in": "path", "required": True, "schema": schema, "description": what}
    if "{leg}" in operation.path:
        yield {"name": "leg", "in": "path", "required": True, "schema": {"type": "string"}, "description": "The leg."}
    if operation.query is not None:
        model = schemas.pop(_name(of[operation.query, "validation"]), None)
        for name, schema in (model or {}).get("properties", {}).items():
            yield {"name": name, "in": "query", "required": False, **_described(schema)}
    if operation.stream:
        about = "The `id` of the last event that was received; an EventSource sends it by itself."
        schema = {"type": "string", "pattern": "^[0-9]{1,15}$"}
        yield {"name": "Last-Event-ID", "in": "header", "required": False, "description": about, "schema": schema}
    if operation.method == "POST":
        about = "Any text that is new for each thing to do, such as a UUID."
        key: Schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"}
        yield {"name": HEADER, "in": "header", "required": False, "description": about, "schema": key}


def _described(schema: Schema) -> Schema:
    """A query parameter is left out, never null."""
    choices = [one for one in schema.get("anyOf", []) if one.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "description")}
    if rest.get("default", 0) is None:
        del rest["default"]
    described: Schema = {"schema": {**rest, **(choices[0] if len(choices) == 1 else {})}}
    if "description" in schema:
        described["description"] = schema["description"]
    return described


def _responses(operation: Operation, of: _Refs) -> Schema:
    kind = "text/event-stream" if operation.stream else "application/json"
    good: Schema = {"description": "As asked."}
    if operation.status == 202:
        good["description"] = "Taken; the answer is as of this moment."
    if operation.stream:  # OpenAPI 3.1 has no words for a stream of objects
        good["content"] = {kind: {"schema": {"type": "string"}}}
        good["description"] = "Events, without end; the `data` of each is `EventOut`."
    elif operation.answer is not None:
        good["content"] = {kind: {"schema": of[operation.answer, "serialization"]}}
    if operation.method == "POST":
        about = "`true`: this is the answer to an earlier request with this Idempotency-Key."
        good["headers"] = {REPLAYED: {"description": about, "schema": {"type": "string", "enum": ["true"]}}}
    codes = dict.fromkeys((*operation.problems, *_ALWAYS, *(_POSTS if operation.method in BODY_METHODS else ())))
    if operation.method == "POST":
        codes |= {Code.INVALID: None}
    return {str(int(operation.status)): good, **_problems(codes, of)}


def _problems(codes: Iterable[Code], of: _Refs) -> Schema:
    by_status: dict[int, list[Code]] = {}
    for code in codes:
        by_status.setdefault(PROBLEMS[code][0], []).append(code)
    return {
        str(status): {
            "description": "; ".join(f"`{code.value}`: {PROBLEMS[code][1]}" for code in by_status[status]) + ".",
            "content": {MEDIA_TYPE: {"schema": of[ProblemOut, "serialization"]}},
        }
        for status in sorted(by_status)
    }


def _open(name: str, summary: str, about: str, answer: type[BaseModel], of: _Refs, *also: int) -> Schema:
    content = {"application/json": {"schema": of[answer, "serialization"]}}
    responses = {str(status): {"description": "As asked.", "content": content} for status in (200, *also)}
    return {
        "operationId": name,
        "tags": ["Health"],
        "summary": summary,
        "description": about,
        "security": [],
        "responses": responses,
    }


def _name(ref: Schema) -> str:
    return str(ref["$ref"]).rpartition("/")[2]
