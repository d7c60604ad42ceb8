"""Who hears whom, by tones and FFT, over real SIP and RTP: concurrent callers, holds, moved media, digits."""

import asyncio
import socket
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from tests.bot_server import BotServer, replies, text
from tests.caller import Caller
from tests.ear import Ear
from tests.gateway_process import GatewayProcess
from tests.phone import Phone
from tests.spectrum import read, rms_db, sounding, tone_db
from tests.tone_server import ToneServer
from tests.wire import CARRIER, free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOT_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)
SETTINGS = {"security.fetch_allow": "127.0.0.0/8"}
PLAN = f"""
trunks:
  carrier: {{host: 127.0.0.2, allow: [127.0.0.2/32]}}
channels:
  tones: {{bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot"}}}}
routes:
  - {{to: "*", channel: tones}}
"""
ANN_HZ, BOB_HZ = 440, 1130
HANGUP = {"type": "hangup"}


def tone(tones: ToneServer, hz: int, seconds: float = 20) -> dict[str, str]:
    """An audio reply."""
    return {"type": "audio", "url": tones.url(hz, seconds)}


def phone(gateway: GatewayProcess, number: int | str, **options: object) -> Phone:
    """A phone of the carrier that dials this number."""
    return Phone(f"sip:{number}@127.0.0.1:{gateway.udp_port}", bind=CARRIER, **options)


@pytest_asyncio.fixture(loop_scope="module")
async def tone_bot(bot: BotServer, tones: ToneServer) -> AsyncIterator[BotServer]:
    """Plays to every caller the tone whose frequency was dialled."""

    async def answer(request: web.Request) -> web.StreamResponse:
        dialled = (await request.json())["call"]["to"]
        return await replies(tone(tones, int(dialled)))(request)

    bot.on("start", answer)
    yield bot


# ── Concurrent callers ──────────────────────────────────────────────────────────────────────────────


async def test_each_caller_hears_its_own_bot_and_not_the_others(gateway: GatewayProcess, tone_bot: BotServer) -> None:
    async with phone(gateway, ANN_HZ) as ann, phone(gateway, BOB_HZ) as bob:
        await asyncio.gather(ann.event("audio-started", timeout=20), bob.event("audio-started", timeout=20))
        heard_by_ann, heard_by_bob = await asyncio.gather(ann.listen(1500), bob.listen(1500))
    assert tone_db(heard_by_ann, ANN_HZ) > -20 and tone_db(heard_by_bob, BOB_HZ) > -20
    assert tone_db(heard_by_ann, ANN_HZ) - tone_db(heard_by_ann, BOB_HZ) > 40
    assert tone_db(heard_by_bob, BOB_HZ) - tone_db(heard_by_bob, ANN_HZ) > 40


async def test_a_caller_hears_neither_itself_nor_the_others(gateway: GatewayProcess, bot: BotServer) -> None:
    async with Caller(gateway) as ann, Caller(gateway) as bob:
        await asyncio.gather(ann.calls("1"), bob.calls("2"))
        ann.ear.sings(ANN_HZ)
        bob.ear.sings(BOB_HZ)
        heard = await asyncio.gather(ann.ear.listens(1), bob.ear.listens(1))
    assert all(len(sound) > 14000 and rms_db(sound) < -60 for sound in heard)


async def test_twenty_callers_each_hear_their_own_tone(gateway: GatewayProcess, tone_bot: BotServer) -> None:
    async def hears(hz: int) -> None:
        async with Caller(gateway) as customer:
            await customer.calls(str(hz))
            await customer.ear.hears_something()
            sound = await customer.ear.listens(1)
            assert tone_db(sound, hz) > -20
            assert all(tone_db(sound, hz) - tone_db(sound, other) > 25 for other in FREQUENCIES if other != hz)

    await asyncio.gather(*(hears(hz) for hz in FREQUENCIES))


FREQUENCIES = range(400, 2400, 100)


async def test_what_plays_has_no_holes(gateway: GatewayProcess, tone_bot: BotServer, customer: Caller) -> None:
    await customer.calls(str(ANN_HZ))
    began = await customer.ear.hears_something()
    await asyncio.sleep(2)
    packets = [p for p in customer.ear.packets if p.at_s >= began]
    steps = {(b.sequence - a.sequence, b.timestamp - a.timestamp) for a, b in pairwise(packets)}
    assert steps == {(1, 160)}
    assert all(p.loud for p in packets[1:])


# ── Hold, and media that move ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("direction", "connection", "answered"),
    [("sendonly", None, "recvonly"), ("inactive", None, "inactive"), ("sendrecv", "0.0.0.0", None)],
    ids=["sendonly", "inactive", "c=0.0.0.0"],
)
async def test_a_held_bot_is_silent_and_heard_again_after(
    gateway: GatewayProcess,
    tone_bot: BotServer,
    customer: Caller,
    direction: str,
    connection: str | None,
    answered: str | None,
) -> None:
    await customer.calls(str(ANN_HZ))
    await customer.ear.hears_something()
    held = await customer.reinvites(direction, connection)
    assert answered is None or f"a={answered}" in held.body
    await gateway.wait_for("leg.hold_changed")
    await asyncio.sleep(0.1)
    assert rms_db(await customer.ear.listens(0.7)) < -60
    await customer.reinvites()
    await gateway.wait_for("leg.hold_changed", hold="sendrecv")
    await asyncio.sleep(0.1)
    assert tone_db(await customer.ear.listens(0.7), ANN_HZ) > -20


async def test_a_phone_that_holds_and_comes_back(gateway: GatewayProcess, tone_bot: BotServer) -> None:
    async with phone(gateway, ANN_HZ) as ann:
        await ann.event("audio-started", timeout=20)
        await ann.send("hold")
        await gateway.wait_for("leg.hold_changed", hold="sendonly")
        await asyncio.sleep(0.3)
        assert rms_db(await ann.listen(600)) < -60
        await ann.send("unhold")
        await gateway.wait_for("leg.hold_changed", hold="sendrecv")
        await asyncio.sleep(0.3)
        assert tone_db(await ann.listen(600), ANN_HZ) > -20


async def test_no_time_runs_for_a_customer_who_holds(gateway: GatewayProcess, bot: BotServer, customer: Caller) -> None:
    bot.on("start", replies(config={"noInputTimeoutMs": 600}))
    await customer.calls("1")
    await bot.received("start")
    await customer.reinvites("sendonly")
    await asyncio.sleep(1.2)
    assert "noInput" not in bot.events
    await customer.reinvites()
    await bot.received("noInput")


async def test_audio_follows_to_a_new_port(gateway: GatewayProcess, tone_bot: BotServer, customer: Caller) -> None:
    await customer.calls(str(ANN_HZ))
    await customer.ear.hears_something()
    async with Ear() as elsewhere:
        await customer.reinvites(ear=elsewhere)
        await asyncio.sleep(0.2)
        old, new = await asyncio.gather(customer.ear.listens(0.7), elsewhere.listens(0.7))
        assert old == b"" and tone_db(new, ANN_HZ) > -20


async def test_digits_are_heard_from_the_new_port_too(
    gateway: GatewayProcess, bot: BotServer, customer: Caller
) -> None:
    await customer.calls("1")
    await bot.received("start")
    await customer.ear.presses("1")
    async with Ear() as elsewhere:
        answer = await customer.reinvites(ear=elsewhere)
        elsewhere.peer = answer.media
        await elsewhere.presses("2")
        got = await bot.received("dtmf", 2)
    assert [request.event["data"]["digits"] for request in got] == ["1", "2"]


# ── Digits ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_phones_digits_reach_the_bot(gateway: GatewayProcess, bot: BotServer) -> None:
    bot.on("start", replies({"type": "dtmf", "max": 4}, {"type": "dtmf", "max": 3, "finishOn": "*"}))
    async with phone(gateway, 1) as ann:
        await bot.received("start", timeout_s=20)
        await ann.digits("19*0", "rfc4733")
        await ann.digits("#73", "info")
        by_rfc4733, by_info = await bot.received("dtmf", 2)
    assert by_rfc4733.event["data"] == {"digits": "19*0", "complete": "max"}
    assert by_info.event["data"] == {"digits": "#73", "complete": "max"}


async def test_the_bots_digits_reach_a_phone(gateway: GatewayProcess, bot: BotServer) -> None:
    bot.on(
        "start",
        replies({"type": "sendDtmf", "digits": "12*#", "durationMs": 100}, {"type": "pause", "ms": 300}, HANGUP),
    )
    async with phone(gateway, 1) as ann:
        await ann.ended()
        assert ann.digits_heard() == "12*#"


async def test_a_digit_pressed_once_is_one_digit_by_both_ways(
    gateway: GatewayProcess, bot: BotServer, customer: Caller
) -> None:
    await customer.calls("1")
    await bot.received("start")
    await asyncio.gather(customer.ear.presses("5"), customer.informs("5"))
    await asyncio.sleep(0.5)
    assert len(await bot.received("dtmf")) == 1


# ── A phone that records ────────────────────────────────────────────────────────────────────────────


async def test_a_recording_holds_what_the_caller_heard(
    gateway: GatewayProcess, bot: BotServer, tones: ToneServer, tmp_path: Path
) -> None:
    bot.on("start", replies(text("Good morning."), tone(tones, ANN_HZ, 1), tone(tones, BOB_HZ, 1), HANGUP))
    async with phone(gateway, 1, record=tmp_path / "heard.wav") as ann:
        ended = await ann.ended()
        assert await ann.wait() == 0
    assert (ended["by"], ended["status"]) == ("peer", 200)
    heard, rate = read(tmp_path / "heard.wav")
    *_, early, late = (heard[-round(2.2 * rate) : -round(1.2 * rate)], heard[-round(0.9 * rate) : -round(0.3 * rate)])
    assert tone_db(early, ANN_HZ, rate) > -20 and tone_db(late, BOB_HZ, rate) > -20


async def test_a_digit_stops_the_bot_at_the_phones_ear(
    gateway: GatewayProcess, tone_bot: BotServer, tmp_path: Path, record_property: Any
) -> None:
    async with phone(gateway, ANN_HZ, record=tmp_path / "heard.wav") as ann:
        answered = await ann.answered(timeout=20)
        await ann.event("audio-started")
        await ann.send("wait", ms=500)
        await ann.send("digits", digits="1")
        pressed = await ann.event("digit-sent")
        await tone_bot.received("bargeIn")
        await ann.listen(500)
    heard, rate = read(tmp_path / "heard.wav")
    _, silent_s = sounding(heard, rate)
    stopped_ms = round((answered["at"] + silent_s - pressed["at"]) * 1000)
    record_property("barge_in_at_the_ear_ms", stopped_ms)
    assert stopped_ms <= 150, "100 ms, and the phone's jitter buffer"
