"""What agents, supervisors and operators order of a call through the control API (control-api.md); part of events.py.

Each is carried out if the call takes it when its turn comes (`allowed.py`); else it changes nothing.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway.calls.commands import PlayUrl
from gateway.calls.model import LegId, OnAgentHangup, Role, Spoken, SupervisorMode
from gateway.calls.switch import Switch


@dataclass(frozen=True, slots=True)
class Consult:
    """The agent asks somebody, the customer hears music. Of `target` only whom, how and for how long to call counts."""

    target: Switch
    on_agent_hangup: OnAgentHangup | None = None
    """None: as the channel says."""
    agent: LegId | None = None
    """Whose consult it is; None: of the one who talks to the customer."""


@dataclass(frozen=True, slots=True)
class Swap:
    """The agent changes between customer and consultant."""


@dataclass(frozen=True, slots=True)
class Merge:
    """All three hear each other."""


@dataclass(frozen=True, slots=True)
class Forward:
    """The agent leaves, customer and consultant stay; while the consultant is called: as soon as there is an answer."""


@dataclass(frozen=True, slots=True)
class EndConsult:
    """The consultant is released, or not called any more; the agent is with the customer."""


@dataclass(frozen=True, slots=True)
class Hold:
    """This leg (None: the customer's) hears hold music and is heard by nobody; `on` false: no longer."""

    on: bool
    leg: LegId | None = None


@dataclass(frozen=True, slots=True)
class AddLeg:
    """Somebody else is called into the call. Of `target` only whom, how and for how long to call counts."""

    leg_id: LegId
    """What the new leg is called: fresh, made by whoever orders."""
    target: Switch
    role: Literal[Role.AGENT, Role.SUPERVISOR]
    mode: SupervisorMode = SupervisorMode.MONITOR
    """A supervisor's."""
    whisper_to: LegId | None = None
    """None: the agent who talks to the customer."""


@dataclass(frozen=True, slots=True)
class ChangeLeg:
    """What is not None becomes so; all of it or nothing."""

    leg: LegId
    muted: bool | None = None
    held: bool | None = None
    mode: SupervisorMode | None = None
    whisper_to: LegId | None = None


@dataclass(frozen=True, slots=True)
class ReleaseLeg:
    """This one is hung up, or not called any more; the others go on as if it had hung up itself."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class PressKeys:
    """Keys for this leg: 0-9 * # A-D, `w` waits 0.5 s, `W` 1 s."""

    leg: LegId
    digits: str


@dataclass(frozen=True, slots=True)
class PlayAnnouncement:
    """`to` (None: all) hears this, beside what they hear already; in place of the one that plays."""

    what: Spoken | PlayUrl
    to: LegId | None = None
    loop: bool = False


@dataclass(frozen=True, slots=True)
class StopAnnouncement:
    """Stop it."""


Order: TypeAlias = (
    Consult | Swap | Merge | Forward | EndConsult | Hold
    | AddLeg | ChangeLeg | ReleaseLeg | PressKeys | PlayAnnouncement | StopAnnouncement
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ordered:
    """Fired when the API orders something; `agent` is for whom, None: for nobody in particular."""

    order: Order
    agent: str | None = None
