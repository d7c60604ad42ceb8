"""The agents of a happening or a CDR in one column, and how to ask for one of them; for tables, writing, reading.

Names of the plan hold no blank: they are kept with one before and behind each, so that ` ann ` is found and `hannah` is
not. No agent is NULL, as most rows have none.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, String, func
from sqlalchemy.types import TypeDecorator


def as_text(agents: Sequence[str]) -> str | None:
    """As it stands in the column."""
    return f" {' '.join(agents)} " if agents else None


class AgentNames(TypeDecorator[tuple[str, ...]]):
    """A tuple of names."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Sequence[str] | None, dialect: object) -> str | None:
        """To the database."""
        return as_text(value or ())

    def process_result_value(self, value: str | None, dialect: object) -> tuple[str, ...]:
        """From it."""
        return tuple((value or "").split())


def holds(column: ColumnElement[Any], agent: str) -> ColumnElement[bool]:
    """Whether this agent is among them."""
    return func.instr(column, f" {agent} ") > 0
