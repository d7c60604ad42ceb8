"""The `types` parameter: which events somebody wants; read by models.py, used by calls.py and events.py."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

_ONE: Final = r"[a-z]{1,32}\.([A-Za-z]{1,32}|\*)"
_ALL: Final = rf"^{_ONE}(,{_ONE})*$"


def _check(text: str) -> str:
    wrong = next((part for part in text.split(",") if not re.fullmatch(_ONE, part)), None)
    if wrong is not None:
        raise ValueError(f"{wrong[:64]!r} is no type; write them like call.ended,leg.*")
    return text


EventTypes = Annotated[str, AfterValidator(_check), Field(max_length=1000, json_schema_extra={"pattern": _ALL})]
"""Types of events with commas between them; `leg.*` is all that begin so."""


def types_of(text: str | None) -> frozenset[str] | None:
    """As the history port takes them; None for all."""
    return frozenset(text.split(",")) if text is not None else None
