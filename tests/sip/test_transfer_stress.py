"""Sixty calls at once, each handed to people; somebody disappears at any moment, or nobody; nothing is left over."""

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.bot_server import BotServer, replies, silent, status
from tests.callee import Callee
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.sip.transfer_cells import ANN, BOB, Place, places, plan_of
from tests.sip.transfer_proof import Proof, is_released

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLACES = places(60)
PLAN = plan_of(PLACES)
PARTIES = ("customer", "agent", "agent-dead", "bot-closed", "bot-500", "bot-silent", "nobody")
_GOODBYE = replies({"type": "audio", "prompt": "goodbye"}, {"type": "hangup"})


def any_switch(number: str, chance: random.Random) -> dict[str, Any]:
    """A transfer to one or two people that cannot last long."""
    ann, bob = {"agent": f"a{number}"}, {"agent": f"b{number}"}
    whom = chance.choice((ann, {"targets": [ann, bob]}, {"targets": [ann, bob], "strategy": "parallel"}))
    briefing = chance.choice(({}, {"announce": {"prompt": "goodbye"}}, {"postDialDigits": "1W2"}))
    accept = chance.choice(({}, {"accept": {"prompt": "goodbye", "timeoutMs": 1000}}))
    fields = {"timeout": 3, "maxTalkMs": 2000, "continueCall": chance.random() < 0.5}
    ringback = chance.choice(("tone", "music", "silence") if "targets" in whom else ("tone", "earlyMedia"))
    return {"type": "switch", **whom, **briefing, **accept, **fields, "ringback": ringback}


class Muddle:
    """One call, whose agents and whose misfortune take their time as `chance` has it."""

    def __init__(self, place: Place, gateway: GatewayProcess, chance: random.Random) -> None:
        self._place, self._chance, self.number = place, chance, place.number
        self.customer, self._bot = Caller(gateway), BotServer(port=place.bot_port)
        self._agents = (Callee(ANN, place.ann_port), Callee(BOB, place.bob_port))
        self._party = chance.choice(PARTIES)

    async def runs(self, proof: Proof) -> None:
        """To the end of the call, and the proof."""
        async with AsyncExitStack() as stack:
            for part in (self._bot, *self._agents, self.customer):
                await stack.enter_async_context(part)
            first = [{"type": "audio", "prompt": "goodbye"}] * self._chance.randint(0, 1)
            self._bot.on("start", replies(*first, any_switch(self.number, self._chance)))
            self._bot.on("transfer", _GOODBYE)
            await self.customer.calls(self.number)
            going_on = [asyncio.create_task(self._lives(agent)) for agent in self._agents]
            going_on.append(asyncio.create_task(self._disappears()))
            if self._party == "customer":
                await going_on[-1]
            else:
                await self.customer.is_hung_up(timeout_s=40)
            ended = await self.customer.end()
            await proof.history(ended["call_id"], self.number)
            for task in going_on:
                task.cancel()
            told = await asyncio.gather(*going_on, return_exceptions=True)
            assert [one for one in told if not isinstance(one, asyncio.CancelledError | None)] == []
            ids = {one.headers["webhook-id"] for one in self._bot.requests if one.name == "transfer"}
            assert len(ids) <= 1
            for agent in self._agents:
                is_released(agent)

    async def _after(self, at_most_s: float) -> None:
        await asyncio.sleep(self._chance.uniform(0, at_most_s))

    async def _lives(self, agent: Callee) -> None:
        """Somebody who takes the call, talks for a moment, and hangs up."""
        await agent.is_called(timeout_s=60)
        await self._after(0.5)
        if agent.silent or _is_out(agent):
            return
        agent.rings(183 if self._chance.random() < 0.3 else 180, media=self._chance.random() < 0.3)
        await self._after(1.5)
        if agent.silent or _is_out(agent):
            return
        if self._chance.random() < 0.2:
            await agent.refuses("486 Busy Here")
            return
        await agent.answers()
        await self._after(2.0)
        if agent.silent:
            return
        await agent.ear.presses("1")
        await self._after(1.0)
        if not agent.silent and not _is_out(agent):
            await agent.hangs_up()

    async def _disappears(self) -> None:
        await self._after(5.0)
        match self._party:
            case "customer":
                await self.customer.hangs_up()
            case "agent-dead":
                self._agents[0].silent = True
            case "bot-closed":
                await self._bot.__aexit__(None, None, None)
            case "bot-500" | "bot-silent":
                for event in ("transfer", "hangup"):
                    self._bot.on(event, status(500) if self._party == "bot-500" else silent())
            case _:
                pass  # agents hang up by themselves


def _is_out(agent: Callee) -> bool:
    """We have cancelled, or hung up."""
    return any(m.start.startswith(("CANCEL ", "BYE ")) for m in agent.messages if not m.sent)


async def test_sixty_calls_at_once(gateway: GatewayProcess) -> None:
    async with Proof(gateway) as proof:
        muddles = [Muddle(place, gateway, random.Random(f"stress {place.number}")) for place in PLACES]
        told = await asyncio.gather(*(muddle.runs(proof) for muddle in muddles), return_exceptions=True)
        by_number = {muddle.number: one for muddle, one in zip(muddles, told, strict=True)}
        assert {number: one for number, one in by_number.items() if one is not None} == {}
