"""What the demo saw: the events of all its processes, drawn in their order, and waited for; filled by cast.py."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from gateway.telemetry.ladder import Event, InOrder, Ladder, kind

GATEWAY: Final = "switchhook"
"""Where an event is from that is from no phone: the field `phone` of each."""

_STEP_S: Final = 15.0
_WIDEST: Final = 110


class DemoFailed(Exception):
    """The demo cannot go on; the text says why."""


class Stage:
    """`seen` are the events so far, oldest first; `problems` is what was not as planned."""

    def __init__(self, console: Console, parties: Sequence[str]) -> None:
        """`parties` are the ladder's columns: who calls, the gateway, the bot, and those who are called."""
        self._console, self._parties = console, tuple(parties)
        self._columns = {name: number for number, name in enumerate(self._parties)}
        self.caller = self._parties[0]
        self._ladder = self._empty_ladder()
        self._order = InOrder()
        self._news = asyncio.Event()
        self.seen: list[Event] = []
        self.problems: list[str] = []

    def _empty_ladder(self) -> Ladder:
        return Ladder(self._parties, width=min(self._console.width, _WIDEST))

    def happened(self, event: Mapping[str, object], at: str) -> None:
        """An event came from a phone, or from the gateway."""
        told = {**event, "phone": at, "party": self._columns.get(at)}
        self.seen.append(told)
        self._order.push(told)
        self._news.set()

    def hears(self, phone: str, what: str) -> None:
        """What was found in a sound, for the drawing."""
        self.happened({"type": "hears", "at": time.time(), "what": what}, phone)

    # ── what is shown ───────────────────────────────────────────────────────────────────────────────

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

    def say(self, *lines: str, style: str = "", below: bool = True) -> None:
        """Print them, `below` what happened so far, or else before what of it is not drawn yet."""
        if below:
            self.draw(everything=True)
        for line in lines:
            self._console.print(Text(line, style=style))

    def act(self, title: str) -> None:
        """Something new begins: below its title the ladder has its heading again, and its time begins at 0."""
        self.say("", title, style="bold")
        self._ladder = self._empty_ladder()

    # ── what is waited for ──────────────────────────────────────────────────────────────────────────

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

    async def bot_said(self, words: str, what: str, *, to_its_end: bool = False) -> None:
        """Wait until the bot says it. Raises DemoFailed."""
        await self.until(lambda: self._playback(words) is not None, what)
        if to_its_end:
            number = self._playback(words)
            await self.until(lambda: self._played(number), f"the end of {what}")

    def over(self) -> bool:
        """Whether the call has ended, at the gateway and at the caller's phone."""
        return self.count("call.ended") > 0 and self.count("ended", self.caller) > 0

    def _played(self, number: Any) -> bool:
        return any(event.get("playback_id") == number for event in self.all("playback.ended"))

    def _playback(self, words: str) -> Any:
        for event in self.all("playback.started"):
            if any(words in str(item.get("say", "")) for item in event.get("items") or []):
                return event.get("playback_id")
        return None

    def _hopeless(self) -> bool:
        at_caller = self.count("ended", self.caller) or self.count("error", self.caller)
        return bool(at_caller or self._failed_transfers())

    def _failed_transfers(self) -> list[Event]:
        return [event for event in self.all("transfer.ended") if event.get("status") != "SUCCESS"]

    def _why(self) -> str:
        return "".join(f"; the transfer ended as {event.get('reason')}" for event in self._failed_transfers())
