"""RTP quality: what a caller with a bad line does to his CDR and to /metrics, and the RTCP that the gateway sends."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, Self, cast

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.caller import Caller
from tests.ear import PCMU, Ear, encode
from tests.gateway_process import GatewayProcess
from tests.operators import Operator, operator_of
from tests.wire import CARRIER

PLAN = """
trunks: {carrier: {host: 127.0.0.2, allow: [127.0.0.2/32]}}
channels:
  echo: {bot: {type: builtin, name: echo}}
  ringing: {bot: {type: builtin, name: echo}, answer: {after_ms: 20000}}
routes:
  - {to: "100", channel: echo}
  - {to: "200", channel: ringing}
"""
SR, RR, BYE = 200, 201, 203
_TICK_S: Final = 0.02
_SILENCE: Final = encode(np.zeros(160))


class Rtcp(asyncio.DatagramProtocol):
    """A caller's RTCP socket: keeps what comes, sends receiver reports (RFC 3550 §6.4.2)."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(CARRIER, 0))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.packets.append(data)
        self._news.set()

    async def hears(self, kind: int, timeout_s: float = 10.0) -> bytes:
        """Wait for such a packet, alone or in a compound one."""
        async with asyncio.timeout(timeout_s):
            while not (found := [part for data in self.packets for part in parts(data) if part[1] == kind]):
                self._news.clear()
                await self._news.wait()
        return found[0]

    def reports(self, to: tuple[str, int], ssrc: int, lost: int, jitter: int, lsr: int = 0, dlsr: int = 0) -> None:
        """Jitter in samples; `lsr` and `dlsr` as they stand in the packet."""
        block = struct.pack("!IIIIII", ssrc, 13 << 24 | lost, 0, jitter, lsr, dlsr)
        self._transport.sendto(struct.pack("!BBHI", 0x81, RR, 7, 0x5157) + block, to)


def parts(data: bytes) -> list[bytes]:
    """The packets of a compound one."""
    found = []
    while len(data) >= 4:
        size = 4 + 4 * int.from_bytes(data[2:4])
        found.append(data[:size])
        data = data[size:]
    return found


class Talker(Ear):
    """Talks packet by packet, and badly if told so."""

    async def talks(self, packets: int, leave_out: int = 0, late: int = 0) -> int:
        """So many packets, of which every `leave_out`th is not sent and every `late`th goes out 15 ms late; how many
        went out. The next packets continue where these ended."""
        began, out, first = time.monotonic(), 0, next(self._sequence)
        for tick in range(packets):
            behind = 0.015 if late and tick % late == 1 else 0.0
            await asyncio.sleep(began + tick * _TICK_S + behind - time.monotonic())
            if leave_out and tick % leave_out == leave_out // 2:
                continue
            head = struct.pack("!BBHII", 128, PCMU, first + tick, (first + tick) * 160, 0x5157)
            self.sends(head + _SILENCE)
            out += 1
        for _ in range(packets - 1):
            next(self._sequence)
        return out

    @property
    def ssrc(self) -> int:
        """The gateway's."""
        return self.packets[-1].ssrc


class BadLine:
    """A caller whose audio and reports a test writes."""

    def __init__(self, caller: Caller) -> None:
        self.caller, self.talker, self.rtcp = caller, Talker(), Rtcp()
        self.to: tuple[str, int] = ("", 0)

    async def __aenter__(self) -> Self:
        await self.caller.__aenter__()
        await self.talker.__aenter__()
        await self.rtcp.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.caller.__aexit__(None, None, None)
        self.talker.close()
        await self.rtcp.__aexit__()

    async def calls(self) -> None:
        self.caller.invites("100", offer=self.caller.sdp(ear=self.talker) + f"a=rtcp:{self.rtcp.port}\r\n")
        answer = await self.caller.is_answered()
        host, port = self.talker.peer = answer.media
        self.to = (host, int(answer.sdp("a=rtcp:")[0].split(" ")[0]) if answer.sdp("a=rtcp:") else port + 1)

    def says_it_lost(self, part: float, jitter: int) -> None:
        self.rtcp.reports(self.to, self.talker.ssrc, round(part * len(self.talker.packets)), jitter)


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    async with GatewayProcess(PLAN, tmp_path) as process:
        yield process
        await process.all_given_back()


@pytest_asyncio.fixture
async def operator(gateway: GatewayProcess, tmp_path: Path) -> Operator:
    return await operator_of(gateway, tmp_path)


async def rtp_of(operator: Operator, caller: Caller) -> list[dict[str, Any]]:
    """`rtp` of the caller's CDR."""
    await caller.end()
    (cdr,) = [cdr for cdr in await operator.cdrs() if cdr["sipCallId"] == caller.call_id]
    rtp: list[dict[str, Any]] = cdr["rtp"]
    assert all(one["legId"] == leg["legId"] for one, leg in zip(rtp, cdr["legs"], strict=False))
    return rtp


async def metrics(gateway: GatewayProcess) -> dict[tuple[str, str], float]:
    """Of the trunk, by name and direction."""
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.api}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    return {
        (sample.name.removeprefix("switchhook_rtp_"), sample.labels["direction"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("switchhook_rtp_") and "le" not in sample.labels
    }


@pytest.mark.parametrize("ours", [False, True], ids=["the peer hangs up", "we hang up"])
async def test_loss_and_jitter_of_both_directions(gateway: GatewayProcess, operator: Operator, ours: bool) -> None:
    async with BadLine(Caller(gateway)) as line:
        await line.calls()
        assert await line.talker.talks(150, leave_out=10, late=4) == 135
        line.says_it_lost(0.05, jitter=80)
        await asyncio.sleep(0.1)  # it is read by the media thread, the BYE by another one
        if ours:
            await operator.asks("DELETE", f"/v1/calls/{(await operator.call())['id']}")
            await line.caller.is_hung_up()
        else:
            await line.caller.hangs_up()
        (rtp,) = await rtp_of(operator, line.caller)
        heard = len(line.talker.packets)
    received, sent = rtp["received"], rtp["sent"]
    assert rtp["codec"] == "PCMU"
    assert received["packets"] == 135
    assert (received["lost"], received["lossPercent"]) == (15, 10.0)
    assert 3 < received["jitterMs"] < received["jitterMaxMs"]
    assert 2.5 < received["mos"] < 3.6
    assert sent["packets"] == pytest.approx(heard, abs=3)
    assert sent["lossPercent"] == pytest.approx(5, abs=0.7)
    assert (sent["jitterMs"], sent["jitterMaxMs"]) == (10, 10)
    assert 3.6 < sent["mos"] < 4.1
    assert rtp["roundTripMs"] is None
    counted = await metrics(gateway)
    assert counted["packets_total", "received"] == 150
    assert counted["packets_lost_total", "received"] == 15
    assert counted["loss_ratio_sum", "received"] == pytest.approx(0.1)
    assert counted["loss_ratio_sum", "sent"] == pytest.approx(0.05, abs=0.007)
    assert counted["jitter_seconds_sum", "sent"] == pytest.approx(0.01)
    assert counted["mos_sum", "received"] == pytest.approx(received["mos"], abs=0.01)


async def test_a_clean_call_whose_caller_tells_the_round_trip(gateway: GatewayProcess, operator: Operator) -> None:
    async with BadLine(Caller(gateway)) as line:
        await line.calls()
        talking = asyncio.create_task(line.talker.talks(300))
        sender_report = await line.rtcp.hears(SR)
        ssrc, _, seconds, fraction, _, packets = struct.unpack("!IIIIII", sender_report[4:8] + sender_report[4:24])
        assert ssrc == line.talker.ssrc
        assert packets == pytest.approx(len(line.talker.packets), abs=3)
        await asyncio.sleep(0.1)  # of which its report says nothing
        line.rtcp.reports(line.to, ssrc, 0, 0, (seconds & 0xFFFF) << 16 | fraction >> 16, 1)
        await talking
        await line.caller.hangs_up()
        (rtp,) = await rtp_of(operator, line.caller)
        block = struct.unpack("!IIIIII", sender_report[28:52])
        assert (block[0], block[1]) == (0x5157, 0), "what it says of ours: nothing is lost"
        await line.rtcp.hears(BYE)
    assert rtp["received"]["lost"] == rtp["sent"]["lost"] == 0
    assert 100 <= rtp["roundTripMs"] < 1000
    assert min(rtp["received"]["mos"], rtp["sent"]["mos"]) > 4.2


async def test_a_new_stream_begins_and_what_was_counted_stays(gateway: GatewayProcess, operator: Operator) -> None:
    async with BadLine(Caller(gateway)) as line, Talker() as other:
        await line.calls()
        await line.talker.talks(60, leave_out=10)
        await line.caller.reinvites(ear=other)
        other.peer = line.caller.ear.peer
        await other.talks(60)
        await line.caller.hangs_up()
        (rtp,) = await rtp_of(operator, line.caller)
    assert rtp["received"]["packets"] == pytest.approx(54 + 60, abs=1)
    assert rtp["received"]["lost"] == 6
    assert rtp["sent"]["lost"] is rtp["sent"]["mos"] is None, "no report came"


async def test_a_call_that_was_never_answered_has_none(gateway: GatewayProcess, operator: Operator) -> None:
    async with Caller(gateway) as caller:
        caller.invites("200")
        await caller.is_told(180)
        await caller.cancels()
        assert await rtp_of(operator, caller) == []
    assert await metrics(gateway) == {}
