"""Everybody disappears while a REFER is out, and while its peer is at it: one end of each transfer, nothing is left."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any, Literal, NamedTuple

import pytest
import pytest_asyncio

from tests.bot_server import BotServer, replies, silent, status, text
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.sip.transfer_cells import BOTS, P, Party, Place, Told, places, plan_of
from tests.sip.transfer_proof import Proof

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

State = Literal["referring", "accepted"]
Last = Literal["200 OK", "486 Busy Here"]
CUSTOMER_HZ = 500
MANY_WORDS = "I am now going to find somebody who can help you with this, and it will take me just a little while."
"""Some six seconds of them."""


class Cell(NamedTuple):
    """Who disappears when, and the last NOTIFY if somebody is left who hears it."""

    state: State
    party: Party
    last: Last | None
    returns: bool

    def __str__(self) -> str:
        end = f"/{self.last[:3]}" if self.last else ""
        return f"{self.state}/{self.party}{end}/{'returns' if self.returns else 'ends'}"

    @property
    def expected(self) -> Told:
        """transfer.md, "What happens (refer)". A customer who is lost has not said by BYE that it worked."""
        if self.last == "200 OK":
            return Told("SUCCESS", True, "completed", "transferred")
        if self.last is not None:
            return Told("FAIL", False, "busy", "gateway")
        if self.state == "accepted" and self.party is P.CUSTOMER:
            return Told("SUCCESS", True, "completed", "transferred")
        return Told("FAIL", True, "caller-abandoned", "customer")


def cells() -> list[Cell]:
    """The matrix; `returns` is continueCall, which changes nothing."""
    states: tuple[State, ...] = ("referring", "accepted")
    lasts: tuple[Last, ...] = ("200 OK", "486 Busy Here")
    both = (False, True)
    matrix = [Cell(state, P.CUSTOMER, None, back) for state in states for back in both]
    matrix += [Cell(state, P.CUSTOMER_DEAD, None, False) for state in states]
    return matrix + [
        Cell(state, bot, last, back) for state in states for bot in BOTS for last in lasts for back in both
    ]


CELLS = cells()
PLACES = dict(zip(CELLS, places(len(CELLS)), strict=True))
PLAN = plan_of(list(PLACES.values()))
Results = dict[Cell, BaseException | None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def results(request: pytest.FixtureRequest, running: GatewayProcess) -> AsyncIterator[Results]:
    """All cells that were chosen (`-k`), told beside each other; and then the gateway must hold nothing more."""
    parameters = (getattr(item, "callspec", None) for item in request.session.items)
    chosen = {parameter.params.get("cell") for parameter in parameters if parameter is not None}
    async with Proof(running) as proof:
        told = {cell: asyncio.create_task(tell(cell, proof, running)) for cell in CELLS if cell in chosen}
        await asyncio.wait(told.values())
        yield {cell: task.exception() for cell, task in told.items()}


@pytest.mark.parametrize("cell", CELLS, ids=str)
async def test_somebody_disappears(cell: Cell, results: Results) -> None:
    """The journal, the bot, the CDR, the wire, and what the customer heard."""
    result = results[cell]
    if result is not None:
        raise result


async def tell(cell: Cell, proof: Proof, gateway: GatewayProcess) -> None:
    """From the customer's INVITE to the end of the call, and what came of it."""
    place = PLACES[cell]
    # 32 s without an answer to the REFER (RFC 3261 §17.1.2.2) must not be over before 30 to 35 s without media are.
    dead = (cell.state, cell.party) == ("referring", P.CUSTOMER_DEAD)
    async with BotServer(port=place.bot_port) as bot, Caller(gateway) as customer:
        switch = {"agent": f"a{place.number}", "ringback": "music", "timeout": 60, "continueCall": cell.returns}
        bot.on("start", replies(*([text(MANY_WORDS)] if dead else []), {"type": "switch", "method": "refer", **switch}))
        answered = await customer.calls(place.number)
        call_id = (await gateway.wait_for("call.started", sip_call_id=customer.call_id))["call_id"]
        customer.ear.sings(CUSTOMER_HZ)
        if dead:
            await customer.ear.hears_something()
            customer.ear.is_silent()
        refer = await customer.is_referred(None)
        if cell.state == "accepted":
            customer.replies(refer, "202 Accepted")
            await gateway.wait_for("transfer.accepted", call_id=call_id)
        await customer.ear.hears_something()
        await loses(cell.party, customer, bot)
        if cell.last is not None:
            await goes_on(cell, refer, customer)
        ended = await gateway.end_of(customer.call_id, timeout_s=45)
        assert ended["ended_by"] == cell.expected.ended_by
        customer.ignores = set()
        await check(cell, place, proof, bot, call_id)
        check_wire(cell, customer)
        check_dead_air(cell, customer, answered.at_s)


async def loses(party: Party, customer: Caller, bot: BotServer) -> None:
    """This one is gone."""
    match party:
        case P.CUSTOMER:
            await customer.hangs_up()
        case P.CUSTOMER_DEAD:
            customer.ear.is_silent()
            customer.ignores = {"BYE", "INVITE", "UPDATE", "INFO", "OPTIONS"}
        case P.BOT_CLOSED:
            await bot.__aexit__(None, None, None)
        case _:
            gone = status(500) if party is P.BOT_500 else silent()
            bot.on("transfer", gone)
            bot.on("hangup", gone)


async def goes_on(cell: Cell, refer: Any, customer: Caller) -> None:
    """The peer does what it was asked for, whatever became of the bot."""
    if cell.state == "referring":
        customer.replies(refer, "202 Accepted")
    assert cell.last is not None
    assert (await customer.notifies("180 Ringing")).status == 200
    assert (await customer.notifies(cell.last, last=True)).status == 200
    await customer.is_hung_up()


# ── What must be so in every cell ───────────────────────────────────────────────────────────────────


async def check(cell: Cell, place: Place, proof: Proof, bot: BotServer, call_id: str) -> None:
    """One end of the transfer, and one `transfer` for the bot, if it is there; sent again if the customer is back."""
    closed, back = cell.party is P.BOT_CLOSED, cell.last == "486 Busy Here"
    if not closed:
        await bot.received("hangup")
    events = await proof.history(call_id, place.number)
    (ended,) = (event["data"] for event in events if event["type"] == "transfer.ended")
    assert Told(ended["status"], ended["hangup"], ended["reason"], events[-1]["data"]["endedBy"]) == cell.expected
    assert ended["assumed"] == (cell.expected.status == "SUCCESS" and cell.last is None)
    told = [one for one in bot.requests if one.name == "transfer"]
    assert all(one.event["data"] == ended for one in told)
    assert len(told) == (0 if closed else 2 if back else 1), bot.events
    assert len({one.headers["webhook-id"] for one in told}) == len(told[:1]), "one event has one id"
    assert closed or (bot.events.count("hangup"), bot.events[-1]) == (1, "hangup")


def check_wire(cell: Cell, customer: Caller) -> None:
    """One REFER; one BYE of ours unless it was the customer's."""
    assert len(customer.referrals) == 1
    byes = {m.header("CSeq") for m in customer.received if m.start.startswith("BYE ")}
    assert len(byes) == (0 if cell.party is P.CUSTOMER else 1)


def check_dead_air(cell: Cell, customer: Caller, since_s: float) -> None:
    """Music, and then the fallback's voice; a bot's turn may take 2 s."""
    until = next(m.at_s for m in customer.messages if m.start.startswith("BYE "))
    heard = [at for at in customer.ear.loud_times(since_s) if at <= until]
    gaps = [after - before for before, after in itertools.pairwise([since_s, *heard, until])]
    assert max(gaps) < (2.5 if cell.party in BOTS else 1.0), f"{max(gaps):.2f} s of dead air"
