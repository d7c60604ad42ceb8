"""The follower on real sockets: the API itself, and a server that does what a gateway in trouble does."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.api.auth import Scope
from gateway.calls.history import Type
from gateway.watch.board import Board, Link
from gateway.watch.client import Client, WatchError
from gateway.watch.follow import Follower
from gateway.watch.rows import Happened
from tests.api.node import Node, a_node
from tests.fakes.control import a_call
from tests.leaks import no_leaks

LEG = {"legId": "leg_c", "role": "customer", "state": "connected"}


@dataclass
class Watch:
    """A follower at work, what it told, and its board."""

    follower: Follower
    board: Board
    told: list[Happened]

    async def until(self, wanted: Callable[[Board], bool], timeout_s: float = 10.0) -> None:
        """Wait for a board that is wanted."""
        async with asyncio.timeout(timeout_s):
            while not wanted(self.board):
                self.follower.changed.clear()
                await self.follower.changed.wait()


@asynccontextmanager
async def a_watch(url: str, key: str = "shk_test_test", answer_s: float = 2.0) -> AsyncIterator[Watch]:
    async with aiohttp.ClientSession() as session:
        board, told = Board(url), list[Happened]()
        follower = Follower(Client(session, url, key, answer_s), board, told.append)
        task = asyncio.create_task(follower.follow())
        try:
            yield Watch(follower, board, told)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with no_leaks(grace_s=2.0), a_node(tmp_path) as node:
        yield node


# ── the real API ────────────────────────────────────────────────────────────────────────────────────


async def test_what_was_up_before_is_known_with_its_history(node: Node) -> None:
    call = node.control.add(a_call(1))
    await node.happens(call, Type.CALL_STARTED, {"from": "+12125550123", "to": "+12125550100"})
    await node.happens(call, Type.LEG_JOINED, {"role": "customer", "codec": "PCMA"})
    await node.happens(call, Type.PLAYBACK_STARTED, {"playbackId": 1})
    await node.over(a_call(2))
    async with a_watch(node.url, await node.key(Scope.CALLS_READ)) as watch:
        await watch.until(lambda board: board.link is Link.LIVE)
        row = watch.board.calls[call.id]
        assert (row.channel, row.trunk, row.codecs) == ("reception", "acme", {"leg_0001": "PCMA"})
        assert row.doing is not None and row.doing.what == "speaks"
        assert [end.call_id for end in watch.board.ends] == ["call_0002"]
        assert watch.board.trunks and watch.board.trunks[0].name == "acme"
        await node.happens(call, Type.BOT_FAILED, {"kind": "timeout"})
        await watch.until(lambda board: board.calls[call.id].trouble == "failed: timeout")
        assert [event.type for event in watch.told] == ["bot.failed"], "only what happens from now on"


async def test_a_new_call_is_asked_for_at_once(node: Node) -> None:
    async with a_watch(node.url, await node.key(Scope.CALLS_READ)) as watch:
        await watch.until(lambda board: board.link is Link.LIVE)
        call = node.control.add(a_call(1))
        await node.happens(call, Type.CALL_STARTED, {"from": "+12125550123", "to": "+12125550100"})
        await watch.until(lambda board: bool(board.calls and board.calls[call.id].hearing), timeout_s=1.9)


async def test_a_key_of_one_channel_sees_its_calls_and_no_trunks(node: Node) -> None:
    node.control.add(a_call(1, "reception"))
    mine = node.control.add(a_call(2, "sales"))
    async with a_watch(node.url, await node.key(Scope.CALLS_READ, channels=["sales"])) as watch:
        await watch.until(lambda board: board.link is Link.LIVE)
        assert list(watch.board.calls) == [mine.id] and watch.board.trunks is None


async def test_more_calls_than_a_page_holds(node: Node) -> None:
    for number in range(501):
        node.control.add(a_call(number))
    async with aiohttp.ClientSession() as session:
        board = Board(node.url)
        await Follower(Client(session, node.url, await node.key(Scope.CALLS_READ)), board).once()
    assert len(board.calls) == 501


async def refusal(url: str, key: str = "shk_test_test", focus: str | None = None) -> tuple[str, str]:
    """What `once` and `follow` say."""
    said = []
    async with aiohttp.ClientSession() as session:
        for work in (Follower.once, Follower.follow):
            with pytest.raises(WatchError) as caught:
                async with asyncio.timeout(10):
                    await work(Follower(Client(session, url, key, 0.5), Board(url, focus)))
            said.append(str(caught.value))
    return said[0], said[1]


async def test_what_the_api_refuses_is_said_with_what_to_do(node: Node) -> None:
    for said in await refusal(node.url, "shk_wrong_wrong"):
        assert "does not know this key" in said and "switchhook keys add NAME --scope calls:read" in said
    for said in await refusal(node.url, await node.key(Scope.ADMIN)):
        assert "needs the scope calls:read" in said
    for said in await refusal(node.url, await node.key(), "call_none"):
        assert said.startswith("there is no call call_none, or not for this key")


async def test_a_key_that_is_revoked_ends_it(node: Node) -> None:
    key = await node.key(Scope.CALLS_READ)
    async with aiohttp.ClientSession() as session:
        board = Board(node.url)
        task = asyncio.create_task(Follower(Client(session, node.url, key), board).follow())
        while board.link is not Link.LIVE:
            await asyncio.sleep(0.01)
        await node.store.keys.revoke("key1", 1.8e9)
        with pytest.raises(WatchError, match="revoked"):
            await asyncio.wait_for(task, 10)


# ── a gateway in trouble ────────────────────────────────────────────────────────────────────────────


@dataclass
class Trouble:
    """A gateway of which a test decides everything. `cut` ends its streams; `hangs` lets no answer out."""

    newest: int = 10
    calls: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    hangs: bool = False
    asked_after: list[str | None] = field(default_factory=list)
    cut: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def stream(self, request: web.Request) -> web.StreamResponse:
        after = request.query.get("after")
        self.asked_after.append(after)
        if after is not None and int(after) > self.newest:
            return web.json_response({"code": "unknown-seq", "detail": "the newest is 3"}, status=422)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(f": after {after or self.newest}\nretry: 2000\n\n".encode())
        for event in self.events:
            if after is not None and event["seq"] > int(after):
                await response.write(f"id: {event['seq']}\ndata: {json.dumps(event)}\n\n".encode())
        await self.cut.wait()
        self.cut.clear()
        await response.write(b": the gateway is stopping; go on with Last-Event-ID: 7\n\n")
        return response

    async def answer(self, request: web.Request) -> web.Response:
        while self.hangs:
            await asyncio.sleep(0.01)
        if request.path == "/readyz":
            return web.json_response({"ready": True})
        items = self.calls if request.path == "/v1/calls" else []
        return web.json_response({"items": items, "nextCursor": None})


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def trouble() -> AsyncIterator[Trouble]:
    trouble, app = Trouble(), web.Application()
    app.router.add_get("/v1/events", trouble.stream)
    app.router.add_get("/{path:.*}", trouble.answer)
    async with serving(app) as url:
        trouble.url = url
        yield trouble


def an_event(seq: int, kind: str) -> dict[str, Any]:
    return {"seq": seq, "type": kind, "at": "2026-11-18T11:06:40Z", "callId": "call_1", "legId": None, "data": {}}


async def test_after_a_cut_it_says_so_and_goes_on_where_it_was(trouble: Trouble) -> None:
    async with a_watch(trouble.url) as watch:
        await watch.until(lambda board: board.link is Link.LIVE)
        trouble.newest, trouble.events = 12, [an_event(11, "call.started"), an_event(12, "bot.asked")]
        trouble.calls = [{"id": "call_1", "state": "bot", "legs": [LEG]}]
        trouble.cut.set()
        await watch.until(lambda board: board.link is Link.GONE)
        assert watch.board.why_gone == "the gateway is stopping"
        await watch.until(lambda board: board.link is Link.LIVE)
        await watch.until(lambda _: len(watch.told) == 2)
        assert trouble.asked_after == [None, "10"] and watch.follower.gaps == 0
        assert watch.board.calls["call_1"].legs


async def test_a_gateway_with_another_store_is_looked_at_anew(trouble: Trouble) -> None:
    trouble.calls = [{"id": "call_1", "state": "bot"}]
    async with a_watch(trouble.url) as watch:
        await watch.until(lambda board: board.link is Link.LIVE)
        trouble.newest, trouble.calls = 3, [{"id": "call_2", "state": "bot"}]
        trouble.cut.set()
        await watch.until(lambda board: list(board.calls) == ["call_2"] and board.link is Link.LIVE)
        assert trouble.asked_after == [None, "10", None] and watch.follower.gaps == 1


async def test_a_gateway_that_stops_answering_is_gone_though_its_stream_is_open(trouble: Trouble) -> None:
    async with a_watch(trouble.url, answer_s=0.3) as watch:
        await watch.until(lambda board: board.link is Link.LIVE)
        trouble.hangs = True
        await watch.until(lambda board: board.link is Link.GONE)
        assert watch.board.why_gone == "no answer in 0.3 s"
        trouble.hangs = False
        await watch.until(lambda board: board.link is Link.LIVE)


async def test_what_is_no_gateway_is_said_to_be_none() -> None:
    async def shop(_: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPFound("http://127.0.0.1:9/")

    for handler in (shop, elsewhere):
        app = web.Application()
        app.router.add_get("/{path:.*}", handler)
        async with serving(app) as url:
            for said in await refusal(url):
                assert said.startswith(f"what answers at {url} is no Switchhook gateway"), said
