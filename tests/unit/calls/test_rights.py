"""What agents may do, and whose order it is: `may` of the plan, and keys that are bound to an agent."""

from typing import Any

import pytest

from gateway.calls.causes import NORMAL, EndedBy
from gateway.calls.commands import Dial, Hangup, Note, TurnDown
from gateway.calls.events import Event, HangupRequested, LegAnswered, TransferCancelled, TransferRequested
from gateway.calls.model import LegId, Role
from gateway.calls.orders import AddLeg, ChangeLeg, Consult, EndConsult, Forward, Hold, Merge, Order, Ordered, Swap
from gateway.calls.refers import AnswerRefer, ReferReceived, ReferTarget
from gateway.calls.states import ConsultState
from gateway.calls.switch import Switch
from tests.unit.calls.test_consult import Agent

NUMBER = Switch.model_validate({"phoneNumber": "+4916"})
BOB = Switch.model_validate({"agent": "bob"})


def ann_talks(*may: str) -> Agent:
    """Ann of the plan, who may do so much."""
    desk = Agent()
    desk.bridged(continueCall=True)
    desk.control.call.others[0].agent = "ann"
    desk.ways.rights["ann"] = may
    return desk


def consults(desk: Agent, target: Switch, **fields: Any) -> list[Any]:
    return desk.happens(Ordered(Consult(target, **fields)))


def refused(commands: list[Any]) -> tuple[str, str]:
    (one,) = [command for command in commands if isinstance(command, TurnDown)]
    assert not [command for command in commands if isinstance(command, Dial | Hangup)]
    return one.what, one.why


def test_who_may_not_consult_does_not() -> None:
    desk = ann_talks("forward", "external")
    commands = consults(desk, BOB)
    assert refused(commands) == ("consult", "forbidden")
    assert commands[-1].detail == "agents.ann.may has no consult: ann may not consult somebody"
    assert desk.consult_state is ConsultState.NONE


@pytest.mark.parametrize(
    "target", [{"phoneNumber": "+4916"}, {"sipUri": "sip:x@far.example"}, {"contact": "shop"}], ids=str
)
def test_who_may_not_reach_others_consults_agents_only(target: dict[str, str]) -> None:
    desk = ann_talks("consult", "forward")
    assert refused(consults(desk, Switch.model_validate(target))) == ("consult", "forbidden")
    consults(desk, BOB)
    assert desk.consult_state is ConsultState.DIALLING


def test_who_may_not_forward_does_not_by_hanging_up_either() -> None:
    desk = ann_talks("consult", "external")
    consults(desk, NUMBER)
    desk.answers(1)
    assert refused(desk.happens(Ordered(Forward()))) == ("forward", "forbidden")
    desk.agent_leaves()
    assert desk.leg(1) in desk.hangups, "the consultant is not left with the customer"


def test_who_is_no_agent_of_the_plan_is_bound_by_the_policy_alone() -> None:
    desk = Agent()
    desk.bridged(continueCall=True)
    desk.ways.rights["ann"] = ()
    consults(desk, NUMBER)
    desk.answers(1)
    assert not [c for c in desk.happens(Ordered(Forward())) if isinstance(c, TurnDown)]


def test_an_agent_who_is_not_free_is_not_consulted() -> None:
    desk = ann_talks("consult")
    desk.ways.busy["bob"] = "is on a call"
    commands = consults(desk, BOB)
    assert refused(commands) == ("consult", "agent-busy") and commands[-1].detail == "agent: bob is on a call"
    assert desk.consult_state is ConsultState.NONE


def test_a_phones_refer_needs_the_right_too() -> None:
    desk = ann_talks("consult", "forward")
    target = ReferTarget(uri="sip:+4916@gw", user="+4916", own=True)
    commands = desk.happens(ReferReceived(desk.leg(0), 1, target))
    assert AnswerRefer(desk.leg(0), 1, 403) in commands
    assert any(isinstance(c, Note) and "agents.ann.may has no external" in str(c.fields) for c in commands)
    desk.ways.rights["ann"] = ("external",)
    assert AnswerRefer(desk.leg(0), 2, 202) in desk.happens(ReferReceived(desk.leg(0), 2, target))


# ── Whose order it is ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "event",
    [
        Ordered(Hold(on=True), "bob"), Ordered(Consult(NUMBER), "bob"), TransferRequested(NUMBER, "bob"),
        HangupRequested(NORMAL, EndedBy.GATEWAY, "bob"),
    ],
    ids=str,
)  # fmt: skip
def test_what_another_one_orders_is_not_taken(event: Event) -> None:
    assert refused(ann_talks("consult", "forward", "external").happens(event))[1] == "state"


@pytest.mark.parametrize("order", [Swap(), Merge(), Forward(), EndConsult()], ids=str)
def test_a_consult_is_its_agents(order: Order) -> None:
    desk = ann_talks("consult", "forward", "external")
    consults(desk, NUMBER)
    desk.answers(1)
    desk.control.call.others[1].agent = "bob"
    assert refused(desk.happens(Ordered(order, "bob")))[1] == "state"
    assert not [c for c in desk.happens(Ordered(order, "ann")) if isinstance(c, TurnDown)]


def test_ones_own_leg_is_ones_own() -> None:
    desk = ann_talks("consult", "forward", "external")
    consults(desk, NUMBER)
    desk.answers(1)
    desk.control.call.others[1].agent = "bob"
    ours, theirs = (ChangeLeg(desk.leg(number), muted=True) for number in (1, 0))
    assert refused(desk.happens(Ordered(theirs, "bob")))[1] == "state"
    assert not [c for c in desk.happens(Ordered(ours, "bob")) if isinstance(c, TurnDown)]
    assert desk.control.call.others[1].muted and not desk.control.call.others[0].muted


def test_who_may_not_reach_others_adds_agents_only() -> None:
    desk = ann_talks("consult", "forward")
    assert refused(desk.happens(Ordered(AddLeg(LegId("leg_x"), NUMBER, Role.AGENT), "ann"))) == ("legs", "forbidden")
    assert not [
        c for c in desk.happens(Ordered(AddLeg(LegId("leg_y"), BOB, Role.AGENT), "ann")) if isinstance(c, TurnDown)
    ]


def test_after_a_forward_the_other_one_acts() -> None:
    desk = ann_talks("consult", "forward", "external")
    consults(desk, NUMBER)
    desk.answers(1)
    desk.control.call.others[1].agent = "bob"
    desk.orders(Forward())
    assert refused(desk.happens(Ordered(Hold(on=True), "ann")))[1] == "state"
    assert not [c for c in desk.happens(Ordered(Hold(on=True), "bob")) if isinstance(c, TurnDown)]


def test_a_transfer_by_ones_own_key_needs_the_right() -> None:
    desk = ann_talks("consult", "forward")
    assert refused(desk.happens(TransferRequested(NUMBER, "ann"))) == ("transfer", "forbidden")
    assert not [c for c in desk.happens(TransferRequested(BOB, "ann")) if isinstance(c, TurnDown)]
    assert refused(desk.happens(TransferCancelled("bob")))[1] == "state"
    assert not [c for c in desk.happens(TransferCancelled("ann")) if isinstance(c, TurnDown)]


def test_a_transfer_that_nobody_in_particular_asks_for_does_not() -> None:
    desk = ann_talks()
    assert not [c for c in desk.happens(TransferRequested(NUMBER)) if isinstance(c, TurnDown)]


def test_whoever_talks_may_end_the_call() -> None:
    desk = ann_talks()
    assert any(isinstance(c, Hangup) for c in desk.happens(HangupRequested(NORMAL, EndedBy.GATEWAY, "ann")))
    assert not desk.happens(HangupRequested(NORMAL, EndedBy.GATEWAY, "ann")), "asking again while it ends is fine"


def test_the_right_is_needed_after_the_customer_has_left_too() -> None:
    desk = ann_talks("consult", "forward")
    consults(desk, BOB)
    desk.answers(1)
    desk.customer_leaves()
    external = AddLeg(LegId("leg_x"), NUMBER, Role.SUPERVISOR)
    assert refused(desk.happens(Ordered(external, "ann"))) == ("legs", "forbidden")


def test_the_first_of_those_who_talk_on_acts() -> None:
    desk = ann_talks("consult", "forward")
    desk.happens(Ordered(AddLeg(LegId("leg_x"), BOB, Role.AGENT)))
    desk.happens(LegAnswered(LegId("leg_x"), "PCMU"))
    desk.customer_leaves()
    assert refused(desk.happens(HangupRequested(NORMAL, EndedBy.GATEWAY, "bob"))) == ("hangup", "state")
    ended = desk.happens(HangupRequested(NORMAL, EndedBy.GATEWAY, "ann"))
    assert {c.leg_id for c in ended if isinstance(c, Hangup)} == {desk.leg(0), LegId("leg_x")}
