"""An outgoing INVITE as bytes: the header lines that we decide, golden; and large ones, over TCP or UDP, all arrive."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import pytest

from gateway.calls import causes
from gateway.calls.causes import Reason
from gateway.calls.commands import Dial, ShownCaller
from gateway.calls.events import LegAnswered, LegEnded, LegRinging
from gateway.calls.uui import Uui, encode_all
from gateway.dialplan.addresses import Host
from gateway.sip.resolver import Target
from gateway.sip.trunk import Credentials, TrunkSpec
from tests.callee import Callee
from tests.contract.test_dialling import LEG, World, pjsip
from tests.wire import CARRIER, Wire

TRUNK = TrunkSpec("t", host=Host("carrier.example"))
KNOWN = Credentials("acme", "carrier.example", "open sesame")
ANN = ShownCaller("+12125550100", "Ann")
OWN = {
    "Via", "Max-Forwards", "From", "To", "Contact", "Call-ID", "CSeq", "Allow", "Supported", "Session-Expires",
    "Min-SE", "User-Agent", "Content-Type", "Content-Length",
}  # fmt: skip
"""PJSIP's part of each INVITE: no compact form is among them."""

QUOTE, HAN = '\\"', "\U0002070e"  # one takes two characters in a display name, the other four bytes


def order(caller: ShownCaller = ANN, *headers: tuple[str, str], uui: tuple[str, ...] = ()) -> Dial:
    return Dial(LEG, "t", "+4915", None, caller, "+4930", headers, uui)


def decided(invite: Wire) -> list[str]:
    """The lines that are ours, as they are on the wire; of From, all but the tag."""
    lines = invite.text.partition("\r\n\r\n")[0].split("\r\n")[1:]
    sender = next(line for line in lines if line.startswith("From: ")).partition(";tag=")[0]
    return [sender, *(line for line in lines if line.partition(":")[0] not in OWN)]


@pytest.mark.parametrize(
    ("spec", "dial", "golden"),
    [
        (
            TRUNK,
            order(ANN, ("callReason", "support"), ("X-crm-ID", ' 42 ; a="b"')),
            ['From: "Ann" <sip:+12125550100@carrier.example>', "callReason: support", 'X-crm-ID:  42 ; a="b"'],
        ),
        (
            TRUNK,
            order(ShownCaller("+49", 'Die "Zoë" \\ 李'), ("X-Text", "schön, 好;\tx"), ("x-text", "")),
            ['From: "Die \\"Zoë\\" \\\\ 李" <sip:+49@carrier.example>', "X-Text: schön, 好;\tx", "x-text: "],
        ),
        (
            TRUNK,
            order(ShownCaller("a#b;c d", None)),
            ["From: <sip:a%23b;cd@carrier.example>"],
        ),
        (
            replace(TRUNK, show_in=("pai", "rpid", "diversion"), credentials=KNOWN),
            order(ANN, ("Diversion", "<sip:9@h>"), ("History-Info", "<sip:9@h>;index=1"), ("x-a", "1")),
            [
                "From: <sip:acme@carrier.example>",
                'P-Asserted-Identity: "Ann" <sip:+12125550100@carrier.example>',
                'Remote-Party-ID: "Ann" <sip:+12125550100@carrier.example>;party=calling;screen=yes;privacy=off',
                "Diversion: <sip:+4930@carrier.example>;reason=unconditional",
                "History-Info: <sip:9@h>;index=1",
                "x-a: 1",
            ],
        ),
        (
            replace(TRUNK, show_in=("from", "pai"), privacy=True),
            order(ANN, ("privacy", "none"), uui=("04ab;encoding=hex", "00ab;encoding=hex;purpose=x")),
            [
                'From: "Anonymous" <sip:anonymous@anonymous.invalid>',
                'P-Asserted-Identity: "Ann" <sip:+12125550100@carrier.example>',
                "Privacy: id",
                "User-to-User: 04ab;encoding=hex",
                "User-to-User: 00ab;encoding=hex;purpose=x",
            ],
        ),
        (
            replace(TRUNK, show_in=("from", "rpid")),
            order(replace(ANN, withheld=True), ("User-to-User", "bots"), ("user-to-user", "own")),
            [
                'From: "Anonymous" <sip:anonymous@anonymous.invalid>',
                'Remote-Party-ID: "Ann" <sip:+12125550100@carrier.example>;party=calling;screen=yes;privacy=full',
                "Privacy: id",
                "User-to-User: bots",
                "user-to-user: own",
            ],
        ),
        (
            TRUNK,
            order(
                ANN,
                ("User-to-User", "bots"),
                ("Via", "x"),
                ("X-Bad", "a\r\nX-Evil: 1"),
                uui=("ab\r\nX-Evil: 1", "00ab"),
            ),
            ['From: "Ann" <sip:+12125550100@carrier.example>', "User-to-User: 00ab"],
        ),
        (
            TRUNK,
            order(ANN, *((f"X-Long-{n}", f"{n} " + "é,;" * 300) for n in range(2))),
            [
                'From: "Ann" <sip:+12125550100@carrier.example>',
                "X-Long-0: 0 " + "é,;" * 300,
                "X-Long-1: 1 " + "é,;" * 300,
            ],
        ),
    ],
)
async def test_golden(spec: TrunkSpec, dial: Dial, golden: list[str]) -> None:
    async with Callee() as callee, pjsip(lambda: (_target(callee),), spec=spec) as world:
        world.legs.dial(dial)
        invite = await callee.is_called()
        await callee.refuses("486 Busy Here")
        await world.event(LegEnded)
    assert decided(invite) == golden


async def test_the_headers_stay_when_the_invite_is_challenged() -> None:
    spec = replace(TRUNK, show_in=("from", "pai"), credentials=KNOWN)
    async with Callee() as callee, pjsip(lambda: (_target(callee),), spec=spec) as world:
        world.legs.dial(order(ANN, ("callReason", "support"), uui=("00ab",)))
        first = decided(await callee.is_called())
        await callee.refuses("401 Unauthorized", 'WWW-Authenticate: Digest realm="carrier.example", nonce="n"')
        again = decided(await callee.is_called(2))
        await callee.refuses("486 Busy Here")
        await world.event(LegEnded)
    assert [line for line in again if not line.startswith("Authorization: ")] == first


# ── large ones ──────────────────────────────────────────────────────────────────────────────────────

LARGE = order(
    ANN,
    *((f"X-Large-{n}", f"{n}" * 4000) for n in range(2)),
    uui=encode_all([Uui("ab" * 500), Uui("cd" * 500), Uui("ef" * 500), Uui("01" * 450)]),
)
"""8 KiB of headers, and as much User-to-User as there may be."""


def _target(callee: Callee) -> Target:
    return Target(callee.address, callee.port, "udp")


def _transport(message: Wire) -> str:
    return (message.header("Via") or "").split(" ")[0].removeprefix("SIP/2.0/")


async def _talks(world: World, callee: Callee) -> None:
    """From ringing to our BYE; the INVITE is here."""
    callee.rings()
    await callee.answers()
    assert await world.event(LegAnswered) == LegAnswered(LEG, "PCMU")
    world.legs.hangup(LEG, causes.NORMAL, ())
    await callee.is_hung_up()
    assert (await world.event(LegEnded)).cause == causes.NORMAL


def _is_whole(invite: Wire) -> bool:
    return all(f"\r\n{name}: {value}\r\n" in invite.text for name, value in LARGE.headers) and (
        tuple(invite.headers("User-to-User")) == LARGE.user_to_user
    )


async def test_a_large_invite_goes_over_tcp_where_there_is_tcp() -> None:
    async with Callee(tcp=True) as callee, pjsip(lambda: (_target(callee),)) as world:
        world.legs.dial(LARGE)
        invite = await callee.is_called()
        assert invite in callee.over_tcp
        assert (_transport(invite), _is_whole(invite)) == ("TCP", True)
        await _talks(world, callee)
        assert {message.method for message in callee.over_tcp} == {"INVITE", "ACK", "BYE"}


async def test_the_peer_of_a_large_one_hangs_up_over_tcp() -> None:
    async with Callee(tcp=True) as callee, pjsip(lambda: (_target(callee),)) as world:
        world.legs.dial(LARGE)
        await callee.is_called()
        await callee.answers()
        await world.event(LegAnswered)
        assert (await callee.hangs_up()).status == 200
        ended = await world.event(LegEnded)
        assert (ended.cause, ended.by_peer) == (causes.NORMAL, True)


async def test_a_small_one_stays_on_udp() -> None:
    async with Callee(tcp=True) as callee, pjsip(lambda: (_target(callee),)) as world:
        world.legs.dial(order())
        await callee.is_called()
        await _talks(world, callee)
        assert callee.over_tcp == []


async def test_a_large_one_can_be_cancelled_where_it_went() -> None:
    async with Callee(tcp=True) as callee, pjsip(lambda: (_target(callee),)) as world:
        world.legs.dial(LARGE)
        await callee.is_called()
        callee.rings()
        await world.event(LegRinging)
        world.legs.hangup(LEG, causes.CANCELLED, ())
        assert await callee.is_cancelled() in callee.over_tcp
        await world.event(LegEnded)


async def test_a_large_one_goes_over_udp_at_once_where_tcp_is_refused() -> None:
    async with Callee() as callee, pjsip(lambda: (_target(callee),)) as world:
        world.legs.dial(LARGE)
        invite = await callee.is_called(timeout_s=2)
        assert (_transport(invite), _is_whole(invite)) == ("UDP", True)
        await _talks(world, callee)
        assert len(callee.invites) == 1


@contextmanager
def _accepts_and_says_nothing(port: int) -> Iterator[None]:
    with socket.socket() as listener:
        listener.bind((CARRIER, port))
        listener.listen()
        yield


@contextmanager
def _drops_every_syn(port: int) -> Iterator[None]:
    """As a firewall does: the queue of a listener that nobody reads is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind((CARRIER, port))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex((CARRIER, port))
        yield


@pytest.mark.parametrize("silence", [_accepts_and_says_nothing, _drops_every_syn])
async def test_a_large_one_goes_over_udp_where_tcp_is_silent_and_the_next_one_at_once(silence) -> None:
    async with Callee() as callee, pjsip(lambda: (_target(callee),)) as world:
        with silence(callee.port):
            world.legs.dial(LARGE)
            invite = await callee.is_called(timeout_s=6)
            assert (_transport(invite), _is_whole(invite)) == ("UDP", True)
            await _talks(world, callee)
            world.legs.dial(replace(LARGE, leg_id=LEG))
            again = await callee.is_called(2, timeout_s=2)
            assert (_transport(again), _is_whole(again)) == ("UDP", True)
            await callee.refuses("486 Busy Here")
            await world.event(LegEnded, 2)
        assert [type(event) for event in world.events].count(LegEnded) == 2


@asynccontextmanager
async def _hangs_up_at_once(port: int) -> AsyncIterator[None]:
    def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, CARRIER, port)
    yield
    server.close()


async def test_a_large_one_goes_over_udp_where_tcp_breaks() -> None:
    async with Callee() as callee, pjsip(lambda: (_target(callee),)) as world, _hangs_up_at_once(callee.port):
        world.legs.dial(LARGE)
        invite = await callee.is_called(timeout_s=2)
        assert (_transport(invite), _is_whole(invite)) == ("UDP", True)
        await _talks(world, callee)


async def test_one_that_grows_by_its_credentials_arrives_too() -> None:
    async with Callee() as callee, pjsip(lambda: (_target(callee),), KNOWN) as world:
        with _drops_every_syn(callee.port):
            world.legs.dial(order(ANN, ("X-Fill", "x" * 250)))
            assert 1150 < len((await callee.is_called()).text) < 1300
            await callee.refuses("401 Unauthorized", 'WWW-Authenticate: Digest realm="carrier.example", nonce="n"')
            challenged = await callee.is_called(2)
            await callee.refuses("401 Unauthorized", 'WWW-Authenticate: Digest realm="carrier.example", nonce="n"')
            assert (await callee.is_called(3)).header("Authorization")
            assert _transport(challenged) == "UDP"
            await _talks(world, callee)


async def test_one_that_no_packet_holds_ends_at_once() -> None:
    async with Callee() as callee, pjsip(lambda: (_target(callee),)) as world:
        world.legs.dial(order(ANN, *((f"X-Huge-{n}", "x" * 4000) for n in range(5))))
        ended = await world.event(LegEnded, timeout_s=2)
        assert (ended.cause.reason, ended.by_peer) == (Reason.NO_RESPONSE, False)
        assert callee.invites == []


@pytest.mark.parametrize(
    ("caller", "from_"),
    [
        (ShownCaller("+49" * 100, '"' * 300), f'"{QUOTE * 64}" <sip:{("+49" * 22)[:64]}@carrier.example>'),
        (ShownCaller(HAN * 300, HAN * 300), f'"{HAN * 64}" <sip:{"%f0%a0%9c%8e" * 64}@carrier.example>'),
    ],
)
async def test_the_longest_name_and_number_arrive(caller: ShownCaller, from_: str) -> None:
    async with Callee() as callee, pjsip(lambda: (_target(callee),), spec=TRUNK) as world:
        world.legs.dial(order(caller))
        invite = await callee.is_called()
        await callee.refuses("486 Busy Here")
        await world.event(LegEnded)
    assert decided(invite) == [f"From: {from_}"]


async def test_a_cancel_that_must_wait_says_why_too() -> None:
    """RFC 3261 §9.1: not before a provisional response, when PJSIP sends it by itself."""
    async with Callee() as callee, pjsip(lambda: (Target(callee.address, callee.port, "udp"),)) as world:
        callee.silent = True
        world.legs.dial(order())
        await callee.is_called()
        world.legs.hangup(LEG, causes.NORMAL, (), elsewhere=True)
        await world.event(LegEnded)
        callee.rings()
        cancel = await callee.is_cancelled()
        assert cancel.header("Reason") == causes.ANSWERED_ELSEWHERE
