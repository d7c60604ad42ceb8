"""Metrics that are read when Prometheus asks, from whoever knows: live calls, underruns, journal …; for metrics.py."""

import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway import __version__
from gateway.telemetry.instruments import NAMESPACE
from gateway.telemetry.log import get_logger

log = get_logger(__name__)


class JournalLike(Protocol):
    """engine.ports.JournalState, which telemetry cannot import."""

    @property
    def appended(self) -> int:
        """Happenings so far."""

    @property
    def written(self) -> int:
        """Those on disk."""

    @property
    def lost(self) -> int:
        """Those lost for good."""

    @property
    def lag_s(self) -> float:
        """How long the oldest one that waits has waited."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Whom to ask. All are called on the event loop, at every scrape; what counts up must never fall."""

    ready: Callable[[], bool]
    draining: Callable[[], bool]
    overloaded: Callable[[], bool]
    overloads: Callable[[], int]
    """How often it was."""
    calls: Callable[[], int]
    calls_limit: Callable[[], int]
    calls_by_channel: Callable[[], Mapping[str, int]]
    legs: Callable[[], int]
    pjsip_orders: Callable[[], int]
    """What waits for the PJSIP thread."""
    underruns: Callable[[], int]
    decisions: Callable[[], Mapping[str, int]]
    """The gatekeeper's counters."""
    journal: Callable[[], JournalLike]
    calls_crashed: Callable[[], int] = lambda: 0
    """What the last run left open; the start of this one knows."""
    trunks_up: Callable[[], Mapping[str, bool]] = dict
    webhook_lag_s: Callable[[], float] = lambda: 0.0
    """How old the oldest event is that a status webhook has not taken."""


Label = Callable[[str], str]
"""Makes a label of a name: itself if it is known, else `other`."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """One metric, with one label or none; `ask` gives its values by label, by "" when it has none."""

    family: type[GaugeMetricFamily] | type[CounterMetricFamily]
    name: str
    help: str
    ask: Callable[[], Mapping[str, float]]
    label: str = ""

    def empty(self) -> GaugeMetricFamily | CounterMetricFamily:
        return self.family(f"{NAMESPACE}_{self.name}", self.help, labels=[self.label] if self.label else [])


class Readings(Collector):
    """Asks with `refresh`, on the event loop, and gives what was said to whoever collects, in any thread. A source that
    fails costs its own metric, not all of them."""

    def __init__(self, sources: Sources, trunk: Label, channel: Label) -> None:
        self._readings = _readings(sources, trunk, channel)
        self._values: Mapping[str, Mapping[str, float]] = {}
        self._failing: set[str] = set()

    def refresh(self) -> None:
        """Ask everybody."""
        self._values = {reading.name: self._ask(reading) for reading in self._readings}

    def describe(self) -> Iterator[Metric]:
        """The names without values, for the registry."""
        yield _build()
        for reading in self._readings:
            yield reading.empty()

    def collect(self) -> Iterator[Metric]:
        """What was said last."""
        yield _build()
        values = self._values
        for reading in self._readings:
            metric = reading.empty()
            for label, value in values.get(reading.name, {}).items():
                metric.add_metric([label] if reading.label else [], value)
            yield metric

    def _ask(self, reading: _Reading) -> Mapping[str, float]:
        try:
            values = reading.ask()
        except Exception:
            if reading.name not in self._failing:  # said once, until it works again
                log.exception("metrics.unreadable", metric=reading.name)
            self._failing.add(reading.name)
            return {}
        self._failing.discard(reading.name)
        return values


def _readings(of: Sources, trunk: Label, channel: Label) -> tuple[_Reading, ...]:
    gauge, counter = GaugeMetricFamily, CounterMetricFamily
    return (
        _Reading(gauge, "ready", "1 while calls are taken", lambda: {"": of.ready()}),
        _Reading(gauge, "draining", "1 once live calls are the last ones", lambda: {"": of.draining()}),
        _Reading(
            gauge, "overloaded", "1 while calls are refused as the gateway is late", lambda: {"": of.overloaded()}
        ),
        _Reading(counter, "overloads_total", "How often it was overloaded", lambda: {"": of.overloads()}),
        _Reading(gauge, "calls_live", "Calls that are up", lambda: {"": of.calls()}),
        _Reading(gauge, "calls_limit", "Calls that may be up", lambda: {"": of.calls_limit()}),
        _Reading(
            gauge,
            "channel_calls_live",
            "The same by channel",
            lambda: _known(of.calls_by_channel(), channel),
            "channel",
        ),
        _Reading(
            gauge,
            "calls_crashed",
            "Calls that the last run left open and the start of this one ended",
            lambda: {"": of.calls_crashed()},
        ),
        _Reading(gauge, "legs_live", "SIP dialogs that are up", lambda: {"": of.legs()}),
        _Reading(gauge, "pjsip_orders_waiting", "Orders to the PJSIP thread", lambda: {"": of.pjsip_orders()}),
        _Reading(gauge, "trunk_up", "1 while the trunk can be used", lambda: _known(of.trunks_up(), trunk), "trunk"),
        _Reading(
            counter,
            "media_underruns_total",
            "Ticks of 20 ms in which a voice had nothing to say in the middle of what it said",
            lambda: {"": of.underruns()},
        ),
        _Reading(
            counter,
            "gatekeeper_decisions_total",
            "SIP requests let in (passed) or not, by reason",
            of.decisions,
            "decision",
        ),
        _Reading(counter, "journal_appended_total", "Happenings to be written", lambda: {"": of.journal().appended}),
        _Reading(counter, "journal_written_total", "Happenings on disk", lambda: {"": of.journal().written}),
        _Reading(counter, "journal_lost_total", "Happenings lost for good", lambda: {"": of.journal().lost}),
        _Reading(gauge, "journal_lag_seconds", "How long the oldest one has waited", lambda: {"": of.journal().lag_s}),
        _Reading(
            gauge,
            "webhook_lag_seconds",
            "How old the oldest event is that a status webhook has not taken",
            lambda: {"": of.webhook_lag_s()},
        ),
    )


def _known(values: Mapping[str, float], label: Label) -> Mapping[str, float]:
    """By label: names that are not known become one."""
    by_label: dict[str, float] = {}
    for name, value in values.items():
        by_label[label(name)] = by_label.get(label(name), 0.0) + value
    return by_label


def _build() -> InfoMetricFamily:
    about = {"version": __version__, "python": platform.python_version()}
    return InfoMetricFamily(f"{NAMESPACE}_build", "What runs", about)
