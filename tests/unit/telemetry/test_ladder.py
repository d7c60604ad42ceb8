"""The ladder: what a reader sees of a call, line for line, and that no event can spoil the drawing."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from gateway.telemetry.ladder import Event, InOrder, Ladder, summary
from gateway.telemetry.ladder_events import DRAWN

START = 1_795_000_000.0


def phone(after: float, kind: str, **fields: Any) -> Event:
    return {"type": kind, "at": START + after, **fields}


def log(milliseconds: int, name: str, **fields: Any) -> Event:
    stamp = f"2026-11-18T11:06:40.{milliseconds:03d}000Z"  # START, as the log writes it
    return {"event": name, "timestamp": stamp, "level": "info", "call_id": "call_1", **fields}


def drawn(events: list[Event], width: int = 80, parties: tuple[str, ...] = ("phone", "switchhook", "bot")) -> list[str]:
    ladder = Ladder(parties, width)
    return [line.plain.rstrip() for event in events for line in ladder.lines(event)]


def test_a_call_as_a_reader_sees_it() -> None:
    events = [
        phone(0, "sip", dir="sent", what="INVITE"),
        log(4, "call.started", channel="reception", trunk="loopback", **{"from": "2125550147", "to": "100"}),
        phone(0.009, "sip", dir="received", what="200 OK"),
        phone(0.010, "answered", codec="PCMU"),
        log(12, "bot.asked", bot_event="start", seq=1, data={"reason": "inbound"}),
        log(40, "bot.replied", seq=1, replies=[{"type": "text", "text": "Hi"}, {"type": "dtmf", "max": 4}], ms=28),
        log(
            41,
            "playback.started",
            playback_id=1,
            items=[{"say": "Welcome to the demo of this gateway."}, {"prompt": "x"}],
        ),
        phone(0.5, "digit-sent", digit="1", by="rfc4733"),
        log(520, "dtmf.received", digit="1"),
        log(521, "playback.ended", playback_id=1, stopped=True, played_ms=480),
        log(530, "bot.asked", bot_event="dtmf", seq=2, data={"digits": "1", "complete": "max"}),
        log(540, "bot.failed", bot_event="dtmf", kind="timeout", detail="no answer in 10 s"),
    ]
    assert drawn(events) == [
        "         phone                         switchhook                            bot",
        "   0.000 │─── INVITE ──────────────────────▶│                                  │",
        "   0.004 │                                  │ · call from 2125550147 to 100:   │",
        "         │                                  │   channel reception              │",
        "   0.009 │◀─── 200 OK ──────────────────────│                                  │",
        "   0.010 │ · answered, PCMU                 │                                  │",
        "   0.012 │                                  │─── start ───────────────────────▶│",
        "   0.040 │                                  │◀─── text, up to 4 digits? (28 ───│",
        "         │                                  │     ms)                          │",
        "   0.041 │◀╌╌╌ “Welcome to the demo of ╌╌╌╌╌│                                  │",
        "         │     this gateway.” ♪ x           │                                  │",
        "   0.500 │─── presses 1 ───────────────────▶│                                  │",
        "   0.520 │                                  │ · digit 1                        │",
        "   0.521 │                                  │ · stops speaking after 480 ms    │",
        "   0.530 │                                  │─── dtmf 1 ──────────────────────▶│",
        "   0.540 │                                  │◀─── no answer to dtmf: ──────────│",
        "         │                                  │     timeout, no answer in 10 s   │",
    ]


def test_two_parties_and_a_phone_s_events_only() -> None:
    events = [
        phone(0, "sip", dir="sent", what="INVITE"),
        log(1, "call.started", **{"from": "1", "to": "2"}),
        log(2, "bot.asked", bot_event="start"),
        phone(1, "saying", text="Hello", number=1),
        phone(2, "error", detail="digit 1: no"),
    ]
    assert drawn(events, parties=("phone", "sip.example.com")) == [
        "         phone                                          sip.example.com",
        "   0.000 │─── INVITE ────────────────────────────────────────────────▶│",
        "   1.000 │╌╌╌ “Hello” ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌▶│",
        "   2.000 │ · digit 1: no                                              │",
    ]


def test_the_agent_has_the_bot_s_column_while_the_bot_is_parked() -> None:
    events = [
        log(0, "bot.replied", replies=[{"type": "switch", "agent": "ann"}, {"type": "tag", "data": {"a": 1}}]),
        log(10, "transfer.started", targets=["ann"]),
        phone(0.011, "incoming", party=3, **{"from": "<sip:100@x>"}, headers=["X-Why: support"]),
        phone(0.012, "sip", party=3, dir="sent", what="200 OK"),
        log(13, "transfer.bridged"),
        phone(0.014, "hears", party=3, what="the caller"),
        phone(0.015, "hears", party=0, what="the agent"),
        log(20, "transfer.ended", status="SUCCESS", reason="completed", talkMs=1500),
        log(21, "bot.asked", bot_event="transfer", data={"status": "SUCCESS", "reason": "completed"}),
    ]
    assert drawn(events, parties=("caller", "switchhook", "bot", "agent")) == [
        "         caller                        switchhook                            bot",
        "   0.000 │                                  │◀─── switch to ann, tag a=1 ──────│",
        "   0.010 │                                  │ · transfer to ann; the bot is    │",
        "         │                                  │   parked                         │",
        "         caller                        switchhook                          agent",
        "   0.011 │                                  │  called by <sip:100@x>; X-Why: · │",
        "         │                                  │                        support   │",
        "   0.012 │                                  │◀─── 200 OK ──────────────────────│",
        "   0.013 │                                  │ · bridged: they hear each other  │",
        "   0.014 │                                  │               hears the caller · │",
        "   0.015 │ · hears the agent                │                                  │",
        "   0.020 │                                  │ · transfer: SUCCESS, completed,  │",
        "         │                                  │   talked 1.5 s                   │",
        "         caller                        switchhook                            bot",
        "   0.021 │                                  │─── transfer SUCCESS completed ──▶│",
    ]
    assert drawn([phone(0, "hears", party=3, what="x")]) == [], "no agent in a ladder of three"


@pytest.mark.parametrize(
    ("by", "status", "says"),
    [("peer", 487, "call given up by the caller: 487"), ("phone", 486, "call refused: 486"), ("network", 0, "failed")],
)
def test_a_call_that_was_not_taken_is_not_the_peer_s_refusal(by: str, status: int, says: str) -> None:
    events = [phone(0, "incoming"), phone(1, "ended", by=by, status=status, reason="", answered=False)]
    (line,) = summary(events)
    assert says in line.plain


def test_what_is_unknown_or_of_no_use_draws_nothing() -> None:
    assert drawn([{}, {"event": "timer.set"}, {"type": "heard", "pcm": "…"}, {"type": None}, {"event": 7}]) == []


def test_failures_stand_out() -> None:
    ladder = Ladder(("phone", "switchhook", "bot"))
    refused = ladder.lines(phone(0, "sip", dir="received", what="486 Busy Here"))[-1]
    assert any("red" in str(span.style) for span in refused.spans)


def test_times_never_run_backwards_below_zero() -> None:
    lines = drawn([phone(5, "sip", dir="sent", what="INVITE"), phone(4, "sip", dir="sent", what="BYE")])
    assert lines[-1].startswith("   0.000 ")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)
KEYS = [
    "dir",
    "what",
    "codec",
    "digit",
    "text",
    "ms",
    "detail",
    "from",
    "to",
    "channel",
    "status",
    "why",
    "hold",
    "data",
]
KEYS += [
    "bot_event",
    "replies",
    "kind",
    "items",
    "stopped",
    "played_ms",
    "cause",
    "ended_by",
    "digits",
    "at",
    "timestamp",
]


@settings(max_examples=400)
@given(st.sampled_from(sorted(DRAWN)), st.dictionaries(st.sampled_from(KEYS), ANYTHING), st.integers(0, 200))
def test_whatever_an_event_holds_each_line_fits_and_is_printable(name: str, fields: dict[str, Any], width: int) -> None:
    lines = Ladder(("phone", "switchhook", "bot"), width).lines({"event": name, **fields})
    for line in lines[1:]:
        assert line.plain.isprintable()
        assert line.cell_len <= max(60, width)
    assert len({line.cell_len for line in lines[1:]}) <= 1


def test_wide_letters_are_counted_as_the_terminal_draws_them() -> None:
    items = [{"say": "ようこそ、交換台へ。ご用件をどうぞ。" * 3}]
    lines = drawn([log(0, "playback.started", items=items)])
    assert len({cell_len(line) for line in lines[1:]}) == 1


def test_events_of_two_processes_come_out_in_order() -> None:
    order = InOrder(wait=0.3)
    for seconds in (0.2, 0.1, 0.5):
        order.push(phone(seconds, "sip"))
    assert [event["at"] - START for event in order.ready(START + 0.55)] == pytest.approx([0.1, 0.2])
    order.push(phone(0.4, "sip"))
    assert [event["at"] - START for event in order.ready(float("inf"))] == pytest.approx([0.4, 0.5])
    assert order.ready(float("inf")) == []


def test_the_summary_says_who_ended_it_and_where_the_recording_is() -> None:
    events = [
        phone(0, "answered", codec="PCMU"),
        phone(2, "ended", status=200, reason="OK", by="peer", answered=True, reason_header=None),
        log(3, "call.ended", cause="completed/normal", ended_by="bot", duration_ms=2040),
        phone(2, "recorded", file="var/x.wav", seconds=2.0),
    ]
    assert [line.plain for line in summary(events)] == [
        "call ended by the bot, cause completed/normal, after 2.0 s",
        "what the phone heard: var/x.wav (2.0 s)",
    ]
    assert summary(events[:2])[0].plain == "call ended by the peer, after 2.0 s"


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ({"status": 486, "reason": "Busy Here", "by": "peer", "reason_header": "Q.850;cause=17"},
         "call refused: 486 Busy Here (Q.850;cause=17)"),
        ({"status": 487, "reason": "Request Terminated", "by": "phone"}, "call given up: 487 Request Terminated"),
        ({"status": 408, "reason": "Request Timeout", "by": "network"}, "call failed: 408 Request Timeout"),
    ],
)  # fmt: skip
def test_the_summary_of_a_call_that_was_never_answered(ended: dict[str, Any], said: str) -> None:
    assert [line.plain for line in summary([phone(1, "ended", answered=False, **ended)])] == [said]


def test_the_summary_of_a_call_that_never_was() -> None:
    assert [line.plain for line in summary([phone(0, "error", detail="no such host")])] == ["failed: no such host"]
    assert summary([]) == []
