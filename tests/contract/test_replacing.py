"""What the engine relies on when an INVITE wants the place of a leg (RFC 3891 §3): of PJSIP's legs, and of the fake."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar

import pytest

from gateway.calls import causes
from gateway.calls.commands import Dial, ShownCaller
from gateway.calls.events import LegAnswered, LegEnded, LegEvent, LegOffered, LegRinging
from gateway.calls.model import LegId
from gateway.engine.ports import Legs
from gateway.sip.accounts import Accounts
from gateway.sip.endpoint import Endpoint, SipSettings
from gateway.sip.legs import SipLegs
from gateway.sip.media import SipBridge
from gateway.sip.resolver import Resolver, Target
from gateway.sip.trunk import TrunkSpec
from tests.callee import Callee
from tests.contract.sip_peer import SipPeer
from tests.fakes.legs import CALLER, FakeLegs
from tests.leaks import no_leaks

E = TypeVar("E", bound=LegEvent)
OUT: Final = LegId("leg_out")
NEVER: Final = LegId("leg_never")
TRUNKS: Final = ("t", "callee's", "other")
ADDRESS_OF: Final = {"t": "127.0.0.1", "callee's": "127.0.0.2", "other": "127.0.0.4", "nobody's": "127.0.0.5"}
"""Where the callers of each trunk are; who is called on "t" is at the address of "callee's". The gate admits all."""
TRUNK_AT: Final = {ADDRESS_OF[trunk]: trunk for trunk in TRUNKS}


class World(Protocol):
    """The port under test, and its far ends."""

    legs: Legs
    events: list[LegEvent]

    async def event(self, kind: type[E], count: int = 1) -> E: ...
    async def calls(self) -> None:
        """Somebody calls on "t"."""
        ...

    async def is_called(self) -> None:
        """Wait until the INVITE to OUT is there."""
        ...

    async def rings(self) -> None: ...
    async def picks_up(self) -> None: ...
    async def wants(self, leg_id: LegId, trunk: str = "t", *, early_only: bool = False) -> int:
        """An INVITE on this trunk wants the place of this leg; its final status, 0 if it was offered."""
        ...


class _Events:
    def __init__(self) -> None:
        self.events: list[LegEvent] = []
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

    def offers(self) -> int:
        return sum(isinstance(event, LegOffered) for event in self.events)


class FakeWorld(_Events):
    def __init__(self) -> None:
        super().__init__()
        self.legs = FakeLegs()
        self._numbers = itertools.count()

    async def calls(self) -> None:
        self.legs.call(LegId(f"leg_{next(self._numbers)}"), address=ADDRESS_OF["t"])

    async def is_called(self) -> None:
        self.legs.all[OUT].address = ADDRESS_OF["callee's"]

    async def rings(self) -> None:
        self.legs.rings(OUT)

    async def picks_up(self) -> None:
        self.legs.picks_up(OUT)

    async def wants(self, leg_id: LegId, trunk: str = "t", *, early_only: bool = False) -> int:
        by = LegId(f"leg_{next(self._numbers)}")
        caller, address = replace(CALLER, trunk=trunk), ADDRESS_OF[trunk]
        leg = self.legs.call(by, caller, address=address, replaces=leg_id, early_only=early_only)
        await asyncio.sleep(0)
        return leg.statuses[-1] if leg.statuses[-1] >= 200 else 0


class RealWorld(_Events):
    def __init__(self, legs: SipLegs, callee: Callee, stack: AsyncExitStack) -> None:
        super().__init__()
        self.legs, self._callee, self._stack = legs, callee, stack
        self.port = 0
        self.dialogs: dict[LegId, tuple[str, str, str]] = {NEVER: ("call@nowhere", "1", "2")}
        self.peers: list[SipPeer] = []

    async def peer(self, trunk: str) -> SipPeer:
        made = await self._stack.enter_async_context(SipPeer(self.port, ADDRESS_OF[trunk]))
        self.peers.append(made)
        return made

    async def calls(self) -> None:
        (await self.peer("t")).invite()

    async def is_called(self) -> None:
        await self._callee.is_called()

    async def rings(self) -> None:
        self._callee.rings()

    async def picks_up(self) -> None:
        await self._callee.answers()

    async def wants(self, leg_id: LegId, trunk: str = "t", *, early_only: bool = False) -> int:
        call_id, to_tag, from_tag = self._dialog(leg_id)
        value = f"{call_id};to-tag={to_tag};from-tag={from_tag}{';early-only' if early_only else ''}"
        return await self.asks(f"Replaces: {value}\r\nRequire: replaces\r\n", trunk)

    async def asks(self, headers: str, trunk: str = "t") -> int:
        """INVITE with these headers; its final status, 0 if it was offered."""
        peer, before = await self.peer(trunk), self.offers()
        peer.invite(headers=headers)
        final = asyncio.create_task(peer.until(lambda: any(status >= 200 for status in peer.statuses)))
        offered = asyncio.create_task(self.event(LegOffered, before + 1))
        done, pending = await asyncio.wait((final, offered), return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            task.result()
        return peer.statuses[-1] if final in done else 0

    def _dialog(self, leg_id: LegId) -> tuple[str, str, str]:
        if leg_id == OUT:
            return self._callee.dialog
        return self.dialogs[leg_id] if leg_id in self.dialogs else self.peers[0].dialog


@asynccontextmanager
async def _fake() -> AsyncIterator[FakeWorld]:
    world = FakeWorld()
    await world.legs.start(world.take, lambda *_: None)
    yield world
    await world.legs.stop()


@asynccontextmanager
async def _pjsip() -> AsyncIterator[RealWorld]:
    admit = (("127.0.0.0/8", ("udp",)),)
    endpoint = Endpoint(SipSettings("127.0.0.1", udp_port=0, tcp_port=None, rtp_ports=(21000, 29000), admit=admit))
    numbers = itertools.count()
    async with AsyncExitStack() as stack:
        callee = await stack.enter_async_context(Callee(ADDRESS_OF["callee's"]))
        legs = SipLegs(
            endpoint,
            SipBridge(endpoint, lambda name: b"\0\0" * 800),
            Accounts(endpoint),
            [TrunkSpec(trunk) for trunk in TRUNKS],
            lambda address, *_: TRUNK_AT.get(address),
            lambda _: (Target(callee.address, callee.port, "udp"),),
            Resolver().resolve,
            lambda: LegId(f"leg_{next(numbers)}"),
        )
        world = RealWorld(legs, callee, stack)
        await legs.start(world.take, lambda *_: None)
        world.port = endpoint.udp_port or 0
        try:
            yield world
        finally:
            await legs.stop()
    assert legs.counts() == {"legs": 0, "orders": 0, "voices": 0, "ports": 0}


@pytest.fixture(params=[_fake, _pjsip], ids=["fake", "pjsip"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with no_leaks():
        make: Any = request.param
        async with make() as made:
            yield made


@pytest.fixture
async def real() -> AsyncIterator[RealWorld]:
    async with no_leaks(), _pjsip() as made:
        yield made


async def offered(world: World) -> LegId:
    """An inbound leg that is not answered."""
    await world.calls()
    leg_id = (await world.event(LegOffered)).leg_id
    world.legs.ring(leg_id)
    if isinstance(world, RealWorld):
        await world.peers[0].until(lambda: 180 in world.peers[0].statuses)
    return leg_id


async def connected(world: World) -> LegId:
    """An inbound leg."""
    leg_id = await offered(world)
    world.legs.answer(leg_id)
    await world.event(LegAnswered)
    return leg_id


async def dialled(world: World, *, answered: bool) -> LegId:
    """An outbound leg."""
    world.legs.dial(Dial(OUT, "t", "100", None, ShownCaller("+12125550100")))
    await world.is_called()
    await world.rings()
    await world.event(LegRinging)
    if answered:
        await world.picks_up()
        await world.event(LegAnswered)
    return OUT


def last_offer(world: World) -> LegOffered:
    return [event for event in world.events if isinstance(event, LegOffered)][-1]


async def test_on_the_trunk_of_a_leg_it_is_offered_with_that_leg(world: World) -> None:
    leg_id = await connected(world)
    assert await world.wants(leg_id) == 0
    offer = last_offer(world)
    assert (offer.replaces, offer.caller.trunk) == (leg_id, "t")
    world.legs.answer(offer.leg_id)
    assert await world.event(LegAnswered, 2) == LegAnswered(offer.leg_id, "PCMU")
    assert not [event for event in world.events if isinstance(event, LegEnded)], "the old leg is the engine's to end"
    world.legs.hangup(leg_id, causes.NORMAL, ())
    assert (await world.event(LegEnded)).leg_id == leg_id


async def test_the_peer_of_an_outbound_leg_may_whatever_trunk_it_calls_on(world: World) -> None:
    leg_id = await dialled(world, answered=True)
    assert await world.wants(leg_id, "callee's") == 0
    assert last_offer(world).replaces == leg_id


async def test_an_early_dialog_that_we_began_may_be_replaced(world: World) -> None:
    leg_id = await dialled(world, answered=False)
    assert await world.wants(leg_id, early_only=True) == 0
    assert last_offer(world).replaces == leg_id


async def test_an_offer_that_replaces_can_be_rejected_and_the_leg_lives(world: World) -> None:
    leg_id = await connected(world)
    assert await world.wants(leg_id) == 0
    offer = last_offer(world)
    world.legs.reject(offer.leg_id, 486, "Busy", causes.NORMAL, ())
    ended = await world.event(LegEnded)
    assert (ended.leg_id, ended.sip_status) == (offer.leg_id, 486)
    assert await world.wants(leg_id) == 0, "the leg is there yet"


async def test_an_unknown_dialog(world: World) -> None:
    await connected(world)
    assert await world.wants(NEVER) == 481
    assert await world.wants(NEVER, "other") == 481


async def test_a_dialog_of_another_trunk(world: World) -> None:
    leg_id = await connected(world)
    assert await world.wants(leg_id, "other") == 403
    assert await world.wants(leg_id, "other", early_only=True) == 403


async def test_a_dialog_that_is_over(world: World) -> None:
    leg_id = await connected(world)
    world.legs.hangup(leg_id, causes.NORMAL, ())
    await world.event(LegEnded)
    assert await world.wants(leg_id) == 603
    assert await world.wants(leg_id, "other") == 403


async def test_early_only_of_a_dialog_that_is_confirmed(world: World) -> None:
    leg_id = await connected(world)
    assert await world.wants(leg_id, early_only=True) == 486


async def test_early_only_of_an_outbound_dialog_that_is_confirmed(world: World) -> None:
    leg_id = await dialled(world, answered=True)
    assert await world.wants(leg_id, early_only=True) == 486


async def test_an_early_dialog_that_we_did_not_begin(world: World) -> None:
    leg_id = await offered(world)
    assert await world.wants(leg_id) == 481
    assert await world.wants(leg_id, "other") == 403


async def test_what_was_refused_is_no_leg(world: World) -> None:
    leg_id = await connected(world)
    before = len(world.events)
    assert [await world.wants(NEVER), await world.wants(leg_id, "other")] == [481, 403]
    assert len(world.events) == before


# ── PJSIP alone ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_source_without_a_trunk_learns_nothing(real: RealWorld) -> None:
    leg_id = await connected(real)
    assert await real.wants(leg_id, "nobody's") == 403
    assert await real.wants(NEVER, "nobody's") == 403


async def test_tags_the_wrong_way_round_are_another_dialog(real: RealWorld) -> None:
    leg_id = await connected(real)
    call_id, to_tag, from_tag = real.peers[0].dialog
    real.dialogs[leg_id] = (call_id, from_tag, to_tag)
    assert await real.wants(leg_id) == 481
    real.dialogs[leg_id] = (call_id.upper(), to_tag, from_tag)
    assert await real.wants(leg_id) == 481


@pytest.mark.parametrize(
    "headers",
    [
        "Replaces: a@b;to-tag=1;from-tag=2\r\nReplaces: a@b;to-tag=1;from-tag=2\r\n",
        "Replaces: a b;to-tag=1;from-tag=2\r\n",
        "Replaces: a@b;to-tag=1\r\n",
        "Replaces: a@b;from-tag=1\r\n",
        "Replaces: a@b\r\n",
        "Replaces:\r\n",
        "Replaces: a@b;to-tag=1;from-tag=2;from-tag=3\r\n",
    ],
)
async def test_what_names_no_dialog_or_two_of_them_is_malformed(real: RealWorld, headers: str) -> None:
    assert await real.asks(headers) == 400
    assert not real.events
