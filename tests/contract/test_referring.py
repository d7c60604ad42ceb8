"""What the engine relies on of REFER, both ways: PJSIP's legs with a peer who called or was called, and the fake."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol, cast

import pytest

from gateway.calls import causes
from gateway.calls.commands import Dial, ShownCaller
from gateway.calls.events import LegAnswered, LegEnded, LegOffered
from gateway.calls.model import LegId
from gateway.calls.refers import ReferAnswered, ReferNotified, ReferReceived, ReferTarget, SendRefer
from gateway.dialplan.addresses import Host
from gateway.sip.endpoint import Endpoint, SipSettings
from gateway.sip.legs import SipLegs
from gateway.sip.media import SipBridge
from gateway.sip.resolver import Target
from gateway.sip.trunk import TrunkSpec
from tests.callee import Callee
from tests.caller import Caller
from tests.contract.test_dialling import World
from tests.fakes.legs import FakeLegs
from tests.gateway_process import GatewayProcess
from tests.leaks import no_leaks
from tests.referring import Referring
from tests.sip_legs import sip_legs
from tests.wire import Wire

LEG = LegId("leg_out")
SPEC = TrunkSpec("t", host=Host("carrier.example"))
SALES = "sip:+4915@carrier.example"
TARGET = ReferTarget(SALES, "+4915", own=False)


def order(leg_id: LegId = LEG, trunk: str = "t", **more: Any) -> SendRefer:
    return SendRefer(leg_id, trunk, "+4915", None, **more)


class FarEnd(Protocol):
    """Who talks to us on the one leg."""

    async def is_referred(self, count: int = 1) -> None: ...
    def answers(self, status: int, *, notifies: bool = True) -> None: ...
    async def notifies(self, status: int | None) -> int:
        """NOTIFY of this status, or without a body; what it is answered."""
        ...

    def refers(self, *, subscribes: bool = True) -> None: ...
    async def is_answered(self, status: int, count: int = 1) -> None:
        """Its `count`th REFER was answered so."""
        ...

    async def is_notified(self, *statuses: int) -> None:
        """Of its last REFER, of these in order, and of nothing else."""
        ...

    async def hangs_up(self) -> None: ...
    async def is_hung_up(self) -> None: ...


class RealFarEnd:
    def __init__(self, phone: Callee | Caller) -> None:
        self.phone: Callee | Caller = phone
        self._refer: Wire | None = None
        self._cseqs: list[int] = []

    async def is_referred(self, count: int = 1) -> None:
        self._refer = await self.phone.is_referred(None, count=count)

    def answers(self, status: int, *, notifies: bool = True) -> None:
        assert self._refer is not None
        self.phone.replies(self._refer, f"{status} So", *([] if notifies else ["Refer-Sub: false"]))

    async def notifies(self, status: int | None) -> int:
        return (await self.phone.notifies(None if status is None else f"{status} So")).status

    def refers(self, *, subscribes: bool = True) -> None:
        more = [] if subscribes else ["Refer-Sub: false"]
        self._cseqs.append(self.phone.requests("REFER", f"Refer-To: <{SALES}>", *more))

    async def is_answered(self, status: int, count: int = 1) -> None:
        cseq = f"{self._cseqs[count - 1]} REFER"

        def answers() -> list[int]:
            return [m.status for m in self.phone.messages if not m.sent and m.header("CSeq") == cseq]

        await self.phone.comes(lambda: bool(answers()), f"the answer to {cseq}")
        assert answers() == [status]

    async def is_notified(self, *statuses: int) -> None:
        await self.phone.comes(lambda: len(self.phone.notified) >= len(statuses), "NOTIFY")
        assert [int(line.split(" ")[1]) for line in self.phone.notified] == list(statuses)

    async def hangs_up(self) -> None:
        await self.phone.hangs_up()

    async def is_hung_up(self) -> None:
        await self.phone.is_hung_up()


class FakeFarEnd:
    def __init__(self, legs: FakeLegs) -> None:
        self._legs = legs
        self._ids: list[int] = []

    async def is_referred(self, count: int = 1) -> None:
        assert len(self._legs.all[LEG].referred) == count

    def answers(self, status: int, *, notifies: bool = True) -> None:
        self._legs.answers_refer(LEG, status, notifies=notifies)

    async def notifies(self, status: int | None) -> int:
        self._legs.notifies(LEG, status)
        return 200

    def refers(self, *, subscribes: bool = True) -> None:
        self._ids.append(self._legs.refers(LEG, TARGET, subscribes=subscribes))

    async def is_answered(self, status: int, count: int = 1) -> None:
        await asyncio.sleep(0)
        assert self._legs.all[LEG].refers[self._ids[count - 1]] == status

    async def is_notified(self, *statuses: int) -> None:
        assert self._legs.all[LEG].notified.get(self._ids[-1], []) == list(statuses)

    async def hangs_up(self) -> None:
        self._legs.bye(LEG)

    async def is_hung_up(self) -> None:
        assert self._legs.all[LEG].got_bye


class Referral(World):
    """The port under test, its events, and a far end that is connected."""

    far: Any
    leg_id = LEG

    @property
    def told(self) -> list[Any]:
        """All that is about REFER."""
        return [e for e in self.events if isinstance(e, ReferAnswered | ReferNotified | ReferReceived)]

    @property
    def phone(self) -> Referring:
        """Of the real far end."""
        return cast(Referring, self.far.phone)

    async def is_referred(self) -> int:
        """A REFER comes and is accepted; its id."""
        self.far.refers()
        refer = await self.event(ReferReceived)
        self.legs.answer_refer(refer.leg_id, refer.refer_id, 202)
        await self.far.is_answered(202)
        return refer.refer_id


@asynccontextmanager
async def fake() -> AsyncIterator[Referral]:
    legs = FakeLegs()
    world = Referral(legs)
    world.far = FakeFarEnd(legs)
    await legs.start(world.take, lambda *_: None)
    legs.call(LEG)
    legs.answer(LEG)
    await world.event(LegAnswered)
    yield world
    await legs.stop()


@asynccontextmanager
async def real(targets: tuple[Target, ...] = (), spec: TrunkSpec = SPEC) -> AsyncIterator[tuple[Referral, int]]:
    """PJSIP's, and the port where it listens."""
    admit = (("127.0.0.0/8", ("udp", "tcp")),)
    endpoint = Endpoint(SipSettings("127.0.0.1", udp_port=0, tcp_port=0, rtp_ports=(21000, 29000), admit=admit))
    bridge = SipBridge(endpoint, lambda name: b"\0\0" * 800)
    legs = sip_legs(endpoint, bridge, lambda: LEG, spec, lambda: targets)
    world = Referral(legs)
    await legs.start(world.take, lambda *_: None)
    try:
        yield world, endpoint.udp_port or 0
    finally:
        await legs.stop()
    assert legs.counts() == {"legs": 0, "orders": 0, "voices": 0, "ports": 0}


@asynccontextmanager
async def called(spec: TrunkSpec = SPEC) -> AsyncIterator[Referral]:
    """One whom we called."""
    async with Callee() as callee, real((Target(callee.address, callee.port, "udp"),), spec) as (world, _):
        world.far = RealFarEnd(callee)
        world.legs.dial(Dial(LEG, "t", "+4912", None, ShownCaller("+12125550100")))
        await callee.is_called()
        await callee.answers()
        await world.event(LegAnswered)
        yield world


@asynccontextmanager
async def calling() -> AsyncIterator[Referral]:
    """One who called us."""
    async with AsyncExitStack() as stack:
        world, port = await stack.enter_async_context(real())
        nobody = cast(GatewayProcess, None)
        caller = await stack.enter_async_context(Caller(nobody, proxy=("127.0.0.1", port)))
        world.far = RealFarEnd(caller)
        caller.invites("100")
        world.legs.answer((await world.event(LegOffered)).leg_id)
        await caller.is_answered()
        await world.event(LegAnswered)
        yield world


@pytest.fixture(params=[fake, called, calling], ids=["fake", "called", "calling"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[Referral]:
    async with no_leaks():
        make: Callable[[], Any] = request.param
        async with make() as made:
            yield made


async def settled(world: Referral) -> None:
    """All that was ordered so far is done, and its events are here."""
    if isinstance(world.legs, SipLegs):
        await world.legs._endpoint.run(lambda: None)
    await asyncio.sleep(0)


# ── We refer ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [202, 200, 302, 405, 480, 603])
async def test_the_answer_to_our_refer(world: Referral, status: int) -> None:
    world.legs.refer(order())
    await world.far.is_referred()
    world.far.answers(status)
    assert await world.event(ReferAnswered) == ReferAnswered(LEG, status)


async def test_no_subscription(world: Referral) -> None:
    world.legs.refer(order())
    await world.far.is_referred()
    world.far.answers(202, notifies=False)
    assert await world.event(ReferAnswered) == ReferAnswered(LEG, 202, by_peer=True, notifies=False)


async def test_notifies_are_answered_and_told_if_they_say_something(world: Referral) -> None:
    world.legs.refer(order())
    await world.far.is_referred()
    world.far.answers(202)
    await world.event(ReferAnswered)
    assert [await world.far.notifies(status) for status in (100, None, 180, 200)] == [200] * 4
    await world.event(ReferNotified, 3)
    assert world.told[1:] == [ReferNotified(LEG, status) for status in (100, 180, 200)]


async def test_a_notify_may_overtake_the_answer(world: Referral) -> None:
    world.legs.refer(order())
    await world.far.is_referred()
    assert await world.far.notifies(100) == 200
    world.far.answers(202)
    await world.event(ReferAnswered)
    assert world.told == [ReferNotified(LEG, 100), ReferAnswered(LEG, 202)]


@pytest.mark.parametrize("by_peer", [True, False])
async def test_notifies_after_the_end(world: Referral, by_peer: bool) -> None:
    world.legs.refer(order())
    await world.far.is_referred()
    world.far.answers(202)
    await world.event(ReferAnswered)
    if by_peer:
        await world.far.hangs_up()
    else:
        world.legs.hangup(LEG, causes.NORMAL, ())
        await world.event(LegEnded)
        await world.far.is_hung_up()
    await world.event(LegEnded)
    assert [await world.far.notifies(status) for status in (180, None, 200)] == [200] * 3
    await world.event(ReferNotified, 2)
    assert world.told[1:] == [ReferNotified(LEG, 180), ReferNotified(LEG, 200)]


async def test_the_answer_may_come_after_the_end(world: Referral) -> None:
    world.legs.refer(order())
    await world.far.is_referred()
    await world.far.hangs_up()
    await world.event(LegEnded)
    world.far.answers(202)
    await world.event(ReferAnswered)
    assert await world.far.notifies(200) == 200
    await world.event(ReferNotified)
    assert world.told == [ReferAnswered(LEG, 202), ReferNotified(LEG, 200)]


async def test_a_leg_that_is_gone_cannot_be_referred(world: Referral) -> None:
    await world.far.hangs_up()
    await world.event(LegEnded)
    world.legs.refer(order())
    world.legs.refer(order(LegId("leg_never")))
    await world.event(ReferAnswered, 2)
    assert world.told == [ReferAnswered(leg, 481, by_peer=False) for leg in (LEG, LegId("leg_never"))]


async def test_a_trunk_that_is_not_there_has_no_numbers(world: Referral) -> None:
    world.legs.refer(order(trunk="nobody"))
    assert await world.event(ReferAnswered) == ReferAnswered(LEG, 503, by_peer=False)


async def test_the_end_of_all_answers_what_nobody_did(world: Referral) -> None:
    world.legs.refer(order())
    await world.far.is_referred()
    await world.legs.stop()
    await world.far.is_hung_up()
    assert world.told == [ReferAnswered(LEG, 503, by_peer=False)]


async def test_one_refer_after_the_other(world: Referral) -> None:
    for count, status in enumerate((603, 202), 1):
        world.legs.refer(order())
        await world.far.is_referred(count)
        world.far.answers(status)
        assert await world.event(ReferAnswered, count) == ReferAnswered(LEG, status)
    assert await world.far.notifies(200) == 200
    assert await world.event(ReferNotified) == ReferNotified(LEG, 200)


async def test_one_refer_takes_the_place_of_another(world: Referral) -> None:
    for count in (1, 2):
        world.legs.refer(order())
        await world.far.is_referred(count)
    await world.legs.stop()
    await world.far.is_hung_up()
    assert world.told == [ReferAnswered(LEG, 503, by_peer=False)]


# ── We are referred ─────────────────────────────────────────────────────────────────────────────────


async def test_a_refer_is_told_answered_and_notified_in_order(world: Referral) -> None:
    refer_id = await world.is_referred()
    assert world.told[0].target.uri == SALES
    for status in (100, 180, 183, 200, 486):
        world.legs.notify_refer(LEG, refer_id, status)
    await settled(world)
    await world.far.is_notified(100, 180, 183, 200)
    assert len(world.told) == 1, "nothing follows the final one"


async def test_a_refer_is_declined(world: Referral) -> None:
    world.far.refers()
    refer = await world.event(ReferReceived)
    world.legs.answer_refer(LEG, refer.refer_id, 603)
    world.legs.answer_refer(LEG, refer.refer_id, 202)
    await world.far.is_answered(603)
    world.legs.notify_refer(LEG, refer.refer_id, 200)
    await settled(world)
    await world.far.is_notified()


async def test_a_refer_without_subscription_is_not_notified(world: Referral) -> None:
    world.far.refers(subscribes=False)
    refer = await world.event(ReferReceived)
    world.legs.answer_refer(LEG, refer.refer_id, 202)
    await world.far.is_answered(202)
    world.legs.notify_refer(LEG, refer.refer_id, 200)
    await settled(world)
    await world.far.is_notified()


async def test_a_second_refer_while_one_is_pending_has_to_wait(world: Referral) -> None:
    world.far.refers()
    refer = await world.event(ReferReceived)
    world.far.refers()
    await world.far.is_answered(491, 2)
    world.legs.answer_refer(LEG, refer.refer_id, 202)
    await world.far.is_answered(202, 1)
    world.far.refers()
    second = await world.event(ReferReceived, 2)
    assert second.refer_id != refer.refer_id


async def test_the_referrer_hangs_up_before_the_answer(world: Referral) -> None:
    world.far.refers()
    refer = await world.event(ReferReceived)
    await world.far.hangs_up()
    await world.event(LegEnded)
    await world.far.is_answered(481)
    world.legs.answer_refer(LEG, refer.refer_id, 202)
    world.legs.notify_refer(LEG, refer.refer_id, 200)
    await settled(world)
    await world.far.is_notified()


async def test_the_referrer_hangs_up_before_it_is_told_all(world: Referral) -> None:
    refer_id = await world.is_referred()
    world.legs.notify_refer(LEG, refer_id, 100)
    await settled(world)
    await world.far.is_notified(100)
    await world.far.hangs_up()
    await world.event(LegEnded)
    world.legs.notify_refer(LEG, refer_id, 200)
    await settled(world)
    await world.far.is_notified(100)


async def test_what_never_came_is_left_in_peace(world: Referral) -> None:
    world.legs.answer_refer(LEG, 4711, 202)
    world.legs.notify_refer(LEG, 4711, 200)
    await settled(world)
    assert world.told == []
