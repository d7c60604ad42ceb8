"""Which agents a happening is for: who is in the call then, who leaves included; of its end all who ever were."""

from gateway.calls.cdr import Tally, fold
from gateway.calls.history import Happening
from gateway.calls.model import CallId, JsonObject, Leg, LegId, Role
from gateway.calls.states import LegState
from gateway.calls.witnesses import Witnesses, leg_of
from tests.fakes.control import a_call


def happening(type_: str, leg: str | None = None, agents: tuple[str, ...] = (), **data: str | None) -> Happening:
    fields: JsonObject = {**data}
    return Happening(type_, 1.0, CallId("call_1"), LegId(leg) if leg else None, "reception", "acme", fields, agents)


def seen(told: list[Happening]) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.type, one.agents) for one in told]


def test_an_agent_sees_from_the_call_to_the_leaving_and_then_the_end() -> None:
    call, witnesses = a_call(1), Witnesses()
    assert seen(witnesses.turn(call, [happening("bot.replied")], [happening("call.tagged")])) == [
        ("bot.replied", ()), ("call.tagged", ()),
    ]  # fmt: skip
    ann = Leg(LegId("leg_a"), Role.AGENT, LegState.DIALLING, agent="ann")
    call.others.append(ann)
    assert seen(witnesses.turn(call, [], [happening("transfer.started")])) == [("transfer.started", ("ann",))]
    call.others.append(Leg(LegId("leg_b"), Role.CONSULT, LegState.CONNECTED, agent="bob"))
    assert leg_of(call, "ann") is ann
    assert seen(witnesses.turn(call, [], [happening("consult.started")])) == [("consult.started", ("ann", "bob"))]
    ann.state = LegState.ENDED
    assert leg_of(call, "ann") is None
    left = witnesses.turn(call, [happening("leg.left")], [happening("consult.forwarded"), happening("bot.asked")])
    assert seen(left) == [
        ("leg.left", ("ann", "bob")), ("consult.forwarded", ("ann", "bob")), ("bot.asked", ("bob",)),
    ]  # fmt: skip
    assert seen(witnesses.turn(call, [happening("dtmf.received")], [])) == [("dtmf.received", ("bob",))]
    call.others.pop()
    over = witnesses.turn(call, [happening("leg.left")], [happening("transfer.ended"), happening("call.ended")])
    assert seen(over) == [("leg.left", ("bob",)), ("transfer.ended", ("bob",)), ("call.ended", ("ann", "bob"))]


def test_what_a_crash_cut_off_is_for_those_who_were_still_there() -> None:
    first = happening("call.started", "leg_c")
    tally = Tally(first)
    for one in (
        first,
        happening("transfer.started", agents=("ann",), transferId="xfer_1"),
        happening("leg.joined", "leg_a", ("ann",), role="agent", agent="ann"),
        happening("leg.joined", "leg_b", ("ann", "bob"), role="consult", agent="bob"),
        happening("leg.left", "leg_a", ("ann", "bob"), role="agent", agent="ann"),
    ):
        tally.add(one)
    rest = tally.rest(2.0)
    assert seen(rest) == [
        ("leg.left", ("bob",)), ("leg.left", ("bob",)), ("transfer.ended", ("bob",)), ("call.ended", ("ann", "bob")),
    ]  # fmt: skip


def test_a_record_is_for_all_who_ever_were_there_and_names_their_legs() -> None:
    history = [
        happening("call.started", "leg_c"),
        happening("leg.left", "leg_a", ("ann",), role="agent", agent="ann"),
        happening("leg.joined", "leg_b", ("bob",), role="agent", agent="bob"),
        happening("call.ended"),
    ]
    cdr = fold(history)
    assert cdr.agents == ("ann", "bob")
    assert [(leg.leg_id, leg.agent) for leg in cdr.legs] == [("leg_c", None), ("leg_a", "ann"), ("leg_b", "bob")]
