"""Others whom the API calls into a call, beside those of transfers and consults: agents who join the talk, and
supervisors; a base of control.py (control-api.md, `POST …/legs`).

Whoever joins changes no state of the call and of the consult. When the agent leaves, one who joined is the agent.
"""

from dataclasses import dataclass, field

from gateway.calls.causes import NORMAL, NOT_ANSWERED, Cause
from gateway.calls.commands import Command, Dial, Hangup, Note, StartTimer, StopTimer, Timer, TurnDown, Why
from gateway.calls.consult import Consulting
from gateway.calls.handing import encoded_uui
from gateway.calls.model import JsonObject, Leg, LegId, Role, Room, SupervisorMode
from gateway.calls.orders import AddLeg
from gateway.calls.outbound import NoWay, TransferReason, callees
from gateway.calls.states import LEG_TRANSITIONS, CallState, LegState, LegTrigger, advance

_WHY: dict[TransferReason, Why] = {
    TransferReason.BLOCKED: "blocked",
    TransferReason.UNREACHABLE: "unreachable",
    TransferReason.NO_AGENTS: "agent-busy",
}
_DEAF = (Role.CUSTOMER, Role.SUPERVISOR)
"""To whom nobody whispers."""


@dataclass(slots=True)
class Joining(Consulting):
    """What control knows of those who join."""

    _until: dict[LegId, float] = field(default_factory=dict)
    """Who is called, and when it has rung for too long."""
    _most_s: dict[LegId, float] = field(default_factory=dict)
    """How long each may stay (dialplan.md, `max_talk_s`); there is no entry for those who may stay for ever."""
    _stays_until: dict[LegId, float] = field(default_factory=dict)
    """The same of those who have answered, as a moment."""
    _whispers_to: dict[LegId, LegId] = field(default_factory=dict)
    """Of supervisors who said so; else they whisper to whoever talks to the customer."""

    # ── They are called ─────────────────────────────────────────────────────────────────────────────

    def _add_leg(self, order: AddLeg) -> list[Command]:
        wrong = self._whisper_refused(order.whisper_to)
        if wrong is not None:
            return [TurnDown("legs", "invalid", wrong)]
        (callee,) = callees(order.target)
        try:
            uui = encoded_uui(order.target)
        except ValueError as error:
            return [TurnDown("legs", "invalid", str(error))]
        agent = callee.value if callee.kind == "agent" else None
        engaged = self.outbound.engaged(agent) if agent is not None else None
        if engaged is not None:
            return [TurnDown("legs", "agent-busy", f"agent: {agent} {engaged}")]
        way = self.outbound.way_to(self.call, order.target, callee, self._now)
        if isinstance(way, NoWay):
            return [TurnDown("legs", _WHY.get(way.reason, "invalid"), way.detail)]
        leg = Leg(order.leg_id, order.role, LegState.DIALLING, Room.LOBBY, trunk=way.trunk, agent=agent)
        told: JsonObject = {"legId": leg.id, "role": leg.role.value, "target": way.shown}
        if leg.role is Role.SUPERVISOR:
            leg.mode = order.mode
            told["mode"] = leg.mode.value
            if order.whisper_to is not None:
                self._whispers_to[leg.id] = order.whisper_to
        self.call.others.append(leg)
        self._until[leg.id] = self._now + callee.timeout_s
        if way.max_talk_s is not None:
            self._most_s[leg.id] = way.max_talk_s
        headers = tuple(callee.headers.items())
        dial = Dial(leg.id, way.trunk, way.number, way.uri, way.caller, way.diverting, headers, uui)
        return [Note("leg.dialling", told), dial, *self._join_timer()]

    def _joins(self, leg_id: LegId) -> bool:
        return leg_id in self._until

    def _joiner_rings(self, leg_id: LegId) -> list[Command]:
        leg = self.call.legs[leg_id]
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.PROVISIONAL)
        return []

    def _joiner_answered(self, leg_id: LegId) -> list[Command]:
        leg = self.call.legs[leg_id]
        del self._until[leg_id]
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.ANSWERED)
        if leg.role is Role.AGENT:
            talk_on = self._people() if self.call.state is CallState.AGENTS_ONLY else []
            leg.room = talk_on[0].room if talk_on else Room.MAIN
        if leg_id in self._most_s:
            self._stays_until[leg_id] = self._now + self._most_s[leg_id]
        return self._join_timer()

    def _joiner_left(self, leg_id: LegId) -> list[Command]:
        """It was not answered."""
        del self._until[leg_id]
        return self._join_timer()

    def _time_is_over(self) -> list[Command]:
        """Somebody has rung, or stayed, for too long."""
        late = [leg_id for leg_id, until in self._until.items() if until <= self._now]
        commands = [command for leg_id in late for command in self._call_off(leg_id, NOT_ANSWERED)]
        for leg_id in [leg_id for leg_id, until in self._stays_until.items() if until <= self._now]:
            commands += self._release_leg(self.call.legs[leg_id])
        return [*commands, *self._join_timer()]

    def _release_leg(self, leg: Leg) -> list[Command]:
        """It is gone for the others at once (ordering.py)."""
        raise NotImplementedError

    def _call_off(self, leg_id: LegId, cause: Cause = NORMAL) -> list[Command]:
        """Not called any more."""
        del self._until[leg_id]
        leg = self.call.legs[leg_id]
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.RELEASE)
        return [Hangup(leg_id, cause)]

    def _join_timer(self) -> list[Command]:
        legs, stay = self.call.legs, self._stays_until
        self._stays_until = {one: until for one, until in stay.items() if legs[one].state is LegState.CONNECTED}
        moments = [*self._until.values(), *self._stays_until.values()]
        if not moments:
            return [StopTimer(Timer.JOIN)]
        return [StartTimer(Timer.JOIN, max(1, round((min(moments) - self._now) * 1000)))]

    def _stays_no_more(self, leg_id: LegId) -> list[Command]:
        """Its dialog is gone."""
        return self._join_timer() if leg_id in self._stays_until else []

    # ── They stay, and go ───────────────────────────────────────────────────────────────────────────

    def _release_joined(self, *, supervisors: bool) -> list[Command]:
        """Those who joined a talk that is over, and those who were to join it."""
        called = [leg_id for leg_id in self._until if supervisors or self.call.legs[leg_id].role is Role.AGENT]
        commands = [command for leg_id in called for command in self._call_off(leg_id)]
        for leg in self.call.others:
            joined = leg.role is Role.AGENT and leg.room is Room.MAIN
            if joined or (supervisors and leg.role is Role.SUPERVISOR):
                commands += self._release(leg, NORMAL)
        return [*commands, *self._join_timer()]

    def _release_others(self) -> list[Command]:
        return [*self._release_joined(supervisors=True), *super(Joining, self)._release_others()]

    def _after_joining(self) -> list[Command]:
        """What follows for those who joined from where the call is."""
        commands: list[Command] = []
        if self.call.state in (CallState.BOT, CallState.TRANSFERRING):  # nobody talks to the customer
            commands += self._release_joined(supervisors=False)
        self._follow()
        return commands

    def _follow(self) -> None:
        """Supervisors are where the one is whom they whisper to, or the agent, or the customer."""
        agent = self._agent() or next(iter(self._people()), None)
        for leg in self.call.others:
            if leg.role is not Role.SUPERVISOR:
                continue
            asked = self.call.legs.get(self._whispers_to.get(leg.id, leg.id))
            hears = asked is not None and asked.role not in _DEAF and asked.state is LegState.CONNECTED
            to = asked if hears else agent
            leg.whisper_to = to.id if to is not None and leg.mode is SupervisorMode.WHISPER else None
            leg.watches = to.id if to is not None else self.call.customer.id

    def _whisper_refused(self, to: LegId | None) -> str | None:
        """What is wrong with whispering to this leg; None if nothing is."""
        leg = self.call.legs.get(to) if to is not None else None
        if to is None:
            return None
        if leg is None or leg.state in (LegState.ENDING, LegState.ENDED):
            return "whisperTo: the call has no such leg"
        if leg.role in _DEAF:
            return f"whisperTo: is the leg of a {leg.role.value}; whisper to an agent or a consultant"
        return None
