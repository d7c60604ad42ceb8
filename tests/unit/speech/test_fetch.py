"""Audio from URLs: a real HTTP server, kind and hostile; loopback is reached only where fetch_allow names it."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import numpy as np
import pytest
import soundfile
from aiohttp import web

from gateway.audio.pcm import rms_dbfs, samples_of
from gateway.audio.wav import write_wav
from gateway.calls.errors import SoundError
from gateway.speech.fetch import Fetcher
from tests.fakes.sounds import tone

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """A web server on a loopback port; `requests` are the paths (and Host headers) that were asked for."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.requests: list[tuple[str, str]] = []
        self.port = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.path, request.headers["Host"]))
        return await self.handlers[request.path](request)

    def gives(self, path: str, body: bytes, kind: str = "audio/wav", **headers: str) -> str:
        async def handler(_request: web.Request) -> web.Response:
            return web.Response(body=body, headers={"Content-Type": kind, **headers})

        self.handlers[path] = handler
        return self.url(path)

    def redirects(self, path: str, to: str) -> str:
        async def handler(_request: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": to})

        self.handlers[path] = handler
        return self.url(path)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", site.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    site.port = runner.addresses[0][1]
    yield site
    await runner.cleanup()


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(8000, allow=["127.0.0.1/32"], timeout_s=5)
    yield fetcher
    await fetcher.close()


@pytest.fixture
async def strict() -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(8000, timeout_s=5)
    yield fetcher
    await fetcher.close()


async def refusal(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(SoundError) as caught:
        await fetcher.fetch(url)
    assert caught.value.by_bot
    assert "\n" not in str(caught.value)
    return caught.value.detail


WAV = write_wav(tone(440, 500, 8000), 8000)


def encoded(form: str, subtype: str | None = None, rate: int = 44100, channels: int = 2, seconds: float = 1.0) -> bytes:
    t = np.arange(round(rate * seconds)) / rate
    file = io.BytesIO()
    soundfile.write(
        file, np.tile(0.5 * np.sin(2 * np.pi * 1000 * t)[:, None], (1, channels)), rate, subtype, format=form
    )
    return file.getvalue()


# ── Kind servers ────────────────────────────────────────────────────────────────────────────────────


async def test_a_wav_at_the_bridges_rate_comes_as_it_is(site: Site, fetcher: Fetcher) -> None:
    assert await fetcher.fetch(site.gives("/a.wav", WAV, "audio/x-wav; foo=bar")) == tone(440, 500, 8000)


@pytest.mark.parametrize(
    ("form", "subtype", "kind"),
    [
        ("WAV", "PCM_16", "audio/wav"), ("WAV", "ULAW", "audio/wav"), ("WAV", "PCM_24", "audio/wav"),
        ("WAV", "FLOAT", "audio/wav"),
        ("MP3", None, "audio/mpeg"), ("OGG", "VORBIS", "application/ogg"), ("OGG", "OPUS", "audio/ogg"),
        ("FLAC", None, "audio/flac"),
    ],
)  # fmt: skip
async def test_every_format_becomes_mono_at_our_rate(
    site: Site, fetcher: Fetcher, form: str, subtype: str | None, kind: str
) -> None:
    data = encoded(form, subtype, 48000 if subtype == "OPUS" else 44100)
    sound = samples_of(await fetcher.fetch(site.gives("/a", data, kind)))
    assert sound.size / 8000 == pytest.approx(1, abs=0.1)
    spectrum = np.abs(np.fft.rfft(sound))
    assert np.argmax(spectrum) * 8000 / sound.size == pytest.approx(1000, abs=5)
    assert rms_dbfs(sound) == pytest.approx(-9, abs=1)


async def test_a_name_is_resolved_once_and_the_host_is_kept(site: Site) -> None:
    asked: list[tuple[str, int]] = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    fetcher = Fetcher(8000, allow=["127.0.0.1/32"], resolve=rebinding)
    site.gives("/a.wav", WAV)
    assert await fetcher.fetch(site.url("/a.wav", "sounds.example"))
    assert asked == [("sounds.example", site.port)]
    assert site.requests == [("/a.wav", f"sounds.example:{site.port}")]
    detail = await refusal(fetcher, site.url("/b.wav", "sounds.example"))
    assert "not a public address" in detail
    await fetcher.close()


async def test_three_redirects_and_no_more(site: Site, fetcher: Fetcher) -> None:
    site.gives("/0", WAV)
    for hop in range(1, 5):
        site.redirects(f"/{hop}", f"{hop - 1}" if hop % 2 else site.url(f"/{hop - 1}"))
    assert await fetcher.fetch(site.url("/3"))
    assert await refusal(fetcher, site.url("/4")) == "more than 3 redirects"


async def test_it_is_kept_for_a_while(site: Site) -> None:
    now = 0.0
    fetcher = Fetcher(8000, allow=["127.0.0.0/8"], ttl_s=300, clock=lambda: now)
    url = site.gives("/a.wav", WAV)
    first, second = await asyncio.gather(fetcher.fetch(url), fetcher.fetch(url))
    assert first == second
    now = 299.0
    await fetcher.fetch(url)
    assert len(site.requests) == 1
    now = 301.0
    await fetcher.fetch(url)
    assert len(site.requests) == 2
    await fetcher.close()


async def test_a_proxy_of_the_environment_is_not_asked(
    site: Site, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert await fetcher.fetch(site.gives("/a.wav", WAV))


# ── Where it does not go ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "[::1]", "169.254.169.254", "10.1.2.3", "192.168.0.1", "[::ffff:127.0.0.1]", "[fe80::1]",
        "0.0.0.0",
        "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "localhost", "127.0.0.1.", "１２７.0.0.1",
    ],
)  # fmt: skip
async def test_private_addresses_in_any_notation(site: Site, strict: Fetcher, host: str) -> None:
    site.gives("/a.wav", WAV)
    assert "not a public address" in await refusal(strict, site.url("/a.wav", host))
    assert site.requests == []


async def test_a_name_that_leads_inside(site: Site) -> None:
    for inside in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:192.168.0.1", "fe80::1%eth0"):

        async def resolve(_host: str, _port: int, inside: str = inside) -> Sequence[str]:
            return [inside]

        fetcher = Fetcher(8000, resolve=resolve)
        assert "not a public address" in await refusal(fetcher, site.url("/a.wav", "innocent.example"))
        await fetcher.close()


@pytest.mark.parametrize(
    "to", ["http://10.0.0.1/x", "http://169.254.169.254/latest", "http://[::1]/", "http://127.0.0.2/"]
)
async def test_a_redirect_that_leads_inside(site: Site, fetcher: Fetcher, to: str) -> None:
    assert "not a public address" in await refusal(fetcher, site.redirects("/r", to))


@pytest.mark.parametrize(
    ("to", "why"), [("file:///etc/passwd", "http and https"), ("http://a:b@127.0.0.1/", "user name"), ("//:0", "")]
)
async def test_a_redirect_to_something_odd(site: Site, fetcher: Fetcher, to: str, why: str) -> None:
    assert why in await refusal(fetcher, site.redirects("/r", to))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.com/a", "only http and https"),
        ("file:///etc/passwd", "only http and https"),
        ("http://", "only http and https"),
        ("nonsense", "only http and https"),
        ("http://user:pass@example.com/a", "user name or password"),
        ("http://user@example.com/a", "user name or password"),
        ("http://example.com:0/a", "port 0"),
        ("http://example.com:99999/a", "not a valid URL"),
        ("http://[::1/a", "not a valid URL"),
    ],
)
async def test_odd_urls(strict: Fetcher, url: str, why: str) -> None:
    assert why in await refusal(strict, url)


# ── Hostile and broken servers ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["text/html", "application/json", "application/octet-stream", "video/mp4", ""])
async def test_audio_types_only(site: Site, fetcher: Fetcher, kind: str) -> None:
    assert "is no audio" in await refusal(fetcher, site.gives("/a", WAV, kind))


async def test_status(site: Site, fetcher: Fetcher) -> None:
    async def missing(_request: web.Request) -> web.Response:
        return web.Response(status=404)

    site.handlers["/a"] = missing
    assert await refusal(fetcher, site.url("/a")) == "answered 404 Not Found"


async def test_too_large_by_its_own_word(site: Site, fetcher: Fetcher) -> None:
    assert await refusal(fetcher, site.gives("/a", bytes((10 << 20) + 1))) == "larger than 10 MiB"


async def test_too_large_in_a_stream(site: Site, fetcher: Fetcher) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "audio/wav"})
        await response.prepare(request)
        while True:
            await response.write(bytes(1 << 20))
            sent += 1

    site.handlers["/a"] = endless
    assert await refusal(fetcher, site.url("/a")) == "larger than 10 MiB"
    assert sent < 30


async def test_a_compressed_bomb_is_not_opened(site: Site, fetcher: Fetcher) -> None:
    url = site.gives("/a", bytes(1000), **{"Content-Encoding": "gzip"})
    assert "content encoding" in await refusal(fetcher, url)


async def test_slow(site: Site) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "audio/wav"})
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.05)

    site.handlers["/a"] = drip
    fetcher = Fetcher(8000, allow=["127.0.0.1/32"], timeout_s=0.3)
    assert await refusal(fetcher, site.url("/a")) == "not here after 0.3 s"
    await fetcher.close()


async def test_dead_and_unknown(site: Site, fetcher: Fetcher) -> None:
    async def nobody(_host: str, _port: int) -> Sequence[str]:
        raise OSError("no such name")

    assert "cannot be connected to" in await refusal(fetcher, "http://127.0.0.1:9/a")
    other = Fetcher(8000, resolve=nobody)
    assert await refusal(other, "http://nowhere.example/a") == "its host name is not known"
    await other.close()


async def test_a_cut_connection(site: Site, fetcher: Fetcher) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "audio/wav", "Content-Length": "5000"})
        await response.prepare(request)
        await response.write(WAV[:100])
        assert request.transport is not None
        request.transport.abort()
        return response

    site.handlers["/a"] = cut
    assert "the connection failed" in await refusal(fetcher, site.url("/a"))


@pytest.mark.parametrize(
    "garbage",
    [b"", b"<html>", os.urandom(5000), b"RIFF" + os.urandom(100), b"OggS" + os.urandom(3000),
     b"fLaC" + os.urandom(3000),
     b"\xff\xfb\x90\x00" + os.urandom(3000), encoded("FLAC")[:3000], encoded("MP3")[:50]],
)  # fmt: skip
async def test_garbage_is_refused_or_short_but_never_a_crash(site: Site, fetcher: Fetcher, garbage: bytes) -> None:
    try:
        assert len(await fetcher.fetch(site.gives("/a", garbage))) < 20_000
    except SoundError as error:
        assert error.by_bot
        assert "no audio that can be decoded" in error.detail


async def test_more_than_ten_minutes(site: Site, fetcher: Fetcher) -> None:
    long = encoded("FLAC", None, 8000, 1, 601)
    assert "more than 10 minutes" in await refusal(fetcher, site.gives("/a", long, "audio/flac"))
    assert "more than 10 minutes" in await refusal(fetcher, site.gives("/b", write_wav(bytes(4000 * 2 * 601), 4000)))


async def test_what_is_told_has_no_secrets_in_it(strict: Fetcher) -> None:
    with pytest.raises(SoundError) as caught:
        await strict.fetch("http://me:pw@10.0.0.1/a.wav?token=abc#x")
    assert caught.value.source == "http://10.0.0.1/a.wav"


async def test_the_last_listener_gone_gives_up_the_download(site: Site, fetcher: Fetcher) -> None:
    gone = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            gone.set()
            raise
        return web.Response()

    site.handlers["/a"] = hang
    waiter = asyncio.create_task(fetcher.fetch(site.url("/a")))
    while not site.requests:
        await asyncio.sleep(0.01)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    await fetcher.close()
    await asyncio.wait_for(gone.wait(), 2)
