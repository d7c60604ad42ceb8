"""A trunk that registers: digest, refresh, 423, a stale nonce, refusals, and a carrier that goes and comes."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.bot_server import BotServer
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.operators import operator_of
from tests.registrar import Registrar
from tests.wire import Wire, free_port

BOT_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)

pytestmark = pytest.mark.asyncio(loop_scope="module")


def plan(carrier: Registrar, more: str = "") -> str:
    """One trunk that registers at the carrier."""
    auth = "auth: {username: gw, realm: acme.example, password: {env: ACME_PASSWORD}}"
    return f"""
trunks: {{acme: {{host: "{carrier.address}:{carrier.port}", {auth}, register: true{more}}}}}
channels: {{quiet: {{bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot"}}}}}}
routes: [{{to: "*", channel: quiet}}]
"""


@asynccontextmanager
async def gateway_of(text: str, folder: Path) -> AsyncIterator[GatewayProcess]:
    """It, and a bot that has nothing to say."""
    async with (
        BotServer(secrets=[], port=BOT_PORT),
        GatewayProcess(text, folder, {}, {"ACME_PASSWORD": "open sesame"}) as gateway,
    ):
        yield gateway


async def test_it_registers_answers_the_challenge_and_takes_calls(tmp_path: Path) -> None:
    async with Registrar() as carrier, gateway_of(plan(carrier), tmp_path) as gateway:
        second = await carrier.gets("REGISTER", 2)
        assert carrier.received("REGISTER")[0].header("Authorization") is None
        assert 'realm="acme.example"' in (second.header("Authorization") or "")
        assert second.start == f"REGISTER sip:{carrier.address}:{carrier.port} SIP/2.0"
        assert second.header("Route") is None
        await gateway.wait_for("trunk.registered", trunk="acme")
        (contact,) = carrier.contacts
        assert contact.startswith("sip:gw@127.0.0.1:")
        assert (await (await operator_of(gateway, tmp_path)).trunk("acme"))["state"] == "up"
        async with Caller(gateway) as caller:
            await caller.calls("gw")
            await caller.hangs_up()


async def test_it_is_taken_back_at_the_end(tmp_path: Path) -> None:
    async with Registrar() as carrier:
        async with gateway_of(plan(carrier), tmp_path) as gateway:
            await gateway.wait_for("trunk.registered")
            assert len(carrier.contacts) == 1
        assert carrier.contacts == {}


async def test_it_is_refreshed_in_time(tmp_path: Path) -> None:
    async with Registrar() as carrier:
        carrier.expires_s = 12  # refreshed 10 s before its end
        async with gateway_of(plan(carrier), tmp_path):
            await carrier.gets("REGISTER", 4)
            first, refresh = carrier.received("REGISTER")[0], carrier.received("REGISTER")[2]
            assert refresh.header("Call-ID") == first.header("Call-ID")  # RFC 3261 §10.2.4
            assert 1 < refresh.at_s - first.at_s < 11
            assert len(carrier.contacts) == 1


async def test_a_stale_nonce_is_changed_for_the_new_one(tmp_path: Path) -> None:
    def grows_old(request: Wire) -> None:
        if request.header("Authorization"):
            carrier.nonce = "second"

    async with Registrar() as carrier:
        carrier.behaviour = grows_old
        async with gateway_of(plan(carrier), tmp_path) as gateway:
            await gateway.wait_for("trunk.registered")
            nonces = [request.header("Authorization") or "" for request in carrier.received("REGISTER")]
            assert [nonce.partition('nonce="')[2].partition('"')[0] for nonce in nonces] == ["", "first", "second"]


async def test_an_interval_too_brief_is_made_longer(tmp_path: Path) -> None:
    async with Registrar() as carrier:
        carrier.behaviour = lambda request: (
            "423 Interval Too Brief\r\nMin-Expires: 1800"
            if request.method == "REGISTER" and int(request.header("Expires") or 0) < 1800
            else None
        )
        async with gateway_of(plan(carrier), tmp_path) as gateway:
            await gateway.wait_for("trunk.registered")
            assert carrier.received("REGISTER")[-1].header("Expires") == "1800"


async def test_a_foreign_realm_gets_no_credentials_and_is_named(tmp_path: Path) -> None:
    async with Registrar(realm="evil.example") as carrier, gateway_of(plan(carrier), tmp_path) as gateway:
        told = await gateway.wait_for("trunk.not_registered")
        assert 'asks for the realm "evil.example", and the plan\'s auth.realm is "acme.example"' in told["detail"]
        assert all(request.header("Authorization") is None for request in carrier.received("REGISTER"))
        shown = await (await operator_of(gateway, tmp_path)).trunk("acme")
        assert (shown["state"], shown["registration"]) == ("down", "failed")
        assert "evil.example" in shown["detail"]


async def test_a_wrong_password_is_told_without_it(tmp_path: Path) -> None:
    async with Registrar() as carrier:
        carrier.password = "another"
        async with gateway_of(plan(carrier), tmp_path) as gateway:
            told = await gateway.wait_for("trunk.not_registered")
            assert "refuses our credentials (401" in told["detail"]
            assert "sesame" not in str(gateway.log)
            await asyncio.sleep(1)
            assert len(carrier.received("REGISTER")) <= 4, "it does not hammer"


async def test_a_carrier_that_is_away_at_the_start_is_found_later(tmp_path: Path) -> None:
    async with Registrar() as carrier:
        carrier.silent = True
        async with gateway_of(plan(carrier), tmp_path) as gateway:
            told = await gateway.wait_for("trunk.down", timeout_s=15)
            assert "no answer" in told["detail"]
            carrier.silent = False
            await gateway.wait_for("trunk.up", timeout_s=30)
            assert (await (await operator_of(gateway, tmp_path)).trunk("acme"))["registration"] == "registered"


async def test_a_carrier_that_goes_and_comes_touches_no_call(tmp_path: Path) -> None:
    async with Registrar() as carrier, gateway_of(plan(carrier, ", options_interval: 5"), tmp_path) as gateway:
        await gateway.wait_for("trunk.up")
        async with Caller(gateway) as caller:
            await caller.calls("gw")
            for time in (1, 2):
                carrier.silent = True
                await gateway.wait_for("trunk.down", timeout_s=30, count=time)
                carrier.silent = False
                await gateway.wait_for("trunk.up", timeout_s=30, count=time + 1)
            heard = len(caller.ear.packets)
            await asyncio.sleep(0.5)
            assert len(caller.ear.packets) > heard + 15, "its audio went on"
            await caller.hangs_up()
            assert (await caller.end())["cause"] == "completed/normal"


async def test_it_registers_again_after_a_crash(tmp_path: Path) -> None:
    async with Registrar() as carrier:
        gateway = GatewayProcess(plan(carrier), tmp_path, {}, {"ACME_PASSWORD": "open sesame"})
        await gateway.start()
        await gateway.wait_for("trunk.registered")
        await gateway.kill()
        before = len(carrier.received("REGISTER"))
        async with gateway_of(plan(carrier), tmp_path) as again:
            await again.wait_for("trunk.registered")
            assert len(carrier.received("REGISTER")) == before + 2
