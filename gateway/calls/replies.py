"""What a bot may say: bot-protocol.md's contract as pydantic models; read by control, parsed for bots/ and api/."""

from typing import Annotated, Final, Literal, TypeAlias, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from gateway.calls import refusals as shapes
from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.fields import MAX_BODY as MAX_BODY
from gateway.calls.fields import MAX_DATA as MAX_DATA
from gateway.calls.fields import Data, Headers, Model
from gateway.calls.refusals import refusal
from gateway.calls.switch import Switch, fields_at

MAX_REPLIES = 32
NOT_YET: Final = ("queue", "voicemail", "record")
"""Reply types of the protocol that are refused by name until they are built."""
_TERMINAL: Final = ("switch", "queue", "handoff", "hangup")
_Language: TypeAlias = Annotated[str, Field(min_length=2, max_length=35, pattern=shapes.LANGUAGE)]
_VoiceName: TypeAlias = Annotated[str, Field(min_length=1, max_length=64, pattern=shapes.VOICE)]

# ── Settings ────────────────────────────────────────────────────────────────────────────────────────


class BargeIn(Model):
    """When the customer may interrupt playback: `immediate` cuts it off, `sentence` lets the item end. A digit always
    interrupts unless `off`; `trigger` and `minMs` say what speech must be to do so."""

    mode: Literal["off", "immediate", "sentence"] = "immediate"
    trigger: Literal["speech", "final", "dtmf"] = "speech"
    min_ms: Annotated[int, Field(ge=0, le=10_000)] = 300


BargeInChoice: TypeAlias = BargeIn | bool
"""`true` is the default barge-in, `false` is `{"mode": "off"}`."""


class TtsConfig(Model):
    """The voice for the rest of the call; what is left out stays as it is."""

    engine: Literal["espeak"] | None = None
    voice: _VoiceName | None = None
    rate: Annotated[float, Field(ge=0.5, le=2.0, allow_inf_nan=False)] | None = None


class AsrConfig(Model):
    """The recogniser for the rest of the call; only `none` is available so far."""

    engine: Literal["none"] | None = None
    hints: Annotated[list[str], Field(max_length=100)] = Field([])


class Config(Model):
    """Settings for the rest of the call; what is left out stays as it is."""

    barge_in: BargeInChoice | None = None
    no_input_timeout_ms: Annotated[int, Field(ge=0, le=600_000)] | None = None
    language: _Language | None = None
    tts: TtsConfig | None = None
    asr: AsrConfig | None = None
    input: Annotated[list[Literal["speech", "dtmf"]], Field(max_length=2)] | None = None


# ── Replies ─────────────────────────────────────────────────────────────────────────────────────────


class Text(Model):
    """Speak `text`, or `ssml`; exactly one."""

    type: Literal["text"]
    text: Annotated[str, Field(min_length=1, max_length=8192)] | None = None
    ssml: Annotated[str, Field(min_length=1, max_length=16384)] | None = None
    voice: _VoiceName | None = None
    language: _Language | None = None
    barge_in: BargeInChoice | None = None

    @model_validator(mode="after")
    def _one(self) -> "Text":
        if (self.text is None) == (self.ssml is None):
            raise ValueError("give exactly one of text and ssml")
        return self


class Audio(Model):
    """Play a URL, or a prompt of media/prompts by name; exactly one."""

    type: Literal["audio"]
    url: Annotated[str, Field(max_length=2048, pattern=shapes.HTTP_URL)] | None = None
    prompt: Annotated[str, Field(max_length=64, pattern=shapes.PROMPT)] | None = None
    barge_in: BargeInChoice | None = None

    @model_validator(mode="after")
    def _one(self) -> "Audio":
        if (self.url is None) == (self.prompt is None):
            raise ValueError("give exactly one of url and prompt")
        return self


class Pause(Model):
    """Say nothing for `ms`."""

    type: Literal["pause"]
    ms: Annotated[int, Field(ge=1, le=60_000)]


class Dtmf(Model):
    """Collect digits; `timeout` is in ms and runs between digits, before the first one `noInputTimeoutMs` does."""

    type: Literal["dtmf", "gather"]
    max: Annotated[int, Field(ge=1, le=64)]
    min: Annotated[int, Field(ge=1, le=64)] = 1
    timeout: Annotated[int, Field(ge=100, le=60_000)] = 5000
    finish_on: Annotated[str, Field(pattern=shapes.DIGIT)] = "#"
    secure: bool = False

    @model_validator(mode="after")
    def _order(self) -> "Dtmf":
        if self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}")
        return self


class SendDtmf(Model):
    """Send digits to the customer's side: 0-9 * # A-D, `w` waits 0.5 s, `W` 1 s."""

    type: Literal["sendDtmf"]
    digits: Annotated[str, Field(pattern=shapes.DIGITS)]
    duration_ms: Annotated[int, Field(ge=40, le=2000)] = 120
    to: Literal["customer"] = "customer"


class Tag(Model):
    """Merge `data` into `call.data` and the CDR."""

    type: Literal["tag"]
    data: Data


class Handoff(Model):
    """Give the customer to another channel, whose bot gets `start` with these parameters."""

    type: Literal["handoff"]
    channel: Annotated[str, Field(min_length=1, max_length=128)]
    parameters: Data = Field({})


class HangupReply(Model):
    """End the call, after earlier replies have played out."""

    type: Literal["hangup"]
    reason: Annotated[str, Field(max_length=128, pattern=shapes.ONE_LINE)] = ""
    headers: Headers = Field({})


class AnswerReply(Model):
    """Before the answer: send 200."""

    type: Literal["answer"]


class RingingReply(Model):
    """Before the answer: send 180."""

    type: Literal["ringing"]


class RejectReply(Model):
    """Before the answer: refuse the call."""

    type: Literal["reject"]
    status: Annotated[int, Field(ge=400, le=699)] = 486
    reason: Annotated[str, Field(max_length=128, pattern=shapes.ONE_LINE)] = ""
    headers: Headers = Field({})


class RedirectReply(Model):
    """Before the answer: 302 with these contacts, best first."""

    type: Literal["redirect"]
    contacts: Annotated[
        list[Annotated[str, Field(max_length=512, pattern=shapes.CONTACT)]],
        Field(min_length=1, max_length=8),
    ]


class _NotYet(BaseModel):
    """A reply of the protocol that is not built yet: parsed so that it can be refused by its name."""

    model_config = ConfigDict(extra="allow", frozen=True)
    type: Literal["queue", "voicemail", "record"]


Reply: TypeAlias = (
    Text | Audio | Pause | Dtmf | SendDtmf | Tag | Handoff | HangupReply
    | AnswerReply | RingingReply | RejectReply | RedirectReply | Switch
)  # fmt: skip
BEFORE_ANSWER: Final = (AnswerReply, RingingReply, RejectReply, RedirectReply)


class BotResponse(Model):
    """A whole answer: the replies in order, and settings that hold from here on."""

    replies: tuple[Annotated[Reply, Field(discriminator="type")], ...] = ()
    config: Config | None = None


class _Raw(Model):
    replies: Annotated[
        tuple[Annotated[Reply | _NotYet, Field(discriminator="type")], ...],
        Field(max_length=MAX_REPLIES, fail_fast=True),  # 32,000 wrong items in 64 KiB cost 90 ms otherwise
    ] = ()
    config: Config | None = None


_RAW: Final[TypeAdapter[_Raw]] = TypeAdapter(_Raw)
_BY_TYPE: Final[dict[str, type[BaseModel]]] = {
    name: model for model in get_args(Reply) for name in get_args(model.model_fields["type"].annotation)
}


def parse_response(body: bytes) -> BotResponse:
    """Read a bot's answer (bot-protocol.md, "Response"). Raises BotError: `too-large`, `malformed` (no JSON object), or
    `refused` (breaks the schema), with the path of the first thing that is wrong and what to write instead."""
    if len(body) > MAX_BODY:
        raise BotError(BotErrorKind.TOO_LARGE, f"the answer has more than {MAX_BODY // 1024} KiB")
    try:
        raw = _RAW.validate_json(body)
    except ValidationError as error:
        raise refusal(error, _siblings) from None
    return _checked(raw)


def response(replies: list[dict[str, JsonValue]]) -> BotResponse:
    """The same for replies that are Python values already (the built-in bots). Raises BotError."""
    try:
        return _checked(_RAW.validate_python({"replies": tuple(replies)}))
    except ValidationError as error:
        raise refusal(error, _siblings) from None


def _checked(raw: _Raw) -> BotResponse:
    replies: list[Reply] = []
    for i, reply in enumerate(raw.replies):
        if isinstance(reply, _NotYet):
            raise BotError(BotErrorKind.REFUSED, f"replies[{i}]: {reply.type} is not available yet")
        if reply.type in _TERMINAL and i + 1 < len(raw.replies):
            raise BotError(
                BotErrorKind.REFUSED, f"replies[{i + 1}]: nothing may follow {reply.type}, which ends the list"
            )
        replies.append(reply)
    return BotResponse.model_construct(replies=tuple(replies), config=raw.config)  # each is validated already


def _siblings(loc: tuple[int | str, ...]) -> list[str]:
    """The fields that the object in which the last part of `loc` stands may have."""
    match loc[:-1]:
        case ():
            model: type[BaseModel] = BotResponse
        case (*_, "BargeIn"):
            model = BargeIn
        case ("replies", int(), "switch", *deeper):
            return fields_at((*deeper, loc[-1]))
        case ("replies", int(), str(kind)):
            model = _BY_TYPE[kind]
        case ("config", "tts"):
            model = TtsConfig
        case ("config", "asr"):
            model = AsrConfig
        case _:
            model = Config
    return [field.alias or name for name, field in model.model_fields.items()]
