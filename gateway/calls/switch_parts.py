"""The parts of a switch (transfer.md), each in all the shapes that may be written for it; used by switch."""

import re
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError

from gateway.calls import refusals as shapes
from gateway.calls.fields import Data, Headers, Model
from gateway.calls.headers import check_header

Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=128, pattern=shapes.ONE_LINE)]
Number: TypeAlias = Annotated[str, Field(min_length=1, max_length=64, pattern=shapes.ONE_LINE)]
SipUri: TypeAlias = Annotated[str, Field(min_length=1, max_length=512, pattern=shapes.SIP_URI)]
_Spoken: TypeAlias = Annotated[str, Field(min_length=1, max_length=8192)]
_Prompt: TypeAlias = Annotated[str, Field(max_length=64, pattern=shapes.PROMPT)]


def _seconds(given: object) -> object:
    """JAICP writes the number as a string."""
    if isinstance(given, str):
        if not re.fullmatch(r"[+-]?[0-9]{1,9}(\.[0-9]{1,9})?", given):
            raise PydanticCustomError("seconds", 'must be a number of seconds, such as 30 or "30"')
        return float(given)
    if isinstance(given, int) and not isinstance(given, bool):
        return float(max(-1, min(given, 10**6)))  # a number of 4,000 digits is too large for a float
    return given


Seconds: TypeAlias = Annotated[
    float,
    Field(ge=1, le=300, allow_inf_nan=False),
    BeforeValidator(_seconds, json_schema_input_type=Annotated[float, Field(ge=1, le=300)] | str),
]


def _tuple(given: object) -> object:
    return tuple(given) if isinstance(given, list) else given


def exactly_one(of: BaseModel, *names: str) -> None:
    fields = type(of).model_fields
    if sum(getattr(of, name) is not None for name in names) != 1:
        *others, last = (fields[name].alias or name for name in names)
        raise ValueError(f"give exactly one of {', '.join(others)} and {last}")


# ── The parts ───────────────────────────────────────────────────────────────────────────────────────


class SwitchTarget(Model):
    """One of several targets; `headers` come on top of the switch's, `timeout` (s) replaces the switch's."""

    phone_number: Number | None = None
    sip_uri: SipUri | None = None
    agent: Name | None = None
    headers: Headers = Field({})
    timeout_s: Annotated[Seconds | None, Field(alias="timeout")] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "phone_number", "sip_uri", "agent")
        return self


Targets: TypeAlias = Annotated[
    tuple[SwitchTarget, ...],
    Field(min_length=1, max_length=10, fail_fast=True),
    BeforeValidator(_tuple, json_schema_input_type=Annotated[list[SwitchTarget], Field(min_length=1, max_length=10)]),
]


class SwitchUui(Model):
    """One User-to-User value (RFC 7433): `hex` data as it is, `ascii` data to be hex-encoded, or `raw` as it is."""

    data: Annotated[str, Field(min_length=1, max_length=2048)]
    encoding: Literal["hex", "ascii", "raw"] = "hex"
    purpose: Annotated[str, Field(max_length=64, pattern=shapes.TOKEN)] | None = None
    content: Annotated[str, Field(max_length=64, pattern=shapes.TOKEN)] | None = None
    protocol_discriminator: Annotated[str, Field(pattern=shapes.OCTET)] = "00"
    discriminator_mode: Literal["prefix", "parameter"] = "prefix"

    @model_validator(mode="after")
    def _encoded(self) -> Self:
        wrong = None
        if self.encoding == "hex" and not re.fullmatch(r"([0-9A-Fa-f]{2})+", self.data):
            wrong = "must be pairs of hex digits, as encoding is hex"
        elif self.encoding == "ascii" and not self.data.isascii():
            wrong = "must be ASCII, as encoding is ascii"
        elif self.encoding == "raw":
            wrong = _unfit_for_a_header(self.data)
        if wrong:
            raise PydanticCustomError("uui", "{wrong}", {"wrong": wrong, "at": ("data",)})
        return self


def _unfit_for_a_header(text: str) -> str | None:
    try:
        check_header("User-to-User", text)
    except ValueError as error:
        return str(error)
    return None


def _uui(given: object) -> object:
    if isinstance(given, dict):
        return SwitchUui.model_validate(given)
    if isinstance(given, str):
        wrong = _unfit_for_a_header(given) if given else "must not be empty"
        if wrong:
            raise PydanticCustomError("uui", "{wrong}", {"wrong": wrong})
    elif not isinstance(given, SwitchUui):
        raise PydanticCustomError("uui", "must be an object or a string")
    return given


def _uuis(given: object) -> object:
    return (_uui(given),) if isinstance(given, (dict, str, SwitchUui)) else _tuple(given)


_Uui: TypeAlias = Annotated[SwitchUui | str, BeforeValidator(_uui, json_schema_input_type=SwitchUui | str)]
Uuis: TypeAlias = Annotated[
    tuple[_Uui, ...],
    Field(max_length=8, fail_fast=True),
    BeforeValidator(
        _uuis, json_schema_input_type=SwitchUui | str | Annotated[list[SwitchUui | str], Field(max_length=8)]
    ),
]
"""One on the wire, or a list."""


class GivenCallerId(Model):
    """Who is shown as calling; how is the trunk's policy."""

    number: Number
    name: Annotated[str, Field(max_length=128, pattern=shapes.ONE_LINE)] | None = None
    privacy: bool = False


def _caller_id(given: object) -> object:
    if isinstance(given, dict):
        return GivenCallerId.model_validate(given)
    if isinstance(given, GivenCallerId) or given in ("bot", "customer"):
        return given
    raise PydanticCustomError("caller_id", "must be bot, customer or an object with a number")


CallerId: TypeAlias = Annotated[
    Literal["bot", "customer"] | GivenCallerId,
    BeforeValidator(_caller_id, json_schema_input_type=Literal["bot", "customer"] | GivenCallerId),
]


class Announce(Model):
    """What the target hears before the bridge: `text` is spoken, or a prompt of media/prompts played; exactly one."""

    text: _Spoken | None = None
    prompt: _Prompt | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "text", "prompt")
        return self


def _announce(given: object) -> object:
    if isinstance(given, str):
        _SPOKEN.validate_python(given)
        return Announce(text=given)
    if isinstance(given, (dict, Announce)):
        return given
    raise PydanticCustomError("announce", "must be a text or an object")


_SPOKEN: Final[TypeAdapter[str]] = TypeAdapter(_Spoken)
Announced: TypeAlias = Annotated[Announce, BeforeValidator(_announce, json_schema_input_type=Announce | str)]
"""A string on the wire is the text."""


class Accept(Model):
    """The target must press `digit`: asked by a prompt of media/prompts or by a spoken `text`; by neither, in our own
    words."""

    prompt: _Prompt | None = None
    text: _Spoken | None = None
    digit: Annotated[str, Field(pattern=shapes.ONE_DIGIT)] = "1"
    timeout_ms: Annotated[int, Field(ge=1000, le=60_000)] = 10_000

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.prompt is not None and self.text is not None:
            raise ValueError("give one of prompt and text, not both")
        return self


def _accept(given: object) -> object:
    if given is True:
        return Accept()
    if given is False:
        return None
    if given is None or isinstance(given, (dict, Accept)):
        return given
    raise PydanticCustomError("accept", "must be true, false or an object")


Accepted: TypeAlias = Annotated[Accept | None, BeforeValidator(_accept, json_schema_input_type=Accept | bool | None)]
"""`true` on the wire is all defaults, `false` the same as none."""


class HandoffTo(Model):
    """Another channel takes the customer, whose bot gets `start` with these parameters."""

    channel: Name
    parameters: Data = Field({})


class OnFailHandoff(Model):
    """After a failure another channel takes the customer."""

    handoff: HandoffTo


class PostSessionReply(HandoffTo):
    """After the agent has hung up, the customer goes on to that channel, such as a survey."""


QUEUES_NOT_YET: Final = "queues are not available yet"
_ON_FAIL_NOT_YET: Final = {"voicemail": "voicemail is not available yet", "queue": QUEUES_NOT_YET}


def _on_fail(given: object) -> object:
    if isinstance(given, dict):
        for name, not_yet in _ON_FAIL_NOT_YET.items():
            if name in given:
                raise PydanticCustomError("not_yet", "{not_yet}", {"not_yet": not_yet, "at": (name,)})
        return OnFailHandoff.model_validate(given)
    if given in ("return", "hangup") or isinstance(given, OnFailHandoff):
        return given
    raise PydanticCustomError("on_fail", "must be return, hangup or an object with a handoff")


OnFail: TypeAlias = Annotated[
    Literal["return", "hangup"] | OnFailHandoff,
    BeforeValidator(_on_fail, json_schema_input_type=Literal["return", "hangup"] | OnFailHandoff),
]
