"""The receiver of status webhooks: one signed POST per event (control-api.md, "Status webhooks"); made by app.py.

The URL is the operator's own, so the rules for addresses that bots give do not apply. Called by engine/deliveries.py.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import aiohttp
from yarl import URL

from gateway.bots.posting import Signature, location, public, why_unreachable
from gateway.engine.ports import NotTaken, Recorded

TIMEOUT_S: Final = 10.0
_ENOUGH: Final = 4096
"""Bytes of an answer that are read so that its connection can be used again; nobody looks at them."""
_FINISH_S: Final = 1.0
_WAITS: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class StatusReceiver:
    """`engine.ports.Receiver`. `session` is from `webhook.open_session()`; `secrets` as for a WebhookBot. Raises
    ValueError for a secret that cannot be used."""

    def __init__(
        self,
        url: str,
        secrets: Sequence[bytes | str],
        session: aiohttp.ClientSession,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._url, self._session, self._timeout_s = URL(url), session, timeout_s
        self._signature = Signature(secrets)

    def __repr__(self) -> str:
        return f"StatusReceiver({public(self._url)})"

    async def post(self, recorded: Recorded) -> NotTaken | None:
        """See Receiver. Every 2xx takes it; a redirect does not, and is not followed."""
        body = json.dumps(recorded.as_json(), separators=(",", ":"), default=str)
        headers = self._signature.headers(event_id(recorded), body)
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session.post(self._url, data=body.encode(), headers=headers, allow_redirects=False) as answer,
            ):
                refusal = self._refusal(answer)
                await _finish(answer)
                return refusal
        except TimeoutError:
            return NotTaken(f"no answer within {self._timeout_s:g} s")
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            return NotTaken(why_unreachable(self._url, error))
        except aiohttp.ClientError:
            return NotTaken(f"{public(self._url)} does not answer in HTTP")

    def _refusal(self, answer: aiohttp.ClientResponse) -> NotTaken | None:
        status = answer.status
        if 200 <= status < 300:
            return None
        if 300 <= status < 400 and "Location" in answer.headers:
            to = location(self._url, answer.headers["Location"])
            return NotTaken(f"it answered {status} to {to}; redirects are not followed")
        asked = answer.headers.get("Retry-After") if status in _WAITS else None
        wait_s = retry_after_s(asked, time.time()) if asked is not None else None
        return NotTaken(f"it answered {status}", wait_s, gone=status == HTTPStatus.GONE)


def event_id(recorded: Recorded) -> str:
    """The `webhook-id`: the same for every attempt, unlike that of any other event of any node. A point, which parts
    the signed text, is not in it."""
    return f"evt_{recorded.happening.call_id.removeprefix('call_')}_{recorded.seq}"


def retry_after_s(text: str, now: float) -> float | None:
    """RFC 9110 §10.2.3: seconds, or a date, here as seconds from now; None for what is neither."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now)


async def _finish(answer: aiohttp.ClientResponse) -> None:
    """Read a short answer to its end, for the next event to use its connection; give that of any other up. What it
    says was said by its status."""
    left = _ENOUGH
    try:
        async with asyncio.timeout(_FINISH_S):
            async for chunk in answer.content.iter_any():
                left -= len(chunk)
                if left < 0:
                    break
            else:
                return
    except (TimeoutError, aiohttp.ClientError):
        pass
    answer.close()
