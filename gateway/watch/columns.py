"""Lays out a table in columns whose widths depend on the terminal's alone, so that nothing jumps; for picture.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

_GAP: Final = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A column that wants `good` cells, can do with `least`, and takes up to `most` of what is left.

    `drop` 0 is always shown; others come in that order, where every column before has what is good for it.
    """

    title: str
    least: int
    good: int
    most: int
    drop: int = 0


def widths(columns: Sequence[Column], width: int) -> dict[str, int]:
    """The width of each column that is shown, by title, in the order of the columns."""
    shown = [column for column in columns if not column.drop]
    for column in sorted(columns, key=lambda each: each.drop):
        if column.drop and sum(each.good + _GAP for each in [*shown, column]) - _GAP <= width:
            shown.append(column)
    found = {column.title: column.least for column in columns if column in shown}
    rest = width - sum(found.values()) - _GAP * (len(shown) - 1)
    for title, enough in [*((each.title, each.good) for each in shown), *((each.title, each.most) for each in shown)]:
        more = max(0, min(rest, enough - found[title]))
        found[title] += more
        rest -= more
    return found


def line(cells: Sequence[tuple[str, int, str]], style: str = "") -> Text:
    """One row: each cell its text, width and style; what is too long ends with an ellipsis."""
    row = Text(style=style)
    for number, (words, width, cell_style) in enumerate(cells):
        row.append(" " * _GAP * bool(number))
        row.append(fitted(words, width), style=cell_style)
    row.rstrip()
    return row


def fitted(words: str, width: int) -> str:
    """Exactly so many cells."""
    if width <= 0:
        return ""
    if cell_len(words) <= width:
        return set_cell_size(words, width)
    return set_cell_size(set_cell_size(words, width - 1).rstrip() + "…", width)
