"""Who hears whom in one phrase, legs, times, numbers, and an event as one line."""

import pytest

from gateway.watch.rows import CallRow, Hears, LegRow
from gateway.watch.words import Numbers, event_line, event_words, hears, leg, parties, passed, rooms, scene, where
from tests.unit.watch.boards import CUSTOMER, NOW, a_call, ended, event, started

AGENT = LegRow("leg_a", "agent", "connected")
EXPERT = LegRow("leg_e", "consult", "connected")
BOSS = LegRow("leg_s", "supervisor", "connected", mode="monitor")


ALL = "leg_c>leg_a leg_a>leg_c leg_c>leg_e leg_e>leg_c leg_a>leg_e leg_e>leg_a"


def call(*legs: LegRow, edges: str) -> CallRow:
    """`edges`: `bot>leg_c leg_c>leg_a`."""
    pairs = [edge.split(">") for edge in edges.split()]
    return a_call(legs=legs, hearing=tuple(Hears(source, sink) for source, sink in pairs))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (call(CUSTOMER, edges="bot>leg_c"), "customer <-> bot"),
        (call(LegRow("leg_c", "customer", "connected", muted=True), edges="bot>leg_c"), "customer hears bot"),
        (call(LegRow("leg_c", "customer", "ringing"), edges=""), "-"),
        (call(CUSTOMER, edges=""), "customer hears nothing"),
        (call(CUSTOMER, edges="music:hold/calm>leg_c"), "customer hears hold/calm"),
        (call(CUSTOMER, AGENT, edges="leg_c>leg_a leg_a>leg_c"), "customer <-> agent"),
        (
            call(CUSTOMER, AGENT, EXPERT, edges="music:hold/calm>leg_c leg_a>leg_e leg_e>leg_a"),
            "agent <-> consult, customer hears hold/calm",
        ),
        (
            call(CUSTOMER, AGENT, EXPERT, edges=ALL),
            "customer <-> agent <-> consult",
        ),
        (
            call(CUSTOMER, AGENT, BOSS, edges="leg_c>leg_a leg_a>leg_c leg_c>leg_s leg_a>leg_s"),
            "customer <-> agent, supervisor hears customer + agent",
        ),
        (
            call(CUSTOMER, AGENT, LegRow("leg_b", "agent", "connected"), edges="leg_a>leg_b leg_c>leg_b"),
            "agent 2 hears customer + agent 1",
        ),
    ],
)  # fmt: skip
def test_who_hears_whom_in_one_phrase(row: CallRow, says: str) -> None:
    assert hears(row) == says


def test_everybody_by_room_with_what_they_hear() -> None:
    apart = call(
        LegRow("leg_c", "customer", "connected", held=True),
        LegRow("leg_a", "agent", "connected", room="consult", muted=True),
        LegRow("leg_e", "consult", "dialling", room="lobby"),
        LegRow("leg_s", "supervisor", "connected", room="consult", mode="whisper", whisper_to="leg_a"),
        edges="music:hold/calm>leg_c music:tone/ring>leg_a leg_s>leg_a leg_a>leg_s",
    )
    assert parties(apart) == [
        ("main", "customer (held)", "hold/calm"),
        ("consult", "agent (muted)", "supervisor + tone/ring"),
        ("consult", "supervisor (whisper to agent)", "agent"),
        ("lobby", "consult (dialling)", "nothing"),
    ]
    assert rooms(apart) == (
        "main: customer (held); consult: agent (muted), supervisor (whisper to agent); lobby: consult (dialling)"
    )
    assert scene(call(CUSTOMER, AGENT, edges="leg_c>leg_a leg_a>leg_c")) == "customer <-> agent [main: customer, agent]"


def test_the_bot_is_in_the_room_and_hears() -> None:
    assert parties(call(CUSTOMER, edges="bot>leg_c")) == [("main", "customer", "bot"), ("main", "bot", "customer")]
    assert rooms(call(edges="")) == "-"


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (CUSTOMER, "customer connected, PCMU"),
        (LegRow("leg_x", "agent", "ringing"), "agent ringing"),
        (LegRow("leg_c", "customer", "connected", held=True, muted=True), "customer connected, PCMU, held, muted"),
        (LegRow("leg_c", "customer", "connected", peer_hold="sendonly"), "customer connected, PCMU, holds us"),
        (LegRow("leg_x", "consult", "connected", room="consult"), "consult connected, in consult"),
        (BOSS, "supervisor connected, monitor"),
    ],
)
def test_a_leg(one: LegRow, says: str) -> None:
    assert leg(a_call(legs=(one,)), one) == says


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(0, "0:00"), (7.9, "0:07"), (-3, "0:00"), (754, "12:34"), (3723, "1:02:03"), (180_000, "2 d 02 h")],
)
def test_time_that_passed(seconds: float, says: str) -> None:
    assert passed(seconds) == says


@pytest.mark.parametrize(
    ("one", "masked", "shown"),
    [
        (started(1), "+1212•••0123 -> +1212•••0100", "+12125550123 -> +12125550100"),
        (event(1, "dtmf.received", digit="5"), "•", "5"),
        (event(1, "call.tagged", data={"card": "4711", "vip": True}), "card, vip", "card=4711 vip=True"),
        (
            event(1, "call.refused", from_="anonymous", to="999", sipStatus=404, why="no route for +12125550100",
                  cause={"result": "gateway", "reason": "no-route"}),
            "anonymous -> 999: 404 gateway/no-route, no route for +1212•••0100",
            "anonymous -> 999: 404 gateway/no-route, no route for +12125550100",
        ),
        (
            event(1, "transfer.dialled", target={"sipUri": "sip:+12125550177@acme"}, hop=2, note=None),
            "target=sip:+1212•••0177@acme hop=2",
            "target=sip:+12125550177@acme hop=2",
        ),
        (event(1, "bot.replied", seq_=1, replies=["text", "dtmf"]), "seq=1 replies=text,dtmf", None),
        (ended(1), "by customer: completed/normal, 12.3 s", None),
        (event(1, "leg.joined", role="customer", codec="PCMU"), "customer PCMU", None),
        (event(1, "leg.joined", role="agent", agent="ann", codec="PCMU"), "agent ann PCMU", None),
        (
            event(1, "consult.failed", consultId="cons_1", hopOf="xfer_1", target="zed", reason="busy", sipStatus=486),
            "target=zed reason=busy sipStatus=486 consultId=cons_1 hopOf=xfer_1",
            None,
        ),
        (event(1, "bot.asked", event="dtmf", again=True), "dtmf, again", None),
    ],
)  # fmt: skip
def test_an_event_in_words(one, masked: str, shown: str | None) -> None:  # type: ignore[no-untyped-def]
    assert event_words(one, Numbers()) == masked
    assert event_words(one, Numbers(shown=True)) == (shown or masked)


def test_an_event_is_one_line() -> None:
    assert event_line(started(1, at=NOW), Numbers()) == (
        "2026-11-18T11:06:40.000Z  call_1  call.started      +1212•••0123 -> +1212•••0100"
    )
    assert event_line(event(2, "call.answered"), Numbers()).endswith("call_1  call.answered")


@pytest.mark.parametrize(
    ("state", "consult", "shown"),
    [("talking", "none", "talking"), ("talking", "swapped", "swapped"), ("agents-only", "consulting", "agents-only")],
)
def test_where_a_call_is(state: str, consult: str, shown: str):
    assert where(a_call(state=state, consult=consult)) == shown
