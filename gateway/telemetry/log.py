"""Logging: structlog, one event a line on stderr, personal data masked by one processor; set up by app.py."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO, cast

import structlog

from gateway.dialplan.numbers import mask as mask_number

Logger = structlog.typing.FilteringBoundLogger

_NUMBERS: Final = frozenset({"from", "to", "number", "diversion", "source_user"})
_KEYS: Final = frozenset({"digit", "digits"})
_TEXTS: Final = frozenset({"text", "ssml", "say", "fromName", "from_name"})


def get_logger(name: str) -> Logger:
    """A logger whose events are `noun.verb` with fields; `name` is the module."""
    return cast(Logger, structlog.get_logger(name))


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
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(out),
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
