"""GET /v1/webhooks over a real socket."""

from gateway.api.auth import Scope
from gateway.engine.delivery import WebhookState, WebhookStatus
from tests.api.node import Node


async def test_webhooks_and_how_far_they_are(gateway: Node):
    key = await gateway.key(Scope.ADMIN)
    url = "https://crm.example/status"
    gateway.control.webhooks_there = (
        WebhookStatus(url, ("transfer.*", "call.ended"), ("sales",), WebhookState.DELIVERING, 7, 0, 0.0, 0, None, None),
        WebhookStatus(url + "2", (), (), WebhookState.FAILING, 0, 3, 12.3456, 40, "it answered 503", 1.8e9),
    )
    answer = await gateway.get("/v1/webhooks", key)
    assert (answer.status, answer.body["nextCursor"]) == (200, None)
    well, failing = answer.body["items"]
    assert well == {
        "url": url,
        "events": ["transfer.*", "call.ended"],
        "channels": ["sales"],
        "state": "delivering",
        "delivered": 7,
        "pending": 0,
        "lagMs": 0,
        "behindSeq": 0,
        "lastError": None,
        "lastErrorAt": None,
    }
    assert (failing["state"], failing["pending"], failing["lagMs"], failing["behindSeq"]) == ("failing", 3, 12346, 40)
    assert (failing["lastError"], failing["lastErrorAt"]) == ("it answered 503", "2027-01-15T08:00:00.000Z")


async def test_a_plan_without_webhooks_has_none(gateway: Node):
    assert (await gateway.get("/v1/webhooks", await gateway.key(Scope.ADMIN))).body == {"items": [], "nextCursor": None}
