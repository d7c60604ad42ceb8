"""Who hears whom: found in the sound at each phone, told by the API's `hearing`, and shown; for the scenes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from gateway.audio.pcm import SAMPLE_BYTES, samples_in, samples_of, tone_dbfs

Hearing: TypeAlias = Mapping[str, frozenset[str]]
"""Who hears whom: the name of a phone, and the names of all that it hears."""

MUSIC, RINGBACK = "music", "ringback"
"""What the gateway itself lets people hear."""
AUDIBLE_DBFS: Final = -40.0
RINGBACK_HZ: Final = (440.0, 480.0)
RATE: Final = 8000
"""Samples a second at a phone."""

_MUSIC_HZ: Final = (293.66, 329.63, 349.23, 392.0, 493.88, 523.25, 587.33, 659.26)
"""The notes of the hold music's chords (gateway/audio/hold_music.py), without the A that is in ringback too."""
_PIECE_MS: Final = 500
_NONE, _SELF, _YES = "–", "·", "hears"
_WIDTH: Final = 10
_MARGIN: Final = "  "


def is_heard(pcm: bytes, hz: float) -> bool:
    """Whether a tone is there that anybody would hear."""
    return tone_dbfs(samples_of(pcm), RATE, hz) > AUDIBLE_DBFS


def when_heard(pcm: bytes, hz: float, piece_ms: int) -> list[float]:
    """After how many seconds there is a piece of this length with the tone in it."""
    size = SAMPLE_BYTES * samples_in(piece_ms, RATE)
    starts = range(0, len(pcm) - size + 1, size)
    return [at / SAMPLE_BYTES / RATE for at in starts if is_heard(pcm[at : at + size], hz)]


def sources(pcm: bytes, voices: Mapping[str, float]) -> frozenset[str]:
    """Who or what is heard anywhere in it. `voices` gives each phone's own tone in Hz."""
    size = SAMPLE_BYTES * samples_in(_PIECE_MS, RATE)
    return frozenset(
        source for at in range(0, max(len(pcm) - size, 0) + 1, size) for source in _in(pcm[at : at + size], voices)
    )


def _in(piece: bytes, voices: Mapping[str, float]) -> Iterator[str]:
    yield from (name for name, hz in voices.items() if is_heard(piece, hz))
    if all(is_heard(piece, hz) for hz in RINGBACK_HZ):
        yield RINGBACK
    if any(is_heard(piece, hz) for hz in _MUSIC_HZ):
        yield MUSIC


def told(call: Mapping[str, Any], names: Mapping[str, str]) -> Hearing:
    """What the API says in `hearing` of a call. `names` gives each leg's phone; a leg that has none keeps its id."""
    heard: dict[str, set[str]] = {
        names.get(leg["legId"], leg["legId"]): set() for leg in call["legs"] if leg["state"] == "connected"
    }
    for edge in call["hearing"]:
        source = str(edge["source"])
        if source.startswith("music:"):
            source = RINGBACK if source.endswith(RINGBACK) else MUSIC
        heard.setdefault(names.get(edge["sink"], edge["sink"]), set()).add(names.get(source, source))
    return {name: frozenset(those) for name, those in heard.items()}


def differences(found: Hearing, wanted: Hearing) -> list[str]:
    """What is heard in one and not in the other, in words."""
    words = []
    for name in sorted(found.keys() | wanted.keys()):
        there, due = found.get(name, frozenset()), wanted.get(name, frozenset())
        words += [f"{name} hears {one}" for one in sorted(there - due)]
        words += [f"{name} does not hear {one}" for one in sorted(due - there)]
    return words


def table(hearing: Hearing, people: Sequence[str]) -> list[str]:
    """A row for each who hears, a column for each who can be heard."""
    columns = (*people, MUSIC, RINGBACK)
    rows = [[name, *(_cell(hearing, name, column) for column in columns)] for name in people if name in hearing]
    return [_MARGIN + "".join(cell.ljust(_WIDTH) for cell in row).rstrip() for row in (["", *columns], *rows)]


def _cell(hearing: Hearing, name: str, column: str) -> str:
    if column in hearing[name]:
        return _YES
    return _SELF if column == name else _NONE
