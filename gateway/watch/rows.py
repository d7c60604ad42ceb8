"""What stands on the board: an event, a call with its legs, a trunk, an end; made by wire.py, kept by board.py.

Every text in here is fit for a terminal (`wire.py` cleans it) and numbers are in clear: who draws, masks. Times are
seconds since the epoch by the gateway's clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Happened:
    """One event of the API (gateway/calls/history.py lists the types; there may be others)."""

    seq: int
    type: str
    at: float
    call_id: str
    leg_id: str | None
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class LegRow:
    """One SIP dialog of a call. `peer_hold` is `sendrecv` unless the peer holds us."""

    leg_id: str
    role: str
    state: str
    room: str = "main"
    muted: bool = False
    held: bool = False
    peer_hold: str = "sendrecv"
    mode: str | None = None
    """A supervisor's."""
    whisper_to: str | None = None


@dataclass(frozen=True, slots=True)
class Hears:
    """`sink` hears `source`: a leg's id, `bot`, or `music:` and a name."""

    source: str
    sink: str


@dataclass(frozen=True, slots=True)
class Doing:
    """What the bot does, and since when. `waits`: it was asked, and the customer waits for its answer."""

    what: str
    since: float
    waits: bool = False


@dataclass(slots=True)
class CallRow:
    """One live call. `trouble` is what is wrong with its bot, until the bot answers again."""

    call_id: str
    from_: str
    to: str
    started_at: float
    channel: str | None = None
    trunk: str | None = None
    state: str = "offered"
    legs: tuple[LegRow, ...] = ()
    hearing: tuple[Hears, ...] = ()
    doing: Doing | None = None
    trouble: str | None = None
    codecs: dict[str, str] = field(default_factory=dict)
    """By leg, as the events told."""
    consult: str = "none"
    """Where the agent's consult is."""
    seq: int = 0
    """The newest event that is folded in."""
    known_from: int = 0
    """The board's mark when an event told of this call; 0: a snapshot did."""
    scene: str = ""
    """Who is where and hears whom, as it was told last."""
    recalled: bool = False
    """All that happened to it so far is folded in."""


@dataclass(frozen=True, slots=True)
class TrunkRow:
    """A carrier connection."""

    name: str
    host: str
    state: str
    registration: str
    since: float | None
    calls: int
    max_calls: int | None
    detail: str | None

    @property
    def down(self) -> bool:
        """No call can go over it, or its registration is refused."""
        return self.state == "down" or self.registration == "failed"


@dataclass(frozen=True, slots=True)
class EndRow:
    """A call that is over. `result` says whose doing it was (gateway/calls/causes.py)."""

    call_id: str
    at: float
    started_at: float
    from_: str
    to: str
    duration_ms: int
    result: str
    reason: str
    ended_by: str
