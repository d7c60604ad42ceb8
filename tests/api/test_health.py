"""/healthz and /readyz over a real socket."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway import __version__
from gateway.api.http import HttpServer
from tests.leaks import no_leaks


class Node:
    """A server whose gateway is the test's."""

    ready = True

    def __init__(self) -> None:
        self.server = HttpServer("127.0.0.1:0", lambda: {"calls": 3}, lambda: {"passed": 7}, lambda: self.ready)

    async def get(self, path: str) -> tuple[int, dict[str, object]]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with no_leaks():
        node = Node()
        node.url = await node.server.start()
        yield node
        await node.server.stop()


async def test_health_says_what_is_held_and_what_was_counted(node: Node):
    status, told = await node.get("/healthz")
    assert (status, told["status"], told["version"], told["counted"]) == (200, "ok", __version__, {"passed": 7})
    assert told["held"]["calls"] == 3 and told["held"]["tasks"] > 0 and told["held"]["descriptors"] > 0


async def test_ready_is_503_while_calls_are_refused(node: Node):
    assert await node.get("/readyz") == (200, {"ready": True})
    node.ready = False
    assert await node.get("/readyz") == (503, {"ready": False})


async def test_an_address_that_is_taken_is_an_os_error(node: Node):
    port = node.url.rpartition(":")[2]
    second = HttpServer(f"127.0.0.1:{port}", dict, dict, lambda: True)
    with pytest.raises(OSError):
        await second.start()
