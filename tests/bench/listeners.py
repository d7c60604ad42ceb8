"""Clients of GET /v1/events, a process of its own: `listeners.py URL KEY COUNT`; started by sse.py.

Says `ready` on stdout when all are connected, and on SIGTERM what they got: how long each event took from its `at` to
each client in milliseconds, how many came, and how many the clients should have got between them. While events come,
it only notes when and what; it reads them afterwards, as a thousand parsers would take the CPU that is measured.
"""

import asyncio
import json
import signal
import sys
import time
from datetime import datetime
from urllib.parse import urlsplit

from tests.bench.report import quantile

_APART_S = 0.022
"""A key may ask 50 times a second."""
_BEGUN = b"retry: 2000\n\n"
_DATA = b"\ndata: "


class _Client(asyncio.Protocol):
    def __init__(self, request: bytes) -> None:
        self._request = request
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.came: list[tuple[float, bytes]] = []
        self.cut_off = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.came.append((time.time(), data))
        if not self.begun.done() and _BEGUN in b"".join(data for _, data in self.came):
            self.begun.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.cut_off = True
        if not self.begun.done():
            self.begun.set_exception(ConnectionError(b"".join(data for _, data in self.came).decode()))

    def events(self) -> list[tuple[float, bytes]]:
        """When each came to its end, and its JSON."""
        found, rest = [], b""
        for arrived, data in self.came:
            rest += data
            while (begin := rest.find(_DATA)) >= 0 and (end := rest.find(b"\n\n", begin)) >= 0:
                found.append((arrived, rest[begin + len(_DATA) : end]))
                rest = rest[end:]
        return found


def _told(clients: list[_Client]) -> dict[str, float]:
    happened: dict[bytes, float] = {}
    late_ms = []
    for client in clients:
        for arrived, text in client.events():
            if text not in happened:
                happened[text] = datetime.fromisoformat(json.loads(text)["at"]).timestamp()
            late_ms.append((arrived - happened[text]) * 1000)
    late = sorted(late_ms) or [0.0]
    return {
        "events": len(happened),
        "arrivals": len(late_ms),
        "expected": len(happened) * len(clients),
        "cutOff": sum(client.cut_off for client in clients),
        "p50Ms": quantile(late, 0.5),
        "p99Ms": quantile(late, 0.99),
        "longestMs": late[-1],
    }


async def _main(url: str, key: str, count: int) -> None:
    over, loop, where = asyncio.Event(), asyncio.get_running_loop(), urlsplit(url)
    loop.add_signal_handler(signal.SIGTERM, over.set)
    request = f"GET /v1/events HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    clients = []
    for _ in range(count):
        _, client = await loop.create_connection(lambda: _Client(request), where.hostname, where.port)
        await client.begun
        clients.append(client)
        await asyncio.sleep(_APART_S)
    print("ready", flush=True)
    await over.wait()
    print(json.dumps(_told(clients)), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
