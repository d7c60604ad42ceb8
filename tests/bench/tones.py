"""The tones that callers and agents send, and whether a packet of RTP has one; for callers.py, agents.py, switched.py.

Ringback (440 and 480 Hz) and silence flow before the parties are joined, so it takes the other party's own tone to see
that they hear each other.
"""

import numpy as np

from tests.ear import MU_LAW, encode

CUSTOMER_HZ, AGENT_HZ = 700, 1300
"""Multiples of 50: whole periods in 20 ms, so that the packets of a tone are all alike and join without a click."""

_RATE = 8000
_SAMPLES = 160
_AMPLITUDE = 0.25
_LEAST = 0.05
"""Of what is sent 0.25, of the ringback less than 0.01 by its side lobes."""


def packet_of(hz: int) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
    """20 ms of it as µ-law."""
    return np.frombuffer(encode(_AMPLITUDE * np.sin(2 * np.pi * hz * np.arange(_SAMPLES) / _RATE)), np.uint8)


def has_tone(payload: bytes, hz: int) -> bool:
    """Whether 20 ms of µ-law have it, be it that it only begins within them."""
    sound = MU_LAW[np.frombuffer(payload, np.uint8)] / 32768
    turning = np.exp(-2j * np.pi * hz * np.arange(len(sound)) / _RATE)
    return bool(len(sound) > 0 and 2 * abs(np.dot(sound, turning)) / len(sound) > _LEAST)
