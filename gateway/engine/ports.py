"""The ports of the engine: what it needs of the world, as Protocols; adapters implement them, tests/fakes too.

Every method is called on the event loop and returns at once unless it is `async`. What follows is an event given to the
sink. A method that names a leg or a voice that is gone already does nothing: everybody may hang up at every moment.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from gateway.calls.causes import Cause
from gateway.calls.cdr import Cdr
from gateway.calls.commands import AskBot, Dial, SayText
from gateway.calls.events import LegEvent
from gateway.calls.history import Happening
from gateway.calls.model import CallId, Edge, JsonObject, LegId
from gateway.calls.refers import SendRefer
from gateway.calls.replies import BotResponse
from gateway.calls.view import rfc3339

LegSink = Callable[[LegEvent], None]
"""Takes the events of all legs, on the event loop, in the order in which they happened."""

VoiceSink = Callable[[CallId, int, int, bool], None]
"""Takes (call, mark, samples played of that buffer, flushed): a written buffer has been heard to its end or dropped."""


class Legs(Protocol):
    """SIP dialogs: gateway/sip is the real one."""

    async def start(self, legs: LegSink, voices: VoiceSink) -> None:
        """Listen. Raises OSError when an address cannot be had."""

    async def stop(self) -> None:
        """Hang up what is left, wait for it (at most 2 s), and release everything. LegEnded comes for every leg."""

    def dial(self, order: Dial) -> None:
        """INVITE on a trunk, to its targets one after the other until one responds; LegEnded follows also when the
        trunk is not there or none of its targets is (cause `carrier/no-response`)."""

    def turn_away(self, retry_after_s: int | None, *, draining: bool) -> None:
        """From now on answer new INVITEs, and OPTIONS outside of dialogs, with 503 and this Retry-After, without making
        legs of them; None: take calls again. `draining`: it will not change back. Dialogs that are there, and INVITEs
        that were on their way to the sink, are not touched."""

    def ring(self, leg_id: LegId) -> None:
        """180."""

    def answer(self, leg_id: LegId) -> None:
        """200."""

    def reject(
        self, leg_id: LegId, status: int, phrase: str, cause: Cause, headers: tuple[tuple[str, str], ...]
    ) -> None:
        """A final failure with a Reason header for `cause`; the LegEnded that follows carries `cause`."""

    def redirect(self, leg_id: LegId, contacts: tuple[str, ...]) -> None:
        """302 with Contact headers."""

    def hangup(
        self, leg_id: LegId, cause: Cause, headers: tuple[tuple[str, str], ...], *, elsewhere: bool = False
    ) -> None:
        """BYE, or while unanswered 603/480, or CANCEL of an INVITE of ours, with a Reason header for `cause`, or
        (`elsewhere`) one that says that somebody else answered; LegEnded carries `cause`, `by_peer=False`."""

    def send_digits(self, leg_id: LegId, digits: str, duration_ms: int) -> None:
        """DTMF as the trunk wants it; DigitsSent follows when the last one is out (or at once if the leg is gone)."""

    def refer(self, order: SendRefer) -> None:
        """REFER on a leg, with Referred-By (RFC 3892); ReferAnswered follows, also when the leg is gone (481)."""

    def answer_refer(self, leg_id: LegId, refer_id: int, status: int) -> None:
        """The final response to a REFER that came."""

    def notify_refer(self, leg_id: LegId, refer_id: int, status: int) -> None:
        """NOTIFY, its body the status line with the standard phrase; from 200 on the subscription ends with it."""


class Bridge(Protocol):
    """Who hears whom, and the voices that play: gateway/sip is the real one (native PcmPorts)."""

    @property
    def clock_rate(self) -> int:
        """Samples per second of all PCM: 16-bit mono, little-endian."""

    def open_voice(self, call_id: CallId) -> None:
        """Make the call's BotParty. Writing is possible at once."""

    def write(self, call_id: CallId, pcm: bytes, mark: int, more: bool) -> None:
        """Queue a whole buffer. `mark` > 0 comes back through the sink; `more`: running dry after it is an underrun."""

    def flush(self, call_id: CallId) -> None:
        """Drop all that is queued; each dropped mark comes back with `flushed=True`, in order, within a tick or two."""

    def set_hearing(self, call_id: CallId, edges: frozenset[Edge]) -> None:
        """Make these, and only these, edges of the call; kept over re-INVITEs."""

    def close_voice(self, call_id: CallId) -> None:
        """Disconnect and release all ports of the call."""


class Bot(Protocol):
    """One channel's bot."""

    async def ask(self, ask: AskBot, event_id: str, at: str) -> BotResponse:
        """Send one event (`at` is RFC 3339), read the answer. Raises BotError. Cancelling it abandons the request."""

    async def close(self) -> None:
        """Release connections."""


class Sounds(Protocol):
    """Everything that becomes PCM at the bridge's rate: 16-bit mono. All raise SoundError, none blocks the loop."""

    async def speak(self, say: SayText) -> bytes:
        """Text to speech; cached."""

    async def prompt(self, name: str) -> bytes:
        """A file of media/prompts."""

    async def fetch(self, url: str) -> bytes:
        """Audio from a URL that a bot gave, under the SSRF rules; cached."""

    async def close(self) -> None:
        """Release workers and connections."""


# ── The store: gateway/store is the real one ────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class JournalState:
    """For metrics: happenings so far, on disk, lost for good; how long the oldest one that waits has waited."""

    appended: int
    written: int
    lost: int
    lag_s: float


class Journal(Protocol):
    """Everything that happens to calls, on disk. Trouble with the disk is not the caller's: it is counted and said."""

    def append(self, happening: Happening) -> None:
        """Write it within about 20 ms, in the order of the calls of this method. The last one of a call
        (`call.ended`, `call.refused`) is written together with the call's CDR."""

    async def settled(self, within_s: float = 0.1) -> bool:
        """Wait until all that was appended so far is on disk; False if it is not after `within_s`, or was lost."""

    def state(self) -> JournalState:
        """How it fares."""

    async def close(self) -> None:
        """Write what waits, for at most 5 s, and stop; safe to call twice. What is appended after it is lost."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A happening as the journal holds it. `seq` grows by one or more from each to the next, also over restarts."""

    seq: int
    happening: Happening

    def as_json(self) -> JsonObject:
        """The event, field by field as it stands in JSON (control-api.md)."""
        happening = self.happening
        return {
            "seq": self.seq,
            "type": happening.type,
            "at": rfc3339(happening.at),
            "callId": happening.call_id,
            "legId": happening.leg_id,
            "data": happening.data,
        }


@dataclass(frozen=True, slots=True)
class CdrFilter:
    """Which CDRs: those that match all that is given. `channels` None means all of them, an empty set none."""

    channels: Set[str] | None = None
    trunk: str | None = None
    from_: str | None = None
    to: str | None = None
    since: float | None = None
    """Started at this time or later."""
    until: float | None = None
    """Started before this time."""
    agent: str | None = None
    """An agent of the plan who had a leg in it."""


@dataclass(frozen=True, slots=True)
class CdrPage:
    """Some CDRs, the newest first; `next_cursor` asks for those that follow, None when there are no more."""

    items: tuple[Cdr, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class TransferFilter:
    """Which finished transfers: those that match all that is given. `channels` and `agent` as for events; `status` and
    `reason` are of transfer.md; they ended from `since` on, and before `until`."""

    channels: Set[str] | None = None
    agent: str | None = None
    call_id: str | None = None
    status: str | None = None
    reason: str | None = None
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class TransferPage:
    """Some `transfer.ended`, the newest first; `next_cursor` as of a CdrPage."""

    items: tuple[Recorded, ...]
    next_cursor: str | None


class History(Protocol):
    """What the journal holds, to read. Methods raise StoreUnavailable when it cannot be read.

    To follow it (SSE): `last = history.last_seq`; send `events(after)` until it gives fewer than `limit`; then `after`
    is the greater of `last` and the last seq sent; `await history.newer_than(after)`; and again.
    """

    @property
    def last_seq(self) -> int:
        """The seq of the newest happening on disk; 0 when there is none."""

    async def newer_than(self, seq: int) -> int:
        """Return `last_seq` as soon as it is greater than `seq`. Cancel it at will; it holds no memory."""

    async def events(
        self,
        after_seq: int = 0,
        *,
        call_id: str | None = None,
        types: Set[str] | None = None,
        channels: Set[str] | None = None,
        agent: str | None = None,
        limit: int = 500,
    ) -> Sequence[Recorded]:
        """The first `limit` happenings with a greater seq that match, in order. A type may end in `.*`; None means
        all, an empty set none. `agent`: those that are for this agent of the plan. What happened lately comes from
        memory and costs no query."""

    async def cdrs(self, which: CdrFilter, *, cursor: str | None = None, limit: int = 100) -> CdrPage:
        """One page. Raises ValueError for a cursor that no page gave."""

    async def cdr(self, call_id: str) -> Cdr | None:
        """The CDR of a call that is over."""

    async def transfers(self, which: TransferFilter, *, cursor: str | None = None, limit: int = 100) -> TransferPage:
        """One page of the transfers that have ended. Raises ValueError for a cursor that no page gave."""


class StoreUnavailable(Exception):
    """The store could not be read or written: an HTTP API answers 503."""


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, without its text. `channels` and `agent` bind it to their calls; None leaves it unbound."""

    id: str
    name: str
    scopes: frozenset[str]
    channels: frozenset[str] | None
    agent: str | None
    created_at: float
    revoked_at: float | None = None


class KeyNameTaken(Exception):
    """A key of this name is in use."""


class Keys(Protocol):
    """API keys, stored as SHA-256. Methods raise StoreUnavailable."""

    async def find(self, sha256: str) -> Key | None:
        """The key whose text has this SHA-256 (64 lower-case hex digits) and that is not revoked; compared in constant
        time, read anew each time: a key revoked by another process is gone at once."""

    async def add(
        self,
        name: str,
        scopes: Set[str],
        now: float,
        *,
        channels: Set[str] | None = None,
        agent: str | None = None,
    ) -> tuple[str, Key]:
        """Make a key: its text (`shk_…`), which nobody can ask for again, and what it may do. Raises KeyNameTaken."""

    async def list(self) -> Sequence[Key]:
        """All keys, the revoked ones too, oldest first."""

    async def revoke(self, name: str, now: float) -> bool:
        """The key of this name is of no use from now on; False if there is none."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """The answer to a POST with an Idempotency-Key; `fingerprint` is of method, path and body, as the API makes it."""

    fingerprint: str
    status: int
    body: str


class Idempotency(Protocol):
    """Answers to POSTs, kept 24 hours, for each API key (`owner`) its own. Methods raise StoreUnavailable.

    Two requests at the same time are for the API to put in order: nothing is remembered before it is answered.
    """

    async def lookup(self, owner: str, key: str, now: float) -> Remembered | None:
        """What was answered under this Idempotency-Key in the last 24 hours."""

    async def remember(self, owner: str, key: str, answer: Remembered, now: float) -> None:
        """Keep an answer; one that is there already (and not too old) stays."""


# ── Status webhooks ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Retry:
    """An event (of time `at`) that a webhook did not take in `attempts` attempts; the next one is due at `due_at`."""

    seq: int
    at: float
    attempts: int
    due_at: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a webhook is: of what is up to `after_seq` nothing is left to be sent but `retries`. `not_before`: the
    receiver asked to be left alone until then. `done`, for `save` only: these need no retry any more."""

    url: str
    after_seq: int
    disabled: bool = False
    not_before: float | None = None
    last_error: str | None = None
    last_error_at: float | None = None
    retries: tuple[Retry, ...] = ()
    done: tuple[int, ...] = ()


class Outbox(Protocol):
    """What the webhooks have left to send, on disk; what is to be sent is in the History. Methods raise
    StoreUnavailable."""

    async def load(self) -> Mapping[str, Progress]:
        """All webhooks, by URL, with all their retries."""

    async def save(self, progress: Sequence[Progress], forget: Set[str] = frozenset()) -> None:
        """All or nothing: forget the webhooks of these URLs, then keep these; their `retries` are added to those that
        are there, or replace those of the same seq."""


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Why a receiver has not taken an event. `retry_after_s`: it asked to be left alone so long; `gone`: for good."""

    detail: str
    retry_after_s: float | None = None
    gone: bool = False


class Receiver(Protocol):
    """Who is told at one webhook: gateway/bots is the real one."""

    async def post(self, recorded: Recorded) -> NotTaken | None:
        """Send one event, within 10 s; None when it was taken."""
