"""Plays the cases of refer_rows.py over a real trunk, and judges them as transfer_play.py does; for tests/sip."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from tests.bot_server import BotServer
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.operators import Operator
from tests.refer_rows import KNOWN, OVER_TCP, PASSWORD, REALM, RIDES, USER, ReferCase
from tests.registrar import is_right
from tests.tcp_caller import TcpCaller
from tests.transfer_play import CUSTOMER_HZ, Seen, judge, look_up
from tests.wire import ladder


@dataclass(slots=True, kw_only=True)
class ReferSeen(Seen):
    """What came of a case."""

    customer: Caller
    asked: list[str] = field(default_factory=list)
    """The names of all events that the bot was told."""


async def play_refer(case: ReferCase, gateway: GatewayProcess) -> ReferSeen:
    """Make the call; what was told of it is still to be looked up."""
    made = TcpCaller if case.address == OVER_TCP else Caller
    async with AsyncExitStack() as stack:
        customer = await stack.enter_async_context(made(gateway, case.address))
        await customer.calls(case.called)
        customer.ear.sings(CUSTOMER_HZ)
        call_id = (await gateway.wait_for("call.started", sip_call_id=customer.call_id))["call_id"]
        seen = ReferSeen(call_id, customer.ear, (), customer=customer)
        for step in case.row.steps:
            await step(customer)
        if not case.row.leaves:
            await customer.is_hung_up(timeout_s=30)
        await customer.end()
    seen.moments["end"] = next(m.at_s for m in customer.messages if m.start.startswith("BYE "))
    if customer.referrals:
        seen.moments["referred"] = customer.referrals[0].at_s
    return seen


async def look_up_refers(played: Sequence[ReferSeen], bot: BotServer, operator: Operator) -> None:
    """What the bot was told, the event stream, and the record of each."""
    await bot.received("hangup", len(played))
    for seen in played:
        seen.asked = [one.name for one in bot.requests if one.event["call"]["id"] == seen.call_id]
    await look_up(played, bot, operator)


def judge_refer(case: ReferCase, seen: ReferSeen) -> None:
    """All that must be so."""
    _judge_wire(case, seen.customer)
    assert seen.asked == ["start", "transfer", "hangup"], seen.asked
    judge(case, seen)


def _judge_wire(case: ReferCase, customer: Caller) -> None:
    refers = customer.referrals
    found = [(refer.headers("Refer-To"), refer.headers("Referred-By")) for refer in refers]
    host = customer.messages[0].start.split(" ")[1].rpartition("@")[2]  # where it called us
    by = f"<sip:{case.called}@{host}>"
    assert found == [([f"<{to}?{RIDES}>"], [by]) for to in case.row.refers_to], found
    if case.address == KNOWN:
        proof = refers[-1].header("Authorization") or refers[-1].header("Proxy-Authorization") or ""
        assert is_right(proof, "REFER", USER, REALM, PASSWORD), proof
    byes = customer._each("BYE")
    assert len(byes) == (0 if case.row.leaves else 1), ladder(customer.messages)
    why = "Q.850;cause=41;" if case.end[1] == "gateway" else "Q.850;cause=16;"
    assert all((bye.header("Reason") or "").startswith(why) for bye in byes), byes[0].text
