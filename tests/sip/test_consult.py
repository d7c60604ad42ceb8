"""An agent's hands over real trunks: consult, swap, merge, forward, hold; who hears whom in each state, by ear."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.bot_server import BotServer
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.operators import Operator, operator_of
from tests.party import hears_ringback, sing
from tests.sip.consult_talk import BOT_PORT, EXPERT, EXPERT_PORT, EXPERTS, PLAN, Talk, talking

pytestmark = pytest.mark.asyncio(loop_scope="module")

MUSIC = {"music"}
APART = {"customer": MUSIC, "agent": {"consultant"}, "consultant": {"agent"}}
SWAPPED = {"customer": {"agent"}, "agent": {"customer"}, "consultant": MUSIC}
TOGETHER = {
    "customer": {"agent", "consultant"},
    "agent": {"customer", "consultant"},
    "consultant": {"customer", "agent"},
}
FORWARDED = {"customer": {"consultant"}, "consultant": {"customer"}}
BACK = {"customer": {"agent"}, "agent": {"customer"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(running: GatewayProcess) -> Operator:
    """The agent's desktop. It has asked for several things at once already: the store keeps the connections that it
    opened for it."""
    desktop = await operator_of(running, running.folder)
    await asyncio.gather(*(desktop.asks("GET", f"/v1/{what}") for what in ("cdrs", "calls/call_0", "cdrs", "trunks")))
    while (held := await running.held())["tasks"] != running.idle["tasks"]:
        await asyncio.sleep(0.02)
    running.idle = held
    return desktop


@pytest_asyncio.fixture(loop_scope="module")
async def talk(gateway: GatewayProcess, operator: Operator, bot: BotServer, customer: Caller) -> AsyncIterator[Talk]:
    """With the module's gateway."""
    async with talking(gateway, operator, bot, customer) as begun:
        yield begun


# ── The states, and who hears whom in each ──────────────────────────────────────────────────────────


async def test_through_all_states_and_back(talk: Talk) -> None:
    await talk.everybody_hears(BACK)
    await talk.consults(headers={"X-Why": "refund"})
    invite = talk.consultant.invites[0]
    assert invite.start.startswith(f"INVITE sip:+{EXPERT}@") and "\r\nX-Why: refund\r\n" in invite.text
    await talk.everybody_hears({"customer": MUSIC})
    assert await hears_ringback(talk.agent)
    await talk.consultant.answers()
    sing(consultant=talk.consultant)
    await talk.happens("consult.answered")
    assert await talk.state() == ("talking", "consulting")
    await talk.everybody_hears(APART)
    for word, state, hearing in (
        ("swap", "swapped", SWAPPED), ("swap", "consulting", APART), ("swap", "swapped", SWAPPED),
        ("merge", "merged", TOGETHER),
    ):  # fmt: skip
        call = await talk.does("POST", word)
        assert call["consultState"] == state
        await talk.everybody_hears(hearing)
    call = await talk.does("DELETE", "consult")
    assert (call["state"], call["consultState"]) == ("talking", "none")
    await talk.consultant.is_hung_up(timeout_s=2)
    await talk.everybody_hears(BACK)
    await talk.agent.hangs_up()
    cdr = await talk.is_over()
    assert [leg["role"] for leg in cdr["legs"]] == ["customer", "agent", "consult"]
    events = await talk.history("consult")
    assert [event["type"].partition(".")[2] for event in events] == [
        "started", "ringing", "answered", "swapped", "swapped", "swapped", "merged", "ended",
    ]  # fmt: skip
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    assert len({event["data"]["consultId"] for event in events}) == 1


async def test_an_agent_is_asked_and_the_agent_talks_to_both_in_turn(talk: Talk) -> None:
    await talk.does("POST", "consult", {"agent": "bob"})
    invite = await talk.consultant.is_called()
    assert invite.start.startswith(f"INVITE sip:bob@{EXPERTS}:{EXPERT_PORT}")
    await talk.consultant.answers()
    sing(consultant=talk.consultant)
    await talk.happens("consult.answered")
    await talk.everybody_hears(APART)
    await talk.consultant.hangs_up()
    await talk.happens("consult.ended")
    await talk.everybody_hears(BACK)
    await talk.agent.hangs_up()
    await talk.is_over()


# ── Warm transfer ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", ["consulting", "swapped", "merged"])
async def test_forward(talk: Talk, state: str) -> None:
    await talk.reaches(state)
    call = await talk.does("POST", "forward")
    assert (call["state"], call["consultState"]) == ("talking", "none")
    roles = [(leg["role"], leg["state"]) for leg in call["legs"]]
    assert roles == [("customer", "connected"), ("agent", "ending"), ("agent", "connected")]
    await talk.agent.is_hung_up(timeout_s=2)
    await talk.everybody_hears(FORWARDED)
    await talk.consultant.hangs_up()
    told = await talk.status()
    assert (told["status"], told["endedBy"]) == ("SUCCESS", "agent")
    assert [(hop["kind"], hop["number"], hop["status"]) for hop in told["hops"]] == [("forward", EXPERT, "SUCCESS")]
    await talk.customer.is_hung_up()
    cdr = await talk.is_over()
    assert len(cdr["transfers"]) == 1 and (await talk.told_of("consult"))[-1] == "consult.forwarded"


async def test_forward_while_it_rings_happens_on_answer(talk: Talk) -> None:
    await talk.reaches("dialling")
    call = await talk.does("POST", "forward")
    assert call["consultState"] == "dialling"
    await talk.consultant.answers()
    sing(consultant=talk.consultant)
    await talk.agent.is_hung_up(timeout_s=2)
    await talk.everybody_hears(FORWARDED)
    await talk.customer.hangs_up()
    await talk.consultant.is_hung_up(timeout_s=2)
    await talk.is_over()


async def test_the_consultant_who_is_the_agent_now_asks_somebody(talk: Talk) -> None:
    await talk.reaches("consulting")
    await talk.does("POST", "forward")
    await talk.agent.is_hung_up(timeout_s=2)
    await talk.does("POST", "consult", {"agent": "ann"})
    await talk.agent.is_called(2)
    await talk.agent.refuses("603 Decline")
    await talk.happens("consult.failed")
    await talk.everybody_hears(FORWARDED)
    await talk.customer.hangs_up()
    await talk.is_over()


# ── Nobody is left alone ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("forward", [False, True])
async def test_a_busy_consultant_brings_agent_and_customer_together(talk: Talk, forward: bool) -> None:
    await talk.reaches("dialling")
    if forward:
        await talk.does("POST", "forward")
    await talk.consultant.refuses("486 Busy Here")
    await talk.happens("consult.failed")
    await talk.everybody_hears(BACK)
    (failed,) = [event for event in await talk.history("consult") if event["type"] == "consult.failed"]
    assert (failed["data"]["reason"], failed["data"]["sipStatus"]) == ("busy", 486)
    await talk.customer.hangs_up()
    await talk.is_over()


async def test_a_consultant_who_does_not_answer(talk: Talk) -> None:
    await talk.reaches("dialling", timeout=1)
    await talk.consultant.is_cancelled(timeout_s=4)
    await talk.happens("consult.failed")
    await talk.everybody_hears(BACK)
    await talk.customer.hangs_up()
    await talk.is_over()


async def test_a_number_outside_the_policy_is_not_dialled(talk: Talk) -> None:
    call = await talk.does("POST", "consult", {"phoneNumber": "+4930123456"})
    assert call["consultState"] == "none" and talk.consultant.invites == []
    await talk.happens("consult.failed")
    assert await talk.told_of("consult") == ["consult.started", "consult.failed"]
    failed = (await talk.history("consult"))[-1]["data"]
    assert failed["reason"] == "blocked" and failed["detail"].startswith("phoneNumber: "), failed
    await talk.everybody_hears(BACK)
    await talk.customer.hangs_up()
    await talk.is_over()


async def test_a_consult_is_taken_back_while_it_rings(talk: Talk) -> None:
    await talk.reaches("dialling")
    assert (await talk.does("DELETE", "consult"))["consultState"] == "none"
    await talk.consultant.is_cancelled(timeout_s=2)
    await talk.everybody_hears(BACK)
    await talk.customer.hangs_up()
    await talk.is_over()


# ── The agent hangs up ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", ["consulting", "swapped", "merged"])
async def test_the_agent_hangs_up_and_the_consultant_stays(talk: Talk, state: str) -> None:
    await talk.reaches(state)
    await talk.agent.hangs_up()
    await talk.happens("consult.forwarded")
    await talk.everybody_hears(FORWARDED)
    await talk.consultant.hangs_up()
    assert [hop["kind"] for hop in (await talk.status())["hops"]] == ["forward"]
    await talk.is_over()


async def test_the_agent_hangs_up_while_it_rings_and_the_customer_is_called_through(talk: Talk) -> None:
    await talk.reaches("dialling")
    await talk.agent.hangs_up()
    assert await hears_ringback(talk.customer)
    assert (await talk.state())[0] == "transferring"
    await talk.consultant.answers()
    sing(consultant=talk.consultant)
    await talk.happens("consult.forwarded")
    await talk.everybody_hears(FORWARDED)
    await talk.consultant.hangs_up()
    await talk.is_over()


@pytest.mark.parametrize("state", ["dialling", "consulting", "swapped"])
async def test_the_agent_hangs_up_and_that_is_the_end(talk: Talk, state: str) -> None:
    await talk.reaches(state, onAgentHangup="end")
    await talk.agent.hangs_up()
    await (talk.consultant.is_cancelled(2) if state == "dialling" else talk.consultant.is_hung_up(2))
    assert (await talk.status())["reason"] == "completed"
    await talk.customer.is_hung_up()
    assert (await talk.is_over())["endedBy"] == "agent"


async def test_two_of_three_stay_whatever_was_asked_for(talk: Talk) -> None:
    await talk.reaches("merged", onAgentHangup="end")
    await talk.agent.hangs_up()
    await talk.happens("consult.forwarded")
    await talk.everybody_hears(FORWARDED)
    await talk.customer.hangs_up()
    await talk.is_over()


# ── The customer hangs up ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", ["dialling", "consulting", "swapped", "merged"])
async def test_the_customer_hangs_up_and_the_others_talk_on(talk: Talk, state: str) -> None:
    await talk.reaches(state)
    await talk.customer.hangs_up()
    await talk.bot.received("hangup")
    assert talk.bot.events == ["start", "transfer", "hangup"]
    assert (await talk.status())["hangup"] is True
    _, call = await talk.operator.asks("GET", f"/v1/calls/{talk.id}")
    assert (call["state"], call["allowed"]) == ("agents-only", ["end-consult", "legs", "play", "hangup"])
    if state == "dialling":
        await talk.consultant.answers()
        sing(consultant=talk.consultant)
    await talk.everybody_hears({"agent": {"consultant"}, "consultant": {"agent"}})
    for word in ("swap", "merge", "forward", "hold", "consult"):
        body = {"phoneNumber": EXPERT} if word == "consult" else None
        assert (await talk.refuses("POST", word, body))["state"] == "agents-only"
    assert await talk.operator.cdrs() == [] or talk.id not in [cdr["callId"] for cdr in await talk.operator.cdrs()]
    await talk.does("DELETE", "consult")
    await asyncio.gather(talk.agent.is_hung_up(2), talk.consultant.is_hung_up(2))
    cdr = await talk.is_over()
    assert (cdr["endedBy"], cdr["cause"]["reason"]) == ("customer", "normal")
    assert "customer.left" in await talk.told_of("customer")


@pytest.mark.parametrize("who", ["agent", "consultant"])
async def test_one_of_two_who_talked_on_hangs_up(talk: Talk, who: str) -> None:
    await talk.reaches("consulting")
    await talk.customer.hangs_up()
    await talk.happens("customer.left")
    leaves, stays = (talk.agent, talk.consultant) if who == "agent" else (talk.consultant, talk.agent)
    await leaves.hangs_up()
    await stays.is_hung_up(timeout_s=2)
    await talk.is_over()


# ── Hold ────────────────────────────────────────────────────────────────────────────────────────────


async def test_hold_and_unhold(talk: Talk) -> None:
    call = await talk.does("POST", "hold")
    assert call["legs"][0]["held"] and "unhold" in call["allowed"]
    await talk.everybody_hears({"customer": MUSIC, "agent": MUSIC})
    assert (await talk.refuses("POST", "hold"))["allowed"] == [
        "consult",
        "transfer",
        "unhold",
        "legs",
        "play",
        "hangup",
    ]
    assert not (await talk.does("POST", "unhold", {}))["legs"][0]["held"]
    await talk.everybody_hears(BACK)
    agent = call["legs"][1]["legId"]
    await talk.does("POST", "hold", {"legId": agent})
    await talk.everybody_hears({"customer": MUSIC, "agent": MUSIC})
    await talk.does("POST", "unhold", {"legId": agent})
    await talk.everybody_hears(BACK)
    held = [(event["type"], event["data"]["by"]) for event in await talk.history("leg") if "held" in event["type"]]
    assert held == [("leg.held", "gateway"), ("leg.unheld", "gateway")] * 2
    await talk.customer.hangs_up()
    await talk.is_over()


@pytest.mark.parametrize("state", ["dialling", "consulting", "swapped"])
async def test_the_customer_is_not_held_during_a_consult(talk: Talk, state: str) -> None:
    await talk.reaches(state)
    refused = await talk.refuses("POST", "hold")
    assert (refused["consultState"], "hold" in refused["allowed"]) == (state, False)
    await talk.customer.hangs_up()
    await talk.does("DELETE", "consult")
    await talk.is_over()


async def test_the_customer_waits_while_two_of_three_talk(talk: Talk) -> None:
    await talk.reaches("merged")
    await talk.does("POST", "hold")
    await talk.everybody_hears(APART)
    await talk.does("POST", "unhold")
    await talk.everybody_hears(TOGETHER)
    await talk.does("POST", "hold")
    await talk.does("POST", "forward")
    await talk.agent.is_hung_up(timeout_s=2)
    await talk.everybody_hears(FORWARDED)
    await talk.customer.hangs_up()
    await talk.is_over()


# ── Who comes too late ──────────────────────────────────────────────────────────────────────────────


async def test_what_each_state_refuses(talk: Talk) -> None:
    told = await talk.refuses("POST", "swap")
    assert (told["state"], told["consultState"]) == ("talking", "none")
    assert told["allowed"] == ["consult", "transfer", "hold", "legs", "play", "hangup"]
    await talk.refuses("DELETE", "consult")
    await talk.reaches("merged")
    told = await talk.refuses("POST", "merge")
    assert told["allowed"] == ["forward", "end-consult", "hold", "legs", "play", "hangup"]
    await talk.refuses("POST", "consult", {"phoneNumber": EXPERT})
    await talk.refuses("POST", "transfer", {"phoneNumber": EXPERT})
    await talk.everybody_hears(TOGETHER)
    await talk.customer.hangs_up()
    await talk.does("DELETE", "consult")
    await talk.is_over()


@pytest.mark.parametrize("other", ["consult", "transfer"])
async def test_of_two_at_once_one_is_taken(talk: Talk, other: str) -> None:
    path, body = f"/v1/calls/{talk.id}", {"phoneNumber": EXPERT}
    answers = await asyncio.gather(
        talk.operator.asks("POST", f"{path}/consult", body), talk.operator.asks("POST", f"{path}/{other}", body)
    )
    assert sorted(status for status, _ in answers) == [202, 409]
    await talk.consultant.is_called()
    talk.consultant.rings()
    assert len(talk.consultant.invites) == 1
    await talk.customer.hangs_up()
    _, call = await talk.operator.asks("GET", path)
    if call["state"] == "agents-only":
        await talk.does("DELETE", "consult")
    await talk.consultant.is_cancelled(timeout_s=2)
    await talk.is_over()


async def test_a_merge_and_an_end_at_once(talk: Talk) -> None:
    await talk.reaches("consulting")
    path = f"/v1/calls/{talk.id}"
    merge, end = await asyncio.gather(
        talk.operator.asks("POST", f"{path}/merge"), talk.operator.asks("DELETE", f"{path}/consult")
    )
    assert end[0] == 202 and merge[0] in (202, 409)
    await talk.consultant.is_hung_up(timeout_s=2)
    await talk.everybody_hears(BACK)
    await talk.customer.hangs_up()
    await talk.is_over()


# ── What is told of it ──────────────────────────────────────────────────────────────────────────────


async def test_events_come_in_order_over_sse(tmp_path: Path) -> None:
    async with (
        GatewayProcess(PLAN, tmp_path) as gateway,  # of its own: a stream that was left lasts until its heartbeat
        BotServer(port=BOT_PORT) as bot,
        Caller(gateway) as customer,
    ):
        operator = await operator_of(gateway, tmp_path)
        async with (
            aiohttp.ClientSession(headers=operator.headers) as session,
            session.get(f"{gateway.api}/v1/events?types=consult.*,customer.*,transfer.*,call.ended") as stream,
            talking(gateway, operator, bot, customer) as talk,
        ):
            await talk.reaches("merged")
            await talk.does("POST", "forward")
            await talk.agent.is_hung_up(timeout_s=2)
            await talk.does("POST", "consult", {"agent": "ann"})
            await talk.agent.is_called(2)
            talk.agent.rings()
            await asyncio.gather(talk.customer.hangs_up(), talk.happens("customer.left"))
            await talk.agent.refuses("486 Busy Here")
            seen: list[str] = []
            async with asyncio.timeout(10):
                async for line in stream.content:
                    if line.startswith(b"event: "):
                        seen.append(line.decode().split()[1])
                    if seen[-1:] == ["call.ended"] and line == b"\n":
                        break
            await talk.is_over()
    assert seen[:4] == ["transfer.started", "transfer.answered", "transfer.bridged", "consult.started"]
    assert seen[4:] == [
        "consult.ringing", "consult.answered", "consult.merged", "consult.forwarded", "consult.started",
        "consult.ringing", "customer.left", "transfer.ended", "consult.failed", "call.ended",
    ]  # fmt: skip
