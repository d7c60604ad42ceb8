"""Calls that are not taken: no route, a route that refuses, closed hours, limits, SDP that we cannot speak."""

import asyncio
from datetime import UTC, datetime

import pytest

from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.spectrum import rms_db

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = {"limits.calls": "3"}
_HOUR = (datetime.now(UTC).hour + 12) % 24
CLOSED = f"mon-sun {_HOUR:02}:00-{_HOUR:02}:30 UTC"
"""Opens in about half a day."""
PLAN = """
trunks:
  carrier: {host: 127.0.0.2, allow: [127.0.0.2/32]}
channels:
  echo: {bot: {type: builtin, name: echo}}
  small: {bot: {type: builtin, name: echo}, limits: {calls: 1}}
routes:
  - {to: "100", channel: echo}
  - {to: "101", channel: small}
  - {to: "102", reject: 486}
  - {to: "103", reject: 603}
  - {to: "104", channel: echo, hours: "CLOSED", otherwise: {prompt: closed}}
  - {to: "105", channel: echo, hours: "CLOSED", otherwise: {reject: 480}}
  - {to: "106", say: "Hello."}
""".replace("CLOSED", CLOSED)

NOTHING = "v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n"
OFFER = NOTHING + "m=audio 4000 RTP/AVP {}\r\n"


@pytest.mark.parametrize(
    ("number", "status", "q850"), [("999", 404, 3), ("102", 486, 17), ("103", 603, 21), ("105", 480, 19)]
)
async def test_a_refusal_has_its_status_and_its_reason(
    gateway: GatewayProcess, customer: Caller, number: str, status: int, q850: int
) -> None:
    customer.invites(number)
    refusal = await customer.is_told_finally()
    assert refusal.status == status
    assert (refusal.header("Reason") or "").startswith(f"Q.850;cause={q850};")
    await gateway.wait_for("call.refused", status=status)
    assert not gateway.events("call.started")


@pytest.mark.parametrize(
    "codecs",
    [
        "18\r\na=rtpmap:18 G729/8000\r\n",
        "111\r\na=rtpmap:111 opus/48000/2\r\n",
        "101\r\na=rtpmap:101 telephone-event/8000\r\n",
        "97\r\na=rtpmap:97 nonsense/8000\r\n",
    ],
    ids=["g729", "opus", "only-events", "unknown"],
)
async def test_an_offer_without_a_codec_of_the_trunk_is_refused_with_488(
    gateway: GatewayProcess, customer: Caller, codecs: str
) -> None:
    customer.invites("100", offer=OFFER.format(codecs))
    refusal = await customer.is_told_finally()
    assert refusal.status == 488


@pytest.mark.parametrize(
    "offer",
    [
        NOTHING + "m=video 4000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
        OFFER.format("0").replace("m=audio 4000", "m=audio 0"),
        OFFER.format("0").replace("RTP/AVP", "UDP/TLS/RTP/SAVPF"),
    ],
    ids=["video-only", "port-0", "dtls"],
)
async def test_an_offer_without_audio_that_we_can_take_is_refused(
    gateway: GatewayProcess, customer: Caller, offer: str
) -> None:
    customer.invites("100", offer=offer)
    assert (await customer.is_told_finally()).status in (488, 415, 606)


async def test_a_closed_route_plays_its_prompt_and_hangs_up(gateway: GatewayProcess, customer: Caller) -> None:
    await customer.calls("104")
    bye = await customer.is_hung_up()
    heard = customer.ear.sound()
    assert rms_db(heard) > -35 and len(heard) / 16000 > 3
    assert bye.header("Reason") == 'Q.850;cause=16;text="normal"'


async def test_a_route_can_say_a_text(gateway: GatewayProcess, customer: Caller) -> None:
    await customer.calls("106")
    await customer.is_hung_up()
    assert rms_db(customer.ear.sound()) > -35


async def test_a_full_gateway_says_503_and_when_to_come_back(gateway: GatewayProcess, customer: Caller) -> None:
    async with Caller(gateway) as first, Caller(gateway) as second, Caller(gateway) as third:
        await asyncio.gather(*(caller.calls("100") for caller in (first, second, third)))
        customer.invites("100")
        refusal = await customer.is_told_finally()
    assert refusal.status == 503 and int(refusal.header("Retry-After") or 0) > 0


async def test_a_full_channel_says_503_and_others_go_on(gateway: GatewayProcess, customer: Caller) -> None:
    async with Caller(gateway) as first, Caller(gateway) as other:
        await first.calls("101")
        customer.invites("101")
        refusal = await customer.is_told_finally()
        await other.calls("100")
    assert refusal.status == 503 and refusal.header("Retry-After") is None


async def test_a_freed_place_is_taken_again(gateway: GatewayProcess, customer: Caller) -> None:
    async with Caller(gateway) as first:
        await first.calls("101")
        await first.hangs_up()
        await first.end()
    await customer.calls("101")
