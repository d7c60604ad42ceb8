"""An event in a call's queue, and whoever waits for what becomes of it; made and worked off by call.py."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.calls.events import Event


@dataclass(slots=True)
class Queued:
    """`handle` is of a timer that fired; `answer` is waited for by whoever asked."""

    event: Event
    handle: asyncio.TimerHandle | None = None
    answer: asyncio.Future[bool] | None = None
    taken: bool = False

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Whoever asked is told `taken` in the end, whatever goes wrong."""
        try:
            yield
        finally:
            if self.answer is not None and not self.answer.done():  # it may not want to know any more
                self.answer.set_result(self.taken)
