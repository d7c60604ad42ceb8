"""Which agents of the plan a happening is for: those who are in the call at that moment; asked by engine and cdr.py.

A key that is bound to an agent sees these (control-api.md): the call until the agent has left it, the leaving included,
nothing of what follows, and then that it is over.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from gateway.calls.history import LAST, Happening, Type
from gateway.calls.model import Call, Leg
from gateway.calls.states import LegState

_OF_LEAVING = ("transfer.", "consult.")
"""What is said of these when somebody leaves concerns that one too."""


def leg_of(call: Call, agent: str) -> Leg | None:
    """The leg by which this agent of the plan is in the call, or called into it; None: not, or no longer."""
    found = (leg for leg in (*call.others, call.customer) if leg.agent == agent and leg.state is not LegState.ENDED)
    return next(found, None)


def present(call: Call) -> frozenset[str]:
    """The agents who have a leg in the call."""
    legs = (*call.others, call.customer)
    return frozenset(leg.agent for leg in legs if leg.agent is not None and leg.state is not LegState.ENDED)


@dataclass(slots=True)
class Witnesses:
    """Of one call: who is in it, and who ever was."""

    here: frozenset[str] = frozenset()
    ever: set[str] = field(default_factory=set)

    def turn(self, call: Call, facts: Sequence[Happening], answers: Sequence[Happening]) -> list[Happening]:
        """What came of one event, with its witnesses. `facts` are what happened, which began the turn; `answers` what
        the call has made of it. To be asked when the turn is over."""
        before, self.here = self.here, present(call)
        self.ever |= self.here
        if not self.ever:
            return [*facts, *answers]
        both = before | self.here
        told = [self._seen(one, both if one.type == Type.LEG_JOINED else before) for one in facts]
        return told + [self._seen(one, both if one.type.startswith(_OF_LEAVING) else self.here) for one in answers]

    def _seen(self, one: Happening, by: Iterable[str]) -> Happening:
        return replace(one, agents=tuple(sorted(self.ever if one.type in LAST else by)))
