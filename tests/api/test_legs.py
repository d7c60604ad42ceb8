"""Legs and announcements: what is taken, what it orders, and how a mistake is named; over a real socket."""

import pytest
import pytest_asyncio

from gateway.api.auth import Scope
from gateway.api.control import NotNow
from gateway.calls.commands import PlayUrl, TurnDown, Why
from gateway.calls.model import Call, Leg, LegId, Role, Spoken, SupervisorMode
from gateway.calls.orders import AddLeg, ChangeLeg, PlayAnnouncement, PressKeys, ReleaseLeg, StopAnnouncement
from gateway.calls.states import CallState, LegState
from tests.api.node import Node
from tests.fakes.control import a_call

PATH = "/v1/calls/call_0001"
BOB = {"phoneNumber": "+16125550100"}


@pytest_asyncio.fixture
async def key(gateway: Node) -> str:
    return await gateway.key(Scope.CALLS_READ, Scope.CALLS_CONTROL, Scope.SUPERVISE)


@pytest.fixture
def talk(gateway: Node) -> Call:
    """A customer, an agent and a supervisor."""
    call = gateway.control.add(a_call(1, state=CallState.TALKING))
    call.customer.state = LegState.CONNECTED
    call.others += [
        Leg(LegId("leg_agent"), Role.AGENT, LegState.CONNECTED, agent="ann"),
        Leg(LegId("leg_sue"), Role.SUPERVISOR, LegState.CONNECTED),
        Leg(LegId("leg_gone"), Role.AGENT, LegState.ENDED),
    ]
    return call


@pytest.mark.usefixtures("talk")
async def test_who_shall_join(gateway: Node, key: str):
    body = {"agent": "bob", "role": "supervisor", "mode": "whisper", "whisperTo": "leg_agent", "timeout": 20}
    answer = await gateway.ask("POST", f"{PATH}/legs", key, json=body)
    [(_, order)] = gateway.control.orders
    assert answer.status == 202 and isinstance(order, AddLeg)
    assert answer.body["legId"] == order.leg_id and answer.body["id"] == "call_0001"
    assert (order.role, order.mode, order.whisper_to) == (Role.SUPERVISOR, SupervisorMode.WHISPER, "leg_agent")
    assert (order.target.agent, order.target.timeout_s) == ("bob", 20)
    await gateway.ask("POST", f"{PATH}/legs", key, json=BOB)
    assert gateway.control.orders[1][1].role is Role.AGENT


@pytest.mark.usefixtures("talk")
async def test_what_is_done_to_one_leg(gateway: Node, key: str):
    for method, path, body in (
        ("PATCH", "legs/leg_agent", {"muted": True, "held": False}),
        ("PATCH", "legs/leg_sue", {"mode": "barge", "whisperTo": "leg_agent"}),
        ("DELETE", "legs/leg_agent", None),
        ("POST", "legs/leg_agent/dtmf", {"digits": "1w#"}),
    ):
        assert (await gateway.ask(method, f"{PATH}/{path}", key, json=body)).status == 202, path
    assert [order for _, order in gateway.control.orders] == [
        ChangeLeg(LegId("leg_agent"), muted=True, held=False),
        ChangeLeg(LegId("leg_sue"), mode=SupervisorMode.BARGE, whisper_to=LegId("leg_agent")),
        ReleaseLeg(LegId("leg_agent")),
        PressKeys(LegId("leg_agent"), "1w#"),
    ]


@pytest.mark.usefixtures("talk")
async def test_announcements(gateway: Node, key: str):
    for body in (
        {"text": "Hello"}, {"prompt": "closed", "to": "leg_agent"}, {"url": "https://a.example/b.wav", "loop": True},
    ):  # fmt: skip
        assert (await gateway.ask("POST", f"{PATH}/play", key, json=body)).status == 202
    assert (await gateway.ask("DELETE", f"{PATH}/play", key)).status == 202
    assert [order for _, order in gateway.control.orders] == [
        PlayAnnouncement(Spoken(text="Hello")),
        PlayAnnouncement(Spoken(prompt="closed"), LegId("leg_agent")),
        PlayAnnouncement(PlayUrl("https://a.example/b.wav"), loop=True),
        StopAnnouncement(),
    ]


@pytest.mark.parametrize(
    ("method", "path", "body", "where", "words"),
    [
        ("POST", "legs", {}, "leg", "exactly one of phoneNumber, sipUri, agent and contact"),
        ("POST", "legs", {**BOB, "role": "customer"}, "role", "must be one of agent, supervisor"),
        ("POST", "legs", {**BOB, "mode": "barge"}, "mode", "role: supervisor"),
        ("POST", "legs", {**BOB, "role": "supervisor", "mode": "talk"}, "mode", "monitor, whisper or barge"),
        ("POST", "legs", {**BOB, "whisperTo": "leg_agent"}, "whisperTo", "role: supervisor"),
        ("POST", "legs", {**BOB, "whisper": "x"}, "whisper", "did you mean whisperTo?"),
        ("PATCH", "legs/leg_agent", {}, "", "at least one of muted, held, mode and whisperTo"),
        ("PATCH", "legs/leg_agent", {"muted": "yes it is"}, "muted", "boolean"),
        ("PATCH", "legs/leg_sue", {"mode": "talk"}, "mode", "must be one of"),
        ("DELETE", "legs/leg_0001", None, "leg", "DELETE /v1/calls/{id} ends the call"),
        ("POST", "legs/leg_agent/dtmf", {"digits": "12x"}, "digits", "must be 1 to 64 of 0-9"),
        ("POST", "play", {}, "", "exactly one of text, url and prompt"),
        ("POST", "play", {"text": "a", "url": "https://a.example/b"}, "", "exactly one of text, url and prompt"),
        ("POST", "play", {"url": "file:///etc/passwd"}, "url", "must start with http:// or https://"),
        ("POST", "play", {"prompt": "../x"}, "prompt", "must be the name of a prompt"),
        ("POST", "play", {"text": "a", "to": "leg_nobody"}, "to", "the call has no such leg"),
        ("POST", "play", {"text": "a", "to": "leg_gone"}, "to", "the call has no such leg"),
    ],
)
@pytest.mark.usefixtures("talk")
async def test_a_mistake_is_named(
    gateway: Node, key: str, method: str, path: str, body: object, where: str, words: str
):
    answer = await gateway.ask(method, f"{PATH}/{path}", key, json=body)
    assert answer.problem == (422, "invalid"), answer.body
    assert answer.body["path"] == where and words in answer.body["detail"], answer.body
    assert gateway.control.orders == []


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("leg", ["leg_nobody", "leg_gone", "%2e%2e"])
@pytest.mark.usefixtures("talk")
async def test_a_leg_that_is_not_there(gateway: Node, key: str, method: str, leg: str):
    answer = await gateway.ask(method, f"{PATH}/legs/{leg}", key, json={"muted": True})
    assert answer.problem == (404, "not-found") and gateway.control.orders == []


@pytest.mark.parametrize(
    ("why", "status", "code"),
    [
        ("agent-busy", 409, "agent-busy"), ("forbidden", 403, "forbidden"), ("blocked", 403, "blocked"),
        ("invalid", 422, "invalid"), ("unreachable", 503, "over-limit"), ("state", 409, "illegal-state"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("talk")
async def test_why_it_is_not_taken(gateway: Node, key: str, why: Why, status: int, code: str):
    gateway.control.turns_down = NotNow(TurnDown("legs", why, "agent: bob is on a call"))
    answer = await gateway.ask("POST", f"{PATH}/legs", key, json=BOB)
    assert answer.problem == (status, code), answer.body
    assert code == "illegal-state" or "bob is on a call" in answer.body["detail"]


@pytest.mark.usefixtures("talk")
async def test_supervisors_are_for_those_who_may_supervise(gateway: Node):
    desktop, supervisor = await gateway.key(Scope.CALLS_CONTROL), await gateway.key(Scope.SUPERVISE)
    listens = {**BOB, "role": "supervisor"}
    for key, body, scope in ((desktop, listens, "supervise"), (supervisor, BOB, "calls:control")):
        answer = await gateway.ask("POST", f"{PATH}/legs", key, json=body)
        assert answer.problem == (403, "forbidden") and answer.body["scope"] == scope
    for key, leg, scope in ((desktop, "leg_sue", "supervise"), (supervisor, "leg_agent", "calls:control")):
        for method, path, body in (
            ("PATCH", "", {"muted": True}),
            ("DELETE", "", None),
            ("POST", "/dtmf", {"digits": "1"}),
        ):
            answer = await gateway.ask(method, f"{PATH}/legs/{leg}{path}", key, json=body)
            assert answer.problem == (403, "forbidden") and answer.body["scope"] == scope, (method, leg)
    assert gateway.control.orders == []
    assert (await gateway.ask("POST", f"{PATH}/legs", supervisor, json=listens)).status == 202
    assert (await gateway.ask("PATCH", f"{PATH}/legs/leg_agent", desktop, json={"muted": True})).status == 202
