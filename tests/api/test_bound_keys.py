"""A key that is bound to a channel, or to an agent, finds nothing of other calls, whatever it asks (broken object level
authorization): over every operation that is documented, and by every stream."""

import asyncio
import json
from typing import Any

import pytest

from gateway.calls.history import Type
from gateway.calls.model import Call, ChannelPolicy, Leg, LegId, Role
from gateway.calls.states import CallState, LegState
from tests.api.node import Node
from tests.api.sse import Listener
from tests.fakes.control import a_call

NOWHERE = "call_9999"
OF_A_CALL: dict[tuple[str, str], Any] = {
    ("GET", "/v1/calls/{id}"): None,
    ("DELETE", "/v1/calls/{id}"): None,
    ("POST", "/v1/calls/{id}/replies"): {"replies": []},
    ("POST", "/v1/calls/{id}/transfer"): {"agent": "bob"},
    ("DELETE", "/v1/calls/{id}/transfer"): None,
    ("POST", "/v1/calls/{id}/consult"): {"agent": "bob"},
    ("DELETE", "/v1/calls/{id}/consult"): None,
    **{("POST", f"/v1/calls/{{id}}/{word}"): {} for word in ("swap", "merge", "forward", "hold", "unhold")},
    ("POST", "/v1/calls/{id}/legs"): {"agent": "bob", "role": "agent"},
    ("PATCH", "/v1/calls/{id}/legs/{leg}"): {"muted": True},
    ("DELETE", "/v1/calls/{id}/legs/{leg}"): None,
    ("POST", "/v1/calls/{id}/legs/{leg}/dtmf"): {"digits": "1"},
    ("POST", "/v1/calls/{id}/play"): {"text": "Hello", "to": "all"},
    ("DELETE", "/v1/calls/{id}/play"): None,
    ("GET", "/v1/calls/{id}/events"): None,
}
"""Those that name a call: 404 for one of others. What a good body is."""
LISTS = {("GET", "/v1/calls"), ("GET", "/v1/cdrs"), ("GET", "/v1/transfers")}
"""Those that give many: ours only."""
STREAMS = {("GET", "/v1/events")}
OF_NODE = {
    ("GET", "/v1/trunks"), ("POST", "/v1/dialplan/route"), ("POST", "/v1/dialplan/reload"), ("POST", "/v1/drain"),
    ("GET", "/v1/webhooks"),
}  # fmt: skip
"""Those that no bound key may ask: 403."""
PLACES = {("POST", "/v1/calls")}
"""For a bound key's own channels, or its agent: test_originate.py."""
OF_AGENTS = {("GET", "/v1/agents"), ("PUT", "/v1/agents/{id}/state")}
"""Those that name no call: see below."""


def leg_of_agent(call_id: str) -> str:
    """Of the calls below."""
    number = call_id.removeprefix("call_")
    return f"leg_{number}_{'ann' if call_id in OURS else 'bob'}"


def with_agent(call: Call, agent: str) -> Call:
    """The agent talks to the customer."""
    call.others.append(Leg(LegId(f"{call.customer.id}_{agent}"), Role.AGENT, LegState.CONNECTED, agent=agent))
    call.state = CallState.TALKING
    return call


@pytest.fixture
async def world(gateway: Node) -> None:
    """Of channel `reception`, with Ann in them: call_0001 lives, call_0004 is over. Of `sales`, with Bob: call_0002
    lives, call_0003 is over. Each had a transfer."""
    for number, channel, agent, live in ((1, "reception", "ann", 1), (2, "sales", "bob", 1), (3, "sales", "bob", 0),
                                         (4, "reception", "ann", 0)):  # fmt: skip
        call = with_agent(a_call(number, channel), agent)
        if live:
            gateway.control.add(call)
            await gateway.happens(call, Type.CALL_STARTED)
        await gateway.happens(call, Type.TRANSFER_ENDED, {**TRANSFER})
        if not live:
            await gateway.over(call)


@pytest.fixture(params=[{"channels": ["reception"]}, {"agent": "ann"}], ids=["channel", "agent"])
async def bound(gateway: Node, world: None, request: pytest.FixtureRequest) -> str:
    """A key that sees call_0001 and call_0004."""
    return await gateway.key(**request.param)


TRANSFER: dict[str, Any] = {
    "status": "SUCCESS", "hangup": False, "number": "+1", "transferId": "xfer_1", "method": "invite",
    "reason": "completed", "sipStatus": 200, "sipReason": "OK", "assumed": False, "endedBy": "agent", "ringMs": 1,
    "talkMs": 2, "answeredAt": None, "humanConnectedAt": None, "attempts": [], "hops": [], "warnings": [],
}  # fmt: skip
OURS = {"call_0001", "call_0004"}


async def test_every_documented_operation_is_in_one_of_these_tables(gateway: Node):
    paths = (await gateway.get("/openapi.json")).body["paths"]
    documented = {(m.upper(), path) for path, methods in paths.items() for m in methods if path.startswith("/v1")}
    tables = [OF_A_CALL.keys(), LISTS, STREAMS, OF_NODE, PLACES, OF_AGENTS]
    assert documented == set().union(*tables) and sum(map(len, tables)) == len(documented)


@pytest.mark.parametrize("call_id", ["call_0002", "call_0003"])
@pytest.mark.parametrize(("method", "path"), OF_A_CALL)
async def test_a_call_of_others_is_as_one_that_never_was(
    gateway: Node, bound: str, method: str, path: str, call_id: str
):
    for body in {json.dumps(OF_A_CALL[method, path]), json.dumps({"replies": [{"type": "nonsense"}]})}:
        given = None if method in ("GET", "DELETE") else json.loads(body)
        theirs = await gateway.ask(method, path.format(id=call_id, leg=leg_of_agent(call_id)), bound, json=given)
        nobodys = await gateway.ask(method, path.format(id=NOWHERE, leg="leg_1"), bound, json=given)
        assert theirs.problem == (404, "not-found")
        assert theirs.body == nobodys.body
    control = gateway.control
    assert not (control.hung_up or control.pushed or control.transfers or control.orders)


@pytest.mark.parametrize(("method", "path"), OF_A_CALL)
async def test_a_call_of_ours_is_there(gateway: Node, bound: str, method: str, path: str):
    for call_id in OURS:
        named = path.format(id=call_id, leg=leg_of_agent(call_id))
        answer = await gateway.ask(method, named, bound, json=OF_A_CALL[method, path])
        assert answer.status in (200, 202, 409) or (path.endswith("/replies") and answer.status == 403)


@pytest.mark.usefixtures("world")
async def test_an_agent_is_no_bot(gateway: Node):
    replies = {"replies": [{"type": "hangup"}]}
    path = "/v1/calls/call_0001/replies"
    agents, channels = await gateway.key(agent="ann"), await gateway.key(channels=["reception"])
    assert (await gateway.ask("POST", path, agents, json=replies)).problem == (403, "forbidden")
    assert gateway.control.pushed == []
    assert (await gateway.ask("POST", path, channels, json=replies)).status == 202


@pytest.mark.parametrize(("method", "path"), LISTS)
@pytest.mark.parametrize("query", ["", "?channel=sales", "?agent=bob", "?call=call_0002", "?trunk=acme", "?limit=1"])
async def test_lists_are_of_our_calls(gateway: Node, bound: str, method: str, path: str, query: str):
    answer = await gateway.get(path + query, bound)
    if answer.status == 422:
        return  # this list knows no such parameter
    assert answer.status == 200 and {item.get("callId", item.get("id")) for item in answer.body["items"]} <= OURS
    if not query:
        assert answer.body["items"]


async def test_a_channels_key_may_ask_for_an_agents_calls(gateway: Node, bound: str):
    (call,) = (await gateway.get("/v1/calls?agent=ann", bound)).body["items"]
    assert call["id"] == "call_0001" and [leg["agent"] for leg in call["legs"]] == [None, "ann"]


@pytest.mark.parametrize("query", ["?after=0", "?after=0&call=call_0002", "?after=0&types=call.*"])
@pytest.mark.parametrize(("method", "path"), STREAMS)
async def test_streams_are_of_our_calls(gateway: Node, bound: str, method: str, path: str, query: str):
    async with Listener.on(gateway, bound, query) as listener:
        for number in (2, 1):
            await gateway.happens(gateway.control.calls[f"call_000{number}"], Type.CALL_ENDED)
        if "call=" in query:
            await asyncio.sleep(0.2)
            assert listener.events == []
            return
        while listener.events[-1:] == [] or listener.events[-1]["type"] != "call.ended" or len(listener.events) < 3:
            await asyncio.sleep(0.01)
        assert {event["callId"] for event in listener.events} == OURS


@pytest.mark.parametrize(("method", "path"), OF_NODE)
async def test_the_node_is_not_for_bound_keys(gateway: Node, bound: str, method: str, path: str):
    body = {"to": "1"} if method == "POST" else None
    assert (await gateway.ask(method, path, bound, json=body)).problem == (403, "forbidden")
    assert gateway.control.drains == gateway.control.reloads == 0


async def test_agents_are_seen_but_not_the_calls_of_others(gateway: Node, bound: str):
    items = (await gateway.get("/v1/agents", bound)).body["items"]
    assert [(item["id"], item["state"], item["callId"], item["legId"]) for item in items] == [
        ("ann", "busy", "call_0001", "leg_0001_ann"), ("bob", "busy", None, None),
    ]  # fmt: skip


async def test_an_agents_key_says_of_that_agent_alone_where_they_are(gateway: Node, world: None):
    ann = await gateway.key(agent="ann")
    for agent in ("bob", "nobody"):
        answer = await gateway.ask("PUT", f"/v1/agents/{agent}/state", ann, json={"state": "away"})
        assert answer.problem == (404, "not-found")
    assert (await gateway.ask("PUT", "/v1/agents/ann/state", ann, json={"state": "away"})).status == 200
    assert gateway.control.away == {"ann"}


async def test_both_bonds_hold(gateway: Node, world: None):
    neither = await gateway.key(channels=["sales"], agent="ann")
    assert (await gateway.get("/v1/calls", neither)).body["items"] == []
    assert (await gateway.get("/v1/calls/call_0004", neither)).status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", ""), ("POST", "/transfer"), ("DELETE", "/transfer"), ("POST", "/consult"), ("POST", "/hold")],
)
async def test_what_an_agents_key_commands_is_for_that_agent(gateway: Node, world: None, method: str, path: str):
    ann = await gateway.key(agent="ann")
    body = OF_A_CALL.get((method, "/v1/calls/{id}" + path))
    await gateway.ask(method, f"/v1/calls/call_0001{path}", ann, json=body)
    assert gateway.control.for_whom == ["ann"]


async def test_a_call_that_the_agent_has_left_is_gone_but_not_its_record(gateway: Node, world: None):
    ann, call = await gateway.key(agent="ann"), gateway.control.calls["call_0001"]
    call.others[0].state = LegState.ENDED
    call.others.append(Leg(LegId("leg_b"), Role.AGENT, LegState.CONNECTED, agent="bob"))
    await gateway.happens(call, Type.DTMF_RECEIVED, {"digit": "1"})
    assert (await gateway.get("/v1/calls/call_0001", ann)).status == 404
    past = await gateway.get("/v1/calls/call_0001/events", ann)
    assert [event["type"] for event in past.body["items"]] == ["call.started", "transfer.ended"]
    assert (await gateway.get("/v1/calls/call_0004", ann)).body["cdr"]["callId"] == "call_0004"


@pytest.fixture
async def ours(gateway: Node) -> str:
    """A key of channel `reception`; a live call of `sales` is call_0002, one that is over is call_0003."""
    gateway.control.add(a_call(1, "reception"))
    gateway.control.add(a_call(2, "sales"))
    await gateway.happens(a_call(1, "reception"), Type.CALL_STARTED)
    await gateway.happens(a_call(2, "sales"), Type.CALL_STARTED)
    await gateway.over(a_call(3, "sales"))
    return await gateway.key(channels=["reception"])


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
