"""Malformed messages, garbage and strangers: nobody learns anything, nothing breaks, live calls go on."""

import asyncio
import os
import socket

import pytest

from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.sip.malformed import MALFORMED, ack_and_bye, bytes_of, message
from tests.spectrum import rms_db
from tests.wire import CARRIER, STRANGER

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN = """
trunks:
  carrier: {host: 127.0.0.2, allow: [127.0.0.2/32], headers: {to_bot: ["*"]}}
channels:
  echo: {bot: {type: builtin, name: echo}}
routes:
  - {to: "100", channel: echo}
"""


def sends_udp(gateway: GatewayProcess, data: bytes, wire: socket.socket) -> None:
    """A datagram."""
    wire.sendto(data, ("127.0.0.1", gateway.udp_port))


def udp_socket(address: str) -> socket.socket:
    """At this address, not blocking."""
    wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    wire.bind((address, 0))
    wire.setblocking(False)
    return wire


@pytest.mark.parametrize("kind", MALFORMED)
async def test_a_malformed_message_over_udp_harms_nobody(gateway: GatewayProcess, kind: str) -> None:
    async with Caller(gateway) as customer:
        await customer.calls("100")
        with udp_socket(CARRIER) as wire:
            here = "{}:{}".format(*wire.getsockname())
            sends_udp(gateway, bytes_of(kind, here), wire)
            for request in ack_and_bye((await last_answer(wire, 0.08)).decode("latin-1")):
                sends_udp(gateway, request.encode("latin-1"), wire)
        assert (await customer.hangs_up()).status == 200, "the live call was not touched"


async def last_answer(wire: socket.socket, within_s: float) -> bytes:
    """The last of what comes back in this time."""
    loop, last = asyncio.get_running_loop(), b""
    try:
        async with asyncio.timeout(within_s):
            while True:
                last = await loop.sock_recv(wire, 65536)
    except TimeoutError:
        return last


async def test_garbage_at_the_media_port_harms_nobody(gateway: GatewayProcess, customer: Caller) -> None:
    answer = await customer.calls("100")
    customer.ear.sings(440)
    await customer.ear.hears_something()
    with udp_socket(CARRIER) as wire:
        for size in (0, 1, 11, 12, 13, 100, 1500, 9000):
            for first in (b"", b"\x80\x00", b"\x80\x65", b"\xbf\xff", b"\x81\xc8"):
                for port in (answer.media[1], answer.media[1] + 1):
                    wire.sendto((first + os.urandom(size))[:9000], ("127.0.0.1", port))
    await customer.ear.presses("7")
    await gateway.wait_for("bot.asked", bot_event="dtmf")
    assert rms_db(await customer.ear.listens(1.5)) > -40


# ── Strangers ───────────────────────────────────────────────────────────────────────────────────────


METHODS = (
    "INVITE",
    "OPTIONS",
    "REGISTER",
    "MESSAGE",
    "SUBSCRIBE",
    "NOTIFY",
    "PUBLISH",
    "REFER",
    "BYE",
    "ACK",
    "CANCEL",
)


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_a_stranger_hears_nothing_at_all(gateway: GatewayProcess, transport: str) -> None:
    async def asks(method: str) -> str:
        says = says_udp if transport == "UDP" else says_tcp
        return (await says(gateway, method)).decode().partition("\r\n")[0]

    answers = dict(zip(METHODS, await asyncio.gather(*map(asks, METHODS)), strict=True))
    assert answers == dict.fromkeys(METHODS, "")
    assert not gateway.events("call.started")


async def says_udp(gateway: GatewayProcess, method: str) -> bytes:
    """Ask as a stranger; the answer."""
    with udp_socket(STRANGER) as wire:
        sends_udp(gateway, message("{}:{}".format(*wire.getsockname()), method=method).encode(), wire)
        return await last_answer(wire, 0.7)


async def says_tcp(gateway: GatewayProcess, method: str) -> bytes:
    """The same over TCP, where a connection that is closed is no answer either."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.tcp_port, local_addr=(STRANGER, 0))
    writer.write(message(f"{STRANGER}:5060", method=method).replace("/UDP", "/TCP").encode())
    try:
        async with asyncio.timeout(0.7):
            return await reader.read(65536)
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        writer.close()


async def test_the_trunk_gets_200_to_its_options(gateway: GatewayProcess) -> None:
    with udp_socket(CARRIER) as wire:
        here = "{}:{}".format(*wire.getsockname())
        sends_udp(gateway, message(here, method="OPTIONS", body="").encode(), wire)
        assert (await last_answer(wire, 0.5)).startswith(b"SIP/2.0 200")
