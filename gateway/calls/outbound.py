"""What the core asks when somebody is to be called: by which trunk, as whom, and whether at all; the engine answers.

The plan and its destination policy are the dialplan's (dialplan.md, `destinations`); a transfer only takes the answer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol, TypeAlias

from gateway.calls.commands import ShownCaller
from gateway.calls.model import Call
from gateway.calls.refers import ReferTarget
from gateway.calls.switch import Switch


class TransferReason(StrEnum):
    """What became of a transfer, or of one attempt (transfer.md, `reason`)."""

    COMPLETED = "completed"
    NO_ANSWER = "no-answer"
    BUSY = "busy"
    DECLINED = "declined"
    INVALID_NUMBER = "invalid-number"
    UNREACHABLE = "unreachable"
    BLOCKED = "blocked"
    CARRIER_ERROR = "carrier-error"
    CALLER_ABANDONED = "caller-abandoned"
    NOT_ACCEPTED = "not-accepted"
    NO_AGENTS = "no-agents"
    MEDIA_FAILED = "media-failed"
    CANCELLED = "cancelled"
    MAX_TALK = "max-talk"
    NOT_SUPPORTED = "not-supported"
    INVALID_REQUEST = "invalid-request"
    GATEWAY_ERROR = "gateway-error"


Right: TypeAlias = Literal["consult", "forward", "external"]
"""What an agent may do: ask somebody, leave the customer with the one who was asked, reach whoever is no agent."""


@dataclass(frozen=True, slots=True)
class Callee:
    """One target of a transfer: `kind` is the field of the reply that named it."""

    kind: Literal["phoneNumber", "sipUri", "agent", "contact"]
    value: str
    headers: Mapping[str, str]
    timeout_s: float
    trunk: str | None = None
    """By which trunk, whatever the reply says: of one to whom somebody called on it pointed (3xx)."""


def callees(switch: Switch) -> tuple[Callee, ...]:
    """The targets of a switch reply, in its order; a target's own headers stand beside those of the reply."""
    return tuple(
        Callee(kind, value, {**switch.headers, **headers}, timeout_s or switch.timeout_s)
        for kind, value, headers, timeout_s in _named(switch)
    )


_Named = tuple[Literal["phoneNumber", "sipUri", "agent", "contact"], str, Mapping[str, str], float | None]


def _named(switch: Switch) -> Iterator[_Named]:
    nothing: Mapping[str, str] = {}
    if switch.phone_number is not None:
        yield "phoneNumber", switch.phone_number, nothing, None
    elif switch.sip_uri is not None:
        yield "sipUri", switch.sip_uri, nothing, None
    elif switch.agent is not None:
        yield "agent", switch.agent, nothing, None
    elif switch.contact is not None:
        yield "contact", switch.contact, nothing, None
    for target in switch.targets or ():
        if target.phone_number is not None:
            yield "phoneNumber", target.phone_number, target.headers, target.timeout_s
        elif target.sip_uri is not None:
            yield "sipUri", target.sip_uri, target.headers, target.timeout_s
        elif target.agent is not None:
            yield "agent", target.agent, target.headers, target.timeout_s


@dataclass(frozen=True, slots=True)
class Way:
    """How a target is reached. `shown` is what the status event calls it; `max_talk_s` is how long anybody may talk."""

    trunk: str
    number: str | None
    uri: str | None
    shown: str
    caller: ShownCaller
    diverting: str | None = None
    max_talk_s: float | None = None


@dataclass(frozen=True, slots=True)
class NoWay:
    """Why a target is not called; `detail` is one sentence that names the field."""

    reason: TransferReason
    detail: str


class Outbound(Protocol):
    """The dialplan and the limits, as a transfer sees them. Pure but for the count of what was dialled lately."""

    def way_to(self, call: Call, switch: Switch, callee: Callee, now: float) -> Way | NoWay:
        """Whether and how to call this one now. `now` is in seconds. Of a switch by REFER, whether the peer may be sent
        there: nobody is shown and no channel of a trunk is taken, as we dial nothing."""

    def may_refer(self, call: Call, trunk: str) -> bool:
        """Whether a REFER from the customer's side is honoured on this trunk (dialplan.md, `accept_refer`)."""

    def engaged(self, agent: str) -> str | None:
        """Why this agent cannot be asked now, as a sentence without its subject: `is away`, `is on a call`; None: free.
        What a call has ordered in its turn is known to the turn of the next one."""

    def may(self, agent: str, right: Right) -> bool:
        """Whether this agent of the plan may do that (dialplan.md, `agents.*.may`). Whoever is in the plan no more is
        bound by the destination policy alone."""

    def referred(self, call: Call, trunk: str, target: ReferTarget) -> Switch | NoWay:
        """What a Refer-To that came on a leg of this trunk asks for, as a switch; its Replaces is the caller's to see
        to. With our own host it means what dialling its user part on that trunk would mean. Whether it may be dialled
        is `way_to`'s to say. Raises nothing."""
