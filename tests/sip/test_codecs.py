"""Each codec in both directions, by tone: what is agreed on, what is heard, and keys as RFC 4733 events beside it."""

import socket

import pytest

from tests.bot_server import BotServer, replies
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.mirror import Mirror
from tests.phone import Phone
from tests.spectrum import dominant_hz, longest_gap, tone_db
from tests.tone_server import ToneServer
from tests.wire import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOT_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)
SETTINGS = {"security.fetch_allow": "127.0.0.0/8"}
TRUNKS = {
    "127.0.0.11": "PCMU", "127.0.0.12": "PCMA", "127.0.0.13": "G722", "127.0.0.14": "opus", "127.0.0.15": "G729",
    "127.0.0.16": "PCMA, PCMU", "127.0.0.17": "G729, opus, PCMU",
}  # fmt: skip
PLAN = f"""
trunks:
{"".join(f"  t{address[-2:]}: {{host: {address}, codecs: [{codecs}]}}{chr(10)}" for address, codecs in TRUNKS.items())}
channels:
  tones: {{bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot"}}}}
routes:
  - {{to: "*", channel: tones}}
"""
EACH = pytest.mark.parametrize("address", [address for address, codecs in TRUNKS.items() if "," not in codecs])
PAYLOAD = {"PCMU": "0", "PCMA": "8", "G722": "9", "G729": "18", "opus": "96"}
RTPMAPS = """\
m=audio {port} RTP/AVP {formats}
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:9 G722/8000
a=rtpmap:18 G729/8000
a=rtpmap:96 opus/48000/2
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=rtpmap:102 telephone-event/48000
a=fmtp:102 0-16
a=sendrecv
"""
HZ = 620


def offer(customer: Caller, formats: str) -> str:
    """An offer of these payload types."""
    head, _, _ = customer.sdp().partition("m=audio")
    return head + RTPMAPS.format(port=customer.ear.port, formats=formats).replace("\n", "\r\n")


async def answered(gateway: GatewayProcess, address: str, formats: str) -> str:
    """The payload types of the gateway's answer to this offer."""
    async with Caller(gateway, address) as customer:
        customer.invites("1", offer=offer(customer, formats))
        answer = await customer.is_answered()
    return answer.sdp("m=audio ")[0].partition(" RTP/AVP ")[2]


# ── What is agreed on ───────────────────────────────────────────────────────────────────────────────


@EACH
async def test_the_answer_has_the_trunks_codec_alone_and_its_events(
    gateway: GatewayProcess, bot: BotServer, address: str
) -> None:
    codec = TRUNKS[address]
    events = "102" if codec == "opus" else "101"  # RFC 4733 §2.1: at the clock rate of the audio beside them
    assert await answered(gateway, address, "0 8 9 18 96 101 102") == f"{PAYLOAD[codec]} {events}"
    assert (await gateway.wait_for("leg.answered"))["codec"] == codec


@pytest.mark.parametrize(
    ("address", "formats", "expected"),
    [
        ("127.0.0.16", "0 8 101", "8 101"),
        ("127.0.0.16", "8 0 101", "8 101"),
        ("127.0.0.16", "0 101", "0 101"),
        ("127.0.0.17", "0 8 96 18 101 102", "18 101"),
        ("127.0.0.17", "0 8 96 101 102", "96 102"),
        ("127.0.0.17", "96 101", "96 101"),
        ("127.0.0.17", "0 9 8", "0"),
    ],
)
async def test_the_trunks_order_wins_over_the_offers(
    gateway: GatewayProcess, bot: BotServer, address: str, formats: str, expected: str
) -> None:
    assert await answered(gateway, address, formats) == expected


async def test_a_codec_at_an_odd_rate_is_not_taken_for_the_trunks(gateway: GatewayProcess, bot: BotServer) -> None:
    async with Caller(gateway, "127.0.0.16") as customer:
        customer.invites("1", offer=offer(customer, "0 97").replace("a=rtpmap:8 PCMA/8000", "a=rtpmap:97 PCMA/16000"))
        answer = await customer.is_answered()
        assert answer.sdp("m=audio ")[0].endswith(" RTP/AVP 0")


@EACH
async def test_without_a_common_codec_the_offer_is_refused(gateway: GatewayProcess, address: str) -> None:
    others = " ".join(number for codec, number in PAYLOAD.items() if codec != TRUNKS[address])
    async with Caller(gateway, address) as customer:
        customer.invites("1", offer=offer(customer, f"{others} 101 102"))
        assert (await customer.is_told_finally()).status == 488


# ── What is heard ───────────────────────────────────────────────────────────────────────────────────


@EACH
async def test_the_phone_hears_the_bot_and_keys_go_both_ways(
    gateway: GatewayProcess, bot: BotServer, tones: ToneServer, address: str
) -> None:
    bot.on("start", replies({"type": "audio", "url": tones.url(HZ, 20)}))
    bot.on("dtmf", replies({"type": "sendDtmf", "digits": "7#"}))
    codec = TRUNKS[address]
    async with Phone(f"sip:1@127.0.0.1:{gateway.udp_port}", bind=address, codec=codec) as phone:
        assert (await phone.answered(timeout=20))["codec"] == codec
        await phone.event("audio-started")
        await phone.listen(300)
        heard = await phone.listen(1500)
        await phone.digits("4", "rfc4733")
        (pressed,) = await bot.received("dtmf")
        await phone.event("dtmf-received", digit="7", by="rfc4733")
        await phone.event("dtmf-received", digit="#", by="rfc4733")
    assert (await gateway.wait_for("leg.answered"))["codec"] == codec
    assert dominant_hz(heard) == pytest.approx(HZ, abs=3)
    assert tone_db(heard, HZ) == pytest.approx(-12, abs=3)
    assert longest_gap(heard) < 0.1
    assert pressed.event["data"]["digits"] == "4"


@pytest.mark.parametrize("codec", PAYLOAD)
async def test_the_gateway_hears_the_phone(codec: str) -> None:
    async with Mirror(codecs=(codec,)) as mirror, Phone(f"sip:1@127.0.0.1:{mirror.port}", tone=HZ) as phone:
        assert await mirror.codec() == codec
        await phone.event("audio-started", timeout=20)
        await phone.listen(300)
        heard = await phone.listen(1500)
        await phone.send("silence")
        await phone.digits("19*", "rfc4733")
        assert await mirror.digits(3) == "19*"
    assert dominant_hz(heard) == pytest.approx(HZ, abs=3)
    assert tone_db(heard, HZ) == pytest.approx(-12, abs=4)
    assert longest_gap(heard) < 0.1
