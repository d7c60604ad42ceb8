"""A receiver of status webhooks on a real HTTP server, for tests: verifies, keeps what it got, answers as told."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.bot_server import Answer, status

SECRET = "whsec_c3RhdHVzLXdlYmhvb2tz"


class StatusServer:
    """`taken` are the events that were answered with 2xx, as they came; `ids` their webhook-ids. What is not signed by
    SECRET fails the test at the end."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.answer: Answer = status(204)
        self.came: list[dict[str, Any]] = []
        """All attempts."""
        self.taken: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.unsigned: list[str] = []
        self._news = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where to POST."""
        return f"http://127.0.0.1:{self.port}/status"

    @property
    def types(self) -> list[str]:
        """Of what was taken."""
        return [event["type"] for event in self.taken]

    async def until(self, reached: Callable[[], object], timeout_s: float = 20.0) -> None:
        """Wait for it; raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not reached():
                self._news.clear()
                await self._news.wait()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            Webhook(SECRET).verify(body, {name.lower(): value for name, value in request.headers.items()})
        except WebhookVerificationError as error:
            self.unsigned.append(str(error))
        event = json.loads(body)
        self.came.append(event)
        self._news.set()
        answer = await self.answer(request)
        if answer.status < 300:
            self.taken.append(event)
            self.ids.append(request.headers["webhook-id"])
        self._news.set()
        return answer

    async def listen(self) -> None:
        """Be there, on the same port as before."""
        app = web.Application()
        app.router.add_post("/status", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def leave(self) -> None:
        """Be gone: connections are refused."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()
        assert not self.unsigned, self.unsigned
