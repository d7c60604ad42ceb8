"""Token buckets: how many requests a key, or a stranger's address, may send; used by auth.py."""

from collections import OrderedDict
from collections.abc import Callable


class Rates:
    """A bucket per name: `burst` requests at once, refilled at `per_s`. Of more than `most` names the idlest are
    forgotten, which fills their buckets."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float], most: int = 4096) -> None:
        self._per_s, self._burst, self._clock, self._most = per_s, burst, clock, most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # name -> (tokens, when)

    def take(self, name: str) -> float:
        """Take one; 0 if there was one, else in how many seconds there will be."""
        tokens = self._tokens(name)
        if tokens < 1:
            return (1 - tokens) / self._per_s
        self._buckets[name] = (tokens - 1, self._clock())
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return 0.0

    def _tokens(self, name: str) -> float:
        tokens, at = self._buckets.get(name, (float(self._burst), self._clock()))
        return min(float(self._burst), tokens + (self._clock() - at) * self._per_s)
