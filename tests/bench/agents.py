"""The people whom the gateway calls, a process of its own: `agents.py HOST HZ`; started by scene.py.

SIP by hand, RTP as callers.py. An INVITE gets 180 at once and 200 after RING_S. With the 200 the first packet of RTP
leaves, and from then on one every 20 ms, as from a phone that is picked up: nothing that a figure waits for begins
later than the 200 itself. Says its ports (SIP, RTP) on stdout, and on SIGTERM what it did.
"""

import json
import re
import signal
import socket
import sys
import time
from collections import deque

from tests.bench.callers import Callers, end

RING_S = 0.3

_KEPT = re.compile(rb"^(?:via|record-route|from|to|call-id|cseq):[^\r\n]*", re.IGNORECASE | re.MULTILINE)
_CALL_ID = re.compile(rb"^call-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_MEDIA = re.compile(rb"^m=audio (\d+)", re.MULTILINE)
_TAG = b";tag=agent"
_LONGEST = 65536

Address = tuple[str, int]


class Agents:
    """All of them at one address, each INVITE is another one."""

    def __init__(self, host: str, hz: int) -> None:
        """`hz`: the tone that they send."""
        self.rtp = Callers(hz=hz)
        self._sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sip.bind((host, 0))
        self._sip.setblocking(False)
        self._sip.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._host, self.port = self._sip.getsockname()
        self._said: dict[bytes, bytes] = {}
        self._ringing: deque[tuple[float, bytes, Address]] = deque()
        self.answered = self.acked = 0

    def turn(self, slot: int) -> None:
        """Take what has come, and answer those who have heard it ring for long enough."""
        while True:
            try:
                data, source = self._sip.recvfrom(_LONGEST)
            except BlockingIOError:
                break
            self._take(data, source)
        while self._ringing and self._ringing[0][0] <= time.monotonic():
            _, invite, source = self._ringing.popleft()
            self._respond(invite, source, b"200 OK", sdp=True)
            self.answered += 1
            media = _MEDIA.search(invite)
            if media is not None:
                self.rtp.begin(int(media[1]), slot)

    def told(self) -> dict[str, float]:
        """What was done."""
        return {**self.rtp.told(), "answered": self.answered, "acked": self.acked}

    def _take(self, data: bytes, source: Address) -> None:
        method = data.partition(b" ")[0]
        if method == b"ACK":
            self.acked += 1
        elif method == b"INVITE":
            said = self._said.get(_call_id(data))
            if said is not None:  # it is repeated: something of ours was lost
                self._sip.sendto(said, source)
            else:
                self._respond(data, source, b"180 Ringing")
                self._ringing.append((time.monotonic() + RING_S, data, source))
        elif not method.startswith(b"SIP/2.0"):
            self._respond(data, source, b"200 OK")
            self._said.pop(_call_id(data), None)

    def _respond(self, request: bytes, source: Address, status: bytes, *, sdp: bool = False) -> None:
        body = self._sdp() if sdp else b""
        lines = [b"SIP/2.0 " + status, *(self._kept(line) for line in _KEPT.findall(request))]
        lines.append(f"Contact: <sip:agent@{self._host}:{self.port}>".encode())
        lines += [b"Content-Type: application/sdp"] if sdp else []
        lines += [b"Content-Length: %d" % len(body), b"", body]
        message = b"\r\n".join(lines)
        if request.startswith(b"INVITE"):
            self._said[_call_id(request)] = message
        self._sip.sendto(message, source)

    @staticmethod
    def _kept(line: bytes) -> bytes:
        return line + _TAG if line[:3].lower() == b"to:" and b";tag=" not in line else line

    def _sdp(self) -> bytes:
        lines = (
            *("v=0", "o=agent 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"),
            *(f"m=audio {self.rtp.port} RTP/AVP 0 101", "a=rtpmap:0 PCMU/8000"),
            *("a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=ptime:20", ""),
        )
        return "\r\n".join(lines).encode()


def _call_id(message: bytes) -> bytes:
    found = _CALL_ID.search(message)
    return found[1] if found else b""


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    agents = Agents(sys.argv[1], int(sys.argv[2]))
    print(agents.port, agents.rtp.port, flush=True)
    try:
        agents.rtp.run(agents.turn)
    finally:
        print(json.dumps(agents.told()), flush=True)
