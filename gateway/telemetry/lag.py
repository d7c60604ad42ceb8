"""Measures how late things are: the event loop, the PJSIP thread, the media clock; started and stopped by app.py."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.telemetry.instruments import Instruments
from gateway.telemetry.log import get_logger

log = get_logger(__name__)


TICK_S: Final = 0.02
"""Between two ticks of a media clock that is on time."""


class Clock(StrEnum):
    """What can be late."""

    EVENT_LOOP = "event_loop"
    MEDIA = "media_clock"


Told = Callable[[Clock, float], None]
"""Takes how late a clock is, in seconds."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often what is measured."""

    loop_every_s: float = 0.1
    gap_turns: int = 10
    """The media clock is read once in so many turns: it cannot see a gap in which it is read, so not too often."""
    ping_every_s: float = 1.0
    longest_ping_s: float = 5.0
    """A PJSIP thread that has not answered after so long counts as this late, and is asked again."""


class Lag:
    """Two small tasks. Those who wait are hardly late while all is well: 11 wake-ups a second, 0.1 % of a core."""

    def __init__(
        self,
        into: Instruments,
        ping: Callable[[], Awaitable[object]],
        gap_s: Callable[[], float],
        pace: Pace = Pace(),
        told: Told = lambda clock, late_s: None,
    ) -> None:
        """`ping` has the PJSIP thread do nothing and say so; `gap_s` gives the longest time between two ticks of the
        media clock since it was asked last, 0 when it did not tick. `told` gets each sample of the event loop and of
        the media clock; of the latter how much longer than a tick its longest gap was."""
        self._into, self._ping, self._gap_s, self._pace, self._told = into, ping, gap_s, pace, told
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Measure, on the running loop, until `stop`."""
        self._tasks = [
            asyncio.create_task(self._watch_loop_and_clock(), name="lag of the event loop"),
            asyncio.create_task(self._watch_pjsip(), name="lag of the PJSIP thread"),
        ]

    async def stop(self) -> None:
        """Measure no more; safe to call twice, or without a start."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch_loop_and_clock(self) -> None:
        clock = asyncio.get_running_loop().time
        turn, every_s = 0, self._pace.loop_every_s
        while True:
            due = clock() + every_s
            await asyncio.sleep(every_s)
            late_s = max(0.0, clock() - due)
            self._into.event_loop_lag.observe(late_s)
            self._told(Clock.EVENT_LOOP, late_s)
            turn = (turn + 1) % self._pace.gap_turns
            if turn == 0 and (gap_s := self._gap_s()) > 0:
                self._into.media_clock_gap.observe(gap_s)
                self._told(Clock.MEDIA, max(0.0, gap_s - TICK_S))

    async def _watch_pjsip(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self._pace.ping_every_s)
            began = clock()
            try:
                async with asyncio.timeout(self._pace.longest_ping_s):
                    await self._ping()
            except TimeoutError:
                log.warning("pjsip.slow", waited_s=self._pace.longest_ping_s)
            except Exception:
                log.exception("pjsip.unreachable")  # it is not there any more: nothing is left to measure
                return
            self._into.pjsip_thread_lag.observe(clock() - began)
