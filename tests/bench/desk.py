"""The agents' desktop: one client of the control API that consults, swaps, merges and forwards; for the figures."""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterable
from http.client import HTTPResponse
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from gateway.store.store import visit_store
from tests.bench.bot import CALL_HEADER
from tests.bench.children import BenchError, until
from tests.bench.scene import CONSULTANT, Scene

_PATIENCE_S = 10.0
_MOST_CALLS = 500
_MEDIA_CLOCK_S = 0.02
_GOLDEN = 0.618034


def new_key(scene: Scene, *scopes: str) -> str:
    """A key of the scene's gateway, as `switchhook keys` makes one."""

    async def add() -> str:
        visit = await visit_store(scene.store_url)
        try:
            text, _ = await visit.keys.add("bench", set(scopes), time.time())
        finally:
            await visit.close()
        return text

    return asyncio.run(add())


class Desk:
    """Everybody's, over one connection that is kept. A request is one TCP segment, so that the wire tells when it was
    sent; a context manager that closes the connection."""

    def __init__(self, scene: Scene) -> None:
        key = new_key(scene, "calls:read", "calls:control")
        where = urlsplit(scene.api)
        self.port = int(where.port or 80)
        """Where the API is."""
        self._head = f"Host: {where.netloc}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        self._wire = socket.create_connection((where.hostname, self.port), _PATIENCE_S)
        self._wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wire.close()

    def calls(self) -> dict[str, str]:
        """The live calls that talk: the gateway's id, and the Call-ID of the customer's dialog."""
        return {call["id"]: call["sipCallId"] for call in self._live() if call["state"] == "talking"}

    def consults(self, calls: dict[str, str], per_s: float) -> None:
        """The agent of each call asks the consultant; return when all have answered."""
        self._each(calls, per_s, lambda id_: self._consult(id_, calls[id_]))
        self._wait(calls, "consulting")

    def swaps(self, calls: Iterable[str], per_s: float) -> None:
        """From the consultant to the customer."""
        self._each(calls, per_s, lambda id_: self._ask("POST", f"/v1/calls/{id_}/swap"))
        self._wait(calls, "swapped")

    def merges(self, calls: Iterable[str], per_s: float) -> None:
        """All three together."""
        self._each(calls, per_s, lambda id_: self._ask("POST", f"/v1/calls/{id_}/merge"))
        self._wait(calls, "merged")

    def forwards(self, calls: Iterable[str], per_s: float) -> None:
        """The customer stays with the consultant."""
        self._each(calls, per_s, lambda id_: self._ask("POST", f"/v1/calls/{id_}/forward"))
        self._wait(calls, "none")

    def ends_consults(self, calls: Iterable[str], per_s: float) -> None:
        """The consultant is released."""
        self._each(calls, per_s, lambda id_: self._ask("DELETE", f"/v1/calls/{id_}/consult"))
        self._wait(calls, "none")

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _consult(self, id_: str, sip_call_id: str) -> None:
        body = {"contact": CONSULTANT, "headers": {CALL_HEADER: sip_call_id}}
        self._ask("POST", f"/v1/calls/{id_}/consult", json.dumps(body))

    def _each(self, calls: Iterable[str], per_s: float, order: Callable[[str], object]) -> None:
        """One after the other, at all phases of the media clock: at an even pace all would meet it at the same."""
        began = time.monotonic()
        for number, id_ in enumerate(calls):
            due = began + number / per_s + number * _GOLDEN % 1 * _MEDIA_CLOCK_S
            time.sleep(max(0.0, due - time.monotonic()))
            order(id_)

    def _wait(self, calls: Iterable[str], state: str) -> None:
        """Until all of them are there. Raises BenchError when they are not in time."""
        wanted = set(calls)

        def there() -> set[str]:
            return {call["id"] for call in self._live() if call["consultState"] == state}

        if not until(lambda: wanted <= there(), _PATIENCE_S):
            raise BenchError(f"the consults of {len(wanted - there())} of {len(wanted)} calls are not {state}")

    def _live(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._ask("GET", f"/v1/calls?limit={_MOST_CALLS}")["items"]
        return items

    def _ask(self, method: str, path: str, body: str = "") -> dict[str, Any]:
        """What the API says. Raises BenchError if it says no."""
        request = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n{body}"
        self._wire.sendall(request.encode())
        with HTTPResponse(self._wire, method=method) as response:
            response.begin()
            told = response.read()
        if not 200 <= response.status < 300:
            raise BenchError(f"{method} {path}: {response.status} {told.decode(errors='replace')[:500]}")
        answer: dict[str, Any] = json.loads(told)
        return answer
