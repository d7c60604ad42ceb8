"""What the demo saw: the events of three processes, drawn in their order, and waited for; filled by cast.py."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Final

from rich.console import Console

from gateway.telemetry.ladder import Event, InOrder, Ladder, kind

CALLER, AGENT, GATEWAY = "caller", "agent", "gateway"
"""Where an event is from: the field `phone` of each."""

_STEP_S: Final = 15.0
_WIDEST: Final = 110


class DemoFailed(Exception):
    """The demo cannot go on; the text says why."""


class Stage:
    """`seen` are the events so far, oldest first; `problems` is what was not as planned."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ladder = Ladder((CALLER, "switchhook", "bot", AGENT), width=min(console.width, _WIDEST))
        self._order = InOrder()
        self._news = asyncio.Event()
        self.seen: list[Event] = []
        self.problems: list[str] = []

    def happened(self, event: Mapping[str, object], at: str) -> None:
        """An event came from the caller's phone, the agent's, or the gateway."""
        told = {**event, "phone": at}
        self.seen.append(told)
        self._order.push(told)
        self._news.set()

    def hears(self, phone: str, what: str) -> None:
        """What was found in a sound, for the drawing."""
        self.happened({"type": "hears", "at": time.time(), "what": what}, phone)

    async def draw_on(self) -> None:
        """Draw what comes, until it is cancelled."""
        while True:
            await asyncio.sleep(0.1)
            self.draw()

    def draw(self, *, everything: bool = False) -> None:
        """Print what can be put in order by now."""
        for event in self._order.ready(float("inf") if everything else time.time()):
            for line in self._ladder.lines(event):
                self._console.print(line)

    def all(self, name: str, phone: str | None = None) -> list[Event]:
        """The events of this name, of one phone or from anywhere."""
        return [event for event in self.seen if kind(event) == name and phone in (None, event["phone"])]

    def count(self, name: str, phone: str | None = None) -> int:
        """How many."""
        return len(self.all(name, phone))

    async def until(
        self, condition: Callable[[], bool], what: str, within_s: float = _STEP_S, *, last: bool = False
    ) -> None:
        """Wait for it. Raises DemoFailed when it does not come in time, or the caller's call ends before it; `last` is
        for what comes with that end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not condition() and (last or not self._hopeless()):
                    self._news.clear()
                    await self._news.wait()
        if not condition():
            raise DemoFailed(f"waited for {what} and did not get it{self._why()}")

    def _hopeless(self) -> bool:
        return bool(self.count("ended", CALLER) or self.count("error", CALLER) or self._failed_transfers())

    def _failed_transfers(self) -> list[Event]:
        return [event for event in self.all("transfer.ended") if event.get("status") != "SUCCESS"]

    def _why(self) -> str:
        return "".join(f"; the transfer ended as {event.get('reason')}" for event in self._failed_transfers())
