"""What an agent does in a call, over a real socket: what is taken, what is refused and with which words."""

import asyncio

import pytest

from gateway.api.auth import Scope
from gateway.calls.model import Call, Leg, LegId, Role
from gateway.calls.orders import EndConsult, Forward, Hold, Merge, Order, Swap
from gateway.calls.states import CallState, ConsultState, LegState
from tests.api.node import Node
from tests.fakes.control import a_call

PATH = "/v1/calls/call_0001"
BOB = {"phoneNumber": "+16125550100"}


@pytest.fixture
async def key(gateway: Node) -> str:
    """A key that may do all."""
    return await gateway.key()


def a_talk(gateway: Node, consult: ConsultState = ConsultState.NONE) -> Call:
    """The customer talks to an agent."""
    call = gateway.control.add(a_call(1))
    call.state, call.consult = CallState.TALKING, consult
    call.customer.state = LegState.CONNECTED
    call.others.append(Leg(LegId("leg_agent"), Role.AGENT, LegState.CONNECTED))
    return call


async def test_an_agent_asks_somebody(gateway: Node, key: str):
    a_talk(gateway)
    body = {**BOB, "timeout": "20", "headers": {"X-Why": "refund"}, "userToUser": "4142", "note": "A refund",
            "onAgentHangup": "end", "legId": "leg_agent", "sipUri": None}  # fmt: skip
    answer = await gateway.ask("POST", f"{PATH}/consult", key, json=body)
    assert (answer.status, answer.body["consultState"]) == (202, "dialling")
    assert answer.body["allowed"] == ["forward", "end-consult", "legs", "play", "hangup"]
    [(call_id, order)] = gateway.control.orders
    assert call_id == "call_0001" and (order.on_agent_hangup, order.agent) == ("end", "leg_agent")
    target = order.target
    assert (target.phone_number, target.timeout_s, target.headers) == ("+16125550100", 20, {"X-Why": "refund"})
    assert (target.user_to_user, target.note) == (("4142",), "A refund")
    shown = (await gateway.get(PATH, key)).body
    listed = (await gateway.get("/v1/calls", key)).body["items"][0]
    assert shown["consultState"] == listed["consultState"] == "dialling"


@pytest.mark.parametrize("target", [{"agent": "ann"}, {"contact": "lab"}, {"sipUri": "sip:bob@192.0.2.9"}])
async def test_whom_an_agent_may_ask(gateway: Node, key: str, target: dict[str, str]):
    a_talk(gateway)
    assert (await gateway.ask("POST", f"{PATH}/consult", key, json=target)).status == 202
    [(_, order)] = gateway.control.orders
    given = order.target.model_dump(by_alias=True, include={"agent", "contact", "sip_uri"}, exclude_none=True)
    assert given == target and order.on_agent_hangup is None, "as the channel says"


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        ({}, "consult", "exactly one of phoneNumber, sipUri, agent and contact"),
        ({**BOB, "agent": "ann"}, "consult", "exactly one of phoneNumber"),
        ({"queue": "sales"}, "queue", "queues are not available yet"),
        ({**BOB, "timeout": 301}, "timeout", "300"),
        ({**BOB, "onAgentHangup": "wait"}, "onAgentHangup", "must be one of forward, end"),
        ({**BOB, "announce": "Hi"}, "announce", "unknown field"),
        ({**BOB, "timout": 5}, "timout", "did you mean timeout?"),
        ({**BOB, "headers": {"Via": "x"}}, "headers", "Via"),
        ({**BOB, "userToUser": {"data": "xyz"}}, "userToUser.data", "hex"),
        ({**BOB, "legId": "leg_nobody"}, "legId", "no such leg"),
    ],
)
async def test_a_mistake_in_a_consult_is_named(gateway: Node, key: str, body: object, path: str, words: str):
    a_talk(gateway)
    answer = await gateway.ask("POST", f"{PATH}/consult", key, json=body)
    assert answer.problem == (422, "invalid") and gateway.control.orders == []
    assert answer.body["path"] == path and words in answer.body["detail"], answer.body


@pytest.mark.parametrize(
    ("method", "word", "order", "consult"),
    [
        ("POST", "swap", Swap(), ConsultState.CONSULTING),
        ("POST", "merge", Merge(), ConsultState.SWAPPED),
        ("POST", "forward", Forward(), ConsultState.MERGED),
        ("DELETE", "consult", EndConsult(), ConsultState.DIALLING),
        ("POST", "hold", Hold(on=True), ConsultState.MERGED),
    ],
)
async def test_what_an_agent_does(gateway: Node, key: str, method: str, word: str, order: Order, consult: ConsultState):
    a_talk(gateway, consult)
    answer = await gateway.ask(method, f"{PATH}/{word}", key)
    assert (answer.status, answer.body["id"]) == (202, "call_0001") and gateway.control.orders == [("call_0001", order)]


async def test_any_leg_is_held_and_let_go(gateway: Node, key: str):
    a_talk(gateway).customer.held = True
    assert (await gateway.ask("POST", f"{PATH}/unhold", key, json={})).status == 202
    assert (await gateway.ask("POST", f"{PATH}/hold", key, json={"legId": "leg_agent"})).status == 202
    assert [order for _, order in gateway.control.orders] == [Hold(on=False), Hold(on=True, leg=LegId("leg_agent"))]
    wrong = await gateway.ask("POST", f"{PATH}/hold", key, json={"legId": "leg_nobody"})
    assert wrong.problem == (422, "invalid") and wrong.body["path"] == "legId"
    for body in ({"leg": "leg_agent"}, {"legId": ""}):
        assert (await gateway.ask("POST", f"{PATH}/hold", key, json=body)).problem == (422, "invalid")
    assert (await gateway.ask("POST", f"{PATH}/swap", key, json={"legId": "x"})).problem == (422, "invalid")


WORDS = (("POST", "consult"), ("DELETE", "consult"), ("POST", "swap"), ("POST", "merge"), ("POST", "forward"),
         ("POST", "hold"), ("POST", "unhold"))  # fmt: skip
TAKEN = {
    ConsultState.NONE: {"POST consult", "POST hold"},
    ConsultState.DIALLING: {"DELETE consult", "POST forward"},
    ConsultState.CONSULTING: {"DELETE consult", "POST forward", "POST swap", "POST merge"},
    ConsultState.SWAPPED: {"DELETE consult", "POST forward", "POST swap", "POST merge"},
    ConsultState.MERGED: {"DELETE consult", "POST forward", "POST hold"},
}


@pytest.mark.parametrize("consult", ConsultState)
async def test_what_each_state_takes(gateway: Node, key: str, consult: ConsultState):
    for method, word in WORDS:
        a_talk(gateway, consult)
        answer = await gateway.ask(method, f"{PATH}/{word}", key, json=BOB if (method, word) == WORDS[0] else None)
        if f"{method} {word}" in TAKEN[consult]:
            assert answer.status == 202, word
        else:
            assert answer.problem == (409, "illegal-state"), word
            assert (answer.body["state"], answer.body["consultState"]) == ("talking", consult.value)
            told = {"end-consult" if each == "DELETE consult" else each.split()[1] for each in TAKEN[consult]}
            assert told == {*answer.body["allowed"]} - {"transfer", "legs", "play", "hangup"}


@pytest.mark.parametrize(("method", "word"), WORDS)
async def test_other_calls_other_channels_and_other_keys(gateway: Node, method: str, word: str):
    a_talk(gateway, ConsultState.CONSULTING)
    await gateway.over(a_call(2))
    body = BOB if (method, word) == WORDS[0] else None
    foreign, reader = await gateway.key(channels=["sales"]), await gateway.key(Scope.CALLS_READ)
    key = await gateway.key()
    assert (await gateway.ask(method, f"{PATH}/{word}", foreign, json=body)).problem == (404, "not-found")
    assert (await gateway.ask(method, f"/v1/calls/call_0009/{word}", key, json=body)).problem == (404, "not-found")
    assert (await gateway.ask(method, f"{PATH}/{word}", reader, json=body)).problem == (403, "forbidden")
    over = await gateway.ask(method, f"/v1/calls/call_0002/{word}", key, json=body)
    assert over.problem == (409, "illegal-state")
    assert (over.body["state"], over.body["consultState"], over.body["allowed"]) == ("ended", "none", [])
    assert gateway.control.orders == []


async def test_the_same_consult_twice_is_one(gateway: Node, key: str):
    a_talk(gateway)
    asked = {"json": BOB, "headers": {"Idempotency-Key": "one"}}
    first = await gateway.ask("POST", f"{PATH}/consult", key, **asked)
    again = await gateway.ask("POST", f"{PATH}/consult", key, **asked)
    assert (first.status, again.status, again.body) == (202, 202, first.body) and len(gateway.control.orders) == 1


async def test_two_at_once_are_one_and_a_refusal(gateway: Node, key: str):
    a_talk(gateway)
    both = await asyncio.gather(*(gateway.ask("POST", f"{PATH}/consult", key, json=BOB) for _ in range(2)))
    assert sorted(answer.status for answer in both) == [202, 409] and len(gateway.control.orders) == 1
