"""An event in a call's queue, and whoever waits for what becomes of it; made and worked off by call.py."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from gateway.calls.commands import TurnDown
from gateway.calls.events import Event

OVER: Final = TurnDown("hangup")
"""The call has ended before."""


@dataclass(slots=True)
class Queued:
    """`handle` is of a timer that fired; `answer` is waited for by whoever asked."""

    event: Event
    handle: asyncio.TimerHandle | None = None
    answer: "asyncio.Future[TurnDown | None] | None" = None
    refusal: TurnDown | None = OVER
    """Why it was not taken; None: it was."""

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Whoever asked is told the `refusal` in the end, whatever goes wrong."""
        try:
            yield
        finally:
            if self.answer is not None and not self.answer.done():  # it may not want to know any more
                self.answer.set_result(self.refusal)
