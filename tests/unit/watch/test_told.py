"""What a command says afterwards, and why one was refused."""

from dataclasses import replace

import pytest

from gateway.watch import told
from gateway.watch.rows import Hears, LegRow
from gateway.watch.words import Numbers, clock
from tests.unit.watch.boards import CUSTOMER, NOW, a_call

AGENT = LegRow("leg_a", "agent", "connected")
TALK = a_call(
    legs=(CUSTOMER, AGENT),
    hearing=(Hears("leg_c", "leg_a"), Hears("leg_a", "leg_c")),
    state="talking",
    consult="merged",
)


def test_where_the_call_is_what_it_takes_and_who_hears_whom() -> None:
    assert told.now(TALK, ["forward", "legs", "play", "record", "hangup"]) == (
        "call_1 is talking, consult merged; next: forward, monitor, hangup\n"
        "  customer <-> agent [main: customer, agent]"
    )
    assert told.now(a_call(legs=(), state="ended"), []) == "call_1 is ended"


def test_a_call_that_was_hung_up_is_not_said_to_talk() -> None:
    legs = tuple(replace(leg, state="ending") for leg in TALK.legs)
    assert told.now(replace(TALK, legs=legs), []) == "call_1 is ending\n  everybody is being hung up"


def test_a_call_in_the_list() -> None:
    assert told.listed(TALK, NOW, Numbers()) == (
        f"call_1  talking, consult merged  +1212•••0123 -> +1212•••0100  since {clock(NOW - 7)} (0:07)\n"
        "  customer <-> agent [main: customer, agent]"
    )
    assert "+12125550123 -> +12125550100" in told.listed(TALK, NOW, Numbers(shown=True))


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        (
            {"state": "talking", "consultState": "none", "allowed": ["consult", "transfer", "hold", "play"]},
            "call_1 is talking (consult: none); it takes now: consult, transfer, hold",
        ),
        (
            {"state": "talking", "consultState": "none", "allowed": []},
            "call_1 is talking (consult: none); it takes now: nothing, as it is ending",
        ),
        ({"state": "ended", "consultState": "none", "allowed": []}, "call_1 is over"),
        ({"detail": "agent: there is no agent bobb", "path": "agent"}, "call_1: agent: there is no agent bobb"),
        ({"detail": "phoneNumber: +16125550100 is denied"}, "call_1: phoneNumber: +1612•••0100 is denied"),
        ({"title": "The agent is away, or on a call"}, "call_1: The agent is away, or on a call"),
        ({}, "call_1: refused without a word why"),
    ],
)
def test_a_refusal_says_what_to_do_instead(problem: dict[str, object], says: str) -> None:
    assert told.refused("call_1", problem, Numbers()) == says
