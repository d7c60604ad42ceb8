"""The people of the plan: who is available, away or busy, and what each may do; owned by engine.py, asked by calls.

Whether somebody is busy is read off the live calls each time: there is nothing that could be forgotten to be reset.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.calls.model import Call, Leg
from gateway.calls.outbound import Right
from gateway.calls.states import LegState
from gateway.calls.witnesses import leg_of
from gateway.dialplan.schema import Dialplan
from gateway.engine.live import Live


class AgentState(StrEnum):
    """Where an agent is (control-api.md)."""

    AVAILABLE = "available"
    AWAY = "away"
    BUSY = "busy"
    """In a call, or called into one, whatever they said before."""


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """One agent of the running plan. `call` and `leg` are those that keep them busy. `since`: in this state since then,
    in seconds since the epoch."""

    id: str
    name: str
    trunk: str
    may: Sequence[Right]
    state: AgentState
    since: float
    call: Call | None = None
    leg: Leg | None = None


class Agents:
    """All of them. `plan` is the one that runs now, `clock` gives seconds since the epoch."""

    def __init__(self, plan: Callable[[], Dialplan], live: Live, clock: Callable[[], float]) -> None:
        self._plan, self._live, self._clock = plan, live, clock
        self._began = clock()
        self._away: set[str] = set()
        self._said: dict[str, float] = {}
        """When each one last said where they are."""

    def away(self, agent: str) -> bool:
        """Whether they said so, and are in the plan."""
        return agent in self._away and agent in self._plan().agents

    def say(self, agent: str, *, away: bool) -> AgentStatus | None:
        """They go away, or are there again; how they are then. None: the plan has no such agent."""
        if agent in self._plan().agents and away is not (agent in self._away):
            (self._away.add if away else self._away.discard)(agent)
            self._said[agent] = self._clock()
        return self.status(agent)

    def status(self, agent: str) -> AgentStatus | None:
        """One of them; None: the plan has no such agent."""
        planned = self._plan().agents.get(agent)
        if planned is None:
            return None
        found = self._busy_with(agent)
        since = max(self._live.agents_moved.get(agent, self._began), self._began)
        if found is not None:
            call, leg = found
            return AgentStatus(agent, planned.name, planned.trunk, planned.may, AgentState.BUSY, since, call, leg)
        state = AgentState.AWAY if agent in self._away else AgentState.AVAILABLE
        since = max(since, self._said.get(agent, since))
        return AgentStatus(agent, planned.name, planned.trunk, planned.may, state, since)

    def statuses(self) -> Sequence[AgentStatus]:
        """All, in the order of the plan."""
        return [status for name in self._plan().agents if (status := self.status(name)) is not None]

    def replanned(self) -> None:
        """Another plan runs: whoever is in it no more is forgotten."""
        planned = self._plan().agents.keys()
        self._away &= planned
        for kept in (self._said, self._live.agents_moved):
            for gone in kept.keys() - planned:
                del kept[gone]

    # ── As calls ask (calls/outbound.py) ────────────────────────────────────────────────────────────

    def engaged(self, agent: str) -> str | None:
        """See Outbound."""
        if self._busy_with(agent) is not None:
            return "is on a call"
        return "is away" if self.away(agent) else None

    def may(self, agent: str, right: Right) -> bool:
        """See Outbound."""
        planned = self._plan().agents.get(agent)
        return planned is None or right in planned.may

    def _busy_with(self, agent: str) -> tuple[Call, Leg] | None:
        for live in self._live.calls.values():
            leg = leg_of(live.call, agent)
            if leg is not None and leg.state is not LegState.ENDING:  # who was released is free
                return live.call, leg
        return None
