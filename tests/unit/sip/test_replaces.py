"""The Replaces header as a value, and who may take which leg's place (RFC 3891 §3)."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.calls.model import LegId
from gateway.sip.replaces import ReplacedLeg, Replaces, ReplacesError, parse_replaces, refusal_of, replaces_of

WANTED = Replaces("a@b", "ours", "theirs")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a@b;to-tag=ours;from-tag=theirs", WANTED),
        (" a@b ; from-tag = theirs ; To-Tag=ours ", WANTED),
        ("a@b;to-tag=ours;from-tag=theirs;x=1;y;z=[::1]", WANTED),
        ("a@b;to-tag=ours;from-tag=theirs;early-only", replace(WANTED, early_only=True)),
        (
            "425928@bobster.example.org;to-tag=7743;from-tag=6472",
            Replaces("425928@bobster.example.org", "7743", "6472"),
        ),
        ('(<{[x]}>:\\"/?@y;to-tag=1;from-tag=0', Replaces('(<{[x]}>:\\"/?@y', "1", "0")),
    ],
)
def test_a_value(value: str, expected: Replaces) -> None:
    assert parse_replaces(value) == expected
    assert parse_replaces(str(expected)) == expected


@pytest.mark.parametrize(
    "value",
    [
        "", ";", "a@b", "a@b;to-tag=1", "a@b;from-tag=1", ";to-tag=1;from-tag=2", "a@b;to-tag;from-tag=2",
        "a@b;to-tag=;from-tag=2", "a@b;to-tag=1;from-tag=2;to-tag=3", "a@b;to-tag=1;from-tag=2;;",
        "a@b;to-tag=1;from-tag=2, c@d;to-tag=3;from-tag=4", "a b;to-tag=1;from-tag=2", "a@b@c;to-tag=1;from-tag=2",
        "a@b;to-tag=1\r\nX: y;from-tag=2", "a\r\n@b;to-tag=1;from-tag=2", "a@b;to-tag=ü;from-tag=2",
        f"a@b;to-tag={'1' * 1100};from-tag=2",
    ],
)  # fmt: skip
def test_what_is_none(value: str) -> None:
    with pytest.raises(ReplacesError):
        parse_replaces(value)


@given(st.text() | st.text(alphabet='a@;=, to-tagfrmely\r\n\0"<>', max_size=60))
@example("a@b;to-tag=1;from-tag=2")
def test_whatever_comes_raises_nothing_else_and_is_one_line(value: str) -> None:
    try:
        found = parse_replaces(value)
    except ReplacesError:
        return
    assert str(found).isascii() and str(found).isprintable() and "," not in str(found)
    assert parse_replaces(str(found)) == found


def test_of_all_headers_there_may_be_one() -> None:
    assert replaces_of(()) is None
    assert replaces_of((str(WANTED),)) == WANTED
    with pytest.raises(ReplacesError, match="more than one"):
        replaces_of((str(WANTED), str(WANTED)))


LEG = ReplacedLeg(LegId("leg_1"), "t", "192.0.2.1", we_called=False, answered=True, over=False)
EARLY = replace(WANTED, early_only=True)
RINGING = replace(LEG, we_called=True, answered=False)


@pytest.mark.parametrize(
    ("wanted", "leg", "trunk", "source", "status"),
    [
        (WANTED, LEG, "t", "192.0.2.9", 0),
        (WANTED, LEG, "other", "192.0.2.1", 0),
        (WANTED, LEG, "other", "192.0.2.9", 403),
        (WANTED, None, "t", "192.0.2.1", 481),
        (WANTED, replace(LEG, over=True), "t", "192.0.2.1", 603),
        (WANTED, replace(LEG, over=True), "other", "192.0.2.9", 403),
        (EARLY, LEG, "t", "192.0.2.1", 486),
        (EARLY, LEG, "other", "192.0.2.9", 403),
        (EARLY, RINGING, "t", "192.0.2.1", 0),
        (WANTED, RINGING, "t", "192.0.2.1", 0),
        (WANTED, RINGING, "other", "192.0.2.9", 403),
        (WANTED, replace(LEG, answered=False), "t", "192.0.2.1", 481),
        (WANTED, replace(LEG, answered=False), "other", "192.0.2.9", 403),
        (WANTED, replace(RINGING, answered=True), "t", "192.0.2.1", 0),
    ],
)
def test_who_may_take_the_place(
    wanted: Replaces, leg: ReplacedLeg | None, trunk: str, source: str, status: int
) -> None:
    assert refusal_of(wanted, leg, trunk, source) == status
