"""The receiver of status webhooks against a real HTTP server that answers well or badly."""

import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from gateway.bots.status import StatusReceiver, event_id, retry_after_s
from gateway.bots.webhook import open_session
from gateway.engine.ports import NotTaken, Recorded
from tests.bot_server import Answer, cut, cut_midway, dead_port, huge, raw, redirect, silent, status, trickle
from tests.leaks import no_leaks
from tests.unit.store.happenings import happening

SECRET = "whsec_c3RhdHVzLXdlYmhvb2tz"
EVENT = Recorded(7, happening("call.ended", "call_01JABC", data={"endedBy": "customer"}))


class Desk:
    """A web server that answers as it is told and keeps what it got."""

    def __init__(self) -> None:
        self.answer: Answer = status(204)
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.ports: list[int] = []

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.read())
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        assert request.transport is not None
        self.ports.append(request.transport.get_extra_info("peername")[1])
        return await self.answer(request)

    async def __aenter__(self) -> "Desk":
        app = web.Application()
        app.router.add_post("/status", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/status"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with no_leaks(), open_session() as session:
        yield session


@pytest.fixture
async def desk(session: aiohttp.ClientSession) -> AsyncIterator[Desk]:
    async with Desk() as desk:
        yield desk


async def test_the_event_is_that_of_the_stream_and_signed(desk: Desk, session: aiohttp.ClientSession) -> None:
    assert await StatusReceiver(desk.url, [SECRET], session).post(EVENT) is None
    (body,), (headers,) = desk.bodies, desk.headers
    Webhook(SECRET).verify(body, headers)
    assert json.loads(body) == {
        "seq": 7,
        "type": "call.ended",
        "at": "1970-01-01T00:16:40.000Z",
        "callId": "call_01JABC",
        "legId": "leg_of_call_01JABC",
        "data": {"endedBy": "customer"},
    }
    assert headers["webhook-id"] == event_id(EVENT) == "evt_01JABC_7"
    assert headers["content-type"] == "application/json"


async def test_without_a_secret_it_is_not_signed(desk: Desk, session: aiohttp.ClientSession) -> None:
    assert await StatusReceiver(desk.url, [], session).post(EVENT) is None
    assert "webhook-signature" not in desk.headers[0] and "webhook-id" in desk.headers[0]


@pytest.mark.parametrize("good", [status(200), status(202), raw(b"thank you", "text/plain")])
async def test_every_2xx_takes_it_and_the_connection_is_used_again(
    desk: Desk, session: aiohttp.ClientSession, good: Answer
) -> None:
    desk.answer = good
    receiver = StatusReceiver(desk.url, [], session)
    assert [await receiver.post(EVENT), await receiver.post(EVENT)] == [None, None]
    assert len(set(desk.ports)) == 1


@pytest.mark.parametrize("endless", [huge(mib=100), trickle(), cut_midway()])
async def test_what_an_answer_says_beyond_its_status_is_not_waited_for(
    desk: Desk, session: aiohttp.ClientSession, endless: Answer
) -> None:
    desk.answer = endless
    began = time.monotonic()
    assert await StatusReceiver(desk.url, [], session).post(EVENT) is None
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("bad", "refusal"),
    [
        (status(500), NotTaken("it answered 500")),
        (status(404), NotTaken("it answered 404")),
        (status(410), NotTaken("it answered 410", gone=True)),
        (raw(b"", status=503, Retry_After="120"), NotTaken("it answered 503", 120.0)),
        (raw(b"", status=429, Retry_After=" 7 "), NotTaken("it answered 429", 7.0)),
        (raw(b"", status=503, Retry_After="soon"), NotTaken("it answered 503")),
        (raw(b"", status=500, Retry_After="120"), NotTaken("it answered 500")),
    ],
)
async def test_other_answers_do_not(desk: Desk, session: aiohttp.ClientSession, bad: Answer, refusal: NotTaken) -> None:
    desk.answer = bad
    assert await StatusReceiver(desk.url, [], session).post(EVENT) == refusal


async def test_a_redirect_is_not_followed(desk: Desk, session: aiohttp.ClientSession) -> None:
    desk.answer = redirect("/status?token=secret", 307)
    refusal = await StatusReceiver(desk.url, [], session).post(EVENT)
    assert refusal is not None and refusal.detail == f"it answered 307 to {desk.url}; redirects are not followed"
    assert len(desk.bodies) == 1


@pytest.mark.parametrize(("bad", "why"), [(silent(), "no answer within 0.2 s"), (cut(), "cut the connection")])
async def test_no_answer_is_none(desk: Desk, session: aiohttp.ClientSession, bad: Answer, why: str) -> None:
    desk.answer = bad
    refusal = await StatusReceiver(desk.url, [], session, timeout_s=0.2).post(EVENT)
    assert refusal is not None and why in refusal.detail


async def test_nobody_is_there(session: aiohttp.ClientSession) -> None:
    with dead_port() as url:
        refusal = await StatusReceiver(url + "?token=secret", [], session).post(EVENT)
    assert refusal is not None and "Connection refused" in refusal.detail and "secret" not in refusal.detail


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("3600", 3600), ("99999999999999999999", 999999999), ("-5", None), ("1.5", None),
                          ("Thu, 01 Jan 1970 00:20:00 GMT", 200), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
                          ("Mon, 99 Foo 2026 00:00:00 GMT", None), ("", None), ("\u0663", None)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after_s(text, 1000.0) == seconds


def test_a_date_as_servers_write_it() -> None:
    when = datetime.now(UTC) + timedelta(hours=1)
    assert retry_after_s(format_datetime(when, usegmt=True), time.time()) == pytest.approx(3600, abs=2)
