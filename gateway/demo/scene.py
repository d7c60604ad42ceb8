"""What every scene of the demo has: whom it needs, how it goes, whether it went so; played by run.py."""

from typing import Protocol

from gateway.demo.cast import Cast
from gateway.demo.record import Record


class Scene(Protocol):
    """One call from start to end, played once."""

    @property
    def parties(self) -> tuple[str, ...]:
        """The ladder's columns, as Stage wants them."""

    @property
    def intro(self) -> str:
        """What is going to be seen, in a line."""

    @property
    def last_words(self) -> tuple[str, ...]:
        """How to try it oneself."""

    async def play(self, cast: Cast) -> Record:
        """All of it; the record of the call. Raises DemoFailed when it does not go on; adds to `stage.problems`."""

    def check(self, cdr: Record) -> list[str]:
        """What was not as planned, beside the problems that the stage has."""
