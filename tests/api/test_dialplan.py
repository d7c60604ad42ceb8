"""/v1/trunks and /v1/dialplan over a real socket."""

import pytest

from gateway.dialplan.parse import load_text
from tests.api.node import Node
from tests.fakes.control import PLAN, a_call


@pytest.fixture
async def key(gateway: Node) -> str:
    return await gateway.key()


async def test_trunks_and_their_calls(gateway: Node, key: str):
    gateway.control.add(a_call(1))
    answer = (await gateway.get("/v1/trunks", key)).body
    assert [(trunk["name"], trunk["state"], trunk["calls"]) for trunk in answer["items"]] == [
        ("acme", "up", 1),
        ("other", "up", 0),
    ]
    assert answer["nextCursor"] is None and answer["items"][0]["since"] == "2027-01-15T08:00:00.000Z"


@pytest.mark.parametrize(
    ("to", "decision"),
    [
        ("+12125550100", {"decision": "channel", "channel": "reception", "route": 0}),
        ("200", {"decision": "channel", "channel": "sales", "route": 1}),
        ("300", {"decision": "prompt", "say": "We are closed.", "route": 2}),
        ("999", {"decision": "refuse", "sipStatus": 404, "route": None}),
    ],
)
async def test_where_a_call_would_go(gateway: Node, key: str, to: str, decision: dict[str, object]):
    body = {"to": to, "from": "+1", "trunk": "other", "at": "2026-11-21T10:00:00+01:00"}
    answer = await gateway.ask("POST", "/v1/dialplan/route", key, json=body)
    assert answer.status == 200 and answer.body.items() >= decision.items() and answer.body["steps"]


async def test_a_call_would_go_to_an_agent(gateway: Node, key: str):
    agents = 'agents: {ann: {name: Ann, target: "sip:ann@192.0.2.9", trunk: acme}}\n'
    gateway.control.plan = load_text(PLAN + '  - {to: "802", agent: ann}\n' + agents)
    answer = await gateway.ask("POST", "/v1/dialplan/route", key, json={"to": "802"})
    assert (answer.body["decision"], answer.body["agent"], answer.body["route"]) == ("agent", "ann", 3)


async def test_reload(gateway: Node, key: str):
    gateway.control.files = PLAN + '  - {to: "400", channel: sales}\n'
    answer = await gateway.ask("POST", "/v1/dialplan/reload", key)
    assert (answer.status, answer.body) == (200, {"trunks": 2, "channels": 2, "routes": 4})


async def test_a_bad_file_is_told_by_line_and_changes_nothing(gateway: Node, key: str):
    gateway.control.files = PLAN.replace("channel: sales", "channel: sails") + "nonsense: 1\n"
    answer = await gateway.ask("POST", "/v1/dialplan/reload", key)
    assert answer.problem == (422, "bad-dialplan")
    assert [(one["file"], one["line"], one["path"]) for one in answer.body["problems"]] == [
        ("dialplans/plan.yaml", 9, "routes[1].channel"),
        ("dialplans/plan.yaml", 11, "nonsense"),
    ]
    assert answer.body["detail"].startswith("dialplans/plan.yaml:9: ")
    assert gateway.control.reloads == 0
    routed = await gateway.ask("POST", "/v1/dialplan/route", key, json={"to": "200"})
    assert routed.body["channel"] == "sales"
