"""People who talk through the gateway, each with a tone of their own: who hears whom, on the audio; for tests/sip."""

import asyncio
from collections.abc import Mapping
from typing import Final

from tests.callee import Callee
from tests.caller import Caller
from tests.spectrum import has_tone, tone_db

CUSTOMER_HZ, AGENT_HZ, CONSULTANT_HZ = 1100, 1500, 1900
"""None of them is in the hold music, nor in ringback, beyond what `has_tone` takes for a tone."""
SUPERVISOR_HZ: Final = 2300
VOICES: Final[Mapping[str, int]] = {
    "customer": CUSTOMER_HZ,
    "agent": AGENT_HZ,
    "consultant": CONSULTANT_HZ,
    "supervisor": SUPERVISOR_HZ,
}
_RINGBACK_S: Final = 6.1
_NOTES: Final = (294, 330, 349, 392, 440, 494, 523, 587, 659, 698, 784, 880)
_SETTLED_S: Final = 0.25
_LISTENS_S: Final = 0.5

Party = Caller | Callee


def sources(sound: bytes) -> set[str]:
    """Who or what is heard in it."""
    voices = {name for name, hz in VOICES.items() if has_tone(sound, hz)}
    return voices | ({"music"} if max(tone_db(sound, hz) for hz in _NOTES) > -38 else set())


async def matrix(**parties: Party) -> dict[str, set[str]]:
    """What each of them hears now, all at once. All must be singing (`sing`)."""
    await asyncio.sleep(_SETTLED_S)
    heard = await asyncio.gather(*(party.ear.listens(_LISTENS_S) for party in parties.values()))
    return {name: sources(sound) for name, sound in zip(parties, heard, strict=True)}


async def hears_ringback(party: Party) -> bool:
    """Within one period of it (2 s of tone, 4 s of nothing), and nobody's voice."""
    await asyncio.sleep(_SETTLED_S)
    sound = await party.ear.listens(_RINGBACK_S)
    pieces = [sound[at : at + 8000] for at in range(0, len(sound), 8000)]  # of half a second
    tones = any(all(tone_db(piece, hz, width=5.0) > -32 for hz in (440, 480)) for piece in pieces)
    return tones and not any(has_tone(sound, hz) for hz in VOICES.values())


def sing(**parties: Party) -> None:
    """Everybody has their own tone from now on."""
    for name, party in parties.items():
        party.ear.sings(VOICES[name])
