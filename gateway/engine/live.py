"""The calls that are up now, by id and by leg, and whether new ones are taken; owned by engine.py."""

import asyncio
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.calls.causes import NORMAL
from gateway.calls.events import LegEvent
from gateway.calls.model import CallId, Direction, Leg, LegId
from gateway.calls.refers import ClaimPeer, ClaimRefused, LegTakenOver, PeerClaimed, ReferReceived
from gateway.calls.witnesses import leg_of

if TYPE_CHECKING:
    from gateway.engine.call import LiveCall


@dataclass(slots=True)
class Live:
    """The registry. A call is in it from the INVITE until its last leg is gone; `finishing` still tell their bots."""

    limit: int
    calls: "dict[CallId, LiveCall]" = field(default_factory=dict)
    by_leg: "dict[LegId, LiveCall]" = field(default_factory=dict)
    per_channel: Counter[str] = field(default_factory=Counter)
    per_trunk: Counter[str] = field(default_factory=Counter)
    """How many legs each trunk carries, inbound and outbound together."""
    finishing: set[asyncio.Task[None]] = field(default_factory=set)
    draining: bool = False
    agents_moved: dict[str, float] = field(default_factory=dict)
    """When an agent of the plan last came into a call, or out of all calls (agents.py drops those who are in no plan);
    seconds since the epoch."""
    _legs_of: dict[CallId, dict[LegId, str]] = field(default_factory=dict)
    _promised: dict[CallId, Counter[str]] = field(default_factory=dict)
    """Legs that are about to be dialled: counted in `per_trunk` already, in `add_leg` no more."""
    _empty: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._empty.set()

    def add(self, call: "LiveCall") -> None:
        """A call began, with its customer's leg."""
        self.calls[call.id] = call
        self._legs_of[call.id], self._promised[call.id] = {}, Counter()
        self.add_leg(call, call.customer_leg, call.trunk)
        self.per_channel[call.channel] += 1
        self.finishing.add(call.task)
        call.task.add_done_callback(self._finished)
        self._empty.clear()

    def remove(self, call: "LiveCall") -> None:
        """Its last leg is gone. One that came over from another call too late to be seen is hung up."""
        if self.calls.pop(call.id, None) is None:
            return
        for leg_id in list(self._legs_of[call.id]):
            if leg_id not in call.call.legs:
                call.hang_up_stray(leg_id, NORMAL)
            self.remove_leg(call, leg_id)
        self.by_leg.pop(call.call.customer.id, None)
        del self._legs_of[call.id]
        self.per_trunk.subtract(self._promised.pop(call.id))  # those that a defect kept from being dialled
        self.per_channel[call.channel] -= 1

    def promise(self, call_id: CallId, trunk: str) -> None:
        """This live call may dial on this trunk: the channel is taken now, as whoever asks before it dials must find it
        so (several targets at once, another call while the journal is awaited)."""
        self._promised[call_id][trunk] += 1
        self.per_trunk[trunk] += 1

    def add_leg(self, call: "LiveCall", leg_id: LegId, trunk: str) -> None:
        """A live call has one more leg, on this trunk: it takes one of the trunk's channels, one promised if it can."""
        self.by_leg[leg_id] = call
        self._legs_of[call.id][leg_id] = trunk
        if self._promised[call.id][trunk]:
            self._promised[call.id][trunk] -= 1
        else:
            self.per_trunk[trunk] += 1

    def remove_leg(self, call: "LiveCall", leg_id: LegId) -> None:
        """A leg of a live call is gone; nothing if it is not there any more. What still comes of the customer's leg (a
        NOTIFY after its BYE) finds the call until that one is over."""
        trunk = self._legs_of[call.id].pop(leg_id, None) if call.id in self._legs_of else None
        if trunk is not None:
            if leg_id != call.call.customer.id:
                del self.by_leg[leg_id]
            self.per_trunk[trunk] -= 1

    def moved(self, call: "LiveCall", agents: Set[str], now: float) -> None:
        """These have come into the call, or out of it. Whoever is in another one all the same stays as before."""
        others = [other.call for other in self.calls.values() if other is not call]
        for agent in agents:
            if all(leg_of(other, agent) is None for other in others):
                self.agents_moved[agent] = now

    # ── Legs that go from one call to another ───────────────────────────────────────────────────────

    def turned_round(self, refer: ReferReceived) -> ReferReceived:
        """Of the two calls that an agent's phone has, it may refer in either, with Replaces naming the other (RFC 5589
        §7). The one that its owner dialled does not last: a REFER there is taken as if it had come on the leg that it
        names, and named this one. Any other is given back as it is."""
        named = refer.target.replaces
        dialled, other = self.by_leg.get(refer.leg_id), self.by_leg.get(named) if named is not None else None
        if named is None or dialled is None or other is None or dialled is other:
            return refer
        inbound = dialled.call.direction is Direction.INBOUND  # whoever we called dialled nothing
        theirs = inbound and refer.leg_id == dialled.customer_leg and named != other.customer_leg
        trunk = self._legs_of[dialled.id].get(refer.leg_id)
        if not theirs or trunk is None or trunk != self._legs_of[other.id].get(named):  # whoever knows a dialog's tags
            return refer
        user = dialled.call.caller.to
        target = replace(refer.target, uri=f"sip:{user}", user=user, own=True, replaces=refer.leg_id)
        return ReferReceived(named, refer.refer_id, target, turned_round=True)

    def claim(self, call: "LiveCall", claim: ClaimPeer) -> None:
        """A call wants whoever talks to this leg of another one, which is asked; nobody is handed over of a call that
        is gone."""
        other = self.by_leg.get(claim.leg_id)
        if other is None or other is call:
            call.post(ClaimRefused())
        else:
            other.post(PeerClaimed(claim.leg_id, call.id, claim.refer_id))

    def hand_over(self, call: "LiveCall", leg: Leg, target: str, to: CallId) -> None:
        """The leg goes on in the other call; if that one is over by now, so is the leg."""
        self.remove_leg(call, leg.id)
        other = self.calls.get(to)
        if other is None:
            call.hang_up_stray(leg.id, NORMAL)
            return
        self.add_leg(other, leg.id, leg.trunk)
        other.post(LegTakenOver(leg, target))

    def forward(self, call: "LiveCall", event: LegEvent) -> bool:
        """Whether the event's leg is another call's by now, which has been given it, behind the leg itself. Its end
        would be nobody's else."""
        other = self.by_leg.get(event.leg_id)
        if other is None or other is call:
            return False
        other.post(event)
        return True

    def refuse_claim(self, to: CallId) -> None:
        """The call that asked gets nobody."""
        other = self.calls.get(to)
        if other is not None:
            other.post(ClaimRefused())

    async def wait_empty(self) -> None:
        """Return when no call is up and no bot is still being told of one."""
        await self._empty.wait()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self.finishing.discard(task)
        if not self.finishing:
            self._empty.set()
