"""GET /v1/events: every event of every call that a key may see, as server-sent events, resumable; mounted by v1.py.

A stream is a loop that asks the history for what comes after the last event it sent; once it has all, the fan-out
(stream.py) gives it what is new. It keeps nothing: a client may be
as far behind as it likes, as long as it reads. One that does not read for `slow_s` holds no more than about 150 KiB and
is cut off. The last line of a stream that we end is a comment that says why, and how to go on.
"""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from gateway.api.auth import Caller, Gate, Scope
from gateway.api.event_types import types_of
from gateway.api.models import EventOut, StreamQuery
from gateway.api.operations import Asked, Operation
from gateway.api.problems import ApiProblem, Code, invalid
from gateway.api.reading import read_query
from gateway.api.stream import FanOut, Rendered, Stream
from gateway.engine.ports import History, Recorded, StoreUnavailable

_PAGE: Final = 500
_CHUNK: Final = 16 * 1024
_SOCKET_BUFFER: Final = 64 * 1024
_LAST_WORDS_S: Final = 1.0
_HEADERS: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """`heartbeat_s`: a comment so often, and a look whether the key is still good; `slow_s`: how
    long a client may take for what was sent; `most`: streams at a time; `linger_s`: for the last words of one that was
    cut off, before its connection is reset."""

    heartbeat_s: float = 15.0
    slow_s: float = 10.0
    most: int = 2000
    linger_s: float = 10.0


class _CutOff(Exception):
    """The stream must end; the text is for its client."""


class StreamsApi:
    """The endpoint, and all streams that are open."""

    def __init__(self, history: History, gate: Gate, limits: StreamLimits) -> None:
        self._history, self._gate, self._limits = history, gate, limits
        self._rendered = Rendered()
        self._fan_out = FanOut(history, self._rendered)
        self._open: set[asyncio.Task[object]] = set()
        self._closing = False
        self._seen_good: dict[str, float] = {}

    @property
    def open(self) -> int:
        """How many streams there are."""
        return len(self._open)

    async def close(self) -> None:
        """End all streams with a word to their clients; one that does not read is not waited for."""
        self._closing = True
        await self._fan_out.close()
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=2 * _LAST_WORDS_S)

    # ── One stream ──────────────────────────────────────────────────────────────────────────────────

    async def serve(self, asked: Asked) -> web.StreamResponse:
        """GET /v1/events"""
        query = read_query(asked.request, StreamQuery)
        types, after = types_of(query.types), self._begin(asked.request, query.after)
        if self._closing or len(self._open) >= self._limits.most:
            raise ApiProblem(Code.TOO_MANY_STREAMS, "try again later", headers={"Retry-After": "5"})
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            response = web.StreamResponse(headers=_HEADERS)
            response.force_close()
            transport = asked.request.transport
            if transport is None:
                raise ConnectionResetError
            _small_buffer(transport)
            await response.prepare(asked.request)
            stream = Stream(response, transport, asked.caller, query.call, types, after, self._next_beat())
            await self._run(stream, task)
            return response
        finally:
            self._open.discard(task)

    async def _run(self, stream: Stream, task: "asyncio.Task[object]") -> None:
        try:
            await self._follow(stream)
        except _CutOff as cut:
            why = str(cut)
        except StoreUnavailable:
            why = "the store cannot be read"
        except asyncio.CancelledError:
            if not self._closing:
                raise
            task.uncancel()
            why = "the gateway is stopping"
        await self._farewell(stream, why)

    async def _follow(self, stream: Stream) -> None:
        await self._send(stream, f": after {stream.after}\nretry: 2000\n\n".encode())
        while True:
            if _now() >= stream.beat_at:
                await self._beat(stream)
            newest = self._history.last_seq
            caller = stream.caller
            found = await self._history.events(
                stream.after,
                call_id=stream.call_id,
                types=stream.types,
                channels=caller.channels,
                agent=caller.agent,
                limit=_PAGE,
            )
            await self._send_events(stream, found)
            if len(found) < _PAGE:
                stream.after = max(stream.after, newest)
                await self._fan_out.wait(stream)

    async def _beat(self, stream: Stream) -> None:
        """See whether client and key are still there, however much or little was sent."""
        stream.beat_at = self._next_beat()
        if not await self._still_good(stream.caller):
            raise _CutOff("the key was revoked")
        await self._send(stream, b": heartbeat\n\n")

    def _next_beat(self) -> float:
        return _now() + self._limits.heartbeat_s

    async def _still_good(self, caller: Caller) -> bool:
        """Whether the key is not revoked; thousands of streams may have the same one, so it is not asked for each."""
        seen = self._seen_good.get(caller.sha256)
        if seen is not None and _now() - seen < self._limits.heartbeat_s / 2:
            return True
        try:
            good = await self._gate.still_good(caller)
        except StoreUnavailable:
            return True  # nobody can revoke it just now
        if good:
            self._seen_good[caller.sha256] = _now()
        else:
            self._seen_good.pop(caller.sha256, None)
        return good

    # ── Sending ─────────────────────────────────────────────────────────────────────────────────────

    async def _send_events(self, stream: Stream, events: Sequence[Recorded]) -> None:
        chunk = bytearray()
        for one in events:
            chunk += self._rendered(one)
            if len(chunk) >= _CHUNK:
                stream.after = one.seq
                await self._send(stream, bytes(chunk))
                chunk.clear()
        if chunk:
            stream.after = events[-1].seq
            await self._send(stream, bytes(chunk))

    async def _send(self, stream: Stream, data: bytes) -> None:
        if stream.transport.is_closing():
            raise ConnectionResetError
        if stream.takes(len(data)):
            await stream.response.write(data)  # returns at once
            return
        # A task of its own: aiohttp's wait for a client, once cancelled, is of no use to the last words.
        stream.writing = asyncio.create_task(stream.response.write(data))
        await asyncio.wait({stream.writing}, timeout=self._limits.slow_s)
        if not stream.writing.done():
            raise _CutOff(f"too slow: nothing was read for {self._limits.slow_s:g} s")
        stream.writing.result()

    async def _farewell(self, stream: Stream, why: str) -> None:
        """The last words. They go behind what the client has not read yet; it gets `linger_s` for all of it."""
        if stream.transport.is_closing():
            return
        words = f": {why}; go on with Last-Event-ID: {stream.after}\n\n"
        tasks = {asyncio.create_task(self._end(stream, words.encode()))}
        if stream.writing is not None:
            tasks.add(stream.writing)
        try:
            await asyncio.wait(tasks, timeout=_LAST_WORDS_S if self._closing else self._limits.linger_s)
        finally:  # also when the server stops meanwhile
            if not all(task.done() for task in tasks):
                stream.transport.abort()  # close() would wait for a client that never reads
            for task in tasks:
                task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _end(self, stream: Stream, words: bytes) -> None:
        await stream.response.write(words)
        stream.transport.set_write_buffer_limits(high=0)  # now to drain is to send it all
        await stream.response.write_eof()

    # ── Where it begins ─────────────────────────────────────────────────────────────────────────────

    def _begin(self, request: web.Request, after: int | None) -> int:
        newest = self._history.last_seq
        last_id = request.headers.get("Last-Event-ID")
        if last_id:  # what an EventSource sends when it connects again: its URL still has the old `after`
            if not (last_id.isascii() and last_id.isdigit() and len(last_id) < 16):
                raise invalid("header", "Last-Event-ID", "is no seq")
            after = int(last_id)
        if after is None:
            return newest
        if after > newest:  # another store: to wait for this number could mean to wait for ever
            raise ApiProblem(Code.UNKNOWN_SEQ, f"the newest is {newest}", {"lastSeq": newest})
        return after

    def operations(self) -> tuple[Operation, ...]:
        """The one."""
        return (
            Operation(
                method="GET", path="/v1/events", name="followEvents", tag="History", scope=Scope.CALLS_READ,
                summary="Follow events (SSE)", handler=self.serve, query=StreamQuery, answer=EventOut, stream=True,
                about="Every event of every call that the key sees, in order, as `text/event-stream`: `id:` is `seq`, "
                "`event:` is `type`, `data:` is the object below. A client that connects again with Last-Event-ID "
                "misses none and gets none twice. A comment comes every 15 s. A client that does not read, or whose "
                "key is revoked, is cut off; the last line says why and how to go on.",
                problems=(Code.INVALID, Code.UNKNOWN_SEQ, Code.TOO_MANY_STREAMS),
            ),
        )  # fmt: skip


def _now() -> float:
    return asyncio.get_running_loop().time()


def _small_buffer(transport: asyncio.BaseTransport) -> None:
    """The kernel must not keep megabytes for a client that does not read."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
