"""The tone that a caller hears while somebody else's phone rings; called by speech/prompts.py to make a loop of it."""

import numpy as np

from gateway.audio.pcm import Samples

_ON_S, _OFF_S = 2.0, 4.0
_HZ = (440.0, 480.0)
_LEVEL = 10 ** (-19 / 20)
_EDGE_S = 0.005


def ringback(rate: int) -> Samples:
    """One turn of the North American ringback tone (ITU-T E.180, supplement 2): 440 + 480 Hz, 2 s on, 4 s off."""
    at = np.arange(int(_ON_S * rate)) / rate
    tone = sum(np.sin(2 * np.pi * hz * at) for hz in _HZ) * _LEVEL / len(_HZ)
    edge = np.minimum(1.0, np.minimum(at, at[::-1]) / _EDGE_S)  # no clicks
    loop = np.zeros(int((_ON_S + _OFF_S) * rate))
    loop[: len(at)] = tone * edge
    return loop.astype(np.float32)
