"""A key that is bound to one channel finds nothing of another, whatever it asks (broken object level authorization)."""

import asyncio
import json

import pytest

from gateway.calls.history import Type
from gateway.calls.model import ChannelPolicy
from tests.api.node import Node
from tests.api.sse import Listener
from tests.fakes.control import a_call

NOWHERE = "call_9999"


@pytest.fixture
async def ours(gateway: Node) -> str:
    """A key of channel `reception`; a live call of `sales` is call_0002, one that is over is call_0003."""
    gateway.control.add(a_call(1, "reception"))
    gateway.control.add(a_call(2, "sales"))
    await gateway.happens(a_call(1, "reception"), Type.CALL_STARTED)
    await gateway.happens(a_call(2, "sales"), Type.CALL_STARTED)
    await gateway.over(a_call(3, "sales"))
    return await gateway.key(channels=["reception"])


@pytest.mark.parametrize("call_id", ["call_0002", "call_0003"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/calls/{}", None),
        ("DELETE", "/v1/calls/{}", None),
        ("POST", "/v1/calls/{}/replies", {"replies": []}),
        ("POST", "/v1/calls/{}/replies", {"replies": [{"type": "nonsense"}]}),
        ("GET", "/v1/calls/{}/events", None),
        ("GET", "/v1/calls/{}/events?cursor=1", None),
    ],
)
async def test_a_call_of_others_is_as_one_that_never_was(
    gateway: Node, ours: str, method: str, path: str, body: object, call_id: str
):
    theirs = await gateway.ask(method, path.format(call_id), ours, json=body)
    nobodys = await gateway.ask(method, path.format(NOWHERE), ours, json=body)
    assert theirs.problem == (404, "not-found")
    assert theirs.body == nobodys.body
    assert gateway.control.hung_up == [] and gateway.control.pushed == []


@pytest.mark.parametrize("query", ["", "?channel=sales", "?trunk=acme", "?cursor=call_0001", "?state=bot"])
async def test_lists_hold_our_calls_only(gateway: Node, ours: str, query: str):
    answer = await gateway.get(f"/v1/calls{query}", ours)
    assert answer.status == 200 and {call["id"] for call in answer.body["items"]} <= {"call_0001"}


@pytest.mark.parametrize("query", ["", "?channel=sales", "?trunk=acme", "?cursor=99", "?from=%2B12125550123"])
async def test_cdrs_are_of_our_calls_only(gateway: Node, ours: str, query: str):
    await gateway.over(a_call(4, "reception"))
    answer = await gateway.get(f"/v1/cdrs{query}", ours)
    assert answer.status == 200 and {cdr["callId"] for cdr in answer.body["items"]} <= {"call_0004"}


@pytest.mark.parametrize("query", ["?after=0", "?after=0&call=call_0002", "?after=0&types=call.*"])
async def test_events_are_of_our_calls_only(gateway: Node, ours: str, query: str):
    async with Listener.on(gateway, ours, query) as listener:
        await gateway.happens(a_call(2, "sales"), Type.CALL_ENDED)
        await gateway.happens(a_call(1, "reception"), Type.CALL_ENDED)
        await asyncio.sleep(0.2)
        assert {event["callId"] for event in listener.events} <= {"call_0001"}
        if "call=" not in query:
            assert [event["type"] for event in listener.events] == ["call.started", "call.ended"]


async def test_a_call_that_was_handed_over_is_gone_for_the_first_channel(gateway: Node, ours: str):
    call = gateway.control.calls["call_0001"]
    call.channel = ChannelPolicy("sales")
    await gateway.happens(call, Type.CALL_HANDED_OFF, {"channelBefore": "reception", "channel": "sales"})
    assert (await gateway.get("/v1/calls/call_0001", ours)).status == 404
    past = await gateway.get("/v1/calls/call_0001/events", ours)
    assert [event["type"] for event in past.body["items"]] == ["call.started"]
    theirs = await gateway.get("/v1/calls/call_0001", await gateway.key(channels=["sales"]))
    assert [event["type"] for event in theirs.body["timeline"]["items"]] == ["call.handedOff"]


async def test_a_key_without_channels_or_of_an_agent_sees_no_call(gateway: Node, ours: str):
    for key in (await gateway.key(channels=[]), await gateway.key(agent="ann")):
        assert (await gateway.get("/v1/calls", key)).body["items"] == []
        assert (await gateway.get("/v1/cdrs", key)).body["items"] == []
        assert (await gateway.get("/v1/calls/call_0001", key)).status == 404


async def test_an_answer_that_is_remembered_is_its_owners(gateway: Node, ours: str):
    both = {"headers": {"Idempotency-Key": "same"}, "json": {"replies": []}}
    admin = await gateway.key()
    assert (await gateway.ask("POST", "/v1/calls/call_0002/replies", admin, **both)).status == 202
    both["headers"] = {"Idempotency-Key": "same"}
    assert (await gateway.ask("POST", "/v1/calls/call_0002/replies", ours, **both)).status == 404


async def test_our_own_call_is_there(gateway: Node, ours: str):
    answer = await gateway.get("/v1/calls/call_0001", ours)
    assert answer.status == 200 and "sales" not in json.dumps(answer.body)
