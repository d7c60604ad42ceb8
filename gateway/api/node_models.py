"""Trunks, the dialplan, problems and health as the API takes and gives them; like models.py."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from gateway.api.base import In, Name, Out, Time
from gateway.calls.states import CallState, ConsultState
from gateway.engine.trunks import Registration, TrunkState


class Nothing(In):
    """No fields."""


# ── Trunks and the dialplan ─────────────────────────────────────────────────────────────────────────


class TrunkOut(Out):
    """A carrier connection."""

    name: str
    host: str
    transport: str
    state: TrunkState
    """`unknown`: nobody asks it."""
    registration: Registration
    since: Time | None
    """In this state since."""
    target: str | None
    """The address that is used now."""
    detail: str | None
    """What is wrong."""
    calls: int
    max_calls: int | None
    """None: no limit."""


class Trunks(Out):
    """All trunks of the running plan, in its order."""

    items: list[TrunkOut]
    next_cursor: None


class RouteBody(In):
    """A call that might come."""

    to: Annotated[str, Field(min_length=1, max_length=128)]
    """The called number."""
    from_: Annotated[str, Field(min_length=1, max_length=128)] = Field("anonymous", alias="from")
    """The caller's number."""
    trunk: Name | None = None
    """The trunk it comes on; default: the plan's first."""
    at: AwareDatetime | None = None
    """When; default: now."""


class RouteOut(Out):
    """What would become of it, and why."""

    decision: Literal["channel", "agent", "prompt", "refuse"]
    channel: str | None = None
    """`channel`: its bot takes the call."""
    agent: str | None = None
    """`agent`: the caller is connected with this one."""
    prompt: str | None = None
    say: str | None = None
    """`prompt`: the caller hears this prompt or text, then the call ends."""
    sip_status: int | None = None
    """`refuse`: with this SIP status."""
    why: str | None = None
    route: int | None
    """The index of the route; None when none matched."""
    where: str
    """The file and line of that route."""
    steps: list[str]
    """One sentence for each route that was looked at."""


class ReloadOut(Out):
    """The plan that runs now: how much is in it."""

    trunks: int
    channels: int
    routes: int


class DrainOut(Out):
    """It stops."""

    draining: Literal[True]
    calls: int
    """Those that are still up."""


# ── Problems ────────────────────────────────────────────────────────────────────────────────────────


class FileProblem(Out):
    """One mistake in the dialplan."""

    file: str
    line: int | None
    path: str
    message: str


class ProblemOut(Out):
    """RFC 9457 problem details; what stands beside the first five depends on `code`."""

    type: str
    """Where the code is explained, in this server's documentation."""
    title: str
    status: int
    code: str
    detail: str
    in_: Literal["body", "query", "header", "path"] | None = Field(None, alias="in")
    """`invalid`: where the field is."""
    path: str | None = None
    """`invalid`: the field, such as `replies[1].timeout`."""
    state: CallState | None = None
    """`illegal-state`: where the call is."""
    consult_state: ConsultState | None = None
    """`illegal-state`: where its consult is."""
    allowed: list[str] | None = None
    """`illegal-state`: the commands that the call takes now. `method-not-allowed`: the methods."""
    scope: str | None = None
    """`forbidden`: the scope that is missing."""
    last_seq: int | None = None
    """`unknown-seq`: the newest event."""
    problems: list[FileProblem] | None = None
    """`bad-dialplan`: all mistakes, in the order of the files."""


# ── Health ──────────────────────────────────────────────────────────────────────────────────────────


class Health(Out):
    """The process lives."""

    status: Literal["ok"]
    version: str
    held: dict[str, int]
    """How many of what are held now."""
    counted: dict[str, int]
    """How often what has happened."""


class Ready(Out):
    """Whether new calls are taken."""

    ready: bool
