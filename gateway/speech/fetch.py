"""Audio from URLs that bots give, under the rules of "URLs to fetch" (hostile-world.md); called by speech/sounds.py."""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from pathlib import Path

import aiohttp
from yarl import URL

from gateway.audio.pcm import pcm_of, resample
from gateway.audio.wav import NotPcmWav, Wav, read_wav
from gateway.calls.errors import SoundError
from gateway.speech.addresses import AddressRefused, GuardedResolver, Network, Resolve, check_literal, resolve_by_system
from gateway.speech.cache import MemoryCache
from gateway.speech.child import run
from gateway.speech.flight import SingleFlight

MAX_SECONDS = 600
_MAX_BYTES = 10 << 20
_MAX_REDIRECTS = 3
_AT_ONCE = 32
_TYPES = ("application/ogg",)
_HEADERS = {
    "Accept": "audio/*, application/ogg;q=0.9",
    "Accept-Encoding": "identity",
    "User-Agent": "Switchhook",
}
_DECODER = Path(__file__).with_name("decode.py")


class _Refusal(Exception):
    """Why this URL gives no sound: one sentence for the bot's developer."""


class Fetcher:
    """Downloads, decodes and keeps for `ttl_s` what bots name by URL. Redirects, types, sizes and time are bounded."""

    def __init__(
        self,
        clock_rate: int,
        *,
        allow: Sequence[Network | str] = (),
        resolve: Resolve = resolve_by_system,
        timeout_s: float = 10.0,
        ttl_s: float = 300.0,
        memory_limit: int = 64 << 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate, self._timeout_s = clock_rate, timeout_s
        self._allow = tuple(ip_network(network) if isinstance(network, str) else network for network in allow)
        self._resolver = GuardedResolver(resolve, self._allow)
        self._cache: MemoryCache[str] = MemoryCache(memory_limit, ttl_s, clock)
        self._flights: SingleFlight[str, bytes] = SingleFlight()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, url: str) -> bytes:
        """The sound behind `url` as PCM. Raises SoundError, always the bot's fault."""
        return self._cache.get(url) or await self._flights.run(url, lambda: self._load(url))

    async def close(self) -> None:
        """Give up what is under way and close every connection."""
        await self._flights.close()
        if self._session is not None:
            await self._session.close()

    async def _load(self, text: str) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s), self._slots:
                pcm = await self._decode(await self._download(_checked(text)))
        except (_Refusal, AddressRefused) as refusal:
            raise SoundError(_shown(text), str(refusal), by_bot=True) from None
        except TimeoutError:
            raise SoundError(_shown(text), f"not here after {self._timeout_s:g} s", by_bot=True) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SoundError(_shown(text), _reason(error), by_bot=True) from None
        self._cache.put(text, pcm)
        return pcm

    async def _download(self, url: URL) -> bytes:
        for _ in range(_MAX_REDIRECTS + 1):
            check_literal(url.raw_host or "", self._allow)
            async with self._client().get(url, allow_redirects=False, headers=_HEADERS) as response:
                location = response.headers.get("Location")
                if response.status not in (301, 302, 303, 307, 308) or location is None:
                    return await _body(response)
                url = _checked(str(url.join(URL(location))))
        raise _Refusal(f"more than {_MAX_REDIRECTS} redirects")

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            # One connection per hop, made to what the guarded resolver returned for it: nothing is resolved twice.
            connector = aiohttp.TCPConnector(resolver=self._resolver, use_dns_cache=False, force_close=True)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    async def _decode(self, data: bytes) -> bytes:
        try:
            wav = read_wav(data)
        except NotPcmWav:
            return await self._decode_apart(data)
        if wav.seconds > MAX_SECONDS:
            raise _Refusal(f"it plays for more than {MAX_SECONDS // 60} minutes")
        return await asyncio.to_thread(_at_rate, wav, self._rate)

    async def _decode_apart(self, data: bytes) -> bytes:
        """Any other format, in a process of its own."""
        argv = [sys.executable, "-I", str(_DECODER), str(self._rate), str(MAX_SECONDS)]
        max_output = (MAX_SECONDS + 1) * self._rate * 2
        child = await run(argv, data, timeout_s=self._timeout_s, max_output=max_output)
        if child.returncode == 0 and not child.too_long:
            return child.stdout
        why = child.stderr.strip() if child.returncode == 3 else "the decoder gave up"
        raise _Refusal(f"no audio that can be decoded ({why})")


def _checked(text: str) -> URL:
    """A URL that may be asked, by its looks."""
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        raise _Refusal("not a valid URL") from None
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise _Refusal("only http and https URLs are fetched")
    if url.raw_user is not None or url.raw_password is not None:
        raise _Refusal("a URL with a user name or password is not fetched")
    if not port:
        raise _Refusal("port 0 cannot be connected to")
    return url.with_fragment(None)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    if response.status != 200:
        raise _Refusal(f"answered {response.status} {(response.reason or '')[:60]}".rstrip())
    kind = response.content_type.lower()
    if not kind.startswith("audio/") and kind not in _TYPES:
        raise _Refusal(f"content type {kind[:60]!r} is no audio")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _Refusal("answered with a content encoding that nobody asked for")
    too_large = _Refusal(f"larger than {_MAX_BYTES >> 20} MiB")
    if (response.content_length or 0) > _MAX_BYTES:
        raise too_large
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _MAX_BYTES:
            raise too_large
    return bytes(body)


def _at_rate(wav: Wav, rate: int) -> bytes:
    if wav.channels == 1 and wav.rate == rate:
        return wav.pcm
    return pcm_of(resample(wav.mono(), wav.rate, rate))


def _shown(text: str) -> str:
    """The URL without what may be secret in it."""
    try:
        url = URL(text)
        return str(url.with_user(None).with_query(None).with_fragment(None)) if url.raw_host else "audio URL"
    except ValueError:
        return "audio URL"


def _reason(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return "its TLS certificate is not valid"
        case aiohttp.ClientConnectorDNSError():
            return "its host name is not known"
        case aiohttp.ClientConnectorError():
            return f"cannot be connected to: {error.strerror}"
        case aiohttp.ClientError() | OSError():
            return f"the connection failed: {type(error).__name__}"
        case _:
            return "not a valid URL"
