"""How many calls a trunk may carry and how fast they may come; engine.py asks it before it takes or makes a leg."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.dialplan.schema import TrunkLimits


class Bucket:
    """A token bucket: `rate` tokens per second come in, and as many as one second brings (at least one) are kept.

    So a rate of 5 lets 5 calls come at the same moment after a quiet second; over any longer time T no more than
    5 + 5 T come. The rate is given at each use: it may be another one after a reload.
    """

    def __init__(self) -> None:
        self._tokens: float | None = None
        self._at = 0.0

    def take(self, rate: float, now: float) -> bool:
        """Take one token, if there is one. `rate` is per second, `now` in seconds; it never goes back."""
        most = max(1.0, rate)
        tokens = most if self._tokens is None else min(most, self._tokens + rate * (now - self._at))
        self._at = now
        self._tokens = tokens - 1 if tokens >= 1 else tokens
        return tokens >= 1


class Limit(StrEnum):
    """A key of `trunks.*.limits`."""

    CHANNELS = "channels"
    CPS = "cps"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A trunk takes no further call now: which limit it has reached, and how much that allows."""

    trunk: str
    limit: Limit
    most: float

    @property
    def why(self) -> str:
        """One sentence for the log and the journal."""
        unit = "calls at a time" if self.limit is Limit.CHANNELS else "new calls per second"
        return f"trunk {self.trunk} has reached limits.{self.limit}: {self.most:g} {unit}"


class _Way(StrEnum):
    IN = "in"
    OUT = "out"


class Admission:
    """Says whether a trunk may have one more call (dialplan.md, `limits: {channels, cps}`).

    As carriers sell them: `channels` are legs on the trunk at the same time, inbound and outbound together; `cps` is
    new calls per second for each direction by itself, as that is how both sides' border controllers count them.
    An inbound call that is refused more is told 503; an outbound one is not dialled and is `unreachable`.
    """

    def __init__(self, limits_of: Callable[[str], TrunkLimits | None], legs: Mapping[str, int]) -> None:
        """`limits_of` gives a trunk's limits in the plan that runs now: after a reload the new ones hold for new calls.
        `legs` counts the legs that each trunk carries; it is kept by live.py and only read here."""
        self._limits_of, self._legs = limits_of, legs
        self._buckets: dict[tuple[str, _Way], Bucket] = {}

    def admit_in(self, trunk: str, now: float) -> Refusal | None:
        """An INVITE came on this trunk. None: it may become a leg, and counts as a new call of this second."""
        return self._admit(trunk, _Way.IN, now)

    def admit_out(self, trunk: str, now: float) -> Refusal | None:
        """We are about to dial on this trunk. None: tell `Live.promise`, and do it; it counts as a new call."""
        return self._admit(trunk, _Way.OUT, now)

    def full(self, trunk: str, beside: int = 0) -> Refusal | None:
        """Whether all channels are taken, if `beside` more of them are about to be; takes nothing."""
        limits = self._limits_of(trunk)
        if limits is None or limits.channels is None or self._legs.get(trunk, 0) + beside < limits.channels:
            return None
        return Refusal(trunk, Limit.CHANNELS, limits.channels)

    def _admit(self, trunk: str, way: _Way, now: float) -> Refusal | None:
        limits = self._limits_of(trunk)
        if limits is None:
            return None
        full = self.full(trunk)
        if full is not None:
            return full
        if limits.cps is not None:
            bucket = self._buckets.setdefault((trunk, way), Bucket())
            if not bucket.take(limits.cps, now):
                return Refusal(trunk, Limit.CPS, limits.cps)
        return None
