"""A caller without a SIP stack: what a test writes is what is sent, and everything that comes is kept; for tests/sip.

async with Caller(gateway) as customer:
    await customer.calls("100", {"X-CRM-Id": "42"})
    await customer.ear.presses("1")
    bye = await customer.is_hung_up()
    assert bye.header("X-Ticket") == "7"
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, cast

from tests.ear import Ear
from tests.gateway_process import GatewayProcess, Line
from tests.referring import Referring
from tests.wire import CARRIER, Wire, ladder

_numbers = itertools.count(1)


class Caller(Referring):
    """One call over UDP from `address`, with its RTP in `ear`."""

    via, contact_parameters = "UDP", ""

    def __init__(
        self,
        gateway: GatewayProcess,
        address: str = CARRIER,
        user: str = "+12125550123",
        proxy: tuple[str, int] | None = None,
    ) -> None:
        super().__init__()
        """`proxy`: it calls there and not the gateway, and goes the way that Record-Route says."""
        self.gateway, self.address, self.user = gateway, address, user
        self.peer = proxy or ("127.0.0.1", gateway.udp_port)
        number = f"{next(_numbers)}-{time.monotonic_ns():x}"
        self.call_id = f"caller-{number}@{address}"
        self.ear = Ear(address)
        self.ignores: set[str] = set()
        """Methods of the gateway's requests that are never answered."""
        self.echoes: tuple[str, ...] = ()
        """Headers of the gateway's requests that are given back in the answers."""
        self._tag, self._branch = f"t{number}", f"z9hG4bK{number}"
        self._to, self._uri, self._target, self._cseq = "", "", "", 0
        self._invited = (0, "")
        """CSeq and branch of the last INVITE."""
        self._routes: list[str] = []
        self._live = False
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        await self.ear.__aenter__()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(self.address, 0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._live:
                await self.hangs_up()
        finally:
            assert self._transport is not None
            self._transport.close()
            self.ear.close()

    # ── the call ────────────────────────────────────────────────────────────────────────────────────

    async def calls(self, to: str, headers: Mapping[str, str] | None = None) -> Wire:
        """INVITE, 200, ACK."""
        self.invites(to, headers)
        return await self.is_answered()

    def invites(self, to: str, headers: Mapping[str, str] | None = None, offer: str | None = None) -> None:
        """INVITE, with an offer of PCMU and telephone-event unless told otherwise."""
        self._uri = self._target = f"sip:{to}@{self.peer[0]}:{self.peer[1]}"
        self._to = f"<{self._uri}>"
        self._request("INVITE", headers, self.sdp() if offer is None else offer)

    async def is_answered(self) -> Wire:
        """Wait for the final response, which must be 200, and acknowledge it."""
        answer = await self.is_told_finally()
        assert answer.status == 200, f"answered {answer.start}\n{ladder(self.messages)}"
        self._live = True
        self._to = answer.header("To") or ""
        self._target = (answer.header("Contact") or "").partition("<")[2].partition(">")[0]
        self._routes = answer.headers("Record-Route")[::-1]  # RFC 3261 §12.1.2
        self.ear.peer = answer.media
        self.acknowledges()
        return answer

    async def is_told_finally(self, timeout_s: float = 10.0) -> Wire:
        """Wait for the final response to the last INVITE. A refusal is acknowledged."""
        cseq = f"{self._invited[0]} INVITE"
        final = await self._wait(lambda m: m.status >= 200 and m.header("CSeq") == cseq, timeout_s)
        if final.status >= 300:
            self._send("ACK", self._uri, {"To": final.header("To") or ""}, "", self._invited[1])
        return final

    async def is_told(self, status: int, method: str = "INVITE", timeout_s: float = 10.0) -> Wire:
        """Wait for a response."""
        return await self._wait(lambda m: m.status == status and m.method == method, timeout_s)

    def acknowledges(self, answer: str = "") -> None:
        """ACK of a 200."""
        self._send("ACK", self._target, {}, answer, f"{self._invited[1]}a")

    async def cancels(self) -> Wire:
        """CANCEL; the final response to the INVITE."""
        self._send("CANCEL", self._uri, {}, "", self._invited[1])
        return await self.is_told_finally()

    async def reinvites(
        self,
        direction: str = "sendrecv",
        connection: str | None = None,
        ear: Ear | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Wire:
        """A re-INVITE with this direction, this c= line, or another port; its answer, acknowledged."""
        self._request("INVITE", headers, self.sdp(direction, connection, ear))
        return await self.is_answered()

    async def updates(self, headers: Mapping[str, str]) -> Wire:
        """UPDATE without SDP (RFC 3311); its answer."""
        self._request("UPDATE", headers)
        cseq = f"{self._cseq} UPDATE"
        return await self._wait(lambda m: m.status >= 200 and m.header("CSeq") == cseq)

    async def acknowledges_reliably(self, provisional: Wire) -> Wire:
        """PRACK of a reliable provisional response (RFC 3262 §4); its answer."""
        invited = provisional.header("CSeq")
        self._to = provisional.header("To") or ""
        self._target = (provisional.header("Contact") or "").partition("<")[2].partition(">")[0]
        self._request("PRACK", {"RAck": f"{provisional.header('RSeq')} {invited}"})
        cseq = f"{self._cseq} PRACK"
        return await self._wait(lambda m: m.status >= 200 and m.header("CSeq") == cseq)

    async def hangs_up(self, headers: Mapping[str, str] | None = None) -> Wire:
        """BYE, 200."""
        self._live = False
        self._request("BYE", headers)
        cseq = f"{self._cseq} BYE"
        return await self._wait(lambda m: m.status > 0 and m.header("CSeq") == cseq)

    async def is_hung_up(self, timeout_s: float = 15.0) -> Wire:
        """Wait for the gateway's BYE."""
        bye = await self._wait(lambda m: not m.sent and m.start.startswith("BYE "), timeout_s)
        self._live = False
        return bye

    async def informs(self, key: str, content_type: str = "application/dtmf-relay") -> Wire:
        """A key by SIP INFO."""
        body = f"Signal={key}\r\nDuration=160\r\n" if "relay" in content_type else key
        self._request("INFO", {"Content-Type": content_type}, body)
        cseq = f"{self._cseq} INFO"
        return await self._wait(lambda m: m.status > 0 and m.header("CSeq") == cseq)

    async def end(self) -> Line:
        """The gateway's `call.ended` of this call."""
        return await self.gateway.end_of(self.call_id)

    @property
    def dialog(self) -> tuple[str, str, str]:
        """Call-ID, the gateway's tag, our tag; once the gateway has answered."""
        return self.call_id, self._to.partition(";tag=")[2].split(";")[0], self._tag

    @property
    def received(self) -> list[Wire]:
        """What the gateway sent."""
        return [message for message in self.messages if not message.sent]

    # ── the wire ────────────────────────────────────────────────────────────────────────────────────

    def sdp(self, direction: str = "sendrecv", connection: str | None = None, ear: Ear | None = None) -> str:
        """An offer or answer of ours."""
        return "\r\n".join((
            "v=0", f"o=- 1 {self._cseq + 1} IN IP4 {self.address}", "s=-", f"c=IN IP4 {connection or self.address}",
            "t=0 0", f"m=audio {(ear or self.ear).port} RTP/AVP 0 101", "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16", f"a={direction}", "",
        ))  # fmt: skip

    def _request(self, method: str, headers: Mapping[str, str] | None = None, body: str = "") -> None:
        self._cseq += 1
        self._branch = f"z9hG4bK{self._tag}{self._cseq}"
        if method == "INVITE":
            self._invited = (self._cseq, self._branch)
        self._send(method, self._target, headers or {}, body, self._branch)

    def _send(self, method: str, uri: str, headers: Mapping[str, str], body: str, branch: str) -> None:
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")
        number = self._invited[0] if method in ("ACK", "CANCEL") else self._cseq
        fields = {
            "Via": f"SIP/2.0/{self.via} {host}:{port};branch={branch}",
            "From": f'"Ann Caller" <sip:{self.user}@{host}>;tag={self._tag}',
            "To": self._to,
            "Call-ID": self.call_id,
            "CSeq": f"{number} {method}",
            "Contact": f"<sip:caller@{host}:{port}{self.contact_parameters}>",
            "Max-Forwards": "70",
            **({"Route": ", ".join(self._routes)} if self._routes else {}),
            **({"Content-Type": "application/sdp"} if body else {}),
            **headers,
            "Content-Length": str(len(body.encode())),
        }
        lines = [f"{method} {uri} SIP/2.0", *(f"{name}: {value}" for name, value in fields.items()), "", body]
        self._put("\r\n".join(lines))

    def _put(self, text: str) -> None:
        self.messages.append(Wire(True, text, time.monotonic()))
        self._transmit(text.encode())

    def _transmit(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.sendto(data, self.peer)

    async def _wait(self, wanted: Callable[[Wire], bool], timeout_s: float = 10.0) -> Wire:
        def found() -> list[Wire]:
            return [message for message in self.received if wanted(message)]

        await self.comes(lambda: bool(found()), "it", timeout_s)
        return found()[0]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Of asyncio: keep it; requests of the gateway are answered 200."""
        message = Wire(False, data.decode(errors="replace"), time.monotonic())
        if not message.status and message.method not in {"ACK", "REFER"} | self.ignores:
            self.replies(message, self.notify_answer if message.method == "NOTIFY" else "200 OK")
        self.messages.append(message)
        self._news.set()

    def requests(self, method: str, *headers: str, body: str = "") -> int:
        """Of Referring."""
        parts = (line.partition(":") for line in headers)
        self._request(method, {name: value.strip() for name, _, value in parts}, body)
        return self._cseq

    def replies(self, request: Wire, status: str, *headers: str) -> None:
        """Of Referring."""
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")
        names = ("Via", "From", "To", "Call-ID", "CSeq", *self.echoes)
        lines = [f"{name}: {value}" for name in names for value in request.headers(name)]
        lines += [f"Contact: <sip:caller@{host}:{port}{self.contact_parameters}>", *headers]
        body = self.sdp() if request.sdp("m=") else ""
        lines += ["Content-Type: application/sdp"] if body else []
        self._put("\r\n".join([f"SIP/2.0 {status}", *lines, f"Content-Length: {len(body)}", "", body]))
