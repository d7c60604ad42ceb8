"""Numbers: how they are read, which patterns cover them, how they are masked."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialplan.numbers import check_pattern, dialled, mask, matches, normalise

digits = st.text("0123456789", min_size=1, max_size=15)


@pytest.mark.parametrize(
    ("user", "region", "number"),
    [
        ("+12125550100", None, "+12125550100"),
        ("12125550100", None, "+12125550100"),
        ("0012125550100", None, "+12125550100"),
        ("+1-212-555-0100", None, "+12125550100"),
        ("(212) 555-0100", "US", "+12125550100"),
        ("2125550100", "US", "+12125550100"),
        ("442071234567", "US", "+442071234567"),
        ("02071234567", "GB", "+442071234567"),
        ("%2B12125550100", None, "+12125550100"),
        ("+12125550100;npdi", None, "+12125550100"),
        ("100", None, None),
        ("100", "US", None),
        ("alice", None, None),
        ("", None, None),
        ("+", None, None),
        ("٠١٢٣٤٥٦٧٨٩", None, None),
        ("1" * 500, None, None),
    ],
)
def test_a_user_part_as_e164(user: str, region: str | None, number: str | None) -> None:
    assert normalise(user, region) == number


@pytest.mark.parametrize(
    ("pattern", "user", "covered"),
    [
        ("+12125550100", "+12125550100", True),
        ("+12125550100", "12125550100", True),
        ("+12125550100", "0012125550100", True),
        ("+12125550100", "+12125550101", False),
        ("12125550100", "12125550100", True),
        ("12125550100", "+12125550100", False),  # a pattern is what it says; plans write E.164
        ("+1212555XXXX", "12125551234", True),
        ("+1212555XXXX", "+1212555123", False),
        ("+1212*", "+1212", True),
        ("+1212*", "+12125550100", True),
        ("8XX", "812", True),
        ("8XX", "8123", False),
        ("8XX", "8X2", False),
        ("8XX", "8٣2", False),
        ("alice", "alice", True),
        ("Xavier", "Xavier", True),
        ("Xavier", "1avier", False),
        ("a.c", "abc", False),
        ("ann*", "anna", True),
        ("*", "", True),
        ("*", "anyone\nat all", True),
        ("+*", "12125550100", True),
        ("+*", "100", False),
    ],
)
def test_a_pattern_covers_a_user_part(pattern: str, user: str, covered: bool) -> None:
    assert check_pattern(pattern) == pattern
    assert matches(pattern, user) is covered


@pytest.mark.parametrize(
    "pattern", ["", "8xx", "_1NXX", "1NXXX", "1*2", "**", "a b", "+1 212", "1." + "2" * 200, "a@b"]
)
def test_what_is_not_a_pattern(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        check_pattern(pattern)


@given(digits, st.data())
def test_x_covers_any_digit_in_its_place(number: str, data: st.DataObject) -> None:
    pattern = "".join(data.draw(st.sampled_from([digit, "X"])) for digit in number)
    assert matches(check_pattern(pattern), number)
    assert not matches(pattern, number + "0") or len(number) >= 7  # a longer one may be covered by its E.164 form


@given(st.text(max_size=30), st.integers(0, 30))
def test_a_star_covers_every_rest(user: str, length: int) -> None:
    prefix = re.sub(r"[^0-9]", "", user)[:length]
    assert matches(prefix + "*", prefix + user)
    assert matches("*", user)


@given(st.text(max_size=40), st.sampled_from([None, "US", "GB", "NO"]))
def test_normalising_twice_is_normalising_once(user: str, region: str | None) -> None:
    number = normalise(user, region)
    if number is not None:
        assert re.fullmatch(r"\+[0-9]{7,15}", number)
        assert normalise(number, region) == number


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+12125550123", "+1212•••0123"),
        ("2125550123", "212•••0123"),
        ("+4915112345678", "+4915•••5678"),
        ("5550123", "•••23"),
        ("100", "100"),
        ("alice", "•••ce"),
        ("bob", "•••"),
        ("", ""),
    ],
)
def test_a_masked_number(number: str, shown: str) -> None:
    assert mask(number) == shown


@given(st.text(min_size=1, max_size=30))
def test_masking_hides_three_characters_or_more(number: str) -> None:
    if not re.fullmatch("[0-9]{1,4}", number):
        assert len(mask(number).replace("•••", "", 1)) <= max(len(number) - 3, 0)


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("16123456789", "DE", "+16123456789"),
        ("16123456789", None, "+16123456789"),
        ("6123456789", "US", "+16123456789"),
        ("01711234567", "DE", "+491711234567"),
        ("+4915112345678", "US", "+4915112345678"),
    ],
)
def test_digits_that_are_somebodys_number_are_that_one(text: str, region: str | None, number: str) -> None:
    assert dialled(text, region) == number
