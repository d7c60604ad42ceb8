"""POSTs that may be sent twice: the Idempotency-Key header; used by operations.py for every POST.

Only what was done is remembered (2xx): a refusal changed nothing, and the same request may fare better later. A second
request that comes while the first is under way waits for its answer.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from gateway.api.problems import ApiProblem, Code, invalid
from gateway.engine.ports import Idempotency, Remembered, StoreUnavailable
from gateway.telemetry.log import get_logger

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"
WAIT_S: Final = 10.0
_KEY: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Running:
    fingerprint: str
    answer: asyncio.Future[Remembered | None]


class Once:
    """Serves a request with an Idempotency-Key once; `clock` gives seconds since the epoch."""

    def __init__(self, kept: Idempotency, clock: Callable[[], float], wait_s: float = WAIT_S) -> None:
        self._kept, self._clock, self._wait_s = kept, clock, wait_s
        self._running: dict[tuple[str, str], _Running] = {}

    async def serve(
        self, request: web.Request, owner: str, body: bytes, act: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """The answer to a POST of this owner: that of the first one with its Idempotency-Key, or that of `act`."""
        key = _key(request)
        if key is None:
            return await act()
        fingerprint = _fingerprint(request, body)
        while (running := self._running.get((owner, key))) is not None:
            _same(running.fingerprint, fingerprint)
            answer = await self._wait(running)
            if answer is not None:
                return _replay(answer)
        running = _Running(fingerprint, asyncio.get_running_loop().create_future())
        self._running[owner, key] = running
        done: Remembered | None = None
        try:
            done = await self._kept.lookup(owner, key, self._clock())
            if done is not None:
                _same(done.fingerprint, fingerprint)
                return _replay(done)
            response = await act()
            if response.status < 300 and isinstance(response, web.Response):
                done = Remembered(fingerprint, response.status, response.text or "")
                await self._remember(owner, key, done)
            return response
        finally:
            del self._running[owner, key]
            running.answer.set_result(done)

    async def _wait(self, running: _Running) -> Remembered | None:
        try:
            async with asyncio.timeout(self._wait_s):
                return await asyncio.shield(running.answer)
        except TimeoutError:
            raise ApiProblem(
                Code.IDEMPOTENCY_KEY_IN_USE, "ask again for its answer", headers={"Retry-After": "1"}
            ) from None

    async def _remember(self, owner: str, key: str, answer: Remembered) -> None:
        try:
            await self._kept.remember(owner, key, answer, self._clock())
        except StoreUnavailable as error:  # it was done: to say anything else would be worse
            log.warning("api.answer_forgotten", why=str(error))


def _key(request: web.Request) -> str | None:
    given = request.headers.getall(HEADER, [])
    if not given:
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise invalid("header", HEADER, "must be one text of 1 to 255 printable ASCII characters")
    return given[0]


def _fingerprint(request: web.Request, body: bytes) -> str:
    return hashlib.sha256(b"\n".join((request.method.encode(), request.path_qs.encode(), body))).hexdigest()


def _same(first: str, now: str) -> None:
    if first != now:
        raise ApiProblem(Code.IDEMPOTENCY_KEY_REUSED, "its path, query or body were others; use a new key")


def _replay(answer: Remembered) -> web.Response:
    headers = {REPLAYED: "true"}
    return web.Response(
        body=answer.body.encode(), status=answer.status, content_type="application/json", headers=headers
    )
