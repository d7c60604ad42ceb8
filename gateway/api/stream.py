"""One open event stream, what its client wants and how far it is, and the fan-out to those that wait; for events.py."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from gateway.api.auth import Caller
from gateway.calls.history import Happening
from gateway.engine.ports import History, Recorded, StoreUnavailable
from gateway.telemetry.log import get_logger

log = get_logger(__name__)

CALM: Final = 32 * 1024
"""With less than this unsent no write waits: it is under the marks of asyncio and aiohttp."""
_RENDERED: Final = 2048
_PAGE: Final = 500
_RETRY_S: Final = 0.5
_AT_ONCE: Final = 50
"""Streams that are written to in one turn of the event loop, which takes about a millisecond."""


@dataclass(slots=True, eq=False)
class Stream:
    """One client, and the seq of the last event that it was sent or that was not for it."""

    response: web.StreamResponse
    transport: asyncio.WriteTransport
    caller: Caller
    call_id: str | None
    types: frozenset[str] | None
    after: int
    beat_at: float
    """When the next heartbeat is due, by the loop's clock."""
    writing: asyncio.Task[None] | None = None
    """What waits for the client to read."""

    def wants(self, happening: Happening) -> bool:
        """As the history port selects."""
        return (
            (self.call_id is None or happening.call_id == self.call_id)
            and self.caller.saw(happening)
            and (
                self.types is None
                or happening.type in self.types
                or f"{happening.type.partition('.')[0]}.*" in self.types
            )
        )

    def takes(self, size: int) -> bool:
        """So many bytes can be written at once, without waiting for the client."""
        return not self.transport.is_closing() and size + self.transport.get_write_buffer_size() < CALM


class Rendered:
    """Events on the wire, the newest ones kept: many streams send the same."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def __call__(self, recorded: Recorded) -> bytes:
        seq = recorded.seq
        done = self._kept.get(seq)
        if done is None:
            data = json.dumps(recorded.as_json(), separators=(",", ":"), default=str)
            done = f"id: {seq}\nevent: {recorded.happening.type}\ndata: {data}\n\n".encode()
            self._kept[seq] = done
            if len(self._kept) > _RENDERED:
                self._kept.popitem(last=False)
        return done


class FanOut:
    """Gives what is new to all streams that have everything else: one task for all of them, as to wake a thousand for
    each event costs more than to write to a thousand sockets. A stream that cannot take it at once is woken instead."""

    def __init__(self, history: History, rendered: Rendered) -> None:
        self._history, self._rendered = history, rendered
        self._waiting: dict[Stream, asyncio.Future[None]] = {}
        self._after = 0
        self._task: asyncio.Task[None] | None = None

    async def wait(self, stream: Stream) -> None:
        """Stay here, being given what is new, until the heartbeat is due or the stream must look for itself."""
        if self._task is None:
            self._after = self._history.last_seq
            self._task = asyncio.create_task(self._run(), name="event streams")
        if stream.after < self._after:
            return  # something came since it looked
        loop = asyncio.get_running_loop()
        woken = self._waiting[stream] = loop.create_future()
        timer = loop.call_at(stream.beat_at, self._wake, stream)
        try:
            await woken
        finally:
            timer.cancel()
            self._waiting.pop(stream, None)

    async def close(self) -> None:
        """Stop; those that wait go on waiting."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    def _wake(self, stream: Stream) -> None:
        woken = self._waiting.pop(stream, None)
        if woken is not None and not woken.done():
            woken.set_result(None)

    async def _run(self) -> None:
        while True:
            try:
                await self._next()
            except StoreUnavailable:
                await asyncio.sleep(_RETRY_S)
            except Exception:
                log.exception("api.fan_out_failed")
                await asyncio.sleep(_RETRY_S)

    async def _next(self) -> None:
        newest = await self._history.newer_than(self._after)
        found = await self._history.events(self._after, limit=_PAGE)
        if found:
            newest = found[-1].seq if len(found) == _PAGE else max(newest, found[-1].seq)
        self._after = newest  # before the first pause: who comes from now on has to look for itself
        for number, stream in enumerate(list(self._waiting)):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)  # calls go first
            if stream in self._waiting:
                await self._give(stream, found, newest)

    async def _give(self, stream: Stream, found: Sequence[Recorded], newest: int) -> None:
        """Never waits: what `takes` says can be written at once."""
        mine = [self._rendered(one) for one in found if one.seq > stream.after and stream.wants(one.happening)]
        data = b"".join(mine)
        if not data:
            stream.after = max(stream.after, newest)
        elif stream.takes(len(data)):
            stream.after = max(stream.after, newest)
            try:
                await stream.response.write(data)
            except ConnectionError:
                self._wake(stream)
        else:
            self._wake(stream)
