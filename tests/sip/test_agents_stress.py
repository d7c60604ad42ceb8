"""Forty calls at once, each passed on by its agent's phone at any moment, while anybody hangs up; nothing is left."""

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.bot_server import BotServer, replies
from tests.callee import Callee
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.operators import Operator
from tests.sip.office import ALLOWED, Office, office_plan
from tests.sip.transfer_cells import Place, places
from tests.sip.transfer_proof import Proof, is_released

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLACES = places(40)
PLAN = office_plan(PLACES)
LEAVERS = ("customer", "ann", "bob", "nobody")


class Muddle:
    """One call whose people do what they do when `chance` has it."""

    def __init__(self, place: Place, gateway: GatewayProcess, operator: Operator) -> None:
        self._place, self._chance = place, random.Random(f"agents {place.number}")
        self._bot = BotServer(port=place.bot_port)
        self.office = Office(gateway, self._bot, operator, place)
        self._leaver = self._chance.choice(LEAVERS)
        self._attended = self._chance.random() < 0.3

    async def runs(self) -> None:
        """To the end of the call, and the proof."""
        office, chance = self.office, self._chance
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._bot)
            await stack.enter_async_context(office)
            self._bot.on("transfer", replies({"type": "hangup"}))
            switch = {"continueCall": chance.random() < 0.5, "maxTalkMs": 8000, "timeout": 20}
            await office.ann_talks(**switch)
            ann = asyncio.create_task(self._ann())
            going_on = [asyncio.create_task(one) for one in (self._bob(), self._leaves())]
            await office.customer.comes(lambda: _said_bye(office.customer), "the end", 40)
            await ann  # a call that she has just begun is answered first
            for task in going_on:
                task.cancel()
            told = await asyncio.gather(*going_on, return_exceptions=True)
            assert [one for one in told if not isinstance(one, asyncio.CancelledError | None)] == []
            if any(message.start.startswith("INVITE ") for message in office.anns_call.messages):
                if not _said_bye(office.anns_call):
                    await office.anns_call.hangs_up()
                await office.anns_call.end()
            await office.told()
            for agent in (office.ann, office.bob):
                is_released(agent)

    async def _after(self, at_most_s: float) -> None:
        await asyncio.sleep(self._chance.uniform(0, at_most_s))

    async def _ann(self) -> None:
        """Who has somewhere to go."""
        office, chance = self.office, self._chance
        await self._after(1.5)
        if chance.random() < 0.5 and not _said_bye(office.ann):
            await office.ann_holds()
        refer_to = office.to_bob if chance.random() < 0.8 else office.gw(ALLOWED)
        if self._attended and not _said_bye(office.ann):
            await office.anns_call.calls(office.bobs_number)
            await self._after(1.5)
            refer_to = office.replacing(office.anns_call)
        for _ in range(chance.randint(1, 3)):
            if _said_bye(office.ann):
                return
            office.ann.requests("REFER", f"Refer-To: {refer_to}")
            await self._after(1.0)

    async def _bob(self) -> None:
        """Who may be busy, and does not talk for long."""
        bob, chance, called = self.office.bob, self._chance, 0
        while True:
            called += 1
            invite = await bob.is_called(called, timeout_s=60)
            bob.rings()
            await self._after(1.5)
            if _is_over(bob, invite.header("Call-ID")):
                continue
            if chance.random() < 0.3:
                await bob.refuses("486 Busy Here")
                continue
            await bob.answers()
            await self._after(2.5)
            if not _is_over(bob, invite.header("Call-ID")):
                await bob.hangs_up()

    async def _leaves(self) -> None:
        await self._after(5.0)
        phone: Any = getattr(self.office, self._leaver, None)
        if phone is self.office.bob and not phone.invites:
            return
        if phone is not None and not _said_bye(phone):
            await phone.hangs_up()


def _said_bye(phone: Caller | Callee) -> bool:
    """Or was told so."""
    return any(message.start.startswith("BYE ") for message in phone.messages)


def _is_over(phone: Callee, call_id: str | None) -> bool:
    ends = ("BYE ", "CANCEL ")
    return any(m.start.startswith(ends) for m in phone.messages if m.header("Call-ID") == call_id)


async def test_forty_calls_at_once(gateway: GatewayProcess) -> None:
    async with Proof(gateway) as proof:
        muddles = [Muddle(place, gateway, proof.operator) for place in PLACES]
        told = await asyncio.gather(*(muddle.runs() for muddle in muddles), return_exceptions=True)
        assert {place.number: one for place, one in zip(PLACES, told, strict=True) if one is not None} == {}
        for muddle in muddles:  # one at a time: see Proof
            await muddle.office.history()
    log = [line["event"] for line in gateway.log]
    assert log.count("transfer.started") == log.count("transfer.ended") > len(PLACES)
