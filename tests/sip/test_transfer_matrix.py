"""Everybody disappears in every state of a transfer, over real trunks: one end of it each, nothing is left over."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.gateway_process import GatewayProcess
from tests.sip.transfer_cells import (
    AFTERWARDS,
    BEFORE_ANSWER,
    BOTS,
    SCREENING,
    Cell,
    M,
    P,
    Told,
    expected,
    places,
    plan_of,
)
from tests.sip.transfer_proof import Proof, is_released
from tests.sip.transfer_story import Story

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

AT_ONCE = 24
NOTICE_S = 2.3
"""transfer.md: who answered for nothing is released within 2 s; and what a busy machine needs."""


def cells() -> list[Cell]:
    """The matrix. `continueCall` matters where the customer is still there afterwards."""
    both = (False, True)
    matrix = [Cell(moment, P.CUSTOMER, moment is M.ENDED) for moment in M]
    watched = (M.RINGING, M.EARLY_MEDIA, M.ACCEPTING, M.PARALLEL, M.BRIDGED)
    matrix += [Cell(moment, P.CUSTOMER_DEAD, False) for moment in watched]
    called = (*BEFORE_ANSWER, *SCREENING, M.BRIDGED)
    matrix += [Cell(moment, party, back) for moment in called for party in (P.ANN, P.ANN_DEAD) for back in both]
    matrix += [Cell(M.PARALLEL, P.BOB, back) for back in both]
    matrix += [Cell(moment, bot, True) for moment in (M.PLAYING_OUT, *called, M.ENDED) for bot in BOTS]
    matrix += [Cell(moment, P.BOT_CLOSED, False) for moment in (M.PLAYING_OUT, *called)]
    return matrix + [Cell(M.SURVEY, bot, False) for bot in BOTS]


CELLS = cells()
PLACES = dict(zip(CELLS, places(len(CELLS)), strict=True))
PLAN = plan_of(list(PLACES.values()))
Results = dict[Cell, BaseException | None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def results(request: pytest.FixtureRequest, running: GatewayProcess) -> AsyncIterator[Results]:
    """All cells that were chosen (`-k`), told beside each other; and then the gateway must hold nothing more."""
    parameters = (getattr(item, "callspec", None) for item in request.session.items)
    chosen = {parameter.params.get("cell") for parameter in parameters if parameter is not None}
    turns = asyncio.Semaphore(AT_ONCE)
    async with Proof(running) as proof:
        told = {cell: asyncio.create_task(tell(cell, proof, running, turns)) for cell in CELLS if cell in chosen}
        await asyncio.wait(told.values())
        yield {cell: task.exception() for cell, task in told.items()}


async def tell(cell: Cell, proof: Proof, gateway: GatewayProcess, turns: asyncio.Semaphore) -> None:
    """Those that wait for the watchdog go beside the others."""
    async with asyncio.Semaphore() if cell.slow else turns, Story(cell, PLACES[cell], gateway) as story:
        await story.is_told()
        await check(story, proof)


@pytest.mark.parametrize("cell", CELLS, ids=str)
async def test_somebody_disappears(cell: Cell, results: Results) -> None:
    """The far ends, the journal, the bot, the CDR, and what the customer heard."""
    result = results[cell]
    if result is not None:
        raise result


# ── What must be so in every cell ───────────────────────────────────────────────────────────────────


async def check(story: Story, proof: Proof) -> None:
    """After the call's end."""
    want = expected(story.cell)
    if story.cell.party is not P.BOT_CLOSED:
        await story.bot.received("hangup")
    events = await proof.history(story.call_id, story.place.number)
    transfers = [event["data"] for event in events if event["type"] == "transfer.ended"]
    by = events[-1]["data"]["endedBy"]
    got = [Told(one["status"], one["hangup"], one["reason"], by) for one in transfers]
    assert got == ([want] if want is not None else [])
    check_bot(story, transfers)
    for agent in (story.ann, story.bob):
        is_released(agent)
    check_manners(story)
    check_dead_air(story)


def check_bot(story: Story, transfers: list[dict[str, Any]]) -> None:
    """One `transfer`, sent again under its id only where that failed and the customer was back; `hangup` is last."""
    cell, bot = story.cell, story.bot
    told = [one for one in bot.requests if one.name == "transfer"]
    assert all(one.event["data"] == transfers[0] for one in told)
    assert len({one.headers["webhook-id"] for one in told}) == len(told[:1]), "one event has one id"
    if cell.party is P.BOT_CLOSED:
        assert len(told) == (1 if cell.moment in AFTERWARDS else 0), bot.events
        assert "hangup" not in bot.events
        return
    twice = cell.party in (P.BOT_500, P.BOT_SILENT) and cell.returns
    assert len(told) == (2 if twice else len(transfers)), bot.events
    assert (bot.events.count("hangup"), bot.events[-1]) == (1, "hangup")


def check_manners(story: Story) -> None:
    """Who answered for nothing hears why; who was not the first learns that somebody else was (RFC 3326 §3.1)."""
    cell = story.cell
    if cell.party is P.CUSTOMER and cell.moment in SCREENING:
        bye = next(m for m in story.ann.messages if not m.sent and m.start.startswith("BYE "))
        assert bye.at_s - story.gone_at < NOTICE_S
        assert story.ann.ear.loud_times(story.gone_at + 0.3), "a notice"
    if cell.moment is M.PARALLEL and cell.party in BOTS:
        cancel = next(m for m in story.bob.messages if not m.sent and m.start.startswith("CANCEL "))
        assert "cause=200" in (cancel.header("Reason") or "")


def check_dead_air(story: Story) -> None:
    """The customer hears something all the time until the end (bot-protocol.md, "Dead air")."""
    cell = story.cell
    end = next((m.at_s for m in story.customer.received if m.start.startswith("BYE ")), story.gone_at)
    mute = cell.party is P.ANN_DEAD and cell.moment is M.EARLY_MEDIA
    if cell.slow or mute or cell.party is P.CUSTOMER:  # a peer that is mute is heard so until it is given up
        end = story.gone_at
    heard = [at for at in story.customer.ear.loud_times(story.connected_at) if at <= end]
    limit = 2.5 if cell.party in BOTS else 1.0  # a bot's turn may take 2 s; those that live answer at once
    if cell.moment is M.EARLY_SILENCE:  # the ringback tone is heard in place of media: 2 s of it, 4 s of pause
        limit = 4.5
    for since, until in itertools.pairwise([story.connected_at, *heard, end]):
        gap = f"{until - since:.2f} s of dead air, {since - story.connected_at:.2f} s after the answer"
        assert until - since < limit, gap
