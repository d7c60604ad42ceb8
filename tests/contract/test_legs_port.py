"""What the engine relies on of any Legs: PJSIP's with a SIP peer on loopback, and the fake."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import pytest

from gateway.calls import causes
from gateway.calls.causes import Cause, Reason, Result
from gateway.calls.events import (
    DigitsSent,
    DtmfReceived,
    LegAnswered,
    LegEnded,
    LegEvent,
    LegHoldChanged,
    LegOffered,
)
from gateway.calls.model import LegId, PeerHold
from gateway.engine.ports import Legs
from gateway.sip.endpoint import Endpoint, SipSettings
from gateway.sip.media import SipBridge
from tests.contract.sip_peer import SipPeer
from tests.fakes.legs import FakeLeg, FakeLegs
from tests.leaks import no_leaks
from tests.sip_legs import sip_legs

E = TypeVar("E", bound=LegEvent)


class FarEnd(Protocol):
    """The peer of one leg, and what it saw."""

    def ack_later(self) -> None: ...
    def call(self) -> None: ...
    def cancel(self) -> None: ...
    def bye(self, reason: str = "") -> None: ...
    async def hold(self, hold: PeerHold) -> None: ...
    def press(self, digit: str) -> None: ...
    async def saw(self, status: int) -> str:
        """Wait for this status of the INVITE; the Reason header (or "") that came with it."""
        ...

    async def is_turned_away(self) -> int:
        """Wait for a 503 to the INVITE: its Retry-After."""
        ...

    async def saw_bye(self) -> str: ...
    async def saw_digits(self, digits: str) -> None: ...


class RealFarEnd:
    def __init__(self, peer: SipPeer) -> None:
        self._peer = peer

    def ack_later(self) -> None:
        self._peer.acks = False

    def call(self) -> None:
        self._peer.invite()

    def cancel(self) -> None:
        self._peer.cancel()

    def bye(self, reason: str = "") -> None:
        self._peer.bye(reason)

    async def hold(self, hold: PeerHold) -> None:
        self._peer.invite(direction=hold.value)
        assert await self._peer.final() == 200

    def press(self, digit: str) -> None:
        self._peer.press(digit)

    async def saw(self, status: int) -> str:
        await self._peer.until(lambda: status in self._peer.statuses)
        return _reason(self._peer.responses[self._peer.statuses.index(status)])

    async def is_turned_away(self) -> int:
        await self._peer.until(lambda: 503 in self._peer.statuses)
        return int(_header(self._peer.responses[self._peer.statuses.index(503)], "Retry-After"))

    async def saw_bye(self) -> str:
        await self._peer.until(lambda: any(text.startswith("BYE ") for text in self._peer.requests))
        return _reason(next(text for text in self._peer.requests if text.startswith("BYE ")))

    async def saw_digits(self, digits: str) -> None:
        await self._peer.until(lambda: self._peer.digits == digits)


def _reason(text: str) -> str:
    return _header(text, "Reason")


def _header(text: str, name: str) -> str:
    return next((line.partition(": ")[2] for line in text.split("\r\n") if line.startswith(f"{name}: ")), "")


class FakeFarEnd:
    def __init__(self, legs: FakeLegs, leg_id: LegId) -> None:
        self._legs, self._id = legs, leg_id
        self._acks = True

    @property
    def _leg(self) -> FakeLeg:
        return self._legs.all[self._id]

    def ack_later(self) -> None:
        self._acks = False

    def call(self) -> None:
        self._legs.call(self._id, acks=self._acks)

    def cancel(self) -> None:
        self._legs.cancel(self._id)

    def bye(self, reason: str = "") -> None:
        self._legs.bye(self._id, reason)

    async def hold(self, hold: PeerHold) -> None:
        self._legs.hold(self._id, hold)

    def press(self, digit: str) -> None:
        self._legs.press(self._id, digit)

    async def saw(self, status: int) -> str:
        assert status in self._leg.statuses
        return dict(self._leg.headers).get("Reason", "")

    async def is_turned_away(self) -> int:
        assert self._leg.statuses[-1] == 503
        return int(dict(self._leg.headers)["Retry-After"])

    async def saw_bye(self) -> str:
        assert self._leg.got_bye
        return dict(self._leg.headers)["Reason"]

    async def saw_digits(self, digits: str) -> None:
        assert self._leg.digits == digits


class World:
    """The port under test, its events in order, and as many far ends as wanted."""

    def __init__(self, legs: Legs, far_end: Callable[[], FarEnd], settle: float) -> None:
        self.legs = legs
        self.far_end = far_end
        self.events: list[LegEvent] = []
        self._settle = settle
        self._news = asyncio.Event()

    def take(self, event: LegEvent) -> None:
        self.events.append(event)
        self._news.set()

    async def event(self, kind: type[E], count: int = 1) -> E:
        """Wait for the `count`th event of this kind."""
        async with asyncio.timeout(5):
            while len(found := [event for event in self.events if isinstance(event, kind)]) < count:
                self._news.clear()
                await self._news.wait()
        return found[count - 1]

    async def settle(self) -> None:
        """Let what may still come, come."""
        await asyncio.sleep(self._settle)

    async def offered(self, far: FarEnd) -> LegId:
        count = len([event for event in self.events if isinstance(event, LegOffered)])
        far.call()
        return (await self.event(LegOffered, count + 1)).leg_id

    async def connected(self, far: FarEnd) -> LegId:
        leg_id = await self.offered(far)
        self.legs.answer(leg_id)
        await self.event(LegAnswered)
        return leg_id


@asynccontextmanager
async def _fake() -> AsyncIterator[World]:
    legs = FakeLegs()
    numbers = iter(range(1000))
    world = World(legs, lambda: FakeFarEnd(legs, LegId(f"leg_{next(numbers)}")), 0)
    await legs.start(world.take, lambda *_: None)
    yield world
    await legs.stop()


@asynccontextmanager
async def _pjsip() -> AsyncIterator[World]:
    admit = (("127.0.0.0/8", ("udp", "tcp")),)
    endpoint = Endpoint(SipSettings("127.0.0.1", udp_port=0, tcp_port=0, rtp_ports=(21000, 29000), admit=admit))
    numbers = iter(range(1000))
    bridge = SipBridge(endpoint, lambda name: b"\0\0" * 800)
    legs = sip_legs(endpoint, bridge, lambda: LegId(f"leg_{next(numbers)}"))
    peers: list[SipPeer] = []
    world = World(legs, lambda: RealFarEnd(peers.pop()), 0.1)
    await legs.start(world.take, lambda *_: None)
    try:
        port = endpoint.udp_port or 0
        async with SipPeer(port) as one, SipPeer(port) as two, SipPeer(port) as three:
            peers += [three, two, one]
            yield world
            await legs.stop()
    finally:
        await legs.stop()
    assert legs.counts() == {"legs": 0, "orders": 0, "voices": 0, "ports": 0}


@pytest.fixture(params=[_fake, _pjsip], ids=["fake", "pjsip"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with no_leaks():
        make: Any = request.param
        async with make() as made:
            yield made


async def test_offered_comes_first_and_says_who_calls_whom(world: World) -> None:
    await world.offered(world.far_end())
    caller = world.events[0].caller if isinstance(world.events[0], LegOffered) else None
    assert caller is not None
    assert (caller.trunk, caller.from_, caller.to, caller.from_name) == ("t", "+4912", "100", "Ann")
    assert caller.sip_call_id


async def test_ring_answer_and_the_ack(world: World) -> None:
    far = world.far_end()
    leg_id = await world.offered(far)
    world.legs.ring(leg_id)
    world.legs.answer(leg_id)
    world.legs.answer(leg_id)
    await far.saw(180)
    await far.saw(200)
    assert await world.event(LegAnswered) == LegAnswered(leg_id, "PCMU")
    await world.settle()
    assert len(world.events) == 2


async def test_unacknowledged_is_not_answered(world: World) -> None:
    far = world.far_end()
    far.ack_later()
    leg_id = await world.offered(far)
    world.legs.answer(leg_id)
    await world.settle()
    assert len(world.events) == 1


async def test_reject_carries_status_reason_and_cause(world: World) -> None:
    far = world.far_end()
    leg_id = await world.offered(far)
    cause = Cause(Result.BOT, Reason.BUSY)
    world.legs.reject(leg_id, 486, "Busy", cause, (("X-Why", "because"),))
    assert await world.event(LegEnded) == LegEnded(leg_id, cause, 486, 17, False)
    assert (await far.saw(486)).startswith("Q.850;cause=17")


async def test_redirect(world: World) -> None:
    far = world.far_end()
    leg_id = await world.offered(far)
    world.legs.redirect(leg_id, ("sip:a@192.0.2.1",))
    ended = await world.event(LegEnded)
    assert (ended.sip_status, ended.by_peer, ended.cause) == (302, False, causes.BOT_REDIRECTED)
    await far.saw(302)


async def test_hangup_before_the_answer_is_a_refusal(world: World) -> None:
    far = world.far_end()
    leg_id = await world.offered(far)
    world.legs.hangup(leg_id, causes.NORMAL, ())
    assert await world.event(LegEnded) == LegEnded(leg_id, causes.NORMAL, 603, 16, False)
    await far.saw(603)


async def test_hangup_after_the_answer_is_a_bye_with_a_reason(world: World) -> None:
    far = world.far_end()
    leg_id = await world.connected(far)
    world.legs.hangup(leg_id, causes.OVER_LIMIT, ())
    assert without_rtp(await world.event(LegEnded)) == LegEnded(leg_id, causes.OVER_LIMIT, 200, 42, False)
    assert (await far.saw_bye()).startswith("Q.850;cause=42")


@pytest.mark.parametrize(
    ("reason", "cause", "q850"),
    [("", causes.NORMAL, None), ("Q.850;cause=17", Cause(Result.CARRIER, Reason.BUSY), 17)],
)
async def test_the_peers_bye(world: World, reason: str, cause: Cause, q850: int | None) -> None:
    far = world.far_end()
    leg_id = await world.connected(far)
    far.bye(reason)
    assert without_rtp(await world.event(LegEnded)) == LegEnded(leg_id, cause, 200, q850, True)


def without_rtp(ended: LegEnded) -> LegEnded:
    """The end of a leg that was answered: there was media."""
    assert ended.rtp is not None and ended.rtp.codec == "PCMU"
    return replace(ended, rtp=None)


async def test_cancel(world: World) -> None:
    far = world.far_end()
    leg_id = await world.offered(far)
    world.legs.ring(leg_id)
    await far.saw(180) if isinstance(far, RealFarEnd) else None
    far.cancel()
    assert await world.event(LegEnded) == LegEnded(leg_id, causes.CANCELLED, 487, None, True)


async def test_hold_is_told_when_it_changes(world: World) -> None:
    far = world.far_end()
    leg_id = await world.connected(far)
    for count, hold in enumerate((PeerHold.SENDONLY, PeerHold.INACTIVE, PeerHold.NONE), 1):
        await far.hold(hold)
        assert await world.event(LegHoldChanged, count) == LegHoldChanged(leg_id, hold)
    await far.hold(PeerHold.NONE)
    await world.settle()
    assert len(world.events) == 5


async def test_each_key_press_is_told_once(world: World) -> None:
    far = world.far_end()
    leg_id = await world.connected(far)
    for digit in "5#A":
        far.press(digit)
    await world.event(DtmfReceived, 3)
    await world.settle()
    assert [event for event in world.events if isinstance(event, DtmfReceived)] == [
        DtmfReceived(leg_id, digit) for digit in "5#A"
    ]


async def test_digits_go_out_and_are_told(world: World) -> None:
    far = world.far_end()
    leg_id = await world.connected(far)
    world.legs.send_digits(leg_id, "1w2", 60)
    world.legs.send_digits(leg_id, "#", 60)
    await world.event(DigitsSent, 2)
    await far.saw_digits("12#")


async def test_a_leg_that_is_gone_is_left_in_peace(world: World) -> None:
    far = world.far_end()
    leg_id = await world.connected(far)
    far.bye()
    await world.event(LegEnded)
    world.legs.ring(leg_id)
    world.legs.answer(leg_id)
    world.legs.reject(leg_id, 486, "", causes.NORMAL, ())
    world.legs.redirect(leg_id, ("sip:a@b",))
    world.legs.hangup(leg_id, causes.NORMAL, ())
    world.legs.hangup(LegId("leg_never"), causes.NORMAL, ())
    world.legs.send_digits(leg_id, "1", 60)
    assert await world.event(DigitsSent) == DigitsSent(leg_id)
    await world.settle()
    assert len([event for event in world.events if isinstance(event, LegEnded)]) == 1


async def test_both_hang_up_at_once_and_it_ends_once(world: World) -> None:
    far = world.far_end()
    leg_id = await world.connected(far)
    far.bye()
    world.legs.hangup(leg_id, causes.NORMAL, ())
    world.legs.hangup(leg_id, causes.OVER_LIMIT, ())
    await world.event(LegEnded)
    await world.settle()
    assert len([event for event in world.events if isinstance(event, LegEnded)]) == 1


async def test_stop_ends_every_leg(world: World) -> None:
    one, two = world.far_end(), world.far_end()
    connected = await world.connected(one)
    offered = await world.offered(two)
    await world.legs.stop()
    ended = [event for event in world.events if isinstance(event, LegEnded)]
    assert {event.leg_id for event in ended} == {connected, offered}
    assert {event.cause for event in ended} == {causes.DRAINED}


@pytest.mark.parametrize("draining", [False, True])
async def test_what_is_new_is_turned_away_without_a_leg_until_calls_are_taken_again(
    world: World, draining: bool
) -> None:
    live, early, late = world.far_end(), world.far_end(), world.far_end()
    leg_id = await world.connected(live)
    world.legs.turn_away(17, draining=draining)
    await world.settle()
    early.call()
    assert await early.is_turned_away() == 17
    await world.settle()
    assert len(world.events) == 2, "no leg was made of it"
    world.legs.turn_away(None, draining=False)
    await world.settle()
    await world.offered(late)
    live.bye()
    assert (await world.event(LegEnded)).leg_id == leg_id, "the live call was not touched"
