"""A bot in memory for tests of the engine: answers from a script, keeps what it was asked, and passes test_bot_port."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TypeAlias

from pydantic import JsonValue

from gateway.calls.commands import AskBot, BotEventName
from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.replies import BotResponse, response


@dataclass(frozen=True, slots=True)
class Thinks:
    """Think for so long before an answer."""

    seconds: float
    then: BotResponse | BotError


Answer: TypeAlias = BotResponse | BotError | Thinks


def says(*replies: dict[str, JsonValue]) -> BotResponse:
    """An answer of these replies."""
    return response(list(replies))


def fails(kind: BotErrorKind, detail: str = "as the test wants it") -> BotError:
    """No usable answer."""
    return BotError(kind, detail)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question."""

    ask: AskBot
    event_id: str
    at: str


@dataclass
class ScriptedBot:
    """Answers in the order given, per event, the last one for ever; nothing for an event without a script."""

    asked: list[Asked] = field(default_factory=list)
    abandoned: list[Asked] = field(default_factory=list)
    """Questions that were cancelled."""
    closed: bool = False

    def __post_init__(self) -> None:
        self._scripts: dict[BotEventName, list[Answer]] = defaultdict(list)

    def on(self, event: BotEventName, *answers: Answer) -> None:
        """Replace the script of an event."""
        self._scripts[event] = list(answers)

    @property
    def events(self) -> list[BotEventName]:
        """The events it was asked, in order."""
        return [asked.ask.event for asked in self.asked]

    async def ask(self, ask: AskBot, event_id: str, at: str) -> BotResponse:
        """As scripted. What it says to `hangup` is nothing, whatever the script says, unless it fails."""
        asked = Asked(ask, event_id, at)
        self.asked.append(asked)
        if self.closed:
            raise BotError(BotErrorKind.UNREACHABLE, "the gateway is stopping")
        answer = self._next(ask.event)
        if isinstance(answer, Thinks):
            try:
                await asyncio.sleep(answer.seconds)
            except asyncio.CancelledError:
                self.abandoned.append(asked)
                raise
            answer = answer.then
        if isinstance(answer, BotError):
            raise answer
        return BotResponse() if ask.event is BotEventName.HANGUP else answer

    def _next(self, event: BotEventName) -> Answer:
        script = self._scripts[event]
        if not script:
            return BotResponse()
        return script.pop(0) if len(script) > 1 else script[0]

    async def close(self) -> None:
        """From now on it is unreachable."""
        self.closed = True
