"""GET /v1/webhooks: how the status webhooks are, for keys that are bound to nothing; mounted by v1.py."""

from http import HTTPStatus

from gateway.api.auth import Scope
from gateway.api.base import Out, Time
from gateway.api.control import Control
from gateway.api.operations import Answer, Asked, Operation
from gateway.calls.view import rfc3339
from gateway.engine.delivery import WebhookState, WebhookStatus


class WebhookOut(Out):
    """A status webhook of the dialplan."""

    url: str
    events: list[str]
    """Types, or families such as `transfer.*`; empty: all."""
    channels: list[str]
    """Empty: all."""
    state: WebhookState
    """`failing`: the last attempt failed. `disabled`: it answered 410; a reload of the dialplan enables it again."""
    delivered: int
    """Events since the start."""
    pending: int
    """Events that are on their way or wait for another attempt, and the few that come next."""
    lag_ms: int
    """How old the oldest event is that it has not taken; 0 when it has all."""
    behind_seq: int
    """How many seq that event, or the last one that was looked at, is behind the newest."""
    last_error: str | None
    last_error_at: Time | None


class Webhooks(Out):
    """All status webhooks of the running plan."""

    items: list[WebhookOut]
    next_cursor: None


class WebhooksApi:
    """The endpoint."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def webhooks(self, _: Asked) -> Answer:
        """GET /v1/webhooks"""
        items = [_out(webhook) for webhook in self._control.webhooks()]
        return Answer(HTTPStatus.OK, Webhooks(items=items, next_cursor=None))

    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        return (
            Operation(
                method="GET", path="/v1/webhooks", name="listWebhooks", tag="Node", scope=Scope.ADMIN, of_node=True,
                summary="Status webhooks and how far they are", handler=self.webhooks, answer=Webhooks,
                about="How late each is, and its last error. The events themselves are those of `GET /v1/events`.",
            ),
        )  # fmt: skip


def _out(webhook: WebhookStatus) -> WebhookOut:
    return WebhookOut(
        url=webhook.url,
        events=list(webhook.events),
        channels=list(webhook.channels),
        state=webhook.state,
        delivered=webhook.delivered,
        pending=webhook.pending,
        lag_ms=round(webhook.lag_s * 1000),
        behind_seq=webhook.behind_seq,
        last_error=webhook.last_error,
        last_error_at=rfc3339(webhook.last_error_at) if webhook.last_error_at is not None else None,
    )
