"""Somebody whom the gateway calls, without a SIP stack: what a test writes is what is sent, all that comes is kept.

async with Callee() as agent:                   # at 127.0.0.2, on a port of its own
    invite = await agent.is_called()
    agent.rings()
    await agent.answers()
    await agent.is_hung_up()
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, cast

from tests.ear import Ear
from tests.referring import Referring
from tests.wire import CARRIER, Wire

_numbers = itertools.count(1)


class Callee(Referring):
    """One called party over UDP (and TCP on the same port if told so), with its RTP in `ear`; one call at a time."""

    def __init__(self, address: str = CARRIER, port: int = 0, *, tcp: bool = False) -> None:
        super().__init__()
        self.address, self.port = address, port
        self.tcp = tcp
        self.ear = Ear(address)
        self.over_tcp: list[Wire] = []
        """Those of them that came over TCP."""
        self.silent = False
        """It answers nothing at all."""
        self.ignores: set[str] = set()
        """Methods that it does not answer by itself."""
        self._number = next(_numbers)
        self._invite: Wire | None = None
        self._cseq = 0
        self._reply: Callable[[bytes], object] = lambda data: None
        """Sends to where the last message came from, the same way."""
        self._server: asyncio.Server | None = None
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> Self:
        await self.ear.__aenter__()
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(self.address, self.port))
        assert self._transport is not None
        self.port = int(self._transport.get_extra_info("sockname")[1])
        if self.tcp:
            self._server = await loop.create_server(lambda: _Connection(self), self.address, self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._transport is not None:
            self._transport.close()
        if self._server is not None:
            self._server.close()
        self.ear.close()

    # ── what it does ────────────────────────────────────────────────────────────────────────────────

    async def is_called(self, count: int = 1, timeout_s: float = 10.0) -> Wire:
        """Wait for the `count`th INVITE outside of a dialog (no retransmission), and answer to that one from now on."""
        await self.comes(lambda: len(self.invites) >= count, f"INVITE {count}", timeout_s)
        self._invite = self.invites[count - 1]
        where = self._invite.sdp("c=IN IP4 ")
        if where:
            self.ear.peer = self._invite.media
        return self._invite

    @property
    def invites(self) -> list[Wire]:
        """Each once."""
        seen: dict[str, Wire] = {}
        for message in self.messages:
            if not message.sent and message.start.startswith("INVITE ") and not message.to_tag:
                seen.setdefault(message.header("Via") or "", message)
        return list(seen.values())

    @property
    def dialog(self) -> tuple[str, str, str]:
        """Call-ID, the gateway's tag, our tag; once it was called."""
        assert self._invite is not None, "it was not called"
        theirs = (self._invite.header("From") or "").partition(";tag=")[2].split(";")[0]
        return self._invite.header("Call-ID") or "", theirs, f"callee{self._number}"

    def rings(self, status: int = 180, *, media: bool = False, headers: tuple[str, ...] = ()) -> None:
        """A provisional response, with SDP (early media) if told so."""
        self.responds(f"{status} Ringing", *headers, sdp=media)

    async def answers(self, *headers: str) -> Wire:
        """200, and wait for the ACK."""
        self.responds("200 OK", *headers, sdp=True)
        return await self.gets("ACK")

    async def refuses(self, status: str, *headers: str) -> Wire:
        """A final failure such as "486 Busy Here", and its ACK."""
        self.responds(status, *headers)
        return await self.gets("ACK")

    def responds(self, status: str, *headers: str, sdp: bool = False) -> None:
        """Any response to the INVITE."""
        assert self._invite is not None, "it was not called"
        self._respond(self._invite, status, headers, self.sdp() if sdp else "")

    def agrees(self, request: Wire) -> None:
        """200 to a request that it does not answer by itself (`ignores`)."""
        self._respond(request, "200 OK")

    def requests(self, method: str, *headers: str, body: str = "") -> int:
        """Of Referring."""
        self._request(method, *headers, body=body)
        return self._cseq

    def replies(self, request: Wire, status: str, *headers: str) -> None:
        """Of Referring."""
        self._respond(request, status, headers)

    async def hangs_up(self, *headers: str) -> Wire:
        """BYE, and its answer."""
        self._request("BYE", *headers)
        return await self._wait(lambda m: m.status > 0 and m.method == "BYE", "the answer to BYE")

    async def reinvites(self, direction: str) -> Wire:
        """A re-INVITE with this direction; its 200, acknowledged."""
        self._request("INVITE", "Content-Type: application/sdp", body=self.sdp(direction))
        cseq = f"{self._cseq} INVITE"
        answer = await self._wait(lambda m: m.status >= 200 and m.header("CSeq") == cseq, "the answer to re-INVITE")
        self._request("ACK", cseq=self._cseq)
        return answer

    async def is_hung_up(self, timeout_s: float = 15.0) -> Wire:
        """Wait for BYE."""
        return await self.gets("BYE", timeout_s)

    async def is_cancelled(self, timeout_s: float = 15.0) -> Wire:
        """Wait for CANCEL, which it answers, and the INVITE with 487."""
        return await self.gets("CANCEL", timeout_s)

    async def gets(self, method: str, timeout_s: float = 10.0) -> Wire:
        """Wait for a request of this method in the present call."""
        call_id = self._invite.header("Call-ID") if self._invite else None
        return await self._wait(
            lambda m: not m.status and m.method == method and m.header("Call-ID") == call_id, method, timeout_s
        )

    # ── the wire ────────────────────────────────────────────────────────────────────────────────────

    def sdp(self, direction: str = "sendrecv") -> str:
        """PCMU and telephone-event."""
        return "\r\n".join((
            "v=0", f"o=- 2 {len(self.messages)} IN IP4 {self.address}", "s=-", f"c=IN IP4 {self.address}", "t=0 0",
            f"m=audio {self.ear.port} RTP/AVP 0 101", "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000",
            f"a={direction}", "",
        ))  # fmt: skip

    async def _wait(self, wanted: Callable[[Wire], bool], what: str, timeout_s: float = 10.0) -> Wire:
        def found() -> list[Wire]:
            return [message for message in self.messages if not message.sent and wanted(message)]

        await self.comes(lambda: bool(found()), what, timeout_s)
        return found()[0]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Of asyncio."""
        assert self._transport is not None
        send = self._transport.sendto
        self.take(data, lambda answer: send(answer, addr))

    def take(self, data: bytes, reply: Callable[[bytes], object], *, tcp: bool = False) -> None:
        """A message is here: requests but INVITE, ACK and REFER are answered 200; a CANCEL ends the INVITE."""
        message = Wire(False, data.decode(errors="replace"), time.monotonic())
        self.messages.append(message)
        if tcp:
            self.over_tcp.append(message)
        self._reply = reply
        ours = message.status or message.method in {"INVITE", "ACK", "REFER"} | self.ignores
        if not self.silent and not ours:
            self._respond(message, self.notify_answer if message.method == "NOTIFY" else "200 OK")
            if message.method == "CANCEL" and self._invite is not None:
                self._respond(self._invite, "487 Request Terminated")
        self._news.set()

    def _respond(self, request: Wire, status: str, headers: tuple[str, ...] = (), body: str = "") -> None:
        lines = [f"SIP/2.0 {status}"]
        for name in ("Via", "Record-Route", "From", "To", "Call-ID", "CSeq"):
            tag = f";tag=callee{self._number}" if name == "To" and not request.to_tag else ""
            lines += [f"{name}: {value}{tag}" for value in request.headers(name)]
        lines += [f"Contact: {self._contact}", *headers]
        lines += ["Content-Type: application/sdp"] if body else []
        self._put("\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]))

    @property
    def _contact(self) -> str:
        transport = ";transport=tcp" if self._invite in self.over_tcp else ""
        return f"<sip:callee@{self.address}:{self.port}{transport}>"

    def _request(self, method: str, *headers: str, body: str = "", cseq: int | None = None) -> None:
        invite = self._invite
        assert invite is not None
        if cseq is None:
            self._cseq = cseq = self._cseq + 1
        target = (invite.header("Contact") or "").partition("<")[2].partition(">")[0]
        branch = f"z9hG4bKcallee{self._number}{method}{cseq}"
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/{'TCP' if invite in self.over_tcp else 'UDP'} {self.address}:{self.port};branch={branch}",
            f"From: {invite.header('To')};tag=callee{self._number}",
            f"To: {invite.header('From')}",
            f"Call-ID: {invite.header('Call-ID')}",
            f"CSeq: {cseq} {method}",
            f"Contact: {self._contact}",
            "Max-Forwards: 70",
            *headers,
            f"Content-Length: {len(body)}",
        ]
        self._put("\r\n".join([*lines, "", body]))

    def _put(self, text: str) -> None:
        self.messages.append(Wire(True, text, time.monotonic()))
        self._reply(text.encode())


class _Connection(asyncio.Protocol):
    """A TCP connection to a callee: its messages, told apart by their Content-Length (RFC 3261 §18.3)."""

    def __init__(self, callee: Callee) -> None:
        self._callee = callee
        self._came = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Of asyncio."""
        assert self._transport is not None
        self._came = (self._came + data).lstrip(b"\r\n")
        while b"\r\n\r\n" in self._came:
            head, _, rest = self._came.partition(b"\r\n\r\n")
            length = int(Wire(False, head.decode(errors="replace")).header("Content-Length") or 0)
            if len(rest) < length:
                return
            self._came = rest[length:].lstrip(b"\r\n")
            self._callee.take(head + b"\r\n\r\n" + rest[:length], self._transport.write, tcp=True)
