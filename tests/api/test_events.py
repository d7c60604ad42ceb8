"""GET /v1/events over a real socket: order, resuming, slow readers, heartbeats, the end."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.api.events import StreamLimits
from gateway.api.v1 import ApiLimits
from gateway.calls.history import Happening, Type
from gateway.calls.model import Call
from tests.api.node import Node, a_node
from tests.api.sse import Listener
from tests.fakes.control import a_call

QUICK = ApiLimits(streams=StreamLimits(heartbeat_s=0.1, slow_s=0.3, most=3, linger_s=0.5))


@pytest.fixture
async def quick(tmp_path: Path) -> AsyncIterator[Node]:
    """A node without patience."""
    async with a_node(tmp_path, QUICK) as node:
        yield node


def append(node: Node, call: Call, count: int, data: str = "") -> None:
    """So many events at once, on disk soon."""
    for _ in range(count):
        node.store.journal.append(
            Happening(
                Type.PLAYBACK_STARTED, 1.8e9, call.id, None, call.channel.name, "acme", {"playbackId": 1, "x": data}
            )
        )


async def test_an_event_as_designed(gateway: Node):
    key = await gateway.key()
    async with Listener.on(gateway, key) as listener:
        await gateway.happens(a_call(1), Type.LEG_JOINED, {"role": "customer"}, at=1.8e9)
        await listener.until(1)
    assert listener.comments == ["after 0"]
    assert listener.events == [
        {
            "seq": 1, "type": "leg.joined", "at": "2027-01-15T08:00:00.000Z", "callId": "call_0001",
            "legId": "leg_0001", "data": {"role": "customer"},
        }
    ]  # fmt: skip


async def test_without_after_only_what_is_new(gateway: Node):
    key = await gateway.key()
    await gateway.happens(a_call(1), Type.CALL_STARTED)
    async with Listener.on(gateway, key) as new, Listener.on(gateway, key, "?after=0") as all_:
        await gateway.happens(a_call(1), Type.CALL_ENDED)
        await new.until(1)
        await all_.until(2)
    assert (new.ids, all_.ids) == ([2], [1, 2])


async def test_filters(gateway: Node):
    key = await gateway.key()
    query = "?after=0&call=call_0001&types=leg.*,call.ended"
    async with Listener.on(gateway, key, query) as listener:
        for type_ in (Type.CALL_STARTED, Type.LEG_JOINED, Type.LEG_LEFT, Type.CALL_ENDED):
            await gateway.happens(a_call(1), type_)
            await gateway.happens(a_call(2), type_)
        await listener.until(3)
    assert [event["type"] for event in listener.events] == ["leg.joined", "leg.left", "call.ended"]
    assert {event["callId"] for event in listener.events} == {"call_0001"}


async def test_nothing_is_lost_or_doubled_however_often_a_client_comes_back(gateway: Node):
    key, call = await gateway.key(), a_call(1)

    async def talk() -> None:
        for _ in range(40):
            append(gateway, call, 50)
            await asyncio.sleep(0.01)

    talking = asyncio.create_task(talk())
    ids: list[int] = []
    async with asyncio.timeout(30):
        while len(ids) < 2000:
            async with Listener.on(gateway, key, "?after=0", ids[-1] if ids else None) as listener:
                await asyncio.sleep(0.03)
            ids += listener.ids
    await talking
    assert ids == [*range(1, 2001)]


async def test_many_clients_each_get_everything_in_order(gateway: Node):
    key, call = await gateway.key(), a_call(1)
    async with AsyncExitStack() as stack:
        listeners = []
        for _ in range(120):
            listeners.append(await stack.enter_async_context(Listener.on(gateway, key, "?after=0")))
            append(gateway, call, 3)
        for listener in listeners:
            await listener.until(360)
        assert all(listener.ids == [*range(1, 361)] for listener in listeners)


async def test_resuming_over_a_restart(tmp_path: Path):
    call = a_call(1)
    async with a_node(tmp_path) as node:
        key = await node.key()
        async with Listener.on(node, key) as before:
            append(node, call, 30)
            await before.until(30)
    async with a_node(tmp_path) as node:
        append(node, call, 10)
        async with Listener.on(node, key, "", before.ids[19]) as after:
            await after.until(20)
        assert before.ids[:20] + after.ids == sorted({*before.ids, *after.ids})


async def test_a_seq_that_is_not_there_yet(gateway: Node):
    key = await gateway.key()
    answer = await gateway.get("/v1/events?after=7", key)
    assert answer.problem == (422, "unknown-seq") and answer.body["lastSeq"] == 0
    answer = await gateway.get("/v1/events", key, headers={"Last-Event-ID": "x"})
    assert answer.problem == (422, "invalid") and answer.body["path"] == "Last-Event-ID"


async def test_heartbeats(quick: Node):
    async with Listener.on(quick, await quick.key()) as listener:
        await asyncio.sleep(0.5)
        assert 3 <= listener.comments.count("heartbeat") <= 5


async def test_heartbeats_come_though_much_happens_that_is_for_others(quick: Node):
    async with Listener.on(quick, await quick.key(), "?call=call_0002") as listener:
        for _ in range(30):
            append(quick, a_call(1), 1)
            await asyncio.sleep(0.02)
        assert 3 <= listener.comments.count("heartbeat") <= 6 and listener.events == []


async def test_a_revoked_key_hears_no_more_though_much_happens(quick: Node):
    async with Listener.on(quick, await quick.key()) as listener:
        await quick.store.keys.revoke("key1", 1.0)
        async with asyncio.timeout(2):
            while not listener.ended.is_set():
                append(quick, a_call(1), 1)
                await asyncio.sleep(0.02)
    assert listener.comments[-1].startswith("the key was revoked")


async def test_a_stream_whose_key_is_revoked_ends(quick: Node):
    async with Listener.on(quick, await quick.key()) as listener:
        await quick.store.keys.revoke("key1", 1.0)
        async with asyncio.timeout(2):
            await listener.ended.wait()
    assert listener.comments[-1] == "the key was revoked; go on with Last-Event-ID: 0"


async def test_there_are_only_so_many(quick: Node):
    key = await quick.key()
    async with Listener.on(quick, key), Listener.on(quick, key), Listener.on(quick, key):
        answer = await quick.get("/v1/events", key)
        assert answer.problem == (503, "too-many-streams") and answer.headers["Retry-After"]
    async with asyncio.timeout(2):
        while (await quick.get("/v1/events?limit=x", key)).status != 422:
            await asyncio.sleep(0.05)


async def test_at_shutdown_streams_end_with_a_word(gateway: Node):
    key, call = await gateway.key(), a_call(1)
    async with Listener.on(gateway, key) as listener:
        append(gateway, call, 3)
        await listener.until(3)
        async with asyncio.timeout(2):
            await gateway.server.stop()
            await listener.ended.wait()
    assert listener.comments[-1] == "the gateway is stopping; go on with Last-Event-ID: 3"


# ── Clients that do not read ────────────────────────────────────────────────────────────────────────


class Sleeper:
    """Asks for everything and reads nothing."""

    def __init__(self, node: Node, key: str) -> None:
        where = urlsplit(node.url)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect((where.hostname, where.port))
        self.socket.sendall(
            f"GET /v1/events?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        )
        self.socket.setblocking(False)

    async def wakes(self) -> bytes:
        """All that there is until the end."""
        read = b""
        while got := await asyncio.get_running_loop().sock_recv(self.socket, 65536):
            read += got
        return read


@pytest.fixture(params=[(3000, 4000), (20, 600_000)], ids=["many", "large"])
async def flooded(quick: Node, request: pytest.FixtureRequest) -> AsyncIterator[tuple[Node, Sleeper]]:
    """A client that sleeps while 12 MB of events wait for it; `large` ones do not fit into the kernel's buffers."""
    key = await quick.key()
    count, size = request.param
    append(quick, a_call(1), count, "x" * size)
    assert await quick.store.journal.settled(10)
    sleeper = Sleeper(quick, key)
    yield quick, sleeper
    sleeper.socket.close()


async def test_a_client_that_does_not_read_is_cut_off_and_told_where(flooded: tuple[Node, Sleeper]):
    _, sleeper = flooded
    await asyncio.sleep(0.5)  # more than slow_s, less than linger_s after it
    async with asyncio.timeout(5):
        read = (await sleeper.wakes()).decode()
    last = [line for line in read.splitlines() if line.startswith("id: ")][-1].removeprefix("id: ")
    assert f": too slow: nothing was read for 0.3 s; go on with Last-Event-ID: {last}\n" in read
    assert len(read) < 1_000_000 and read.endswith("0\r\n\r\n")


async def test_a_client_that_never_reads_is_let_go(flooded: tuple[Node, Sleeper]):
    node, sleeper = flooded
    async with asyncio.timeout(3), Listener.on(node, await node.key()) as other:
        append(node, a_call(1), 1)
        await other.until(1)  # nobody else waits for it
    await asyncio.sleep(1.2)  # slow_s and linger_s
    assert node.api.streams == 0
    assert len(await sleeper.wakes()) < 1_000_000  # what the kernel had


@pytest.mark.parametrize("pause_s", [0, 0.1, 0.5])
async def test_a_client_that_never_reads_does_not_hold_up_the_end(flooded: tuple[Node, Sleeper], pause_s: float):
    node, _ = flooded
    await asyncio.sleep(pause_s)
    async with asyncio.timeout(2):
        await node.server.stop()


async def test_a_slow_client_that_reads_gets_all(quick: Node):
    key = await quick.key()
    append(quick, a_call(1), 300, "x" * 4000)
    sleeper = Sleeper(quick, key)
    read = b""
    async with asyncio.timeout(20):
        while read.count(b"\nid: ") < 300:
            read += await asyncio.get_running_loop().sock_recv(sleeper.socket, 8192)
            await asyncio.sleep(0.005)
    sleeper.socket.close()
    assert b"too slow" not in read
