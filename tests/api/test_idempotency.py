"""Idempotency-Key: the same request twice is done once; over a real socket, with the real store."""

import asyncio

import pytest

from gateway.calls.errors import BotError, BotErrorKind
from tests.api.node import Answer, Node
from tests.fakes.control import a_call

REPLIES = "/v1/calls/call_0001/replies"
DAY_S = 24 * 3600
HELLO = {"replies": [{"type": "text", "text": "Hello"}]}


@pytest.fixture
async def key(gateway: Node) -> str:
    gateway.control.add(a_call(1))
    return await gateway.key()


async def push(node: Node, key: str, name: str, body: object = HELLO, path: str = REPLIES) -> Answer:
    return await node.ask("POST", path, key, json=body, headers={"Idempotency-Key": name})


async def test_twice_is_once(gateway: Node, key: str):
    first, second = await push(gateway, key, "a"), await push(gateway, key, "a")
    assert (first.status, second.status, len(gateway.control.pushed)) == (202, 202, 1)
    assert first.body == second.body
    assert "Idempotent-Replayed" not in first.headers and second.headers["Idempotent-Replayed"] == "true"


async def test_without_it_twice_is_twice(gateway: Node, key: str):
    for _ in range(2):
        await gateway.ask("POST", REPLIES, key, json=HELLO)
    assert len(gateway.control.pushed) == 2


async def test_another_body_or_path_is_refused(gateway: Node, key: str):
    gateway.control.add(a_call(2))
    await push(gateway, key, "a")
    assert (await push(gateway, key, "a", {"replies": []})).problem == (422, "idempotency-key-reused")
    other = await push(gateway, key, "a", path="/v1/calls/call_0002/replies")
    assert other.problem == (422, "idempotency-key-reused")
    assert len(gateway.control.pushed) == 1


async def test_two_at_once_are_done_once(gateway: Node, key: str):
    gateway.control.takes_s = 0.1
    answers = await asyncio.gather(*(push(gateway, key, "a") for _ in range(5)))
    assert [answer.status for answer in answers] == [202] * 5 and len(gateway.control.pushed) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 4


async def test_another_body_while_the_first_is_under_way(gateway: Node, key: str):
    gateway.control.takes_s = 0.2
    first = asyncio.create_task(push(gateway, key, "a"))
    await asyncio.sleep(0.05)
    assert (await push(gateway, key, "a", {"replies": []})).problem == (422, "idempotency-key-reused")
    assert (await first).status == 202


async def test_a_refusal_is_not_remembered(gateway: Node, key: str):
    gateway.control.refusal = BotError(BotErrorKind.REFUSED, "replies[0]: not now")
    assert (await push(gateway, key, "a")).status == 422
    gateway.control.refusal = None
    again = await push(gateway, key, "a")
    assert again.status == 202 and "Idempotent-Replayed" not in again.headers


async def test_keys_are_each_owners_own(gateway: Node, key: str):
    other = await gateway.key()
    await push(gateway, key, "a")
    await push(gateway, other, "a")
    assert len(gateway.control.pushed) == 2


async def test_all_posts_take_it(gateway: Node, key: str):
    for _ in range(2):
        answer = await push(gateway, key, "a", {}, "/v1/dialplan/reload")
        assert answer.status == 200
        routed = await push(gateway, key, "b", {"to": "200"}, "/v1/dialplan/route")
        assert routed.status == 200
    assert gateway.control.reloads == 1 and answer.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("name", ["", " ", "ключ", "x" * 256])
async def test_a_key_that_is_none(gateway: Node, key: str, name: str):
    answer = await push(gateway, key, name)
    assert answer.problem == (422, "invalid") and answer.body["path"] == "Idempotency-Key"


async def test_a_client_that_hangs_up_does_not_stop_it(gateway: Node, key: str):
    gateway.control.takes_s = 0.2
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await push(gateway, key, "a")
    assert (await push(gateway, key, "a")).headers["Idempotent-Replayed"] == "true"
    assert len(gateway.control.pushed) == 1
