"""An agent's phone puts the customer through to somebody whom it has called; places in calls are taken (Replaces)."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.callee import Callee
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.sip.office import Office, office_plan
from tests.sip.transfer_cells import BOB, places

pytestmark = pytest.mark.asyncio(loop_scope="module")

(PLACE,) = places(1)
BOT_PORT = PLACE.bot_port
PLAN = office_plan([PLACE])
BOBS_NAME = f"bob{PLACE.number}"


async def consults(office: Office) -> None:
    """Ann talks to the customer, holds them, and talks to Bob on her second line."""
    await office.ann_talks()
    await office.ann_holds()
    await office.ann_calls_bob()
    await office.hear_each_other(office.anns_call, office.bob)


async def is_put_through(office: Office) -> None:
    """Customer and Bob talk, in Bob's one and only call; nobody else is there any more."""
    await office.ann.is_hung_up()
    await office.anns_call.is_hung_up()
    await office.hear_each_other(office.customer, office.bob)
    assert len(office.bob.invites) == 1
    assert not [m for m in office.bob.messages if not m.sent and m.method in ("BYE", "CANCEL")]


async def test_she_puts_the_customer_through(office: Office) -> None:
    await consults(office)
    assert (await office.ann.refers(office.replacing(office.anns_call))).status == 202
    await is_put_through(office)
    await office.ann.is_notified(200)
    assert office.bot.events == ["start"]
    await office.bob.hangs_up()
    await office.customer.is_hung_up()
    told = await office.told()
    (hop,) = told["hops"]
    assert (hop["kind"], hop["number"], hop["status"]) == ("refer", BOBS_NAME, "SUCCESS")
    assert (told["status"], told["endedBy"], told["reason"]) == ("SUCCESS", "agent", "completed")
    await office.history()
    legs = [(leg["role"], leg["cause"]["reason"]) for leg in (await office.cdr())["legs"]]
    assert legs == [("customer", "normal"), ("agent", "transferred"), ("agent", "normal")]
    await office.history(office.anns_call)
    hers = await office.cdr(office.anns_call)
    assert (hers["endedBy"], hers["cause"]) == ("transferred", {"result": "completed", "reason": "transferred"})
    (transfer,) = hers["transfers"]
    assert (transfer["status"], transfer["number"], transfer["endedBy"]) == ("SUCCESS", BOBS_NAME, "transferred")


async def test_he_still_rings_and_is_called_anew(office: Office) -> None:
    await office.ann_talks()
    await office.ann_holds()
    await office.bob_rings_for_ann()
    assert (await office.ann.refers(office.replacing(office.anns_call))).status == 202
    await office.bob.is_cancelled()
    await office.anns_call.is_hung_up()
    await office.bob.is_called(2)
    office.bob.rings()
    await office.ann.is_notified(180)
    await office.bob.answers()
    await office.ann.is_hung_up()
    await office.ann.is_notified(200)
    await office.hear_each_other(office.customer, office.bob)
    await office.bob.hangs_up()
    (hop,) = (await office.told())["hops"]
    assert (hop["kind"], hop["number"], hop["status"]) == ("refer", BOBS_NAME, "SUCCESS")
    await office.history()
    await office.history(office.anns_call)


async def test_she_refers_on_her_second_line(office: Office) -> None:
    """Which of the two calls a phone refers on is its own affair (RFC 5589 §7): the customer's call survives."""
    await consults(office)
    assert (await office.anns_call.refers(office.replacing(office.ann, PLACE.number))).status == 202
    await is_put_through(office)
    await office.anns_call.is_notified(200)
    await office.bob.hangs_up()
    await office.customer.is_hung_up()
    (hop,) = (await office.told())["hops"]
    assert (hop["kind"], hop["number"], hop["status"]) == ("refer", BOBS_NAME, "SUCCESS")
    await office.history()
    await office.history(office.anns_call)
    assert (await office.cdr(office.anns_call))["endedBy"] == "transferred"


# ── Hang-ups in between ─────────────────────────────────────────────────────────────────────────────


async def test_the_customer_has_left_before(office: Office) -> None:
    """Ann's leg goes with the customer's call: there is nothing to refer on; her talk with Bob goes on."""
    await consults(office)
    await office.customer.hangs_up()
    await office.ann.is_hung_up()
    assert (await office.ann.refers(office.replacing(office.anns_call))).status == 481
    await office.hear_each_other(office.anns_call, office.bob)
    await office.anns_call.hangs_up()
    await office.bob.is_hung_up()
    await office.history()
    await office.history(office.anns_call)


async def test_the_colleague_has_left_before(office: Office) -> None:
    """Her second call ends with his; the number that the REFER names is called."""
    await consults(office)
    refer_to = office.replacing(office.anns_call)
    await office.bob.hangs_up()
    await office.anns_call.is_hung_up()
    await office.history(office.anns_call)
    assert (await office.ann.refers(refer_to)).status == 202
    await office.bob.is_called(2)
    await office.bob.refuses("486 Busy Here")
    await office.ann.is_notified(486)
    await office.ann_resumes()
    await office.hear_each_other(office.customer, office.ann)
    await office.ann.hangs_up()
    (hop,) = (await office.told())["hops"]
    assert (hop["status"], hop["reason"]) == ("FAIL", "busy")
    await office.history()


@pytest.mark.parametrize("leaver", ["customer", "ann", "anns_call", "bob"])
@pytest.mark.parametrize("line", ["ann", "anns_call"])
async def test_somebody_leaves_at_the_same_moment(office: Office, line: str, leaver: str) -> None:
    """Whoever wins: nobody is left over, and each transfer that began ends once."""
    await consults(office)
    phones: dict[str, Caller | Callee] = {
        name: getattr(office, name) for name in ("customer", "ann", "anns_call", "bob")
    }
    other = {"ann": "anns_call", "anns_call": "ann"}[line]
    phones[line].requests("REFER", f"Refer-To: {office.replacing(phones[other])}")
    await phones[leaver].hangs_up()
    await office.gateway.wait_for("refer.answering")
    for name in ("customer", "anns_call"):
        phone = phones[name]
        if not any(message.method == "BYE" for message in phone.messages):
            await phone.hangs_up()
    await office.told()
    await office.history()
    await office.history(office.anns_call)


# ── INVITE with Replaces ────────────────────────────────────────────────────────────────────────────


def replaces(phone: Caller | Callee) -> dict[str, str]:
    """The header that names this phone's dialog with us."""
    call_id, our_tag, their_tag = phone.dialog
    return {"Replaces": f"{call_id};to-tag={our_tag};from-tag={their_tag}"}


@pytest_asyncio.fixture(loop_scope="module")
async def another(gateway: GatewayProcess) -> AsyncIterator[Caller]:
    """A phone of the office that picks up what is somebody else's."""
    async with Caller(gateway, BOB, "805") as phone:
        yield phone


@pytest_asyncio.fixture(loop_scope="module")
async def second(gateway: GatewayProcess) -> AsyncIterator[Caller]:
    """Of the carrier."""
    async with Caller(gateway) as phone:
        yield phone


async def test_another_phone_of_the_office_takes_anns_place(office: Office, another: Caller) -> None:
    await office.ann_talks()
    await another.calls("anything", replaces(office.ann))
    await office.ann.is_hung_up()
    await office.hear_each_other(office.customer, another)
    assert "transfer" not in office.bot.events
    await another.hangs_up()
    await office.customer.is_hung_up()
    told = await office.told()
    assert [hop["kind"] for hop in told["hops"]] == ["replaced"]
    assert (told["status"], told["endedBy"]) == ("SUCCESS", "agent")
    await office.history()


async def test_another_leg_of_the_carrier_takes_the_customers_place(office: Office, second: Caller) -> None:
    await office.ann_talks()
    await second.calls("anything", replaces(office.customer))
    await office.customer.is_hung_up()
    await office.hear_each_other(second, office.ann)
    await second.hangs_up()
    await office.ann.is_hung_up()
    told = await office.told()
    assert (told["status"], told["hangup"], told["endedBy"]) == ("SUCCESS", True, "customer")
    await office.history()


async def test_a_leg_of_another_trunk_takes_nobodys_place(office: Office, second: Caller, another: Caller) -> None:
    await office.ann_talks()
    for phone, whose in ((second, office.ann), (another, office.customer)):
        phone.invites(PLACE.number, replaces(whose))
        assert (await phone.is_told_finally()).status == 403
    await office.hear_each_other(office.customer, office.ann)
    await office.ann.hangs_up()
    await office.told()


async def test_a_dialog_that_there_is_not(office: Office, another: Caller) -> None:
    await office.ann_talks()
    call_id, our_tag, their_tag = office.ann.dialog
    wrong = (f"{call_id};to-tag={their_tag};from-tag={our_tag}", f"x{call_id};to-tag={our_tag};from-tag={their_tag}")
    for value in wrong:
        another.invites("anything", {"Replaces": value})
        assert (await another.is_told_finally()).status == 481
    await office.ann.hangs_up()
    await office.customer.is_hung_up()
    await office.history()
    another.invites("anything", replaces(office.ann))
    assert (await another.is_told_finally()).status in (481, 603)
