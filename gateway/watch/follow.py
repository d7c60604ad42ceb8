"""Keeps a board true: a snapshot, then events, and again when legs may be others; resumes after a cut; for watch.py.

The stream is opened before the snapshot is asked for, so nothing falls between them. Events do not carry who hears
whom: what may have changed it asks for the calls again, but never so often that the gateway works for us more than a
small part of its time. A gateway that does not answer such a question is gone, whatever its stream does.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

from gateway.watch.board import Board
from gateway.watch.client import Client, Lost, NotSeen, UnknownSeq, WatchError
from gateway.watch.rows import CallRow, Happened
from gateway.watch.wire import NotOurs, call_of, end_of_cdr, event_of, fit, items, text, time, trunk_of

LOOK_S: Final = 2.0
"""At most so long between two questions."""
_LEAST_S: Final = 0.2
_SHARE: Final = 20
"""So many times as long as the answer took do we leave the gateway alone."""
_SLOW_FACTS: Final = 5
"""Every so many questions also /metrics."""
_PAGES: Final = 10
_PAGE: Final = "500"
_CDRS: Final = "100"
_RECALLED: Final = 40
"""So many calls' histories at a time: more than a screen shows, less than a key may ask for in a second."""
_RECALL_TYPES: Final = "leg.joined,bot.*,playback.*,fallback.*,sound.*"
_WAITS_S: Final = (0.5, 1.0, 2.0, 4.0, 5.0)
_AFTER: Final = re.compile(r"after ([0-9]{1,15})")

Tell = Callable[[Happened], None]


class Follower:
    """One watch. `tell` gets each event once, in order; `tell_hearing` one of our own whenever rooms or hearing are
    others (`Board.heard_anew`); `changed` is set whenever the board is another."""

    def __init__(
        self, client: Client, board: Board, tell: Tell | None = None, tell_hearing: Tell | None = None
    ) -> None:
        self._client, self._board, self._tell, self._tell_hearing = client, board, tell, tell_hearing
        self.changed = asyncio.Event()
        self._dirty = asyncio.Event()
        self._seq: int | None = None
        self.gaps = 0
        """How often events were missed: the gateway could not say what came after the last one that we had."""
        self._looks = self._tries = 0
        self._seen = False

    # ── the whole of it ─────────────────────────────────────────────────────────────────────────────

    async def once(self) -> None:
        """Ask for everything, once. Raises WatchError."""
        try:
            await self._look(everything=True)
        except NotSeen:
            raise self._not_seen() from None
        except NotOurs:
            raise self._client.nobody(Lost("its answers cannot be read")) from None
        except Lost as lost:
            raise self._client.nobody(lost) from None
        self._board.live(self._client.now())

    async def follow(self) -> None:
        """Until it is cancelled. Raises WatchError, also when nobody answers at the very first try."""
        while True:
            try:
                async with self._client.events(self._seq, self._board.focus) as stream:
                    await self._take(stream)
            except UnknownSeq:
                self._seq = None
                self.gaps += 1
                self._board.forget()
            except NotSeen:
                raise self._not_seen() from None
            except NotOurs:
                await self._wait(Lost("its answers cannot be read"))
            except Lost as lost:
                await self._wait(lost)

    async def _wait(self, lost: Lost) -> None:
        if not self._seen:
            raise self._client.nobody(lost)
        wait_s = _WAITS_S[min(self._tries, len(_WAITS_S) - 1)]
        self._tries += 1
        now = self._client.now()
        self._board.gone(now, str(lost), now + wait_s)
        self.changed.set()
        await asyncio.sleep(wait_s)

    async def _take(self, stream: AsyncIterator[Happened | str]) -> None:
        """One stream, to its end, which is always an error."""
        self._seq = await self._begin(stream)
        await self._look(everything=True)
        self._seen, self._tries = True, 0
        self._board.live(self._client.now())
        self.changed.set()
        await both(self._read(stream), self._keep_looking())

    async def _begin(self, stream: AsyncIterator[Happened | str]) -> int:
        """The seq after which it follows: the gateway's first comment says it."""
        try:
            async with asyncio.timeout(self._client.answer_s):
                first = await anext(stream, "")
        except TimeoutError:
            first = ""
        after = _AFTER.match(first) if isinstance(first, str) else None
        if after is not None:
            return int(after[1])
        raise Lost("its event stream does not say where it begins")

    async def _read(self, stream: AsyncIterator[Happened | str]) -> None:
        async for found in stream:
            self._board.answered(self._client.now())
            if isinstance(found, str):
                continue
            self._seq = found.seq
            if self._board.happened(found):
                self._dirty.set()
            if self._tell is not None:
                self._tell(found)
            self.changed.set()

    # ── questions ───────────────────────────────────────────────────────────────────────────────────

    async def _keep_looking(self) -> None:
        loop = asyncio.get_running_loop()
        pause = _LEAST_S
        while True:
            await asyncio.sleep(pause)
            try:
                async with asyncio.timeout(max(0.0, LOOK_S - pause)):
                    await self._dirty.wait()
            except TimeoutError:
                pass
            self._dirty.clear()
            began = loop.time()
            self._looks += 1
            await self._look(everything=False)
            pause = min(max(_LEAST_S, _SHARE * (loop.time() - began)), 2 * LOOK_S)
            self.changed.set()

    async def _look(self, *, everything: bool) -> None:
        board, asked = self._board, self._board.mark
        rows = await (self._focused(board.focus) if board.focus else self._live_calls())
        board.snapshot(rows, asked)
        try:
            board.trunks = [trunk_of(each) for each in items(await self._client.get("/v1/trunks"))]
        except NotSeen:
            board.trunks = None
        ready = await self._client.ready()
        metrics = everything or ready != board.ready or self._looks % _SLOW_FACTS == 0
        board.node(ready, await self._client.metrics() if metrics else None)
        if everything and not board.focus:
            answer = await self._client.get("/v1/cdrs", {"limit": _CDRS})
            board.ended([end_of_cdr(each) for each in items(answer)], complete=answer.get("nextCursor") is None)
        await self._recall(everything)
        board.answered(self._client.now())
        for event in board.heard_anew():
            if self._tell_hearing is not None:
                self._tell_hearing(event)

    async def _live_calls(self) -> list[CallRow]:
        return [call_of(fit(each)) for each in await self._client.live_calls()]

    async def _focused(self, call_id: str) -> list[CallRow]:
        """The one call; none when it is over, and then its end is on the board."""
        try:
            answer = await self._client.get(f"/v1/calls/{call_id}")
        except NotSeen:
            raise self._not_seen() from None
        cdr = answer.get("cdr")
        if isinstance(cdr, dict):
            self._board.ended([end_of_cdr(cdr)], complete=True)
        return [call_of(answer)] if time(answer, "endedAt") is None else []

    async def _recall(self, everything: bool) -> None:
        """What happened before we came, to the newest calls first."""
        board = self._board
        if board.focus:
            if everything:
                board.recall(board.focus, await self._history(board.focus, {}))
            return
        unknown = [row for row in board.calls.values() if not row.recalled]
        for row in sorted(unknown, key=lambda row: -row.started_at)[:_RECALLED]:
            board.recall(row.call_id, await self._history(row.call_id, {"types": _RECALL_TYPES}))

    async def _history(self, call_id: str, query: dict[str, str]) -> list[Happened]:
        found: list[Happened] = []
        cursor = "0"
        for _ in range(_PAGES):
            try:
                answer = await self._client.get(
                    f"/v1/calls/{call_id}/events", {**query, "limit": _PAGE, "cursor": cursor}
                )
            except NotSeen:  # it was so short that it is gone, or nothing of it is on disk yet
                break
            found += [event_of(each) for each in items(answer)]
            cursor = text(answer, "nextCursor")
            if not cursor:
                break
        return found

    # ── what to do about it ─────────────────────────────────────────────────────────────────────────

    def _not_seen(self) -> WatchError:
        if self._board.focus is None:
            return WatchError(f"the gateway at {self._client.url} does not show its calls to this key")
        return WatchError(
            f"there is no call {self._board.focus}, or not for this key; switchhook cdrs --json has the ids of calls "
            "that are over"
        )


async def both(one: Coroutine[Any, Any, None], other: Coroutine[Any, Any, None]) -> None:
    """Run both; the end or error of either ends both."""
    tasks = {asyncio.create_task(one), asyncio.create_task(other)}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
