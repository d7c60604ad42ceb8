"""What the published models of the bot protocol share: strictness, attached data, SIP headers; used by replies."""

import json
import math
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, JsonValue
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from gateway.calls.headers import check_header

MAX_BODY: Final = 64 * 1024
"""The most bytes of a bot's answer, and of a switch given through the API (bot-protocol.md, "Response")."""
MAX_DATA: Final = 16 * 1024
_DEEPEST: Final = 32
_MOST_HEADERS: Final = 32


class Model(BaseModel):
    """Strict and frozen, camelCase on the wire, and no field that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, strict=True)


# ── What a bot may attach to a call: it goes out again to other bots, so it must survive the journey ─


def _data(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _walk(value, ())
    if len(json.dumps(value, ensure_ascii=False).encode()) > MAX_DATA:
        raise PydanticCustomError("data_size", f"is larger than {MAX_DATA // 1024} KiB")
    return value


def _walk(value: JsonValue, path: tuple[int | str, ...]) -> None:
    if len(path) > _DEEPEST:
        raise PydanticCustomError("data_depth", f"is nested more than {_DEEPEST} deep")
    if isinstance(value, dict):
        for key, item in value.items():
            _walk(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _walk(item, (*path, i))
    elif isinstance(value, float) and not math.isfinite(value):
        raise PydanticCustomError("data_number", "must be a finite number", {"at": path})
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise PydanticCustomError("data_number", "must fit in 64 bits", {"at": path})


Data: TypeAlias = Annotated[dict[str, JsonValue], AfterValidator(_data)]
"""A JSON object of at most 16 KiB, 32 deep, of finite numbers."""

# ── SIP headers ─────────────────────────────────────────────────────────────────────────────────────


def _headers(value: dict[str, str]) -> dict[str, str]:
    if len(value) > _MOST_HEADERS:
        raise ValueError(f"{len(value)} headers; at most {_MOST_HEADERS}")
    if sum(len(n.encode()) + len(v.encode()) for n, v in value.items()) > 8192:
        raise ValueError("more than 8 KiB of headers together")
    for name, text in value.items():
        check_header(name, text)
    return value


Headers: TypeAlias = Annotated[dict[str, str], AfterValidator(_headers)]
"""SIP headers that may be given: at most 32 and 8 KiB together, none of the stack's own, each one line."""
