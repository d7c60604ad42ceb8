"""Replaces (RFC 3891): the header as a value, and who may take which leg's place; used by legs.py, outbound.py and
refer_to.py.

All of it is pure and fed from the wire; `parse_replaces` and `replaces_of` raise ReplacesError, nothing else raises.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.calls.model import LegId

_LONGEST: Final = 1024
_TOKEN: Final = r"[A-Za-z0-9\-.!%*_+`'~]+"  # RFC 3261 §25.1
_WORD: Final = r"[A-Za-z0-9\-.!%*_+`'~()<>:\\\"/\[\]?{}]+"
_CALL_ID: Final = re.compile(rf"{_WORD}(?:@{_WORD})?")
_TAG: Final = re.compile(_TOKEN)
_PARAMETER: Final = re.compile(rf"\s*({_TOKEN})\s*(?:=\s*([^\s;,=]+)\s*)?", re.ASCII)
_FLAG: Final = "early-only"


class ReplacesError(ValueError):
    """Raised for what is no Replaces header, or more than one; its text says what is wrong and repeats nothing."""


@dataclass(frozen=True, slots=True)
class Replaces:
    """A dialog as whoever gets this header has it: `to_tag` is the getter's own tag, `from_tag` its peer's (§3).

    `str()` is the value of the header.
    """

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False

    def __str__(self) -> str:
        flag = f";{_FLAG}" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{flag}"


def parse_replaces(value: str) -> Replaces:
    """Read one value (§6.1). Other parameters are let go of. Raises ReplacesError."""
    call_id, *parts = value[: _LONGEST + 1].split(";")
    call_id = call_id.strip()
    if len(value) > _LONGEST or not _CALL_ID.fullmatch(call_id):
        raise ReplacesError("no Call-ID in Replaces")
    found: dict[str, str | None] = {}
    for part in parts:
        parameter = _PARAMETER.fullmatch(part)
        if parameter is None or parameter[1].lower() in found:
            raise ReplacesError("a parameter of Replaces is malformed, or there twice")
        found[parameter[1].lower()] = parameter[2]
    to_tag, from_tag = found.get("to-tag"), found.get("from-tag")
    if not to_tag or not from_tag or not _TAG.fullmatch(to_tag) or not _TAG.fullmatch(from_tag):
        raise ReplacesError("no to-tag or no from-tag in Replaces")
    return Replaces(call_id, to_tag, from_tag, _FLAG in found)


def replaces_of(values: Sequence[str]) -> Replaces | None:
    """What the Replaces headers of an INVITE say; None without one. Raises ReplacesError."""
    if not values:
        return None
    if len(values) > 1:  # §3
        raise ReplacesError("more than one Replaces")
    return parse_replaces(values[0])


@dataclass(frozen=True, slots=True)
class ReplacedLeg:
    """What counts of the leg that an INVITE would take the place of."""

    leg_id: LegId
    trunk: str
    peer: str
    """The IP address of its far end."""
    we_called: bool
    answered: bool
    over: bool
    """It has ended, or is about to: we hung up."""


def refusal_of(wanted: Replaces, leg: ReplacedLeg | None, trunk: str, source: str) -> int:
    """The status that an INVITE on this trunk from this IP address gets; 0 if it may take the leg's place.

    Who it is comes first, so that whoever may not take the leg learns nothing of its state.
    """
    if leg is None:
        return 481
    if leg.trunk != trunk and leg.peer != source:
        return 403
    if leg.over:
        return 603
    if leg.answered:
        return 486 if wanted.early_only else 0
    return 0 if leg.we_called else 481  # an early dialog that we did not begin
