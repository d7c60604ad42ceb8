"""What takes SIP's own 32 seconds (64*T1), all at once: silent peers, kept connections, a scan."""

import asyncio
import contextlib
import socket
import time
from pathlib import Path

import pytest

from tests.bot_server import BotServer, replies
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.sip.malformed import MALFORMED, ack_and_bye, bytes_of
from tests.sipp import sipp
from tests.wire import CARRIER, STRANGER, free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOT_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)
KEYS_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)
BY_INFO = "127.0.0.4"
PLAN = f"""
trunks:
  carrier: {{host: 127.0.0.2, allow: [127.0.0.2/32]}}
  carrier-tcp: {{host: 127.0.0.2, transport: tcp, allow: [127.0.0.2/32]}}
  by-info: {{host: {BY_INFO}, allow: [{BY_INFO}/32], dtmf: info}}
channels:
  keys: {{bot: {{type: webhook, url: "http://127.0.0.1:{KEYS_PORT}/bot"}}}}
  echo: {{bot: {{type: builtin, name: echo}}}}
  screened: {{bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot"}}, answer: bot}}
routes:
  - {{to: "keys", channel: keys}}
  - {{to: "100", channel: echo}}
  - {{to: "ask", channel: screened}}
  - {{to: "closed", prompt: goodbye}}
"""


async def a_caller_that_never_sends_ack(gateway: GatewayProcess, folder: Path) -> None:
    run = (await sipp("no_ack", gateway, folder, timeout_s=50)).succeeded()
    assert len(run.statuses) >= 10, "the 200 is retransmitted (RFC 3261 §13.3.1.4)"
    assert 30 < run.took_s < 40
    ended = await gateway.end_of(run.call_id)
    assert (ended["cause"], ended["ended_by"]) == ("caller/no-response", "customer")
    assert not gateway.of_call(run.call_id, "leg.answered"), "no ACK, no conversation"


async def a_caller_that_never_answers_our_bye(gateway: GatewayProcess) -> None:
    async with Caller(gateway) as customer:
        customer.ignores = {"BYE"}
        await customer.calls("closed")
        await customer.is_hung_up()
        assert (await customer.end())["cause"] == "completed/normal"
        await asyncio.sleep(5)
        assert len([m for m in customer.received if m.method == "BYE"]) >= 3, "the BYE is retransmitted"


async def a_caller_that_never_answers_our_info(gateway: GatewayProcess) -> None:
    async with BotServer(port=KEYS_PORT) as bot, Caller(gateway, BY_INFO) as customer:
        bot.on("start", replies({"type": "sendDtmf", "digits": "5"}))
        customer.ignores = {"INFO"}
        await customer.calls("keys")
        await asyncio.sleep(35)
        assert len([m for m in customer.received if m.method == "INFO"]) >= 5, "the INFO is retransmitted"
        assert not [m for m in customer.received if m.method == "BYE"], "a lost key is no reason to hang up"
        assert (await customer.hangs_up()).status == 200, "the dialog is still there"


async def a_bot_that_does_not_decide_whether_to_answer(gateway: GatewayProcess) -> None:
    async with BotServer(port=BOT_PORT) as bot, Caller(gateway) as customer:
        began = time.monotonic()
        customer.invites("ask")
        assert (await customer.is_told_finally(timeout_s=15)).status == 200
        await customer.is_answered()
        assert 9.5 < time.monotonic() - began < 12, "answered after 10 s all the same (bot-protocol.md)"
        await bot.received("start")
        assert bot.events == ["offered", "start"]


async def a_scanner_that_finds_nothing(gateway: GatewayProcess) -> None:
    async def scans(method: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *("svmap", "-p", str(gateway.udp_port), "-m", method, "-b", STRANGER, "-x", STRANGER, "127.0.0.1"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return output.decode()

    for output in await asyncio.gather(*(scans(method) for method in ("OPTIONS", "REGISTER", "INVITE"))):
        assert "found nothing" in output and "127.0.0.1:" not in output, output


async def calls_over_tcp(gateway: GatewayProcess, folder: Path) -> None:
    run = (await sipp("basic", gateway, folder, tcp=True, duration_ms=300, calls=20, rate=20)).succeeded()
    assert run.statuses == [200] * 20
    await gateway.end_of(run.call_id)
    assert gateway.of_call(run.call_id, "call.started")[0]["trunk"] == "carrier-tcp"


async def a_tcp_connection_that_never_says_anything(gateway: GatewayProcess) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.tcp_port, local_addr=("127.0.0.2", 0))
    async with asyncio.timeout(40):
        assert await reader.read() == b"", "closed by the gateway"
    writer.close()


async def malformed_messages_over_tcp(gateway: GatewayProcess, address: str) -> None:
    async def says(kind: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.tcp_port, local_addr=(address, 0))
        writer.write(bytes_of(kind, f"{address}:5060").replace(b"/UDP", b"/TCP"))
        for request in ack_and_bye(await _all_that_comes(reader, within_s=1)):
            writer.write(request.encode("latin-1"))
        await _all_that_comes(reader, within_s=0.5)
        writer.close()

    await asyncio.gather(*(says(kind) for kind in MALFORMED))
    async with Caller(gateway) as customer:
        await customer.calls("100")
        await customer.ear.hears_something()


async def _all_that_comes(reader: asyncio.StreamReader, within_s: float) -> str:
    got = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(within_s):
            while data := await reader.read(65536):
                got += data
    return got.decode("latin-1")


async def test_whoever_goes_silent_costs_nothing_in_the_end(gateway: GatewayProcess, folder: Path) -> None:
    await asyncio.gather(
        a_caller_that_never_sends_ack(gateway, folder),
        a_caller_that_never_answers_our_bye(gateway),
        a_caller_that_never_answers_our_info(gateway),
        a_bot_that_does_not_decide_whether_to_answer(gateway),
        a_scanner_that_finds_nothing(gateway),
        calls_over_tcp(gateway, folder),
        malformed_messages_over_tcp(gateway, CARRIER),
        malformed_messages_over_tcp(gateway, STRANGER),
        a_tcp_connection_that_never_says_anything(gateway),
    )
    await gateway.all_given_back(within_s=40)
