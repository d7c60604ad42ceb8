"""A real endpoint with a gatekeeper, and who asks it: raw UDP from chosen addresses; for test_gatekeeper.py."""

import asyncio
import re
import socket
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from gateway.calls.events import LegAnswered, LegEvent, LegOffered
from gateway.calls.model import LegId
from gateway.sip.endpoint import Endpoint, SipSettings
from gateway.sip.legs import SipLegs
from gateway.sip.media import SipBridge
from tests.contract.sip_peer import SipPeer
from tests.sip.malformed import message
from tests.sip_legs import sip_legs

T = TypeVar("T", bound=LegEvent)
TRUNK: Final = "127.0.0.2"
OTHER_TRUNK: Final = "127.0.0.4"
_MARKER: Final = "127.0.0.9"
"""Its CANCELs are always answered, and datagrams are read in the order in which they came."""


@dataclass
class Gate:
    """The endpoint, what it offered, and a socket for each address that asked."""

    endpoint: Endpoint
    legs: SipLegs
    events: list[LegEvent] = field(default_factory=list)
    sockets: dict[str, socket.socket] = field(default_factory=dict)
    answers: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Whole responses by Call-ID."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def takes(self, event: LegEvent) -> None:
        """Of a leg."""
        self.events.append(event)
        self.news.set()

    async def until(self, kind: type[T]) -> T:
        """Wait for the first event of this kind."""
        async with asyncio.timeout(10):
            while not (found := [event for event in self.events if isinstance(event, kind)]):
                self.news.clear()
                await self.news.wait()
        return found[0]

    async def takes_call_of(self, peer: SipPeer) -> None:
        """INVITE, 200, ACK."""
        peer.invite()
        self.legs.answer((await self.until(LegOffered)).leg_id)
        assert await peer.final() == 200
        await self.until(LegAnswered)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self.endpoint.udp_port is not None
        return self.endpoint.udp_port

    @property
    def offered(self) -> int:
        """How many calls got through."""
        return sum(isinstance(event, LegOffered) for event in self.events)

    def here(self, address: str = TRUNK) -> str:
        """host:port of our socket at this address."""
        return "{}:{}".format(*self._socket(address).getsockname())

    def request(self, method: str = "OPTIONS", address: str = TRUNK, **more: Any) -> str:
        """A request that is right, never the same twice."""
        body = {"body": ""} if method not in ("INVITE", "ACK") else {}
        return message(self.here(address), method, **{**body, **more})

    async def asks(self, *texts: str, address: str = TRUNK) -> list[list[int]]:
        """Send these, and see what was answered to each, all responses in order; [] is silence."""
        counts = {text: len(self.answers[_call_id(text)]) for text in texts}
        for batch in _batches(texts, 40):  # more would not fit into the kernel's buffers
            for text in batch:
                self._socket(address).sendto(text.encode("latin-1"), ("127.0.0.1", self.port))
            await self.is_done()
        return [[_status(answer) for answer in self.answers[_call_id(text)][counts[text] :]] for text in texts]

    async def is_done(self) -> None:
        """Wait until it has dealt with all that was sent so far; read what it answered."""
        marker = self._socket(_MARKER)
        marker.sendto(self.request("CANCEL", _MARKER).encode(), ("127.0.0.1", self.port))
        async with asyncio.timeout(10):
            await asyncio.get_running_loop().sock_recv(marker, 65536)
        await self.endpoint.run(lambda: None)  # and its events are here
        for wire in self.sockets.values():
            while (answer := _read(wire)) is not None:
                self.answers[_call_id(answer)].append(answer)

    def last_answer(self, text: str) -> str:
        """To this request."""
        return self.answers[_call_id(text)][-1]

    async def turn_away(self, seconds: int | None, draining: bool = True) -> None:
        """In its thread."""
        await self.endpoint.run(lambda: self.endpoint.turn_away(seconds, draining))

    def _socket(self, address: str) -> socket.socket:
        if address not in self.sockets:
            wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            wire.bind((address, 0))
            wire.setblocking(False)
            self.sockets[address] = wire
        return self.sockets[address]


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[Gate]:
    """A gate for all of 127/8 over UDP."""
    admit = (("127.0.0.0/8", ("udp",)),)
    endpoint = Endpoint(SipSettings(bind="127.0.0.1", udp_port=0, tcp_port=None, admit=admit, **settings))
    numbers = iter(range(10_000))
    bridge = SipBridge(endpoint, lambda name: b"\0\0" * 800)
    legs = sip_legs(endpoint, bridge, lambda: LegId(f"leg_{next(numbers)}"))
    gate = Gate(endpoint, legs)
    await legs.start(gate.takes, lambda *_: None)
    try:
        yield gate
    finally:
        await legs.stop()
        for wire in gate.sockets.values():
            wire.close()


def forged(texts: Iterable[tuple[str, str]], port: int) -> Iterable[None]:
    """Send each text from its address, any of 127/8, through one socket; a step for each."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        for text, address in texts:
            source = struct.pack("=i4s4s", 0, socket.inet_aton(address), b"\0" * 4)
            about = [(socket.IPPROTO_IP, 8, source)]  # 8: IP_PKTINFO
            wire.sendmsg([text.encode()], about, 0, ("127.0.0.1", port))
            yield


def _batches(texts: tuple[str, ...], size: int) -> Iterable[tuple[str, ...]]:
    return (texts[at : at + size] for at in range(0, len(texts), size))


def _read(wire: socket.socket) -> str | None:
    try:
        return wire.recv(65536).decode("latin-1")
    except BlockingIOError:
        return None


def _call_id(text: str) -> str:
    found = re.search(r"^Call-ID: (.*?)\r?$", text, re.MULTILINE)
    return found[1] if found else ""


def _status(answer: str) -> int:
    return int(answer.split(" ")[1])
