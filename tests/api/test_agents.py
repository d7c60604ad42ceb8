"""/v1/agents, /v1/transfers and /v1/drain, as a key that is bound to nothing sees them."""

from typing import Any

import pytest

from gateway.calls.history import Type
from tests.api.node import NOW, Node
from tests.api.test_bound_keys import TRANSFER, with_agent
from tests.fakes.control import a_call


async def test_agents_and_what_they_say(gateway: Node):
    key = await gateway.key()
    gateway.control.add(with_agent(a_call(1), "bob"))
    answer = await gateway.get("/v1/agents", key)
    assert answer.body == {
        "items": [
            {
                "id": "ann", "name": "Ann", "state": "available", "trunk": "acme", "may": ["consult", "forward"],
                "callId": None, "legId": None, "since": "2027-01-15T08:00:00.000Z",
            },
            {
                "id": "bob", "name": "Bob", "state": "busy", "trunk": "acme", "may": ["consult"],
                "callId": "call_0001", "legId": "leg_0001_bob", "since": "2027-01-15T08:00:00.000Z",
            },
        ],
        "nextCursor": None,
    }  # fmt: skip
    said = await gateway.ask("PUT", "/v1/agents/ann/state", key, json={"state": "away"})
    assert (said.status, said.body["state"]) == (200, "away")
    said = await gateway.ask("PUT", "/v1/agents/bob/state", key, json={"state": "away"})
    assert (said.status, said.body["state"]) == (200, "busy")
    back = await gateway.ask("PUT", "/v1/agents/ann/state", key, json={"state": "available"})
    assert back.body["state"] == "available"


@pytest.mark.parametrize(
    ("agent", "body", "problem"),
    [
        ("nobody", {"state": "away"}, (404, "not-found")),
        ("ann", {"state": "busy"}, (422, "invalid")),
        ("ann", {}, (422, "invalid")),
        ("ann", {"state": "away", "why": "lunch"}, (422, "invalid")),
    ],
)
async def test_what_cannot_be_said(gateway: Node, agent: str, body: Any, problem: tuple[int, str]):
    key = await gateway.key()
    assert (await gateway.ask("PUT", f"/v1/agents/{agent}/state", key, json=body)).problem == problem
    assert gateway.control.away == set()


async def test_transfers_newest_first_a_page_at_a_time(gateway: Node):
    key = await gateway.key()
    for number in range(1, 6):
        how = {"status": "FAIL", "reason": "busy"} if number % 2 else {}
        data = {**TRANSFER, "transferId": f"xfer_{number}", **how}
        await gateway.happens(a_call(number), Type.TRANSFER_ENDED, data, at=NOW + number)
        await gateway.happens(a_call(number), Type.TRANSFER_STARTED, {"transferId": f"xfer_{number}"})
    seen, query = list[str](), "/v1/transfers?limit=2"
    while True:
        page = (await gateway.get(query, key)).body
        seen += [item["transferId"] for item in page["items"]]
        if page["nextCursor"] is None:
            break
        query = f"/v1/transfers?limit=2&cursor={page['nextCursor']}"
    assert seen == [f"xfer_{number}" for number in (5, 4, 3, 2, 1)]
    item = (await gateway.get("/v1/transfers?limit=1", key)).body["items"][0]
    assert item == {
        **TRANSFER, "transferId": "xfer_5", "status": "FAIL", "reason": "busy", "callId": "call_0005",
        "at": "2027-01-15T08:00:05.000Z", "channel": "reception", "hopOf": None, "detail": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("call=call_0002", [2]), ("status=FAIL", [3, 1]), ("status=SUCCESS", [2]), ("reason=busy", [3, 1]),
        ("reason=declined", []), ("since=2027-01-15T08:00:02Z", [3, 2]), ("until=2027-01-15T08:00:02Z", [1]),
    ],
)  # fmt: skip
async def test_filters_of_transfers(gateway: Node, query: str, found: list[int]):
    key = await gateway.key()
    for number in (1, 2, 3):
        data = {**TRANSFER} | ({"status": "FAIL", "reason": "busy"} if number % 2 else {})
        await gateway.happens(a_call(number), Type.TRANSFER_ENDED, data, at=NOW + number)
    items = (await gateway.get(f"/v1/transfers?{query}", key)).body["items"]
    assert [item["callId"] for item in items] == [f"call_000{number}" for number in found]


@pytest.mark.parametrize("query", ["cursor=x", "status=fine", "reason=sad", "limit=0", "nonsense=1"])
async def test_a_wrong_question_about_transfers(gateway: Node, query: str):
    assert (await gateway.get(f"/v1/transfers?{query}", await gateway.key())).problem == (422, "invalid")


async def test_drain(gateway: Node):
    key = await gateway.key()
    gateway.control.add(a_call(1))
    for _ in range(2):
        answer = await gateway.ask("POST", "/v1/drain", key)
        assert (answer.status, answer.body) == (202, {"draining": True, "calls": 1})
    assert gateway.control.drains == 2
