"""The callers' RTP, a process of its own: one socket for all calls, sends to whoever sends; started by scene.py.

Each port of the gateway that sends gets 50 packets of PCMU a second back, until it has been silent for a second.
The calls' packets are spread over the 20 ms, as those of real callers are: echoing each packet at once would come in
bursts, which is easier on the gateway. sendmmsg and recvmmsg keep this at a few per cent of a core.
Says its port on stdout, and on SIGTERM what it sent. With the argument `mute` it only listens; with a number it sends
a tone of so many Hz, else noise. agents.py has the same RTP.
"""

import ctypes
import json
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

import numpy as np

from tests.bench.tones import packet_of

_SLOTS = 20
_SLOT_S = 0.001
_SLOTS_TO_FORGET = 1000
_BATCH = 512
_MSG_DONTWAIT = 0x40
_PACKET = np.dtype(
    [("flags", "u1"), ("type", "u1"), ("seq", ">u2"), ("ts", ">u4"), ("ssrc", ">u4"), ("payload", "u1", 160)]
)
_ADDRESS = np.dtype([("family", "u2"), ("port", ">u2"), ("host", "u1", 4), ("rest", "u1", 8)])  # sockaddr_in


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("iov", ctypes.POINTER(_Iovec)),
        ("iov_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    """struct mmsghdr, of recvmmsg(2)."""

    _fields_ = (("header", _Msghdr), ("transferred", ctypes.c_uint32))


_libc = ctypes.CDLL(None, use_errno=True)


class _Messages:
    """Packets with their addresses, as the two system calls want them."""

    def __init__(self, count: int) -> None:
        self.packets = np.zeros(count, _PACKET)
        self.addresses = np.zeros(count, _ADDRESS)
        self._iovecs = (_Iovec * count)()
        self._headers = (_Mmsghdr * count)()
        for i in range(count):
            self._iovecs[i] = _Iovec(self.packets.ctypes.data + i * _PACKET.itemsize, _PACKET.itemsize)
            header = self._headers[i].header
            header.name, header.name_length = self.addresses.ctypes.data + i * _ADDRESS.itemsize, _ADDRESS.itemsize
            header.iov, header.iov_count = ctypes.pointer(self._iovecs[i]), 1

    def send(self, descriptor: int) -> int:
        return max(0, int(_libc.sendmmsg(descriptor, self._headers, len(self._headers), _MSG_DONTWAIT)))

    def receive(self, descriptor: int) -> int:
        return max(0, int(_libc.recvmmsg(descriptor, self._headers, len(self._headers), _MSG_DONTWAIT, None)))


class Callers:
    """All callers' RTP."""

    def __init__(self, mute: bool = False, hz: int | None = None) -> None:
        """`hz` must be a multiple of 50, as all packets of a tone are the same. None: noise."""
        self._mute, self._hz = mute, hz
        self._rtp, self._rtcp = _pair()
        self._inbox = _Messages(_BATCH)
        self._streams: list[dict[int, np.ndarray]] = [{} for _ in range(_SLOTS)]
        self._outboxes: list[_Messages | None] = [None] * _SLOTS
        self._known: dict[int, int] = {}
        self._heard: set[int] = set()
        self.sent = self.received = self.unsent = 0
        self.latest_s = 0.0

    @property
    def port(self) -> int:
        """Where RTP is to be sent."""
        return int(self._rtp.getsockname()[1])

    def run(self, also: Callable[[int], None] = lambda slot: None) -> None:
        """Until SIGTERM. `also` is called every millisecond, before the packets of that slot are sent."""
        began, slot = time.monotonic(), 0
        while True:
            late = time.monotonic() - began - slot * _SLOT_S
            if late < 0:
                time.sleep(-late)
            else:
                self.latest_s = max(self.latest_s, late)
            self._receive()
            also(slot % _SLOTS)
            self._send(slot % _SLOTS)
            slot += 1
            if slot % _SLOTS_TO_FORGET == 0:
                self._forget()

    def told(self) -> dict[str, float]:
        """What was done; `latestMs`: how late a slot was at most."""
        counts = {"sent": self.sent, "received": self.received, "unsent": self.unsent}
        return {**counts, "latestMs": round(self.latest_s * 1000, 1)}

    def _receive(self) -> None:
        while (count := self._inbox.receive(self._rtp.fileno())) > 0:
            self.received += count
            if self._mute:
                continue
            ports = set(self._inbox.addresses["port"][:count].tolist())
            self._heard |= ports
            for port in ports - self._known.keys():
                self.begin(port, min(range(_SLOTS), key=lambda number: len(self._streams[number])))
            if count < _BATCH:
                return

    def begin(self, port: int, slot: int) -> None:
        """Send to this port from now on, in this of the 20 slots."""
        packet = np.zeros((), _PACKET)
        packet["flags"], packet["ssrc"] = 0x80, 0xBE000000 + port
        noise = np.random.default_rng(port).integers(0, 256, 160)
        packet["payload"] = noise if self._hz is None else packet_of(self._hz)
        self._streams[slot][port] = packet
        self._known[port] = slot
        self._heard.add(port)
        self._rebuild(slot)

    def _forget(self) -> None:
        gone = self._known.keys() - self._heard
        for port in gone:
            del self._streams[self._known[port]][port]
        for slot in {self._known.pop(port) for port in gone}:
            self._rebuild(slot)
        self._heard.clear()

    def _rebuild(self, slot: int) -> None:
        """Make the slot's messages anew; the streams go on where they were."""
        old, streams = self._outboxes[slot], self._streams[slot]
        if old is not None:
            for address, packet in zip(old.addresses, old.packets, strict=True):
                if int(address["port"]) in streams:
                    streams[int(address["port"])] = packet.copy()
        self._outboxes[slot] = outbox = _Messages(len(streams)) if streams else None
        if outbox is not None:
            for i, packet in enumerate(streams.values()):
                outbox.packets[i] = packet
            outbox.addresses["family"] = socket.AF_INET
            outbox.addresses["host"] = (127, 0, 0, 1)
            outbox.addresses["port"] = list(streams)

    def _send(self, slot: int) -> None:
        outbox = self._outboxes[slot]
        if outbox is None:
            return
        outbox.packets["seq"] += 1
        outbox.packets["ts"] += 160
        sent = outbox.send(self._rtp.fileno())
        self.sent += sent
        self.unsent += len(outbox.packets) - sent


def _pair() -> tuple[socket.socket, socket.socket]:
    """An even port and the next one. Nothing reads RTCP: it is bound so that no ICMP goes back."""
    while True:
        rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        rtp.bind(("127.0.0.1", 0))
        port = rtp.getsockname()[1]
        try:
            if port % 2 == 0:
                rtcp.bind(("127.0.0.1", port + 1))
                rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
                return rtp, rtcp
        except OSError:
            pass
        rtp.close()
        rtcp.close()


def end(_: int, __: FrameType | None) -> None:
    """Of SIGTERM."""
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    callers = Callers("mute" in sys.argv[1:], next((int(hz) for hz in sys.argv[1:] if hz.isdigit()), None))
    print(callers.port, flush=True)
    try:
        callers.run()
    finally:
        print(json.dumps(callers.told()), flush=True)
