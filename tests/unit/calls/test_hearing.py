"""Who hears whom, in words and as properties over all calls that can be."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.hearing import hearing, room_of
from gateway.calls.model import (
    BotParty,
    Call,
    CallId,
    ChannelPolicy,
    Edge,
    Leg,
    LegId,
    LegParty,
    MusicParty,
    PeerHold,
    Role,
    Room,
    SupervisorMode,
)
from gateway.calls.states import CallState, LegState
from tests.scripted_call import CALLER

MUSIC = MusicParty("hold/calm")
UP = LegState.CONNECTED


def leg(name: str, role: Role = Role.AGENT, **more: object) -> Leg:
    return Leg(LegId(name), role, **({"state": UP} | more))


def call_of(customer: Leg, *others: Leg, bot: bool = False) -> Call:
    state = CallState.BOT if bot else CallState.OFFERED  # any state in which the bot is not in the room
    return Call(CallId("call_1"), CALLER, ChannelPolicy("c"), customer, 0.0, list(others), state=state)


def heard(call: Call, who: str) -> set[object]:
    names = {LegParty(leg.id): str(leg.id) for leg in call.legs.values()}
    return {names.get(e.source, e.source) for e in hearing(call) if e.sink == LegParty(LegId(who))}


ANN, BOB, CARL = leg("ann", Role.CUSTOMER), leg("bob"), leg("carl", Role.CONSULT, room=Room.CONSULT)


def test_the_customer_hears_the_bot():
    assert heard(call_of(ANN, bot=True), "ann") == {BotParty()}


def test_customer_and_agent_hear_each_other():
    call = call_of(ANN, BOB)
    assert (heard(call, "ann"), heard(call, "bob")) == ({"bob"}, {"ann"})


def test_during_a_consult_the_customer_hears_music_and_the_agents_each_other():
    call = call_of(ANN, leg("bob", room=Room.CONSULT), CARL)
    assert (heard(call, "ann"), heard(call, "bob"), heard(call, "carl")) == ({MUSIC}, {"carl"}, {"bob"})


def test_after_a_swap_the_consultant_hears_music():
    call = call_of(ANN, BOB, CARL)
    assert (heard(call, "ann"), heard(call, "bob"), heard(call, "carl")) == ({"bob"}, {"ann"}, {MUSIC})


def test_in_a_conference_everybody_hears_everybody():
    call = call_of(ANN, BOB, leg("carl", Role.CONSULT))
    assert (heard(call, "ann"), heard(call, "carl")) == ({"bob", "carl"}, {"ann", "bob"})


def test_a_held_leg_hears_music_only_and_so_does_whoever_waits_for_it():
    call = call_of(leg("ann", Role.CUSTOMER, held=True), BOB)
    assert (heard(call, "ann"), heard(call, "bob")) == ({MUSIC}, {MUSIC})


def test_a_muted_leg_hears_but_is_not_heard():
    call = call_of(ANN, leg("bob", muted=True))
    assert (heard(call, "ann"), heard(call, "bob")) == (set(), {"ann"})


def test_a_peer_that_holds_us_sends_its_own_media_when_sendonly_and_none_when_inactive():
    sendonly = call_of(leg("ann", Role.CUSTOMER, peer_hold=PeerHold.SENDONLY), BOB)
    assert (heard(sendonly, "ann"), heard(sendonly, "bob")) == (set(), {"ann", MUSIC})
    inactive = call_of(leg("ann", Role.CUSTOMER, peer_hold=PeerHold.INACTIVE), BOB)
    assert (heard(inactive, "ann"), heard(inactive, "bob")) == (set(), {MUSIC})


def supervisor(mode: SupervisorMode, **more: object) -> Leg:
    return leg("sue", Role.SUPERVISOR, mode=mode, watches=LegId("bob"), **more)


def test_a_monitor_hears_all_and_is_heard_by_none():
    call = call_of(ANN, BOB, supervisor(SupervisorMode.MONITOR))
    assert (heard(call, "sue"), heard(call, "ann"), heard(call, "bob")) == ({"ann", "bob"}, {"bob"}, {"ann"})


def test_a_whisper_reaches_the_agent_alone():
    call = call_of(ANN, BOB, supervisor(SupervisorMode.WHISPER, whisper_to=LegId("bob")))
    assert (heard(call, "ann"), heard(call, "bob")) == ({"bob"}, {"ann", "sue"})


def test_a_barge_reaches_everybody():
    call = call_of(ANN, BOB, supervisor(SupervisorMode.BARGE))
    assert (heard(call, "ann"), heard(call, "bob")) == ({"bob", "sue"}, {"ann", "sue"})


def test_a_supervisor_follows_the_leg_that_it_watches_and_is_no_company():
    call = call_of(ANN, leg("bob", room=Room.CONSULT), CARL, supervisor(SupervisorMode.BARGE))
    assert heard(call, "sue") == {"bob", "carl"}
    assert heard(call, "ann") == {MUSIC}
    alone = call_of(ANN, supervisor(SupervisorMode.MONITOR))
    assert heard(alone, "ann") == {MUSIC}


# ── Properties ──────────────────────────────────────────────────────────────────────────────────────

names = st.sampled_from([LegId(n) for n in ("ann", "bob", "carl", "sue", "gone")])


def legs(name: str, roles: list[Role]) -> st.SearchStrategy[Leg]:
    return st.builds(
        Leg,
        id=st.just(LegId(name)),
        role=st.sampled_from(roles),
        state=st.sampled_from(LegState),
        room=st.sampled_from(Room),
        muted=st.booleans(),
        held=st.booleans(),
        peer_hold=st.sampled_from(PeerHold),
        watches=st.none() | names,
        mode=st.sampled_from(SupervisorMode),
        whisper_to=st.none() | names,
    )


others = st.tuples(*(legs(n, [Role.AGENT, Role.CONSULT, Role.SUPERVISOR]) for n in ("bob", "carl", "sue")))
calls = st.builds(
    lambda customer, others, bot: call_of(customer, *others, bot=bot),
    legs("ann", [Role.CUSTOMER]),
    others,
    st.booleans(),
)


def edges_of(call: Call) -> list[tuple[Leg | None, Leg, Edge]]:
    """(the leg that is heard or None for bot and music, the leg that hears, the edge)."""
    by_party = {LegParty(one.id): one for one in call.legs.values()}
    return [(by_party.get(e.source), by_party[e.sink], e) for e in hearing(call)]  # type: ignore[index]


@given(calls)
def test_no_leg_hears_itself_or_a_leg_in_another_room(call: Call):
    for mouth, ear, _ in edges_of(call):
        if mouth is not None:
            assert mouth is not ear
            assert room_of(call, mouth) is room_of(call, ear)


@given(calls)
def test_only_connected_legs_hear_or_are_heard(call: Call):
    for mouth, ear, _ in edges_of(call):
        assert ear.state is UP and (mouth is None or mouth.state is UP)


@given(calls)
def test_the_customer_never_hears_a_whisper_a_monitor_or_a_consult(call: Call):
    for mouth, ear, _ in edges_of(call):
        if ear.role is Role.CUSTOMER and mouth is not None:
            assert mouth.role is not Role.SUPERVISOR or mouth.mode is SupervisorMode.BARGE
            assert room_of(call, mouth) is ear.room


@given(calls)
def test_a_held_leg_hears_hold_music_and_nothing_else_and_is_heard_by_nobody(call: Call):
    found = edges_of(call)
    for held in (one for one in call.legs.values() if one.held):
        assert all(mouth is not held for mouth, _, _ in found)
        sources = {e.source for _, ear, e in found if ear is held}
        hears = held.state is UP and held.peer_hold is PeerHold.NONE
        assert sources == ({MUSIC} if hears else set())


@given(calls)
def test_a_muted_leg_is_heard_by_nobody(call: Call):
    assert not any(mouth is not None and mouth.muted for mouth, _, _ in edges_of(call))


@given(calls)
def test_a_peer_that_holds_us_gets_silence(call: Call):
    assert all(ear.peer_hold is PeerHold.NONE for _, ear, _ in edges_of(call))


@given(calls)
def test_a_connected_customer_is_never_left_in_dead_air(call: Call):
    customer = call.customer
    if customer.state is not UP or customer.peer_hold is not PeerHold.NONE:
        return
    sources = [(m, e) for m, ear, e in edges_of(call) if ear is customer]
    live = [one for one in call.legs.values() if one.state is UP and one is not customer]
    muted_company = any(one.muted and room_of(call, one) is customer.room for one in live)
    assert sources or muted_company
