"""How trunks are: up or down, registered or not; told by the SIP adapter, read by the API, metrics and log."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol


class TrunkState(StrEnum):
    """Whether a trunk can be reached."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"
    """Nobody asks it: it neither registers nor gets OPTIONS. Or it was not asked yet."""


class Registration(StrEnum):
    """Where our registration at a trunk is."""

    NONE = "none"
    """The plan wants none."""
    PENDING = "pending"
    REGISTERED = "registered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TrunkHealth:
    """How one trunk is. `since`: in this state since (seconds since the epoch). `target`: where its requests go now.
    `detail`: one sentence on what is wrong, without secrets."""

    state: TrunkState = TrunkState.UNKNOWN
    registration: Registration = Registration.NONE
    since: float | None = None
    target: str | None = None
    detail: str | None = None


UNASKED: Final = TrunkHealth()
"""Of a trunk that nobody has looked after yet."""


class Trunks(Protocol):
    """Who looks after the trunks: gateway/sip is the real one."""

    def health(self) -> Mapping[str, TrunkHealth]:
        """How they are now, by name."""
