"""kill -9 while a caller is being transferred, and a new start: one end of the transfer, one of the call."""

import asyncio
import socket
from pathlib import Path

import pytest

from tests.bot_server import BotServer, replies
from tests.callee import Callee
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.operators import Operator, operator_of
from tests.wire import free_port

PEOPLE = "127.0.0.4"
BOT_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)


@pytest.mark.parametrize("state", ["transferring", "talking"])
async def test_a_killed_transfer_has_one_end(tmp_path: Path, state: str) -> None:
    async with Callee(PEOPLE) as agent, BotServer(secrets=[], port=BOT_PORT) as bot:
        bot.on("start", replies({"type": "switch", "phoneNumber": "16123456789"}))
        plan = f"""
trunks:
  carrier: {{host: 127.0.0.2, allow: [127.0.0.2/32]}}
  people: {{host: "{PEOPLE}:{agent.port}", allow: ["{PEOPLE}/32"]}}
channels: {{desk: {{bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot"}}, trunk: people}}}}
routes: [{{to: "*", channel: desk}}]
destinations: {{allow: ["+1612"]}}
"""
        gateway = GatewayProcess(plan, tmp_path)
        await gateway.start()
        async with Caller(gateway) as customer:
            await customer.calls("100")
            await agent.is_called()
            agent.rings()
            await gateway.wait_for("transfer.ringing")
            if state == "talking":
                await agent.answers()
                await gateway.wait_for("transfer.bridged")
            operator = await operator_of(gateway, tmp_path)
            await journaled(operator, "transfer.bridged" if state == "talking" else "transfer.ringing")
            customer._live = False  # nobody will answer a BYE any more
            await gateway.kill()
        async with GatewayProcess(plan, tmp_path) as again:
            operator = Operator(again, operator.key)
            async with asyncio.timeout(5):
                while not (cdrs := await operator.cdrs()):
                    await asyncio.sleep(0.05)
            (cdr,) = cdrs
            assert (cdr["cause"]["reason"], len(cdr["transfers"])) == ("crashed", 1)
            status = "SUCCESS" if state == "talking" else "FAIL"
            assert (cdr["transfers"][0]["status"], cdr["transfers"][0]["reason"]) == (status, "gateway-error")
            _, events = await operator.asks("GET", f"/v1/calls/{cdr['callId']}/events?limit=500")
            types = [event["type"] for event in events["items"]]
            assert (types.count("transfer.ended"), types.count("call.ended"), types[-1]) == (1, 1, "call.ended")


async def journaled(operator: Operator, type_: str) -> None:
    """It is on disk: within 20 ms, and nobody waits for it."""
    (call,) = (await operator.asks("GET", "/v1/calls"))[1]["items"]
    async with asyncio.timeout(2):
        while not (await operator.asks("GET", f"/v1/calls/{call['id']}/events?types={type_}"))[1]["items"]:
            await asyncio.sleep(0.02)
