"""A key that is bound to an agent, with the real gateway: what Ann's stream shows while she talks, asks and goes; the
same again after a cut and after kill -9, compared with the store."""

import asyncio
import json
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.bot_server import BotServer, nothing, replies
from tests.callee import Callee
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.operators import Operator, operator_of
from tests.sip.consult_talk import BOT_PORT as TALKS_BOT_PORT
from tests.sip.consult_talk import EXPERT, EXPERT_PORT, EXPERTS, PEOPLE, PORT, Talk, talking
from tests.sip.consult_talk import PLAN as TALKS_PLAN

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN, BOT_PORT = TALKS_PLAN, TALKS_BOT_PORT
KILLS = 5


@dataclass
class Follower:
    """A client of GET /v1/events that goes on where it was cut off."""

    key: str
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def seqs(self) -> list[int]:
        return [event["seq"] for event in self.events]

    async def follows(self, api: str) -> None:
        """Until the connection breaks; after the last event that it has."""
        last = str(self.seqs[-1]) if self.events else "0"
        headers = {"Authorization": f"Bearer {self.key}", "Last-Event-ID": last}
        whole = aiohttp.ClientTimeout(total=None)
        with suppress(aiohttp.ClientError, ConnectionError):
            async with (
                aiohttp.ClientSession(headers=headers, timeout=whole) as session,
                session.get(f"{api}/v1/events") as answer,
            ):
                async for line in answer.content:
                    if line.startswith(b"data: ") and line.endswith(b"\n"):
                        self.events.append(json.loads(line[6:]))

    @asynccontextmanager
    async def following(self, api: str) -> AsyncIterator["Follower"]:
        """Until the block ends."""
        task = asyncio.create_task(self.follows(api))
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def has(self, type_: str, timeout_s: float = 5.0) -> None:
        """Wait for an event of this type."""
        async with asyncio.timeout(timeout_s):
            while type_ not in [event["type"] for event in self.events]:
                await asyncio.sleep(0.02)


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(running: GatewayProcess) -> AsyncIterator[GatewayProcess]:
    """The module's gateway with a fresh log. It notices that a stream's client is gone at the next heartbeat only: what
    it holds after a test says nothing."""
    running.forget()
    yield running
    running.check()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def anns(running: GatewayProcess) -> Operator:
    """Ann's desktop."""
    return await operator_of(running, running.folder, "--agent", "ann")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bobs(running: GatewayProcess) -> Operator:
    """Bob's."""
    return await operator_of(running, running.folder, "--agent", "bob")


@pytest_asyncio.fixture(loop_scope="module")
async def talk(gateway: GatewayProcess, anns: Operator, bot: BotServer, customer: Caller) -> AsyncIterator[Talk]:
    """By Ann's own key."""
    async with talking(gateway, anns, bot, customer) as begun:
        yield begun


async def test_ann_sees_her_call_until_she_has_left_it_and_then_its_end(
    talk: Talk, gateway: GatewayProcess, operator: Operator, anns: Operator, bobs: Operator
) -> None:
    follower, again = Follower(anns.key), Follower(anns.key)
    async with follower.following(gateway.api):
        await talk.consults()
        await talk.consultant.answers()
        await talk.happens("consult.answered")
        assert (await bobs.asks("GET", f"/v1/calls/{talk.id}"))[0] == 404
        assert (await bobs.asks("POST", f"/v1/calls/{talk.id}/hold"))[0] == 404
        await follower.has("consult.answered")
        async with again.following(gateway.api):
            await again.has("consult.answered")
        await talk.does("POST", "forward")
        await talk.agent.is_hung_up()
        await follower.has("consult.forwarded")
        await left(operator, talk.id, "ann")
        assert (await anns.asks("GET", f"/v1/calls/{talk.id}"))[0] == 404
        assert (await anns.asks("GET", "/v1/calls"))[1]["items"] == []
        assert (await anns.asks("POST", f"/v1/calls/{talk.id}/hold"))[0] == 404
        assert (await operator.asks("POST", f"/v1/calls/{talk.id}/hold"))[0] == 202  # nothing for Ann
        await talk.customer.hangs_up()
        await follower.has("call.ended")
    async with again.following(gateway.api):
        await again.has("call.ended")
    _, told = await operator.asks("GET", f"/v1/calls/{talk.id}/events?limit=500")
    types = [event["type"] for event in told["items"]]
    began = types.index("transfer.started")
    gone = next(
        number for number, event in enumerate(told["items"])
        if event["type"] == "leg.left" and event["data"]["agent"] == "ann"
    )  # fmt: skip
    assert "leg.held" in types[gone:] and "transfer.ended" in types[gone:]
    expected = [*told["items"][began : gone + 1], told["items"][-1]]
    assert follower.events == again.events == expected and expected[-1]["type"] == "call.ended"
    cdr = (await anns.asks("GET", f"/v1/calls/{talk.id}"))[1]["cdr"]
    assert [leg["agent"] for leg in cdr["legs"]] == [None, "ann", None]
    assert (await bobs.asks("GET", f"/v1/calls/{talk.id}"))[0] == 404
    assert (await bobs.asks("GET", "/v1/cdrs"))[1]["items"] == []


async def left(operator: Operator, call_id: str, agent: str) -> None:
    """Wait until this agent's leg is gone."""
    async with asyncio.timeout(5):
        while agent in [leg["agent"] for leg in (await operator.asks("GET", f"/v1/calls/{call_id}"))[1]["legs"]]:
            await asyncio.sleep(0.02)


async def test_states_follow_the_call(talk: Talk, anns: Operator, bobs: Operator) -> None:
    def of(told: Any, name: str) -> tuple[str, str | None]:
        (item,) = [item for item in told["items"] if item["id"] == name]
        return item["state"], item["callId"]

    assert of((await anns.asks("GET", "/v1/agents"))[1], "ann") == ("busy", talk.id)
    assert of((await bobs.asks("GET", "/v1/agents"))[1], "ann") == ("busy", None)
    assert (await bobs.asks("PUT", "/v1/agents/bob/state", {"state": "away"}))[0] == 200
    status, problem = await anns.asks("POST", f"/v1/calls/{talk.id}/consult", {"agent": "bob"})
    assert (status, problem["code"], problem["detail"]) == (409, "agent-busy", "agent: bob is away")
    status, problem = await anns.asks("POST", f"/v1/calls/{talk.id}/consult", {"agent": "ann"})
    assert (status, problem["code"]) == (409, "agent-busy")
    assert (await bobs.asks("PUT", "/v1/agents/bob/state", {"state": "available"}))[0] == 200
    assert (await anns.asks("POST", f"/v1/calls/{talk.id}/consult", {"agent": "bob"}))[0] == 202
    await talk.consultant.is_called()
    await talk.consultant.answers()
    await talk.happens("consult.answered")
    assert of((await bobs.asks("GET", "/v1/agents"))[1], "bob") == ("busy", talk.id)
    status, problem = await bobs.asks("POST", f"/v1/calls/{talk.id}/swap")
    assert (status, problem["code"], "swap" in problem["allowed"]) == (409, "illegal-state", True)
    assert (await bobs.asks("DELETE", f"/v1/calls/{talk.id}"))[0] == 409
    assert (await anns.asks("DELETE", f"/v1/calls/{talk.id}"))[0] == 202
    for phone in (talk.customer, talk.agent, talk.consultant):
        await phone.is_hung_up()
    async with asyncio.timeout(5):
        while of((await anns.asks("GET", "/v1/agents"))[1], "ann") != ("available", None):
            await asyncio.sleep(0.02)


# ── Kills ───────────────────────────────────────────────────────────────────────────────────────────


async def one_call(gateway: GatewayProcess, ann: Operator, customer: Caller, agent: Callee, expert: Callee) -> None:
    """Ann talks, asks the expert, leaves the customer there; then it is over."""
    await customer.calls("+12125550100")
    await agent.is_called()
    await agent.answers()
    await gateway.wait_for("transfer.bridged")
    call_id = (await ann.call())["id"]
    await ann.asks("POST", f"/v1/calls/{call_id}/consult", {"phoneNumber": EXPERT})
    await expert.is_called()
    await expert.answers()
    await gateway.wait_for("consult.answered")
    await ann.asks("POST", f"/v1/calls/{call_id}/forward")
    await agent.is_hung_up()
    await customer.hangs_up()


def stored(folder: Path, agent: str) -> list[int]:
    """The seqs of what is for this agent, as the store has it."""
    (path,) = folder.rglob("*.db")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT seq FROM happenings WHERE agents LIKE ? ORDER BY seq", (f"% {agent} %",))
        return [seq for (seq,) in rows]


async def test_nothing_is_lost_or_told_twice_over_kills(tmp_path: Path) -> None:
    chance = random.Random("kills")
    gateway = GatewayProcess(PLAN, tmp_path)
    await gateway.start()
    first = await operator_of(gateway, tmp_path, "--agent", "ann")
    follower = Follower(first.key)
    async with BotServer(secrets=[], port=BOT_PORT) as bot:
        bot.on("start", replies({"type": "switch", "agent": "ann"}))
        bot.on("transfer", nothing())
        for kill in range(KILLS):
            if kill:
                gateway.forget()
                await gateway.start()
            async with (
                Caller(gateway) as customer,
                Callee(PEOPLE, PORT) as agent,
                Callee(EXPERTS, EXPERT_PORT) as expert,
                follower.following(gateway.api),
            ):
                ann = Operator(gateway, first.key)
                life = asyncio.create_task(one_call(gateway, ann, customer, agent, expert))
                await gateway.wait_for("transfer.started")
                await asyncio.wait({life}, timeout=chance.uniform(0.0, 1.2))
                await gateway.kill()
                life.cancel()
                await asyncio.gather(life, return_exceptions=True)
                for phone in (customer, agent, expert):
                    phone._live = False  # nobody will answer a BYE any more
        gateway.forget()
        await gateway.start()
        expected = stored(tmp_path, "ann")
        async with follower.following(gateway.api), asyncio.timeout(10):
            while follower.seqs[-1:] != expected[-1:]:
                await asyncio.sleep(0.02)
        await gateway.stop()
    assert follower.seqs == expected
    ends = [event["callId"] for event in follower.events if event["type"] == "call.ended"]
    calls = {event["callId"] for event in follower.events}
    assert sorted(ends) == sorted(calls), "each call that she saw has one end"
    assert len(calls) >= KILLS - 1
