"""What a call is made of: ids, legs, parties, edges, and what its channel wants; read by every module of the core."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NewType, TypeAlias

from gateway.calls.causes import Cause, EndedBy
from gateway.calls.states import CallState, ConsultState, LegState
from gateway.calls.switch import Switch

CallId = NewType("CallId", str)
LegId = NewType("LegId", str)

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]


class Role(StrEnum):
    """What a leg is in its call (product.md)."""

    CUSTOMER = "customer"
    AGENT = "agent"
    CONSULT = "consult"
    SUPERVISOR = "supervisor"


class Room(StrEnum):
    """A set of parties of one call that hear each other."""

    MAIN = "main"
    CONSULT = "consult"
    LOBBY = "lobby"
    """Where people whom we call are until they meet the customer: they hear the briefing, nobody hears them."""


class SupervisorMode(StrEnum):
    """Who hears a supervisor: nobody, one leg, everybody in the room (control-api.md)."""

    MONITOR = "monitor"
    WHISPER = "whisper"
    BARGE = "barge"


class Direction(StrEnum):
    """Who called whom: `inbound` came from a trunk, `outbound` is one that we place."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class PeerHold(StrEnum):
    """What the peer's last offer asked of us (RFC 3264 §8.4), in the peer's own words."""

    NONE = "sendrecv"
    SENDONLY = "sendonly"
    """Its media still reaches us (its own hold music perhaps); it wants none of ours."""
    INACTIVE = "inactive"
    """No media either way."""


@dataclass(slots=True)
class Leg:
    """One SIP dialog of ours. `watches`, `mode` and `whisper_to` are a supervisor's: whose room it follows, and who
    hears it; `held` is our hold (music, no re-INVITE), `peer_hold` the peer's own."""

    id: LegId
    role: Role
    state: LegState = LegState.OFFERED
    room: Room = Room.MAIN
    muted: bool = False
    held: bool = False
    peer_hold: PeerHold = PeerHold.NONE
    trunk: str = ""
    agent: str | None = None
    """The agent of the plan whose phone was called by this leg."""
    early_media: bool = False
    """Of a leg that we call: it sends media before its answer."""
    watches: LegId | None = None
    mode: SupervisorMode = SupervisorMode.MONITOR
    whisper_to: LegId | None = None


# ── Parties: anything that can hear or be heard ─────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class LegParty:
    """A leg's microphone and ear."""

    leg_id: LegId


@dataclass(frozen=True, slots=True)
class BotParty:
    """The bot's voice: all that is played in this call comes out of its one port."""


@dataclass(frozen=True, slots=True)
class MusicParty:
    """A looping source shared by all calls, by its name in media/, e.g. `hold/calm`."""

    name: str


Party: TypeAlias = LegParty | BotParty | MusicParty


class Ringback(StrEnum):
    """What a customer hears until somebody is bridged (transfer.md, `ringback`)."""

    TONE = "tone"
    MUSIC = "music"
    EARLY_MEDIA = "earlyMedia"
    """What the called side sends before its answer; the tone as long as it sends nothing."""
    SILENCE = "silence"


RINGBACK_TONE = MusicParty("tones/ringback")


@dataclass(frozen=True, slots=True)
class Edge:
    """`sink` hears `source`, at `level` (1.0 = as it is)."""

    source: Party
    sink: Party
    level: float = 1.0


# ── What the channel wants, as the core needs it (the engine makes it from the dialplan) ────────────


class AnswerMode(StrEnum):
    """When a channel answers (dialplan.md, `answer`)."""

    IMMEDIATELY = "immediately"
    BOT = "bot"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """How text is spoken: `voice` "" is the engine's own for `language`; `rate` is a factor, 1.0 the engine's own."""

    engine: str = "espeak"
    voice: str = "en-us"
    language: str = "en-US"
    rate: float = 1.0


@dataclass(frozen=True, slots=True)
class Spoken:
    """Something the gateway says of its own accord: a text, or a prompt of media/prompts (exactly one is given)."""

    text: str | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class PostSession:
    """The channel that a customer goes on to when the agent has ended the talk, and what its bot is told."""

    channel: str
    parameters: JsonObject = field(default_factory=dict)


OnAgentHangup: TypeAlias = Literal["forward", "end"]
"""What becomes of a consult when its agent hangs up: the customer goes to the consultant, or it ends with the talk."""


@dataclass(frozen=True, slots=True)
class ChannelPolicy:
    """A channel, as the core needs it."""

    name: str
    answer: AnswerMode = AnswerMode.IMMEDIATELY
    answer_after_ms: int = 0
    voice: VoiceSettings = VoiceSettings()
    hold_music: str = "hold/calm"
    filler: Spoken | None = Spoken(prompt="one-moment")
    filler_after_ms: int = 2000
    fallback: Spoken = Spoken(prompt="apology")
    fallback_after: int = 2
    fallback_switch: Switch | None = None
    """Whom the customer goes to after the fallback was spoken; None: nobody, the call ends."""
    post_session: PostSession | None = None
    """Where the customer goes when the agent has ended the talk, unless the switch says another one (transfer.md)."""
    on_agent_hangup: OnAgentHangup = "forward"
    """Unless the order of a consult says otherwise (control-api.md)."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who called, whom, and how; fixed when the INVITE came. `headers` keep the names as received; `verstat` is what a
    trusted trunk found of the number (3GPP TS 24.229 §7.2A.20), e.g. `TN-Validation-Passed`. Of a call that we place
    `from_` is the number that we show, `to` the customer, and `sip_call_id` "": the stack's own affair."""

    sip_call_id: str
    trunk: str
    from_: str
    to: str
    from_name: str | None = None
    diversion: str | None = None
    verstat: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    user_to_user: tuple[JsonObject, ...] = ()


@dataclass(frozen=True, slots=True)
class Announcement:
    """What people hear beside their talk; `to` None: all of them."""

    playback_id: int
    to: LegId | None = None


@dataclass(slots=True)
class Call:
    """One conversation: the customer's leg and everything joined to it. Times are seconds since the epoch."""

    id: CallId
    caller: Caller
    channel: ChannelPolicy
    customer: Leg
    started_at: float
    others: list[Leg] = field(default_factory=list)
    direction: Direction = Direction.INBOUND
    state: CallState = CallState.OFFERED
    answered_at: float | None = None
    ended_at: float | None = None
    data: JsonObject = field(default_factory=dict)
    cause: Cause | None = None
    ended_by: EndedBy | None = None
    ringback: Ringback = Ringback.TONE
    """What the customer hears while the call is `transferring`."""
    transfer_id: str | None = None
    """The transfer that is under way."""
    passing_on: bool = False
    """Whoever talks to the customer is passing them on to somebody else."""
    consult: ConsultState = ConsultState.NONE
    announcement: Announcement | None = None
    """What plays to people now."""
    closing: bool = False
    """Its bot is told nothing more: it ends as soon as what plays has been heard."""

    @property
    def transferable(self) -> bool:
        """The API may hand the customer to people now, or on to others. Not when the call is about to end: nobody would
        take the customer back."""
        if self.state is CallState.TALKING:
            return not self.passing_on and self.consult is ConsultState.NONE
        return self.state is CallState.BOT and not self.passing_on and not self.closing

    @property
    def legs(self) -> Mapping[LegId, Leg]:
        """All legs by id, the customer's first."""
        return {leg.id: leg for leg in (self.customer, *self.others)}
