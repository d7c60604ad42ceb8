"""The agent asks somebody while the customer hears music, and what each hang-up means then; a base of control.py.

control-api.md, "The agent's flow": one consult at a time, the agent's and the consultant's rooms are all that changes.
"""

from dataclasses import dataclass

from gateway.calls import rights
from gateway.calls.causes import NORMAL
from gateway.calls.commands import Command, Note
from gateway.calls.events import LegEnded
from gateway.calls.hops import Hopping
from gateway.calls.model import JsonObject, Leg, OnAgentHangup, Ringback, Role, Room
from gateway.calls.orders import Consult as ConsultOrder
from gateway.calls.outbound import TransferReason
from gateway.calls.states import (
    CALL_TRANSITIONS,
    CONSULT_TRANSITIONS,
    CallState,
    CallTrigger,
    ConsultState,
    ConsultTrigger,
    LegState,
    TransferState,
    advance,
)
from gateway.calls.transfer import Transfer
from gateway.calls.view import rfc3339


@dataclass(slots=True)
class Consult:
    """One consult. `hunt` calls the consultant, who is `peer` once there."""

    id: str
    agent: Leg
    hunt: Transfer
    on_agent_hangup: OnAgentHangup
    peer: Leg | None = None
    forwarding: bool = False
    """The agent wants to be gone as soon as the consultant is there, or is gone already."""
    told_ringing: bool = False


@dataclass(slots=True)
class Consulting(Hopping):
    """What control knows of consults. `self.call.consult` is its public state."""

    consult: Consult | None = None

    # ── What the agent orders ───────────────────────────────────────────────────────────────────────

    def _consult(self, order: ConsultOrder) -> list[Command]:
        agent = self._agent()
        if agent is None or self.transfer is None:
            return []
        refused = rights.consult_refused(agent, order.target, self.outbound)
        if refused is not None:
            return [refused]
        on_hangup = order.on_agent_hangup or self.call.channel.on_agent_hangup
        if rights.lacks(agent, "forward", self.outbound) is not None:
            on_hangup = "end"
        id_ = self.new_id("cons")
        hunt = self._hunt(id_, order.target, hop_of=self.transfer.id, is_hop=True, consult=True)
        unheld = self._reopen(self.call.customer, agent)
        self.consult = Consult(id_, agent, hunt, on_hangup)
        agent.room = Room.CONSULT
        self._go_consult(ConsultTrigger.DIAL)
        return [*unheld, *hunt.begin(self._now)]

    def _swap(self) -> list[Command]:
        consult = self.consult
        if consult is None:
            return []
        self._go_consult(ConsultTrigger.SWAP)
        consult.agent.room = Room.CONSULT if self.call.consult is ConsultState.CONSULTING else Room.MAIN
        return [self._said("consult.swapped", state=self.call.consult.value)]

    def _merge(self) -> list[Command]:
        consult = self.consult
        if consult is None or consult.peer is None:
            return []
        self._go_consult(ConsultTrigger.MERGE)
        consult.agent.room = consult.peer.room = Room.MAIN
        return [self._said("consult.merged")]

    def _forward(self) -> list[Command]:
        consult = self.consult
        if consult is None:
            return []
        lacking = rights.lacks(consult.agent, "forward", self.outbound)
        if lacking is not None:
            return [*rights.refused("forward", lacking)]
        if consult.peer is None:  # on answer
            consult.forwarding = True
            return [self._said("consult.forwarding")]
        return [*self._forwarded(consult, consult.peer), *self._release(consult.agent)]

    def _end_consult(self) -> list[Command]:
        """Cancelled, or the consultant is released."""
        consult = self.consult
        if consult is None:
            return []
        commands: list[Command] = []
        if consult.peer is not None:
            commands += self._release(consult.peer, NORMAL)
        elif consult.hunt.outcome is None:
            commands += consult.hunt.cancel(self._now)
        return [*commands, *self._consult_over("agent")]

    # ── How it goes on ──────────────────────────────────────────────────────────────────────────────

    def _after_consult(self) -> list[Command]:
        """How far the call to the consultant is."""
        consult = self.consult
        if consult is None or consult.peer is not None:
            return []
        hunt, commands = consult.hunt, list[Command]()
        if hunt.state is TransferState.BRIDGED and hunt.bridged is not None:
            consult.peer = self.call.legs[hunt.bridged]
            commands += hunt.passed_on(self._now)
            if consult.forwarding:
                agent_gone = consult.agent.state is not LegState.CONNECTED
                forwarded = self._forwarded(consult, consult.peer)
                return [*commands, *forwarded, *([] if agent_gone else self._release(consult.agent))]
            self._go_consult(ConsultTrigger.ANSWERED)
        elif hunt.outcome is not None:
            return self._consult_failed(consult, hunt.outcome.reason, hunt.outcome.sip_status, hunt.outcome.detail)
        return commands

    def _consult_failed(
        self, consult: Consult, reason: TransferReason, status: int | None, detail: str | None
    ) -> list[Command]:
        """Busy, no answer: the agent is with the customer again, by itself and in one step."""
        why = {"detail": detail} if detail is not None else {}
        failed = self._said("consult.failed", reason=reason.value, sipStatus=status, **why)
        alone = consult.agent.state is not LegState.CONNECTED
        over = self._consult_over("consultant", told=failed)
        if alone and isinstance(self.transfer, Transfer):
            return [*over, *self.transfer.left_alone(reason, self._now)]
        return over

    def _forwarded(self, consult: Consult, peer: Leg) -> list[Command]:
        """Customer and consultant stay: from now on that one is the agent."""
        told: JsonObject = {
            "kind": "forward",
            "transferId": consult.id,
            "number": consult.hunt.number,
            "status": "SUCCESS",
            "reason": TransferReason.COMPLETED.value,
            "sipStatus": 200,
            "at": rfc3339(self._now),
        }
        said = self._said("consult.forwarded", legId=peer.id)
        peer.role = Role.AGENT
        if isinstance(self.transfer, Transfer):
            self.transfer.adopt(peer, told)
        return [*self._reopen(self.call.customer, peer), *self._consult_over("agent", told=said)]

    def _consult_over(self, by: str, told: Note | None = None) -> list[Command]:
        consult = self.consult
        if consult is None:
            return []
        note = told or self._said("consult.ended", by=by)
        self._go_consult(ConsultTrigger.OVER)
        self.consult, consult.agent.room = None, Room.MAIN
        if self.call.state is CallState.AGENTS_ONLY:  # whoever joined was asked along
            for leg in self._people():
                leg.room = Room.MAIN
        self.call.passing_on = self.hop is not None
        return [note]

    # ── Who hangs up ────────────────────────────────────────────────────────────────────────────────

    def _one_of_consult_left(self, leg: Leg, event: LegEnded) -> list[Command] | None:
        """What follows when this leg has ended; None if it has nothing to do with a consult."""
        consult = self.consult
        if consult is None:
            return None
        if leg is consult.agent:
            return self._consulting_agent_left(consult, event)
        if leg is consult.peer:
            return self._consult_over("consultant")
        return consult.hunt.leg_ended(event, self._now) if consult.hunt.calls(leg.id) else None

    def _people_stay(self) -> bool:
        """The customer has left: agent and consultant go on, and so does the call to the consultant, or whoever talked
        to the customer together. They all hear each other."""
        consult = self.consult
        if consult is None:
            return len(self._people()) > 1
        if consult.agent.state is not LegState.CONNECTED:
            return False
        room = Room.MAIN if self.call.consult is ConsultState.MERGED else Room.CONSULT
        for leg in self._people():
            leg.room = room
        return True

    def _consulting_agent_left(self, consult: Consult, event: LegEnded) -> list[Command]:
        """Rights pass on: of three who talk, two stay; else it is as `onAgentHangup` says."""
        merged = self.call.consult is ConsultState.MERGED
        if consult.peer is not None and (merged or consult.on_agent_hangup == "forward"):
            return self._forwarded(consult, consult.peer)
        heir = self._heir()
        if heir is not None:
            return [*self._end_consult(), *self._pass_to(heir)]
        if consult.peer is None and consult.on_agent_hangup == "forward":
            consult.forwarding = self.call.passing_on = True
            self.call.ringback = Ringback.TONE
            self.call.state = advance(CALL_TRANSITIONS, self.call.state, CallTrigger.PASSED_ON)
            return []
        ended = self._end_consult()
        return [*ended, *(self.transfer.leg_ended(event, self._now) if self.transfer else [])]

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _settle_all(self) -> list[Command]:
        """What follows from how far consult, hop and transfer are."""
        self._agent_moved()
        commands = self._after_consult()
        if self.consult is not None and self.transfer is not None and self.transfer.outcome is not None:
            commands += self._end_consult()
        if self.call.state is CallState.AGENTS_ONLY and self.consult is None and len(self._people()) < 2:
            commands += self._release_others()  # of two who talked, one is left
        commands += self._settle()
        if self.call.state not in (CallState.TALKING, CallState.AGENTS_ONLY):
            commands += self._reopen(*self.call.legs.values())
        return [*commands, *self._after_joining()]

    def _after_joining(self) -> list[Command]:
        """What follows for those who joined, from where the call is (joining.py)."""
        raise NotImplementedError

    def _agent_moved(self) -> None:
        """The agent speaks through another leg from now on (RFC 3891): the consult is that one's."""
        agent, consult = self._agent(), self.consult
        if consult is not None and agent is not None and agent is not consult.agent:
            agent.room, consult.agent = consult.agent.room, agent

    def _cancel(self, now: float) -> list[Command]:
        """The API takes back what still calls somebody; a consult only when its agent is gone, as `end-consult` is for
        the agent."""
        consult = self.consult
        if consult is not None and self.call.state is CallState.TRANSFERRING:
            return consult.hunt.cancel(now)
        return super(Consulting, self)._cancel(now)  # slots=True makes another class: no bare super()

    def _go_consult(self, trigger: ConsultTrigger) -> None:
        self.call.consult = advance(CONSULT_TRANSITIONS, self.call.consult, trigger)

    def _said(self, name: str, **fields: str | int | None) -> Note:
        consult = self.consult
        told: JsonObject = {} if consult is None else {"consultId": consult.id, "target": consult.hunt.number}
        return Note(name, told | {**fields})
