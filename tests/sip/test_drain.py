"""SIGTERM, or the API: live calls go on, new ones are refused; a second one ends them. Each test has its gateway."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.operators import operator_of
from tests.spectrum import rms_db

PLAN = """
trunks: {carrier: {host: 127.0.0.2, allow: [127.0.0.2/32]}}
channels: {echo: {bot: {type: builtin, name: echo}}}
routes: [{to: "100", channel: echo}]
"""


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    async with GatewayProcess(PLAN, tmp_path) as process:
        yield process


async def test_a_drained_gateway_refuses_new_calls_and_ends_after_the_last_one(gateway: GatewayProcess) -> None:
    async with Caller(gateway) as customer, Caller(gateway) as late:
        await customer.calls("100")
        gateway.terminate()
        await gateway.wait_for("gateway.draining", calls=1)
        late.invites("100")
        refusal = await late.is_told_finally()
        assert refusal.status == 503 and int(refusal.header("Retry-After") or 0) > 0
        assert await gateway.ready() == 503

        await customer.ear.presses("5")
        assert rms_db(await customer.ear.listens(1.5)) > -40, "the live call goes on"
        await customer.hangs_up()
    assert await gateway.exit_code(timeout_s=8) == 0


async def test_the_api_drains_too_and_sigterm_after_it_changes_nothing(gateway: GatewayProcess) -> None:
    operator = await operator_of(gateway, gateway.folder)
    async with Caller(gateway) as customer, Caller(gateway) as late:
        await customer.calls("100")
        for _ in range(2):
            assert await operator.asks("POST", "/v1/drain") == (202, {"draining": True, "calls": 1})
        await gateway.wait_for("gateway.draining", calls=1)
        gateway.terminate()
        late.invites("100")
        assert (await late.is_told_finally()).status == 503 and await gateway.ready() == 503
        await customer.ear.presses("5")
        assert rms_db(await customer.ear.listens(1.5)) > -40, "the live call goes on"
        await customer.hangs_up()
    assert await gateway.exit_code(timeout_s=8) == 0


async def test_the_api_drains_a_node_without_calls_at_once(gateway: GatewayProcess) -> None:
    operator = await operator_of(gateway, gateway.folder)
    assert await operator.asks("POST", "/v1/drain") == (202, {"draining": True, "calls": 0})
    assert await gateway.exit_code(timeout_s=8) == 0


async def test_a_second_sigterm_ends_live_calls_with_bye(gateway: GatewayProcess) -> None:
    async with Caller(gateway) as customer:
        await customer.calls("100")
        gateway.terminate()
        await gateway.wait_for("gateway.draining")
        gateway.terminate()
        bye = await customer.is_hung_up()
        assert (bye.header("Reason") or "").startswith("Q.850;cause=41;")
        ended = await customer.end()
        assert (ended["cause"], ended["ended_by"]) == ("gateway/drained", "gateway")
    assert await gateway.exit_code(timeout_s=8) == 0


async def test_a_ringing_call_is_not_forgotten_at_the_end(tmp_path: Path) -> None:
    plan = PLAN.replace("name: echo}", "name: echo}, answer: {after_ms: 20000}")
    async with GatewayProcess(plan, tmp_path) as gateway, Caller(gateway) as customer:
        customer.invites("100")
        await customer.is_told(180)
        gateway.terminate()
        await gateway.wait_for("gateway.draining", calls=1)
        gateway.terminate()
        assert (await customer.is_told_finally()).status in (480, 503)


async def test_ctrl_c_drains_too(gateway: GatewayProcess) -> None:
    async with Caller(gateway) as customer:
        await customer.calls("100")
        gateway.terminate(signal.SIGINT)
        await gateway.wait_for("gateway.draining", calls=1)
        await asyncio.gather(customer.hangs_up(), gateway.exit_code(timeout_s=10))
