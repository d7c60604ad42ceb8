"""The control API, put together: keys, idempotency, endpoints, documentation; made by app.py for HttpServer."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from gateway.api.agents import AgentsApi
from gateway.api.auth import Gate
from gateway.api.calls import CallsApi
from gateway.api.cdrs import CdrsApi
from gateway.api.consult import ConsultApi
from gateway.api.control import Control
from gateway.api.docs import DocsPages
from gateway.api.events import StreamLimits, StreamsApi
from gateway.api.idempotency import Once
from gateway.api.legs import LegsApi
from gateway.api.node import NodeApi
from gateway.api.openapi import Schema, build
from gateway.api.operations import mount
from gateway.api.originate import OriginateApi
from gateway.api.transfers import TransfersApi
from gateway.api.webhooks import WebhooksApi
from gateway.engine.ports import History, Idempotency, Keys


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """What a key may do: `per_s` requests on average, `burst` at once; how many wrong keys at once a source may
    send (then one a second); and the limits of event streams."""

    per_s: float = 50.0
    burst: int = 100
    guesses: int = 20
    streams: StreamLimits = field(default_factory=StreamLimits)


class ControlApi:
    """Everything under /v1, /openapi.json and /docs. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        control: Control,
        keys: Keys,
        history: History,
        idempotency: Idempotency,
        clock: Callable[[], float],
        limits: ApiLimits | None = None,
    ) -> None:
        limits = limits or ApiLimits()
        self._gate = Gate(keys, limits.per_s, limits.burst, limits.guesses, time.monotonic)
        self._once = Once(idempotency, clock)
        self._streams = StreamsApi(history, self._gate, limits.streams)
        self._operations = (
            *CallsApi(control, history).operations(),
            *OriginateApi(control).operations(),
            *ConsultApi(control, history).operations(),
            *LegsApi(control, history).operations(),
            *AgentsApi(control).operations(),
            *CdrsApi(history).operations(),
            *TransfersApi(history).operations(),
            *self._streams.operations(),
            *NodeApi(control).operations(),
            *WebhooksApi(control).operations(),
        )

    def install(self, app: web.Application) -> None:
        """Serve it in this application, whose outermost middleware is `problems.shape_errors`."""
        app.middlewares.append(self._gate.middleware)
        for operation in self._operations:
            mount(app, operation, self._once)
        DocsPages(self._operations).install(app)
        app.on_shutdown.append(self._close)

    def description(self) -> Schema:
        """The OpenAPI document of what is served."""
        return build(self._operations)

    @property
    def streams(self) -> int:
        """How many event streams are open."""
        return self._streams.open

    async def _close(self, _: web.Application) -> None:
        await self._streams.close()
