"""Columns: widths that depend on the terminal's only, and rows that are never longer than it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gateway.watch.columns import Column, fitted, line, widths

COLUMNS = (
    Column("A", 5, 8, 8), Column("B", 4, 6, 6, drop=2), Column("C", 3, 5, 40), Column("D", 2, 4, 4, drop=1),
)  # fmt: skip


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (10, {"A": 5, "C": 3}),
        (13, {"A": 8, "C": 3}),
        (15, {"A": 8, "C": 5}),
        (20, {"A": 8, "C": 10}),
        (21, {"A": 8, "C": 5, "D": 4}),
        (29, {"A": 8, "B": 6, "C": 5, "D": 4}),
        (35, {"A": 8, "B": 6, "C": 11, "D": 4}),
        (200, {"A": 8, "B": 6, "C": 40, "D": 4}),
    ],
)
def test_what_is_shown_and_how_wide(width: int, shown: dict[str, int]) -> None:
    assert widths(COLUMNS, width) == shown
    assert list(widths(COLUMNS, width)) == sorted(shown)


@given(st.text(), st.integers(0, 30))
def test_a_cell_is_exactly_as_wide_as_its_column(words: str, width: int) -> None:
    printable = "".join(char for char in words if char.isprintable())
    assert cell_len(fitted(printable, width)) == width


def test_what_is_too_long_says_so() -> None:
    assert (fitted("abcdef", 4), fitted("電話番号", 4), fitted("abc", 5)) == ("abc…", "電… ", "abc  ")
    assert line([("ab", 4, ""), ("cd", 4, "bold")]).plain == "ab    cd"
