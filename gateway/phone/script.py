"""Orders for the terminal phone from stdin, one JSON object a line (`--script`); call.py gives them to its call.

`{"do": "digits", "digits": "12", "by": "info"}` · `{"do": "hold"}` · `hold_inactive` · `unhold` ·
`{"do": "tone", "hz": 440}` · `silence` · `{"do": "say", "text": "…"}` · `{"do": "play", "file": "x.wav"}` ·
`{"do": "listen", "ms": 500}` · `{"do": "wait", "ms": 500}` · `answer` · `hangup` · `cancel`. The end
of the input hangs up.
"""

import asyncio
import json
import os
import threading
from pathlib import Path
from typing import Final, Protocol

from gateway.phone.options import UsageError, check_digits, check_tone, read_sound
from gateway.sip.phone import DigitsBy, Direction

_STDIN: Final = 0
_LONGEST_LISTEN: Final = 600_000
_DIRECTIONS: Final = {
    "hold": Direction.SENDONLY,
    "hold_inactive": Direction.INACTIVE,
    "unhold": Direction.SENDRECV,
}


class Call(Protocol):
    """What a script can do to a call; `_Session` of call.py is one."""

    async def answer(self) -> None:
        """Take the call that rings, before it has rung for as long as it should."""

    def digits(self, digits: str, by: DigitsBy) -> None:
        """Press them, after those that are being pressed."""

    async def direct(self, direction: Direction) -> None:
        """Hold, or back."""

    async def say(self, text: str) -> None:
        """Speak, after what is being said."""

    def play(self, pcm: bytes) -> None:
        """Play, after what is being said."""

    def tone(self, hz: float) -> None:
        """A tone, instead of what is being said, until something else is asked for."""

    def silence(self) -> None:
        """Stop saying anything."""

    def listen(self, ms: int) -> None:
        """An event `heard` with what is heard from now on."""

    async def hang_up(self) -> None:
        """BYE, or CANCEL."""


def read_lines(lines: "asyncio.Queue[str | None]") -> None:
    """Put the lines of stdin into the queue, and None at its end. Ends with the process.

    A thread, since stdin may be a file, which epoll refuses; os.read and not sys.stdin, whose lock would have the
    interpreter abort at its end.
    """
    loop = asyncio.get_running_loop()

    def put(line: str | None) -> bool:
        try:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        except RuntimeError:  # the loop is closed: nobody wants to know
            return False
        return True

    def read() -> None:
        rest = b""
        while True:
            try:
                data = os.read(_STDIN, 65536)
            except OSError:
                data = b""
            *whole, rest = (rest + (data or b"\n")).split(b"\n")
            if not all(put(line.decode(errors="replace")) for line in whole) or not data:
                put(None)
                return

    threading.Thread(target=read, name="script", daemon=True).start()


async def obey(line: str, call: Call, default_by: DigitsBy) -> None:
    """Carry out one order. Raises UsageError for what is none."""
    try:
        order = json.loads(line)
    except ValueError:
        raise UsageError(f"not JSON: {line[:80]}") from None
    if not isinstance(order, dict):
        raise UsageError('write an object, such as {"do": "hangup"}')
    try:
        await _carry_out(order, call, default_by)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{line[:80]}: {type(error).__name__} {error}") from None


async def _carry_out(order: dict[str, object], call: Call, default_by: DigitsBy) -> None:
    match str(order["do"]):
        case "digits":
            call.digits(check_digits(str(order["digits"])), DigitsBy(str(order.get("by", default_by.value))))
        case "answer":
            await call.answer()
        case "hold" | "hold_inactive" | "unhold" as what:
            await call.direct(_DIRECTIONS[what])
        case "tone":
            call.tone(check_tone(float(str(order["hz"]))))
        case "silence":
            call.silence()
        case "say":
            await call.say(str(order["text"]))
        case "play":
            call.play(read_sound(Path(str(order["file"]))))
        case "listen":
            call.listen(_milliseconds(order))
        case "wait":
            await asyncio.sleep(_milliseconds(order) / 1000)
        case "hangup" | "cancel":
            await call.hang_up()
        case unknown:
            raise UsageError(f"cannot do {unknown!r}")


def _milliseconds(order: dict[str, object]) -> int:
    ms = int(str(order["ms"]))
    if not 0 < ms <= _LONGEST_LISTEN:
        raise UsageError(f"ms must be 1 to {_LONGEST_LISTEN}")
    return ms
