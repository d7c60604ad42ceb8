"""Logging: structlog, one event a line on stderr, personal data masked by one processor; set up by app.py."""

import asyncio
import atexit
import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO, cast

import structlog

from gateway.dialplan.numbers import mask as mask_number

Logger = structlog.typing.FilteringBoundLogger

_NUMBERS: Final = frozenset({
    "from", "to", "number", "diversion", "source_user", "phoneNumber", "sipUri", "target", "targets",
})  # fmt: skip
_KEYS: Final = frozenset({"digit", "digits", "postDialDigits"})
_TEXTS: Final = frozenset({"text", "ssml", "say", "fromName", "from_name", "announce", "note", "userToUser"})


def get_logger(name: str) -> Logger:
    """A logger whose events are `noun.verb` with fields; `name` is the module."""
    return cast(Logger, structlog.get_logger(name))


class _Lines:
    """Writes all lines of one turn of the event loop at once: a write a line costs the loop more than making the line.

    Outside of a loop (other threads, start, end) a line is written at once; what is left is written at exit.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._waiting: list[str] = []
        atexit.register(self.flush)

    def write(self, text: str) -> None:
        with self._lock:
            first = not self._waiting
            self._waiting.append(text)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            if first:
                loop.call_soon(self.flush)

    def flush(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
            if waiting:
                self._out.write("".join(waiting))
                self._out.flush()


class _LineLogger:
    """What structlog calls with a rendered line."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines

    def msg(self, line: str) -> None:
        self._lines.write(line + "\n")

    debug = info = warning = warn = error = critical = exception = fatal = log = failure = err = msg


def configure(form: str = "text", level: str = "info", *, mask: bool = True, stream: TextIO | None = None) -> None:
    """Set up logging once per process: `form` is text or json, `level` one of debug, info, warning, error."""
    out = stream or sys.stderr
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    if mask:
        processors.append(_mask)
    if form == "json":
        processors.append(structlog.processors.JSONRenderer(ensure_ascii=False, default=str))
    else:
        processors.append(structlog.dev.ConsoleRenderer(colors=out.isatty(), pad_event_to=20))
    logger = _LineLogger(_Lines(out))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: logger,
        cache_logger_on_first_use=True,
    )


def _mask(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {key: _masked(key, value) for key, value in event.items()}


def _masked(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _masked(k, v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(key, v) for v in value]
    if not isinstance(value, str):
        return value
    if key in _NUMBERS:
        return mask_number(value)
    if key in _KEYS:
        return "•" * len(value)
    if key in _TEXTS:
        return f"({len(value)} characters)"
    return value
