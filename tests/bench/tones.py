"""The tones that each party sends, and which packets of RTP have one; for callers.py, agents.py and who reads the wire.

Ringback (440 and 480 Hz), hold music and silence flow before the parties are joined, so it takes the other party's own
tone to see that they hear each other.
"""

import numpy as np

from tests.ear import MU_LAW, encode

CUSTOMER_HZ, AGENT_HZ, CONSULTANT_HZ = 700, 2150, 2900
"""Multiples of 50: whole periods in 20 ms, so that the packets of a tone are all alike and join without a click. Those
of agent and consultant lie where our hold music, which the customer hears before them, has nothing: less than 0.01."""

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
    return len(payload) > 0 and with_tone([payload], hz) == 1


def with_tone(payloads: list[bytes], hz: int) -> int:
    """How many of these packets have it; all are equally long."""
    sound = MU_LAW[np.frombuffer(b"".join(payloads), np.uint8)].reshape(len(payloads), -1) / 32768
    turning = np.exp(-2j * np.pi * hz * np.arange(sound.shape[1]) / _RATE)
    return int(np.count_nonzero(2 * np.abs(sound @ turning) / sound.shape[1] > _LEAST))
