"""The gateway at a real registrar and proxy, Kamailio: registration, calls by Record-Route, restarts, new passwords."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.kamailio import EXPIRES_S, Kamailio
from tests.operators import operator_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

CUSTOMER = "127.0.0.6"
"""Belongs to no trunk: its calls are heard only because Kamailio brings them."""


@asynccontextmanager
async def gateway_at(proxy: Kamailio, folder: Path, more: str = "") -> AsyncIterator[GatewayProcess]:
    """With one trunk that registers there, and an echo bot."""
    auth = "auth: {username: gw, realm: acme.example, password: {env: ACME_PASSWORD}}"
    plan = f"""
trunks: {{acme: {{host: "{proxy.address}:{proxy.port}", {auth}, register: true{more}}}}}
channels: {{echo: {{bot: {{type: builtin, name: echo}}}}}}
routes: [{{to: "*", channel: echo}}]
"""
    async with GatewayProcess(plan, folder, {}, {"ACME_PASSWORD": "open sesame"}) as gateway:
        yield gateway


async def test_it_registers_takes_calls_both_ways_and_leaves(tmp_path: Path) -> None:
    async with Kamailio(tmp_path) as proxy:
        async with gateway_at(proxy, tmp_path) as gateway:
            await gateway.wait_for("trunk.registered")
            gateway.idle = await gateway.held()
            assert await proxy.knows(1) == [f"sip:gw@127.0.0.1:{gateway.udp_port}"]
            async with Caller(gateway, CUSTOMER, proxy=(proxy.address, proxy.port)) as customer:
                answer = await customer.calls("gw")
                assert f"<sip:{proxy.address}:{proxy.port};lr" in (answer.header("Record-Route") or "")
                said_s = await customer.ear.hears_something()
                pressed_s = await customer.ear.presses("5")
                assert pressed_s > said_s
                await gateway.wait_for("dtmf.received")
                await customer.ear.hears_something(since_s=pressed_s + 1.0)  # what it says to the key
                assert (await customer.hangs_up()).status == 200
                assert (await customer.end())["ended_by"] == "customer"
            async with Caller(gateway, CUSTOMER, proxy=(proxy.address, proxy.port)) as customer:
                await customer.calls("gw")
                await customer.ear.hears_something()
                await customer.ear.presses("*")
                bye = await customer.is_hung_up()
                assert len(bye.headers("Via")) == 2, "it came through the proxy"
                assert (await customer.end())["ended_by"] == "bot"
            await gateway.all_given_back()
        assert await proxy.contacts() == [], "SIGTERM takes the registration back"


async def test_a_restart_that_forgets_is_made_good_by_the_next_refresh(tmp_path: Path) -> None:
    async with Kamailio(tmp_path) as proxy, gateway_at(proxy, tmp_path) as gateway:
        await proxy.knows(1)
        await proxy.stop()
        await proxy.start()
        assert await proxy.contacts() == []
        assert len(await proxy.knows(1, timeout_s=EXPIRES_S + 5)) == 1
        assert not gateway.events("trunk.not_registered"), "its new nonces are taken"


async def test_a_restart_is_noticed_by_options_too(tmp_path: Path) -> None:
    async with Kamailio(tmp_path) as proxy, gateway_at(proxy, tmp_path, ", options_interval: 5") as gateway:
        await gateway.wait_for("trunk.up")
        await proxy.stop()
        await gateway.wait_for("trunk.down", timeout_s=30)
        await proxy.start()
        await gateway.wait_for("trunk.up", timeout_s=60, count=2)
        await proxy.knows(1)


async def test_a_password_that_changed_is_told_and_calls_that_are_up_go_on(tmp_path: Path) -> None:
    async with Kamailio(tmp_path) as proxy, gateway_at(proxy, tmp_path) as gateway:
        await proxy.knows(1)
        async with Caller(gateway, CUSTOMER, proxy=(proxy.address, proxy.port)) as customer:
            await customer.calls("gw")
            await proxy.stop()
            proxy.password = "close sesame"
            await proxy.start()
            told = await gateway.wait_for("trunk.not_registered", timeout_s=EXPIRES_S + 10)
            assert "refuses our credentials (401" in told["detail"]
            shown = await (await operator_of(gateway, tmp_path)).trunk("acme")
            assert (shown["state"], shown["registration"]) == ("down", "failed")
            heard = len(customer.ear.packets)
            await asyncio.sleep(0.5)
            assert len(customer.ear.packets) > heard + 15
            await customer.hangs_up()
            assert (await customer.end())["cause"] == "completed/normal"
