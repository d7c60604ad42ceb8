"""Who may do what: keys, scopes, rates; over a real socket, for every endpoint that is documented."""

from pathlib import Path

import pytest

from gateway.api.auth import Scope
from gateway.api.v1 import ApiLimits
from tests.api.node import Node, a_node
from tests.fakes.control import a_call

EITHER = (Scope.CALLS_CONTROL, Scope.SUPERVISE)
"""Which of the two depends on whose leg it is."""
ENDPOINTS: dict[tuple[str, str], Scope | tuple[Scope, ...]] = {
    ("GET", "/v1/calls"): Scope.CALLS_READ,
    ("POST", "/v1/calls"): Scope.CALLS_CONTROL,
    ("GET", "/v1/calls/call_0001"): Scope.CALLS_READ,
    ("DELETE", "/v1/calls/call_0001"): Scope.CALLS_CONTROL,
    ("POST", "/v1/calls/call_0001/replies"): Scope.BOT_REPLY,
    ("POST", "/v1/calls/call_0001/transfer"): Scope.CALLS_CONTROL,
    ("DELETE", "/v1/calls/call_0001/transfer"): Scope.CALLS_CONTROL,
    ("DELETE", "/v1/calls/call_0001/consult"): Scope.CALLS_CONTROL,
    **{
        ("POST", f"/v1/calls/call_0001/{word}"): Scope.CALLS_CONTROL
        for word in ("consult", "swap", "merge", "forward", "hold", "unhold")
    },
    ("POST", "/v1/calls/call_0001/legs"): EITHER,
    ("PATCH", "/v1/calls/call_0001/legs/leg_1"): EITHER,
    ("DELETE", "/v1/calls/call_0001/legs/leg_1"): EITHER,
    ("POST", "/v1/calls/call_0001/legs/leg_1/dtmf"): EITHER,
    ("POST", "/v1/calls/call_0001/play"): Scope.CALLS_CONTROL,
    ("DELETE", "/v1/calls/call_0001/play"): Scope.CALLS_CONTROL,
    ("GET", "/v1/calls/call_0001/events"): Scope.CALLS_READ,
    ("GET", "/v1/agents"): Scope.AGENTS,
    ("PUT", "/v1/agents/ann/state"): Scope.AGENTS,
    ("GET", "/v1/cdrs"): Scope.CALLS_READ,
    ("GET", "/v1/transfers"): Scope.CALLS_READ,
    ("GET", "/v1/events"): Scope.CALLS_READ,
    ("GET", "/v1/trunks"): Scope.CALLS_READ,
    ("GET", "/v1/webhooks"): Scope.ADMIN,
    ("POST", "/v1/dialplan/route"): Scope.ADMIN,
    ("POST", "/v1/dialplan/reload"): Scope.ADMIN,
    ("POST", "/v1/drain"): Scope.ADMIN,
}
OF_NODE = [
    ("GET", "/v1/trunks"),
    ("GET", "/v1/webhooks"),
    ("POST", "/v1/dialplan/route"),
    ("POST", "/v1/dialplan/reload"),
    ("POST", "/v1/drain"),
]


async def test_the_table_has_every_documented_endpoint(gateway: Node):
    document = (await gateway.get("/openapi.json")).body
    documented = {
        (
            method.upper(),
            path.replace("/agents/{id}", "/agents/ann").replace("{id}", "call_0001").replace("{leg}", "leg_1"),
        )
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith("/v1")
    }
    assert documented == ENDPOINTS.keys()


@pytest.mark.parametrize("half", [0, 1])  # so many in a minute, and whoever tries is not heard any more
async def test_without_a_key_there_is_nothing(gateway: Node, half: int):
    for method, path in [*ENDPOINTS, ("GET", "/v1"), ("GET", "/v1/nothing"), ("OPTIONS", "/v1/calls")][half::2]:
        answer = await gateway.ask(method, path)
        assert answer.problem == (401, "unauthenticated"), path
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="switchhook"'


@pytest.mark.parametrize(
    "given",
    ["Bearer shk_wrong-but-long-enough", "Bearer", "Bearer  ", "Basic dXNlcjpwYXNz", "shk_x", "Bearer a b c d e f g h"],
)
async def test_a_wrong_key_is_no_key(gateway: Node, given: str):
    answer = await gateway.get("/v1/calls", headers={"Authorization": given})
    assert answer.problem == (401, "unauthenticated")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert "shk_" not in str(answer.body)


async def test_a_key_in_the_query_is_no_key(gateway: Node):
    key = await gateway.key()
    assert (await gateway.get(f"/v1/calls?access_token={key}")).status == 401


async def test_two_keys_are_no_key(gateway: Node):
    key = await gateway.key()
    async with gateway.session.get(
        gateway.url + "/v1/calls", headers=[("Authorization", f"Bearer {key}"), ("Authorization", f"Bearer {key}")]
    ) as answer:
        assert answer.status == 401


async def test_every_endpoint_wants_its_scope(gateway: Node):
    gateway.control.add(a_call(1))
    for (method, path), scope in ENDPOINTS.items():
        scopes = scope if isinstance(scope, tuple) else (scope,)
        lacking = await gateway.key(*(other for other in Scope if other not in scopes))
        answer = await gateway.ask(method, path, lacking)
        scope = scopes[0]
        assert answer.problem == (403, "forbidden") and answer.body["scope"] == scope.value, path
        assert f'scope="{scope.value}"' in answer.headers["WWW-Authenticate"]
    assert (
        gateway.control.hung_up == gateway.control.pushed == gateway.control.placed == []
        and gateway.control.reloads == 0
    )


async def test_one_scope_is_enough(gateway: Node):
    gateway.control.add(a_call(1))
    for (method, path), scope in ENDPOINTS.items():
        if path == "/v1/events":
            continue  # it does not end
        body = {"POST /v1/calls/call_0001/replies": {"replies": []}, "POST /v1/dialplan/route": {"to": "1"}}
        key = await gateway.key(*(scope if isinstance(scope, tuple) else (scope,)))
        answer = await gateway.ask(method, path, key, json=body.get(f"{method} {path}"))
        assert answer.status not in (401, 403), (path, answer)
        gateway.control.calls["call_0001"] = a_call(1)


async def test_a_revoked_key_is_of_no_use_at_once(gateway: Node):
    key = await gateway.key()
    assert (await gateway.get("/v1/calls", key)).status == 200
    await gateway.store.keys.revoke("key1", 1.0)
    assert (await gateway.get("/v1/calls", key)).status == 401


@pytest.mark.parametrize(("method", "path"), OF_NODE)
async def test_what_concerns_the_node_is_not_for_bound_keys(gateway: Node, method: str, path: str):
    for key in (await gateway.key(channels=["reception"]), await gateway.key(agent="ann")):
        assert (await gateway.ask(method, path, key)).problem == (403, "forbidden")


async def test_health_needs_no_key(gateway: Node):
    assert (await gateway.get("/healthz")).status == 200
    assert (await gateway.get("/readyz")).status == 200


async def test_browsers_of_other_sites_are_told_nothing(gateway: Node):
    key = await gateway.key()
    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}
    for answer in (
        await gateway.get("/v1/calls", key, headers=origin),
        await gateway.ask("OPTIONS", "/v1/calls", key, headers=origin),
        await gateway.get("/healthz", headers=origin),
    ):
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


async def test_no_answer_tells_versions_or_may_be_kept(gateway: Node):
    answer = await gateway.get("/v1/calls", await gateway.key())
    assert answer.headers["Server"] == "Switchhook" and answer.headers["Cache-Control"] == "no-store"


async def test_a_key_has_its_rate_and_others_have_theirs(tmp_path: Path):
    async with a_node(tmp_path, ApiLimits(per_s=0.5, burst=3)) as node:
        fast, other = await node.key(), await node.key()
        assert [(await node.get("/v1/calls", fast)).status for _ in range(4)] == [200, 200, 200, 429]
        refused = await node.get("/v1/calls", fast)
        assert refused.problem == (429, "rate-limited") and int(refused.headers["Retry-After"]) in (1, 2)
        assert (await node.get("/v1/calls", other)).status == 200


async def test_who_guesses_is_slowed_down_and_a_good_key_is_not(gateway: Node):
    statuses = [(await gateway.get("/v1/calls", f"shk_guess-number-{i}")).status for i in range(22)]
    assert statuses[:20] == [401] * 20 and statuses[-1] == 429
    assert (await gateway.get("/v1/calls", await gateway.key())).status == 200
