"""An agent's desktop passes the customer on through the API, over real trunks, while they talk."""

from typing import Any

import pytest

from tests.sip.office import Office, office_plan
from tests.sip.transfer_cells import places

pytestmark = pytest.mark.asyncio(loop_scope="module")

(PLACE,) = places(1)
BOT_PORT = PLACE.bot_port
PLAN = office_plan([PLACE])
TO_BOB = {"type": "switch", "agent": f"bob{PLACE.number}"}


async def asks(office: Office, method: str, body: Any = None) -> tuple[int, Any]:
    """Of the customer's transfer."""
    return await office.operator.asks(method, f"/v1/calls/{await office.call_id()}/transfer", body)


async def detail(office: Office) -> dict[str, Any]:
    """The customer's call."""
    status, told = await office.operator.asks("GET", f"/v1/calls/{await office.call_id()}")
    assert status == 200
    return dict(told)


async def test_the_agent_stays_until_the_colleague_answers(office: Office) -> None:
    await office.ann_talks()
    status, call = await asks(office, "POST", TO_BOB)
    assert (status, call["state"]) == (202, "talking")
    await office.bob.is_called()
    office.bob.rings()
    await office.notes("transfer.ringing", 2)
    await office.hear_each_other(office.customer, office.ann)
    call = await detail(office)
    assert (call["state"], sorted(call["allowed"])) == ("talking", ["cancel-transfer", "hangup", "hold", "legs"])
    assert [leg["state"] for leg in call["legs"]] == ["connected", "connected", "ringing"]
    assert (await asks(office, "POST", TO_BOB))[0] == 409
    await office.bob.answers()
    await office.ann.is_hung_up()
    await office.hear_each_other(office.customer, office.bob)
    await office.bob.hangs_up()
    await office.customer.is_hung_up()
    told = await office.told()
    (hop,) = told["hops"]
    assert (hop["kind"], hop["status"], hop["number"]) == ("transfer", "SUCCESS", TO_BOB["agent"])
    progress = [event for event in await office.history() if event["type"].startswith("transfer.")]
    first, second = (event["data"]["transferId"] for event in progress if event["type"] == "transfer.started")
    of_hop = [event["type"] for event in progress if event["data"].get("hopOf") == first]
    assert of_hop == [f"transfer.{word}" for word in ("started", "ringing", "answered", "bridged", "ended")]
    assert {event["data"]["transferId"] for event in progress if "hopOf" in event["data"]} == {second}


async def test_the_colleague_is_busy(office: Office) -> None:
    await office.ann_talks()
    assert (await asks(office, "POST", TO_BOB))[0] == 202
    await office.bob.is_called()
    await office.bob.refuses("486 Busy Here")
    await office.notes("transfer.ended", reason="busy")
    await office.hear_each_other(office.customer, office.ann)
    assert "transfer" in (await detail(office))["allowed"] and "transfer" not in office.bot.events
    await office.ann.hangs_up()
    (hop,) = (await office.told())["hops"]
    assert (hop["status"], hop["reason"], hop["sipStatus"]) == ("FAIL", "busy", 486)
    await office.history()


async def test_the_colleague_does_not_answer_in_time(office: Office) -> None:
    await office.ann_talks()
    assert (await asks(office, "POST", {**TO_BOB, "timeout": 1}))[0] == 202
    await office.bob.is_called()
    office.bob.rings()
    await office.bob.is_cancelled(timeout_s=4)
    await office.hear_each_other(office.customer, office.ann)
    await office.ann.hangs_up()
    (hop,) = (await office.told())["hops"]
    assert (hop["status"], hop["reason"]) == ("FAIL", "no-answer")
    await office.history()


async def test_it_is_taken_back(office: Office) -> None:
    await office.ann_talks()
    assert (await asks(office, "DELETE"))[0] == 409
    assert (await asks(office, "POST", TO_BOB))[0] == 202
    await office.bob.is_called()
    office.bob.rings()
    assert (await asks(office, "DELETE"))[0] == 202
    await office.bob.is_cancelled(timeout_s=2)
    await office.hear_each_other(office.customer, office.ann)
    await office.ann.hangs_up()
    (hop,) = (await office.told())["hops"]
    assert (hop["status"], hop["reason"]) == ("FAIL", "cancelled")
    await office.history()


async def test_what_is_not_possible(office: Office) -> None:
    await office.ann_talks()
    status, problem = await asks(office, "POST", {**TO_BOB, "method": "refer"})
    assert status == 422, problem
    assert (await office.ann.refers(office.to_bob)).status == 202
    await office.bob.is_called()
    status, problem = await asks(office, "POST", TO_BOB)
    assert (status, problem["code"], problem["state"]) == (409, "illegal-state", "talking")
    assert "transfer" not in problem["allowed"] and "cancel-transfer" in problem["allowed"]
    await office.bob.refuses("480 Temporarily Unavailable")
    await office.ann.is_notified(480)
    await office.ann.hangs_up()
    await office.told()
    await office.history()
