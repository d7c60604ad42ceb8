"""The calls that are up now, by id and by leg, and whether new ones are taken; owned by engine.py."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.calls.model import CallId, LegId

if TYPE_CHECKING:
    from gateway.engine.call import LiveCall


@dataclass(slots=True)
class Live:
    """The registry. A call is in it from the INVITE until its last leg is gone; `finishing` still tell their bots."""

    limit: int
    calls: "dict[CallId, LiveCall]" = field(default_factory=dict)
    by_leg: "dict[LegId, LiveCall]" = field(default_factory=dict)
    per_channel: Counter[str] = field(default_factory=Counter)
    per_trunk: Counter[str] = field(default_factory=Counter)
    finishing: set[asyncio.Task[None]] = field(default_factory=set)
    draining: bool = False
    _empty: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._empty.set()

    @property
    def full(self) -> bool:
        """No further call is taken."""
        return len(self.calls) >= self.limit

    def add(self, call: "LiveCall") -> None:
        """A call began."""
        self.calls[call.id] = call
        self.by_leg[call.customer_leg] = call
        self.per_channel[call.channel] += 1
        self.per_trunk[call.trunk] += 1
        self.finishing.add(call.task)
        call.task.add_done_callback(self._finished)
        self._empty.clear()

    def remove(self, call: "LiveCall") -> None:
        """Its last leg is gone."""
        if self.calls.pop(call.id, None) is None:
            return
        self.by_leg.pop(call.customer_leg, None)
        self.per_channel[call.channel] -= 1
        self.per_trunk[call.trunk] -= 1

    async def wait_empty(self) -> None:
        """Return when no call is up and no bot is still being told of one."""
        await self._empty.wait()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self.finishing.discard(task)
        if not self.finishing:
            self._empty.set()
