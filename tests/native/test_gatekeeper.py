"""The gatekeeper, seen from the wire: who asks too often, who is turned away, and what is no message at all."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from gateway.calls.events import LegAnswered, LegEnded, LegOffered
from gateway.sip.endpoint import SipSettings
from gateway.sip.phone import Dial, PhoneEvent, SipPhone
from tests.contract.sip_peer import SipPeer
from tests.native.gate import OTHER_TRUNK, Gate, forged, opened
from tests.sip.malformed import SDP, message

BURST = 10
"""Of a slow rate."""
SLOW = 0.05
"""A second: no token comes back while a test runs."""


def count(gate: Gate, decision: str) -> int:
    return gate.endpoint.decisions()[decision]


def header(answer: str, name: str) -> str | None:
    return next((line[len(name) + 2 :] for line in answer.split("\r\n") if line.startswith(f"{name}: ")), None)


# ── One source asks too often ───────────────────────────────────────────────────────────────────────


async def test_over_its_rate_a_source_is_refused_and_another_is_not() -> None:
    async with opened(source_rate=SLOW) as gate:
        asked = [gate.request() for _ in range(BURST + 2)]
        assert await gate.asks(*asked) == [[200]] * BURST + [[503]] * 2
        assert header(gate.last_answer(asked[-1]), "Retry-After") is None, "the node is not full"
        assert await gate.asks(gate.request(address=OTHER_TRUNK), address=OTHER_TRUNK) == [[200]]
        assert count(gate, "rate") == 2


async def test_over_its_rate_a_call_is_refused_and_other_methods_are_dropped() -> None:
    async with opened(source_rate=SLOW) as gate:
        await gate.asks(*(gate.request() for _ in range(BURST)))
        methods = ("INVITE", "OPTIONS", "MESSAGE", "REGISTER", "FROBNICATE", "BYE")
        assert await gate.asks(*(gate.request(m) for m in methods)) == [[503], [503], [], [], [], []]
        assert (count(gate, "rate"), gate.offered) == (6, 0)


async def test_what_is_in_a_dialog_and_cancel_and_ack_are_not_counted() -> None:
    async with opened(source_rate=SLOW) as gate, SipPeer(gate.port) as peer:
        await gate.takes_call_of(peer)
        there = "127.0.0.1"
        assert [503] in await gate.asks(*(gate.request(address=there) for _ in range(BURST)), address=there)
        peer.invite()
        assert await peer.final() == 200
        assert await gate.asks(gate.request("CANCEL", there), gate.request("ACK", there), address=there) == [[481], []]
        assert count(gate, "rate") == 1
        peer.bye()


async def test_a_retransmission_is_not_counted() -> None:
    async with opened(source_rate=SLOW) as gate:
        invite = gate.request("INVITE")
        for _ in range(BURST + 5):
            assert 503 not in (await gate.asks(invite))[0]
        assert await gate.asks(*(gate.request() for _ in range(BURST))) == [[200]] * (BURST - 1) + [[503]]
        assert gate.offered == 1


async def test_a_source_gets_its_rate_back() -> None:
    async with opened(source_rate=20) as gate:
        asked = await gate.asks(*(gate.request() for _ in range(60)))
        assert [503] in asked
        async with asyncio.timeout(2):
            while await gate.asks(gate.request()) == [[503]]:
                await asyncio.sleep(0.01)


async def test_a_flood_gets_few_refusals_and_then_silence() -> None:
    async with opened(source_rate=SLOW) as gate:
        began = asyncio.get_running_loop().time()
        answers = await gate.asks(*(gate.request() for _ in range(3000)))
        took = asyncio.get_running_loop().time() - began
        refused = answers.count([503])
        assert 200 <= refused <= 201 + 200 * took, f"{refused} in {took:.2f} s"
        assert answers.count([]) == 3000 - BURST - refused
        assert count(gate, "rate") == 3000 - BURST


async def test_a_hundred_thousand_forged_sources_take_no_memory() -> None:
    def floods(first: int, last: int) -> Iterator[tuple[str, str]]:
        for number in range(first, last):
            address = f"127.{64 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"
            yield message(f"{address}:5060", "MESSAGE", body=""), address

    async def hears(gate: Gate, first: int, last: int) -> None:
        for number, _ in enumerate(forged(floods(first, last), gate.port)):
            if number % 40 == 0:
                await gate.is_done()
        await gate.is_done()

    async with opened(source_rate=SLOW) as gate:
        await hears(gate, 0, 5000)  # PJSIP's own pools have grown
        before = rss_mb()
        await hears(gate, 5000, 100_000)
        assert rss_mb() - before < 2
        assert count(gate, "method") == 100_000
        assert await gate.asks(gate.request()) == [[200]]


def rss_mb() -> float:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


# ── Replaces (RFC 3891 §3) ──────────────────────────────────────────────────────────────────────────

DIALOG = "Replaces: {};to-tag={};from-tag={}\r\n"


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("INVITE", 2 * DIALOG.format("a@b", 1, 2)),
        ("INVITE", "Replaces: a@b;to-tag=1\r\n"),
        ("INVITE", "Replaces: a@b;from-tag=1;early-only\r\n"),
        ("INVITE", "Replaces: ;to-tag=1;from-tag=2\r\n"),
        ("OPTIONS", DIALOG.format("a@b", 1, 2)),
        ("INFO", DIALOG.format("a@b", 1, 2)),
        ("CANCEL", DIALOG.format("a@b", 1, 2)),
    ],
)
async def test_a_replaces_that_names_no_single_dialog_or_stands_elsewhere_is_malformed(
    method: str, headers: str
) -> None:
    async with opened() as gate:
        assert await gate.asks(gate.request(method, more=headers)) == [[400]]
        assert (count(gate, "malformed"), gate.offered) == (1, 0)


async def test_a_replaces_is_hidden_from_pjsua_and_required_all_the_same() -> None:
    async with opened() as gate, SipPeer(gate.port) as old, SipPeer(gate.port) as new:
        await gate.takes_call_of(old)
        new.invite(headers=DIALOG.format(*old.dialog) + "Require: replaces\r\n")
        async with asyncio.timeout(5):
            while gate.offered < 2:
                gate.news.clear()
                await gate.news.wait()
        await new.until(lambda: new.statuses)  # the offer may be here before its 100 is read there
        assert new.statuses == [100], "PJSUA would have answered 200, and hung the old call up"
        offer = [event for event in gate.events if isinstance(event, LegOffered)][-1]
        gate.legs.answer(offer.leg_id)
        assert await new.final() == 200
        assert old.requests == []
        new.bye()
        old.bye()


async def test_within_a_dialog_it_is_malformed_and_the_call_goes_on() -> None:
    async with opened() as gate, SipPeer(gate.port) as peer:
        await gate.takes_call_of(peer)
        peer.invite(headers=DIALOG.format(*peer.dialog))
        assert await peer.final() == 400
        peer.invite(direction="sendonly")
        assert await peer.final() == 200
        assert count(gate, "malformed") == 1
        peer.bye()


async def test_a_copy_of_an_invite_that_replaces_makes_no_second_call() -> None:
    async with opened() as gate, SipPeer(gate.port) as old:
        await gate.takes_call_of(old)
        invite = gate.request("INVITE", more=DIALOG.format(*old.dialog))
        assert await gate.asks(invite) == [[100]]
        assert await gate.asks(invite) == [[100]]
        assert gate.offered == 2
        old.bye()


# ── The node is full, or about to go ────────────────────────────────────────────────────────────────


async def test_over_the_call_rate_new_calls_are_told_when_to_come_back() -> None:
    async with opened(call_rate=SLOW) as gate:
        calls = [gate.request("INVITE") for _ in range(BURST + 2)]
        answers = await gate.asks(*calls)
        assert [503 in answer for answer in answers] == [False] * BURST + [True] * 2
        assert header(gate.last_answer(calls[-1]), "Retry-After") == "1"
        assert (count(gate, "cps"), gate.offered) == (2, BURST)
        assert 503 not in (await gate.asks(calls[0]))[0], "it was let in: this is a retransmission"
        assert await gate.asks(gate.request()) == [[200]], "a probe is no call"
        assert (count(gate, "cps"), gate.offered) == (2, BURST)


@pytest.mark.parametrize("why", ["draining", "overloaded"])
async def test_who_is_turned_away_is_told_when_to_come_back(why: str) -> None:
    async with opened() as gate:
        early = gate.request("INVITE")
        await gate.asks(early)
        await gate.turn_away(7, draining=why == "draining")
        late, probe = gate.request("INVITE"), gate.request()
        assert await gate.asks(late, probe) == [[503], [503]]
        assert [header(gate.last_answer(text), "Retry-After") for text in (late, probe)] == ["7", "7"]
        assert 503 not in (await gate.asks(early))[0], "its call was let in"
        assert await gate.asks(gate.request("CANCEL"), gate.request("MESSAGE")) == [[481], [405]]
        await gate.turn_away(None)
        assert await gate.asks(gate.request()) == [[200]]
        assert {name: count(gate, name) for name in ("draining", "overloaded")} == {
            "draining": 0, "overloaded": 0, why: 2,
        }  # fmt: skip
        assert gate.offered == 1


async def test_a_call_goes_on_while_others_are_turned_away() -> None:
    async with opened() as gate, SipPeer(gate.port) as peer:
        peer.invite()
        offered = await gate.until(LegOffered)
        await gate.turn_away(7)
        gate.legs.answer(offered.leg_id)
        await gate.until(LegAnswered)  # its ACK was heard
        peer.invite(direction="sendonly")
        assert await peer.final() == 200
        peer.bye()
        await gate.until(LegEnded)
        assert count(gate, "draining") == 0


async def test_a_nonsense_limit_is_refused() -> None:
    for nonsense in ({"source_rate": -1.0}, {"call_rate": float("nan")}):
        with pytest.raises(ValueError, match="a rate is"):
            async with opened(**nonsense):
                pass
    async with opened() as gate:
        with pytest.raises(ValueError, match="Retry-After"):
            await gate.turn_away(-1)


# ── Responses ───────────────────────────────────────────────────────────────────────────────────────


class Far(asyncio.DatagramProtocol):
    """The far end of a call of ours."""

    def __init__(self) -> None:
        self.heard = asyncio.Queue[str]()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport
        self.here = "{}:{}".format(*transport.get_extra_info("sockname"))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.gateway = addr
        self.heard.put_nowait(data.decode())

    async def hears(self, method: str) -> str:
        async with asyncio.timeout(5):
            while not (text := await self.heard.get()).startswith(method):
                pass
        return text

    def answers(self, invite: str, status: str, sdp: str = "") -> None:
        kept = [line for line in invite.split("\r\n") if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
        kept = [f"{line};tag=far" if line.startswith("To:") else line for line in kept]
        kept += [f"Contact: <sip:{self.here}>", "Content-Type: application/sdp", f"Content-Length: {len(sdp)}", "", sdp]
        self.transport.sendto("\r\n".join([f"SIP/2.0 {status}", *kept]).encode(), self.gateway)


async def test_a_malformed_answer_to_our_invite_is_as_if_it_never_came() -> None:
    events = asyncio.Queue[PhoneEvent]()

    async def happens(kind: str) -> set[str]:
        before = set()
        async with asyncio.timeout(5):
            while (event := await events.get()).type != kind:
                before.add(event.type)
        return before

    _, far = await asyncio.get_running_loop().create_datagram_endpoint(Far, local_addr=("127.0.0.1", 0))
    settings = SipSettings(bind="127.0.0.1", udp_port=0, tcp_port=None, admit=())
    phone = SipPhone(settings, events.put_nowait, lambda *_: None)
    await phone.start()
    try:
        await phone.dial(Dial(f"sip:100@{far.here}", "sip:me@127.0.0.1"))
        invite = await far.hears("INVITE")
        far.answers(invite, "200 OK", SDP + 17 * "a=crypto:1 X\r\n")
        far.answers(invite, "180 Ringing")
        assert "answered" not in await happens("ringing")
        far.answers(invite, "200 OK", SDP)
        await happens("answered")
        await far.hears("ACK")
    finally:
        await phone.stop()
        far.transport.close()
