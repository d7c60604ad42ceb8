"""What agents, supervisors and operators order of a call through the control API (control-api.md); part of events.py.

Each is carried out if the call takes it when its turn comes (`allowed.py`); else it changes nothing.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway.calls.model import LegId
from gateway.calls.switch import Switch

OnAgentHangup: TypeAlias = Literal["forward", "end"]
"""What becomes of a consult when its agent hangs up: the customer goes to the consultant, or it ends with the talk."""


@dataclass(frozen=True, slots=True)
class Consult:
    """The agent asks somebody, the customer hears music. Of `target` only whom, how and for how long to call counts."""

    target: Switch
    on_agent_hangup: OnAgentHangup = "forward"
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


Order: TypeAlias = Consult | Swap | Merge | Forward | EndConsult | Hold


@dataclass(frozen=True, slots=True)
class Ordered:
    """Fired when the API orders something."""

    order: Order
