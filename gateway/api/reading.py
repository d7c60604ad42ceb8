"""Queries and bodies into models, or into the problem that names the field; used by every endpoint."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ValidationError
from pydantic_core import ErrorDetails

from gateway.api.problems import ApiProblem, Code, invalid
from gateway.calls.called import Called, parse_called
from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.outgoing import Outgoing, parse_outgoing
from gateway.calls.refusals import SHAPES
from gateway.calls.replies import BotResponse, parse_response
from gateway.calls.switch import Switch, parse_switch
from gateway.dialplan.problems import did_you_mean, show

M = TypeVar("M", bound=BaseModel)
C = TypeVar("C", bound=Called)

_PATHED: Final = re.compile(r'((?:[A-Za-z0-9_$.\-]|\[\d+\]|\["(?:[^"\\]|\\.)*"\])+): (.*)', re.DOTALL)
_SENTENCES: Final = {
    "missing": "is missing",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "enum": "must be one of {expected}",
    "literal_error": "must be one of {expected}",
    "timezone_aware": "needs a time zone: write it like 2026-11-21T10:00:00Z",
    "datetime_parsing": "is no time: write it like 2026-11-21T10:00:00Z",
    "datetime_from_date_parsing": "is no time: write it like 2026-11-21T10:00:00Z",
    "datetime_type": "is no time: write it like 2026-11-21T10:00:00Z",
}
"""By pydantic's name of the error, filled in from its context."""


def read_query(request: web.Request, model: type[M]) -> M:
    """The query as `model`; 422 for what it does not know, for what is wrong, for what is there twice."""
    query = request.query
    twice = next((name for name in query if len(query.getall(name)) > 1), None)
    if twice is not None:
        raise invalid("query", twice[:64], "is given twice")
    try:
        return model.model_validate(dict(query))
    except ValidationError as error:
        raise _invalid("query", error, model) from None


def read_body(body: bytes, model: type[M]) -> M:
    """The body, JSON, as `model`. Nothing at all is read as `{}`."""
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise _malformed(f"not JSON: {first['ctx']['error']}") from None
        if first["loc"] == () and first["type"] in ("model_type", "dict_type", "model_attributes_type"):
            raise _malformed("the body must be a JSON object") from None
        raise _invalid("body", error, model) from None


def read_replies(body: bytes) -> BotResponse:
    """Replies, as a bot's answer to a webhook is read, with the same words for what is wrong."""
    try:
        return parse_response(body)
    except BotError as error:
        raise refused(error) from None


def read_switch(body: bytes) -> Switch:
    """A switch object, as a bot's reply is read, with the same words for what is wrong."""
    try:
        return parse_switch(body)
    except BotError as error:
        raise refused(error) from None


def read_called(model: type[C], body: bytes) -> C:
    """Whom the API shall call, with the words of a switch for what is wrong."""
    try:
        return parse_called(model, body)
    except BotError as error:
        raise refused(error) from None


def read_outgoing(body: bytes) -> Outgoing:
    """A call to be placed, with the words of a switch for what is wrong."""
    try:
        return parse_outgoing(body)
    except BotError as error:
        raise refused(error) from None


def refused(error: BotError) -> ApiProblem:
    """The problem for replies that are refused: their path apart from the sentence."""
    match error.kind:
        case BotErrorKind.MALFORMED:
            return _malformed(error.detail)
        case BotErrorKind.TOO_LARGE:
            return ApiProblem(Code.TOO_LARGE, error.detail)
    found = _PATHED.fullmatch(error.detail)
    return invalid("body", *found.groups()) if found else invalid("body", "", error.detail)


def _malformed(detail: str) -> ApiProblem:
    return ApiProblem(Code.MALFORMED_JSON, detail)


def _invalid(where: str, error: ValidationError, model: type[BaseModel]) -> ApiProblem:
    first = error.errors(include_url=False, include_input=False)[0]
    path = show(tuple(part[:64] if isinstance(part, str) else part for part in first["loc"]))
    return invalid(where, path, _sentence(first, first.get("ctx", {}), model))


def _sentence(error: ErrorDetails, ctx: Mapping[str, Any], model: type[BaseModel]) -> str:
    if error["type"] == "extra_forbidden":
        known = [field.alias or name for name, field in model.model_fields.items()]
        there_is = f"there is {', '.join(known)}" if known else "there is none"
        return f"is not known; {did_you_mean(str(error['loc'][-1]), known, there_is)}"
    if error["type"] == "string_pattern_mismatch" and ctx["pattern"] in SHAPES:
        return SHAPES[ctx["pattern"]]
    if error["type"] in _SENTENCES:
        return _SENTENCES[error["type"]].format(**ctx)
    return error["msg"].removeprefix("Value error, ")


# ── What a `+` becomes when nobody escapes it ───────────────────────────────────────────────────────


def _plus_again(value: object) -> object:
    """In a query a bare `+` is a space: `from=+12125550123` and `…T10:00:00+01:00` mean what they look like."""
    return re.sub(r"^ (?=\d)| (?=\d\d:\d\d$)", "+", value) if isinstance(value, str) else value


PlusAgain: Final = BeforeValidator(_plus_again)
QueryNumber = Annotated[str, PlusAgain]
"""A telephone number in a query."""
