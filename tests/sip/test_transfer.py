"""A bot hands its caller to a person, over real trunks: who hears whom, what is on the wire, what the bot is told."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.bot_server import BotServer, nothing, replies, text
from tests.callee import Callee
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.operators import operator_of
from tests.spectrum import has_tone, rms_db
from tests.wire import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOT_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)
PEOPLE = "127.0.0.4"
PORT = free_port(PEOPLE)
NUMBER = "16123456789"
PLAN = f"""
trunks:
  carrier: {{host: 127.0.0.2, allow: [127.0.0.2/32]}}
  people: {{host: "{PEOPLE}:{PORT}", allow: ["{PEOPLE}/32"], region: US}}
channels:
  reception: {{bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot"}}, trunk: people}}
  survey: {{bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot?survey"}}}}
  broken:
    bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/nowhere"}}
    trunk: people
    fallback_after: 1
    fallback: {{say: "A person will help you.", then: {{switch: {{phoneNumber: "+{NUMBER}"}}}}}}
routes:
  - {{to: "+12125550199", channel: broken}}
  - {{to: "*", channel: reception}}
destinations: {{allow: ["+1612"], deny: ["+1612900"]}}
"""
CUSTOMER_HZ, AGENT_HZ = 500, 1300


def switch(**fields: Any) -> dict[str, Any]:
    """As JAICP's documentation has it."""
    return {"type": "switch", "phoneNumber": NUMBER, "timeout": "30", **fields}


@pytest_asyncio.fixture(loop_scope="module")
async def agent() -> AsyncIterator[Callee]:
    """A person with a phone."""
    async with Callee(PEOPLE, PORT) as callee:
        yield callee


async def status(bot: BotServer) -> dict[str, Any]:
    """What the bot is told; exactly once."""
    (told,) = await bot.received("transfer", timeout_s=10)
    return dict(told.event["data"])


async def hear_each_other(customer: Caller, agent: Callee) -> None:
    """Each hears the other's tone, and not the own one."""
    customer.ear.sings(CUSTOMER_HZ)
    agent.ear.sings(AGENT_HZ)
    await asyncio.sleep(0.3)
    at_customer, at_agent = await asyncio.gather(customer.ear.listens(0.6), agent.ear.listens(0.6))
    assert has_tone(at_customer, AGENT_HZ) and not has_tone(at_customer, CUSTOMER_HZ)
    assert has_tone(at_agent, CUSTOMER_HZ) and not has_tone(at_agent, AGENT_HZ)


async def test_the_caller_talks_to_a_person_who_hangs_up(bot: BotServer, customer: Caller, agent: Callee) -> None:
    bot.on("start", replies(text("One moment."), switch(headers={"callReason": "support", "crmClientId": "42"})))
    await customer.calls("+12125550100")
    invite = await agent.is_called()
    assert invite.start.startswith(f"INVITE sip:+{NUMBER}@{PEOPLE}:{PORT} ")
    assert "\r\ncallReason: support\r\n" in invite.text and "\r\ncrmClientId: 42\r\n" in invite.text
    agent.rings()
    ringback = await customer.ear.listens(1.0)
    assert has_tone(ringback, 440) and has_tone(ringback, 480)
    await agent.answers()
    await hear_each_other(customer, agent)
    await agent.hangs_up()
    told = await status(bot)
    assert (told["status"], told["hangup"], told["reason"], told["number"]) == ("SUCCESS", False, "completed", NUMBER)
    assert told["endedBy"] == "agent" and 500 < told["talkMs"] < 5000
    await customer.is_hung_up()
    assert (await customer.end())["ended_by"] == "agent"
    await bot.received("hangup")
    assert bot.events == ["start", "transfer", "hangup"]


async def test_a_busy_person_brings_the_caller_back_to_the_bot(bot: BotServer, customer: Caller, agent: Callee) -> None:
    bot.on("start", replies(switch(continueCall=True)))
    bot.on("transfer", replies(text("Everybody is busy."), {"type": "hangup"}))
    await customer.calls("+12125550100")
    await agent.is_called()
    await agent.refuses("486 Busy Here")
    told = await status(bot)
    assert (told["status"], told["reason"], told["sipStatus"]) == ("FAIL", "busy", 486)
    since = (await bot.received("transfer"))[0].at_s
    await customer.ear.hears_something(since)
    await customer.is_hung_up()
    assert (await customer.end())["ended_by"] == "bot"


async def test_the_caller_gives_up_while_it_rings(bot: BotServer, customer: Caller, agent: Callee) -> None:
    bot.on("start", replies(switch()))
    await customer.calls("+12125550100")
    await agent.is_called()
    agent.rings()
    await customer.ear.listens(0.3)
    await customer.hangs_up()
    await agent.is_cancelled(timeout_s=2)
    told = await status(bot)
    assert (told["status"], told["hangup"], told["reason"]) == ("FAIL", True, "caller-abandoned")
    await bot.received("hangup")
    assert bot.events == ["start", "transfer", "hangup"]


async def test_the_caller_hangs_up_while_they_talk(bot: BotServer, customer: Caller, agent: Callee) -> None:
    bot.on("start", replies(switch()))
    await customer.calls("+12125550100")
    await agent.is_called()
    await agent.answers()
    await hear_each_other(customer, agent)
    await customer.hangs_up()
    await agent.is_hung_up(timeout_s=2)
    told = await status(bot)
    assert (told["status"], told["hangup"], told["endedBy"]) == ("SUCCESS", True, "customer")


async def test_nobody_answers(bot: BotServer, customer: Caller, agent: Callee) -> None:
    bot.on("start", replies(switch(timeout=2, continueCall=True)))
    bot.on("transfer", nothing())
    await customer.calls("+12125550100")
    await agent.is_called()
    agent.rings()
    await agent.is_cancelled(timeout_s=5)
    assert (await status(bot))["reason"] == "no-answer"
    await customer.hangs_up()


async def test_the_briefing_is_for_the_agent_alone_and_a_key_accepts(
    bot: BotServer, customer: Caller, agent: Callee
) -> None:
    bot.on("start", replies(switch(announce="A caller from the reception.", accept=True, ringback="silence")))
    await customer.calls("+12125550100")
    await agent.is_called()
    customer.ear.sings(CUSTOMER_HZ)
    await agent.answers()
    began = await agent.ear.hears_something()
    briefing = await agent.ear.listens(1.0)
    assert rms_db(briefing) > -40 and not has_tone(briefing, CUSTOMER_HZ)
    assert rms_db(customer.ear.sound(began)) < -60, "the customer hears none of it"
    await agent.ear.presses("1")
    await hear_each_other(customer, agent)
    await agent.hangs_up()
    assert (await status(bot))["status"] == "SUCCESS"
    await customer.is_hung_up()


async def test_a_number_outside_the_policy_is_not_dialled(bot: BotServer, customer: Caller, agent: Callee) -> None:
    bot.on("start", replies(switch(phoneNumber="+16129001234", continueCall=True)))
    bot.on("transfer", nothing())
    await customer.calls("+12125550100")
    told = await status(bot)
    assert (told["reason"], told["status"]) == ("blocked", "FAIL") and "destinations.deny" in told["detail"]
    assert agent.invites == []
    await customer.hangs_up()


async def test_a_survey_after_the_agent(bot: BotServer, customer: Caller, agent: Callee) -> None:
    bot.on("start", replies(switch(postSession={"channel": "survey", "parameters": {"ticket": "7"}})), nothing())
    await customer.calls("+12125550100")
    await agent.is_called()
    await agent.answers()
    await hear_each_other(customer, agent)
    await agent.hangs_up()
    _, survey = await bot.received("start", 2)
    assert survey.event["call"]["channel"] == "survey"
    assert survey.event["data"] == {"reason": "postSession", "parameters": {"ticket": "7"}}
    await customer.hangs_up()


async def test_keys_are_heard_across_the_bridge(bot: BotServer, customer: Caller, agent: Callee) -> None:
    bot.on("start", replies(switch()))
    await customer.calls("+12125550100")
    await agent.is_called()
    await agent.answers()
    await hear_each_other(customer, agent)
    await customer.ear.presses("17")
    assert await agent.ear.hears_keys(2) == "17"
    await agent.ear.presses("#")
    assert await customer.ear.hears_keys(1) == "#"
    await agent.hangs_up()
    await customer.is_hung_up()


async def test_an_operator_transfers_and_takes_it_back(
    gateway: GatewayProcess, bot: BotServer, customer: Caller, agent: Callee
) -> None:
    operator = await operator_of(gateway, gateway.folder)
    await customer.calls("+12125550100")
    await bot.received("start")
    call = await operator.call()
    path = f"/v1/calls/{call['id']}/transfer"
    code, _ = await operator.asks("POST", path, {"phoneNumber": NUMBER})
    assert (code, "transfer" in call["allowed"]) == (202, True)
    await agent.is_called()
    agent.rings()
    code, problem = await operator.asks("POST", path, {"phoneNumber": NUMBER})
    assert (code, problem["state"], problem["allowed"]) == (409, "transferring", ["cancel-transfer", "legs", "hangup"])
    code, _ = await operator.asks("DELETE", path)
    assert code == 202
    await agent.is_cancelled()
    assert (await status(bot))["reason"] == "cancelled"
    await customer.is_hung_up()
    ended = await customer.end()
    cdrs = await operator.cdrs()
    (cdr,) = [one for one in cdrs if one["callId"] == ended["call_id"]]
    assert [one["reason"] for one in cdr["transfers"]] == ["cancelled"]
    assert [leg["role"] for leg in cdr["legs"]] == ["customer", "agent"]


async def test_a_bot_in_trouble_is_replaced_by_a_person(bot: BotServer, customer: Caller, agent: Callee) -> None:
    await customer.calls("+12125550199")
    await customer.ear.hears_something()
    await agent.is_called()
    await agent.answers()
    await hear_each_other(customer, agent)
    await agent.hangs_up()
    await customer.is_hung_up()
