"""What is wrong with a plan, and where: problems, places, nearest names; raised by parse.py and settings.py."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]
"""Where a value sits in a plan: `("routes", 0, "to")` is shown as `routes[0].to`."""


def show(path: KeyPath) -> str:
    """The path as people write it: `channels.reception.bot`, `routes[0].to`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a typist most likely meant, or None when nothing is near."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, known: Sequence[str], otherwise: str) -> str:
    """`did you mean "answer"?`, or the text `otherwise` when no known name is near."""
    near = nearest(name, known)
    return f'did you mean "{near}"?' if near else otherwise


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written: a file and its line (1 is the first), or a source without lines (line None)."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to put right; `str()` is the line that `switchhook check` prints.

    `path` is empty when the file as a whole is meant. `message` says what is wrong and what to write instead; it
    never holds the value of a secret.
    """

    file: str
    line: int | None
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (str(Place(self.file, self.line)), self.path, self.message) if part)


def problem(place: Place, path: KeyPath, message: str) -> Problem:
    """A problem with what stands at `path`, which was written at `place`."""
    return Problem(place.file, place.line, show(path), message)


class ProblemsError(Exception):
    """A plan or settings file that cannot be used; `problems` holds all that is wrong, in the order of the files.

    ProblemsError
    ├── DialplanError      dialplans (gateway/dialplan/parse.py)
    └── SettingsError      switchhook.yaml, SWITCHHOOK_*, options (gateway/settings.py)
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(one) for one in self.problems))


class DialplanError(ProblemsError):
    """The dialplan cannot be used: the operator's mistake, to be put right in the files named."""
