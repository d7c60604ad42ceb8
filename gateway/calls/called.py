"""Whom the API shall call into a call: the bodies of POST /v1/calls/{id}/consult and …/legs (control-api.md)."""

from typing import Annotated, ClassVar, Final, Literal, Self, TypeVar

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from gateway.calls import refusals
from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.fields import MAX_BODY, Headers, Model
from gateway.calls.model import LegId, Role, SupervisorMode
from gateway.calls.orders import AddLeg, Consult
from gateway.calls.switch import Switch
from gateway.calls.switch_parts import QUEUES_NOT_YET, Name, Number, Seconds, SipUri, SwitchUui, Uuis, exactly_one

C = TypeVar("C", bound="Called")

_TARGETS: Final = ("phone_number", "sip_uri", "agent", "contact")
_OF_SWITCH: Final = frozenset({*_TARGETS, "headers", "user_to_user", "timeout_s", "note"})


class Called(Model):
    """Somebody who is called: exactly one of the four kinds of target is given."""

    noun: ClassVar[str]
    """What it is called where it is wrong as a whole."""
    phone_number: Number | None = None
    sip_uri: SipUri | None = None
    agent: Name | None = None
    contact: Name | None = None
    headers: Headers = Field({})
    user_to_user: Uuis = ()
    timeout_s: Annotated[Seconds, Field(alias="timeout")] = 30.0

    @model_validator(mode="wrap")
    @classmethod
    def _tolerant(cls, given: object, read: ModelWrapValidatorHandler[Self]) -> Self:
        """A null is the same as nothing given, as in a switch."""
        if not isinstance(given, dict):
            return read(given)
        if given.get("queue") is not None:
            raise PydanticCustomError("not_yet", QUEUES_NOT_YET, {"at": ("queue",)})
        nullable = {"queue", *(_alias(cls, name) for name in cls.model_fields)}
        return read({name: value for name, value in given.items() if value is not None or name not in nullable})

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, *_TARGETS)
        return self

    def switch(self) -> Switch:
        """Whom, how and for how long to call."""
        asked = {_alias(Switch, name): getattr(self, name) for name in _OF_SWITCH & self.model_fields_set}
        return Switch.model_validate(asked)


class Consulted(Called):
    """The customer hears music, the agent talks to somebody else."""

    noun = "consult"
    note: Annotated[str, Field(max_length=2000)] | None = None
    on_agent_hangup: Literal["forward", "end"] | None = None
    """Default: as the channel says, which is `forward` unless it says otherwise."""
    leg_id: Name | None = None

    def order(self) -> Consult:
        """For the call's core."""
        agent = LegId(self.leg_id) if self.leg_id is not None else None
        return Consult(self.switch(), self.on_agent_hangup, agent)


class Joined(Called):
    """Somebody more in the call: an agent, whom everybody hears, or a supervisor."""

    noun = "leg"
    role: Literal["agent", "supervisor"] = "agent"
    mode: Literal["talk", "monitor", "whisper", "barge"] | None = None
    """`talk` is an agent's; a supervisor's default is `monitor`: hears all, is heard by nobody."""
    whisper_to: Name | None = None
    """The leg that hears a supervisor who whispers. Default: the agent who talks to the customer."""

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        supervises = self.role == "supervisor"
        if self.mode is not None and (self.mode == "talk") is supervises:
            fitting = "monitor, whisper or barge" if supervises else "talk, or role: supervisor"
            raise PydanticCustomError(
                "mode", "is not for this role; write {fitting}", {"fitting": fitting, "at": ("mode",)}
            )
        if self.whisper_to is not None and not supervises:
            raise PydanticCustomError("mode", "is for role: supervisor", {"at": ("whisperTo",)})
        return self

    def order(self, leg_id: LegId) -> AddLeg:
        """For the call's core."""
        mode = SupervisorMode.MONITOR if self.mode in (None, "talk") else SupervisorMode(self.mode)
        to = LegId(self.whisper_to) if self.whisper_to is not None else None
        return AddLeg(leg_id, self.switch(), Role.AGENT if self.role == "agent" else Role.SUPERVISOR, mode, to)


def _alias(model: type[Model], name: str) -> str:
    return model.model_fields[name].alias or name


def parse_called(model: type[C], body: bytes) -> C:
    """Read it. Raises BotError as `switch.parse_switch` does; the path of the whole is the model's noun."""
    if len(body) > MAX_BODY:
        raise BotError(BotErrorKind.TOO_LARGE, f"the {model.noun} has more than {MAX_BODY // 1024} KiB")

    def fields_at(loc: tuple[int | str, ...]) -> list[str]:
        part: type[Model] = SwitchUui if "userToUser" in loc[:-1] else model
        return [_alias(part, name) for name in part.model_fields]

    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        example = '{"agent": "ann"}'
        raise refusals.refusal(error, fields_at, whole=model.noun, example=example) from None
