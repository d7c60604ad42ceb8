"""A caller's RTP (G.711, RFC 4733): keeps what it hears, packet by packet, sings tones, presses keys; for tests/sip."""

import asyncio
import itertools
import socket
import struct
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from tests.spectrum import rms_db
from tests.wire import CARRIER

PCMU: Final = 0
TELEPHONE_EVENT: Final = 101
_KEYS: Final = "0123456789*#ABCD"
_TICK_S: Final = 0.02
_LOUD_DB: Final = -45.0
_DEAD_DB: Final = -60.0
"""Quieter than any room or line (about -50 dBm0p, ITU-T G.223), and louder than what G.711 makes of nothing: its two
zeros are 0, its smallest step, 8 of 32768, is -72 dBFS."""
_SO_TIMESTAMPNS: Final = 35  # socket(7) of Linux; Python has no name for it
_EPOCH_S: Final = time.time() - time.monotonic()


def _mu_law() -> NDArray[np.int16]:
    """The 256 values of ITU-T G.711 µ-law."""
    code = ~np.arange(256, dtype=np.uint8)
    magnitude = (((code & 15).astype(np.int32) << 3) + 132 << ((code >> 4) & 7)) - 132
    return np.where(code & 128, -magnitude, magnitude).astype(np.int16)


MU_LAW: Final = _mu_law()
"""The value of each code."""
_ORDER: Final = np.argsort(MU_LAW, kind="stable")


def encode(samples: NDArray[np.float64]) -> bytes:
    """Samples of ±1.0 as µ-law: the nearest of its values."""
    values = MU_LAW[_ORDER].astype(np.int32)
    between = (values[1:] + values[:-1]) / 2
    return _ORDER[np.searchsorted(between, samples * 32767)].astype(np.uint8).tobytes()


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet."""

    at_s: float
    """time.monotonic() of its arrival."""
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes

    @property
    def pcm(self) -> bytes:
        """16-bit PCM of a µ-law packet."""
        return MU_LAW[np.frombuffer(self.payload, np.uint8)].tobytes()

    @property
    def loud(self) -> bool:
        """Anybody would hear something."""
        return self.payload_type == PCMU and rms_db(self.pcm) > _LOUD_DB

    @property
    def dead(self) -> bool:
        """A caller would take the line for dead."""
        return self.payload_type == PCMU and rms_db(self.pcm) < _DEAD_DB


class Ear:
    """An RTP socket at `address`; packets have the kernel's time, so a test that is late itself hears no gap.

    `peer` is where it sends to; None until an SDP told, or a packet came (symmetric RTP, RFC 4961).
    """

    def __init__(self, address: str = CARRIER) -> None:
        self.address, self.port = address, 0
        self.peer: tuple[str, int] | None = None
        self.packets: list[Packet] = []
        self._news = asyncio.Event()
        self._socket: socket.socket | None = None
        self._mouth: asyncio.Task[None] | None = None
        self._sequence = itertools.count(1000)
        self._began = time.monotonic()

    async def __aenter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.bind((self.address, 0))
        self.port = int(self._socket.getsockname()[1])
        asyncio.get_running_loop().add_reader(self._socket, self._read, self._socket)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hear and say nothing any more."""
        self.is_silent()
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    # ── hearing ─────────────────────────────────────────────────────────────────────────────────────

    def _read(self, source: socket.socket) -> None:
        while True:
            try:
                data, more, _, sender = source.recvmsg(2048, 64)
            except OSError:  # no more for now; or nobody listens where we send to
                return
            if len(data) >= 12 and data[0] >> 6 == 2:
                self.peer = self.peer or sender
                self._keep(data, more[0][2])

    def _keep(self, data: bytes, clock: bytes) -> None:
        seconds, nanoseconds = struct.unpack("qq", clock)
        at_s = seconds + nanoseconds / 1e9 - _EPOCH_S
        _, kind, sequence, timestamp, ssrc = struct.unpack("!BBHII", data[:12])
        self.packets.append(Packet(at_s, kind & 127, sequence, timestamp, ssrc, data[12:]))
        self._news.set()

    def sound(self, since_s: float = 0.0, until_s: float = float("inf")) -> bytes:
        """PCM of the audio that came between these moments (time.monotonic()), in order."""
        heard = [p for p in self.packets if p.payload_type == PCMU and since_s <= p.at_s <= until_s]
        return b"".join(p.pcm for p in sorted(heard, key=lambda p: (p.ssrc, p.sequence)))

    async def listens(self, seconds: float) -> bytes:
        """PCM of what comes from now on, for so long."""
        began = time.monotonic()
        await asyncio.sleep(seconds)
        return self.sound(began)

    def loud_times(self, since_s: float = 0.0) -> list[float]:
        """When loud packets came."""
        return [p.at_s for p in self.packets if p.at_s >= since_s and p.loud]

    def dead_air(self, since_s: float, until_s: float) -> float:
        """The longest stretch, in seconds, without a packet that anybody would hear (`_DEAD_DB`), or without any."""
        alive = [p.at_s for p in self.packets if since_s <= p.at_s <= until_s and not p.dead]
        return max(b - a for a, b in itertools.pairwise([since_s, *alive, until_s]))

    async def hears_something(self, since_s: float = 0.0, timeout_s: float = 10.0) -> float:
        """Wait for sound; when the first of it came."""
        async with asyncio.timeout(timeout_s):
            while not (times := self.loud_times(since_s)):
                self._news.clear()
                await self._news.wait()
        return times[0]

    async def hears_keys(self, count: int, timeout_s: float = 10.0) -> str:
        """Wait for so many keys as RFC 4733 events."""
        async with asyncio.timeout(timeout_s):
            while len(self.keys) < count:
                self._news.clear()
                await self._news.wait()
        return self.keys

    @property
    def keys(self) -> str:
        """The keys that came as RFC 4733 events: one event has one timestamp."""
        events = {(p.ssrc, p.timestamp): p.payload[0] for p in self.packets if p.payload_type == TELEPHONE_EVENT}
        return "".join(_KEYS[event] for event in events.values())

    # ── saying ──────────────────────────────────────────────────────────────────────────────────────

    def sings(self, hz: float) -> None:
        """A tone of -12 dBFS, as soon as it is known where to, until told otherwise."""
        self.is_silent()
        self._mouth = asyncio.create_task(self._sing(hz))

    def is_silent(self) -> None:
        """Say nothing any more."""
        if self._mouth is not None:
            self._mouth.cancel()
            self._mouth = None

    async def _sing(self, hz: float) -> None:
        turns = np.arange(8000) * round(hz) / 8000
        second = encode(0.25 * np.sin(2 * np.pi * turns))
        began = time.monotonic()
        for tick in itertools.count():
            at = tick * 160 % 8000
            if self.peer is not None:
                self._send(PCMU, self._now(), second[at : at + 160])
            await asyncio.sleep(began + (tick + 1) * _TICK_S - time.monotonic())

    async def presses(self, keys: str, ms: int = 100, gap_ms: int = 60) -> float:
        """Keys as RFC 4733 events; when the first packet of the first one went out."""
        first = 0.0
        for key in keys:
            timestamp, ticks = self._now(), ms // 20
            for tick in range(1, ticks + 1):
                self._send(TELEPHONE_EVENT, timestamp, self._event(key, tick * 160, end=False), marker=tick == 1)
                first = first or time.monotonic()
                await asyncio.sleep(_TICK_S)
            for _ in range(3):
                self._send(TELEPHONE_EVENT, timestamp, self._event(key, ticks * 160, end=True))
            await asyncio.sleep(gap_ms / 1000)
        return first

    def _event(self, key: str, duration: int, end: bool) -> bytes:
        return struct.pack("!BBH", _KEYS.index(key), 10 | (128 if end else 0), duration)

    def _now(self) -> int:
        return int((time.monotonic() - self._began) * 50) * 160 & 0xFFFFFFFF

    def _send(self, kind: int, timestamp: int, payload: bytes, marker: bool = False) -> None:
        head = struct.pack(
            "!BBHII", 128, kind | (128 if marker else 0), next(self._sequence) & 0xFFFF, timestamp, 0x5157
        )
        self.sends(head + payload)

    def sends(self, packet: bytes) -> None:
        """One RTP packet as it is."""
        assert self._socket is not None and self.peer is not None
        self._socket.sendto(packet, self.peer)
