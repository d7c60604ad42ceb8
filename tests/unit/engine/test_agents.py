"""Who is available, away or busy; what a reload does to it."""

from dataclasses import dataclass, field

import pytest

from gateway.calls.model import Call, Leg, LegId, Role
from gateway.calls.states import LegState
from gateway.dialplan.parse import load_text
from gateway.engine.agents import Agents, AgentState
from gateway.engine.live import Live
from tests.fakes.control import a_call

ANN = 'ann: {name: Ann, target: "sip:ann@192.0.2.5", trunk: acme, may: [consult]}'
BOB = 'bob: {name: Bob, target: "sip:bob@192.0.2.5", trunk: acme}'


@dataclass
class InACall:
    """As the registry holds it."""

    call: Call


@dataclass
class Floor:
    """The agents of a plan, and their calls."""

    now: float = 100.0
    live: Live = field(default_factory=lambda: Live(9))

    def __post_init__(self) -> None:
        self.plan_has(ANN, BOB)
        self.agents = Agents(lambda: self.plan, self.live, lambda: self.now)

    def plan_has(self, *agents: str) -> None:
        self.plan = load_text("trunks: {acme: {host: 192.0.2.1}}\nagents:\n" + "".join(f"  {a}\n" for a in agents))

    def calls(self, agent: str) -> Leg:
        """Their phone rings, for a call of its own."""
        leg = Leg(LegId(f"leg_{agent}"), Role.AGENT, LegState.DIALLING, agent=agent)
        call = a_call(1)
        call.others.append(leg)
        live = InACall(call)
        self.live.calls[call.id] = live  # type: ignore[assignment]
        self.live.moved(live, {agent}, self.now)  # type: ignore[arg-type]
        return leg

    def states(self) -> dict[str, tuple[str, float]]:
        return {status.id: (status.state.value, status.since) for status in self.agents.statuses()}


@pytest.fixture
def floor() -> Floor:
    return Floor()


def test_they_are_available_until_they_say_otherwise(floor: Floor) -> None:
    assert floor.states() == {"ann": ("available", 100.0), "bob": ("available", 100.0)}
    floor.now = 110.0
    said = floor.agents.say("ann", away=True)
    assert said is not None and (said.state, said.since) == (AgentState.AWAY, 110.0)
    floor.now = 120.0
    floor.agents.say("ann", away=True)
    assert floor.states()["ann"] == ("away", 110.0), "saying it again changes nothing"
    assert floor.agents.away("ann") and floor.agents.engaged("ann") == "is away"
    assert floor.agents.say("nobody", away=True) is None


def test_a_call_makes_busy_and_what_was_said_holds_after_it(floor: Floor) -> None:
    leg = floor.calls("ann")
    floor.now = 130.0
    said = floor.agents.say("ann", away=True)
    assert said is not None and said.state is AgentState.BUSY and said.leg is leg
    assert floor.states()["ann"] == ("busy", 100.0) and floor.agents.engaged("ann") == "is on a call"
    leg.state = LegState.ENDED
    floor.now = 140.0
    (live,) = floor.live.calls.values()
    floor.live.moved(live, {"ann"}, floor.now)
    assert floor.states()["ann"] == ("away", 140.0)


def test_a_reload_keeps_what_they_said_and_forgets_who_is_gone(floor: Floor) -> None:
    for agent in ("ann", "bob"):
        floor.agents.say(agent, away=True)
    floor.plan_has(ANN)
    floor.agents.replanned()
    assert floor.states() == {"ann": ("away", 100.0)}
    assert not floor.agents.away("bob") and floor.agents.engaged("bob") is None
    floor.plan_has(ANN, BOB)
    floor.agents.replanned()
    assert {name: state for name, (state, _) in floor.states().items()} == {"ann": "away", "bob": "available"}


def test_rights_are_the_plans_and_whoever_is_in_none_is_not_bound(floor: Floor) -> None:
    rights = ("consult", "forward", "external")
    assert [floor.agents.may("ann", right) for right in rights] == [True, False, False]
    assert [floor.agents.may("bob", right) for right in rights] == [True, True, False]
    assert all(floor.agents.may("gone", right) for right in rights)
