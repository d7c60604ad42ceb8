"""What all models of the API have in common: unknown fields, names in camelCase, times, limits; for the models."""

from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Time: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339 UTC with milliseconds, as text."""
Limit: TypeAlias = Annotated[int, Field(ge=1, le=500)]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=128)]
CALL_ID = r"^call_[0-9A-Za-z]{1,64}$"
CallId: TypeAlias = Annotated[str, Field(pattern=CALL_ID)]


class In(BaseModel):
    """Something that is taken: no unknown fields."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True, use_attribute_docstrings=True
    )


class Out(BaseModel):
    """Something that is given."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, validate_by_name=True, use_attribute_docstrings=True
    )


def seconds(time: datetime | None) -> float | None:
    """A time as the core has it: seconds since the epoch."""
    return time.timestamp() if time is not None else None
