"""Why a bot's answer is refused, in words for its developer, who knows JSON and not pydantic; used by replies."""

import json
import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, Final, TypeAlias

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.calls.errors import BotError, BotErrorKind

Siblings: TypeAlias = Callable[[tuple[int | str, ...]], list[str]]
"""The fields that the object in which the last part of a location stands may have."""

# ── The shapes of strings, each with the words for one that does not fit ────────────────────────────

VOICE: Final = r"^[A-Za-z0-9_+\-]+$"
LANGUAGE: Final = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"  # RFC 5646 §2.1, without its finer points
HTTP_URL: Final = r"^https?://[^\s]+$"
PROMPT: Final = r"^[A-Za-z0-9][A-Za-z0-9_\-]*$"
DIGIT: Final = r"^[0-9*#A-D]?$"
DIGITS: Final = r"^[0-9*#A-DwW]{1,64}$"
ONE_DIGIT: Final = r"^[0-9*#A-D]$"
ONE_LINE: Final = r"^[^\x00-\x1f\x7f]*$"
CONTACT: Final = r"^(sip|sips|tel):[^\s<>\"?\x00-\x1f\x7f]+$"  # no `?`: a bot adds no headers by way of a URI
SIP_URI: Final = r"^[^\s<>\"?\x00-\x1f\x7f]+$"
TOKEN: Final = r"^[A-Za-z0-9\-.!%*_+`'~]+$"  # RFC 3261 §25.1 token
OCTET: Final = r"^[0-9A-Fa-f]{2}$"
SHAPES: Final = {
    VOICE: "may hold letters, digits and _ + - only",
    LANGUAGE: "must be a language tag such as en-US",
    HTTP_URL: "must start with http:// or https:// and hold no white space",
    PROMPT: "must be the name of a prompt: letters, digits, _ and -",
    DIGIT: 'must be one of 0-9 * # A-D, or ""',
    ONE_DIGIT: "must be one of 0-9 * # A-D",
    DIGITS: "must be 1 to 64 of 0-9 * # A-D, w and W",
    ONE_LINE: "holds a line break or another control character",
    CONTACT: "must be a sip:, sips: or tel: URI without ?headers, white space, quotes or angle brackets",
    SIP_URI: "must be a SIP URI without white space, quotes, angle brackets and ?headers (give those in headers)",
    TOKEN: "may hold letters, digits and - . ! % * _ + ` ' ~ only",
    OCTET: "must be two hex digits",
}

# ── The sentence ────────────────────────────────────────────────────────────────────────────────────

_LONGEST_DETAIL: Final = 300
_SENTENCES: Final = {
    "union_tag_not_found": "a reply is an object with a type",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "missing": "is missing",
    "greater_than_equal": "must be at least {ge:.15g}",
    "less_than_equal": "must be at most {le:.15g}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have at most {max_length} items",
}
"""By pydantic's name of the error, filled in from its context."""


def refusal(
    error: ValidationError, siblings: Siblings, *, whole: str = "answer", example: str = '{"replies": []}'
) -> BotError:
    """The first thing that is wrong, as `path: sentence`: `malformed` if it is no JSON object (such as `example`), else
    `refused`. `whole` is the path of what is wrong with all of it."""
    first = error.errors(include_url=False, include_input=False)[0]
    ctx: dict[str, Any] = first.get("ctx", {})
    if first["type"] == "json_invalid":
        why = str(ctx["error"]).replace("recursion limit exceeded", "nested too deeply")
        return BotError(BotErrorKind.MALFORMED, f"not JSON: {why}")
    if first["loc"] == () and first["type"] == "model_type":
        return BotError(BotErrorKind.MALFORMED, f"not a JSON object such as {example}")
    path = _path((*first["loc"], *ctx.get("at", ()))) or whole
    detail = f"{path}: {_sentence(first, ctx, siblings)}"
    if len(detail) > _LONGEST_DETAIL:
        detail = detail[: _LONGEST_DETAIL - 1] + "…"
    return BotError(BotErrorKind.REFUSED, detail)


def _path(loc: tuple[int | str, ...]) -> str:
    out = ""
    for i, part in enumerate(loc):
        if _is_member(loc, i):
            continue
        if isinstance(part, int):
            out += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z0-9_$\-]{1,64}", part):
            out += f".{part}" if out else part
        else:
            out += f"[{json.dumps(part[:64])}]"
    return out


def _is_member(loc: tuple[int | str, ...], i: int) -> bool:
    """pydantic names the union member that it chose; the bot's developer did not write it."""
    return (i == 2 and loc[0] == "replies") or (i >= 1 and loc[i - 1] == "bargeIn" and loc[i] in ("BargeIn", "bool"))


def _sentence(error: ErrorDetails, ctx: dict[str, Any], siblings: Siblings) -> str:
    loc = error["loc"]
    match error["type"]:
        case "extra_forbidden":
            return f"unknown field{_did_you_mean(str(loc[-1]), siblings(loc))}"
        case "union_tag_invalid":
            name = str(ctx["tag"])[:40]
            return f"unknown reply type {name!r}{_did_you_mean(name, _quoted(ctx['expected_tags']))}"
        case "dict_type" | "model_type" if len(loc) == 2 and loc[0] == "replies":
            return _SENTENCES["union_tag_not_found"]
        case "model_type" if loc[-1] == "BargeIn":
            return "must be true, false or an object"
        case "literal_error":
            allowed = _quoted(ctx["expected"])
            return f"must be {'one of ' if len(allowed) > 1 else ''}{', '.join(allowed)}"
        case "string_too_short" | "too_short" if ctx["min_length"] == 1:
            return "must not be empty"
        case "string_pattern_mismatch":
            return SHAPES[ctx["pattern"]]
        case known if known in _SENTENCES:
            return _SENTENCES[known].format(**ctx)
    return error["msg"].removeprefix("Value error, ")


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def _did_you_mean(name: str, known: list[str]) -> str:
    near = get_close_matches(name.replace("_", ""), known, 1)
    return f"; did you mean {near[0]}?" if near else ""
