"""A phone that nobody here wrote, baresip, calls in: hears, is heard, presses keys, holds; either side hangs up."""

import asyncio
import socket
from pathlib import Path

import pytest

from tests.baresip import Baresip
from tests.bot_server import BotServer, replies
from tests.gateway_process import GatewayProcess
from tests.mirror import Mirror
from tests.spectrum import dominant_hz, longest_gap, sounding, tone_db
from tests.tone_server import ToneServer
from tests.wire import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOT_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)
SETTINGS = {"security.fetch_allow": "127.0.0.0/8"}
PLAN = f"""
trunks:
  phones: {{host: 127.0.0.1}}
channels:
  tones: {{bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot"}}}}
routes:
  - {{to: "100", channel: tones}}
  - {{to: "*", reject: 404}}
"""
BOT_HZ, PHONE_HZ = 620, 440


def number(gateway: GatewayProcess, user: str = "100") -> str:
    """What to dial."""
    return f"sip:{user}@127.0.0.1:{gateway.udp_port}"


async def test_it_hears_the_bot_and_its_keys_reach_it(
    gateway: GatewayProcess, bot: BotServer, tones: ToneServer, tmp_path: Path
) -> None:
    bot.on("start", replies({"type": "audio", "url": tones.url(BOT_HZ, 1.5)}, {"type": "dtmf", "max": 4}))
    async with Baresip(tmp_path) as phone:
        await phone.dial(number(gateway))
        await phone.event("CALL_ESTABLISHED")
        (start,) = await bot.received("start")
        await gateway.wait_for("playback.ended")
        await phone.press("19*0")
        (pressed,) = await bot.received("dtmf", timeout_s=10)
        await phone.hang_up()
        ended = await gateway.wait_for("call.ended")
    assert (start.event["call"]["from"], start.event["call"]["to"]) == ("ann", "100")
    assert pressed.event["data"] == {"digits": "19*0", "complete": "max"}
    assert (ended["cause"], ended["ended_by"]) == ("completed/normal", "customer")
    heard, rate = phone.heard()
    began, stopped = sounding(heard, rate)
    assert stopped - began == pytest.approx(1.5, abs=0.1)
    tone = heard[round(began * rate) : round(stopped * rate)]
    assert dominant_hz(tone, rate) == pytest.approx(BOT_HZ, abs=3)
    assert tone_db(tone, BOT_HZ, rate) == pytest.approx(-12, abs=1)


async def test_the_bot_hangs_up_on_it(gateway: GatewayProcess, bot: BotServer, tmp_path: Path) -> None:
    bot.on("start", replies({"type": "pause", "ms": 300}, {"type": "hangup"}))
    async with Baresip(tmp_path) as phone:
        await phone.dial(number(gateway))
        await phone.event("CALL_ESTABLISHED")
        await phone.event("CALL_CLOSED")
        assert (await gateway.wait_for("call.ended"))["ended_by"] == "bot"


async def test_it_is_told_that_there_is_no_such_number(gateway: GatewayProcess, tmp_path: Path) -> None:
    async with Baresip(tmp_path) as phone:
        await phone.dial(number(gateway, "999"))
        assert "404" in (await phone.event("CALL_CLOSED"))["param"]


async def test_it_holds_and_comes_back(
    gateway: GatewayProcess, bot: BotServer, tones: ToneServer, tmp_path: Path
) -> None:
    """Version 1.0 records nothing any more after a hold: what is heard then is for test_hearing.py to say."""
    bot.on("start", replies({"type": "audio", "url": tones.url(BOT_HZ, 60)}))
    bot.on("dtmf", replies({"type": "hangup"}))
    async with Baresip(tmp_path) as phone:
        await phone.dial(number(gateway))
        await phone.event("CALL_ESTABLISHED")
        await gateway.wait_for("playback.started")
        await asyncio.sleep(1)
        await phone.hold()
        await gateway.wait_for("leg.hold_changed", hold="sendonly")
        await phone.resume()
        await gateway.wait_for("leg.hold_changed", hold="sendrecv")
        await phone.press("5")
        await bot.received("dtmf")
        await phone.event("CALL_CLOSED")
        assert (await gateway.wait_for("call.ended"))["ended_by"] == "bot"
    heard, rate = phone.heard()
    assert tone_db(heard[-round(0.5 * rate) :], BOT_HZ, rate) == pytest.approx(-12, abs=1)


@pytest.mark.parametrize(("codec", "rate"), [("PCMU", 8000), ("PCMA", 8000), ("G722", 16000)])
async def test_it_is_heard(tmp_path: Path, codec: str, rate: int) -> None:
    async with Mirror(codecs=(codec,)) as mirror, Baresip(tmp_path, PHONE_HZ, rate) as phone:
        await phone.dial(f"sip:100@127.0.0.1:{mirror.port}")
        assert await mirror.codec() == codec
        await phone.press("1234567890*#")
        assert await mirror.digits(12) == "1234567890*#"
        await phone.hold()
        assert await mirror.holds(1) == ["sendonly"]
        await phone.resume()
        assert await mirror.holds(2) == ["sendonly", "sendrecv"]
        mirror.hangs_up()
        await phone.event("CALL_CLOSED")
        assert not (await mirror.ended()).by_peer
    heard, recorded = phone.heard()
    assert recorded == rate
    assert dominant_hz(heard, rate) == pytest.approx(PHONE_HZ, abs=3)
    assert tone_db(heard, PHONE_HZ, rate) > -20
    assert longest_gap(heard, rate) < 0.5
