"""Lays out a table in columns whose widths depend on the terminal's alone, so that nothing jumps; for picture.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

_GAP: Final = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A column of at least `least` and at most `most` cells. When there is no room, the one with the highest `drop` is
    left out first; 0 always stays."""

    title: str
    least: int
    most: int
    drop: int = 0


def widths(columns: Sequence[Column], width: int) -> dict[str, int]:
    """The width of each column that is shown, by title; what is left goes to the first columns first."""
    shown = list(columns)
    while len(shown) > 1 and _needed(shown) > width:
        shown.remove(max(shown, key=lambda column: column.drop))
    found, rest = {column.title: column.least for column in shown}, width - _needed(shown)
    for column in sorted(shown, key=lambda each: each.drop):
        more = max(0, min(rest, column.most - column.least))
        found[column.title] += more
        rest -= more
    return found


def _needed(columns: Sequence[Column]) -> int:
    return sum(column.least for column in columns) + _GAP * (len(columns) - 1)


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
