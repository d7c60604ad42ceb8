"""Whom an agent wants to ask: the body of POST /v1/calls/{id}/consult (control-api.md); read by the API."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from gateway.calls import refusals
from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.fields import MAX_BODY, Headers, Model
from gateway.calls.model import LegId
from gateway.calls.orders import Consult
from gateway.calls.switch import Switch
from gateway.calls.switch_parts import QUEUES_NOT_YET, Name, Number, Seconds, SipUri, SwitchUui, Uuis, exactly_one

_TARGETS: Final = ("phone_number", "sip_uri", "agent", "contact")
_OF_SWITCH: Final = frozenset({*_TARGETS, "headers", "user_to_user", "timeout_s", "note"})


class Consulted(Model):
    """The customer hears music, the agent talks to somebody else: exactly one of the four kinds of target is given."""

    phone_number: Number | None = None
    sip_uri: SipUri | None = None
    agent: Name | None = None
    contact: Name | None = None
    headers: Headers = Field({})
    user_to_user: Uuis = ()
    timeout_s: Annotated[Seconds, Field(alias="timeout")] = 30.0
    note: Annotated[str, Field(max_length=2000)] | None = None
    on_agent_hangup: Literal["forward", "end"] | None = None
    """Default: as the channel says, which is `forward` unless it says otherwise."""
    leg_id: Name | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _tolerant(cls, given: object, read: ModelWrapValidatorHandler[Self]) -> Self:
        """A null is the same as nothing given, as in a switch."""
        if not isinstance(given, dict):
            return read(given)
        if given.get("queue") is not None:
            raise PydanticCustomError("not_yet", QUEUES_NOT_YET, {"at": ("queue",)})
        return read({name: value for name, value in given.items() if value is not None or name not in _NULLABLE})

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, *_TARGETS)
        return self

    def order(self) -> Consult:
        """For the call's core."""
        asked = {_alias(Switch, name): getattr(self, name) for name in _OF_SWITCH & self.model_fields_set}
        agent = LegId(self.leg_id) if self.leg_id is not None else None
        return Consult(Switch.model_validate(asked), self.on_agent_hangup, agent)


def _alias(model: type[Model], name: str) -> str:
    return model.model_fields[name].alias or name


_NULLABLE: Final = frozenset({*(_alias(Consulted, name) for name in Consulted.model_fields), "queue"})


def parse_consult(body: bytes) -> Consulted:
    """Read it. Raises BotError as `switch.parse_switch` does; the path of the whole is `consult`."""
    if len(body) > MAX_BODY:
        raise BotError(BotErrorKind.TOO_LARGE, f"the consult has more than {MAX_BODY // 1024} KiB")
    try:
        return Consulted.model_validate_json(body)
    except ValidationError as error:
        example = '{"agent": "ann"}'
        raise refusals.refusal(error, _fields_at, whole="consult", example=example) from None


def _fields_at(loc: tuple[int | str, ...]) -> list[str]:
    model = SwitchUui if "userToUser" in loc[:-1] else Consulted
    return [_alias(model, name) for name in model.model_fields]
