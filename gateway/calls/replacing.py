"""Legs whose place others take: by INVITE with Replaces, or because the customer's side passes the call on; a base of
hops.py (transfer.md, "REFER and Replaces that arrive")."""

from dataclasses import dataclass, field

from gateway.calls.causes import NORMAL, TRANSFERRED, Cause
from gateway.calls.commands import Answer, Command, Hangup, Note, Reject
from gateway.calls.events import LegOffered
from gateway.calls.model import JsonObject, Leg, LegId, PeerHold, Role, Room
from gateway.calls.people import AmongPeople
from gateway.calls.states import LEG_TRANSITIONS, LegState, LegTrigger, advance
from gateway.calls.transfer import Transfer
from gateway.calls.view import rfc3339


@dataclass(slots=True)
class Replacing(AmongPeople):
    """What control knows of legs that are replaced. `_leaves` is hops.py's."""

    _replacing: dict[LegId, LegId] = field(default_factory=dict)
    """Legs that called us to take another one's place, and are not connected yet."""

    def _replacement_offered(self, event: LegOffered) -> list[Command]:
        """Somebody calls to take the place of a leg of ours (RFC 3891 §3)."""
        old = self.call.legs.get(event.replaces) if event.replaces else None
        talks = self.transfer.bridged if self.transfer else None
        if old is None or old.state is not LegState.CONNECTED:
            return [Reject(event.leg_id, 481, NORMAL)]
        if (old is not self.call.customer and old.id != talks) or old.id in self._replacing.values():
            return [Reject(event.leg_id, 486, NORMAL)]
        new = Leg(event.leg_id, old.role, LegState.ANSWERING, Room.LOBBY, trunk=event.caller.trunk, agent=old.agent)
        self.call.others.append(new)
        self._replacing[new.id] = old.id
        return [Answer(new.id)]

    def _replacement_answered(self, new_id: LegId) -> list[Command]:
        """It is connected: the other one goes."""
        new, old = self.call.legs[new_id], self.call.legs.get(self._replacing.pop(new_id))
        new.state = advance(LEG_TRANSITIONS, new.state, LegTrigger.ACK)
        if old is None or old.state is not LegState.CONNECTED:
            return self._release(new, NORMAL)
        if old is self.call.customer:
            return [*self._leaves(old), *self._take_place(old, new)]
        if isinstance(self.transfer, Transfer):
            told: JsonObject = {"kind": "replaced", "status": "SUCCESS", "at": rfc3339(self._now)}
            self.transfer.adopt(new, told)
        return [*self._leaves(old), *self._release(old)]

    def _release_replacements(self) -> list[Command]:
        """The call ends: nobody takes anybody's place any more."""
        waiting, self._replacing = [self.call.legs[leg_id] for leg_id in self._replacing], {}
        return [command for leg in waiting for command in self._release(leg, NORMAL)]

    def _trunk_of(self, leg: Leg) -> str:
        return leg.trunk or self.call.caller.trunk

    def _take_place(self, old: Leg, new: Leg) -> list[Command]:
        """The customer speaks through another leg from now on."""
        call = self.call
        call.others.remove(new)
        call.others.append(old)
        new.role, new.room, call.customer = Role.CUSTOMER, Room.MAIN, new
        replaced = [Note("customer.replaced", {"legId": new.id, "before": old.id}), *self._release(old)]
        moved = self._carry_out(self.turns.move(new.id, held=new.peer_hold is not PeerHold.NONE))
        return [*replaced, *moved, *self._go_on()]

    def _release(self, leg: Leg, cause: Cause = TRANSFERRED) -> list[Command]:
        if leg.state not in (LegState.CONNECTED, LegState.ANSWERING):
            return []
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.RELEASE)
        return [Hangup(leg.id, cause)]
