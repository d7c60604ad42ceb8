"""Bots in trouble: each failure is told once and clearly, the caller hears an apology and then a BYE; nothing leaks."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests import bot_server as bots
from tests.bot_server import BotServer
from tests.caller import Caller
from tests.gateway_process import GatewayProcess, Line
from tests.spectrum import rms_db
from tests.tone_server import ToneServer
from tests.wire import Wire, free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

BAD = {
    "html": (bots.html(), "malformed", "text/html"),
    "huge": (bots.huge(100), "too-large", "64 KiB"),
    "huge-declared": (bots.huge(100, declared=True), "too-large", "64 KiB"),
    "gzip-bomb": (bots.gzip_bomb(20), "malformed", "compressed"),
    "redirect": (bots.redirect("http://127.0.0.1:1/elsewhere"), "status", "redirects are not followed"),
    "wrong-types": (bots.wrong_types(), "refused", "replies[0].text"),
    "not-json": (bots.raw(b"{'replies': []}"), "malformed", "not JSON"),
    "json-list": (bots.raw(b"[]"), "malformed", "not a JSON object"),
    "empty": (bots.raw(b""), "malformed", "empty"),
    "status-500": (bots.status(500), "status", "500"),
    "status-201": (bots.status(201), "status", "201"),
    "status-503": (bots.status(503), "status", "tried twice"),
    "slow": (bots.silent(), "timeout", "no answer within 1 s"),
    "trickle": (bots.trickle(), "timeout", "no answer within 1 s"),
    "cut": (bots.cut(), "unreachable", "cut the connection"),
    "cut-midway": (bots.cut_midway(), "unreachable", "cut the connection"),
    "dead": (None, "unreachable", "cannot connect"),
}
PORTS = {kind: free_port("127.0.0.1", socket.SOCK_STREAM) for kind in BAD}
CHANNEL = '  {}: {{bot: {{type: webhook, url: "http://127.0.0.1:{}/bot", timeout_s: 1}}}}\n'
PLAN = (
    "trunks: {carrier: {host: 127.0.0.2, allow: [127.0.0.2/32]}}\nchannels:\n"
    + "".join(CHANNEL.format(kind, port) for kind, port in PORTS.items())
    + CHANNEL.format("screened", PORTS["dead"]).replace("}}", "}, answer: bot}")
    + CHANNEL.format("own", PORTS["dead"]).replace("}}", "}, fallback: {prompt: goodbye}, fallback_after: 1}")
    + 'routes:\n  - {to: "99", channel: screened}\n  - {to: "98", channel: own}\n'
    + "".join(f'  - {{to: "{100 + number}", channel: {kind}}}\n' for number, kind in enumerate(PORTS))
)
NUMBERS = {kind: str(100 + number) for number, kind in enumerate(PORTS)}


@dataclass(frozen=True)
class Outcome:
    """How a call with a bad bot went."""

    failures: list[Line]
    playbacks: list[Line]
    ended: Line
    bye: Wire
    last_seconds: bytes


async def call_with(kind: str, gateway: GatewayProcess) -> Outcome:
    """Call the bot, and listen until it is over."""
    async with Caller(gateway) as customer:
        await customer.calls(NUMBERS[kind])
        bye = await customer.is_hung_up(timeout_s=25)
        ended = await customer.end()
        return Outcome(
            gateway.of_call(customer.call_id, "bot.failed"),
            gateway.of_call(customer.call_id, "playback.started"),
            ended,
            bye,
            customer.ear.sound(since_s=bye.at_s - 4),
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outcomes(running: GatewayProcess) -> AsyncIterator[dict[str, Outcome]]:
    """All bad bots are called at once. Afterwards nothing is held, though the bots did their worst."""
    servers = {kind: BotServer(port=PORTS[kind]) for kind, (answer, _, _) in BAD.items() if answer is not None}
    for kind, server in servers.items():
        server.on("*", BAD[kind][0])
        await server.__aenter__()
    found = await asyncio.gather(*(call_with(kind, running) for kind in BAD))
    await asyncio.gather(*(server.__aexit__(None, None, None) for server in servers.values()))
    await running.all_given_back()
    yield dict(zip(BAD, found, strict=True))


@pytest.mark.parametrize("kind", BAD)
async def test_each_failure_is_told_once_with_its_kind(outcomes: dict[str, Outcome], kind: str) -> None:
    failures = outcomes[kind].failures
    assert [line["kind"] for line in failures] == [BAD[kind][1]] * 2, "two failures, then the fallback"
    assert all(BAD[kind][2] in line["detail"] for line in failures), failures[0]["detail"]


@pytest.mark.parametrize("kind", BAD)
async def test_the_caller_hears_one_moment_and_an_apology(outcomes: dict[str, Outcome], kind: str) -> None:
    played = [item for line in outcomes[kind].playbacks for item in line["items"]]
    assert played[0] == {"prompt": "one-moment"} and played[-1] == {"prompt": "apology"}
    assert rms_db(outcomes[kind].last_seconds) > -35


@pytest.mark.parametrize("kind", BAD)
async def test_the_call_ends_politely(outcomes: dict[str, Outcome], kind: str) -> None:
    assert (outcomes[kind].bye.header("Reason") or "").startswith("Q.850;cause=")
    ended = outcomes[kind].ended
    assert (ended["cause"], ended["ended_by"]) == ("bot/bot-failed", "gateway")


async def test_a_url_into_our_own_network_is_not_fetched(gateway: GatewayProcess, tones: ToneServer) -> None:
    async with BotServer(port=PORTS["dead"]) as bot, Caller(gateway) as customer:
        bot.on("start", bots.replies({"type": "audio", "url": tones.url(440)}, {"type": "hangup"}))
        await customer.calls(NUMBERS["dead"])
        await customer.is_hung_up()
        await customer.end()
    assert len(gateway.events("sound.failed")) == 1 and tones.fetched == []


async def test_a_dead_bot_that_should_decide_whether_to_answer_does_not_leave_the_caller_ringing(
    gateway: GatewayProcess,
) -> None:
    async with Caller(gateway) as customer:
        await customer.calls("99")
        await customer.is_hung_up()
        assert rms_db(customer.ear.sound()) > -35
        assert (await customer.end())["cause"] == "bot/bot-failed"


async def test_the_channel_may_have_an_apology_of_its_own(gateway: GatewayProcess) -> None:
    async with Caller(gateway) as customer:
        await customer.calls("98")
        await customer.is_hung_up()
        await customer.end()
    playbacks = gateway.events("playback.started")
    assert [line["items"] for line in playbacks] == [[{"prompt": "goodbye"}]], "fallback_after: 1, so no one-moment"
