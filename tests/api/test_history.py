"""/v1/cdrs over a real socket, from a real store."""

import pytest

from tests.api.node import Node
from tests.fakes.control import a_call


@pytest.fixture
async def key(gateway: Node) -> str:
    """A key; ten calls of two channels and trunks are over."""
    for number in range(10):
        await gateway.over(a_call(number, ("reception", "sales")[number % 2], ("acme", "other")[number // 5]))
    return await gateway.key()


async def ids(node: Node, key: str, query: str) -> list[str]:
    return [cdr["callId"] for cdr in (await node.get(f"/v1/cdrs{query}", key)).body["items"]]


async def test_one_in_full(gateway: Node, key: str):
    answer = await gateway.get("/v1/cdrs?limit=1", key)
    [cdr] = answer.body["items"]
    assert cdr == {
        "callId": "call_0009", "sipCallId": "sip-9@test", "channel": "sales", "trunk": "other",
        "direction": "inbound", "from": "+12125550123", "to": "+12125550100",
        "startedAt": "2027-01-15T08:00:09.000Z", "answeredAt": "2027-01-15T08:00:10.000Z",
        "endedAt": "2027-01-15T08:00:14.000Z", "durationMs": 4000,
        "cause": {"result": "completed", "reason": "normal"}, "sipStatus": 200, "q850": 16, "endedBy": "customer",
        "legs": [
            {
                "legId": "leg_0009", "role": "customer", "agent": None, "joinedAt": None, "leftAt": None, "codec": None,
                "cause": None, "sipStatus": None, "q850": None, "by": None,
            }
        ],
        "transfers": [], "recordings": [], "rtp": [], "data": {},
    }  # fmt: skip


async def test_pages_hold_each_one_once_though_more_come(gateway: Node, key: str):
    seen: list[str] = []
    cursor: str | None = ""
    late = 20
    while cursor is not None:
        page = (await gateway.get(f"/v1/cdrs?limit=3{cursor and '&cursor=' + cursor}", key)).body
        seen += [cdr["callId"] for cdr in page["items"]]
        cursor = page["nextCursor"]
        await gateway.over(a_call(late))
        late += 1
    assert seen == [f"call_{number:04}" for number in range(9, -1, -1)]


async def test_filters(gateway: Node, key: str):
    assert await ids(gateway, key, "?channel=sales&trunk=acme") == ["call_0003", "call_0001"]
    assert await ids(gateway, key, "?channel=nothing") == []
    assert len(await ids(gateway, key, "?from=%2B12125550123&to=%2B12125550100")) == 10
    assert len(await ids(gateway, key, "?from=+12125550123")) == 10, "nobody escapes the plus"
    assert await ids(gateway, key, "?from=12") == []
    assert await ids(gateway, key, "?since=2027-01-15T08:00:08Z") == ["call_0009", "call_0008"]
    assert await ids(gateway, key, "?since=2027-01-15T09:00:08+01:00") == ["call_0009", "call_0008"]
    assert await ids(gateway, key, "?until=2027-01-15T08:00:01Z") == ["call_0000"]
