"""What the engine relies on when a leg is dialled: PJSIP's with called parties on loopback, and the fake."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import pytest

from gateway.calls import causes
from gateway.calls.causes import Cause, Reason, Result
from gateway.calls.commands import Dial, ShownCaller
from gateway.calls.events import LegAnswered, LegEnded, LegEvent, LegRinging
from gateway.calls.model import LegId
from gateway.dialplan.addresses import Host
from gateway.engine.ports import Legs
from gateway.sip.endpoint import Endpoint, SipSettings
from gateway.sip.media import SipBridge
from gateway.sip.resolver import Target
from gateway.sip.trunk import Credentials, TrunkSpec
from tests.callee import Callee
from tests.fakes.legs import FakeLegs
from tests.leaks import no_leaks
from tests.sip_legs import sip_legs
from tests.wire import Wire

E = TypeVar("E", bound=LegEvent)
LEG = LegId("leg_out")
ORDER = Dial(LEG, "t", "+4915", None, ShownCaller("+12125550100", "Front Desk"), None, (("callReason", "support"),))


class FarEnd(Protocol):
    """The one who is called."""

    async def is_called(self) -> None: ...
    def rings(self, status: int = 180, *, media: bool = False) -> None: ...
    async def answers(self) -> None: ...
    async def refuses(self, status: int) -> None: ...
    async def hangs_up(self) -> None: ...
    async def saw_cancel(self) -> None: ...
    async def saw_bye(self) -> None: ...


class RealFarEnd:
    def __init__(self, callee: Callee) -> None:
        self._callee = callee

    async def is_called(self) -> None:
        await self._callee.is_called()

    def rings(self, status: int = 180, *, media: bool = False) -> None:
        self._callee.rings(status, media=media)
        if media:  # not only promised
            self._callee.ear.sings(440)

    async def answers(self) -> None:
        await self._callee.answers()

    async def refuses(self, status: int) -> None:
        await self._callee.refuses(f"{status} No")

    async def hangs_up(self) -> None:
        await self._callee.hangs_up()

    async def saw_cancel(self) -> None:
        await self._callee.is_cancelled()

    async def saw_bye(self) -> None:
        await self._callee.is_hung_up()


class FakeFarEnd:
    def __init__(self, legs: FakeLegs) -> None:
        self._legs = legs

    async def is_called(self) -> None:
        assert self._legs.all[LEG].order == ORDER

    def rings(self, status: int = 180, *, media: bool = False) -> None:
        self._legs.rings(LEG, status, media=media)

    async def answers(self) -> None:
        self._legs.picks_up(LEG)

    async def refuses(self, status: int) -> None:
        self._legs.turns_down(LEG, status)

    async def hangs_up(self) -> None:
        self._legs.bye(LEG)

    async def saw_cancel(self) -> None:
        assert self._legs.all[LEG].statuses[-1] == 487

    async def saw_bye(self) -> None:
        assert self._legs.all[LEG].got_bye


class World:
    """The port under test and its events in order."""

    def __init__(self, legs: Legs) -> None:
        self.legs = legs
        self.far: FarEnd = FakeFarEnd(legs) if isinstance(legs, FakeLegs) else RealFarEnd(Callee())
        self.events: list[LegEvent] = []
        self._news = asyncio.Event()

    def take(self, event: LegEvent) -> None:
        self.events.append(event)
        self._news.set()

    async def event(self, kind: type[E], count: int = 1, timeout_s: float = 5.0) -> E:
        """Wait for the `count`th event of this kind."""
        async with asyncio.timeout(timeout_s):
            while len(found := [event for event in self.events if isinstance(event, kind)]) < count:
                self._news.clear()
                await self._news.wait()
        return found[count - 1]

    async def until(self, wanted: LegEvent) -> None:
        """Wait for this very event."""
        async with asyncio.timeout(5):
            while wanted not in self.events:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def _fake() -> AsyncIterator[World]:
    legs = FakeLegs()
    world = World(legs)
    await legs.start(world.take, lambda *_: None)
    yield world
    await legs.stop()


@asynccontextmanager
async def pjsip(
    targets: Callable[[], tuple[Target, ...]],
    credentials: Credentials | None = None,
    timer_s: int | None = None,
    spec: TrunkSpec | None = None,
) -> AsyncIterator[World]:
    """The real thing, with a trunk "t" to these targets."""
    endpoint = Endpoint(SipSettings(bind="127.0.0.1", udp_port=0, tcp_port=0, rtp_ports=(21000, 29000)))
    if spec is None:
        spec = TrunkSpec("t", host=Host("carrier.example"), credentials=credentials, session_timer_s=timer_s)
    numbers = itertools.count()
    bridge = SipBridge(endpoint, lambda name: b"\0\0" * 800)
    legs = sip_legs(endpoint, bridge, lambda: LegId(f"leg_{next(numbers)}"), spec, targets)
    world = World(legs)
    await legs.start(world.take, lambda *_: None)
    try:
        yield world
    finally:
        await legs.stop()
    assert legs.counts() == {"legs": 0, "orders": 0, "voices": 0, "ports": 0}


@asynccontextmanager
async def _pjsip() -> AsyncIterator[World]:
    async with Callee() as callee, pjsip(lambda: (Target(callee.address, callee.port, "udp"),)) as world:
        world.far = RealFarEnd(callee)
        yield world


@pytest.fixture(params=[_fake, _pjsip], ids=["fake", "pjsip"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with no_leaks():
        make: Any = request.param
        async with make() as made:
            yield made


async def test_ringing_answer_and_our_bye(world: World) -> None:
    world.legs.dial(ORDER)
    await world.far.is_called()
    world.far.rings()
    assert await world.event(LegRinging) == LegRinging(LEG, 180, media=False)
    await world.far.answers()
    assert await world.event(LegAnswered) == LegAnswered(LEG, "PCMU")
    world.legs.hangup(LEG, causes.NORMAL, ())
    await world.far.saw_bye()
    ended = await world.event(LegEnded)
    assert (ended.cause, ended.sip_status, ended.q850, ended.by_peer) == (causes.NORMAL, 200, 16, False)
    assert len(world.events) == 3


async def test_early_media_is_told_and_a_180_does_not_end_it(world: World) -> None:
    world.legs.dial(ORDER)
    await world.far.is_called()
    world.far.rings(183, media=True)
    await world.until(LegRinging(LEG, 183, media=True))
    world.far.rings(180)
    await world.until(LegRinging(LEG, 180, media=True))
    assert LegRinging(LEG, 180, media=False) not in world.events


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (486, Cause(Result.CALLEE, Reason.BUSY)),
        (603, Cause(Result.CALLEE, Reason.DECLINED)),
        (404, Cause(Result.CARRIER, Reason.BAD_NUMBER)),
        (503, Cause(Result.CARRIER, Reason.UNAVAILABLE)),
        (302, Cause(Result.CARRIER, Reason.NORMAL)),
    ],
)
async def test_a_refusal(world: World, status: int, cause: Cause) -> None:
    world.legs.dial(ORDER)
    await world.far.is_called()
    await world.far.refuses(status)
    ended = await world.event(LegEnded)
    assert replace(ended, contacts=()) == LegEnded(LEG, cause, status, None, True)
    assert bool(ended.contacts) is (status == 302), "where a 3xx points is a new target (RFC 3261 8.1.3.4)"


async def test_hangup_while_it_rings_is_a_cancel(world: World) -> None:
    world.legs.dial(ORDER)
    await world.far.is_called()
    world.far.rings()
    await world.event(LegRinging)
    world.legs.hangup(LEG, causes.CANCELLED, ())
    ended = await world.event(LegEnded)
    assert (ended.cause, ended.sip_status, ended.by_peer) == (causes.CANCELLED, 487, False)
    await world.far.saw_cancel()


async def test_the_peers_bye(world: World) -> None:
    world.legs.dial(ORDER)
    await world.far.is_called()
    await world.far.answers()
    await world.event(LegAnswered)
    await world.far.hangs_up()
    ended = await world.event(LegEnded)
    assert (ended.cause, ended.sip_status, ended.by_peer) == (causes.NORMAL, 200, True)


async def test_a_trunk_that_is_not_there(world: World) -> None:
    world.legs.dial(Dial(LEG, "nobody", "+4915", None, ShownCaller("x")))
    assert await world.event(LegEnded) == LegEnded(LEG, Cause(Result.CARRIER, Reason.NO_RESPONSE), 503, None, False)


# ── PJSIP alone: what is on the wire ────────────────────────────────────────────────────────────────


async def test_the_invite() -> None:
    async with Callee() as callee, pjsip(lambda: (_target(callee),)) as world:
        world.legs.dial(ORDER)
        invite = await callee.is_called()
        await callee.refuses("486 Busy Here")
    assert invite.start == "INVITE sip:+4915@carrier.example SIP/2.0"
    assert (invite.header("From") or "").startswith('"Front Desk" <sip:+12125550100@')
    assert "\r\ncallReason: support\r\n" in invite.text, "the name is byte-exact"
    assert invite.header("Route") is None
    assert invite.sdp("m=audio ")[0].split(" ")[2:] == ["0", "8", "101"]


async def test_an_invite_that_replaces_requires_it() -> None:
    value = "call-9@far;to-tag=theirs;from-tag=other"
    async with Callee() as callee, pjsip(lambda: (_target(callee),), KNOWN) as world:
        world.legs.dial(replace(ORDER, replaces=f"{value};x=1"))
        await callee.is_called()
        await callee.refuses("401 Unauthorized", 'WWW-Authenticate: Digest realm="acme.example", nonce="n", qop="auth"')
        again = await callee.is_called(2)
        for invite in callee.invites:
            assert (invite.headers("Replaces"), invite.headers("Require")) == ([value], ["replaces"])
        assert again.header("Authorization")
        await callee.answers()
        await world.event(LegAnswered)


async def test_what_is_no_replaces_is_not_sent() -> None:
    async with Callee() as callee, pjsip(lambda: (_target(callee),)) as world:
        world.legs.dial(replace(ORDER, replaces="a@b;to-tag=1;from-tag=2\r\nX-Evil: 1"))
        assert await world.event(LegEnded) == LegEnded(LEG, Cause(Result.CARRIER, Reason.NO_RESPONSE), 503, None, False)
        assert callee.invites == []


def _target(callee: Callee) -> Target:
    return Target(callee.address, callee.port, "udp")


async def test_a_target_that_is_silent_or_gone_or_503_is_passed_over() -> None:
    async with AsyncExitStack() as stack:
        silent, busy, well = [await stack.enter_async_context(Callee()) for _ in range(3)]
        silent.silent = True
        nobody = Target("127.0.0.2", 9, "udp")  # discard: a port unreachable at once
        targets = (nobody, _target(silent), _target(busy), _target(well))
        world = await stack.enter_async_context(pjsip(lambda: targets))
        world.legs.dial(ORDER)
        await busy.is_called(timeout_s=20)
        await busy.refuses("503 Service Unavailable")
        await well.is_called()
        well.rings()
        assert await world.event(LegRinging) == LegRinging(LEG, 180, media=False)
        await well.answers()
        await world.event(LegAnswered)
        world.legs.hangup(LEG, causes.NORMAL, ())
        await world.event(LegEnded)
        assert [type(event) for event in world.events] == [LegRinging, LegAnswered, LegEnded]


async def test_a_target_that_said_100_is_not_dialled_around() -> None:
    async with AsyncExitStack() as stack:
        slow, other = [await stack.enter_async_context(Callee()) for _ in range(2)]
        world = await stack.enter_async_context(pjsip(lambda: (_target(slow), _target(other))))
        world.legs.dial(ORDER)
        await slow.is_called()
        slow.responds("100 Trying")
        await asyncio.sleep(6)
        slow.rings()
        await world.event(LegRinging)
        assert other.invites == []
        await slow.refuses("486 Busy Here")
        assert (await world.event(LegEnded)).sip_status == 486


KNOWN = Credentials("gw", "acme.example", "open sesame")


@pytest.mark.parametrize(("status", "ask", "answer"), [
    ("401 Unauthorized", "WWW-Authenticate", "Authorization"),
    ("407 Proxy Authentication Required", "Proxy-Authenticate", "Proxy-Authorization"),
])  # fmt: skip
async def test_a_challenge_of_the_trunks_realm_is_answered(status: str, ask: str, answer: str) -> None:
    async with Callee() as callee, pjsip(lambda: (_target(callee),), KNOWN) as world:
        world.legs.dial(ORDER)
        await callee.is_called()
        await callee.refuses(status, f'{ask}: Digest realm="acme.example", nonce="n", qop="auth"')
        invite = await callee.is_called(2)
        assert 'username="gw", realm="acme.example", nonce="n"' in (invite.header(answer) or "")
        await callee.answers()
        await world.event(LegAnswered)


async def test_a_challenge_of_a_foreign_realm_gets_nothing() -> None:
    async with Callee() as callee, pjsip(lambda: (_target(callee),), KNOWN) as world:
        world.legs.dial(ORDER)
        await callee.is_called()
        await callee.refuses("401 Unauthorized", 'WWW-Authenticate: Digest realm="evil.example", nonce="n"')
        ended = await world.event(LegEnded)
        assert (ended.sip_status, ended.cause.reason) == (401, Reason.NOT_AUTHORIZED)
        assert len(callee.invites) == 1


def _expires(message: Wire) -> str | None:
    return message.header("Session-Expires") or message.header("x")


async def test_a_session_interval_too_small_is_made_longer() -> None:
    async with Callee() as callee, pjsip(lambda: (_target(callee),), timer_s=120) as world:
        world.legs.dial(ORDER)
        first = await callee.is_called()
        assert (_expires(first) or "").startswith("120")
        await callee.refuses("422 Session Interval Too Small", "Min-SE: 600")  # RFC 4028 §7.4
        again = await callee.is_called(2)
        assert ((_expires(again) or "").startswith("600"), again.header("Min-SE")) == (True, "600")
        await callee.answers("Supported: timer", "Session-Expires: 600;refresher=uac")
        await world.event(LegAnswered)


async def test_a_reliable_180_is_acknowledged() -> None:
    async with Callee() as callee, pjsip(lambda: (_target(callee),)) as world:
        world.legs.dial(ORDER)
        invite = await callee.is_called()
        assert "100rel" in (invite.header("Supported") or invite.header("k") or "")
        callee.rings(headers=("Require: 100rel", "RSeq: 7"))
        prack = await callee.gets("PRACK")
        assert prack.header("RAck") == f"7 {(invite.header('CSeq') or '')}"
        await world.event(LegRinging)
        await callee.answers()
        await world.event(LegAnswered)


# ── A URI of its own ────────────────────────────────────────────────────────────────────────────────


def _to(callee: Callee) -> Dial:
    return Dial(LEG, "t", None, f"sip:bob@{callee.address}:{callee.port}", ShownCaller("+12125550100"))


async def test_a_uri_goes_to_its_own_host_and_gets_no_credentials() -> None:
    async with Callee() as callee, Callee() as carrier, pjsip(lambda: (_target(carrier),), KNOWN) as world:
        world.legs.dial(_to(callee))
        invite = await callee.is_called()
        assert invite.start == f"INVITE sip:bob@{callee.address}:{callee.port} SIP/2.0"
        await callee.refuses("401 Unauthorized", 'WWW-Authenticate: Digest realm="acme.example", nonce="n"')
        assert (await world.event(LegEnded)).sip_status == 401
        assert (len(callee.invites), carrier.invites) == (1, [])


async def test_a_uri_is_answered_and_ended_as_any_leg() -> None:
    async with Callee() as callee, pjsip(tuple) as world:
        world.legs.dial(_to(callee))
        await callee.is_called()
        await callee.answers()
        await world.event(LegAnswered)
        await callee.hangs_up()
        assert (await world.event(LegEnded)).cause == causes.NORMAL


async def test_a_host_without_an_address_is_no_response() -> None:
    async with pjsip(tuple) as world:
        world.legs.dial(Dial(LEG, "t", None, "sip:bob@nobody.invalid:5060", ShownCaller("+12125550100")))
        assert (await world.event(LegEnded, timeout_s=8)).cause == Cause(Result.CARRIER, Reason.NO_RESPONSE)


async def test_it_can_be_given_up_while_its_host_is_looked_for() -> None:
    async with pjsip(tuple) as world:
        world.legs.dial(Dial(LEG, "t", None, "sip:bob@nobody.invalid:5060", ShownCaller("+12125550100")))
        world.legs.hangup(LEG, causes.CANCELLED, ())
        assert (await world.event(LegEnded)).cause == causes.CANCELLED
        await asyncio.sleep(0.2)
        assert len(world.events) == 1
