"""Twenty calls are up while their trunk is lost and regained, moved, changed, removed and put back by plans."""

import asyncio
import signal
import socket
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from tests.bot_server import BotServer, replies
from tests.caller import Caller
from tests.dns_server import DnsServer
from tests.gateway_process import GatewayProcess
from tests.registrar import Registrar
from tests.tone_server import ToneServer
from tests.wire import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

A, B = "127.0.0.2", "127.0.0.4"
BOT_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)
CALLS: Final = 20
LONGEST_GAP_S: Final = 0.060
PASSWORD: Final = {"ACME_PASSWORD": "open sesame"}
OTHER: Final = "other: {host: 192.0.2.1}"


def acme(user: str) -> str:
    """The trunk of the calls."""
    auth = f"auth: {{username: {user}, realm: acme.example, password: {{env: ACME_PASSWORD}}}}"
    return f'acme: {{host: "carrier.test", {auth}, register: true, options_interval: 5}}'


def plan(*trunks: str) -> str:
    """These trunks, and a bot that plays tones."""
    return f"""
trunks: {{{", ".join((OTHER, *trunks))}}}
channels: {{tones: {{bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot"}}}}}}
routes: [{{to: "*", channel: tones}}]
"""


def longest_gap(caller: Caller) -> float:
    """Between two packets that followed each other."""
    return max(later.at_s - one.at_s for one, later in pairwise(caller.ear.packets))


class Scene:
    """The gateway, its two targets, and their DNS."""

    def __init__(self, gateway: GatewayProcess, folder: Path, a: Registrar, b: Registrar) -> None:
        self.gateway, self.folder, self.a, self.b = gateway, folder, a, b
        self.reloads = 0

    async def runs(self, text: str) -> None:
        """Have the gateway run this plan."""
        (self.folder / "plan.yaml").write_text(text)
        self.gateway.terminate(signal.SIGHUP)
        self.reloads += 1
        await self.gateway.wait_for("dialplan.reloaded", count=self.reloads)

    async def is_registered(self, user: str) -> None:
        """At the first target, as this one and no other."""
        await self.a.comes(lambda: [uri.split("@")[0] for uri in self.a.contacts] == [f"sip:{user}"], f"only {user}")

    async def its_target_changes_and_comes_back(self) -> None:
        """The first goes silent, is away, and answers again."""
        self.a.silent = True
        self.a.contacts.clear()
        await self.gateway.wait_for("trunk.target_changed", timeout_s=40)
        await self.b.comes(lambda: len(self.b.contacts) == 1, "a registration at the second")
        self.a.silent = False
        await self.gateway.wait_for("trunk.target_changed", timeout_s=40, count=2)
        await self.is_registered("gw")

    async def it_is_lost_and_regained(self) -> None:
        """Both go silent."""
        self.a.silent = self.b.silent = True
        await self.gateway.wait_for("trunk.down", timeout_s=40)
        self.a.silent = self.b.silent = False
        await self.gateway.wait_for("trunk.up", timeout_s=40, count=2)

    async def its_credentials_change(self) -> None:
        """Another user."""
        self.a.users.add("gw2")
        await self.runs(plan(acme("gw2")))
        await self.is_registered("gw2")

    async def it_is_removed_and_put_back(self) -> None:
        """By one plan and the next."""
        await self.runs(plan())
        await self.a.comes(lambda: not self.a.contacts, "the end of the registration")
        await self.runs(plan(acme("gw2")))
        await self.is_registered("gw2")


async def test_no_call_notices_what_happens_to_its_trunk(tmp_path: Path) -> None:
    async with Registrar(A) as a, Registrar(B) as b, DnsServer() as dns:
        dns.set("_sip._udp.carrier.test", "SRV", f"10 0 {a.port} a.test.", f"20 0 {b.port} b.test.")
        dns.set("a.test", "A", A)
        dns.set("b.test", "A", B)
        settings = {"sip.nameservers": f"127.0.0.1:{dns.port}", "security.fetch_allow": "127.0.0.0/8"}
        async with GatewayProcess(plan(acme("gw")), tmp_path, settings, PASSWORD) as gateway:
            await gateway.wait_for("trunk.up")
            gateway.idle = await gateway.held()
            async with ToneServer() as tones, BotServer(secrets=[], port=BOT_PORT) as bot, AsyncExitStack() as stack:
                bot.on("start", replies({"type": "audio", "url": tones.url(440, 150)}))
                callers = [Caller(gateway, (A, B)[number % 2]) for number in range(CALLS)]
                for caller in callers:
                    await stack.enter_async_context(caller)
                await no_call_notices(Scene(gateway, tmp_path, a, b), callers)
            await gateway.all_given_back()


async def no_call_notices(scene: Scene, callers: list[Caller]) -> None:
    """All of it happens while they listen; then they hang up."""
    await asyncio.gather(*(caller.calls("gw") for caller in callers))
    await asyncio.gather(*(caller.ear.hears_something() for caller in callers))
    for caller in callers:
        caller.ear.packets.clear()
    for happens in (
        scene.its_target_changes_and_comes_back,
        scene.it_is_lost_and_regained,
        scene.its_credentials_change,
        scene.it_is_removed_and_put_back,
    ):
        await happens()
        gaps = sorted(longest_gap(caller) for caller in callers)
        assert gaps[-1] < LONGEST_GAP_S, f"{happens.__name__}: {gaps}"
        assert all(caller.ear.packets[-1].loud for caller in callers)
    assert not scene.gateway.events("call.ended")
    await asyncio.gather(*(caller.hangs_up() for caller in callers))
    assert {(await caller.end())["cause"] for caller in callers} == {"completed/normal"}


async def test_a_call_outlives_its_trunk_and_may_still_hang_up(tmp_path: Path) -> None:
    async with Registrar(A) as a:
        text = plan(acme("gw").replace("carrier.test", f"{A}:{a.port}"))
        async with GatewayProcess(text, tmp_path, {}, PASSWORD) as gateway:
            await gateway.wait_for("trunk.up")
            scene = Scene(gateway, tmp_path, a, a)
            async with BotServer(secrets=[], port=BOT_PORT), Caller(gateway) as caller:
                await caller.calls("gw")
                await scene.runs(plan())
                await a.comes(lambda: not a.contacts, "the end of the registration")
                async with Caller(gateway) as late:
                    late.invites("gw")
                    await late.ear.listens(1.0)
                    assert not late.received, "its trunk is gone"
                assert (await caller.hangs_up()).status == 200
                assert (await caller.end())["cause"] == "completed/normal"
            assert (await gateway.held())["legs"] == 0
