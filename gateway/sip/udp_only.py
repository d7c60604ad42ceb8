"""Targets whose UDP works and whose TCP does not, remembered for a while; accounts.py asks before it sends there.

PJSIP sends a request of 1,300 bytes and more over TCP to a UDP target (RFC 3261 §18.1.1), and over UDP after all when
that is refused. A firewall that drops what it does not know refuses nothing: then outbound.py gives TCP up, and says so
here, so that the next call does not wait for it again.
"""

import time
from collections.abc import Callable
from typing import Final

from gateway.sip.resolver import Target

REMEMBERED_S: Final = 600.0
_MOST: Final = 1024


class UdpOnly:
    """A set of targets, each of which leaves it after REMEMBERED_S. `now` is a monotonic clock, in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._until: dict[Target, float] = {}

    def add(self, target: Target) -> None:
        """Its TCP was silent just now."""
        self._until.pop(target, None)
        if len(self._until) >= _MOST:
            del self._until[next(iter(self._until))]  # the oldest
        self._until[target] = self._now() + REMEMBERED_S

    def __contains__(self, target: object) -> bool:
        if not isinstance(target, Target):
            return False
        until = self._until.get(target)
        if until is not None and until <= self._now():
            del self._until[target]
            return False
        return until is not None
