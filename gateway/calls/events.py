"""What can happen to a call: frozen facts, past tense, put into its queue by adapters and by the engine's timers."""

from dataclasses import dataclass
from typing import TypeAlias

from gateway.calls.causes import Cause, EndedBy
from gateway.calls.commands import Dial, Timer
from gateway.calls.errors import BotErrorKind
from gateway.calls.model import Caller, LegId, PeerHold
from gateway.calls.orders import Ordered
from gateway.calls.quality import RtpQuality
from gateway.calls.refers import ClaimEvent, ReferEvent
from gateway.calls.replies import BotResponse
from gateway.calls.switch import Switch

# ── From the SIP adapter ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class LegOffered:
    """Fired when an INVITE from a known trunk is here and 100 was sent; always the first event of a leg."""

    leg_id: LegId
    caller: Caller
    replaces: LegId | None = None
    """It may take the place of this leg (INVITE with Replaces, RFC 3891): the adapter has checked that it may."""


@dataclass(frozen=True, slots=True)
class LegRinging:
    """Fired for a provisional response (101–199) to an INVITE of ours, once for each status, and again when early media
    begin (`media`), which a later 180 does not end."""

    leg_id: LegId
    status: int
    media: bool


@dataclass(frozen=True, slots=True)
class LegAnswered:
    """Fired when the ACK to a 200 came or went: media may flow both ways."""

    leg_id: LegId
    codec: str


@dataclass(frozen=True, slots=True)
class LegHoldChanged:
    """Fired when the peer's re-INVITE or UPDATE changed its hold (RFC 3264 §8.4); never twice with the same value."""

    leg_id: LegId
    hold: PeerHold


@dataclass(frozen=True, slots=True)
class LegEnded:
    """Fired once per leg, as its last event, when its dialog is gone.

    `sip_status` is the final status of the INVITE (200 after an answered call); `q850` is None when nobody named one;
    `by_peer` says which side's BYE, CANCEL or silence it was; `rtp` is None when there was no media.
    """

    leg_id: LegId
    cause: Cause
    sip_status: int
    q850: int | None
    by_peer: bool
    rtp: RtpQuality | None = None
    contacts: tuple[str, ...] = ()
    """Where a 3xx to an INVITE of ours points."""


@dataclass(frozen=True, slots=True)
class DtmfReceived:
    """Fired once per key press, by RFC 4733 or SIP INFO. `digit` is one of 0-9 * # A-D."""

    leg_id: LegId
    digit: str


@dataclass(frozen=True, slots=True)
class DigitsSent:
    """Fired when all digits of a SendDigits have gone out."""

    leg_id: LegId


# ── From the voice (engine/voice.py) ────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class PlaybackStarted:
    """Fired when the first audio of a Play was handed to the bridge."""

    playback_id: int


@dataclass(frozen=True, slots=True)
class PlaybackEnded:
    """Fired once per Play: its last sample went to the customer, or it was stopped.

    When `stopped`, `item` is the index of the item that was cut off and `played_ms` how much of the whole was heard.
    """

    playback_id: int
    stopped: bool
    item: int
    played_ms: int


@dataclass(frozen=True, slots=True)
class SoundFailed:
    """Fired when one item could not be made; it is left out and the rest of its Play goes on."""

    playback_id: int
    item: int
    detail: str
    by_bot: bool


# ── From the bot ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class BotReplied:
    """Fired once per AskBot that got a usable answer (an empty one is an answer)."""

    seq: int
    response: BotResponse


@dataclass(frozen=True, slots=True)
class BotFailed:
    """Fired once per AskBot that got none, after the retry of bot-protocol.md."""

    seq: int
    kind: BotErrorKind
    detail: str


@dataclass(frozen=True, slots=True)
class RepliesPushed:
    """Fired when replies come that nobody asked for (`POST /v1/calls/{id}/replies`); they fitted when they came."""

    response: BotResponse


@dataclass(frozen=True, slots=True)
class TransferRequested:
    """Fired when somebody outside the call wants the customer transferred (`POST /v1/calls/{id}/transfer`)."""

    switch: Switch
    agent: str | None = None
    """For which agent of the plan, as in Ordered."""


@dataclass(frozen=True, slots=True)
class TransferCancelled:
    """Fired when somebody outside the call takes a transfer back that is not bridged yet."""

    agent: str | None = None


# ── From the engine ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class CallPlaced:
    """Fired when we are to call the customer ourselves (`POST /v1/calls`); always the first event of such a call.

    `dial` is the INVITE to the customer, which may ring for `timeout_s`. `agent` calls the agent for whom it is, who
    comes first; None: the customer is for the channel's bot, with whom they may talk for `max_talk_s`.
    """

    dial: Dial
    timeout_s: float
    max_talk_s: float | None = None
    agent: Switch | None = None


@dataclass(frozen=True, slots=True)
class TimerFired:
    """Fired when a timer that was started and not stopped ran out."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class HangupRequested:
    """Fired when somebody outside the call wants it over: an operator, a drain, a shutdown."""

    cause: Cause
    by: EndedBy
    agent: str | None = None


LegEvent: TypeAlias = (
    LegOffered | LegRinging | LegAnswered | LegHoldChanged | LegEnded | DtmfReceived | DigitsSent | ReferEvent
)  # fmt: skip
VoiceEvent: TypeAlias = PlaybackStarted | PlaybackEnded | SoundFailed
ApiEvent: TypeAlias = RepliesPushed | TransferRequested | TransferCancelled | HangupRequested | Ordered
Event: TypeAlias = LegEvent | VoiceEvent | BotReplied | BotFailed | ApiEvent | ClaimEvent | CallPlaced | TimerFired
