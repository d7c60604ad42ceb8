"""SIP messages as they stand on the wire, addresses and ports of the test network; used by sipp.py and caller.py."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

CARRIER: Final = "127.0.0.2"
"""The address of the trunk in the plans of these tests."""
STRANGER: Final = "127.0.0.3"
"""Belongs to no trunk."""


def free_port(address: str = CARRIER, kind: int = socket.SOCK_DGRAM) -> int:
    """A port that nobody has at this moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Wire:
    """One SIP message, as it was sent or received."""

    sent: bool
    text: str
    at_s: float = 0.0
    """time.monotonic(), where it is known."""

    @property
    def start(self) -> str:
        """Its first line."""
        return self.text.split("\n", 1)[0].strip()

    @property
    def method(self) -> str:
        """Of a request, or of the request that this is a response to."""
        if self.start.startswith("SIP/2.0"):
            return (self.header("CSeq") or " ").split(" ")[-1]
        return self.start.split(" ")[0]

    @property
    def status(self) -> int:
        """Of a response; 0 for a request."""
        return int(self.start.split(" ")[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def body(self) -> str:
        """What follows the headers."""
        return self.text.replace("\r\n", "\n").partition("\n\n")[2]

    @property
    def to_tag(self) -> str:
        """The tag of To, or ""."""
        return (self.header("To") or "").partition(";tag=")[2].split(";")[0]

    def headers(self, name: str) -> list[str]:
        """All values of a header."""
        head = self.text.replace("\r\n", "\n").partition("\n\n")[0]
        lines = (line.partition(":") for line in head.split("\n")[1:])
        return [value.strip() for found, _, value in lines if found.strip().lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next(iter(self.headers(name)), None)

    def sdp(self, prefix: str) -> list[str]:
        """What follows `prefix` (such as "m=audio ") in the lines of the SDP that begin so."""
        return [line.removeprefix(prefix) for line in self.body.split("\n") if line.startswith(prefix)]

    @property
    def media(self) -> tuple[str, int]:
        """Where the SDP wants audio."""
        return self.sdp("c=IN IP4 ")[0].strip(), int(self.sdp("m=audio ")[0].split(" ")[0])


def ladder(messages: "list[Wire] | tuple[Wire, ...]") -> str:
    """All of them, a line each, for a failed assertion."""
    return "\n".join(("> " if message.sent else "< ") + message.start for message in messages)


class Correspondent(asyncio.DatagramProtocol):
    """Somebody at a UDP socket who keeps all messages and lets a test wait for one; for caller.py and its kin."""

    def __init__(self) -> None:
        self.messages: list[Wire] = []
        """All that was sent and received."""
        self._news = asyncio.Event()

    async def comes(self, so: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
        """Wait until it is so; looked at whenever something arrives."""
        try:
            async with asyncio.timeout(timeout_s):
                while not so():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{what} did not come:\n{ladder(self.messages)}") from None
