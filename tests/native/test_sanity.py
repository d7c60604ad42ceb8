"""What a message may look like at most (sanity.hpp), seen from the wire: in requests, in responses, in a dialog."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from gateway.calls.events import LegEnded
from tests.contract.sip_peer import SipPeer
from tests.native.gate import Gate, opened
from tests.sip.malformed import SDP


def count(gate: Gate, decision: str) -> int:
    return gate.endpoint.decisions()[decision]


def lines(template: str, times: int) -> str:
    return "".join(template.format(n) + "\r\n" for n in range(times))


def multipart(*parts: str, boundary: str = ";boundary=b") -> tuple[str, str]:
    body = "".join(f"--b\r\n{part}\r\n" for part in parts) + "--b--\r\n"
    return f"multipart/mixed{boundary}", body


SDP_PART = "Content-Type: application/sdp\r\n\r\n"
CRYPTO = "a=crypto:{} AES_CM_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm"
STREAM = "m=audio 4000 RTP/AVP 0 {}\r\n"
MAP = "a=rtpmap:101  telephone-event/8000\r\n"
TOO_MANY_CRYPTOS = SDP + lines(CRYPTO, 17)

BAD_HEADERS = {
    "headers": (lines("X-{}: 1", 130), "Too Many Header Fields"),
    "header-long": ("X-Long: " + "a" * 8190 + "\r\n", "Header Field Too Long"),
    "header-folded-long": ("X-Long: a\r\n" + lines(" " + "a" * 1000, 9), "Header Field Too Long"),
    "vias": (lines("Via: SIP/2.0/UDP a;branch=z9hG4bK{}", 70), "Too Many Vias"),
    "vias-in-one-line": ("Via: " + ",".join(["SIP/2.0/UDP a"] * 70) + "\r\n", "Too Many Vias"),
    "allow": (lines("Allow: A{}, B", 17), "Too Many Option Tags"),
    "service-routes": ("service-route: " + ",".join(['"a,b" <sip:a,b>'] * 9) + "\r\n", "Too Many Service-Routes"),
    "two-to": ("To: <sip:other@127.0.0.1>\r\n", "Repeated Header Field"),
    "two-from": ("From: <sip:other@127.0.0.1>;tag=9\r\n", "Repeated Header Field"),
    "two-content-types": ("Content-Type: text/plain\r\n", "Repeated Header Field"),
}
GOOD_HEADERS = {
    "headers": lines("X-{}: 1", 110),
    "header-long": "X-Long: " + "a" * 8180 + "\r\n",
    "vias": lines("Via: SIP/2.0/UDP 127.0.0.2;branch=z9hG4bK{}", 20),
    "allow": lines("Allow: A{}, B", 16),
    "supported": "Supported: " + ",".join(f"a{n}" for n in range(32)) + "\r\n",
    "service-routes": "Service-Route: " + ",".join(['"a,b" <sip:a,b>'] * 8) + "\r\n",
    "line-feeds": "X-1: 1\nX-2: 2\n",
}
SDP_TYPE = "application/sdp"
NO_MAP = "Payload Type Without rtpmap"
BAD_BODIES = {
    "sdp-lines": (SDP_TYPE, SDP + lines("a=x:{}", 500), "Too Many SDP Lines"),
    "media": (SDP_TYPE, SDP + lines("m=audio 0 RTP/AVP 0", 16), "Too Many Media Streams"),
    "crypto": (SDP_TYPE, TOO_MANY_CRYPTOS, "Too Many Crypto Attributes"),
    "crypto-upper": (SDP_TYPE, SDP + lines("a=CRYPTO:{} X", 17), "Too Many Crypto Attributes"),
    "crypto-in-all": (SDP_TYPE, SDP + 3 * (STREAM.format("") + lines(CRYPTO, 6)), "Too Many Crypto Attributes"),
    "rtpmap-none": (SDP_TYPE, SDP + STREAM.format("101"), NO_MAP),
    "rtpmap-elsewhere": (SDP_TYPE, SDP + STREAM.format("101") + STREAM.format("") + MAP, NO_MAP),
    "rtpmap-before": (SDP_TYPE, SDP + MAP + STREAM.format("101"), NO_MAP),
    "rtpmap-no-rate": (SDP_TYPE, SDP + STREAM.format("101") + "a=rtpmap:101 red\r\n", NO_MAP),
    "rtpmap-nothing": (SDP_TYPE, SDP + STREAM.format("101") + "a=rtpmap:101\r\n", NO_MAP),
    "rtpmap-red-in-text": (SDP_TYPE, SDP + "m=text 4002 RTP/AVP 100 98\r\na=rtpmap:98 t140/1000\r\n", NO_MAP),
    "multipart-empty": (*multipart(), "Empty Multipart"),
    "multipart-nothing": ("multipart/mixed;boundary=b", "", "Empty Multipart"),
    "multipart-other-boundary": ("multipart/mixed;boundary=c", multipart("a")[1], "Empty Multipart"),
    "multipart-no-end": ("multipart/mixed;boundary=b", "--b\r\n\r\nx", "Empty Multipart"),
    "multipart-upper": ("MULTIPART/mixed;boundary=b", "--b--\r\n", "Empty Multipart"),
    "multipart-no-boundary": (*multipart(SDP_PART + SDP, boundary=""), "Multipart Without Boundary"),
    "multipart-boundary-empty": (*multipart(SDP_PART + SDP, boundary=';boundary=""'), "Multipart Without Boundary"),
    "multipart-parts": (*multipart(*["\r\nx"] * 17), "Too Many Body Parts"),
    "multipart-sdp": (*multipart("\r\nx", SDP_PART + TOO_MANY_CRYPTOS), "Too Many Crypto Attributes"),
}
GOOD_BODIES = {
    "sdp-lines": (SDP_TYPE, SDP + lines("a=x:{}", 490)),
    "crypto": (SDP_TYPE, SDP + lines(CRYPTO, 16)),
    "rtpmap": (SDP_TYPE, SDP.replace("AVP 0", "AVP 0 101") + MAP),
    "rtpmap-not-rtp": (SDP_TYPE, SDP + "m=image 4000 udptl t38\r\n"),
    "rtpmap-refused-stream": (SDP_TYPE, SDP + "m=video 0 RTP/AVP 99\r\n"),
    "line-feeds": (SDP_TYPE, SDP.replace("AVP 0", "AVP 101").replace(":0 PCMU", ":101 PCMU").replace("\r", "")),
    "multipart": multipart("\r\nx", SDP_PART + SDP),
    "multipart-quoted": multipart(SDP_PART + SDP, boundary=';boundary="b"'),
}


def with_body(kind: str, body: str) -> Callable[[str], str]:
    return lambda text: _replace(text, kind, body)


def _replace(text: str, kind: str, body: str) -> str:
    head = text.partition("\r\n\r\n")[0]
    kept = [line for line in head.split("\r\n") if not line.startswith("Content-")]
    return "\r\n".join([*kept, f"Content-Type: {kind}", f"Content-Length: {len(body)}", "", body])


def with_headers(more: str) -> Callable[[str], str]:
    return lambda text: text.replace("Max-Forwards:", more + "Max-Forwards:", 1)


BAD = {
    **{f"headers-{name}": (with_headers(more), phrase) for name, (more, phrase) in BAD_HEADERS.items()},
    **{f"body-{name}": (with_body(kind, body), phrase) for name, (kind, body, phrase) in BAD_BODIES.items()},
    "body-cut-short": (lambda text: text.replace("Content-Length: ", "Content-Length: 9", 1), "Body Cut Short"),
}
GOOD = {
    **{f"headers-{name}": with_headers(more) for name, more in GOOD_HEADERS.items()},
    **{f"body-{name}": with_body(kind, body) for name, (kind, body) in GOOD_BODIES.items()},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gate() -> AsyncIterator[Gate]:
    async with opened() as gate:
        yield gate


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("kind", BAD)
async def test_a_malformed_request_is_refused_and_says_why(gate: Gate, kind: str) -> None:
    alter, phrase = BAD[kind]
    offered, malformed = gate.offered, count(gate, "malformed")
    invite, info, ack = (alter(gate.request(method, body=SDP)) for method in ("INVITE", "INFO", "ACK"))
    assert await gate.asks(invite, info, ack) == [[400], [400], []]
    assert gate.last_answer(invite).startswith(f"SIP/2.0 400 {phrase}\r\n")
    assert (gate.offered, count(gate, "malformed")) == (offered, malformed + 3)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("kind", GOOD)
async def test_what_is_just_within_the_limits_gets_through(gate: Gate, kind: str) -> None:
    offered, malformed, bad = gate.offered, count(gate, "malformed"), count(gate, "malformed_response")
    invite = GOOD[kind](gate.request("INVITE"))
    response = GOOD[kind](gate.request("INVITE")).replace(invite.split("\r\n")[0], "SIP/2.0 200 OK")
    (answers, _) = await gate.asks(invite, response)
    assert (gate.offered, count(gate, "malformed"), count(gate, "malformed_response")) == (offered + 1, malformed, bad)
    await gate.asks(invite.replace("INVITE", "CANCEL"))
    assert 400 not in answers


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("kind", BAD)
async def test_a_malformed_response_is_dropped(gate: Gate, kind: str) -> None:
    before = count(gate, "malformed_response")
    text = BAD[kind][0](gate.request("INVITE"))
    await gate.asks("SIP/2.0 200 OK\r\n" + text.partition("\r\n")[2])
    assert count(gate, "malformed_response") == before + 1


@pytest.mark.asyncio(loop_scope="module")
async def test_a_malformed_request_in_a_dialog_leaves_the_call_alone(gate: Gate) -> None:
    gate.events.clear()
    async with SipPeer(gate.port) as peer:
        await gate.takes_call_of(peer)
        peer.invite(formats="0 99")  # no rtpmap
        assert await peer.final() == 400
        peer.invite()
        assert await peer.final() == 200
        peer.bye()
        await gate.until(LegEnded)
