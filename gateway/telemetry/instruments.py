"""The Prometheus instruments: every counter and histogram that is fed as things happen, with its help; for metrics.py.

What is read at the scrape is in readings.py. Names are `switchhook_<what>_<unit>`, as media.md has them.
"""

from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

M = TypeVar("M", Counter, Histogram)
NAMESPACE: Final = "switchhook"

_SETUP_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_BOT_S: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 30.0)
_AUDIO_S: Final = (0.01, 0.025, 0.04, 0.06, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 5.0)
_RENDER_S: Final = (0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
_DURATION_S: Final = (5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
_LAG_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_LOSS: Final = (0.0, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)
_JITTER_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)
_MOS: Final = (1.5, 2.0, 2.5, 3.0, 3.25, 3.5, 3.75, 4.0, 4.1, 4.2, 4.3, 4.4)
_GAP_S: Final = (0.022, 0.025, 0.03, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 5.0)
_RTP: Final = ("trunk", "direction")

disable_created_metrics()  # type: ignore[no-untyped-call]  # `_created` series double the text and serve nobody here


class Children(Generic[M]):
    """A metric with labels; `of` is a look-up in a dict, where the library's own `labels` takes a lock and checks."""

    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._children: dict[tuple[str, ...], M] = {}

    def of(self, *labels: str) -> M:
        """The series of these label values, made at the first use."""
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._metric.labels(*labels)
        return child


class Instruments:
    """One set, in one registry. The attributes are named as the metrics, without prefix and unit."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, help_: str, *labels: str) -> Children[Counter]:
            return Children(Counter(name, help_, labels, namespace=NAMESPACE, registry=registry))

        def histogram(name: str, help_: str, buckets: tuple[float, ...], *labels: str) -> Children[Histogram]:
            return Children(Histogram(name, help_, labels, NAMESPACE, buckets=buckets, registry=registry))

        def lag(name: str, help_: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, help_, namespace=NAMESPACE, buckets=buckets, registry=registry)

        # Calls
        self.calls_offered = counter("calls_offered_total", "INVITEs that became calls", "trunk", "channel")
        self.calls = counter("calls_total", "Calls that are over, by cause", "trunk", "channel", "result", "reason")
        self.calls_refused = counter(
            "calls_refused_total", "INVITEs refused before they became calls", "trunk", "result", "reason"
        )
        self.invite_responses = counter("invite_responses_total", "Final answers to INVITEs", "trunk", "status")
        self.call_setup = histogram(
            "call_setup_seconds", "From the INVITE to the order to send 200", _SETUP_S, "channel"
        )
        self.call_duration = histogram(
            "call_duration_seconds", "Answered calls, from the ACK to the end", _DURATION_S, "channel"
        )
        self.dtmf_digits = counter("dtmf_digits_total", "Keys pressed", "trunk")

        # Bots
        self.bot_requests = counter(
            "bot_requests_total", "Events sent to bots, by what came of the request", "channel", "outcome"
        )
        self.bot_failures = counter(
            "bot_failures_total",
            "Why there was no answer that could be used; refused: it was read, but does not fit",
            *("channel", "kind"),
        )
        self.bot_retries = counter(
            "bot_retries_total",
            "Second attempts; http: within the request, event: the event was sent anew",
            *("channel", "layer"),
        )
        self.bot_fallbacks = counter("bot_fallbacks_total", "Calls in which the bot was given up", "channel")
        self.bot_response = histogram(
            "bot_response_seconds", "Until a bot answered, or its time was over", _BOT_S, "channel"
        )

        # Transfers
        self.transfers = counter("transfers_total", "Transfers that are over", "method", "status", "reason")
        self.transfer_ring = histogram(
            "transfer_ring_seconds", "From the first INVITE to the answer, or to the end", _DURATION_S, "method"
        )
        self.transfer_talk = histogram("transfer_talk_seconds", "Customer and people together", _DURATION_S, "method")

        # Status webhooks
        self.webhook_deliveries = counter(
            "webhook_deliveries_total",
            "Attempts to deliver events to status webhooks, by what came of them",
            "outcome",
        )

        # Sound
        self.playback_first_audio = histogram(
            "playback_first_audio_seconds",
            "From the order to play, after silence, until the first audio is in the bridge",
            _AUDIO_S,
            "channel",
        )
        self.sound_failures = counter("sound_failures_total", "Sounds that could not be made, by fault", "fault")
        self.tts_texts = counter("tts_texts_total", "Texts spoken, by where the sound came from", "engine", "source")
        self.tts_render = histogram("tts_render_seconds", "An engine's time for one text", _RENDER_S, "engine")

        # RTP, of each leg when it is over; sent: as its peer's RTCP said
        self.rtp_loss = histogram("rtp_loss_ratio", "RTP packets lost of those expected, by leg", _LOSS, *_RTP)
        self.rtp_jitter = histogram("rtp_jitter_seconds", "Mean interarrival jitter of RTP, by leg", _JITTER_S, *_RTP)
        self.rtp_mos = histogram("rtp_mos", "MOS estimate from codec, loss and delay, by leg", _MOS, *_RTP)
        self.rtp_packets = counter("rtp_packets_total", "RTP packets that should have arrived", *_RTP)
        self.rtp_lost = counter("rtp_packets_lost_total", "RTP packets that did not arrive", *_RTP)

        # Lags (telemetry/lag.py)
        self.event_loop_lag = lag("event_loop_lag_seconds", "How much too late the event loop woke a sleeper", _LAG_S)
        self.pjsip_thread_lag = lag(
            "pjsip_thread_lag_seconds", "Until the PJSIP thread did an empty order and said so", _LAG_S
        )
        self.media_clock_gap = lag(
            "media_clock_gap_seconds", "Longest time between two ticks of the media clock, of each sample", _GAP_S
        )
