"""A client of GET /v1/events that reads as EventSource does (HTML, §9.2); for tests."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.api.node import Node


@dataclass
class Listener:
    """What one connection has received."""

    events: list[dict[str, Any]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """The server has ended the stream, and it was complete as HTTP."""

    @classmethod
    @asynccontextmanager
    async def on(cls, node: Node, key: str, query: str = "", last_id: int | None = None) -> "AsyncIterator[Listener]":
        """Connect, read until the block ends."""
        headers = {"Authorization": f"Bearer {key}"} | ({"Last-Event-ID": str(last_id)} if last_id is not None else {})
        listener = cls()
        async with node.session.get(f"{node.url}/v1/events{query}", headers=headers, timeout=_NONE) as answer:
            assert (answer.status, answer.content_type) == (200, "text/event-stream"), await answer.text()
            reading = asyncio.create_task(listener._read(answer))
            try:
                while not listener.comments:  # the first one says that it follows
                    await asyncio.sleep(0.005)
                yield listener
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, answer: aiohttp.ClientResponse) -> None:
        fields: dict[str, str] = {}
        async for raw in answer.content:
            line = raw.decode().removesuffix("\n")
            if not line:
                self._dispatch(fields)
                fields = {}
            elif line.startswith(":"):
                self.comments.append(line[1:].strip())
            else:
                name, _, value = line.partition(": ")
                fields[name] = value
        self.ended.set()

    def _dispatch(self, fields: dict[str, str]) -> None:
        if "data" not in fields:
            return
        event = json.loads(fields["data"])
        assert fields.keys() == {"id", "event", "data"}
        assert (int(fields["id"]), fields["event"]) == (event["seq"], event["type"])
        self.ids.append(event["seq"])
        self.events.append(event)

    async def until(self, count: int) -> None:
        """Wait for so many events."""
        async with asyncio.timeout(10):
            while len(self.events) < count:
                await asyncio.sleep(0.005)


_NONE = aiohttp.ClientTimeout(total=None)
