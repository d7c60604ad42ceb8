"""A carrier's registrar for tests: digest (RFC 3261 §22.4, MD5), what it answers is told by the test, all is kept.

async with Registrar() as carrier:              # at 127.0.0.2, or elsewhere
    ...                                         # a gateway whose trunk registers at carrier.port
    await carrier.gets("REGISTER", 2)
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, cast

from tests.wire import CARRIER, Correspondent, Wire

Behaviour = Callable[[Wire], str | None]
"""Gives the answer to a request: a status line with headers, as in "403 Forbidden"; None: as usual."""


class Registrar(Correspondent):
    """Registers `users` with `password`; answers OPTIONS with 200."""

    def __init__(self, address: str = CARRIER, port: int = 0, realm: str = "acme.example") -> None:
        super().__init__()
        self.address, self.port, self.realm = address, port, realm
        self.users, self.password = {"gw"}, "open sesame"
        self.nonce = "first"
        self.expires_s = 300
        self.silent = False
        self.behaviour: Behaviour = lambda request: None
        self.contacts: dict[str, float] = {}
        """What is registered: contact and when it expires."""
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> Self:
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=(self.address, self.port))
        assert self._transport is not None
        self.port = int(self._transport.get_extra_info("sockname")[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.goes_away()

    def goes_away(self) -> None:
        """Nobody listens there any more."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def received(self, method: str) -> list[Wire]:
        """Requests of this method, each once: no retransmissions."""
        seen: dict[str, Wire] = {}
        for message in self.messages:
            if not message.sent and not message.status and message.method == method:
                seen.setdefault(message.header("Via") or "", message)
        return list(seen.values())

    async def gets(self, method: str, count: int = 1, timeout_s: float = 15.0) -> Wire:
        """Wait for so many requests of this method; the last of them."""
        await self.comes(lambda: len(self.received(method)) >= count, f"{count} {method}", timeout_s)
        return self.received(method)[count - 1]

    # ── the wire ────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Of asyncio."""
        request = Wire(False, data.decode(errors="replace"), time.monotonic())
        self.messages.append(request)
        if not self.silent and not request.status and request.method != "ACK":
            self._answer(request, addr, self.behaviour(request) or self._usual(request))
        self._news.set()

    def _usual(self, request: Wire) -> str:
        if request.method == "OPTIONS":
            return "200 OK"
        if request.method != "REGISTER":
            return "405 Method Not Allowed"
        if not self._knows(request):
            given = request.header("Authorization")
            stale = ", stale=true" if given and f'nonce="{self.nonce}"' not in given else ""
            challenge = f'Digest realm="{self.realm}", nonce="{self.nonce}", qop="auth"{stale}'
            return f"401 Unauthorized\r\nWWW-Authenticate: {challenge}"
        contact = request.header("Contact") or ""
        wanted = request.header("Expires") or re.search(r"expires=(\d+)", contact)
        seconds = int(wanted if isinstance(wanted, str) else wanted[1]) if wanted else self.expires_s
        uri = contact.partition("<")[2].partition(">")[0]
        if seconds == 0:
            self.contacts.pop(uri, None)
            return "200 OK"
        self.contacts[uri] = time.monotonic() + self.expires_s
        return f"200 OK\r\nContact: <{uri}>;expires={self.expires_s}\r\nExpires: {self.expires_s}"

    def _knows(self, request: Wire) -> bool:
        given = request.header("Authorization") or ""
        fresh = f'nonce="{self.nonce}"' in given
        return fresh and any(is_right(given, "REGISTER", user, self.realm, self.password) for user in self.users)

    def _answer(self, request: Wire, addr: tuple[str, int], answer: str) -> None:
        status, *more = answer.split("\r\n")
        lines = [f"SIP/2.0 {status}", *more]
        for name in ("Via", "From", "To", "Call-ID", "CSeq"):
            lines += [f"{name}: {value}{';tag=carrier' if name == 'To' else ''}" for value in request.headers(name)]
        text = "\r\n".join([*lines, "Content-Length: 0", "", ""])
        self.messages.append(Wire(True, text, time.monotonic()))
        assert self._transport is not None
        self._transport.sendto(text.encode(), addr)


def is_right(header: str, method: str, user: str, realm: str, password: str) -> bool:
    """Whether an Authorization or Proxy-Authorization proves the password (RFC 2617 §3.2.2, MD5, qop=auth)."""
    given = dict(re.findall(r'(\w+)="?([^",]*)"?', header.partition(" ")[2]))
    if (given.get("username"), given.get("realm")) != (user, realm):
        return False
    first, second = _md5(f"{user}:{realm}:{password}"), _md5(f"{method}:{given['uri']}")
    middle = ":".join((given["nonce"], given["nc"], given["cnonce"], "auth"))
    return given["response"] == _md5(f"{first}:{middle}:{second}")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
