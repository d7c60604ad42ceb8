"""Every error is problem+json (RFC 9457), whoever finds it, and says what is wrong and where."""

import asyncio
from urllib.parse import urlsplit

import pytest

from gateway.engine.ports import StoreUnavailable
from tests.api.node import Node
from tests.fakes.control import a_call

REPLIES = "/v1/calls/call_0001/replies"


@pytest.fixture
async def key(gateway: Node) -> str:
    gateway.control.add(a_call(1))
    return await gateway.key()


@pytest.mark.parametrize(
    ("path", "where", "words"),
    [
        ("/v1/calls?limit=0", "limit", "at least 1"),
        ("/v1/calls?limit=501", "limit", "at most 500"),
        ("/v1/calls?limit=many", "limit", "whole number"),
        ("/v1/calls?state=talkin", "state", "'offered', 'bot', 'transferring', 'talking', 'agents-only' or 'ended'"),
        ("/v1/calls?chanel=a", "chanel", 'did you mean "channel"?'),
        ("/v1/calls?limit=1&limit=2", "limit", "twice"),
        ("/v1/calls?cursor=nonsense", "cursor", ""),
        ("/v1/cdrs?cursor=nonsense", "cursor", "not one that a page gave"),
        ("/v1/cdrs?since=yesterday", "since", "2026-11-21T10:00:00Z"),
        ("/v1/cdrs?since=2026-11-21T10:00:00", "since", "time zone"),
        ("/v1/cdrs?channel=", "channel", "at least 1"),
        ("/v1/calls/call_0001/events?types=call", "types", "call.ended,leg.*"),
        ("/v1/calls/call_0001/events?cursor=-1", "cursor", "at least 0"),
        ("/v1/events?types=*", "types", "call.ended,leg.*"),
        ("/v1/events?after=x", "after", "whole number"),
        ("/v1/events?call=me", "call", ""),
    ],
)
async def test_a_wrong_parameter_is_named(gateway: Node, key: str, path: str, where: str, words: str):
    answer = await gateway.get(path, key)
    assert answer.problem == (422, "invalid")
    assert (answer.body["in"], answer.body["path"]) == ("query", where) and words in answer.body["detail"]


async def test_a_reason_that_is_none(gateway: Node, key: str):
    answer = await gateway.ask("DELETE", "/v1/calls/call_0001?reason=crashed", key)
    assert answer.problem == (422, "invalid") and gateway.control.hung_up == []


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "to"),
        ({"to": 1}, "to"),
        ({"to": "1", "at": "noon"}, "at"),
        ({"to": "1", "at": "2026-11-21T10:00:00"}, "at"),
        ({"to": "1", "fro": "2"}, "fro"),
        ({"to": "1", "trunk": "acm"}, "trunk"),
        ({"to": ""}, "to"),
        ({"to": "1" * 200}, "to"),
    ],
)
async def test_a_wrong_field_is_named(gateway: Node, key: str, body: object, path: str):
    answer = await gateway.ask("POST", "/v1/dialplan/route", key, json=body)
    assert answer.problem == (422, "invalid")
    assert (answer.body["in"], answer.body["path"]) == ("body", path)


@pytest.mark.parametrize("path", [REPLIES, "/v1/dialplan/route", "/v1/dialplan/reload"])
@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"nul", b"\xff\xfe", b"[" * 5000, b'{"to": \x00}'])
async def test_what_is_no_json_object(gateway: Node, key: str, path: str, body: bytes):
    answer = await gateway.ask("POST", path, key, data=body, headers={"Content-Type": "application/json"})
    assert answer.problem == (400, "malformed-json")


@pytest.mark.parametrize("path", [REPLIES, "/v1/dialplan/route"])
async def test_too_large(gateway: Node, key: str, path: str):
    headers = {"Content-Type": "application/json"}
    answer = await gateway.ask("POST", path, key, data=b" " * 70_000, headers=headers)
    assert answer.problem == (413, "too-large")

    async def unannounced():
        for _ in range(70):
            yield b" " * 1000

    answer = await gateway.ask("POST", path, key, data=unannounced(), headers=headers)
    assert answer.problem == (413, "too-large")


async def test_what_does_not_say_json_or_is_compressed(gateway: Node, key: str):
    assert (await gateway.ask("POST", REPLIES, key, data=b"{}")).problem == (415, "unsupported-media-type")
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await gateway.ask("POST", REPLIES, key, data=b"{}", headers=headers)
    assert answer.problem in ((415, "unsupported-media-type"), (400, "malformed-request"))


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1", "/v1/calls/", "/v1/calls/me", "/v1/calls/call_1%00", "/x"])
async def test_no_such_path(gateway: Node, key: str, path: str):
    assert (await gateway.get(path, key)).problem == (404, "not-found")


async def test_no_such_method(gateway: Node, key: str):
    answer = await gateway.ask("PUT", "/v1/calls/call_0001", key)
    assert answer.problem == (405, "method-not-allowed")
    assert answer.headers["Allow"] == "DELETE, GET" and answer.body["allowed"] == ["DELETE", "GET"]
    assert (await gateway.ask("POST", "/healthz")).problem == (405, "method-not-allowed")
    assert (await gateway.ask("PROPFIND", "/v1/calls", key)).problem == (405, "method-not-allowed")


async def test_an_unknown_expectation_is_no_reason_to_refuse(gateway: Node, key: str):
    assert (await gateway.get("/v1/calls", key, headers={"Expect": "the-unexpected"})).status == 200
    answer = await gateway.ask("POST", REPLIES, key, json={}, headers={"Expect": "100-continue"})
    assert answer.status == 202


async def test_a_defect_of_ours_shows_nothing(gateway: Node, key: str):
    gateway.control.refusal = RuntimeError("the password is swordfish")  # type: ignore[assignment]
    answer = await gateway.ask("POST", REPLIES, key, json={})
    assert answer.problem == (500, "internal") and "swordfish" not in str(answer.body)


async def test_the_store_is_away(gateway: Node, key: str):
    gateway.control.refusal = StoreUnavailable("/var/secret/path")  # type: ignore[assignment]
    answer = await gateway.ask("POST", REPLIES, key, json={})
    assert answer.problem == (503, "store-unavailable") and "secret" not in str(answer.body)
    assert answer.headers["Retry-After"]


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"INVITE sip:100@127.0.0.1 SIP/2.0\r\n\r\n",
        b"GET /v1/calls HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_http(gateway: Node, sent: bytes):
    where = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(sent)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.") and b" 400 " in head.splitlines()[0]
    assert b"application/problem+json" in head and b'"malformed-request"' in body
    assert b"aiohttp" not in answer and b"Python" not in head
