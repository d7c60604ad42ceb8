"""Legs and announcements as the API takes them; like models.py."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.api.base import In, Name
from gateway.api.models import CallOut
from gateway.calls import refusals
from gateway.calls.model import SupervisorMode


class CallWithLeg(CallOut):
    """The call, and which of its legs is the new one."""

    leg_id: str
    """The new leg, `dialling`; `leg.joined` or `leg.left` follows."""


class LegChange(In):
    """What shall be so; what is left out stays."""

    muted: bool | None = None
    """Heard by nobody."""
    held: bool | None = None
    """Hears hold music only, is heard by nobody."""
    mode: SupervisorMode | None = None
    """A supervisor's."""
    whisper_to: Name | None = None
    """A supervisor's: who hears it while it whispers."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("give at least one of muted, held, mode and whisperTo")
        return self


class Keys(In):
    """A keypad."""

    digits: Annotated[str, Field(pattern=refusals.DIGITS)]
    """0-9 * # A-D; `w` waits 0.5 s, `W` 1 s."""


class Announced(In):
    """Something to be heard: exactly one of `text`, `url` and `prompt`."""

    text: Annotated[str, Field(min_length=1, max_length=8192)] | None = None
    """Spoken in the channel's voice."""
    url: Annotated[str, Field(max_length=2048, pattern=refusals.HTTP_URL)] | None = None
    """Fetched under the same rules as a bot's."""
    prompt: Annotated[str, Field(max_length=64, pattern=refusals.PROMPT)] | None = None
    """A file of media/prompts, by name."""
    to: Name | Literal["all"] = "all"
    """A leg, or all who talk; not those on hold."""
    loop: bool = False
    """Again and again, until it is stopped."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.text, self.url, self.prompt)) != 1:
            raise ValueError("give exactly one of text, url and prompt")
        return self
