"""Asks the gateway's HTTP API with one key, and says what to do when it refuses; for follow.py and command.py."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import aiohttp

from gateway.telemetry.ladder_events import clean
from gateway.watch.rows import Happened
from gateway.watch.wire import Fields, Frames, NotOurs, document, fit, items, json_object, metrics_of, text

ANSWER_S: Final = 5.0
HEARTBEATS_S: Final = 40.0
"""The gateway sends a heartbeat every 15 s: a stream that says nothing for so long is dead."""
_SKEW_S: Final = 2.0
_LINE: Final = 2**20
READ: Final = ("calls:read",)
_PAGES: Final = 10
_PAGE: Final = "500"


class WatchError(Exception):
    """It cannot go on; the text is one line that says why and what to do."""


class Lost(Exception):
    """The gateway does not answer just now; the text says how that shows."""


class UnknownSeq(Exception):
    """The gateway does not know the event after which it was asked to go on: its store is another one."""


class Declined(Lost):
    """It answers, and does not do what was asked; `problem` is what it says, cleaned."""

    def __init__(self, status: int, problem: Fields) -> None:
        super().__init__(f"it answers {status}: {text(problem, 'detail') or 'no word why'}")
        self.status, self.problem = status, problem


class NotSeen(Exception):
    """403 or 404: it is not there for this key; the text is the gateway's."""


class Client:
    """One gateway. `url` has no slash at its end; `answer_s` is how long an answer may take; `scopes` are those that a
    key must have for what is asked."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        key: str,
        answer_s: float = ANSWER_S,
        scopes: Sequence[str] = READ,
    ) -> None:
        self._session, self.url, self._scopes = session, url, scopes
        self._headers = {"Authorization": f"Bearer {key}"}
        self._skew, self.answer_s = 0.0, answer_s

    def now(self) -> float:
        """The time by the gateway's clock, as far as its Date headers tell (RFC 9110 §6.6.1: whole seconds)."""
        return time.time() + self._skew

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Fields:
        """A JSON object, cleaned. Raises NotSeen, Lost or WatchError."""
        try:
            return fit(await self.send("GET", path, query=query))
        except NotOurs:
            raise self._stranger() from None

    async def send(
        self, method: str, path: str, body: Fields | None = None, query: Mapping[str, str] | None = None
    ) -> Fields:
        """Ask for something to be done; the answer as it came. Raises NotSeen, Declined, Lost or WatchError."""
        status, answer = await self._ask(path, query, self._headers, method, body)
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise self._refused(status, answer)
        try:
            return json_object(answer)
        except NotOurs:
            raise self._stranger() from None

    async def live_calls(self) -> list[Fields]:
        """The calls that are up, as they came. Raises NotOurs, NotSeen, Lost or WatchError."""
        found: list[Fields] = []
        query = {"limit": _PAGE}
        for _ in range(_PAGES):
            answer = await self.send("GET", "/v1/calls", query=query)
            found += items(answer)
            cursor = text(answer, "nextCursor")
            if not cursor:
                break
            query["cursor"] = cursor
        return found

    async def ready(self) -> bool:
        """/readyz. Raises Lost or WatchError."""
        _, body = await self._ask("/readyz", None, {})
        return self._document(body).get("ready") is True

    async def metrics(self) -> dict[str, float]:
        """The few of /metrics that are shown; none, if it is not served here. Raises Lost."""
        status, body = await self._ask("/metrics", None, {})
        return metrics_of(body.decode(errors="replace")) if status == HTTPStatus.OK else {}

    async def _ask(
        self,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        method: str = "GET",
        body: Fields | None = None,
    ) -> tuple[int, bytes]:
        try:
            async with (
                asyncio.timeout(self.answer_s),
                self._session.request(
                    method, self.url + path, params=query, json=body, headers=headers, allow_redirects=False
                ) as answer,
            ):
                self._set_clock(answer)
                return answer.status, await answer.read()
        except TimeoutError:
            raise Lost(f"no answer in {self.answer_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Lost(_why(error)) from None

    def _set_clock(self, answer: aiohttp.ClientResponse) -> None:
        try:
            skew = parsedate_to_datetime(answer.headers["Date"]).timestamp() + 0.5 - time.time()
        except (KeyError, ValueError):
            return
        self._skew = skew if abs(skew) > _SKEW_S else 0.0

    def _document(self, body: bytes) -> Fields:
        try:
            return document(body)
        except NotOurs:
            raise self._stranger() from None

    def _stranger(self) -> WatchError:
        return WatchError(f"what answers at {self.url} is no Switchhook gateway: give its API's address with --url")

    def _refused(self, status: int, body: bytes) -> Exception:
        """What a status other than 2xx means to us."""
        try:
            problem = document(body)
        except NotOurs:
            problem = {}
        code, detail, scope = text(problem, "code"), text(problem, "detail"), text(problem, "scope")
        make = (
            f"on its machine, write: switchhook keys add NAME {' '.join(f'--scope {one}' for one in self._scopes)}; "
            "then give it in SWITCHHOOK_KEY or with --key"
        )
        match status:
            case _ if not code and status < HTTPStatus.INTERNAL_SERVER_ERROR:
                return self._stranger()
            case HTTPStatus.UNAUTHORIZED:
                return WatchError(f"the gateway at {self.url} does not know this key (or it was revoked): {make}")
            case HTTPStatus.FORBIDDEN if scope:
                may_not = "see calls" if scope == "calls:read" else "do that"
                return WatchError(f"this key may not {may_not}: it needs the scope {scope}; {make}")
            case HTTPStatus.FORBIDDEN | HTTPStatus.NOT_FOUND:
                return NotSeen(detail)
            case HTTPStatus.UNPROCESSABLE_ENTITY if code == "unknown-seq":
                return UnknownSeq()
            case _:
                return Declined(status, problem)

    def nobody(self, lost: Lost) -> WatchError:
        """Nothing has ever answered here."""
        return WatchError(
            f"no gateway answers at {self.url} ({lost}): start it with switchhook serve, "
            "or say where its API is with --url"
        )

    # ── events ──────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def events(self, after: int | None, call: str | None) -> AsyncIterator[AsyncIterator[Happened | str]]:
        """Events and comments as they come, from after this seq, or from now on; the iterator ends with Lost.

        Raises UnknownSeq, NotSeen, Lost or WatchError.
        """
        query = {**({"after": str(after)} if after is not None else {}), **({"call": call} if call else {})}
        patience = aiohttp.ClientTimeout(total=None, sock_connect=self.answer_s, sock_read=HEARTBEATS_S)
        try:
            async with self._session.get(
                f"{self.url}/v1/events", params=query, headers=self._headers, timeout=patience, read_bufsize=_LINE,
                allow_redirects=False,
            ) as answer:  # fmt: skip
                if answer.status != HTTPStatus.OK:
                    raise self._refused(answer.status, await answer.read())
                if answer.content_type != "text/event-stream":
                    raise self._stranger()
                yield self._frames(answer)
        except TimeoutError:
            raise Lost(f"no heartbeat in {HEARTBEATS_S:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Lost(_why(error)) from None

    async def _frames(self, answer: aiohttp.ClientResponse) -> AsyncIterator[Happened | str]:
        frames, last_words = Frames(), "it ended the event stream"
        try:
            async for raw in answer.content:
                for found in frames.take(raw.decode(errors="replace").rstrip("\r\n")):
                    if isinstance(found, str):
                        last_words = found.partition("; go on")[0] or last_words
                    yield found
        except ValueError:  # NotOurs, or a line longer than any of ours
            raise Lost("its event stream cannot be read") from None
        raise Lost(last_words if last_words != "heartbeat" else "it ended the event stream")


def _why(error: Exception) -> str:
    """Without the address, which the reader knows."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return "connection refused" if isinstance(error.os_error, ConnectionRefusedError) else clean(error.strerror)
    if isinstance(error, aiohttp.ClientOSError | aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError):
        return "it closed the connection"
    return clean(str(error) or type(error).__name__)
