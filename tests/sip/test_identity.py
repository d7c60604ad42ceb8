"""Who calls, as the bot is told: what a trusted trunk asserts over the wire, and what a stranger to trust may claim."""

import socket
from collections.abc import Mapping
from typing import Any

import pytest

from tests.bot_server import BotServer
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.wire import CARRIER, free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOT_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)
UNTRUSTED = "127.0.0.4"
PLAN = f"""
trunks:
  trusted: {{host: 127.0.0.2, trust_identity: true, headers: {{to_bot: ["*"]}}}}
  untrusted: {{host: {UNTRUSTED}, headers: {{to_bot: ["Identity"]}}}}
channels:
  ids: {{bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot"}}}}
routes:
  - {{to: "100", channel: ids}}
  - {{to: "*", reject: 404}}
"""
TOKENS = [f"{'eyJhbGciOiJFUzI1NiJ9' * 30}.{number};info=<https://cert.example/{number}>" for number in range(2)]
FROM = "+12125550123;verstat=No-TN-Validation"
CLAIMS = {
    "P-Asserted-Identity": '"Ann Smith" <sip:+12125550199;verstat=TN-Validation-Passed@carrier.example;user=phone>',
    "Remote-Party-ID": '"Someone" <sip:+12125550188@carrier.example>;party=calling;screen=yes',
    "History-Info": "<sip:+12125550150@a.example>;index=1, <sip:100@b.example;cause=302>;index=1.1;mp=1",
    "Identity": TOKENS[0],
    "y": TOKENS[1],
}


async def told(
    gateway: GatewayProcess, bot: BotServer, headers: Mapping[str, str], address: str = CARRIER
) -> dict[str, Any]:
    """`call` of the start event of a call with these headers."""
    async with Caller(gateway, address, FROM) as customer:
        await customer.calls("100", headers)
        (start,) = await bot.received("start")
    call: dict[str, Any] = start.event["call"]
    return call


async def test_a_trusted_trunk_tells_who_calls(gateway: GatewayProcess, bot: BotServer) -> None:
    call = await told(gateway, bot, CLAIMS)
    assert (call["from"], call["fromName"], call["verstat"]) == ("+12125550199", "Ann Smith", "TN-Validation-Passed")
    assert (call["to"], call["diversion"]) == ("100", "+12125550150")
    assert call["headers"]["Identity"] == ", ".join(TOKENS)


async def test_without_an_assertion_the_next_header_counts(gateway: GatewayProcess, bot: BotServer) -> None:
    call = await told(gateway, bot, {"Remote-Party-ID": CLAIMS["Remote-Party-ID"]})
    assert (call["from"], call["fromName"], call["verstat"]) == ("+12125550188", "Someone", "No-TN-Validation")


async def test_on_another_trunk_forged_headers_do_nothing(gateway: GatewayProcess, bot: BotServer) -> None:
    call = await told(gateway, bot, CLAIMS, UNTRUSTED)
    assert (call["from"], call["fromName"], call["verstat"]) == ("+12125550123", "Ann Caller", None)
    assert call["diversion"] is None
    assert call["headers"] == {"Identity": ", ".join(TOKENS)}, "the trunk names it; its signature speaks for itself"


async def test_a_withheld_number_reaches_neither_bot_nor_log(gateway: GatewayProcess, bot: BotServer) -> None:
    call = await told(gateway, bot, {**CLAIMS, "Privacy": "id"})
    assert (call["from"], call["fromName"], call["verstat"]) == ("anonymous", None, "TN-Validation-Passed")
    for secret in ("0199", "0123", "0188", "Ann", "eyJhbGci"):
        assert secret not in str(call) and secret not in str(gateway.log), secret
