"""The caller of caller.py over a TCP connection of its own; for tests/sip."""

import asyncio
from typing import Self, cast

from tests.caller import Caller
from tests.wire import Wire


class TcpCaller(Caller):
    """`async with TcpCaller(gateway, "127.0.0.7")`: every message of the call goes over one connection."""

    via, contact_parameters = "TCP", ";transport=tcp"

    async def __aenter__(self) -> Self:
        self.peer = ("127.0.0.1", self.gateway.tcp_port)
        await self.ear.__aenter__()
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: _Connection(self), *self.peer, local_addr=(self.address, 0))
        return self

    def _transmit(self, data: bytes) -> None:
        cast(asyncio.Transport, self._transport).write(data)


class _Connection(asyncio.Protocol):
    """Its messages, told apart by their Content-Length (RFC 3261 §18.3)."""

    def __init__(self, caller: TcpCaller) -> None:
        self._caller = caller
        self._came = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio."""
        self._caller.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Of asyncio."""
        self._came = (self._came + data).lstrip(b"\r\n")
        while b"\r\n\r\n" in self._came:
            head, _, rest = self._came.partition(b"\r\n\r\n")
            length = int(Wire(False, head.decode(errors="replace")).header("Content-Length") or 0)
            if len(rest) < length:
                return
            self._came = rest[length:].lstrip(b"\r\n")
            self._caller.datagram_received(head + b"\r\n\r\n" + rest[:length], self._caller.peer)
