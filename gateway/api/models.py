"""Calls, events and CDRs as the API takes and gives them: answers and the OpenAPI document are made of these."""

from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, Field, JsonValue

from gateway.api.base import CallId, In, Limit, Name, Out, Time
from gateway.api.event_types import EventTypes
from gateway.api.reading import PlusAgain, QueryNumber
from gateway.calls.allowed import CommandWord
from gateway.calls.causes import Reason, Result
from gateway.calls.model import Direction, PeerHold, Room, SupervisorMode
from gateway.calls.states import CallState, ConsultState, LegState

# ── Calls ───────────────────────────────────────────────────────────────────────────────────────────


class CauseOut(Out):
    """Why something ended: whose doing it was, and what happened."""

    result: Result
    reason: Reason


class LegOut(Out):
    """One SIP dialog of ours in the call."""

    leg_id: str
    role: str
    """`customer`, `agent`, `consult` or `supervisor`."""
    agent: str | None
    """The agent of the plan whose phone it is."""
    state: LegState
    room: Room
    muted: bool
    """Heard by nobody."""
    held: bool
    """On our hold: it hears hold music only and is heard by nobody."""
    peer_hold: PeerHold
    """What the peer's own hold asks of us; `sendrecv` is no hold."""
    watches: str | None
    """A supervisor's: the leg whose room it follows."""
    mode: SupervisorMode | None
    """A supervisor's: who hears it."""
    whisper_to: str | None


class RoomOut(Out):
    """Parties of the call that hear each other."""

    room: Room
    legs: list[str]
    bot: bool
    """The bot's voice is in it."""


class EdgeOut(Out):
    """`sink` hears `source`. A party is a leg's id, `bot`, or `music:` and the name of the hold music."""

    source: str
    sink: str
    level: float
    """1 is as it is."""


class EventOut(Out):
    """Something that happened to a call. What `data` holds depends on `type`: see Events."""

    seq: int
    """Grows from each event to the next, with gaps; resume after it."""
    type: str
    at: Time
    call_id: str
    leg_id: str | None
    data: dict[str, JsonValue]


class Events(Out):
    """Some events, the oldest first."""

    items: list[EventOut]
    next_cursor: str | None


class CallOut(Out):
    """A call. `state` tells where it is, `allowed` which commands it takes now."""

    id: str
    sip_call_id: str | None
    channel: str | None
    trunk: str | None
    direction: Direction
    state: CallState
    consult_state: ConsultState
    allowed: list[CommandWord]
    """What it can be told now; of the agent's words those of the agent who talks to the customer."""
    from_: str | None = Field(alias="from")
    from_name: str | None
    to: str | None
    diversion: str | None
    verstat: str | None
    """What a trusted trunk found of the caller's number, such as `TN-Validation-Passed`."""
    headers: dict[str, str]
    """Those of the customer's INVITE that the trunk lets through."""
    user_to_user: list[dict[str, JsonValue]]
    started_at: Time
    answered_at: Time | None
    ended_at: Time | None
    cause: CauseOut | None
    """Of a call that is over."""
    ended_by: str | None
    """`customer`, `agent`, `bot`, `gateway` or `transferred`."""
    data: dict[str, JsonValue]
    """What bots attached to it."""
    legs: list[LegOut]
    rooms: list[RoomOut]
    hearing: list[EdgeOut]
    """Who hears whom: all of it; what is not here is not heard."""


class CallDetail(CallOut):
    """A call and what happened in it. One that is over has its `cdr`, and no legs any more."""

    timeline: Events
    """The first 500 events; its `nextCursor` goes on in `/v1/calls/{id}/events`."""
    cdr: "CdrOut | None"


class Calls(Out):
    """Some live calls, the oldest first."""

    items: list[CallOut]
    next_cursor: str | None


class CallsQuery(In):
    """Which live calls: those that match all that is given."""

    state: CallState | None = None
    channel: Name | None = None
    trunk: Name | None = None
    agent: Name | None = None
    """An agent of the plan who is in it, or whose phone is called for it."""
    limit: Limit = 100
    cursor: CallId | None = None
    """`nextCursor` of the page before."""


HangUpReason: TypeAlias = Literal[
    "normal", "busy", "declined", "unavailable", "not-authorized", "over-limit", "max-duration", "drained"
]


class HangUpQuery(In):
    """Why the call is ended; the peer is told in the Reason header."""

    reason: HangUpReason = "normal"


class HoldBody(In):
    """Who is put on hold."""

    leg_id: Name | None = None
    """Default: the customer's."""


class EventsQuery(In):
    """Which part of a call's history."""

    types: EventTypes | None = None
    """Types, with commas between them; `leg.*` is all that begin so."""
    limit: Limit = 500
    cursor: Annotated[int, Field(ge=0, lt=2**53)] = 0
    """`nextCursor` of the page before, or any `seq`."""


class StreamQuery(In):
    """Which events, and from where."""

    after: Annotated[int, Field(ge=0, lt=2**53)] | None = None
    """Begin after the event with this `seq`; 0 is the very beginning. A `Last-Event-ID` header goes before it. Without
    either: what happens from now on."""
    call: CallId | None = None
    """Of this call only."""
    types: EventTypes | None = None
    """Types, with commas between them; `leg.*` is all that begin so."""


# ── CDRs ────────────────────────────────────────────────────────────────────────────────────────────


class CdrLegOut(Out):
    """One leg of a finished call."""

    leg_id: str
    role: str
    agent: str | None
    """The agent of the plan whose phone it was."""
    joined_at: Time | None
    """None: it was never answered."""
    left_at: Time | None
    codec: str | None
    cause: CauseOut | None
    sip_status: int | None
    q850: int | None
    by: str | None
    """Whose BYE, CANCEL or silence it was: `peer` or `gateway`."""


class RtpReceivedOut(Out):
    """What we received of the peer's RTP."""

    packets: int
    lost: int
    loss_percent: float
    jitter_ms: float | None
    """Mean interarrival jitter; None: too few packets to measure it."""
    jitter_max_ms: float | None
    mos: float | None
    """Estimate of what we heard, 1 (bad) to 4.5 (excellent); None: nothing came."""


class RtpSentOut(Out):
    """What we sent, and what the peer's RTCP said of it: all but `packets` is None if it said nothing."""

    packets: int
    """All that we sent; what follows is as of the peer's last report."""
    lost: int | None
    loss_percent: float | None
    jitter_ms: float | None
    jitter_max_ms: float | None
    mos: float | None
    """Estimate of what the peer heard."""


class RtpOut(Out):
    """How good the audio of one leg was, from its first packet to its last."""

    leg_id: str
    codec: str
    received: RtpReceivedOut
    sent: RtpSentOut
    round_trip_ms: float | None
    """Mean of the network's round trip; None if the peer's RTCP gave no measure of it."""


class CdrOut(Out):
    """The one record of a finished call."""

    call_id: str
    sip_call_id: str | None
    channel: str | None
    trunk: str | None
    direction: str
    from_: str | None = Field(alias="from")
    to: str | None
    started_at: Time
    answered_at: Time | None
    ended_at: Time
    duration_ms: int
    """From the answer; 0 without one."""
    cause: CauseOut
    sip_status: int | None
    q850: int | None
    ended_by: str
    legs: list[CdrLegOut]
    transfers: list[dict[str, JsonValue]]
    recordings: list[dict[str, JsonValue]]
    rtp: list[RtpOut]
    """One for each leg that had media."""
    data: dict[str, JsonValue]


class Cdrs(Out):
    """Some CDRs, the newest first."""

    items: list[CdrOut]
    next_cursor: str | None


class CdrsQuery(In):
    """Which CDRs: those that match all that is given."""

    channel: Name | None = None
    trunk: Name | None = None
    from_: Annotated[QueryNumber, Field(max_length=128)] | None = Field(None, alias="from")
    to: Annotated[QueryNumber, Field(max_length=128)] | None = None
    since: Annotated[AwareDatetime, PlusAgain] | None = None
    """Started at this time or later."""
    until: Annotated[AwareDatetime, PlusAgain] | None = None
    """Started before this time."""
    limit: Limit = 100
    cursor: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """`nextCursor` of the page before."""
