"""Sees from how late things are that this node has more to do than it can; told by engine.py, which telemetry tells.

hostile-world.md, "Overload": late is what is more than 50 ms behind, 99 % of the last 5 s looked at. There are some 50
samples of the event loop in 5 s and 5 of the media clock (each the worst of its second), so the worst 1 % is one sample
of each. That one is forgiven: a single hiccup (a garbage collection, a reload) turns no call away, however long it
was. It takes two in 5 s at the same clock.
"""

from collections import deque
from dataclasses import dataclass

from gateway.telemetry.lag import Clock
from gateway.telemetry.log import get_logger

WINDOW_S = 5.0
_CALM = 0.5

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    late_s: float


class Overload:
    """The state: overloaded or not. It begins when a clock's second worst sample of the last 5 s is later than
    `most_s`, and ends when that of every clock has been below the half of it for 5 s."""

    def __init__(self, most_s: float = 0.05) -> None:
        self._most_s = most_s
        self._samples: dict[Clock, deque[_Sample]] = {clock: deque() for clock in Clock}
        self._since = 0.0
        self._calm_since: float | None = None
        self.on = False
        """Whether new calls are to be refused."""
        self.times = 0
        """How often it began so far."""

    def sample(self, clock: Clock, late_s: float, now: float) -> bool:
        """`clock` is so late at the time `now` (seconds; never goes back). Whether that changed the state."""
        self._samples[clock].append(_Sample(now, late_s))
        for samples in self._samples.values():
            while samples and samples[0].at <= now - WINDOW_S:
                samples.popleft()
        if not self.on:
            return self._may_begin(now)
        return self._may_end(now)

    def late_s(self, clock: Clock) -> float:
        """The second worst sample of the window; 0 when there are not two."""
        worst = sorted((sample.late_s for sample in self._samples[clock]), reverse=True)[:2]
        return worst[1] if len(worst) == 2 else 0.0

    def _may_begin(self, now: float) -> bool:
        if all(self.late_s(clock) <= self._most_s for clock in Clock):
            return False
        self.on, self.times, self._since, self._calm_since = True, self.times + 1, now, None
        log.warning("gateway.overloaded", times=self.times, **self._figures())
        return True

    def _may_end(self, now: float) -> bool:
        if any(self.late_s(clock) >= self._most_s * _CALM for clock in Clock):
            self._calm_since = None
            return False
        if self._calm_since is None:
            self._calm_since = now
        if now - self._calm_since < WINDOW_S:
            return False
        self.on = False
        log.info("gateway.recovered", after_s=round(now - self._since, 1), **self._figures())
        return True

    def _figures(self) -> dict[str, int]:
        return {f"{clock}_ms": round(self.late_s(clock) * 1000) for clock in Clock}
