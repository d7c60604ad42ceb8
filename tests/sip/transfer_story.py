"""One transfer told to its end, in which one party disappears at one moment; for test_transfer_matrix.py.

Each story has a number of its own, and with it a channel, a bot, two agents: many of them can be told at once.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.bot_server import Answer, BotServer, replies, silent, status
from tests.callee import Callee
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.sip.transfer_cells import AFTERWARDS, ANN, BEFORE_ANSWER, BOB, MORE, SCREENING, Cell, M, P, Place
from tests.spectrum import has_tone

CUSTOMER_HZ, ANN_HZ = 500, 1300


class Story:
    """`async with Story(…) as story: await story.is_told()`; afterwards all that was seen is in its parts."""

    def __init__(self, cell: Cell, place: Place, gateway: GatewayProcess) -> None:
        self.cell, self.place, self.gateway = cell, place, gateway
        self.ann, self.bob = Callee(ANN, place.ann_port), Callee(BOB, place.bob_port)
        self.bot, self.customer = BotServer(port=place.bot_port), Caller(gateway)
        self.connected_at = self.gone_at = 0.0
        """time.monotonic() of the customer's 200, and of the moment when the party disappeared."""
        self.call_id = ""
        self._afterwards: Answer = replies({"type": "audio", "prompt": "goodbye"}, {"type": "hangup"})
        """What the bot says to the end of the transfer."""
        self._gone = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for part in (self.ann, self.bob, self.bot, self.customer):
            await self._stack.enter_async_context(part)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def is_told(self) -> None:
        """From the customer's INVITE to the end of the call."""
        await self._begins()
        await self._comes_to_the_moment()
        self.gone_at = time.monotonic()
        await self._loses_the_party()
        self._gone.set()
        if self.cell.party in (P.CUSTOMER, P.CUSTOMER_DEAD):
            await self._releases_the_agents()
        elif self.cell.party in (P.ANN, P.ANN_DEAD):
            await self._goes_on_without_ann()
        else:
            await self._goes_on_with_ann()
        await self.gateway.end_of(self.customer.call_id, timeout_s=15)

    # ── the beginning ───────────────────────────────────────────────────────────────────────────────

    def _switch(self) -> dict[str, Any]:
        cell, number = self.cell, self.place.number
        both = [{"agent": f"a{number}"}, {"agent": f"b{number}"}]
        fields: dict[str, Any] = {"ringback": "music", "continueCall": cell.returns, "timeout": 15}
        fields |= {"targets": both} if cell.moment is M.PARALLEL else both[0]
        fields |= {"postSession": {"channel": f"s{number}"}} if cell.moment is M.SURVEY else {}
        fields |= MORE.get(cell.moment, {})
        if cell.slow:  # nothing else may end it before the watchdog does
            fields["timeout"] = 60
            if "accept" in fields:
                fields["accept"] = {"prompt": "goodbye", "timeoutMs": 60_000}
        elif cell.party is P.ANN_DEAD and cell.moment in BEFORE_ANSWER:
            fields["timeout"] = 7 if cell.moment is M.EARLY_SILENCE else 2  # longer than the ringback tone pauses
        return {"type": "switch", **fields}

    async def _begins(self) -> None:
        first = [{"type": "audio", "prompt": "accept"}] if self.cell.moment is M.PLAYING_OUT else []

        async def afterwards(request: web.Request) -> web.StreamResponse:
            return await self._afterwards(request)

        async def thinks(request: web.Request) -> web.StreamResponse:
            await self._gone.wait()
            return await self._afterwards(request)

        self.bot.on("start", replies(*first, self._switch()), thinks)
        self.bot.on("transfer", thinks if self.cell.moment is M.ENDED else afterwards)
        answer = await self.customer.calls(self.place.number)
        self.connected_at = answer.at_s
        self.call_id = (await self.gateway.wait_for("call.started", sip_call_id=self.customer.call_id))["call_id"]
        if self.cell.party is P.CUSTOMER_DEAD:
            self.customer.ear.sings(CUSTOMER_HZ)  # the watchdog gives more time to who never sent anything

    async def _notes(self, event: str) -> None:
        await self.gateway.wait_for(event, call_id=self.call_id)

    async def _comes_to_the_moment(self) -> None:
        moment = self.cell.moment
        if moment is M.PLAYING_OUT:
            await self.customer.ear.hears_something()
            return
        await self.ann.is_called()
        if moment is M.PARALLEL:
            await self.bob.is_called()
            self.bob.rings()
        if moment in (M.UNHEARD, M.UNHEARD_200):
            return
        if moment is M.DIALLING:
            self.ann.responds("100 Trying")
            return
        if moment is M.EARLY_MEDIA:
            self.ann.ear.sings(ANN_HZ)
            self.ann.rings(183, media=True)
        elif moment is M.EARLY_SILENCE:
            self.ann.rings(183, media=True)
        else:
            self.ann.rings()
        await self._notes("transfer.ringing")
        if moment in BEFORE_ANSWER:
            return
        await self._answers(self.ann)
        if moment is M.DIGITS:
            await self.ann.ear.hears_keys(1)
        elif moment is M.ACCEPTING:
            await self._notes("playback.ended")
        elif moment in SCREENING:
            await self.ann.ear.hears_something()
        else:
            await self._talks()

    async def _answers(self, agent: Callee) -> None:
        agent.ear.sings(ANN_HZ)
        await agent.answers()

    async def _talks(self) -> None:
        await self._notes("transfer.bridged")
        self.customer.ear.sings(CUSTOMER_HZ)
        await self.ann.ear.hears_something()
        if self.cell.moment in AFTERWARDS:
            await self.ann.hangs_up()
            await self.bot.received("transfer")
        if self.cell.moment is M.SURVEY:
            await self.bot.received("start", 2)

    # ── somebody disappears ─────────────────────────────────────────────────────────────────────────

    async def _loses_the_party(self) -> None:
        match self.cell.party:
            case P.CUSTOMER:
                await self.customer.hangs_up()
            case P.CUSTOMER_DEAD:
                self.customer.ear.is_silent()
                self.customer.ignores = {"BYE", "INVITE", "UPDATE", "INFO", "OPTIONS"}
            case P.ANN if self.cell.moment in BEFORE_ANSWER:
                await self.ann.refuses("486 Busy Here")
            case P.ANN:
                await self.ann.hangs_up()
            case P.ANN_DEAD:
                self.ann.silent = True
                self.ann.ear.is_silent()
            case P.BOB:
                await self.bob.refuses("486 Busy Here")
            case P.BOT_CLOSED:
                await self.bot.__aexit__(None, None, None)
            case P.BOT_500 | P.BOT_SILENT:
                self._afterwards = status(500) if self.cell.party is P.BOT_500 else silent()
                self.bot.on("hangup", self._afterwards)

    # ── and it goes on ──────────────────────────────────────────────────────────────────────────────

    async def _releases_the_agents(self) -> None:
        moment, patience_s = self.cell.moment, 45.0 if self.cell.slow else 5.0
        if moment is M.UNHEARD:
            self.ann.rings()  # RFC 3261 §9.1: no CANCEL before a provisional response
        elif moment is M.UNHEARD_200:
            await self.ann.answers()
        if moment in BEFORE_ANSWER:
            await self.ann.is_cancelled(patience_s)
        elif moment is M.UNHEARD_200 or moment in SCREENING or moment is M.BRIDGED:
            await self.ann.is_hung_up(patience_s)
        if moment is M.PARALLEL:
            await self.bob.is_cancelled(patience_s)
        if self.cell.party is P.CUSTOMER_DEAD:
            await self.customer.is_hung_up()

    async def _goes_on_without_ann(self) -> None:
        moment, dead = self.cell.moment, self.cell.party is P.ANN_DEAD
        if dead and moment in BEFORE_ANSWER and moment is not M.UNHEARD:
            await self.ann.is_cancelled()
        elif dead and moment not in BEFORE_ANSWER:
            await self.ann.is_hung_up(45)
        if moment is M.PARALLEL:
            await self._answers(self.bob)
            await self.bob.ear.hears_something()
            await self._is_accepted(self.bob)
        await self.customer.is_hung_up()

    async def _goes_on_with_ann(self) -> None:
        moment = self.cell.moment
        if moment is M.PLAYING_OUT:
            await self.ann.is_called()
        if moment in BEFORE_ANSWER or moment is M.PLAYING_OUT:
            await self._answers(self.ann)
            await self._notes("transfer.bridged")
        if moment is M.DIGITS:
            await self.ann.ear.hears_something()
        if moment in SCREENING:
            await self._is_accepted(self.ann)
        elif moment not in AFTERWARDS:
            await self._hear_each_other(self.ann)
        if moment is M.PARALLEL and self.cell.party is not P.BOB:
            await self.bob.is_cancelled()
        await self.customer.is_hung_up()

    async def _is_accepted(self, agent: Callee) -> None:
        await agent.ear.presses("1")
        await self._notes("transfer.bridged")
        await self._hear_each_other(agent)

    async def _hear_each_other(self, agent: Callee) -> None:
        """Whatever became of the bot; and then the agent hangs up."""
        self.customer.ear.sings(CUSTOMER_HZ)
        await asyncio.sleep(0.2)
        at_agent, at_customer = await asyncio.gather(agent.ear.listens(0.4), self.customer.ear.listens(0.4))
        assert has_tone(at_agent, CUSTOMER_HZ) and has_tone(at_customer, ANN_HZ)
        await agent.hangs_up()
