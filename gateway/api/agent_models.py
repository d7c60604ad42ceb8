"""Agents and finished transfers as the API takes and gives them; like models.py."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, JsonValue

from gateway.api.base import CallId, In, Limit, Out, Time
from gateway.api.reading import PlusAgain
from gateway.calls.outbound import Right, TransferReason
from gateway.engine.agents import AgentState


class AgentOut(Out):
    """A person of the plan with a phone."""

    id: str
    name: str
    state: AgentState
    """`busy`: in a call, or called into one; whatever was said before holds again afterwards."""
    trunk: str
    may: list[Right]
    """What the plan lets this one do with a customer on the phone."""
    call_id: str | None
    """`busy`: the call, if the key sees it."""
    leg_id: str | None
    since: Time
    """In this state since."""


class Agents(Out):
    """All agents of the running plan, in its order."""

    items: list[AgentOut]
    next_cursor: None


class AgentStateBody(In):
    """Whether an agent takes calls."""

    state: Literal["available", "away"]


class TransferOut(Out):
    """A transfer that has ended: the same object as in `transfer.ended`, and in the bot's `transfer` event."""

    call_id: str
    at: Time
    """When it ended."""
    channel: str | None
    transfer_id: str | None
    hop_of: str | None
    """The transfer in which somebody passed the customer on by this one."""
    status: Literal["SUCCESS", "FAIL"]
    reason: str
    detail: str | None
    number: str
    method: str | None
    hangup: bool
    """The bot hears no more of the call."""
    sip_status: int | None
    sip_reason: str | None
    assumed: bool
    ended_by: str | None
    ring_ms: int
    talk_ms: int
    answered_at: Time | None
    human_connected_at: Time | None
    attempts: list[dict[str, JsonValue]]
    hops: list[dict[str, JsonValue]]
    warnings: list[JsonValue]


class Transfers(Out):
    """Some transfers, the newest first."""

    items: list[TransferOut]
    next_cursor: str | None


class TransfersQuery(In):
    """Which transfers: those that match all that is given."""

    call: CallId | None = None
    status: Literal["SUCCESS", "FAIL"] | None = None
    reason: TransferReason | None = None
    since: Annotated[AwareDatetime, PlusAgain] | None = None
    """Ended at this time or later."""
    until: Annotated[AwareDatetime, PlusAgain] | None = None
    """Ended before this time."""
    limit: Limit = 100
    cursor: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """`nextCursor` of the page before."""
