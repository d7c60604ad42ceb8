"""The newest happenings, in memory: what the journal wrote last and thousands of readers want at once.

The journal fills it, history.py reads it. A reader that waits costs one future shared by all; one that is slow costs
nothing and reads from disk what has left the memory.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Iterable

from gateway.engine.ports import Recorded

KEPT = 4096


class Tail:
    """All that was recorded after `floor`."""

    def __init__(self, last_seq: int, *, fed: bool = True) -> None:
        """`fed` False: nobody will add to it, so it never claims to know what is newest."""
        self.last_seq = last_seq
        self.floor = last_seq if fed else sys.maxsize
        self._kept: deque[Recorded] = deque()
        self._news: asyncio.Future[None] | None = None

    def add(self, recorded: Iterable[Recorded]) -> None:
        """These are on disk now."""
        for one in recorded:
            self._kept.append(one)
            self.last_seq = one.seq
        while len(self._kept) > KEPT:
            self.floor = self._kept.popleft().seq
        self._wake()

    def advance(self, last_seq: int) -> None:
        """Others than we were here: what is up to this is on disk, and we do not know what it is."""
        if last_seq > self.last_seq:
            self.last_seq = self.floor = last_seq
            self._kept.clear()
            self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, None
        if news is not None:
            news.set_result(None)

    def after(self, seq: int) -> list[Recorded]:
        """All with a greater seq, in order; `seq` is `floor` or more."""
        found: list[Recorded] = []
        for one in reversed(self._kept):
            if one.seq <= seq:
                break
            found.append(one)
        found.reverse()
        return found

    async def newer_than(self, seq: int) -> int:
        """Return `last_seq` when it is greater than `seq`."""
        while self.last_seq <= seq:
            if self._news is None:
                self._news = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._news)
        return self.last_seq
