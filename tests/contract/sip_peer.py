"""A caller in a hundred lines: just enough SIP over UDP, and RTP, to be the far end of the contract tests."""

import asyncio
import itertools
import re
import struct
from typing import Final

_numbers = itertools.count(1)
_DIGITS: Final = "0123456789*#ABCD"


class _Socket(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.put_nowait(data)


async def _open(address: str) -> tuple[asyncio.DatagramTransport, _Socket, int]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(_Socket, local_addr=(address, 0))
    return transport, protocol, transport.get_extra_info("sockname")[1]


class SipPeer:
    """One dialog with the gateway at `port`. It answers 200 to every request, and ACKs what is final."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self._gateway = ("127.0.0.1", port)
        self.address = address
        self.number = next(_numbers)
        self.call_id = f"call-{self.number}@peer"
        self.statuses: list[int] = []
        self.responses: list[str] = []
        self.requests: list[str] = []
        self.acks = True
        self.events: dict[bytes, str] = {}
        self.rtp_packets = 0
        self.audio = bytearray()
        self._to_tag = ""
        self._cseq = 0
        self._version = 0
        self._target = f"sip:100@127.0.0.1:{port}"
        self._changed = asyncio.Event()
        self._rtp_target = ("127.0.0.1", 9)
        self._sequence = 0
        self._answer = ""

    async def __aenter__(self) -> "SipPeer":
        self._sip, self._sip_in, self.port = await _open(self.address)
        self._rtp, self._rtp_in, self.rtp_port = await _open(self.address)
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._hear())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._sip.close()
        self._rtp.close()
        await asyncio.sleep(0)

    def invite(
        self, *, offer: bool = True, direction: str = "sendrecv", headers: str = "", formats: str = "0 101"
    ) -> None:
        """Call, or call again within the dialog; without an offer the answer goes into the ACK."""
        self._cseq += 1
        self._invite_cseq = self._cseq
        self._answer = "" if offer else self._sdp(direction, formats)
        self._branch = f"z9hG4bK-{self.number}-{self._cseq}"
        self._send("INVITE", self._cseq, self._branch, self._sdp(direction, formats) if offer else "", headers)

    def cancel(self) -> None:
        """Take the INVITE back."""
        self._send("CANCEL", self._invite_cseq, self._branch)

    def bye(self, reason: str = "") -> None:
        """Hang up."""
        self._cseq += 1
        headers = f"Reason: {reason}\r\n" if reason else ""
        self._send("BYE", self._cseq, f"z9hG4bK-{self.number}-{self._cseq}", "", headers)

    def press(self, digit: str) -> None:
        """A key, as RFC 4733 events."""
        stamp = 160 * (self._sequence + 1)
        for step in range(8):
            end = step >= 5
            head = struct.pack("!BBHII", 0x80, 101 | (0x80 if not step else 0), self._sequence, stamp, 7)
            event = struct.pack("!BBH", _DIGITS.index(digit), 0x80 * end | 10, 160 * (min(step, 5) + 1))
            self._rtp.sendto(head + event, self._rtp_target)
            self._sequence += 1

    @property
    def digits(self) -> str:
        """What the gateway pressed."""
        return "".join(self.events.values())

    @property
    def dialog(self) -> tuple[str, str, str]:
        """Call-ID, the gateway's tag, our tag; once the gateway has answered more than 100."""
        tags = (re.search(r"^To: .*;tag=([^\r;]+)", text, re.MULTILINE) for text in self.responses)
        return self.call_id, next((tag[1] for tag in tags if tag), ""), f"far{self.number}"

    async def until(self, condition: "object", timeout: float = 5.0) -> None:
        """Wait for a condition (a callable) on what arrived."""
        assert callable(condition)
        async with asyncio.timeout(timeout):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def final(self) -> int:
        """The next final status of an INVITE."""
        count = len([s for s in self.statuses if s >= 200])
        await self.until(lambda: len([s for s in self.statuses if s >= 200]) > count)
        return self.statuses[-1]

    def _sdp(self, direction: str, formats: str) -> str:
        self._version += 1
        return (
            f"v=0\r\no=- 1 {self._version} IN IP4 {self.address}\r\ns=-\r\nc=IN IP4 {self.address}\r\nt=0 0\r\n"
            f"m=audio {self.rtp_port} RTP/AVP {formats}\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
        )

    def _send(self, method: str, cseq: int, branch: str, body: str = "", headers: str = "") -> None:
        to_tag = f";tag={self._to_tag}" if self._to_tag and method != "CANCEL" else ""
        kind = "Content-Type: application/sdp\r\n" if body else ""
        self._sip.sendto(
            (
                f"{method} {self._target} SIP/2.0\r\nVia: SIP/2.0/UDP {self.address}:{self.port};branch={branch}\r\n"
                f'From: "Ann" <sip:+4912@127.0.0.1>;tag=far{self.number}\r\nTo: <sip:100@127.0.0.1>{to_tag}\r\n'
                f"Call-ID: {self.call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:ann@{self.address}:{self.port}>\r\n"
                f"Max-Forwards: 70\r\n{headers}{kind}Content-Length: {len(body)}\r\n\r\n{body}"
            ).encode(),
            self._gateway,
        )

    async def _listen(self) -> None:
        while True:
            text = (await self._sip_in.received.get()).decode()
            if text.startswith("SIP/2.0 "):
                self._take_response(text)
            else:
                self.requests.append(text)
                kept = [h for h in text.split("\r\n\r\n")[0].split("\r\n") if re.match("Via|From|To|Call-ID|CSeq", h)]
                reply = "SIP/2.0 200 OK\r\n" + "\r\n".join(kept) + "\r\nContent-Length: 0\r\n\r\n"
                self._sip.sendto(reply.encode(), self._gateway)
            self._changed.set()

    def _take_response(self, text: str) -> None:
        status = int(text.split(" ")[1])
        if not re.search(r"^CSeq: \d+ INVITE", text, re.MULTILINE):
            return
        self.statuses.append(status)
        self.responses.append(text)
        if status < 200:
            return
        if tag := re.search(r"^To: .*;tag=([^\r;]+)", text, re.MULTILINE):
            self._to_tag = tag[1]
        if (media := re.search(r"^m=audio (\d+)", text, re.MULTILINE)) and status == 200:
            self._rtp_target = ("127.0.0.1", int(media[1]))
        branch = self._branch if status >= 300 else f"{self._branch}-ack"
        if self.acks or status >= 300:
            self._send("ACK", self._invite_cseq, branch, self._answer if status == 200 else "")

    async def _hear(self) -> None:
        while True:
            packet = await self._rtp_in.received.get()
            self.rtp_packets += 1
            if packet[1] & 0x7F == 0:
                self.audio += packet[12:]
            elif len(packet) >= 16:
                self.events.setdefault(packet[4:8], _DIGITS[packet[12]])
            self._changed.set()
