"""What is made from code is as the code would make it now."""

from tests.generated import generated


def test_nothing_is_stale():
    stale = [path.name for path, text in generated().items() if path.read_text() != text]
    assert not stale, f"run `make docs`: {stale}"
