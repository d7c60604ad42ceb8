"""The `switch` reply, a transfer asked for (transfer.md): a bot's, POST /v1/calls/{id}/transfer's and a fallback's."""

from typing import Annotated, Final, Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    Field,
    JsonValue,
    ModelWrapValidatorHandler,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from gateway.calls import refusals as shapes
from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.fields import MAX_BODY, Data, Headers, Model
from gateway.calls.switch_parts import (
    QUEUES_NOT_YET,
    Accept,
    Accepted,
    Announce,
    Announced,
    CallerId,
    GivenCallerId,
    HandoffTo,
    Name,
    Number,
    OnFail,
    OnFailHandoff,
    PostSessionReply,
    Seconds,
    SipUri,
    SwitchTarget,
    SwitchUui,
    Targets,
    Uuis,
    exactly_one,
)

__all__ = [
    "Accept", "Announce", "GivenCallerId", "HandoffTo", "OnFailHandoff", "PostSessionReply", "Switch", "SwitchTarget",
    "SwitchUui", "fields_at", "parse_switch",
]  # fmt: skip


def _method(given: object) -> object:
    """JAICP's word for refer is `transfer`."""
    return "refer" if given == "transfer" else given


# ── The reply ───────────────────────────────────────────────────────────────────────────────────────

_TARGETS: Final = ("phone_number", "sip_uri", "agent", "contact", "targets")
_CHANNEL_NAMES: Final = ("transferChannel", "transferBotId", "transferCall")
_IDLE: Final = (
    "firstMessage", "lastMessage", "closeChatPhrases", "appendCloseChatButton", "ignoreOffline", "oneTimeMessage",
    "destination", "attributes", "hiddenAttributes", "sendMessagesToOperator", "sendMessageHistoryAmount",
    "customData", "theme", "state",
)  # fmt: skip
"""What JAICP's replies of this type hold besides: switches to a live chat, and the state of the bot's script."""


def _publish(schema: dict[str, JsonValue]) -> None:
    properties = schema["properties"]
    assert isinstance(properties, dict)
    for name in _CHANNEL_NAMES[1:]:
        properties[name] = {"description": "Another name of transferChannel.", "type": "string"}
    for name in _IDLE:
        properties[name] = {"description": "Accepted from JAICP bots; has no effect on a phone call."}


class Switch(Model, json_schema_extra=_publish):
    """Connect the customer to somebody (transfer.md); exactly one of the five kinds of target is given."""

    type: Literal["switch"] = "switch"
    phone_number: Number | None = None
    sip_uri: SipUri | None = None
    agent: Name | None = None
    contact: Name | None = None
    targets: Targets | None = None
    strategy: Literal["sequential", "parallel"] = "sequential"
    method: Annotated[
        Literal["invite", "refer"],
        BeforeValidator(_method, json_schema_input_type=Literal["invite", "refer", "transfer"]),
    ] = "invite"
    timeout_s: Annotated[Seconds, Field(alias="timeout")] = 30.0
    headers: Headers = Field({})
    user_to_user: Uuis = ()
    transfer_channel: Annotated[Name | None, Field(validation_alias=AliasChoices(*_CHANNEL_NAMES))] = None
    trunk: Name | None = None
    caller_id: CallerId = "bot"
    continue_call: bool = False
    continue_recording: bool = False
    ringback: Literal["tone", "music", "earlyMedia", "silence"] = "tone"
    announce: Announced | None = None
    accept: Accepted = None
    post_dial_digits: Annotated[str, Field(pattern=shapes.DIGITS)] | None = None
    on_fail: OnFail | None = None
    post_session: PostSessionReply | None = None
    max_talk_ms: Annotated[int, Field(ge=1000, le=86_400_000)] | None = None
    note: Annotated[str, Field(max_length=2000)] | None = None
    data: Data = Field({})
    _idle: tuple[str, ...] = PrivateAttr(())

    @model_validator(mode="wrap")
    @classmethod
    def _tolerant(cls, given: object, read: ModelWrapValidatorHandler[Self]) -> Self:
        """A null is the same as nothing given, as JAICP's library writes it."""
        if not isinstance(given, dict):
            return read(given)
        if given.get("queue") is not None:
            raise PydanticCustomError("not_yet", QUEUES_NOT_YET, {"at": ("queue",)})
        for name in [name for name in _CHANNEL_NAMES if given.get(name) is not None][1:]:
            raise PydanticCustomError("twice", "is another name of transferChannel; give one", {"at": (name,)})
        switch = read({
            name: value
            for name, value in given.items()
            if name not in _IDLE and (value is not None or name not in _NULLABLE)
        })  # fmt: skip
        switch._idle = tuple(name for name in _IDLE if given.get(name) is not None)
        return switch

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, *_TARGETS)
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was given and is not done, each with its field: `firstMessage: has no effect on a phone call`."""
        idle = tuple(f"{name}: has no effect on a phone call" for name in self._idle)
        if self.method == "refer":
            given = ((name, getattr(self, name)) for name in _NOT_BY_REFER)
            return (*idle, *(f"{_alias(name)}: cannot be honoured by refer" for name, value in given if value))
        return (*idle, "continueRecording: recording is not available yet") if self.continue_recording else idle


_NOT_BY_REFER: Final = (
    "continue_call", "continue_recording", "announce", "accept", "post_dial_digits", "post_session", "max_talk_ms",
)  # fmt: skip


def _alias(name: str) -> str:
    return Switch.model_fields[name].alias or name


_NULLABLE: Final = frozenset(
    {field.alias or name for name, field in Switch.model_fields.items()} | {*_CHANNEL_NAMES, "queue"}
) - {"type"}
_PARTS: Final[dict[int | str, type[BaseModel]]] = {
    "targets": SwitchTarget,
    "userToUser": SwitchUui,
    "callerId": GivenCallerId,
    "announce": Announce,
    "accept": Accept,
    "onFail": OnFailHandoff,
    "handoff": HandoffTo,
    "postSession": PostSessionReply,
}
_SWITCH: Final[TypeAdapter[Switch]] = TypeAdapter(Switch)


def parse_switch(body: bytes) -> Switch:
    """Read a switch that stands alone (POST /v1/calls/{id}/transfer); `type` may be left out.

    Raises BotError as replies.parse_response does: `too-large`, `malformed` (no JSON object), or `refused`, whose
    detail starts with the path of what is wrong; the path of the whole is `switch`."""
    if len(body) > MAX_BODY:
        raise BotError(BotErrorKind.TOO_LARGE, f"the switch has more than {MAX_BODY // 1024} KiB")
    try:
        switch = _SWITCH.validate_json(body)
    except ValidationError as error:
        example = '{"phoneNumber": "+12125550123"}'
        raise shapes.refusal(error, fields_at, whole="switch", example=example) from None
    return switch


def fields_at(loc: tuple[int | str, ...]) -> list[str]:
    """The fields that the object in which the last part of `loc` stands may have: a switch, or a part of one."""
    names = [part for part in loc[:-1] if isinstance(part, str)]
    model = _PARTS.get(names[-1], Switch) if names else Switch
    return [field.alias or name for name, field in model.model_fields.items()]
