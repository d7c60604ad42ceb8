"""The RTP of hundreds of phones for the price of a few: one clock sings and listens for all; used by consult_cast.py.

async with Choir() as choir:
    office.customer.ear = choir.singer(CARRIER)      # before the phone is opened
    ...
    windows = heard(office.customer.ear, since_s, until_s)
"""

import asyncio
import itertools
import socket
import struct
import time
from types import TracebackType
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tests.ear import _SO_TIMESTAMPNS, MU_LAW, PCMU, Ear, encode
from tests.party import VOICES

_TICK_S: Final = 0.02
_HEARS_EVERY: Final = 5
_STALL_S: Final = 0.06
WINDOW_S: Final = 0.2
_PACKETS: Final = round(WINDOW_S / _TICK_S)
_SAMPLES: Final = 160 * _PACKETS
_VOICE_DB: Final = -40.0
"""As `spectrum.has_tone`: what anybody would hear."""
_NAMES: Final = tuple(VOICES)


def _bank() -> NDArray[np.complex128]:
    """One column per voice: what a Goertzel filter sums, under a Hann window; a tone of ±1.0 gives 1."""
    window = np.hanning(_SAMPLES)
    turns = np.outer(np.arange(_SAMPLES), [VOICES[name] for name in _NAMES]) / 8000
    return np.asarray(window[:, None] * np.exp(-2j * np.pi * turns) * 2 / window.sum())


_BANK: Final = _bank()


class Window(NamedTuple):
    """WINDOW_S of what somebody hears: when it began (time.monotonic()), whose voices are in it, how loud it is (RMS,
    dBFS)."""

    at_s: float
    voices: frozenset[str]
    db: float


class Singer(Ear):
    """An ear whose mouth and reading are the choir's."""

    def __init__(self, address: str, choir: "Choir") -> None:
        super().__init__(address)
        self._choir, self._tone = choir, b""

    async def __aenter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.bind((self.address, 0))
        self.port = int(self._socket.getsockname()[1])
        self._choir.singers.add(self)
        return self

    def close(self) -> None:
        """Hear and say nothing any more."""
        self._choir.singers.discard(self)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def sings(self, hz: float) -> None:
        """A tone of -12 dBFS, as soon as it is known where to, until told otherwise."""
        self._tone = encode(0.25 * np.sin(2 * np.pi * np.arange(8000) * round(hz) / 8000))

    def is_silent(self) -> None:
        """Say nothing any more."""
        self._tone = b""

    def tick(self, number: int) -> None:
        """20 ms of the tone."""
        if self._tone and self.peer is not None and self._socket is not None:
            at = number * 160 % 8000
            head = struct.pack("!BBHII", 128, PCMU, next(self._sequence) & 0xFFFF, number * 160 & 0xFFFFFFFF, 0x5157)
            try:
                self._socket.sendto(head + self._tone[at : at + 160], self.peer)
            except OSError:  # the other side has closed its port: it is hung up
                return

    def hears(self) -> None:
        """Take what has come."""
        if self._socket is not None:
            self._read(self._socket)


class Choir:
    """`async with` runs its clock."""

    def __init__(self) -> None:
        self.singers: set[Singer] = set()
        self.late_s = 0.0
        """By how much the clock was late at most: what the machine could not carry."""
        self.stalls: list[tuple[float, float]] = []
        """From when to when (time.monotonic()) nobody sang nor listened."""

    def singer(self, address: str) -> Singer:
        """One more."""
        return Singer(address, self)

    async def __aenter__(self) -> Self:
        self._clock = asyncio.create_task(self._run(), name="choir")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clock.cancel()
        await asyncio.wait({self._clock})

    async def _run(self) -> None:
        began = time.monotonic()
        for number in itertools.count():
            for place, singer in enumerate(tuple(self.singers)):
                singer.tick(number)
                if (number + place) % _HEARS_EVERY == 0:
                    singer.hears()
            due = began + (number + 1) * _TICK_S
            late_s = time.monotonic() - due
            self.late_s = max(self.late_s, late_s)
            if late_s > _STALL_S:
                self.stalls.append((due, due + late_s))
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def stalled(self, since_s: float, until_s: float) -> bool:
        """Whether it did, then."""
        return any(began < until_s and since_s < ended for began, ended in self.stalls)


def _windows(ear: Ear, since_s: float, until_s: float) -> list[tuple[float, bytes]]:
    """What came in each full WINDOW_S, and when that began; none where packets are missing."""
    found: list[tuple[float, bytes]] = []
    packets = [p for p in ear.packets if p.payload_type == PCMU and since_s <= p.at_s < until_s]
    packets.sort(key=lambda p: p.at_s)
    for at in range(0, len(packets) - _PACKETS + 1, _PACKETS):
        part = packets[at : at + _PACKETS]
        if part[-1].at_s - part[0].at_s < 1.5 * WINDOW_S:
            found.append((part[0].at_s, b"".join(p.payload for p in part)))
    return [(at_s, sound) for at_s, sound in found if len(sound) == _SAMPLES]


def heard(ear: Ear, since_s: float, until_s: float) -> list[Window]:
    """All full windows between these moments."""
    windows = _windows(ear, since_s, until_s)
    if not windows:
        return []
    sound = np.stack([MU_LAW[np.frombuffer(sound, np.uint8)] for _, sound in windows]) / 32768
    tones = 20 * np.log10(np.abs(sound @ _BANK) + 1e-9)
    levels = 10 * np.log10(np.mean(sound**2, axis=1) + 1e-12)
    return [
        Window(at_s, frozenset(itertools.compress(_NAMES, row > _VOICE_DB)), round(float(level), 1))
        for (at_s, _), row, level in zip(windows, tones, levels, strict=True)
    ]
