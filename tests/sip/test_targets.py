"""A trunk with two SRV targets and its own DNS: failover and return, whose calls are heard, and DNS that changes or is
gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from tests.caller import Caller
from tests.dns_server import DnsServer
from tests.gateway_process import GatewayProcess
from tests.operators import operator_of
from tests.registrar import Registrar
from tests.wire import Wire, ladder

pytestmark = pytest.mark.asyncio(loop_scope="module")

A, B, STRANGER = "127.0.0.2", "127.0.0.4", "127.0.0.5"
TTL_S: Final = 5
"""The smallest that the resolver takes at its word."""


@asynccontextmanager
async def gateway_of(dns: DnsServer, folder: Path, host: str = "carrier.test") -> AsyncIterator[GatewayProcess]:
    """With one trunk that registers and asks every 5 s, at a name that `dns` knows."""
    auth = "auth: {username: gw, realm: acme.example, password: {env: ACME_PASSWORD}}"
    plan = f"""
trunks: {{acme: {{host: "{host}", {auth}, register: true, options_interval: 5}}}}
channels: {{echo: {{bot: {{type: builtin, name: echo}}}}}}
routes: [{{to: "*", channel: echo}}]
"""
    settings = {"sip.nameservers": f"127.0.0.1:{dns.port}"}
    async with GatewayProcess(plan, folder, settings, {"ACME_PASSWORD": "open sesame"}) as gateway:
        yield gateway


def names(dns: DnsServer, a: Registrar, b: Registrar) -> None:
    """carrier.test: a first, then b."""
    dns.set("_sip._udp.carrier.test", "SRV", f"10 0 {a.port} a.test.", f"20 0 {b.port} b.test.", ttl=TTL_S)
    dns.set("a.test", "A", A, ttl=TTL_S)
    dns.set("b.test", "A", B, ttl=TTL_S)


def expiries(carrier: Registrar) -> set[str | None]:
    """What the REGISTERs ask for; 0 is the end of a registration."""
    return {message.header("Expires") for message in carrier.received("REGISTER")}


async def heard(gateway: GatewayProcess, *addresses: str) -> None:
    """Calls from there are taken."""
    for address in addresses:
        async with Caller(gateway, address) as caller:
            await caller.calls("gw")
            await caller.hangs_up()
            assert (await caller.end())["cause"] == "completed/normal"


async def unheard(gateway: GatewayProcess, *addresses: str) -> None:
    """An INVITE from there gets nothing, not even a refusal."""
    for address in addresses:
        async with Caller(gateway, address) as caller:
            caller.invites("gw")
            await caller.ear.listens(1.0)
            assert not caller.received, ladder(caller.messages)


async def test_to_the_second_and_back_while_a_call_is_up(tmp_path: Path) -> None:
    async with DnsServer() as dns, Registrar(A) as a, Registrar(B) as b:
        names(dns, a, b)
        async with gateway_of(dns, tmp_path) as gateway:
            first, second = f"udp:{A}:{a.port}", f"udp:{B}:{b.port}"
            await gateway.wait_for("trunk.registered", address=first)
            operator = await operator_of(gateway, tmp_path)
            assert (await operator.trunk("acme"))["target"] == first
            gateway.idle = await gateway.held()
            assert not b.received("REGISTER")
            await heard(gateway, A, B)
            await unheard(gateway, STRANGER)
            async with Caller(gateway, A) as caller:
                await caller.calls("gw")
                caller.ear.sings(500)
                a.silent = True
                await gateway.wait_for("trunk.target_changed", timeout_s=40, before=first, address=second)
                await b.gets("REGISTER", 2)
                await b.comes(lambda: len(b.contacts) == 1, "a registration at the second")
                shown = await operator.trunk("acme")
                assert (shown["state"], shown["registration"], shown["target"]) == ("up", "registered", second)
                await heard(gateway, A, B)
                assert expiries(a) == {"300"}, "nothing is undone: both may have one memory"
                a.silent = False
                await gateway.wait_for("trunk.target_changed", timeout_s=40, before=second, address=first)
                count = len(a.received("REGISTER"))
                await a.gets("REGISTER", count)
                shown = await operator.trunk("acme")
                assert (shown["state"], shown["registration"], shown["target"]) == ("up", "registered", first)
                assert expiries(b) == {"300"}
                packets = caller.ear.packets
                gaps = [later.at_s - one.at_s for one, later in pairwise(packets)]
                assert len(gaps) > 200 and max(gaps) < 0.3, "its audio went on"
                await caller.hangs_up()
                assert (await caller.end())["cause"] == "completed/normal"
            await gateway.all_given_back()


async def test_a_target_that_refuses_is_left_alone_however_well_it_answers_options(tmp_path: Path) -> None:
    def refuses(request: Wire) -> str | None:
        return "503 Service Unavailable\r\nRetry-After: 120" if request.method == "REGISTER" else None

    async with DnsServer() as dns, Registrar(A) as a, Registrar(B) as b:
        names(dns, a, b)
        a.behaviour = refuses
        async with gateway_of(dns, tmp_path) as gateway:
            await b.comes(lambda: len(b.contacts) == 1, "a registration at the second")
            await b.gets("OPTIONS", 3, timeout_s=30)
            assert len(gateway.events("trunk.target_changed")) == 1
            assert len(a.received("REGISTER")) == 1
            shown = await (await operator_of(gateway, tmp_path)).trunk("acme")
            assert (shown["state"], shown["registration"]) == ("up", "registered")


async def test_a_name_that_moves_takes_the_trunk_along(tmp_path: Path) -> None:
    async with DnsServer() as dns, Registrar(A) as a, Registrar(B, a.port) as b:
        dns.set("carrier.test", "A", A, ttl=TTL_S)
        async with gateway_of(dns, tmp_path, f"carrier.test:{a.port}") as gateway:
            await gateway.wait_for("trunk.registered", address=f"udp:{A}:{a.port}")
            await unheard(gateway, B)
            dns.set("carrier.test", "A", B, ttl=TTL_S)
            await gateway.wait_for("trunk.target_changed", timeout_s=TTL_S + 10, address=f"udp:{B}:{b.port}")
            await b.comes(lambda: len(b.contacts) == 1, "a registration at the new address")
            await heard(gateway, B)
            await unheard(gateway, A)


async def test_without_dns_all_stays_as_it_was(tmp_path: Path) -> None:
    async with DnsServer() as dns, Registrar(A) as a, Registrar(B) as b:
        names(dns, a, b)
        async with gateway_of(dns, tmp_path) as gateway:
            await gateway.wait_for("trunk.up")
            dns.silent()
            await gateway.wait_for("dns.failed", timeout_s=TTL_S + 15, stale=True)
            shown = await (await operator_of(gateway, tmp_path)).trunk("acme")
            assert (shown["state"], shown["target"]) == ("up", f"udp:{A}:{a.port}")
            await heard(gateway, A, B)
            await unheard(gateway, STRANGER)
            assert not gateway.events("trunk.down") and not gateway.events("trunk.target_changed")
            dns.well()
            await gateway.wait_for("dns.recovered", timeout_s=45)


async def test_without_dns_at_the_start_it_waits_and_hears_nobody(tmp_path: Path) -> None:
    async with DnsServer() as dns, Registrar(A) as a, Registrar(B) as b:
        names(dns, a, b)
        dns.servfail()
        async with gateway_of(dns, tmp_path) as gateway:
            told = await gateway.wait_for("trunk.down", timeout_s=20)
            assert "no address for carrier.test" in told["detail"] and "SERVFAIL" in told["detail"]
            shown = await (await operator_of(gateway, tmp_path)).trunk("acme")
            assert (shown["state"], shown["registration"], shown["detail"]) == ("down", "pending", told["detail"])
            await unheard(gateway, A, B, STRANGER)
            dns.well()
            await gateway.wait_for("trunk.up", timeout_s=60)
            await asyncio.gather(heard(gateway, A), heard(gateway, B))
            await unheard(gateway, STRANGER)
