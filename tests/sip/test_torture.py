"""RFC 4475's torture messages from a trunk, over UDP, TCP and TCP a byte at a time: the process lives, answers the next
OPTIONS, and a live call hears no gap."""

import asyncio
import contextlib
import socket
from itertools import pairwise
from pathlib import Path

import pytest

from tests.bot_server import BotServer, replies
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.tone_server import ToneServer
from tests.wire import CARRIER, free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

VECTORS = sorted((Path(__file__).parent.parent / "data" / "rfc4475").glob("*.dat"))
BOT_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)
PLAN = f"""
trunks: {{carrier: {{host: 127.0.0.2, allow: [127.0.0.2/32], headers: {{to_bot: ["*"]}}}}}}
channels: {{tone: {{bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot"}}}}}}
routes: [{{to: "100", channel: tone}}]
"""
SETTINGS = {"security.fetch_allow": "127.0.0.0/8"}
LONGEST_GAP_S = 0.06


class Peer:
    """The trunk's other voice: sends what it is given, and asks whether the gateway is well."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self.gateway = gateway
        self.wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.wire.bind((CARRIER, 0))
        self.wire.setblocking(False)
        self._asked = 0

    def sends(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # longer than a datagram
            self.wire.sendto(data, ("127.0.0.1", self.gateway.udp_port))

    async def sends_by_tcp(self, data: bytes, step: int) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.gateway.tcp_port, local_addr=(CARRIER, 0), family=socket.AF_INET
        )
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for at in range(0, len(data), step):
                writer.write(data[at : at + step])
                await writer.drain()
            async with asyncio.timeout(0.05):
                await reader.read(65536)
        except (ConnectionError, TimeoutError):
            pass  # most of these messages get no answer
        finally:
            writer.close()

    async def is_answered(self) -> bool:
        """OPTIONS, and its 200 within a second."""
        self._asked += 1
        here = "{}:{}".format(*self.wire.getsockname())
        call_id = f"well-{self._asked}@{here}"
        self.sends(
            (
                f"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKw{self._asked}\r\n"
                f"From: <sip:peer@{here}>;tag=w\r\nTo: <sip:127.0.0.1>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\n"
                "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            ).encode()
        )
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(1):
            while True:
                answer = await loop.sock_recv(self.wire, 65536)
                if call_id.encode() in answer:
                    return answer.startswith(b"SIP/2.0 200")


async def test_the_torture_messages_hurt_nobody(
    gateway: GatewayProcess, bot: BotServer, tones: ToneServer, customer: Caller
) -> None:
    assert len(VECTORS) >= 49
    bot.on("start", replies({"type": "audio", "url": tones.url(440, 60)}))
    await customer.calls("100")
    began = await customer.ear.hears_something()
    peer = Peer(gateway)
    for vector in VECTORS:
        data = vector.read_bytes()
        peer.sends(data)
        for step in (len(data), 1):
            with contextlib.suppress(TimeoutError):
                await peer.sends_by_tcp(data, step)
        assert await peer.is_answered(), f"no answer after {vector.name}"
    packets = [packet for packet in customer.ear.packets if packet.at_s >= began]
    gaps = [b.at_s - a.at_s for a, b in pairwise(packets)]
    assert len(packets) > 100 and max(gaps) < LONGEST_GAP_S, f"{max(gaps):.3f} s without audio"
    assert {b.sequence - a.sequence for a, b in pairwise(packets)} == {1}
    await customer.hangs_up()
    peer.wire.close()
    # PJSIP keeps a closed connection's descriptor for 32 s; those to the bot and to the tone's server close after 15 s.
    await gateway.all_given_back(within_s=50)
