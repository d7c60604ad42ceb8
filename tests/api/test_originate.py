"""POST /v1/calls, over a real socket: what is taken, and what is refused in which words, also to bound keys."""

import pytest

from gateway.calls.commands import Why
from gateway.engine.placing import NotPlaced
from tests.api.node import Node

TO_BOT = {"to": "+12125550123", "channel": "reception"}
FOR_ANN = {"to": "+12125550123", "agent": "ann", "trunk": "acme"}


async def test_a_call_is_placed_with_all_that_can_be_said(gateway: Node):
    body = {**TO_BOT, "trunk": "acme", "callerId": {"number": "+12125550100", "name": "Shop"}, "timeout": "20",
            "headers": {"X-Why": "parcel"}, "userToUser": "4142", "data": {"a": 1}, "record": False,
            "agent": None}  # fmt: skip
    answer = await gateway.ask("POST", "/v1/calls", await gateway.key(), json=body)
    assert (answer.status, answer.body["direction"], answer.body["state"]) == (202, "outbound", "offered")
    assert answer.body["data"] == {"a": 1} and answer.body["sipCallId"] is None
    [(wanted, by_agent)] = gateway.control.placed
    assert (wanted.channel, wanted.agent, by_agent) == ("reception", None, None)
    switch = wanted.customer()
    assert (switch.phone_number, switch.trunk, switch.timeout_s) == ("+12125550123", "acme", 20)
    assert (switch.headers, switch.user_to_user, switch.data) == ({"X-Why": "parcel"}, ("4142",), {"a": 1})
    assert switch.caller_id.number == "+12125550100"


async def test_the_same_request_places_one_call(gateway: Node):
    key, once = await gateway.key(), {"Idempotency-Key": "order-7"}
    first = await gateway.ask("POST", "/v1/calls", key, json=TO_BOT, headers=once)
    again = await gateway.ask("POST", "/v1/calls", key, json=TO_BOT, headers=once)
    assert (first.status, again.status) == (202, 202) and first.body["id"] == again.body["id"]
    assert len(gateway.control.placed) == 1
    other = await gateway.ask("POST", "/v1/calls", key, json=FOR_ANN, headers=once)
    assert other.problem == (422, "idempotency-key-reused")


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        ({"channel": "reception"}, "call", "exactly one of to, sipUri and contact"),
        ({**TO_BOT, "contact": "lab"}, "call", "exactly one of to, sipUri and contact"),
        ({**TO_BOT, "agent": "ann"}, "call", "exactly one of channel and agent"),
        ({"to": "+1"}, "call", "exactly one of channel and agent"),
        ({**TO_BOT, "record": True}, "record", "recording is not available yet"),
        ({**TO_BOT, "timeout": 0}, "timeout", "must be at least 1"),
        ({**TO_BOT, "callerId": "customer"}, "callerId", "must be bot or an object with a number"),
        ({**TO_BOT, "callerId": {"numbr": "1"}}, "callerId.number", "is missing"),
        ({**TO_BOT, "headers": {"Via": "x"}}, "headers", "Via"),
        ({**TO_BOT, "userToUser": {"data": "xyz"}}, "userToUser.data", "hex"),
        ({**TO_BOT, "chanel": "x"}, "chanel", "did you mean channel?"),
        ({**TO_BOT, "data": {"a": "x" * 16384}}, "data", "16 KiB"),
    ],
)
async def test_a_mistake_is_named(gateway: Node, body: object, path: str, words: str):
    answer = await gateway.ask("POST", "/v1/calls", await gateway.key(), json=body)
    assert answer.problem == (422, "invalid") and gateway.control.placed == []
    assert answer.body["path"] == path and words in answer.body["detail"], answer.body


@pytest.mark.parametrize(
    ("why", "status", "code"),
    [
        ("invalid", 422, "invalid"),
        ("blocked", 403, "blocked"),
        ("forbidden", 403, "forbidden"),
        ("unreachable", 503, "over-limit"),
        ("agent-busy", 409, "agent-busy"),
    ],
)
async def test_why_no_call_was_placed(gateway: Node, why: Why, status: int, code: str):
    gateway.control.not_placed = NotPlaced(why, "to: cannot be", 7)
    answer = await gateway.ask("POST", "/v1/calls", await gateway.key(), json=TO_BOT)
    assert answer.problem == (status, code) and "cannot be" in answer.body["detail"]
    assert answer.headers.get("Retry-After") == ("7" if status == 503 else None)
    assert answer.body.get("path") == ("to" if status == 422 else None)


# ── Bound keys ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_of_a_channel_places_calls_for_it_alone(gateway: Node):
    key = await gateway.key(channels=["reception"])
    assert (await gateway.ask("POST", "/v1/calls", key, json=TO_BOT)).status == 202
    gateway.control.not_placed = NotPlaced("invalid", "channel: there is no such channel for this key")
    absent = await gateway.ask("POST", "/v1/calls", await gateway.key(), json={**TO_BOT, "channel": "nothing"})
    gateway.control.not_placed = None
    others = await gateway.ask("POST", "/v1/calls", key, json={**TO_BOT, "channel": "sales"})
    assert others.problem == (422, "invalid") and others.body == absent.body, "it does not learn that there is one"
    assert (await gateway.ask("POST", "/v1/calls", key, json=FOR_ANN)).problem == (403, "forbidden")
    assert len(gateway.control.placed) == 1


async def test_a_key_of_an_agent_places_calls_for_that_agent_alone(gateway: Node):
    key = await gateway.key(agent="ann")
    assert (await gateway.ask("POST", "/v1/calls", key, json=FOR_ANN)).status == 202
    [(wanted, by_agent)] = gateway.control.placed
    assert (wanted.agent, by_agent) == ("ann", "ann")
    for body in ({**FOR_ANN, "agent": "bob"}, TO_BOT):
        assert (await gateway.ask("POST", "/v1/calls", key, json=body)).problem == (403, "forbidden")
    assert len(gateway.control.placed) == 1
