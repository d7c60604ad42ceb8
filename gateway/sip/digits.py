"""Paces the digits of one leg: one key after the other, pauses between them; used by leg.py, in the PJSIP thread."""

from collections import deque
from collections.abc import Callable
from typing import Final

DIGITS: Final = frozenset("0123456789*#ABCD")
_PAUSES: Final = {"w": 0.5, "W": 1.0}
_GAP: Final = 0.1
_END: Final = ""


class DigitSender:
    """`send` puts one key on the wire, `later` calls back after so many seconds, `done` tells the end of one order."""

    def __init__(
        self,
        send: Callable[[str, int], None],
        later: Callable[[float, Callable[[], object]], None],
        done: Callable[[], None],
    ) -> None:
        self._send, self._later, self._done = send, later, done
        self._keys: deque[tuple[str, int]] = deque()
        self._running = False

    def add(self, digits: str, duration_ms: int) -> None:
        """Send these, after what is being sent already."""
        length = min(max(duration_ms, 40), 6000)
        self._keys.extend((key, length) for key in digits if key in _PAUSES or key.upper() in DIGITS)
        self._keys.append((_END, 0))
        if not self._running:
            self._running = True
            self._next()

    def give_up(self) -> None:
        """The leg is gone: tell the end of every order, and send nothing more."""
        for key, _ in self._keys:
            if key == _END:
                self._done()
        self._keys.clear()

    def _next(self) -> None:
        if not self._keys:
            self._running = False
            return
        key, length = self._keys.popleft()
        wait = _PAUSES.get(key, 0.0)
        if key == _END:
            self._done()
        elif not wait:
            self._send(key.upper(), length)
            wait = length / 1000 + _GAP
        self._later(wait, self._next)
