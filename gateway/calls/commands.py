"""What the core can ask for: frozen orders, imperative, carried out by the engine on its ports in the order given."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from gateway.calls.allowed import CommandWord
from gateway.calls.causes import Cause, EndedBy
from gateway.calls.model import CallId, Edge, JsonObject, LegId, VoiceSettings
from gateway.calls.refers import ReferCommand

# ── Legs ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Ring:
    """Send 180 Ringing."""

    leg_id: LegId


@dataclass(frozen=True, slots=True)
class Answer:
    """Send 200 OK; LegAnswered or LegEnded follows."""

    leg_id: LegId


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse an unanswered INVITE with `status` (300–699); `phrase` "" means the standard one."""

    leg_id: LegId
    status: int
    cause: Cause
    phrase: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Redirect:
    """Answer an INVITE with 302 and these contacts, best first (RFC 3261 §8.3)."""

    leg_id: LegId
    contacts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShownCaller:
    """Who is shown to somebody whom we call. `withheld`: the carrier may know, the called one must not (RFC 3323)."""

    number: str
    name: str | None = None
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class Dial:
    """Call somebody on a trunk; LegRinging, LegAnswered or LegEnded follow.

    Exactly one of `number`, already written as the trunk wants it, and `uri`. `caller` is who is shown as calling; how
    is the trunk's policy. `diverting` is the number that the customer had called, for a Diversion header. `headers`
    keep their names byte-exact; `user_to_user` are whole header values (RFC 7433).
    """

    leg_id: LegId
    trunk: str
    number: str | None
    uri: str | None
    caller: ShownCaller
    diverting: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    user_to_user: tuple[str, ...] = ()
    replaces: str | None = None
    """A Replaces header (RFC 3891): whoever is called takes the place of a dialog of its own."""


@dataclass(frozen=True, slots=True)
class Hangup:
    """Send BYE (or a failure, while unanswered) with a Reason header made from `cause`; LegEnded follows."""

    leg_id: LegId
    cause: Cause
    headers: tuple[tuple[str, str], ...] = ()
    elsewhere: bool = False
    """Somebody else answered first: the Reason header says so (RFC 3326 §2)."""


@dataclass(frozen=True, slots=True)
class SendDigits:
    """Send DTMF to a leg: 0-9 * # A-D, `w` waits 0.5 s, `W` 1 s; DigitsSent follows."""

    leg_id: LegId
    digits: str
    duration_ms: int


# ── Audio ───────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class SetHearing:
    """From now on exactly these edges of the call are connected."""

    edges: frozenset[Edge]


@dataclass(frozen=True, slots=True)
class SayText:
    """Text or SSML to speak."""

    text: str
    ssml: bool
    voice: VoiceSettings


@dataclass(frozen=True, slots=True)
class PlayPrompt:
    """A file of media/prompts, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class PlayUrl:
    """Audio to fetch, under the SSRF rules."""

    url: str


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing, for so long."""

    ms: int


Playable: TypeAlias = SayText | PlayPrompt | PlayUrl | Silence


@dataclass(frozen=True, slots=True)
class Play:
    """Play the items one after the other without a gap, after whatever plays now; PlaybackEnded follows, once."""

    playback_id: int
    items: tuple[Playable, ...]


@dataclass(frozen=True, slots=True)
class StopPlayback:
    """Stop a Play: at once, or (`after_item`) when the item that is playing has ended. PlaybackEnded follows."""

    playback_id: int
    after_item: bool = False


# ── Bot ─────────────────────────────────────────────────────────────────────────────────────────────


class BotEventName(StrEnum):
    """The events of bot-protocol.md that are built."""

    OFFERED = "offered"
    START = "start"
    DTMF = "dtmf"
    NO_INPUT = "noInput"
    BARGE_IN = "bargeIn"
    TRANSFER = "transfer"
    HANGUP = "hangup"


@dataclass(frozen=True, slots=True)
class AskBot:
    """Send an event to the bot of `channel`; BotReplied or BotFailed with the same `seq` follows, unless abandoned.

    `call` is the snapshot for the bot. `again` is set when the same event is sent once more after a failure: it keeps
    its id, so that a bot which did its work already can tell.
    """

    seq: int
    channel: str
    event: BotEventName
    data: JsonObject
    call: JsonObject
    again: bool = False


@dataclass(frozen=True, slots=True)
class AbandonBot:
    """Give up the request with this `seq`: no event follows from it."""

    seq: int


# ── Time, and the end ───────────────────────────────────────────────────────────────────────────────


class Timer(StrEnum):
    """The timers of a call; at most one of each runs."""

    ANSWER = "answer"
    """`answer: after_ms`, or the bot's 10 s to decide on an `offered` call."""
    NO_INPUT = "no-input"
    INTER_DIGIT = "inter-digit"
    FILLER = "filler"
    RING = "ring"
    """The nearest moment at which a target has rung for too long."""
    ACCEPT = "accept"
    """The target's time to press the key."""
    MAX_TALK = "max-talk"
    JOIN = "join"
    """The nearest moment at which somebody who is to join has rung for too long, or who has joined was here so."""
    MAX_CALL = "max-call"
    """How long a customer whom we called for a bot may be on the line, whoever talks to them."""
    NOTICE = "notice"
    """A target that answered hears that the customer is gone; then it is released."""


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Start (or start again) a timer; TimerFired follows unless it is stopped before."""

    timer: Timer
    after_ms: int


@dataclass(frozen=True, slots=True)
class StopTimer:
    """Stop a timer that may be running."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class Note:
    """Something for the call's timeline and the log that no other command or event shows: `name` is `noun.verb`."""

    name: str
    fields: JsonObject


@dataclass(frozen=True, slots=True)
class TurnDown:
    """The API asked for this, and the call does not take it: nothing has changed. Whoever asked is told `why`."""

    what: CommandWord
    why: "Why" = "state"
    detail: str = ""
    """One sentence that names the field, or who is busy; of a call in another state there is nothing to say."""


Why: TypeAlias = Literal["state", "agent-busy", "forbidden", "blocked", "invalid", "unreachable"]
"""`state`: not now. `agent-busy`: whom it asks for is away, or on a call. `forbidden`: the agent for whom it is asked
may not do that. `blocked`: the destination policy is against it. `invalid`: a field names nothing. `unreachable`: a
limit of the trunk, or of what may be dialled, is reached."""


@dataclass(frozen=True, slots=True)
class EndCall:
    """The call is over: release its ports and forget it once the last message to the bot is out. The last command."""

    call_id: CallId
    cause: Cause
    ended_by: EndedBy
    sip_status: int
    q850: int | None
    duration_ms: int


Command: TypeAlias = (
    Ring | Answer | Reject | Redirect | Dial | Hangup | SendDigits | ReferCommand
    | SetHearing | Play | StopPlayback
    | AskBot | AbandonBot
    | StartTimer | StopTimer | Note | TurnDown | EndCall
)  # fmt: skip
