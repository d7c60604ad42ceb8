"""The Prometheus metrics: makes counts of what the engine and speech tell, and the text of /metrics; made by app.py.

Every label comes from a closed set: trunks and channels of the plan (`know`), the core's enums, the TTS engines there
are. Any other name becomes `other`: nobody on the wire can make a new series.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from gateway.calls.causes import PROTOCOL_ERROR, Cause
from gateway.calls.commands import (
    AbandonBot,
    Answer,
    AskBot,
    Command,
    Dial,
    EndCall,
    Hangup,
    Note,
    Play,
    Redirect,
    Reject,
    Ring,
    SendDigits,
    SetHearing,
    StartTimer,
    StopPlayback,
    StopTimer,
    TurnDown,
)
from gateway.calls.errors import BotErrorKind
from gateway.calls.events import (
    BotFailed,
    BotReplied,
    CallPlaced,
    DigitsSent,
    DtmfReceived,
    Event,
    HangupRequested,
    LegAnswered,
    LegEnded,
    LegHoldChanged,
    LegOffered,
    LegRinging,
    PlaybackEnded,
    PlaybackStarted,
    RepliesPushed,
    SoundFailed,
    TimerFired,
    TransferCancelled,
    TransferRequested,
)
from gateway.calls.model import Call, CallId, Direction, JsonObject
from gateway.calls.orders import Ordered
from gateway.calls.quality import RtpQuality
from gateway.calls.refers import (
    AnswerRefer,
    ClaimPeer,
    ClaimRefused,
    HandOver,
    LegTakenOver,
    NotifyRefer,
    PeerClaimed,
    ReferAnswered,
    ReferNotified,
    ReferReceived,
    RefuseClaim,
    SendRefer,
)
from gateway.telemetry.instruments import Instruments
from gateway.telemetry.observer import SpeechSource
from gateway.telemetry.readings import Readings, Sources

OTHER: Final = "other"
"""What a name outside its set is called."""
WEBHOOK_OUTCOMES: Final = ("delivered", "failed", "given-up", "gone")
"""As engine/delivery.py has them, which telemetry cannot import."""
STATUSES: Final = frozenset(
    {200, 302, 400, 401, 403, 404, 407, 408, 410, 415, 480, 481, 484, 486, 487, 488, 500, 501, 502, 503, 504, 600, 603}
)
"""The final answers to an INVITE that are counted one by one; others by their class, as `4xx`."""


@dataclass(slots=True)
class _Watched:
    """What has to be remembered of a call from one event to the next."""

    ended: bool = False
    playing: set[int] = field(default_factory=set)
    awaited: tuple[int, float] | None = None
    """The Play that was ordered into silence and is not heard yet, and when."""


class Metrics:
    """All metrics of one process; a CallObserver and a SoundObserver."""

    def __init__(self, registry: CollectorRegistry | None = None, engines: Iterable[str] = ("espeak",)) -> None:
        """It makes its own registry unless one is given; `engines` are the TTS engines there may be."""
        self.registry = registry if registry is not None else CollectorRegistry()
        self.instruments = Instruments(self.registry)
        self._trunks: set[str] = set()
        self._channels: set[str] = set()
        self._engines = frozenset(engines)
        self._calls: dict[CallId, _Watched] = {}
        self._readings: Readings | None = None
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._begin_at_zero()

    def know(self, trunks: Iterable[str], channels: Iterable[str]) -> None:
        """The plan's names; to be told again when another plan runs. What was known once stays known."""
        self._trunks.update(trunks)
        self._channels.update(channels)
        self._begin_at_zero()

    def read(self, sources: Sources) -> None:
        """Show these too, asked anew at each scrape; to be called once."""
        self._readings = Readings(sources, self._trunk, self._channel)
        self.registry.register(self._readings)

    async def scrape(self) -> tuple[bytes, str]:
        """As `render`. The text of many series takes tens of milliseconds, so a worker thread makes it."""
        self._ask()
        return await asyncio.to_thread(self._text)

    def render(self) -> tuple[bytes, str]:
        """The body of GET /metrics and its Content-Type; on the event loop, as those who are asked live there."""
        self._ask()
        return self._text()

    def _ask(self) -> None:
        if self._readings is not None:
            self._readings.refresh()

    def _text(self) -> tuple[bytes, str]:
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4

    def http_retry(self, channel: str) -> Callable[[], None]:
        """What the bot of `channel` has to call when it sends a request for the second time."""
        retries = self.instruments.bot_retries.of(self._channel(channel), "http")
        return retries.inc

    def webhook_attempt(self, outcome: str) -> None:
        """An attempt to deliver an event to a status webhook is over; `outcome` is of WEBHOOK_OUTCOMES."""
        self.instruments.webhook_deliveries.of(outcome if outcome in WEBHOOK_OUTCOMES else OTHER).inc()

    # ── Closed sets ─────────────────────────────────────────────────────────────────────────────────

    def _trunk(self, name: str) -> str:
        return name if name in self._trunks else OTHER

    def _channel(self, name: str) -> str:
        return name if name in self._channels else OTHER

    def _engine(self, name: str) -> str:
        return name if name in self._engines else OTHER

    def _begin_at_zero(self) -> None:
        """Else the very first failure of a kind is an increase that rate() does not see."""
        of = self.instruments
        for channel in self._channels:
            for outcome in ("answered", "failed", "abandoned"):
                of.bot_requests.of(channel, outcome)
            for kind in BotErrorKind:
                of.bot_failures.of(channel, kind)
            of.bot_fallbacks.of(channel)
            of.bot_retries.of(channel, "event")
        for outcome in WEBHOOK_OUTCOMES:
            of.webhook_deliveries.of(outcome)
        for fault in ("bot", "gateway"):
            of.sound_failures.of(fault)
        for engine in self._engines:
            for source in SpeechSource:
                of.tts_texts.of(engine, source)

    # ── CallObserver ────────────────────────────────────────────────────────────────────────────────

    def handled(self, call: Call, event: Event, commands: Sequence[Command], now: float) -> None:
        """Of CallObserver."""
        watched = self._calls.get(call.id)
        if watched is None:
            watched = self._calls[call.id] = _Watched()
        self._happened(call, watched, event, now)
        for command in commands:
            self._ordered(call, watched, command, now)
        if type(event) is BotReplied and any(_refuses(command) for command in commands):
            self.instruments.bot_failures.of(self._channel(call.channel.name), BotErrorKind.REFUSED).inc()

    def refused(self, trunk: str, cause: Cause, status: int) -> None:
        """Of CallObserver."""
        trunk = self._trunk(trunk)
        self.instruments.calls_refused.of(trunk, cause.result, cause.reason).inc()
        self.instruments.invite_responses.of(trunk, _status(status)).inc()

    def released(self, call: Call) -> None:
        """Of CallObserver."""
        watched = self._calls.pop(call.id, None)
        if watched is None or not watched.ended:
            self._count_end(call, call.cause or PROTOCOL_ERROR)

    def bot_answered(self, channel: str, seconds: float) -> None:
        """Of CallObserver."""
        channel = self._channel(channel)
        self.instruments.bot_requests.of(channel, "answered").inc()
        self.instruments.bot_response.of(channel).observe(seconds)

    def bot_failed(self, channel: str, kind: BotErrorKind, seconds: float) -> None:
        """Of CallObserver."""
        channel = self._channel(channel)
        self.instruments.bot_requests.of(channel, "failed").inc()
        self.instruments.bot_failures.of(channel, kind).inc()
        if kind is BotErrorKind.TIMEOUT:
            self.instruments.bot_response.of(channel).observe(seconds)

    def bot_abandoned(self, channel: str) -> None:
        """Of CallObserver."""
        self.instruments.bot_requests.of(self._channel(channel), "abandoned").inc()

    def _happened(self, call: Call, watched: _Watched, event: Event, now: float) -> None:
        match event:  # the most frequent first
            case BotReplied() | TimerFired():
                pass
            case PlaybackStarted():
                if watched.awaited is not None and watched.awaited[0] == event.playback_id:
                    since = now - watched.awaited[1]
                    watched.awaited = None
                    self.instruments.playback_first_audio.of(self._channel(call.channel.name)).observe(since)
            case PlaybackEnded():
                watched.playing.discard(event.playback_id)
                if watched.awaited is not None and watched.awaited[0] == event.playback_id:
                    watched.awaited = None  # nothing of it was heard
            case DtmfReceived():
                self.instruments.dtmf_digits.of(self._trunk(call.caller.trunk)).inc()
            case SoundFailed():
                self.instruments.sound_failures.of("bot" if event.by_bot else "gateway").inc()
            case LegOffered():
                trunk, channel = self._trunk(call.caller.trunk), self._channel(call.channel.name)
                self.instruments.calls_offered.of(trunk, channel).inc()
            case LegEnded():
                if event.rtp is not None:
                    self._measured(self._trunk(call.caller.trunk), event.rtp)
            case BotFailed() | CallPlaced() | LegRinging() | LegAnswered() | LegHoldChanged():
                pass
            case DigitsSent() | HangupRequested() | RepliesPushed() | TransferRequested() | TransferCancelled():
                pass
            case Ordered():
                pass
            case ReferAnswered() | ReferNotified() | ReferReceived() | PeerClaimed() | LegTakenOver() | ClaimRefused():
                pass
            case _:
                assert_never(event)

    def _measured(self, trunk: str, rtp: RtpQuality) -> None:
        """The two directions apart; one of which nothing is known is not counted."""
        of = self.instruments
        directions = (("received", rtp.received, rtp.mos_received), ("sent", rtp.reported, rtp.mos_sent))
        for direction, flow, mos in directions:
            if flow is None or mos is None:
                continue
            of.rtp_packets.of(trunk, direction).inc(flow.expected)
            of.rtp_lost.of(trunk, direction).inc(flow.lost)
            of.rtp_loss.of(trunk, direction).observe(flow.loss)
            of.rtp_mos.of(trunk, direction).observe(mos)
            if flow.jitter_ms is not None:
                of.rtp_jitter.of(trunk, direction).observe(flow.jitter_ms / 1000)

    def _ordered(self, call: Call, watched: _Watched, command: Command, now: float) -> None:
        match command:  # the most frequent first
            case StartTimer() | StopTimer() | SetHearing():
                pass
            case Play():
                if not watched.playing:
                    watched.awaited = (command.playback_id, now)
                watched.playing.add(command.playback_id)
            case AskBot():
                if command.again:
                    self.instruments.bot_retries.of(self._channel(command.channel), "event").inc()
            case Answer():
                self.instruments.call_setup.of(self._channel(call.channel.name)).observe(now - call.started_at)
            case Note():
                if command.name == "fallback.started":
                    self.instruments.bot_fallbacks.of(self._channel(call.channel.name)).inc()
                elif command.name == "transfer.ended":
                    self._transferred(command.fields)
            case EndCall():
                watched.ended = True
                self._count_end(call, command.cause)
                if call.direction is Direction.INBOUND:  # else it was not we who answered
                    trunk = self._trunk(call.caller.trunk)
                    self.instruments.invite_responses.of(trunk, _status(command.sip_status)).inc()
                if call.answered_at is not None:
                    lasted = self.instruments.call_duration.of(self._channel(call.channel.name))
                    lasted.observe(command.duration_ms / 1000)
            case Ring() | Reject() | Redirect() | Dial() | Hangup() | SendDigits() | StopPlayback() | AbandonBot():
                pass
            case SendRefer() | AnswerRefer() | NotifyRefer() | ClaimPeer() | HandOver() | RefuseClaim() | TurnDown():
                pass
            case _:
                assert_never(command)

    def _transferred(self, status: JsonObject) -> None:
        """The status object of transfer.md; its words come from closed sets."""
        of = self.instruments
        of.transfers.of(str(status["method"]), str(status["status"]), str(status["reason"])).inc()
        for histogram, key in ((of.transfer_ring, "ringMs"), (of.transfer_talk, "talkMs")):
            ms = status[key]
            if isinstance(ms, int) and ms > 0:
                histogram.of(str(status["method"])).observe(ms / 1000)

    def _count_end(self, call: Call, cause: Cause) -> None:
        trunk, channel = self._trunk(call.caller.trunk), self._channel(call.channel.name)
        self.instruments.calls.of(trunk, channel, cause.result, cause.reason).inc()

    # ── SoundObserver ───────────────────────────────────────────────────────────────────────────────

    def spoken(self, engine: str, source: SpeechSource) -> None:
        """Of SoundObserver."""
        self.instruments.tts_texts.of(self._engine(engine), source).inc()

    def rendered(self, engine: str, seconds: float) -> None:
        """Of SoundObserver."""
        self.instruments.tts_render.of(self._engine(engine)).observe(seconds)


def _refuses(command: Command) -> bool:
    """Whether control found that an answer does not fit the call; one that cannot be read comes as BotFailed."""
    return type(command) is Note and command.name == "bot.failed"


def _status(status: int) -> str:
    if status in STATUSES:
        return str(status)
    return f"{status // 100}xx" if 200 <= status <= 699 else OTHER
