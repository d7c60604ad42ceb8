"""A bot behind a URL: one signed POST per event (bot-protocol.md, "Request"); made by app, asked by the engine."""

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from typing import Final

import aiohttp
import structlog
from yarl import URL

from gateway import __version__
from gateway.bots.posting import Signature, location, public, why_unreachable
from gateway.calls.commands import AskBot, BotEventName
from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.replies import MAX_BODY, BotResponse, parse_response

_log = structlog.get_logger(__name__)

RETRY_STATUSES: Final = frozenset({502, 503, 504})
RETRY_AFTER_S: Final = (0.1, 0.2)
RETRY_AT_LEAST_S: Final = 1.0
"""A second attempt gets this long even when the first one used up the budget."""
CONNECTIONS_PER_HOST: Final = 1024
"""As many as a process has legs: a call asks one thing at a time, so nobody waits for a free connection."""


def open_session() -> aiohttp.ClientSession:
    """A session for any number of WebhookBots: no cookies, no proxy from the environment, no decompression.

    Call it in a running event loop and close it at the end.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS_PER_HOST, ttl_dns_cache=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        trust_env=False,
        auto_decompress=False,
        headers={
            "User-Agent": f"Switchhook/{__version__}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        },
    )


class WebhookBot:
    """A bot that is asked over HTTP.

    `secrets` sign the requests: each is `whsec_` + base64, or any string taken as its bytes, or the bytes themselves;
    all of them sign while one replaces another, none means unsigned. `session`, from `open_session()`, may be shared
    and is then the caller's to close; without it the bot opens its own.

    `timeout_s` is what the caller is made to wait, so it covers the whole question: the first attempt may take all of
    it; a second one (after a failed connection, or 502, 503, 504) has what is left of it and at least 1 s. The worst
    case is therefore `timeout_s` + 1.2 s. A time-out is not tried again: the bot may still be at work.
    Raises ValueError for a URL or a secret that cannot be used.
    """

    def __init__(
        self,
        url: str,
        secrets: Sequence[bytes | str] = (),
        timeout_s: float = 5.0,
        session: aiohttp.ClientSession | None = None,
        retried: Callable[[], None] = lambda: None,
    ) -> None:
        self._url = URL(url)
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise ValueError("the bot's URL must start with http:// or https:// and name a host")
        self._signature = Signature(secrets)
        self._timeout_s = timeout_s
        self._retried = retried
        self._session = session
        self._own_session = session is None
        self._closed = False

    def __repr__(self) -> str:
        return f"WebhookBot({public(self._url)})"

    async def ask(self, ask: AskBot, event_id: str, at: str) -> BotResponse:
        """POST the event, once more if that may help. The answer to `hangup` is checked for its status only.

        Raises BotError. Cancelling it closes the connection that the request is on.
        """
        body = _envelope(ask, event_id, at)
        ignore_reply = ask.event is BotEventName.HANGUP
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout_s
        try:
            return await self._attempt(event_id, body, ignore_reply, self._timeout_s)
        except _Passing as failure:
            _log.info("bot.retried", bot=public(self._url), event_id=event_id, event_name=ask.event, why=failure.detail)
            self._retried()
        await asyncio.sleep(random.uniform(*RETRY_AFTER_S))
        left_s = max(deadline - clock(), min(RETRY_AT_LEAST_S, self._timeout_s))
        try:
            return await self._attempt(event_id, body, ignore_reply, left_s)
        except _Passing as failure:
            raise BotError(failure.kind, f"{failure.detail} (tried twice)") from None

    async def close(self) -> None:
        """Release the connections, unless the session is shared. Requests under way fail as unreachable."""
        self._closed = True
        if self._own_session and self._session is not None:
            await self._session.close()

    # ── One attempt ─────────────────────────────────────────────────────────────────────────────────

    async def _attempt(self, event_id: str, body: str, ignore_reply: bool, timeout_s: float) -> BotResponse:
        """Raises BotError; as `_Passing` when a second attempt may do better."""
        if self._closed:
            raise BotError(BotErrorKind.UNREACHABLE, "the gateway is stopping")
        if self._session is None:
            self._session = open_session()
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.post(
                    self._url,
                    data=body.encode(),
                    headers=self._signature.headers(event_id, body),
                    allow_redirects=False,
                ) as answer,
            ):
                return await self._read(answer, ignore_reply)
        except TimeoutError:
            # Before ClientError: nothing sets aiohttp's own time-outs, and an OSError ETIMEDOUT comes as ClientOSError.
            raise BotError(BotErrorKind.TIMEOUT, f"no answer within {self._timeout_s:g} s") from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            raise _Passing(BotErrorKind.UNREACHABLE, why_unreachable(self._url, error)) from None
        except aiohttp.ClientError:
            raise BotError(BotErrorKind.MALFORMED, f"{public(self._url)} does not answer in HTTP") from None

    async def _read(self, answer: aiohttp.ClientResponse, ignore_reply: bool) -> BotResponse:
        try:
            self._check_status(answer)
            if ignore_reply or answer.status == 204:
                return BotResponse()
            body = await _bounded(answer)
        except BaseException:
            answer.close()  # what is left of it is not worth reading, however long it is
            raise
        try:
            return parse_response(body)
        except BotError as error:
            if error.kind is BotErrorKind.MALFORMED and not _is_json(answer):
                raise BotError(error.kind, f"the bot answered {answer.content_type[:60]}, not JSON") from None
            raise

    def _check_status(self, answer: aiohttp.ClientResponse) -> None:
        status = answer.status
        if status in (200, 204):
            return
        if status in RETRY_STATUSES:
            raise _Passing(BotErrorKind.STATUS, f"the bot answered {status}")
        if 300 <= status < 400 and "Location" in answer.headers:
            to = location(self._url, answer.headers["Location"])
            raise BotError(BotErrorKind.STATUS, f"the bot answered {status} to {to}; redirects are not followed")
        hint = {
            401: "; does it know the secret that signs?",
            403: "; does it know the secret that signs?",
            404: f"; is {public(self._url)} the right path?",
            405: "; it must take POST",
        }.get(status, "; only 200 and 204 are answers" if status < 300 else "")
        raise BotError(BotErrorKind.STATUS, f"the bot answered {status}{hint}")


class _Passing(BotError):
    """A failure that a second attempt may mend."""


# ── Out ─────────────────────────────────────────────────────────────────────────────────────────────


def _envelope(ask: AskBot, event_id: str, at: str) -> str:
    event = {
        "id": event_id,
        "event": ask.event.value,
        "seq": ask.seq,
        "at": at,
        "call": ask.call,
        "data": ask.data,
    }
    return json.dumps(event, separators=(",", ":"), allow_nan=False)


# ── In ──────────────────────────────────────────────────────────────────────────────────────────────


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    """The body, read no further than the limit."""
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):  # decompressing could make gigabytes of a few KiB
        raise BotError(BotErrorKind.MALFORMED, f"the answer is compressed ({encoding[:20]}), which we did not ask for")
    too_large = BotError(BotErrorKind.TOO_LARGE, f"the answer has more than {MAX_BODY // 1024} KiB")
    if (answer.content_length or 0) > MAX_BODY:
        raise too_large
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            raise too_large
    if not body:
        raise BotError(BotErrorKind.MALFORMED, "the answer is empty; to say nothing, answer 204")
    return bytes(body)


def _is_json(answer: aiohttp.ClientResponse) -> bool:
    """Whether it claims to be. One that does not is read all the same: only its failure is told differently."""
    kind = answer.content_type
    return kind.endswith(("/json", "+json")) or "Content-Type" not in answer.headers
