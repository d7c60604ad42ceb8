"""WebhookBot against a real server on loopback: what it sends, and what it makes of every kind of answer."""

import asyncio
import base64
import json
import shutil
import socket
import ssl
import subprocess
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks.webhooks import Webhook
from structlog.testing import capture_logs

from gateway.bots.webhook import WebhookBot, open_session
from gateway.calls.commands import BotEventName
from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.replies import BotResponse, HangupReply, Text
from tests.bot_server import (
    Answer,
    BotServer,
    cut,
    cut_midway,
    dead_port,
    gzip_bomb,
    html,
    huge,
    nothing,
    raw,
    redirect,
    replies,
    silent,
    slow,
    status,
    text,
    trickle,
    wrong_types,
)
from tests.unit.bots.asking import AT, question

START, HANGUP = BotEventName.START, BotEventName.HANGUP
OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW = "whsec_" + base64.b64encode(b"a new and better secret").decode()
HELLO = replies(text("Hello"))


@pytest.fixture
async def server() -> AsyncIterator[BotServer]:
    async with BotServer() as server:
        yield server


@asynccontextmanager
async def webhook(url: str, *secrets: bytes | str, timeout_s: float = 2.0) -> AsyncIterator[WebhookBot]:
    bot = WebhookBot(url, secrets, timeout_s)
    try:
        yield bot
    finally:
        await bot.close()


async def ask(url: str, event: BotEventName = START, *, timeout_s: float = 2.0) -> BotResponse:
    async with webhook(url, timeout_s=timeout_s) as bot:
        return await bot.ask(question(event), "evt_1", AT)


async def failure(url: str, event: BotEventName = START, *, timeout_s: float = 2.0) -> str:
    with pytest.raises(BotError) as caught:
        await ask(url, event, timeout_s=timeout_s)
    assert type(caught.value) is BotError
    return str(caught.value)


# ── The request ─────────────────────────────────────────────────────────────────────────────────────


class TestRequest:
    async def test_is_the_envelope_of_the_protocol(self, server: BotServer) -> None:
        async with webhook(server.url) as bot:
            asked = question(START, seq=7)
            await bot.ask(asked, "evt_01J", AT)
        (request,) = server.requests
        assert request.event == {
            "id": "evt_01J",
            "event": "start",
            "seq": 7,
            "at": AT,
            "call": asked.call,
            "data": {"reason": "inbound", "parameters": {}},
        }
        assert list(request.event) == ["id", "event", "seq", "at", "call", "data"]

    async def test_headers(self, server: BotServer) -> None:
        await ask(server.url)
        headers = server.requests[0].headers
        assert headers.pop("webhook-timestamp").isdecimal()
        assert headers == {
            "host": f"127.0.0.1:{server.port}",
            "user-agent": "Switchhook/0.1.0",
            "content-type": "application/json",
            "content-length": str(len(server.requests[0].body)),
            "accept": "application/json",
            "accept-encoding": "identity",
            "webhook-id": "evt_1",
        }

    async def test_proxies_of_the_environment_are_not_used(
        self, server: BotServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with dead_port() as proxy:
            monkeypatch.setenv("http_proxy", proxy)
            monkeypatch.setenv("HTTP_PROXY", proxy)
            await ask(server.url)
        assert server.events == ["start"]

    async def test_cookies_are_not_kept(self, server: BotServer) -> None:
        server.on("start", raw(b"{}", Set_Cookie="session=1; Path=/"))
        async with webhook(server.url) as bot:
            await bot.ask(question(START), "evt_1", AT)
            await bot.ask(question(START), "evt_2", AT)
        assert "cookie" not in server.requests[1].headers

    async def test_one_connection_serves_one_question_after_the_other(self, server: BotServer) -> None:
        server.on("start", HELLO)
        async with webhook(server.url) as bot:
            for i in range(20):
                await bot.ask(question(START), f"evt_{i}", AT)
        assert len({request.peer_port for request in server.requests}) == 1

    async def test_hundreds_at_once_do_not_wait_for_each_other(self, server: BotServer) -> None:
        server.on("start", slow(0.3, HELLO))
        async with webhook(server.url, timeout_s=10) as bot:
            began = time.monotonic()
            await asyncio.gather(*(bot.ask(question(START), f"evt_{i}", AT) for i in range(300)))
            assert time.monotonic() - began < 5
        arrivals = [request.at_s for request in server.requests]
        assert len({request.peer_port for request in server.requests}) == 300
        assert max(arrivals) - min(arrivals) < 4


class TestSignature:
    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            (OLD, OLD),
            (OLD.rstrip("="), OLD),
            ("plain words", b"plain words"),
            ("pässwörd", "pässwörd".encode()),
            (b"\x00\xff raw bytes", b"\x00\xff raw bytes"),
        ],
    )
    async def test_is_that_of_standard_webhooks(self, ours: str | bytes, theirs: str | bytes) -> None:
        async with BotServer(secrets=[theirs]) as server, webhook(server.url, ours) as bot:
            assert await bot.ask(question(START), "evt_1", AT) == BotResponse()
        assert server.requests[0].verified
        assert server.requests[0].headers["webhook-signature"].startswith("v1,")

    async def test_with_two_secrets_satisfies_who_knows_either(self, server: BotServer) -> None:
        async with webhook(server.url, NEW, OLD) as bot:
            await bot.ask(question(START), "evt_1", AT)
        (request,) = server.requests
        assert len(request.headers["webhook-signature"].split(" ")) == 2
        for secret in (OLD, NEW):
            assert Webhook(secret).verify(request.body, request.headers) == request.event

    async def test_by_a_stranger_is_refused(self) -> None:
        async with BotServer(secrets=[NEW]) as server, webhook(server.url, OLD) as bot:
            with pytest.raises(BotError, match=r"^status: the bot answered 401; does it know the secret that signs\?"):
                await bot.ask(question(START), "evt_1", AT)

    async def test_covers_the_second_attempt_too(self) -> None:
        async with BotServer(secrets=[OLD]) as server, webhook(server.url, OLD) as bot:
            server.on("start", status(503), HELLO)
            await bot.ask(question(START), "evt_1", AT)
        assert [request.verified for request in server.requests] == [True, True]

    @pytest.mark.parametrize(
        ("secret", "message"),
        [
            ("whsec_not base64!", "a secret that starts with whsec_ must go on in base64"),
            ("whsec_", "a secret must not be empty"),
            ("", "a secret must not be empty"),
            (b"", "a secret must not be empty"),
        ],
    )
    def test_needs_a_secret_that_is_one(self, secret: str | bytes, message: str) -> None:
        with pytest.raises(ValueError, match=f"^{message}$"):
            WebhookBot("http://bot.example/", [secret])

    def test_needs_a_sequence(self) -> None:
        with pytest.raises(TypeError, match=r"^secrets is a sequence of secrets, not one$"):
            WebhookBot("http://bot.example/", OLD)


@pytest.mark.parametrize("url", ["", "bot.example", "ftp://bot.example/", "http:///path", "file:///etc/passwd"])
def test_a_url_must_be_http_and_name_a_host(url: str) -> None:
    with pytest.raises(ValueError, match=r"^the bot's URL must start with http:// or https:// and name a host$"):
        WebhookBot(url)


# ── The answer ──────────────────────────────────────────────────────────────────────────────────────


class TestAnswer:
    async def test_replies_and_settings(self, server: BotServer) -> None:
        server.on("start", replies(text("Welcome"), {"type": "hangup"}, config={"language": "de-DE"}))
        response = await ask(server.url)
        assert response.replies == (Text(type="text", text="Welcome"), HangupReply(type="hangup"))
        assert response.config is not None and response.config.language == "de-DE"

    @pytest.mark.parametrize("answer", [nothing(), raw(b"{}"), raw(b'{"replies": []}')], ids=["204", "{}", "[]"])
    async def test_nothing_to_say(self, server: BotServer, answer: Answer) -> None:
        server.on("start", answer)
        assert await ask(server.url) == BotResponse()

    @pytest.mark.parametrize("content_type", ["text/html", "text/plain", "application/vnd.bot+json; charset=utf-8"])
    async def test_json_by_another_name_is_read_all_the_same(self, server: BotServer, content_type: str) -> None:
        server.on("start", raw(b'{"replies": [{"type": "pause", "ms": 5}]}', content_type))
        assert len((await ask(server.url)).replies) == 1

    async def test_64_kib_are_allowed(self, server: BotServer) -> None:
        server.on("start", raw(b"{}".ljust(64 * 1024)))
        assert await ask(server.url) == BotResponse()


class TestBadAnswer:
    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (html(), "malformed: the bot answered text/html, not JSON"),
            (raw(b"{"), "malformed: not JSON: "),
            (raw(b""), "malformed: the answer is empty; to say nothing, answer 204"),
            (raw(b"[]"), 'malformed: not a JSON object such as {"replies": []}'),
            (raw('{"replies": "é"}'.encode("latin-1")), "malformed: not JSON: "),
            (wrong_types(), "refused: replies[0].text: must be a string"),
            (replies({"type": "txt"}), "refused: replies[0]: unknown reply type 'txt'; did you mean text?"),
            (replies({"type": "voicemail"}), "refused: replies[0]: voicemail is not available yet"),
            (replies({"type": "switch"}), "refused: replies[0]: give exactly one of phoneNumber, sipUri, agent, "),
            (raw(b"{}".ljust(64 * 1024 + 1)), "too-large: the answer has more than 64 KiB"),
            (huge(), "too-large: the answer has more than 64 KiB"),
            (huge(declared=True), "too-large: the answer has more than 64 KiB"),
            (gzip_bomb(), "malformed: the answer is compressed (gzip), which we did not ask for"),
            (raw(b"{}", Content_Encoding="br"), "malformed: the answer is compressed (br), which we did not ask for"),
            (status(500), "status: the bot answered 500"),
            (status(201), "status: the bot answered 201; only 200 and 204 are answers"),
            (status(403), "status: the bot answered 403; does it know the secret that signs?"),
            (status(405), "status: the bot answered 405; it must take POST"),
            (status(304), "status: the bot answered 304"),
        ],
    )
    async def test_is_one_clear_error_and_not_asked_for_again(
        self, server: BotServer, answer: Answer, message: str
    ) -> None:
        server.on("start", answer)
        assert (await failure(server.url)).startswith(message)
        assert len(server.requests) == 1

    async def test_a_body_without_end_is_not_read(self, server: BotServer) -> None:
        server.on("start", huge(mib=100_000))
        assert await failure(server.url) == "too-large: the answer has more than 64 KiB"

    async def test_a_path_that_is_wrong(self, server: BotServer) -> None:
        server.on("start", HELLO)
        url = server.url.replace("/bot", "/robot")
        assert await failure(url) == f"status: the bot answered 404; is {url} the right path?"

    @pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
    async def test_a_redirect_is_named_and_not_followed(self, server: BotServer, code: int) -> None:
        server.on("start", redirect(server.url, code))
        assert (
            await failure(server.url) == f"status: the bot answered {code} to {server.url}; redirects are not followed"
        )
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("to", "named"),
        [
            ("https://u:pw@login.example/in?token=s3cret#x", "https://login.example/in"),
            ("//login.example/in?next=/", "http://login.example/in"),
            ("http://[", "an address that is none"),
        ],
    )
    async def test_a_redirect_is_named_without_its_secrets(self, server: BotServer, to: str, named: str) -> None:
        server.on("start", redirect(to))
        assert await failure(server.url) == f"status: the bot answered 302 to {named}; redirects are not followed"

    @pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000])
    async def test_another_protocol(self, greeting: bytes) -> None:
        async with _speaks(greeting) as url:
            assert await failure(url) == f"malformed: {url} does not answer in HTTP"


# ── Time ────────────────────────────────────────────────────────────────────────────────────────────


class TestTimeout:
    @pytest.mark.parametrize("answer", [silent(), trickle(), slow(5, HELLO)], ids=["silent", "trickle", "slow"])
    async def test_covers_the_whole_answer_and_is_not_tried_again(self, server: BotServer, answer: Answer) -> None:
        server.on("start", answer)
        began = time.monotonic()
        assert await failure(server.url, timeout_s=0.25) == "timeout: no answer within 0.25 s"
        assert 0.24 < time.monotonic() - began < 2
        assert len(server.requests) == 1

    async def test_covers_a_server_that_accepts_and_says_nothing(self) -> None:
        async with _speaks(b"") as url:
            assert await failure(url, timeout_s=0.2) == "timeout: no answer within 0.2 s"

    async def test_a_second_attempt_has_what_is_left(self, server: BotServer) -> None:
        server.on("start", status(503), silent())
        began = time.monotonic()
        assert await failure(server.url, timeout_s=1.5) == "timeout: no answer within 1.5 s"
        assert 1.4 < time.monotonic() - began < 2.5  # and not 3.1

    async def test_a_second_attempt_has_a_fair_chance(self, server: BotServer) -> None:
        server.on("start", slow(0.9, status(504)), slow(0.5, HELLO))
        assert (await ask(server.url, timeout_s=1.0)).replies

    async def test_a_slow_bot_is_waited_for(self, server: BotServer) -> None:
        server.on("start", slow(0.3, HELLO))
        assert (await ask(server.url, timeout_s=2)).replies


# ── The second attempt ──────────────────────────────────────────────────────────────────────────────


class TestRetry:
    @pytest.mark.parametrize(
        "first",
        [status(502), status(503), status(504), cut(), cut_midway()],
        ids=["502", "503", "504", "cut", "cut-midway"],
    )
    async def test_asks_once_more_with_the_same_id(self, server: BotServer, first: Answer) -> None:
        server.on("start", first, HELLO)
        with capture_logs() as logs:
            assert (await ask(server.url)).replies
        one, two = server.requests
        assert one.headers["webhook-id"] == two.headers["webhook-id"] == "evt_1"
        assert one.body == two.body
        assert 0.09 < two.at_s - one.at_s < 1
        assert [(entry["event"], entry["event_id"]) for entry in logs] == [("bot.retried", "evt_1")]

    @pytest.mark.parametrize(
        ("always", "message"),
        [
            (status(502), "status: the bot answered 502 (tried twice)"),
            (status(503), "status: the bot answered 503 (tried twice)"),
            (status(504), "status: the bot answered 504 (tried twice)"),
            (cut(), "unreachable: {url} cut the connection before its answer was complete (tried twice)"),
            (cut_midway(), "unreachable: {url} cut the connection before its answer was complete (tried twice)"),
        ],
        ids=["502", "503", "504", "cut", "cut-midway"],
    )
    async def test_asks_twice_and_no_more(self, server: BotServer, always: Answer, message: str) -> None:
        server.on("start", always)
        assert await failure(server.url) == message.format(url=server.url)
        assert len(server.requests) == 2

    async def test_the_second_answer_counts(self, server: BotServer) -> None:
        server.on("start", status(503), html())
        assert await failure(server.url) == "malformed: the bot answered text/html, not JSON"

    async def test_nobody_listens(self) -> None:
        with dead_port() as url:
            assert await failure(url) == f"unreachable: cannot connect to {url}: Connection refused (tried twice)"

    async def test_somebody_begins_to_listen(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        async with webhook(f"http://127.0.0.1:{port}/bot") as bot:
            asking = asyncio.create_task(bot.ask(question(START), "evt_1", AT))
            await asyncio.sleep(0.04)
            async with BotServer(port=port) as server:
                server.on("start", HELLO)
                assert (await asking).replies

    async def test_a_kept_connection_that_the_bot_has_closed_costs_nothing(self, server: BotServer) -> None:
        async with webhook(server.url) as bot:
            await bot.ask(question(START), "evt_1", AT)
            await server.restart()
            await bot.ask(question(START), "evt_2", AT)
        assert server.events == ["start", "start"]

    async def test_a_name_without_an_address(self) -> None:
        connector = aiohttp.TCPConnector(resolver=_NoSuchName())
        async with aiohttp.ClientSession(connector=connector) as session:
            bot = WebhookBot("https://bot.example:8443/x?token=s3cret", session=session)
            with pytest.raises(BotError) as caught:
                await bot.ask(question(START), "evt_1", AT)
        assert (
            str(caught.value) == "unreachable: the name of https://bot.example:8443/x cannot be resolved (tried twice)"
        )

    async def test_tls_where_there_is_none(self, server: BotServer) -> None:
        url = server.url.replace("http:", "https:")
        assert await failure(url) == f"unreachable: {url} does not speak TLS as we do (tried twice)"

    async def test_a_certificate_by_nobody_we_trust(self, tmp_path: Path) -> None:
        async with _self_signed(tmp_path) as url:
            assert await failure(url) == f"unreachable: the certificate of {url} is not trusted (tried twice)"


# ── The last event ──────────────────────────────────────────────────────────────────────────────────


class TestHangup:
    @pytest.mark.parametrize("answer", [html(), wrong_types(), HELLO, nothing(), huge(), gzip_bomb(), raw(b"")])
    async def test_is_told_and_the_answer_ignored(self, server: BotServer, answer: Answer) -> None:
        server.on("hangup", answer)
        assert await ask(server.url, HANGUP) == BotResponse()
        assert server.requests[0].event["data"]["endedBy"] == "customer"

    async def test_is_told_again_when_it_was_not_heard(self, server: BotServer) -> None:
        server.on("hangup", status(503), nothing())
        assert await ask(server.url, HANGUP) == BotResponse()
        assert server.events == ["hangup", "hangup"]

    async def test_that_fails_is_a_failure(self, server: BotServer) -> None:
        server.on("hangup", status(500))
        assert await failure(server.url, HANGUP) == "status: the bot answered 500"


# ── Giving up, and closing ──────────────────────────────────────────────────────────────────────────


class TestCancel:
    @pytest.mark.parametrize("answer", [silent(), trickle()], ids=["headers", "body"])
    async def test_closes_the_connection_and_leaves_the_bot_usable(self, server: BotServer, answer: Answer) -> None:
        server.on("start", answer, HELLO)
        async with webhook(server.url) as bot:
            asking = asyncio.create_task(bot.ask(question(START), "evt_1", AT))
            await server.received("start")
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert (await bot.ask(question(START), "evt_2", AT)).replies
        assert len({request.peer_port for request in server.requests}) == 2

    async def test_between_two_attempts(self, server: BotServer) -> None:
        server.on("start", status(503))
        async with webhook(server.url) as bot:
            asking = asyncio.create_task(bot.ask(question(START), "evt_1", AT))
            await server.received("start")
            await asyncio.sleep(0.05)
            asking.cancel()
            await asyncio.wait([asking])
            assert asking.cancelled()
        assert len(server.requests) == 1


class TestClose:
    async def test_leaves_a_shared_session_alone(self, server: BotServer) -> None:
        async with open_session() as session:
            one, two = WebhookBot(server.url, session=session), WebhookBot(server.url, session=session)
            await one.ask(question(START), "evt_1", AT)
            await one.close()
            await two.ask(question(START), "evt_2", AT)
        assert len({request.peer_port for request in server.requests}) == 1

    async def test_a_closed_bot_is_unreachable(self, server: BotServer) -> None:
        bot = WebhookBot(server.url)
        await bot.close()
        with pytest.raises(BotError, match=r"^unreachable: the gateway is stopping$"):
            await bot.ask(question(START), "evt_1", AT)

    async def test_a_question_under_way_ends(self, server: BotServer) -> None:
        server.on("start", silent())
        bot = WebhookBot(server.url)
        asking = asyncio.create_task(bot.ask(question(START), "evt_1", AT))
        await server.received("start")
        await bot.close()
        async with asyncio.timeout(1):
            with pytest.raises(BotError) as caught:
                await asking
        assert caught.value.kind is BotErrorKind.UNREACHABLE


# ── Secrets ─────────────────────────────────────────────────────────────────────────────────────────


class TestSecretsOfTheUrl:
    async def test_are_sent(self, server: BotServer) -> None:
        await ask(server.url.replace("//", "//user:pa55@") + "?token=s3cret")
        (request,) = server.requests
        assert request.path == "/bot?token=s3cret"
        assert request.headers["authorization"] == "Basic " + base64.b64encode(b"user:pa55").decode()

    @pytest.mark.parametrize("answer", [status(404), status(503), cut(), redirect("?again"), html(), silent()])
    async def test_are_told_to_nobody(self, server: BotServer, answer: Answer) -> None:
        server.on("start", answer)
        url = server.url.replace("//", "//user:pa55@") + "?token=s3cret"
        async with webhook(url, timeout_s=0.2) as bot:
            with capture_logs() as logs, pytest.raises(BotError) as caught:
                await bot.ask(question(START), "evt_1", AT)
            said = [repr(bot), json.dumps(logs, default=str), *traceback.format_exception(caught.value)]
        for secret in ("user:", "pa55", "s3cret"):
            assert secret not in "".join(said)


# ── Strange servers ─────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def _speaks(greeting: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that reads, says this, and keeps the connection open."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(greeting)
        try:
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield f"http{'s' if tls else ''}://127.0.0.1:{port}/bot"


@asynccontextmanager
async def _self_signed(folder: Path) -> AsyncIterator[str]:
    openssl = shutil.which("openssl")
    assert openssl, "this test makes a certificate with the openssl command"
    key, certificate = str(folder / "key.pem"), str(folder / "certificate.pem")
    subject = ["-subj", "/CN=localhost", "-days", "2", "-nodes", "-keyout", key, "-out", certificate]
    make = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *subject]
    subprocess.run(make, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with _speaks(b"", tls) as url:
        yield url


class _NoSuchName(AbstractResolver):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def close(self) -> None:
        pass
