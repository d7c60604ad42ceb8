"""A text is cut where a speaker would draw breath, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audio.sentences import sentences


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Hello. How are you? Fine!", ["Hello.", "How are you?", "Fine!"]),
        ("It costs 3.50 dollars. Shall I go on?", ["It costs 3.50 dollars.", "Shall I go on?"]),
        ("Dr. Smith and Mrs. Jones are in St. Louis. Please hold.", None),
        ("Call J. R. Smith now.", ["Call J. R. Smith now."]),
        ("We open at 9 a.m. Monday to Friday.", ["We open at 9 a.m. Monday to Friday."]),
        ("Use fruit, e.g. Apples. Done.", ["Use fruit, e.g. Apples.", "Done."]),
        ("Am 3. Mai kommt z.B. Herr Nr. 5. Danke.", ["Am 3. Mai kommt z.B. Herr Nr. 5. Danke."]),
        ("See www.example.com/a.b for more. Thanks.", ["See www.example.com/a.b for more.", "Thanks."]),
        ('She said "Stop!" Then she left.', ['She said "Stop!"', "Then she left."]),
        ("Wait... what?", ["Wait... what?"]),
        ("Really?! Yes.", ["Really?!", "Yes."]),
        ("第一。第二！", ["第一。", "第二！"]),
        ("One\n\nTwo", ["One", "Two"]),
        ("no end at all", ["no end at all"]),
        ("...", ["..."]),
        ("  ", []),
    ],
)
def test_cuts(text: str, parts: list[str] | None) -> None:
    if parts is None:
        parts = ["Dr. Smith and Mrs. Jones are in St. Louis.", "Please hold."]
    assert sentences(text) == parts


def test_a_sentence_without_end_is_cut_at_a_comma() -> None:
    parts = sentences("and so on, " * 200)
    assert all(len(part) <= 400 and part.endswith(",") for part in parts)
    assert len(parts) > 4


@given(
    st.text(max_size=1500) | st.lists(st.sampled_from(["Hi", ".", " ", "Mr", "3", "!", '"', "\n", "a"])).map("".join)
)
def test_nothing_is_lost_and_no_part_is_blank(text: str) -> None:
    parts = sentences(text)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(part.strip() == part and part and len(part) <= 400 for part in parts)
