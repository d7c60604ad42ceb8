"""Calls in the API's words: everything that a call may be, and nothing else than control-api.md says."""

import pytest

from gateway.api.views import call_out
from gateway.calls.allowed import allowed
from gateway.calls.model import Leg, LegId, Role, Room, SupervisorMode
from gateway.calls.states import CallState, LegState
from tests.fakes.control import a_call


def test_legs_rooms_and_hearing_of_a_consult_that_is_watched():
    call = a_call(1)
    call.customer.held = True
    call.others = [
        Leg(LegId("agent"), Role.AGENT, LegState.CONNECTED, Room.CONSULT),
        Leg(LegId("expert"), Role.CONSULT, LegState.CONNECTED, Room.CONSULT, muted=True),
        Leg(LegId("boss"), Role.SUPERVISOR, LegState.CONNECTED, watches=LegId("agent"), mode=SupervisorMode.WHISPER,
            whisper_to=LegId("agent")),
        Leg(LegId("gone"), Role.AGENT, LegState.ENDED),
    ]  # fmt: skip
    out = call_out(call)
    assert [(room.room, room.legs, room.bot) for room in out.rooms] == [
        (Room.MAIN, ["leg_0001"], True),
        (Room.CONSULT, ["agent", "expert", "boss"], False),
    ]
    assert {(edge.source, edge.sink) for edge in out.hearing} == {
        ("music:hold/calm", "leg_0001"),
        ("boss", "agent"),
        ("agent", "expert"),
        ("agent", "boss"),
    }
    assert [(leg.leg_id, leg.room, leg.mode) for leg in out.legs][-1] == ("boss", Room.CONSULT, SupervisorMode.WHISPER)


@pytest.mark.parametrize("leg", LegState)
def test_a_call_that_is_ending_takes_no_command(leg: LegState):
    call = a_call(1)
    call.customer.state = leg
    gone = leg in (LegState.ENDING, LegState.ENDED)
    assert bool(allowed(call)) is not gone
    call.state = CallState.ENDED
    assert allowed(call) == []


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (CallState.OFFERED, ["hangup"]),
        (CallState.BOT, ["transfer", "legs", "hangup"]),
        (CallState.TRANSFERRING, ["cancel-transfer", "legs", "hangup"]),
        (CallState.TALKING, ["consult", "transfer", "hold", "legs", "play", "hangup"]),
        (CallState.ENDED, []),
    ],
)
def test_the_commands_of_each_state(state: CallState, words: list[str]):
    call = a_call(1)
    call.state = state
    assert allowed(call) == words
