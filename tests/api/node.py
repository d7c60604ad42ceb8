"""A node for tests of the API: the real server on a real socket, the real store in a folder, a gateway in memory."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from gateway.api.auth import Scope
from gateway.api.http import HttpServer
from gateway.api.v1 import ApiLimits, ControlApi
from gateway.calls.history import Happening, Type
from gateway.calls.model import Call, Json, JsonObject
from gateway.calls.witnesses import present
from gateway.store.store import Store, open_store
from tests.fakes.control import MemoryControl

ALL = tuple(Scope)
NOW = 1.8e9


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: "aiohttp.typedefs.CIMultiDictProxy[str]"
    body: Any

    @property
    def problem(self) -> tuple[int, str]:
        """The status and code of an error, which must be problem+json in all its parts."""
        assert self.headers["Content-Type"].startswith("application/problem+json"), self
        assert self.body.keys() >= {"type", "title", "status", "code", "detail"}, self.body
        assert self.body["status"] == self.status and self.body["type"] == f"/docs#{self.body['code']}"
        return self.status, self.body["code"]


@dataclass
class Node:
    """One gateway as its API's clients see it."""

    store: Store
    control: MemoryControl
    url: str
    server: HttpServer
    session: aiohttp.ClientSession
    api: ControlApi
    now: float = NOW
    _names: int = field(default=0)

    async def key(self, *scopes: Scope, channels: Sequence[str] | None = None, agent: str | None = None) -> str:
        """A new key's text; all scopes if none is named."""
        self._names += 1
        bound = set(channels) if channels is not None else None
        text, _ = await self.store.keys.add(
            f"key{self._names}", {s.value for s in scopes or ALL}, NOW, channels=bound, agent=agent
        )
        return text

    async def ask(self, method: str, path: str, key: str | None = None, **options: Any) -> Answer:
        """One request."""
        headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **options.pop("headers", {})}
        async with self.session.request(method, self.url + path, headers=headers, **options) as answer:
            text = await answer.text()
            is_json = "json" in answer.content_type
            return Answer(answer.status, answer.headers, json.loads(text) if is_json else text)

    async def get(self, path: str, key: str | None = None, **options: Any) -> Answer:
        """One GET."""
        return await self.ask("GET", path, key, **options)

    async def happens(self, call: Call, type_: str, data: JsonObject | None = None, *, at: float | None = None) -> None:
        """Something happens to a call, and is on disk."""
        when = at if at is not None else self.now
        leg = call.customer.id if type_ == Type.CALL_STARTED or type_.startswith("leg.") else None
        agents = tuple(sorted(present(call)))
        self.store.journal.append(
            Happening(
                type_,
                when,
                call.id,
                leg,
                call.channel.name,
                call.caller.trunk,
                data or {},
                agents,
            )
        )
        assert await self.store.journal.settled(5)

    async def over(self, call: Call) -> None:
        """A whole call, from beginning to end."""
        self.control.calls.pop(call.id, None)
        offer: dict[str, Json] = {"direction": "inbound", "from": call.caller.from_, "to": call.caller.to}
        await self.happens(call, Type.CALL_STARTED, {**offer, "sipCallId": call.caller.sip_call_id}, at=call.started_at)
        await self.happens(call, Type.CALL_ANSWERED, at=call.started_at + 1)
        cause: Json = {"result": "completed", "reason": "normal"}
        end: JsonObject = {"cause": cause, "endedBy": "customer", "sipStatus": 200, "q850": 16, "durationMs": 4000}
        await self.happens(call, Type.CALL_ENDED, end, at=call.started_at + 5)


@asynccontextmanager
async def a_node(folder: Path, limits: ApiLimits | None = None) -> AsyncIterator[Node]:
    """Start one, stop it."""
    store = await open_store(f"sqlite+aiosqlite:///{folder}/store.db", lambda: NOW)
    control = MemoryControl()
    api = ControlApi(control, store.keys, store.history, store.idempotency, lambda: NOW, limits)
    server = HttpServer("127.0.0.1:0", dict, dict, lambda: True, api)
    url = await server.start()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        try:
            yield Node(store, control, url, server, session, api)
        finally:
            await server.stop()
            await store.close()
