"""An agent's phone passes the customer on with REFER, over real trunks: who hears whom, what each one is told."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.bot_server import BotServer, replies
from tests.callee import Callee
from tests.gateway_process import GatewayProcess
from tests.operators import Operator
from tests.sip.office import ALLOWED, DENIED, OUTSIDE, PASSING, Office, office_plan
from tests.sip.transfer_cells import places
from tests.spectrum import has_tone
from tests.wire import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

(PLACE,) = places(1)
BOT_PORT = PLACE.bot_port
OUTSIDE_PORT = free_port(OUTSIDE)
PLAN = office_plan([PLACE], OUTSIDE_PORT)
ANNS_NAME, BOBS_NAME = f"ann{PLACE.number}", f"bob{PLACE.number}"
TAKEN_BACK = {"onFail": "return"}


@pytest_asyncio.fixture(loop_scope="module")
async def outside() -> AsyncIterator[Callee]:
    """Somebody at an outside number."""
    async with Callee(OUTSIDE, OUTSIDE_PORT) as callee:
        yield callee


async def hears_ringback(office: Office) -> None:
    """The customer does."""
    heard = await office.customer.ear.listens(1.0)
    assert has_tone(heard, 440) and has_tone(heard, 480)


def lines(*statuses: int) -> list[str]:
    """What NOTIFYs say of these."""
    phrases = {100: "Trying", 180: "Ringing", 200: "OK", 404: "Not Found", 486: "Busy Here", 487: "Request Terminated"}
    return [f"SIP/2.0 {status} {phrases[status]}" for status in statuses]


async def refers_to_bob(office: Office) -> None:
    """Ann's phone does, and his rings."""
    await office.ann_holds()
    assert (await office.ann.refers(office.to_bob)).status == 202
    await office.bob.is_called()
    office.bob.rings()
    await office.ann.is_notified(180)


async def ends(office: Office, talker: Callee, **hop: Any) -> dict[str, Any]:
    """Whoever talks to the customer hangs up: that is the end of all. What the bot is told; it has this one hop."""
    await talker.hangs_up()
    await office.customer.is_hung_up()
    told = await office.told()
    (found,) = told["hops"]
    assert {key: found[key] for key in hop} == hop
    await office.history()
    return told


# ── A colleague ─────────────────────────────────────────────────────────────────────────────────────


async def test_the_colleague_answers(office: Office) -> None:
    await office.ann_talks()
    await refers_to_bob(office)
    await office.bob.answers()
    assert (await office.ann.is_hung_up()).header("Reason")
    await office.ann.is_notified(200)  # perhaps after the BYE
    assert office.ann.notified == lines(100, 180, 200)
    await office.hear_each_other(office.customer, office.bob)
    assert "transfer" not in office.bot.events
    told = await ends(office, office.bob, kind="refer", number=BOBS_NAME, status="SUCCESS", sipStatus=200)
    assert (told["status"], told["hangup"], told["reason"]) == ("SUCCESS", False, "completed")
    assert (told["number"], told["endedBy"]) == (ANNS_NAME, "agent")
    hop, whole = (await office.cdr())["transfers"]
    assert whole == told and hop["hopOf"] == whole["transferId"] and hop["number"] == BOBS_NAME
    causes = [(leg["role"], leg["cause"]["reason"]) for leg in (await office.cdr())["legs"]]
    assert causes == [("customer", "normal"), ("agent", "transferred"), ("agent", "normal")]


async def test_the_bot_goes_on_after_the_colleague_has_hung_up(office: Office) -> None:
    await office.ann_talks(continueCall=True)
    office.bot.on("transfer", replies({"type": "hangup"}))
    await refers_to_bob(office)
    await office.bob.answers()
    await office.ann.is_hung_up()
    told = await ends(office, office.bob, status="SUCCESS")
    assert told["status"] == "SUCCESS" and (await office.cdr())["endedBy"] == "bot"


async def test_the_colleague_passes_the_customer_on_too(office: Office, outside: Callee) -> None:
    await office.ann_talks()
    await refers_to_bob(office)
    await office.bob.answers()
    await office.ann.is_hung_up()
    assert (await office.bob.refers(office.gw(ALLOWED))).status == 202
    await outside.is_called()
    await outside.answers()
    await office.bob.is_hung_up()
    await office.bob.is_notified(200)
    assert office.bob.notified == lines(100, 180, 200)
    await office.hear_each_other(office.customer, outside)
    await outside.hangs_up()
    await office.customer.is_hung_up()
    assert [hop["number"] for hop in (await office.told())["hops"]] == [BOBS_NAME, ALLOWED]
    await office.history()


async def test_a_busy_colleague(office: Office) -> None:
    await office.ann_talks()
    await office.ann_holds()
    assert (await office.ann.refers(office.to_bob)).status == 202
    await office.bob.is_called()
    await office.bob.refuses("486 Busy Here")
    await office.ann.is_notified(486)
    await office.ann_resumes()
    await office.hear_each_other(office.customer, office.ann)
    assert office.ann.notified == lines(100, 486)
    told = await ends(office, office.ann, kind="refer", status="FAIL", reason="busy", sipStatus=486)
    assert (told["status"], told["reason"]) == ("SUCCESS", "completed")


async def test_a_refer_is_taken_back_by_the_api(office: Office) -> None:
    """RFC 3515 has no way to do it by the phone."""
    await office.ann_talks()
    await refers_to_bob(office)
    status, _ = await office.operator.asks("DELETE", f"/v1/calls/{await office.call_id()}/transfer")
    assert status == 202
    await office.bob.is_cancelled(timeout_s=2)
    await office.ann.is_notified(487)
    await office.ann_resumes()
    assert office.ann.notified == lines(100, 180, 487)
    await office.hear_each_other(office.customer, office.ann)
    await ends(office, office.ann, status="FAIL", reason="cancelled")


async def test_the_referrer_leaves_at_once_and_the_colleague_answers(office: Office) -> None:
    await office.ann_talks()
    assert (await office.ann.refers(office.to_bob)).status == 202
    await office.ann.hangs_up()
    await office.bob.is_called()
    office.bob.rings()
    await hears_ringback(office)
    await office.bob.answers()
    await office.hear_each_other(office.customer, office.bob)
    told = await ends(office, office.bob, status="SUCCESS", number=BOBS_NAME)
    assert (told["status"], told["hangup"]) == ("SUCCESS", False)


@pytest.mark.parametrize("on_fail", [TAKEN_BACK, {}])
async def test_the_referrer_leaves_at_once_and_the_colleague_is_busy(office: Office, on_fail: dict[str, Any]) -> None:
    await office.ann_talks(**on_fail)
    office.bot.on("transfer", replies({"type": "hangup"} if on_fail else {"type": "ringing"}))
    await refers_to_bob(office)
    await office.ann.hangs_up()
    refused = await office.bob.refuses("486 Busy Here")
    if not on_fail:
        await office.customer.ear.hears_something(refused.at_s)  # the apology
    await office.customer.is_hung_up()
    told = await office.told()
    assert (told["status"], told["hangup"], told["reason"]) == ("SUCCESS", False, "busy")
    assert (await office.history())[-1]["data"]["endedBy"] == ("bot" if on_fail else "gateway")


async def test_the_customer_leaves_while_it_rings(office: Office) -> None:
    await office.ann_talks()
    await refers_to_bob(office)
    await office.customer.hangs_up()
    await office.bob.is_cancelled(timeout_s=2)
    await office.ann.is_hung_up(timeout_s=2)
    await office.ann.is_notified(487)
    told = await office.told()
    assert (told["status"], told["hangup"], told["endedBy"]) == ("SUCCESS", True, "customer")
    ended = [event["data"] for event in await office.history() if event["type"] == "transfer.ended"]
    assert [one["reason"] for one in ended] == ["caller-abandoned", "completed"]


async def test_both_leave_while_it_rings(office: Office) -> None:
    await office.ann_talks()
    await refers_to_bob(office)
    await asyncio.gather(office.ann.hangs_up(), office.customer.hangs_up())
    await office.bob.is_cancelled(timeout_s=2)
    assert (await office.told())["hangup"]
    await office.history()


# ── Elsewhere ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", ["<sip:{number}@127.0.0.1:{port}>", "<tel:{number}>", "sip:{number}@127.0.0.1"])
async def test_an_outside_number(office: Office, outside: Callee, form: str) -> None:
    await office.ann_talks()
    to = form.format(number=ALLOWED, port=office.gateway.udp_port)
    assert (await office.ann.refers(to)).status == 202
    invite = await outside.is_called()
    assert invite.start.startswith(f"INVITE sip:{ALLOWED}@{OUTSIDE}")
    await outside.answers()
    await office.ann.is_hung_up()
    await office.hear_each_other(office.customer, outside)
    await ends(office, outside, status="SUCCESS")


async def test_another_host_that_the_policy_allows(office: Office, outside: Callee) -> None:
    """That of an agent's phone."""
    await office.ann_talks()
    assert (await office.ann.refers(f"<sip:bob@127.0.0.5:{PLACE.bob_port}>")).status == 202
    await office.bob.is_called()
    await office.bob.answers()
    await office.ann.is_hung_up()
    await office.hear_each_other(office.customer, office.bob)
    await ends(office, office.bob, status="SUCCESS")


@pytest.mark.parametrize("to", [f"<tel:{DENIED}>", f"<sip:{DENIED}@127.0.0.1>", "<sip:anybody@127.0.0.8>"])
async def test_what_the_policy_blocks(office: Office, outside: Callee, to: str) -> None:
    await office.ann_talks()
    refused = (await office.ann.refers(to)).status
    if refused == 202:
        await office.ann.is_notified(403)
    else:
        assert refused == 403
    assert not outside.invites
    await office.hear_each_other(office.customer, office.ann)
    await office.ann.hangs_up()
    await office.customer.is_hung_up()
    await office.told()
    await office.history()


GARBAGE = ["", "sip:", "<sip:802@127.0.0.1", "<sip:8 02@127.0.0.1>", "<sip:802@127.0.0.1?Replaces=nonsense>"]


async def test_what_cannot_be_read(office: Office) -> None:
    await office.ann_talks()
    for to in GARBAGE:
        assert (await office.ann.refers(to)).status == 400, to
    assert (await office.ann.asks("REFER")).status == 400
    assert (await office.ann.refers("<sips:802@127.0.0.1>")).status == 416
    assert office.ann.notified == []
    await office.hear_each_other(office.customer, office.ann)
    await office.ann.hangs_up()
    assert (await office.told())["hops"] == []
    await office.history()


# ── Not now, and not you ────────────────────────────────────────────────────────────────────────────


async def test_one_at_a_time(office: Office) -> None:
    await office.ann_talks()
    await refers_to_bob(office)
    assert (await office.ann.refers(office.gw(ALLOWED))).status == 491
    await office.bob.answers()
    await office.ann.is_hung_up()
    await ends(office, office.bob, status="SUCCESS")


async def test_the_customers_side_may_not(office: Office) -> None:
    await office.ann_talks()
    assert (await office.customer.refers(office.to_bob)).status == 603
    await office.hear_each_other(office.customer, office.ann)
    await office.ann.hangs_up()
    assert (await office.told())["hops"] == []


@pytest_asyncio.fixture(loop_scope="module")
async def passing(gateway: GatewayProcess, bot: BotServer, operator: Operator) -> AsyncIterator[Office]:
    """An office whose customers may pass the call on."""
    async with Office(gateway, bot, operator, PLACE, PASSING) as there:
        yield there


async def test_the_customers_side_passes_the_bot_on(passing: Office, outside: Callee) -> None:
    """From then on the bot talks to whoever was called."""
    passing.bot.on("start", replies({"type": "dtmf", "max": 1, "timeout": 20000}))
    passing.bot.on("dtmf", replies({"type": "hangup"}))
    await passing.customer.calls(PLACE.number)
    await passing.bot.received("start")
    assert (await passing.customer.refers(passing.gw(ALLOWED))).status == 202
    await outside.is_called()
    outside.rings()
    await outside.answers()
    await passing.customer.is_hung_up()
    await passing.customer.is_notified(200)
    assert passing.customer.notified == lines(100, 180, 200)
    await outside.ear.presses("7")
    (pressed,) = await passing.bot.received("dtmf")
    assert pressed.event["data"]["digits"] == "7"
    await outside.is_hung_up()
    await passing.bot.received("hangup")
    assert passing.bot.events == ["start", "dtmf", "hangup"]
    await passing.history()


async def test_the_customers_side_passes_people_on(passing: Office, outside: Callee) -> None:
    await passing.ann_talks()
    assert (await passing.customer.refers(passing.gw(ALLOWED))).status == 202
    await outside.is_called()
    await outside.answers()
    await passing.customer.is_hung_up()
    await passing.hear_each_other(outside, passing.ann)
    await passing.ann.hangs_up()
    await outside.is_hung_up()
    told = await passing.told()
    assert (told["status"], told["hangup"], told["endedBy"]) == ("SUCCESS", False, "agent")
    await passing.history()
