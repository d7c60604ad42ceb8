"""What the gatekeeper of a running gateway refuses of a trunk's messages, and that it says so in /metrics."""

import asyncio
import re
import socket

import aiohttp
import pytest

from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.sip.malformed import SDP, message
from tests.spectrum import rms_db
from tests.wire import CARRIER, STRANGER, Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN = """
trunks:
  carrier: {host: 127.0.0.2, allow: [127.0.0.2/32]}
channels:
  echo: {bot: {type: builtin, name: echo}}
routes:
  - {to: "100", channel: echo}
"""
CRYPTOS = "".join(f"a=crypto:{n} AES_CM_128_HMAC_SHA1_80 inline:{'A' * 40}\r\n" for n in range(1, 101))


class Asker:
    """A socket of the trunk, or of a stranger."""

    def __init__(self, gateway: GatewayProcess, address: str = CARRIER) -> None:
        self._gateway = gateway
        self._wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._wire.bind((address, 0))
        self._wire.setblocking(False)
        self.here = "{}:{}".format(*self._wire.getsockname())

    def __enter__(self) -> "Asker":
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.close()

    async def asks(self, text: str) -> Wire:
        """The first answer."""
        self._wire.sendto(text.encode(), ("127.0.0.1", self._gateway.udp_port))
        async with asyncio.timeout(5):
            return Wire(False, (await asyncio.get_running_loop().sock_recv(self._wire, 65536)).decode())

    def says(self, text: str) -> None:
        """What nobody answers."""
        self._wire.sendto(text.encode(), ("127.0.0.1", self._gateway.udp_port))


async def decisions(gateway: GatewayProcess) -> dict[str, float]:
    """Of /metrics."""
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.api}/metrics") as answer:
        text = await answer.text()
    found = re.findall(r'^switchhook_gatekeeper_decisions_total\{decision="(\w+)"\} (\S+)$', text, re.MULTILINE)
    return {name: float(value) for name, value in found}


async def test_every_decision_is_counted_by_its_name(gateway: GatewayProcess) -> None:
    before = await decisions(gateway)
    assert set(before) == {
        "passed", "stranger", "method", "rate", "cps", "draining", "overloaded", "malformed", "malformed_response",
    }  # fmt: skip
    with Asker(gateway) as trunk, Asker(gateway, STRANGER) as stranger:
        stranger.says(message(stranger.here, "OPTIONS"))
        trunk.says(
            message(trunk.here, body=SDP + CRYPTOS).replace("INVITE sip:100@127.0.0.1 SIP/2.0", "SIP/2.0 200 OK")
        )
        asked = (
            message(trunk.here, "MESSAGE"),
            message(trunk.here, body=SDP + CRYPTOS),
            message(trunk.here, "OPTIONS", body=""),
        )
        assert [(await trunk.asks(text)).status for text in asked] == [405, 400, 200]
    after = await decisions(gateway)
    grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert grown == dict.fromkeys(("passed", "stranger", "method", "malformed", "malformed_response"), 1)


@pytest.mark.parametrize("status", [405, 200])
async def test_allow_names_what_is_served_and_nothing_else(gateway: GatewayProcess, status: int) -> None:
    with Asker(gateway) as trunk:
        answer = await trunk.asks(message(trunk.here, {405: "SUBSCRIBE", 200: "OPTIONS"}[status], body=""))
    assert answer.status == status
    allowed = set(re.split(r",\s*", ", ".join(answer.headers("Allow"))))
    assert {"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "INFO"} <= allowed
    assert not allowed & {"REGISTER", "SUBSCRIBE", "PUBLISH", "MESSAGE"}


async def test_malformed_messages_by_the_thousand_leave_a_live_call_alone(
    gateway: GatewayProcess, customer: Caller
) -> None:
    await customer.calls("100")
    customer.ear.sings(440)
    await customer.ear.hears_something()
    with Asker(gateway) as trunk:
        for _ in range(1000):
            assert (await trunk.asks(message(trunk.here, body=SDP + CRYPTOS))).status == 400
    assert rms_db(await customer.ear.listens(1.0)) > -40
    assert (await customer.hangs_up()).status == 200
