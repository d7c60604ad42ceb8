"""The metrics: one call's life in numbers, closed labels whatever happens, what is read at a scrape, the lags."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gateway.calls.causes import NORMAL, OVER_LIMIT, Cause, EndedBy, Reason, Result
from gateway.calls.commands import Answer, AskBot, BotEventName, Command, EndCall, Note, Play, Silence
from gateway.calls.errors import BotErrorKind
from gateway.calls.events import (
    BotFailed,
    BotReplied,
    DtmfReceived,
    Event,
    LegAnswered,
    LegEnded,
    LegOffered,
    PlaybackEnded,
    PlaybackStarted,
    SoundFailed,
)
from gateway.calls.model import AnswerMode, Call, CallId, ChannelPolicy, Leg, LegId, Role
from gateway.calls.outbound import TransferReason
from gateway.calls.quality import RtpFlow, RtpQuality
from gateway.calls.replies import BotResponse
from gateway.engine.delivery import Outcome
from gateway.telemetry.lag import Clock, Lag, Pace
from gateway.telemetry.metrics import STATUSES, Metrics
from gateway.telemetry.observer import NOBODY, CallObserver, SoundObserver, SpeechSource
from gateway.telemetry.readings import Sources
from tests.leaks import no_leaks
from tests.scripted_call import CALLER, HANGUP, LEG, ScriptedCall, text

Series = tuple[str, frozenset[tuple[str, str]]]


@dataclass
class Journal:
    """As engine.ports.JournalState."""

    appended: int = 12
    written: int = 10
    lost: int = 1
    lag_s: float = 0.02


def sources(**other: object) -> Sources:
    given_ = {
        "ready": lambda: True,
        "draining": lambda: False,
        "overloaded": lambda: True,
        "overloads": lambda: 2,
        "calls": lambda: 3,
        "calls_limit": lambda: 1200,
        "calls_by_channel": lambda: {"reception": 2, "gone": 1, "gone too": 1},
        "legs": lambda: 4,
        "pjsip_orders": lambda: 0,
        "underruns": lambda: 7,
        "decisions": lambda: {"passed": 100, "stranger": 20},
        "journal": Journal,
        "calls_crashed": lambda: 5,
        "trunks_up": lambda: {"acme": True},
        "webhook_lag_s": lambda: 1.5,
    }
    return Sources(**(given_ | other))  # type: ignore[arg-type]


def plan(metrics: Metrics) -> Metrics:
    metrics.know(["acme"], ["reception", "sales"])
    return metrics


def scrape(metrics: Metrics) -> Mapping[Series, float]:
    """What Prometheus would read, ours only; nothing that is 0, and no buckets."""
    body, content_type = metrics.render()
    assert content_type.startswith("text/plain; version=0.0.4")
    return {
        (sample.name.removeprefix("switchhook_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if sample.name.startswith("switchhook_") and sample.value and not sample.name.endswith("_bucket")
    }


def of(name: str, **labels: str) -> Series:
    return name, frozenset(labels.items())


class MeteredCall(ScriptedCall):
    """A call at a desk whose observer is told as the engine would tell it."""

    metrics: Metrics

    def happens(self, event: Event) -> list[Command]:
        commands = super().happens(event)
        self.metrics.handled(self.control.call, event, commands, self.now)
        return commands


def metered(channel: ChannelPolicy | None = None) -> tuple[MeteredCall, Metrics]:
    metrics = plan(Metrics())
    call = MeteredCall(channel or ChannelPolicy("reception"))
    call.metrics = metrics
    return call, metrics


# ── One call ────────────────────────────────────────────────────────────────────────────────────────


def test_one_calls_life_in_numbers():
    call, metrics = metered()
    call.connected()
    metrics.bot_answered("reception", 0.04)
    call.bot_replies(text("Hello"))
    metrics.spoken("espeak", SpeechSource.RENDERED)
    metrics.rendered("espeak", 0.2)
    call.happens(PlaybackStarted(1))
    call.played()
    call.presses("7")
    metrics.bot_answered("reception", 0.02)
    call.bot_replies(HANGUP)
    call.is_gone()
    metrics.bot_answered("reception", 0.01)
    metrics.released(call.control.call)

    seen = {series: value for series, value in scrape(metrics).items() if series[0] != "build_info"}
    on = {"trunk": "acme", "channel": "reception"}
    assert seen == {
        of("calls_offered_total", **on): 1,
        of("calls_total", **on, result="completed", reason="normal"): 1,
        of("invite_responses_total", trunk="acme", status="200"): 1,
        of("call_setup_seconds_count", channel="reception"): 1,
        of("call_setup_seconds_sum", channel="reception"): pytest.approx(0.5),
        of("call_duration_seconds_count", channel="reception"): 1,
        of("call_duration_seconds_sum", channel="reception"): call.end.duration_ms / 1000,
        of("dtmf_digits_total", trunk="acme"): 1,
        of("bot_requests_total", channel="reception", outcome="answered"): 3,
        of("bot_response_seconds_count", channel="reception"): 3,
        of("bot_response_seconds_sum", channel="reception"): pytest.approx(0.07),
        of("playback_first_audio_seconds_count", channel="reception"): 1,
        of("playback_first_audio_seconds_sum", channel="reception"): pytest.approx(0.5),
        of("tts_texts_total", engine="espeak", source="rendered"): 1,
        of("tts_render_seconds_count", engine="espeak"): 1,
        of("tts_render_seconds_sum", engine="espeak"): pytest.approx(0.2),
    }


def test_a_bot_in_trouble_is_counted_by_kind_and_given_up_once():
    call, metrics = metered()
    call.connected()
    metrics.bot_failed("reception", BotErrorKind.TIMEOUT, 5.0)
    call.bot_fails(BotErrorKind.TIMEOUT)
    metrics.bot_answered("reception", 0.1)
    call.bot_replies({"type": "reject"})  # of an answered call: control refuses it
    seen = scrape(metrics)
    assert seen[of("bot_failures_total", channel="reception", kind="timeout")] == 1
    assert seen[of("bot_failures_total", channel="reception", kind="refused")] == 1
    assert seen[of("bot_retries_total", channel="reception", layer="event")] == 1
    assert seen[of("bot_fallbacks_total", channel="reception")] == 1
    assert seen[of("bot_requests_total", channel="reception", outcome="failed")] == 1
    assert seen[of("bot_requests_total", channel="reception", outcome="answered")] == 1
    assert seen[of("bot_response_seconds_sum", channel="reception")] == pytest.approx(5.1)


def test_an_answer_that_cannot_be_read_is_one_failure_not_two():
    call, metrics = metered()
    call.connected()
    metrics.bot_failed("reception", BotErrorKind.REFUSED, 0.1)
    call.bot_fails(BotErrorKind.REFUSED)
    assert scrape(metrics)[of("bot_failures_total", channel="reception", kind="refused")] == 1


def test_a_call_that_was_handed_off_ends_in_its_new_channel():
    channel = ChannelPolicy("reception", AnswerMode.IMMEDIATELY)
    call, metrics = metered(channel)
    call.control.channels = {"reception": channel, "sales": ChannelPolicy("sales")}
    call.connected()
    call.bot_replies({"type": "handoff", "channel": "sales"})
    call.hangs_up()
    metrics.released(call.control.call)
    seen = scrape(metrics)
    assert seen[of("calls_offered_total", trunk="acme", channel="reception")] == 1
    assert seen[of("calls_total", trunk="acme", channel="sales", result="completed", reason="normal")] == 1


def test_a_call_that_a_defect_of_ours_ended_is_counted_once():
    call, metrics = metered()
    call.connected()
    metrics.released(call.control.call)
    ends = {series: value for series, value in scrape(metrics).items() if series[0] == "calls_total"}
    key = of("calls_total", trunk="acme", channel="reception", result="gateway", reason="protocol-error")
    assert ends == {key: 1}
    assert not metrics._calls, "nothing is kept of a call that is over"


def test_only_a_play_into_silence_tells_how_fast_audio_comes():
    call, metrics = metered()
    call.connected()
    told = call.control.call
    metrics.handled(told, DtmfReceived(LEG, "1"), [Play(1, (Silence(1),)), Play(2, (Silence(1),))], 100.0)
    metrics.handled(told, PlaybackStarted(1), [], 100.1)
    metrics.handled(told, PlaybackEnded(1, False, 0, 1), [], 109.0)
    metrics.handled(told, PlaybackStarted(2), [], 109.0)
    metrics.handled(told, PlaybackEnded(2, False, 0, 1), [Play(3, (Silence(1),))], 110.0)
    metrics.handled(told, SoundFailed(3, 0, "the engine broke", by_bot=False), [], 110.5)
    metrics.handled(told, PlaybackEnded(3, False, 0, 0), [], 110.5)
    metrics.handled(told, PlaybackStarted(3), [], 111.0)  # a late one is of no account
    seen = scrape(metrics)
    assert seen[of("playback_first_audio_seconds_count", channel="reception")] == 1
    assert seen[of("playback_first_audio_seconds_sum", channel="reception")] == pytest.approx(0.1)
    assert seen[of("sound_failures_total", fault="gateway")] == 1


def test_the_rtp_of_a_leg_by_direction():
    call, metrics = metered()
    call.connected()
    rtp = RtpQuality("PCMU", RtpFlow(150, 15, 8.0, 12.0), 160, RtpFlow(155, 0), 40.0)
    call.happens(LegEnded(LEG, NORMAL, 200, 16, by_peer=True, rtp=rtp))
    seen = {series: value for series, value in scrape(metrics).items() if series[0].startswith("rtp_")}
    received, sent = ({"trunk": "acme", "direction": direction} for direction in ("received", "sent"))
    assert seen == {
        of("rtp_packets_total", **received): 150,
        of("rtp_packets_lost_total", **received): 15,
        of("rtp_loss_ratio_count", **received): 1,
        of("rtp_loss_ratio_sum", **received): pytest.approx(0.1),
        of("rtp_jitter_seconds_count", **received): 1,
        of("rtp_jitter_seconds_sum", **received): pytest.approx(0.008),
        of("rtp_mos_count", **received): 1,
        of("rtp_mos_sum", **received): rtp.mos_received,
        of("rtp_packets_total", **sent): 155,
        of("rtp_loss_ratio_count", **sent): 1,
        of("rtp_mos_count", **sent): 1,
        of("rtp_mos_sum", **sent): rtp.mos_sent,
    }


def test_a_direction_of_which_nothing_is_known_is_not_counted():
    call, metrics = metered()
    call.connected()
    call.happens(LegEnded(LEG, NORMAL, 200, 16, by_peer=True, rtp=RtpQuality("PCMU", RtpFlow(0, 0), 160)))
    assert not [series for series in scrape(metrics) if series[0].startswith("rtp_")]


def test_a_refused_invite_and_retries_of_http():
    metrics = plan(Metrics())
    metrics.refused("acme", OVER_LIMIT, 503)
    metrics.refused("acme", OVER_LIMIT, 599)
    metrics.http_retry("reception")()
    metrics.bot_abandoned("reception")
    seen = scrape(metrics)
    assert seen[of("calls_refused_total", trunk="acme", result="gateway", reason="over-limit")] == 2
    assert seen[of("invite_responses_total", trunk="acme", status="503")] == 1
    assert seen[of("invite_responses_total", trunk="acme", status="5xx")] == 1
    assert seen[of("bot_retries_total", channel="reception", layer="http")] == 1
    assert seen[of("bot_requests_total", channel="reception", outcome="abandoned")] == 1


def test_failures_are_there_at_zero_before_the_first_one():
    body = plan(Metrics()).render()[0].decode()
    assert 'switchhook_bot_failures_total{channel="sales",kind="timeout"} 0.0' in body
    assert "_created" not in body


# ── Closed labels ───────────────────────────────────────────────────────────────────────────────────

names = st.sampled_from(["acme", "reception", "sales", "espeak", "x", "", "other", 'a"b\n', "+12125550100"])
causes = st.builds(Cause, st.sampled_from(Result), st.sampled_from(Reason))
kinds = st.sampled_from(BotErrorKind)
small = st.integers(0, 3)
seconds = st.floats(0, 1e6)
flows = st.builds(RtpFlow, small, small, st.none() | seconds)
qualities = st.builds(RtpQuality, names, flows, small, st.none() | flows)
events = st.one_of(
    st.builds(LegOffered, st.just(LEG), st.just(CALLER)),
    st.builds(LegAnswered, st.just(LEG), names),
    st.builds(DtmfReceived, st.just(LEG), names),
    st.builds(LegEnded, st.just(LEG), causes, small, small, st.booleans(), st.none() | qualities),
    st.builds(PlaybackStarted, small),
    st.builds(PlaybackEnded, small, st.booleans(), small, small),
    st.builds(SoundFailed, small, small, names, st.booleans()),
    st.builds(BotReplied, small, st.just(BotResponse())),
    st.builds(BotFailed, small, kinds, names),
)
commands = st.one_of(
    st.builds(Play, small, st.just((Silence(1),))),
    st.builds(AskBot, small, names, st.sampled_from(BotEventName), st.just({}), st.just({}), st.booleans()),
    st.builds(Answer, st.just(LEG)),
    st.builds(
        Note,
        st.sampled_from(["bot.failed", "fallback.started", "call.tagged"]) | names,
        st.dictionaries(st.sampled_from(["kind", "channel"]), names | kinds),
    ),
    st.builds(
        EndCall,
        st.just(CallId("call_1")), causes, st.sampled_from(EndedBy), st.integers(-1, 999), st.none() | small, small,
    ),
)  # fmt: skip
ALLOWED = {
    "trunk": {"acme", "other"},
    "channel": {"reception", "sales", "other"},
    "engine": {"espeak", "other"},
    "result": set(Result),
    "reason": {*Reason, *TransferReason},
    "kind": set(BotErrorKind),
    "outcome": {"answered", "failed", "abandoned", *Outcome},
    "layer": {"http", "event"},
    "source": set(SpeechSource),
    "fault": {"bot", "gateway"},
    "direction": {"received", "sent"},
    "status": {*map(str, STATUSES), "2xx", "3xx", "4xx", "5xx", "6xx", "other", "SUCCESS", "FAIL"},
    "method": {"invite", "refer"},
}


@given(
    told=st.lists(st.tuples(names, names, events, st.lists(commands, max_size=3), seconds, small), max_size=12),
    rest=st.lists(st.tuples(names, causes, st.integers(-1, 999), kinds, seconds), max_size=4),
)
@settings(max_examples=40, deadline=None)
def test_nothing_that_happens_makes_a_label_outside_its_set(told: list, rest: list):
    metrics = plan(Metrics())
    for trunk, channel, event, made, now, number in told:
        caller = replace(CALLER, trunk=trunk)
        call = Call(CallId(f"call_{number}"), caller, ChannelPolicy(channel), Leg(LegId("leg_1"), Role.CUSTOMER), 0.0)
        metrics.handled(call, event, made, now)
        if number == 0:
            metrics.released(call)
    for name, cause, status, kind, took in rest:
        metrics.refused(name, cause, status)
        metrics.bot_answered(name, took)
        metrics.bot_failed(name, kind, took)
        metrics.bot_abandoned(name)
        metrics.spoken(name, SpeechSource.DISK)
        metrics.rendered(name, took)
        metrics.http_retry(name)()
    for outcome in Outcome:
        metrics.webhook_attempt(outcome)
    for name, labels in scrape(metrics):
        for label, value in labels:
            assert name == "build_info" or value in ALLOWED[label], f"{name} {label}={value!r}"


# ── What is read at the scrape ──────────────────────────────────────────────────────────────────────


def test_what_is_read_at_the_scrape():
    metrics = plan(Metrics())
    metrics.read(sources())
    seen = scrape(metrics)
    assert {series: seen[series] for series in seen if series[0] != "build_info"} == {
        of("ready"): 1,
        of("overloaded"): 1,
        of("overloads_total"): 2,
        of("calls_live"): 3,
        of("calls_limit"): 1200,
        of("channel_calls_live", channel="reception"): 2,
        of("channel_calls_live", channel="other"): 2,
        of("calls_crashed"): 5,
        of("legs_live"): 4,
        of("trunk_up", trunk="acme"): 1,
        of("media_underruns_total"): 7,
        of("gatekeeper_decisions_total", decision="passed"): 100,
        of("gatekeeper_decisions_total", decision="stranger"): 20,
        of("journal_appended_total"): 12,
        of("journal_written_total"): 10,
        of("journal_lost_total"): 1,
        of("journal_lag_seconds"): 0.02,
        of("webhook_lag_seconds"): 1.5,
    }


async def test_a_scrape_beside_the_event_loop_tells_the_same():
    metrics = plan(Metrics())
    metrics.read(sources())
    body, content_type = await metrics.scrape()
    assert "switchhook_calls_live 3.0" in body.decode()
    assert content_type == metrics.render()[1]


def test_a_source_that_breaks_costs_its_own_metric_only():
    def broken() -> int:
        raise RuntimeError("the bridge is gone")

    metrics = plan(Metrics())
    metrics.read(sources(underruns=broken))
    seen = scrape(metrics)
    assert of("media_underruns_total") not in seen
    assert seen[of("calls_live")] == 3


def test_the_process_and_the_build_are_told():
    body = Metrics().render()[0].decode()
    assert "process_cpu_seconds_total" in body and "python_gc_collections_total" in body


def test_two_sets_of_metrics_do_not_meet():
    first, second = Metrics(), Metrics()
    first.know(["acme"], [])
    first.refused("acme", OVER_LIMIT, 503)
    assert of("invite_responses_total", trunk="acme", status="503") not in scrape(second)


def test_nobody_watches_without_effect():
    call = ScriptedCall().offered().control.call
    watchers: tuple[CallObserver, SoundObserver] = (NOBODY, NOBODY)
    watchers[0].handled(call, PlaybackStarted(1), [], 0.0)
    watchers[1].rendered("espeak", 1.0)


QUICK = Pace(loop_every_s=0.001, ping_every_s=0.01, longest_ping_s=0.05)


# ── Lags ────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_loop_that_is_kept_busy_is_seen_to_be_late():
    metrics = Metrics()
    async with no_leaks():
        lag = Lag(metrics.instruments, lambda: asyncio.sleep(0), lambda: 0.0)
        lag.start()
        await asyncio.sleep(0.05)
        time.sleep(0.2)  # a defect
        await asyncio.sleep(0.05)
        await lag.stop()
        await lag.stop()
    assert 0.1 < scrape(metrics)[of("event_loop_lag_seconds_sum")] < 0.3


async def test_the_pjsip_thread_and_the_media_clock_are_asked():
    gaps = iter([0.0, 0.25, *[0.0] * 1000])
    pings = iter([0.02, 60.0, *[0.0] * 1000])  # one comes late, one never
    told: list[tuple[Clock, float]] = []
    metrics = Metrics()
    lag = Lag(
        metrics.instruments,
        lambda: asyncio.sleep(next(pings)),
        lambda: next(gaps),
        QUICK,
        told=lambda *sample: told.append(sample),
    )
    lag.start()
    await asyncio.sleep(0.4)
    await lag.stop()
    assert [late_s for clock, late_s in told if clock is Clock.MEDIA] == [pytest.approx(0.23)], "later than a tick"
    assert sum(clock is Clock.EVENT_LOOP for clock, _ in told) > 20
    seen = scrape(metrics)
    assert seen[of("media_clock_gap_seconds_count")] == 1
    assert seen[of("media_clock_gap_seconds_sum")] == 0.25
    assert seen[of("pjsip_thread_lag_seconds_count")] >= 3
    assert 0.07 <= seen[of("pjsip_thread_lag_seconds_sum")] < 0.3


async def test_a_pjsip_thread_that_is_gone_is_asked_no_more():
    metrics = Metrics()

    async def gone() -> None:
        raise RuntimeError("stopped")

    lag = Lag(metrics.instruments, gone, lambda: 0.0, QUICK)
    lag.start()
    await asyncio.sleep(0.1)
    assert len(asyncio.all_tasks()) == 2, "this one and that of the event loop"
    await lag.stop()
    assert of("pjsip_thread_lag_seconds_count") not in scrape(metrics)
