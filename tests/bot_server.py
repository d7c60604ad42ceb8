"""A bot behind a real HTTP server, for tests: it says what it was told to, well or badly, and keeps what it was asked.

    async with BotServer(secrets=["whsec_…"]) as bot:
        bot.on("start", replies(text("Welcome"), {"type": "dtmf", "max": 1}))
        bot.on("dtmf", status(503), replies({"type": "hangup"}))     # one after the other; the last one stays
        ...
        (hangup,) = await bot.received("hangup")
        assert hangup.event["data"]["endedBy"] == "bot"

An event without an answer of its own gets that of "*", and without one 204.
"""

import asyncio
import json
import socket
import time
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

# ── Good answers ────────────────────────────────────────────────────────────────────────────────────


def replies(*items: dict[str, Any], config: dict[str, Any] | None = None) -> Answer:
    """200 with these replies."""
    body: dict[str, Any] = {"replies": list(items)}
    return raw(json.dumps(body if config is None else body | {"config": config}).encode())


def text(words: str, **fields: Any) -> dict[str, Any]:
    """A text reply."""
    return {"type": "text", "text": words, **fields}


def nothing() -> Answer:
    """204."""
    return status(204)


def slow(seconds: float, then: Answer) -> Answer:
    """Think, then answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await then(request)

    return answer


# ── Bad answers ─────────────────────────────────────────────────────────────────────────────────────


def raw(body: bytes, content_type: str = "application/json", status: int = 200, **headers: str) -> Answer:
    """Exactly this. `Content_Encoding="gzip"` is a header."""
    fields = {"Content-Type": content_type} | {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers=fields)

    return answer


def status(code: int) -> Answer:
    """This status without a body."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=code)

    return answer


def html() -> Answer:
    """What a web server says that knows nothing of bots."""
    return raw(b"<!doctype html><title>Welcome to nginx!</title>", content_type="text/html")


def wrong_types() -> Answer:
    """JSON with a number where a text belongs."""
    return replies({"type": "text", "text": 42})


def redirect(to: str, code: int = 302) -> Answer:
    """Elsewhere."""
    return raw(b"", status=code, Location=to)


def huge(mib: int = 100, declared: bool = False) -> Answer:
    """White space without end, then valid JSON; with its length in advance if `declared`."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        if declared:
            response.content_length = mib * 2**20
        await response.prepare(request)
        for _ in range(mib * 16):
            await response.write(b" " * 65536)
        return response

    return answer


def gzip_bomb(mib: int = 100) -> Answer:
    """A hundred KiB that unpack to a hundred MiB."""
    pack = zlib.compressobj(wbits=31)
    body = b"".join(pack.compress(b" " * 2**20) for _ in range(mib)) + pack.flush()
    return raw(body, Content_Encoding="gzip")


def trickle(every_s: float = 0.02) -> Answer:
    """A byte at a time, always just in time for a time-out that counts silence only."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(every_s)

    return answer


def silent() -> Answer:
    """Take the request and never answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("unreachable")

    return answer


def cut() -> Answer:
    """Close the connection instead of answering."""

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return answer


def cut_midway() -> Answer:
    """Close the connection in the middle of the body."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = 1000
        await response.prepare(request)
        await response.write(b'{"replies": [')
        assert request.transport is not None
        request.transport.close()
        return response

    return answer


# ── The server ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Received:
    """One request: as it came (`body`, `headers`, names in lower case) and as it reads (`event`)."""

    event: dict[str, Any]
    body: bytes
    headers: dict[str, str]
    path: str
    at_s: float
    """time.monotonic() of its arrival."""
    verified: bool
    """One of the secrets signed it; False where the server has none."""
    peer_port: int
    """Requests that share it shared a connection."""

    @property
    def name(self) -> str:
        """The event's name."""
        return str(self.event["event"])


@dataclass
class BotServer:
    """The bot. With `secrets`, what none of them signed is answered 401."""

    secrets: Sequence[str | bytes] = ()
    port: int = 0
    requests: list[Received] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._scripts: dict[str, list[Answer]] = {"*": [nothing()]}
        self._answered: dict[str, int] = defaultdict(int)
        self._news = asyncio.Event()
        self._verifiers = [Webhook(secret) for secret in self.secrets]

    def on(self, event: str, *answers: Answer) -> None:
        """Say these, one per request, from now on; the last one stays."""
        self._scripts[event] = list(answers)
        self._answered[event] = 0

    @property
    def url(self) -> str:
        """Where to POST."""
        return f"http://127.0.0.1:{self.port}/bot"

    @property
    def events(self) -> list[str]:
        """The names of the events that came, in order."""
        return [request.name for request in self.requests]

    async def received(self, event: str, count: int = 1, timeout_s: float = 5.0) -> list[Received]:
        """Wait until so many of these came, and return all of them. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while len(found := [request for request in self.requests if request.name == event]) < count:
                self._news.clear()
                await self._news.wait()
        return found

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        verified = any(_signed(verifier, body, headers) for verifier in self._verifiers)
        received = Received(
            json.loads(body), body, headers, request.path_qs, time.monotonic(), verified, _peer_port(request)
        )
        self.requests.append(received)
        self._news.set()
        if self._verifiers and not verified:
            return web.Response(status=401)
        key = received.name if received.name in self._scripts else "*"
        script = self._scripts[key]
        answer = script[min(self._answered[key], len(script) - 1)]
        self._answered[key] += 1
        return await answer(request)

    async def restart(self) -> None:
        """Close all connections and listen again on the same port."""
        await self._runner.cleanup()
        await self._listen()

    async def _listen(self) -> None:
        app = web.Application(client_max_size=2**20)
        app.router.add_post("/bot", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=1024).start()
        self.port = self._runner.addresses[0][1]

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()


def _peer_port(request: web.Request) -> int:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return int(peer[1]) if peer else 0


def _signed(verifier: Webhook, body: bytes, headers: dict[str, str]) -> bool:
    try:
        verifier.verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


@contextmanager
def dead_port() -> Iterator[str]:
    """The URL of a port where nobody listens and, while this lasts, nobody can."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/bot"
