"""Whether the node takes new calls now, and what those are told who come while it does not; engine.py asks it."""

from collections.abc import Callable
from enum import StrEnum

from gateway.calls.causes import DRAINED, OVER_LIMIT, Cause
from gateway.engine.live import Live
from gateway.engine.overload import Overload
from gateway.engine.ports import Legs

RETRY_AFTER_S = 30
OVERLOAD_RETRY_S = (5, 15)
"""From, to: a number in between is drawn, lest all carriers come back in the same second."""
_REDRAW_S = 1.0
_HYSTERESIS = 0.02


class Shut(StrEnum):
    """Why no call is taken; the texts are for the log and the journal."""

    DRAINING = "draining"
    FULL = "the gateway is full"
    OVERLOADED = "the gateway is overloaded"

    @property
    def cause(self) -> Cause:
        """Of the calls that are refused."""
        return DRAINED if self is Shut.DRAINING else OVER_LIMIT


class Intake:
    """The door. While it is shut, SIP turns INVITEs away before they become legs (`Legs.turn_away`); those that were on
    their way already get the same answer from the engine.

    Full, it opens again when 2 % of the places (at least one) are free, so that a full node does not open and shut with
    every call.
    """

    def __init__(self, live: Live, overload: Overload, legs: Legs, draw: Callable[[int, int], int]) -> None:
        """`draw` gives a random number between two, both included."""
        self._live, self._overload, self._legs, self._draw = live, overload, legs, draw
        self._drawn_at = 0.0
        self._told: tuple[int, Shut] | None = None
        self.shut: Shut | None = None
        """As of the last look."""
        self.retry_after_s = 0
        """What those who are turned away are told."""

    def look(self, now: float) -> Shut | None:
        """Why no call is taken now; None when they are. To be called whenever that may have changed; tells SIP if so.
        `now` in seconds, never going back."""
        before, self.shut = self.shut, self._reason()
        if self.shut is None:
            if self._told is not None:
                self._told = None
                self._legs.turn_away(None, draining=False)
            return None
        if self.shut is not Shut.OVERLOADED:
            self.retry_after_s = RETRY_AFTER_S
        elif before is not self.shut or now - self._drawn_at >= _REDRAW_S:  # each second's callers are told another one
            self.retry_after_s, self._drawn_at = self._draw(*OVERLOAD_RETRY_S), now
        if self._told != (self.retry_after_s, self.shut):
            self._told = (self.retry_after_s, self.shut)
            self._legs.turn_away(self.retry_after_s, draining=self.shut is Shut.DRAINING)
        return self.shut

    def _reason(self) -> Shut | None:
        live = self._live
        if live.draining:
            return Shut.DRAINING
        room = max(1, int(live.limit * _HYSTERESIS)) if self.shut is Shut.FULL else 1
        if len(live.calls) > live.limit - room:
            return Shut.FULL
        return Shut.OVERLOADED if self._overload.on else None
