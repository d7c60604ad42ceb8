"""Legs that go from one live call to another, INVITEs that take a leg's place: none is lost, nobody waits for ever."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.calls.causes import NORMAL
from gateway.calls.commands import BotEventName
from gateway.calls.events import LegEnded, LegOffered
from gateway.calls.model import CallId, LegId
from gateway.calls.refers import ClaimPeer, PeerClaimed, ReferReceived, ReferTarget
from gateway.calls.states import CallState
from gateway.engine.call import LiveCall
from tests.fakes.bot import says
from tests.fakes.legs import CALLER, FakeLeg
from tests.leaks import no_leaks
from tests.unit.engine.test_engine import Desk

NEW = LegId("new")
SWITCH = {"type": "switch", "phoneNumber": "+12125550101", "trunk": "acme", "continueCall": True}


class Two(Desk):
    """Two calls whose customers talk to somebody who was called: Ann talks to a phone, the phone talks to Bob."""

    async def talk(self) -> "Two":
        self.runs("cps: 3}}}", "cps: 30}}}\ndestinations: {allow: ['+1']}")
        self.bot.on(BotEventName.START, says(SWITCH))
        self.ann, _ = await self.calls("500")
        self.phone = await self.answered()
        self.second, _ = await self.calls("500")
        self.bob = await self.answered()
        return self

    async def answered(self) -> LegId:
        *_, leg_id = [leg_id for leg_id, leg in self.legs.all.items() if leg.order is not None]
        self.legs.picks_up(leg_id)
        await self.settles()
        return leg_id

    def call_of(self, leg_id: LegId) -> LiveCall:
        return self.engine.live.by_leg[leg_id]

    def leg(self, leg_id: LegId) -> FakeLeg:
        return self.legs.all[leg_id]

    def refers(self) -> None:
        """The phone passes Ann on to Bob."""
        self.legs.refers(self.phone, ReferTarget("sip:802@gw", "802", True, self.second))

    def ended(self, leg_id: LegId) -> None:
        """Its BYE is in the queue of its call, now."""
        self.legs.live.pop(leg_id)
        self.engine.on_leg(LegEnded(leg_id, NORMAL, 200, None, by_peer=True))

    def takes(self, leg_id: LegId, new: LegId = NEW) -> FakeLeg:
        """An INVITE with Replaces is in the queue of the call that has the leg, now."""
        leg = self.legs.all[new] = self.legs.live[new] = FakeLeg()
        self.engine.on_leg(LegOffered(new, replace(CALLER, trunk="acme"), replaces=leg_id))
        return leg

    def parts(self, leg_id: LegId) -> list[str]:
        """What the journal says of a leg, call by call."""
        told = [one.happening for one in self.journal.recorded]
        return [one.type for one in told if one.leg_id == leg_id and one.type.startswith("leg.")]


@pytest.fixture
async def two() -> AsyncIterator[Two]:
    async with no_leaks():
        desk = Two()
        await desk.engine.start()
        yield await desk.talk()
        await desk.engine.stop()
        assert not desk.engine.live.calls and not desk.engine.live.by_leg and not desk.legs.live
        assert not +desk.engine.live.per_trunk and not -desk.engine.live.per_trunk


async def test_the_peer_of_the_other_call_comes_over(two: Two):
    first, other = two.call_of(two.ann), two.call_of(two.second)
    two.refers()
    await two.settles()
    assert two.call_of(two.bob) is first and two.bob in first.call.legs and other.call.state is CallState.ENDED
    assert two.leg(two.phone).got_bye and two.leg(two.second).got_bye and not two.leg(two.bob).got_bye
    assert (two.leg(two.phone).refers, two.leg(two.phone).notified) == ({1: 202}, {1: [100, 200]})
    assert two.parts(two.bob) == ["leg.joined", "leg.left", "leg.joined"]
    assert two.engine.live.per_trunk["acme"] == 2
    two.legs.bye(two.bob)
    await two.settles()
    assert first.call.state is CallState.BOT and two.parts(two.bob)[-1] == "leg.left"


async def test_a_peer_that_leaves_as_it_comes_over_has_left(two: Two):
    """Its end waits in the queue of the call that hands it over."""
    first, other = two.call_of(two.ann), two.call_of(two.second)
    two.engine.on_leg(ReferReceived(two.phone, 7, ReferTarget("sip:802@gw", "802", True, two.second)))
    other.post(PeerClaimed(two.second, first.id))
    two.ended(two.bob)
    await two.settles()
    assert first.call.state is CallState.BOT and other.call.state is CallState.ENDED
    assert two.parts(two.bob) == ["leg.joined", "leg.left", "leg.joined", "leg.left"]


async def test_a_call_that_ends_refuses_what_it_is_still_asked(two: Two):
    """The question comes while the ends of its legs wait in its queue."""
    first, other = two.call_of(two.ann), two.call_of(two.second)
    two.engine.on_leg(ReferReceived(two.phone, 7, ReferTarget("sip:802@gw", "802", True, two.second)))
    two.ended(two.second)
    two.ended(two.bob)
    await two.settles()
    assert other.call.state is CallState.ENDED and not first.call.passing_on
    assert first.call.state is CallState.TALKING


async def test_a_call_that_is_over_has_no_place_to_take(two: Two):
    two.ended(two.second)
    two.ended(two.bob)
    new = two.takes(two.bob)
    await two.settles()
    assert new.statuses[-1] == 481


async def test_a_leg_that_comes_for_a_call_that_is_over_is_hung_up(two: Two):
    first, other = two.call_of(two.ann), two.call_of(two.second)
    other.post(PeerClaimed(two.second, first.id))
    two.ended(two.ann)
    two.ended(two.phone)
    await two.settles()
    assert two.leg(two.bob).got_bye and two.parts(two.bob)[-1] == "leg.left"


async def test_a_call_that_is_gone_hands_nobody_over_and_gets_nobody(two: Two):
    live, call = two.engine.live, two.call_of(two.ann)
    leg = call.call.legs[two.phone]
    live.hand_over(call, leg, "+1", CallId("gone"))
    live.refuse_claim(CallId("gone"))
    await two.settles()
    assert two.leg(two.phone).got_bye and two.phone not in live.by_leg


@pytest.mark.parametrize("own", [True, False])
async def test_nobody_to_claim_is_refused(two: Two, own: bool):
    two.legs.refers(two.phone, ReferTarget("sip:802@gw", "802", True, LegId("nobody")))
    await two.settles()
    assert two.leg(two.phone).notified == {1: [100, 400]} and not two.leg(two.phone).got_bye
    asking = two.call_of(two.ann)
    two.engine.live.claim(asking, ClaimPeer(two.phone if own else LegId("nobody"), asking.id))
    await two.settles()
    assert two.call_of(two.ann).call.state is CallState.TALKING


# ── INVITE with Replaces ──────────────────────────────────────────────────────────────────────────


async def test_an_invite_that_takes_a_legs_place_goes_to_its_call(two: Two):
    call = two.call_of(two.ann)
    new = two.takes(two.phone)
    await two.settles()
    assert (new.statuses[-1], two.leg(two.phone).got_bye) == (200, True)
    assert two.call_of(NEW) is call and two.engine.live.per_trunk["acme"] == 4
    two.legs.bye(two.ann)
    await two.settles()
    assert new.got_bye


async def test_an_invite_that_would_take_an_unknown_place_is_refused_and_recorded(two: Two):
    new = two.takes(LegId("nobody"))
    await two.settles()
    assert new.statuses[-1] == 481 and two.journal.types()[-1] == "call.refused"
    assert NEW not in two.engine.live.by_leg


async def test_a_place_that_cannot_be_taken_leaves_no_trace_in_its_call(two: Two):
    """The leg that rings is nobody's place yet."""
    two.takes(two.phone)
    again = two.takes(two.phone, LegId("again"))
    await two.settles()
    assert again.statuses[-1] == 486 and two.parts(LegId("again")) == []
    assert LegId("again") not in two.engine.live.by_leg
