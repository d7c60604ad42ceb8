"""Transfers in which two things happen at once, over real trunks: nobody is left alone, nothing is left over."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.bot_server import BotServer, nothing, replies
from tests.callee import Callee
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.spectrum import has_tone, rms_db
from tests.wire import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOT_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)
PEOPLE = "127.0.0.4"
PORT, OTHER_PORT = free_port(PEOPLE), free_port("127.0.0.5")
PLAN = f"""
trunks:
  carrier: {{host: 127.0.0.2, allow: [127.0.0.2/32]}}
  people: {{host: "{PEOPLE}:{PORT}", allow: ["{PEOPLE}/32"], region: US}}
  others: {{host: "127.0.0.5:{OTHER_PORT}", allow: ["127.0.0.5/32"], region: US}}
channels:
  reception: {{bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot"}}, trunk: people}}
routes: [{{to: "*", channel: reception}}]
agents: {{ann: {{name: Ann, target: "sip:ann@127.0.0.5:{OTHER_PORT}", trunk: others}}}}
destinations: {{allow: ["+1612"]}}
"""
NUMBER = "16123456789"
CUSTOMER_HZ, AGENT_HZ = 500, 1300


def switch(**fields: Any) -> dict[str, Any]:
    """To the agent, unless the fields say to whom."""
    return {"type": "switch", **({} if "targets" in fields else {"phoneNumber": NUMBER}), **fields}


@pytest_asyncio.fixture(loop_scope="module")
async def agent() -> AsyncIterator[Callee]:
    """A person with a phone."""
    async with Callee(PEOPLE, PORT) as callee:
        yield callee


@pytest_asyncio.fixture(loop_scope="module")
async def colleague() -> AsyncIterator[Callee]:
    """Another one, at another address."""
    async with Callee("127.0.0.5", OTHER_PORT) as callee:
        yield callee


async def told(bot: BotServer) -> dict[str, Any]:
    """What the bot is told; exactly once."""
    (one,) = await bot.received("transfer", timeout_s=10)
    return dict(one.event["data"])


async def talking(customer: Caller, agent: Callee) -> None:
    """They hear each other."""
    customer.ear.sings(CUSTOMER_HZ)
    agent.ear.sings(AGENT_HZ)
    await asyncio.sleep(0.3)
    at_customer, at_agent = await asyncio.gather(customer.ear.listens(0.5), agent.ear.listens(0.5))
    assert has_tone(at_customer, AGENT_HZ) and has_tone(at_agent, CUSTOMER_HZ)


async def test_the_agent_answers_as_the_caller_hangs_up(bot: BotServer, customer: Caller, agent: Callee) -> None:
    """RFC 3261 §9.1: a 200 that crosses our CANCEL is acknowledged, and ended by BYE."""
    agent.ignores = {"CANCEL"}
    bot.on("start", replies(switch()))
    await customer.calls("+12125550100")
    await agent.is_called()
    agent.rings()
    await customer.hangs_up()
    cancel = await agent.gets("CANCEL", timeout_s=2)
    agent.responds("200 OK", sdp=True)  # it had left before the CANCEL came
    agent.agrees(cancel)
    await agent.gets("ACK")
    await agent.is_hung_up(timeout_s=2)
    status = await told(bot)
    assert (status["status"], status["hangup"], status["reason"]) == ("FAIL", True, "caller-abandoned")
    await bot.received("hangup")
    assert bot.events == ["start", "transfer", "hangup"]


async def test_the_agent_hangs_up_during_the_briefing(bot: BotServer, customer: Caller, agent: Callee) -> None:
    """The caller is back with the bot, and hears none of the briefing."""
    words = "A caller from the reception, who has been waiting for a while, about an invoice of the last month."
    bot.on("start", replies(switch(announce=words, continueCall=True, ringback="silence")))
    bot.on("transfer", nothing())
    await customer.calls("+12125550100")
    await agent.is_called()
    await agent.answers()
    await agent.ear.hears_something()
    await agent.hangs_up()
    status = await told(bot)
    assert (status["status"], status["hangup"], status["reason"]) == ("FAIL", False, "not-accepted")
    assert rms_db(await customer.ear.listens(1.0)) < -60
    await customer.hangs_up()


async def test_the_caller_hangs_up_during_the_briefing(bot: BotServer, customer: Caller, agent: Callee) -> None:
    """The agent is told so and released within two seconds (transfer.md)."""
    bot.on("start", replies(switch(announce="A caller from the reception, about an invoice of the last month.")))
    await customer.calls("+12125550100")
    await agent.is_called()
    await agent.answers()
    await agent.ear.hears_something()
    await customer.hangs_up()
    assert rms_db(await agent.ear.listens(1.0)) > -40, "the notice"
    await agent.is_hung_up(timeout_s=2)
    assert (await told(bot))["reason"] == "caller-abandoned"


async def test_both_hang_up_at_once(bot: BotServer, customer: Caller, agent: Callee) -> None:
    bot.on("start", replies(switch()))
    await customer.calls("+12125550100")
    await agent.is_called()
    await agent.answers()
    await talking(customer, agent)
    await asyncio.gather(customer.hangs_up(), agent.hangs_up())
    status = await told(bot)
    assert (status["status"], status["reason"]) == ("SUCCESS", "completed")
    assert (status["endedBy"], status["hangup"]) in {("agent", False), ("customer", True)}
    await bot.received("hangup")
    assert bot.events == ["start", "transfer", "hangup"]


async def test_the_bots_server_dies_meanwhile(
    gateway: GatewayProcess, bot: BotServer, customer: Caller, agent: Callee
) -> None:
    """They talk on; when the agent leaves, the caller hears the apology, not silence."""
    bot.on("start", replies(switch(continueCall=True)))
    await customer.calls("+12125550100")
    await agent.is_called()
    await agent.answers()
    await bot.__aexit__(None, None, None)
    await talking(customer, agent)
    customer.ear.is_silent()
    since = (await agent.hangs_up()).at_s
    await customer.ear.hears_something(since, timeout_s=20)
    await customer.is_hung_up(timeout_s=30)
    (transfer,) = gateway.events("transfer.ended")
    assert transfer["status"] == "SUCCESS"
    ended = await customer.end()
    assert ended["ended_by"] == "gateway", ended


async def test_two_answer_at_once(bot: BotServer, customer: Caller, agent: Callee, colleague: Callee) -> None:
    """Exactly one is bridged; the other one is told that the call was answered elsewhere (RFC 3326 §2)."""
    both = [{"phoneNumber": NUMBER}, {"agent": "ann"}]
    bot.on("start", replies(switch(targets=both, strategy="parallel", continueCall=True)))
    await customer.calls("+12125550100")
    await asyncio.gather(agent.is_called(), colleague.is_called())
    agent.responds("200 OK", sdp=True)
    colleague.responds("200 OK", sdp=True)
    await asyncio.gather(agent.gets("ACK"), colleague.gets("ACK"))
    people = [agent, colleague]
    out = lambda one: any(m.start.startswith("BYE ") for m in one.messages if not m.sent)  # noqa: E731
    await asyncio.wait(
        [asyncio.create_task(one.comes(lambda one=one: out(one), "BYE", 3)) for one in people],
        return_when=asyncio.FIRST_COMPLETED,
    )
    (loser,), (winner,) = [one for one in people if out(one)], [one for one in people if not out(one)]
    assert "cause=200" in ((await loser.is_hung_up()).header("Reason") or "")
    await talking(customer, winner)
    await winner.hangs_up()
    assert (await told(bot))["status"] == "SUCCESS"
    await customer.hangs_up()


async def test_the_agent_puts_the_caller_on_hold(bot: BotServer, customer: Caller, agent: Callee) -> None:
    """RFC 3264 §8.4: `sendonly` is hold; the caller hears our music and not the agent; and then they talk again."""
    bot.on("start", replies(switch()))
    await customer.calls("+12125550100")
    await agent.is_called()
    await agent.answers()
    await talking(customer, agent)
    agent.ear.is_silent()
    await agent.reinvites("sendonly")
    await asyncio.sleep(0.3)
    music, at_agent = await asyncio.gather(customer.ear.listens(1.0), agent.ear.listens(1.0))
    assert rms_db(music) > -45 and rms_db(at_agent) < -60
    await agent.reinvites("sendrecv")
    await talking(customer, agent)
    await agent.hangs_up()
    await customer.is_hung_up()
