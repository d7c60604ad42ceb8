"""What the engine relies on of any Bridge: PJSIP's with native ports and a listening SIP peer, and the fake."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.calls.events import LegAnswered, LegEvent, LegHoldChanged, LegOffered
from gateway.calls.model import RINGBACK_TONE, BotParty, CallId, Edge, LegId, LegParty, MusicParty
from gateway.engine.ports import Bridge
from gateway.sip.endpoint import Endpoint, SipSettings
from gateway.sip.legs import SipLegs
from gateway.sip.media import SipBridge
from tests.contract.sip_peer import SipPeer
from tests.fakes.bridge import FakeBridge
from tests.leaks import no_leaks
from tests.sip_legs import sip_legs

CALL = CallId("call_1")
LEG = LegId("leg_1")
HEARS_BOT = frozenset({Edge(BotParty(), LegParty(LEG)), Edge(LegParty(LEG), BotParty())})
HEARS_RINGBACK = frozenset({Edge(RINGBACK_TONE, LegParty(LEG))})
HEARS_MUSIC = frozenset({Edge(MusicParty("hold/calm"), LegParty(LEG))})
LOUD = 20


@dataclass
class World:
    """The port under test in a call whose leg hears the bot, and the marks that came back."""

    bridge: Bridge
    marks: list[tuple[CallId, int, int, bool]]
    passing: Callable[[int], Awaitable[None]]
    """Let so many milliseconds pass."""

    def pcm(self, ms: int) -> bytes:
        """A rectangular tone."""
        samples = self.bridge.clock_rate * ms // 1000
        return (b"\x00\x20" * 4 + b"\x00\xe0" * 4) * (samples // 8)

    async def until(self, count: int, longest_ms: int = 2000) -> None:
        """Wait for so many marks."""
        for _ in range(longest_ms // 20):
            if len(self.marks) >= count:
                return
            await self.passing(20)
        assert len(self.marks) >= count, self.marks


@dataclass
class RealWorld(World):
    """With the peer at the other end."""

    peer: SipPeer
    events: list[LegEvent]
    legs: SipLegs
    music: list[bytes]
    """The one that every name stands for."""

    async def loudness(self, ms: int = 200) -> int:
        """Share (per cent) of loud samples that the peer hears from now on: µ-law, silence is near 0x7f or 0xff."""
        await asyncio.sleep(0.1)
        self.peer.audio.clear()
        await asyncio.sleep(ms / 1000)
        heard = bytes(self.peer.audio)
        assert heard, "the gateway sends no RTP"
        return 100 * sum((byte & 0x7F) < 0x60 for byte in heard) // len(heard)

    async def hold(self, direction: str) -> None:
        before = sum(isinstance(event, LegHoldChanged) for event in self.events)
        self.peer.invite(direction=direction)
        assert await self.peer.final() == 200
        async with asyncio.timeout(5):
            while sum(isinstance(event, LegHoldChanged) for event in self.events) == before:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def _fake() -> AsyncIterator[World]:
    marks: list[tuple[CallId, int, int, bool]] = []
    bridge = FakeBridge(lambda *mark: marks.append(mark))

    async def passing(ms: int) -> None:
        bridge.advance(ms)

    bridge.open_voice(CALL)
    bridge.set_hearing(CALL, HEARS_BOT)
    yield World(bridge, marks, passing)


@asynccontextmanager
async def _pjsip() -> AsyncIterator[RealWorld]:
    marks: list[tuple[CallId, int, int, bool]] = []
    events: list[LegEvent] = []
    endpoint = Endpoint(SipSettings(bind="127.0.0.1", udp_port=0, tcp_port=0, rtp_ports=(21000, 29000)))
    music: list[bytes] = []
    bridge = SipBridge(endpoint, lambda name: music[0])
    legs = sip_legs(endpoint, bridge, lambda: LEG)

    def on(event: LegEvent) -> None:
        events.append(event)
        if isinstance(event, LegOffered):
            legs.answer(event.leg_id)

    async def passing(ms: int) -> None:
        await asyncio.sleep(ms / 1000)

    await legs.start(on, lambda *mark: marks.append(mark))
    try:
        async with SipPeer(endpoint.udp_port or 0) as peer:
            world = RealWorld(bridge, marks, passing, peer, events, legs, music)
            music.append(world.pcm(100))
            peer.invite()
            async with asyncio.timeout(5):
                while not any(isinstance(event, LegAnswered) for event in events):
                    await asyncio.sleep(0.01)
            bridge.open_voice(CALL)
            bridge.set_hearing(CALL, HEARS_BOT)
            yield world
            bridge.close_voice(CALL)
            await legs.stop()
    finally:
        await legs.stop()
    assert legs.counts() == {"legs": 0, "orders": 0, "voices": 0, "ports": 0}


@pytest.fixture(params=[_fake, _pjsip], ids=["fake", "pjsip"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    make: Any = request.param
    async with no_leaks(), make() as made:
        yield made


@pytest.fixture
async def real() -> AsyncIterator[RealWorld]:
    async with no_leaks(), _pjsip() as made:
        yield made


async def test_marks_come_back_in_order_when_their_buffers_were_heard(world: World) -> None:
    world.bridge.write(CALL, world.pcm(100), 1, False)
    world.bridge.write(CALL, world.pcm(40), 0, False)
    world.bridge.write(CALL, world.pcm(60), 2, False)
    await world.until(2)
    rate = world.bridge.clock_rate
    assert world.marks == [(CALL, 1, rate // 10, False), (CALL, 2, rate * 60 // 1000, False)]


async def test_a_mark_does_not_come_before_its_time(world: World) -> None:
    world.bridge.write(CALL, world.pcm(400), 1, False)
    await world.passing(200)
    assert world.marks == []
    await world.until(1)


async def test_flush_gives_each_dropped_mark_back_and_what_follows_is_played(world: World) -> None:
    world.bridge.write(CALL, world.pcm(1000), 1, False)
    world.bridge.write(CALL, world.pcm(1000), 2, False)
    await world.passing(200)
    world.bridge.flush(CALL)
    world.bridge.write(CALL, world.pcm(40), 3, False)
    await world.until(3, 400)
    assert [(mark, flushed) for _, mark, _, flushed in world.marks] == [(1, True), (2, True), (3, False)]
    rate = world.bridge.clock_rate
    assert rate // 20 <= world.marks[0][2] <= rate // 2
    assert world.marks[1][2] == 0


async def test_what_a_call_that_is_not_there_asks_for_is_ignored(world: World) -> None:
    other = CallId("call_never")
    world.bridge.write(other, world.pcm(20), 1, False)
    world.bridge.flush(other)
    world.bridge.set_hearing(other, frozenset())
    world.bridge.close_voice(other)
    await world.passing(60)
    assert world.marks == []


async def test_after_close_no_mark_comes(world: World) -> None:
    world.bridge.write(CALL, world.pcm(100), 1, False)
    world.bridge.close_voice(CALL)
    world.bridge.write(CALL, world.pcm(20), 2, False)
    await world.passing(200)
    assert world.marks == []


async def test_the_peer_hears_what_its_edges_say(real: RealWorld) -> None:
    real.bridge.write(CALL, real.pcm(3000), 1, False)
    assert await real.loudness() > LOUD
    real.bridge.set_hearing(CALL, frozenset())
    assert await real.loudness() == 0
    real.bridge.set_hearing(CALL, HEARS_MUSIC)
    assert await real.loudness() > LOUD
    real.bridge.set_hearing(CALL, frozenset({Edge(BotParty(), LegParty(LEG), 0.0)}))
    assert await real.loudness() == 0
    real.bridge.set_hearing(CALL, HEARS_BOT)
    assert await real.loudness() > LOUD


async def test_ringback_begins_anew_each_time(real: RealWorld) -> None:
    """However far somebody else's is, or the last one was: else a caller might hear its pause first."""
    real.music[:] = [real.pcm(1000) + bytes(2 * real.bridge.clock_rate * 4)]
    real.bridge.set_hearing(CALL, HEARS_RINGBACK)
    await real.passing(1500)
    assert await real.loudness() == 0, "its pause"
    real.bridge.set_hearing(CALL, frozenset())
    assert await real.loudness() == 0
    real.bridge.set_hearing(CALL, HEARS_RINGBACK)
    assert await real.loudness() > LOUD


async def test_edges_are_made_again_after_the_peers_hold_and_playback_goes_on_meanwhile(real: RealWorld) -> None:
    real.bridge.write(CALL, real.pcm(200), 1, False)
    await real.until(1)
    await real.hold("inactive")
    real.bridge.write(CALL, real.pcm(100), 2, False)
    await real.until(2, 1000)  # nobody hears it, and its mark comes in time
    await real.hold("sendrecv")
    real.bridge.write(CALL, real.pcm(2000), 3, False)
    assert await real.loudness() > LOUD


async def test_a_time_without_voices_is_no_gap_of_the_media_clock(real: RealWorld) -> None:
    bridge = real.bridge
    assert isinstance(bridge, SipBridge)
    assert bridge.longest_gap_s() == 0.0
    await real.passing(200)
    assert 0.015 < bridge.longest_gap_s() < 0.3
    bridge.close_voice(CALL)
    await real.passing(500)
    bridge.open_voice(CALL)
    await real.passing(200)
    assert bridge.longest_gap_s() == 0.0
    await real.passing(200)
    assert 0.015 < bridge.longest_gap_s() < 0.3
