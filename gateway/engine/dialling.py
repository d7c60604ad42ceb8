"""How many legs may be dialled, for one call and on the whole node; asked before every outbound leg."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from gateway.calls.model import CallId
from gateway.dialplan.outbound import NoWay
from gateway.dialplan.people import DestinationLimits

_MINUTE_S: Final = 60.0


class Dialling:
    """Says whether one more leg may be dialled (dialplan.md, `destinations.limits`): a bot that runs wild, or that
    somebody has taken over, costs no more than this.

    `per_call` counts every leg of a call, whatever became of it. `per_minute` counts the legs of all calls within any
    60 seconds, so that no burst at the turn of a minute is twice as large.
    """

    def __init__(self, limits_of: Callable[[], DestinationLimits]) -> None:
        """`limits_of` gives the limits of the plan that runs now: after a reload what was dialled is counted on."""
        self._limits_of = limits_of
        self._of_call: Counter[CallId] = Counter()
        self._times: deque[float] = deque()

    def may(self, call_id: CallId, now: float) -> NoWay | None:
        """One more leg is wanted for this call. None: it may be dialled, and then `dialled` is to be told. `now` in
        seconds, never going back."""
        limits = self._limits_of()
        while self._times and self._times[0] <= now - _MINUTE_S:
            self._times.popleft()
        if self._of_call[call_id] >= limits.per_call:
            return _blocked("per_call", f"{limits.per_call} legs for one call")
        if len(self._times) >= limits.per_minute:
            return _blocked("per_minute", f"{limits.per_minute} legs a minute on the whole node")
        return None

    def dialled(self, call_id: CallId, now: float) -> None:
        """A leg for which nothing else stood in the way: it counts."""
        self._of_call[call_id] += 1
        self._times.append(now)

    def over(self, call_id: CallId) -> None:
        """The call has ended; to be told of every call, also of one that dialled nothing."""
        self._of_call.pop(call_id, None)

    def __len__(self) -> int:
        """How many calls are remembered; 0 when all calls are over."""
        return len(self._of_call)


def _blocked(key: str, most: str) -> NoWay:
    return NoWay("blocked", f"nothing more may be dialled now: destinations.limits.{key} allows {most}")
