"""A call that somebody wants placed: the body of POST /v1/calls (control-api.md); read by the API, for the engine."""

from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from gateway.calls import refusals
from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.fields import MAX_BODY, Data, Headers, Model
from gateway.calls.switch import Switch
from gateway.calls.switch_parts import GivenCallerId, Name, Number, Seconds, SipUri, SwitchUui, Uuis, exactly_one

_TARGETS: Final = {"to": "phone_number", "sip_uri": "sip_uri", "contact": "contact"}
"""What the customer may be given as, and what a switch calls it."""
_SAME: Final = ("headers", "user_to_user", "timeout_s", "trunk", "caller_id", "data")


def _caller_id(given: object) -> object:
    if isinstance(given, dict):
        return GivenCallerId.model_validate(given)
    if given == "bot" or isinstance(given, GivenCallerId):
        return given
    raise PydanticCustomError("caller_id", "must be bot or an object with a number")


_CallerId = Annotated[
    Literal["bot"] | GivenCallerId,
    BeforeValidator(_caller_id, json_schema_input_type=Literal["bot"] | GivenCallerId),
]


class Outgoing(Model):
    """Call a customer (exactly one of `to`, `sipUri` and `contact`) for the bot of a channel, or for an agent, who is
    called first."""

    to: Number | None = None
    """A phone number, in E.164."""
    sip_uri: SipUri | None = None
    contact: Name | None = None
    channel: Name | None = None
    agent: Name | None = None
    trunk: Name | None = None
    """Over which the customer is called; default: the channel's."""
    caller_id: _CallerId = "bot"
    """Who is shown as calling; `bot` is the number that the trunk's `caller_id` fixes."""
    headers: Headers = Field({})
    """Of the INVITE to the customer, names byte-exact."""
    user_to_user: Uuis = ()
    data: Data = Field({})
    """What `call.data` is from the beginning."""
    timeout_s: Annotated[Seconds, Field(alias="timeout")] = 30.0
    """How many seconds the customer's phone may ring, and before it the agent's."""
    record: bool = False

    @model_validator(mode="wrap")
    @classmethod
    def _tolerant(cls, given: object, read: ModelWrapValidatorHandler[Self]) -> Self:
        """A null is the same as nothing given, as in a switch."""
        if not isinstance(given, dict):
            return read(given)
        return read({name: value for name, value in given.items() if value is not None or name not in _NULLABLE})

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, *_TARGETS)
        exactly_one(self, "channel", "agent")
        if self.record:
            raise PydanticCustomError("not_yet", "recording is not available yet", {"at": ("record",)})
        return self

    def customer(self) -> Switch:
        """Whom to call, and how, in the words of a switch."""
        asked = {_alias(Switch, name): getattr(self, name) for name in _SAME if name in self.model_fields_set}
        asked |= {_alias(Switch, name): getattr(self, own) for own, name in _TARGETS.items()}
        return Switch.model_validate(asked)


def _alias(model: type[Model], name: str) -> str:
    return model.model_fields[name].alias or name


_NULLABLE: Final = frozenset(_alias(Outgoing, name) for name in Outgoing.model_fields)


_PARTS: Final[dict[str, type[Model]]] = {"userToUser": SwitchUui, "callerId": GivenCallerId}


def parse_outgoing(body: bytes) -> Outgoing:
    """Read it. Raises BotError as `switch.parse_switch` does; the path of the whole is `call`."""
    if len(body) > MAX_BODY:
        raise BotError(BotErrorKind.TOO_LARGE, f"the call has more than {MAX_BODY // 1024} KiB")
    try:
        return Outgoing.model_validate_json(body)
    except ValidationError as error:
        example = '{"to": "+12125550123", "channel": "reception"}'
        raise refusals.refusal(error, _fields_at, whole="call", example=example) from None


def _fields_at(loc: tuple[int | str, ...]) -> list[str]:
    names = [part for part in loc[:-1] if isinstance(part, str)]
    model = _PARTS.get(names[-1], Outgoing) if names else Outgoing
    return [_alias(model, name) for name in model.model_fields]
