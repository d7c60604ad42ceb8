"""A call and its bot over real SIP and HTTP: what the bot is told, and what comes of every reply (bot-protocol.md)."""

import asyncio
import json
import re
import socket
import time
from itertools import pairwise
from typing import Any

import pytest

from tests.bot_server import BotServer, nothing, raw, replies, slow, status, text
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.spectrum import has_tone, longest_gap, rms_db, sounding
from tests.tone_server import ToneServer
from tests.wire import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOT_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)
SECRET = "whsec_c3dpdGNoaG9vayB0ZXN0cw=="
ENV = {"BOT_SECRET": SECRET}
SETTINGS = {"security.fetch_allow": "127.0.0.0/8"}
PLAN = f"""
trunks:
  carrier: {{host: 127.0.0.2, allow: [127.0.0.2/32], headers: {{to_bot: ["X-*", "User-to-User", "Diversion"]}}}}
  infos: {{host: 127.0.0.4, allow: [127.0.0.4/32], dtmf: info}}
channels:
  reception:
    bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot", secret: {{env: BOT_SECRET}}, timeout_s: 5}}
  screened:
    bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot", secret: {{env: BOT_SECRET}}}}
    answer: bot
  survey:
    bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot", secret: {{env: BOT_SECRET}}}}
routes:
  - {{to: "+12125550100", channel: reception}}
  - {{to: "+12125550101", channel: screened}}
"""
RECEPTION, SCREENED = "+12125550100", "+12125550101"
INFO_CARRIER = "127.0.0.4"

HANGUP = {"type": "hangup"}


def collect(**fields: Any) -> dict[str, Any]:
    """A dtmf reply."""
    return {"type": "dtmf", **fields}


# ── What the bot is told ────────────────────────────────────────────────────────────────────────────


async def test_the_request_is_what_the_protocol_says(bot: BotServer, customer: Caller) -> None:
    await customer.calls(RECEPTION, {"X-CRM-Id": "42", "x-lower": "b", "Subject": "private", "P-Early-Media": "no"})
    (start,) = await bot.received("start")
    assert start.verified and start.headers["webhook-id"] == start.event["id"]
    assert start.headers["content-type"] == "application/json"
    assert set(start.event) == {"id", "event", "seq", "at", "call", "data"}
    assert re.fullmatch(r"evt_[0-9A-HJKMNP-TV-Z]{26}", start.event["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", start.event["at"])
    assert (start.event["event"], start.event["seq"]) == ("start", 1)
    assert start.event["data"] == {"reason": "inbound", "parameters": {}}
    call = start.event["call"]
    assert re.fullmatch(r"call_[0-9A-HJKMNP-TV-Z]{26}", call.pop("id"))
    assert call.pop("startedAt") <= call.pop("answeredAt")
    assert call == {
        "sipCallId": customer.call_id, "channel": "reception", "trunk": "carrier", "direction": "inbound",
        "state": "bot", "from": "+12125550123", "fromName": "Ann Caller", "to": RECEPTION, "diversion": None,
        "verstat": None, "headers": {"X-CRM-Id": "42", "x-lower": "b"}, "userToUser": [], "data": {},
    }  # fmt: skip


async def test_the_bot_learns_of_user_to_user_and_diversion(bot: BotServer, customer: Caller) -> None:
    await customer.calls(
        RECEPTION,
        {
            "User-to-User": "56a390f3d2b7310023a2;encoding=hex",
            "Diversion": "<sip:+12125550177@a.example>;reason=no-answer",
        },
    )
    (start,) = await bot.received("start")
    assert start.event["call"]["userToUser"] == [{"data": "56a390f3d2b7310023a2", "encoding": "hex"}]
    assert start.event["call"]["diversion"] == "+12125550177"
    assert set(start.event["call"]["headers"]) == {"User-to-User", "Diversion"}


async def test_the_bot_is_told_when_the_customer_hangs_up(bot: BotServer, customer: Caller) -> None:
    await customer.calls(RECEPTION)
    await bot.received("start")
    await customer.hangs_up({"Reason": "Q.850;cause=16"})
    (hangup,) = await bot.received("hangup")
    data = hangup.event["data"]
    assert 0 <= data.pop("durationMs") < 5000
    assert data == {
        "cause": {"result": "completed", "reason": "normal"}, "sipStatus": 200, "q850": 16, "endedBy": "customer",
    }  # fmt: skip
    assert hangup.verified and hangup.event["seq"] == 2


async def test_events_of_one_call_come_one_at_a_time_and_in_order(bot: BotServer, customer: Caller) -> None:
    bot.on("start", slow(1.0, nothing()))
    bot.on("dtmf", slow(0.2, nothing()))
    await customer.calls(RECEPTION)
    await bot.received("start")
    await customer.ear.presses("123")
    got = await bot.received("dtmf", 3)
    assert [request.event["data"]["digits"] for request in got] == ["1", "2", "3"]
    assert [request.event["seq"] for request in bot.requests] == [1, 2, 3, 4]
    assert got[0].at_s - bot.requests[0].at_s >= 1.0
    assert all(later.at_s - earlier.at_s >= 0.2 for earlier, later in pairwise(got))


async def test_hangup_overtakes_what_waits_and_abandons_what_is_pending(bot: BotServer, customer: Caller) -> None:
    bot.on("start", slow(4.0, replies(text("Too late."))))
    await customer.calls(RECEPTION)
    await bot.received("start")
    await customer.ear.presses("12")
    await customer.hangs_up()
    await bot.received("hangup", timeout_s=2)
    assert bot.events == ["start", "hangup"]


async def test_a_second_attempt_has_the_same_id(bot: BotServer, customer: Caller, gateway: GatewayProcess) -> None:
    bot.on("start", status(503), replies(HANGUP))
    await customer.calls(RECEPTION)
    await customer.is_hung_up()
    await customer.end()
    first, second = await bot.received("start", 2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] and first.body == second.body
    assert second.verified
    assert not gateway.events("bot.failed"), "the second attempt is no failure"


# ── What it says ────────────────────────────────────────────────────────────────────────────────────


async def test_text_is_spoken_and_hangup_waits_for_its_end(bot: BotServer, customer: Caller) -> None:
    bot.on("start", replies(text("Good morning. How are you today?"), HANGUP))
    await customer.calls(RECEPTION)
    bye = await customer.is_hung_up()
    begins, ends = sounding(customer.ear.sound())
    assert rms_db(customer.ear.sound()) > -35 and ends - begins > 1.5
    assert bye.at_s - customer.ear.loud_times()[-1] < 1.0


async def test_a_prompt_is_heard_soon_after_the_bots_answer(
    bot: BotServer, customer: Caller, record_property: Any
) -> None:
    bot.on("start", replies({"type": "audio", "prompt": "goodbye"}, HANGUP))
    await customer.calls(RECEPTION)
    (start,) = await bot.received("start")
    after_ms = round((await customer.ear.hears_something() - start.at_s) * 1000)
    record_property("first_audio_ms", after_ms)
    assert after_ms < 400, f"the first sound came {after_ms} ms after the bot was asked"
    await customer.is_hung_up()


async def test_audio_of_a_url_is_fetched_and_played(bot: BotServer, customer: Caller, tones: ToneServer) -> None:
    bot.on("start", replies({"type": "audio", "url": tones.url(440, 1.0)}, HANGUP))
    await customer.calls(RECEPTION)
    await customer.is_hung_up()
    begins, ends = sounding(customer.ear.sound())
    assert has_tone(customer.ear.sound(), 440) and 0.9 < ends - begins < 1.15


async def test_a_pause_is_silence_of_its_length(bot: BotServer, customer: Caller, tones: ToneServer) -> None:
    tone = {"type": "audio", "url": tones.url(440, 0.4)}
    bot.on("start", replies(tone, {"type": "pause", "ms": 700}, tone, HANGUP))
    await customer.calls(RECEPTION)
    await customer.is_hung_up()
    assert 0.65 < longest_gap(customer.ear.sound()) < 0.85


async def test_a_url_that_gives_no_sound_is_said_and_the_list_goes_on(
    bot: BotServer, customer: Caller, gateway: GatewayProcess, tones: ToneServer
) -> None:
    bot.on("start", replies({"type": "audio", "url": tones.url(440) + ".gone"}, text("Hello."), HANGUP))
    await customer.calls(RECEPTION)
    await customer.is_hung_up()
    await customer.end()
    assert len(gateway.events("sound.failed")) == 1
    assert rms_db(customer.ear.sound()) > -40


async def test_config_holds_for_the_rest_of_the_call(bot: BotServer, customer: Caller) -> None:
    bot.on("start", replies(config={"noInputTimeoutMs": 400}))
    bot.on("noInput", nothing(), nothing(), replies(HANGUP))
    await customer.calls(RECEPTION)
    await customer.is_hung_up()
    got = await bot.received("noInput", 3)
    assert [request.event["data"] for request in got] == [{"count": 1}, {"count": 2}, {"count": 3}]
    assert 0.35 < got[1].at_s - got[0].at_s < 0.8


async def test_a_tag_is_part_of_the_call_from_then_on(bot: BotServer, customer: Caller) -> None:
    bot.on("start", replies({"type": "tag", "data": {"ticket": 7}}, {"type": "tag", "data": {"tier": "gold"}}))
    await customer.calls(RECEPTION)
    await bot.received("start")
    await asyncio.sleep(0.1)
    await customer.hangs_up()
    (hangup,) = await bot.received("hangup")
    assert hangup.event["call"]["data"] == {"ticket": 7, "tier": "gold"}


async def test_headers_of_a_hangup_are_on_the_bye(bot: BotServer, customer: Caller) -> None:
    bot.on("start", replies({"type": "hangup", "reason": "done", "headers": {"X-Ticket": "7", "X-Tier": "gold"}}))
    await customer.calls(RECEPTION)
    bye = await customer.is_hung_up()
    assert (bye.header("X-Ticket"), bye.header("X-Tier")) == ("7", "gold")
    assert bye.headers("Reason") == ['Q.850;cause=16;text="normal"']
    (hangup,) = await bot.received("hangup")
    assert hangup.event["data"]["endedBy"] == "bot"


async def test_handoff_gives_the_call_to_another_channel(bot: BotServer, customer: Caller) -> None:
    bot.on("start", replies({"type": "handoff", "channel": "survey", "parameters": {"topic": "tea"}}), replies(HANGUP))
    await customer.calls(RECEPTION)
    await customer.is_hung_up()
    before, after = await bot.received("start", 2)
    assert (before.event["call"]["channel"], after.event["call"]["channel"]) == ("reception", "survey")
    assert after.event["data"] == {"reason": "handoff", "parameters": {"topic": "tea"}}
    (hangup,) = await bot.received("hangup")
    assert hangup.event["call"]["channel"] == "survey"


# ── Digits ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reply", "keys", "data"),
    [
        (collect(max=3), "123", {"digits": "123", "complete": "max"}),
        (collect(max=9), "12#", {"digits": "12", "complete": "finish"}),
        (collect(max=9, finishOn="*"), "1#2*", {"digits": "1#2", "complete": "finish"}),
        (collect(max=9, timeout=300), "77", {"digits": "77", "complete": "timeout"}),
        (collect(max=9, min=4, timeout=300), "7", {"digits": "7", "complete": "timeout"}),
        ({"type": "gather", "max": 2}, "0D", {"digits": "0D", "complete": "max"}),
        (text("Hello."), "5", {"digits": "5", "complete": "single"}),
    ],
    ids=["max", "finish", "finish-on-star", "timeout", "min", "gather", "single"],
)
async def test_digits_are_collected(
    bot: BotServer, customer: Caller, reply: dict[str, Any], keys: str, data: dict[str, Any]
) -> None:
    bot.on("start", replies(reply))
    await customer.calls(RECEPTION)
    await bot.received("start")
    await customer.ear.presses(keys)
    (dtmf,) = await bot.received("dtmf")
    assert dtmf.event["data"] == data


@pytest.mark.parametrize("content_type", ["application/dtmf-relay", "application/dtmf"])
async def test_digits_come_by_info_too(bot: BotServer, customer: Caller, content_type: str) -> None:
    bot.on("start", replies(collect(max=4)))
    await customer.calls(RECEPTION)
    await bot.received("start")
    for key in "19*#":
        assert (await customer.informs(key, content_type)).status == 200
    (dtmf,) = await bot.received("dtmf")
    assert dtmf.event["data"] == {"digits": "19*", "complete": "finish"}


async def test_digits_typed_ahead_are_kept_for_the_collection(bot: BotServer, customer: Caller) -> None:
    bot.on("start", slow(0.8, replies(text("Your number, please."), collect(max=3))))
    await customer.calls(RECEPTION)
    await bot.received("start")
    await customer.ear.presses("123")
    (dtmf,) = await bot.received("dtmf")
    assert dtmf.event["data"] == {"digits": "123", "complete": "max"}


async def test_a_digit_that_overtakes_the_ack_is_not_lost(bot: BotServer, customer: Caller) -> None:
    customer.invites(RECEPTION)
    customer.ear.peer = (await customer.is_told(200)).media
    await customer.ear.presses("7")
    await customer.is_answered()
    (dtmf,) = await bot.received("dtmf")
    assert dtmf.event["data"]["digits"] == "7" and bot.events == ["start", "dtmf"]


async def test_silence_before_the_first_digit_is_no_input(bot: BotServer, customer: Caller) -> None:
    bot.on("start", replies(collect(max=3), config={"noInputTimeoutMs": 300}))
    await customer.calls(RECEPTION)
    (no_input,) = await bot.received("noInput")
    assert no_input.event["data"] == {"count": 1}


async def test_digits_go_out_by_rfc_4733(bot: BotServer, customer: Caller) -> None:
    bot.on("start", replies({"type": "sendDtmf", "digits": "12w*#A"}, HANGUP))
    await customer.calls(RECEPTION)
    assert await customer.ear.hears_keys(5) == "12*#A"
    await customer.is_hung_up()


async def test_digits_go_out_by_info_where_the_trunk_wants_it(bot: BotServer, gateway: GatewayProcess) -> None:
    bot.on("start", replies({"type": "sendDtmf", "digits": "4#"}, HANGUP))
    async with Caller(gateway, INFO_CARRIER) as customer:
        await customer.calls(RECEPTION)
        await customer.is_hung_up()
        bodies = [message.body for message in customer.received if message.start.startswith("INFO")]
    assert [re.findall(r"Signal=\s*(\S)", body) for body in bodies] == [["4"], ["#"]]


async def test_a_digit_interrupts_within_100_ms(
    bot: BotServer, customer: Caller, tones: ToneServer, record_property: Any
) -> None:
    bot.on("start", replies({"type": "audio", "url": tones.url(440, 9)}))
    await customer.calls(RECEPTION)
    await customer.ear.hears_something()
    await asyncio.sleep(0.5)
    pressed = await customer.ear.presses("1")
    (barge_in,) = await bot.received("bargeIn")
    await customer.ear.listens(0.5)
    stopped_ms = round((customer.ear.loud_times()[-1] - pressed) * 1000)
    record_property("barge_in_ms", stopped_ms)
    assert stopped_ms <= 100, f"it was heard for {stopped_ms} ms after the digit"
    assert barge_in.event["data"]["reply"] == 0 and 300 < barge_in.event["data"]["playedMs"] < 1500
    assert [request.event["data"]["digits"] for request in await bot.received("dtmf")] == ["1"]


async def test_barge_in_that_is_off_lets_the_bot_finish(bot: BotServer, customer: Caller, tones: ToneServer) -> None:
    bot.on("start", replies({"type": "audio", "url": tones.url(440, 1.5), "bargeIn": False}))
    bot.on("dtmf", replies(HANGUP))
    await customer.calls(RECEPTION)
    await customer.ear.hears_something()
    await customer.ear.presses("1")
    await customer.is_hung_up()
    begins, ends = sounding(customer.ear.sound())
    assert ends - begins > 1.4 and "bargeIn" not in bot.events


# ── Before the answer ───────────────────────────────────────────────────────────────────────────────


async def test_a_bot_may_let_it_ring_and_then_answer(bot: BotServer, customer: Caller) -> None:
    bot.on("offered", replies({"type": "ringing"}, {"type": "answer"}))
    await customer.calls(SCREENED)
    assert [m.status for m in customer.received if m.method == "INVITE" and m.status > 100] == [180, 200]
    await bot.received("start")
    offered = bot.requests[0].event
    assert (offered["event"], offered["data"], offered["call"]["answeredAt"]) == ("offered", {}, None)
    assert offered["call"]["state"] == "offered"


async def test_a_bot_may_reject(bot: BotServer, customer: Caller) -> None:
    bot.on("offered", replies({"type": "reject", "status": 480, "reason": "Out to lunch", "headers": {"X-Why": "tea"}}))
    customer.invites(SCREENED)
    refusal = await customer.is_told_finally()
    assert refusal.start == "SIP/2.0 480 Out to lunch" and refusal.header("X-Why") == "tea"
    assert refusal.header("Reason") == 'Q.850;cause=19;text="no-answer"'
    (hangup,) = await bot.received("hangup")
    assert (hangup.event["data"]["endedBy"], hangup.event["data"]["sipStatus"]) == ("bot", 480)


async def test_a_rejection_is_busy_unless_it_says_otherwise(bot: BotServer, customer: Caller) -> None:
    bot.on("offered", replies({"type": "reject"}))
    customer.invites(SCREENED)
    assert (await customer.is_told_finally()).status == 486


async def test_a_bot_may_redirect(bot: BotServer, customer: Caller) -> None:
    bot.on("offered", replies({"type": "redirect", "contacts": ["sip:ann@a.example", "tel:+12125550199"]}))
    customer.invites(SCREENED)
    moved = await customer.is_told_finally()
    assert moved.status == 302
    assert ", ".join(moved.headers("Contact")) == "<sip:ann@a.example>, <tel:+12125550199>"
    assert (await customer.end())["cause"] == "bot/transferred"


async def test_a_caller_that_gives_up_while_the_bot_thinks(bot: BotServer, customer: Caller) -> None:
    bot.on("offered", slow(4, replies({"type": "answer"})))
    customer.invites(SCREENED)
    await bot.received("offered")
    assert (await customer.cancels()).status == 487
    (hangup,) = await bot.received("hangup")
    assert hangup.event["data"]["cause"] == {"result": "caller", "reason": "cancelled"}


# ── In trouble, but not for long ────────────────────────────────────────────────────────────────────


async def test_a_bot_that_thinks_for_long_has_a_filler_played(
    bot: BotServer, customer: Caller, gateway: GatewayProcess
) -> None:
    bot.on("start", slow(2.6, replies(HANGUP)))
    await customer.calls(RECEPTION)
    answered = time.monotonic()
    assert 1.8 < await customer.ear.hears_something() - answered < 2.6
    await customer.is_hung_up()
    await customer.end()
    assert [line["items"] for line in gateway.events("playback.started")] == [[{"prompt": "one-moment"}]]


async def test_one_failure_is_bridged_and_the_event_sent_again(
    bot: BotServer, customer: Caller, gateway: GatewayProcess
) -> None:
    bot.on("start", raw(b"not JSON"), replies(text("Here I am."), HANGUP))
    await customer.calls(RECEPTION)
    await customer.is_hung_up()
    await customer.end()
    first, second = await bot.received("start", 2)
    assert first.event["id"] == second.event["id"]
    assert gateway.events("playback.started")[0]["items"] == [{"prompt": "one-moment"}]
    assert len(gateway.events("bot.failed")) == 1 and not gateway.events("fallback.started")


@pytest.mark.parametrize(
    ("reply", "detail"),
    [
        ({"type": "queue", "queue": "sales"}, "replies[0]: queue is not available yet"),
        ({"type": "voicemail"}, "replies[0]: voicemail is not available yet"),
        ({"type": "record", "action": "start"}, "replies[0]: record is not available yet"),
    ],
)
async def test_a_reply_that_is_not_built_yet_is_refused_by_name(
    bot: BotServer, customer: Caller, gateway: GatewayProcess, reply: dict[str, Any], detail: str
) -> None:
    bot.on("start", replies(reply))
    await customer.calls(RECEPTION)
    failed = await gateway.wait_for("bot.failed")
    assert (failed["kind"], failed["detail"]) == ("refused", detail)


@pytest.mark.parametrize(
    ("answer", "kind", "detail"),
    [
        (replies(*[{"type": "pause", "ms": 10}] * 33), "refused", "replies: must have at most 32 items"),
        (replies(text("x" * 8000), *[text("y" * 8000)] * 9), "too-large", "the answer has more than 64 KiB"),
        (replies(HANGUP, text("late")), "refused", "replies[1]: nothing may follow hangup, which ends the list"),
        (replies({"type": "txt", "text": "a"}), "refused", "replies[0]: unknown reply type 'txt'; did you mean text?"),
        (replies(collect(max=3, time_out=1)), "refused", "replies[0].time_out: unknown field; did you mean timeout?"),
        (replies({"type": "answer"}), "refused", "replies[0]: answer is only for a call that is not answered yet"),
        (
            replies({"type": "handoff", "channel": "survy"}),
            "refused",
            "replies[0].channel: no channel 'survy'; did you mean 'survey'?",
        ),
        (replies({"type": "hangup", "headers": {"X-A": "1\r\nX-B: 2"}}), "refused", None),
    ],
    ids=["33-replies", "64-KiB", "after-hangup", "unknown-type", "unknown-field", "answered", "no-channel", "crlf"],
)
async def test_a_wrong_answer_is_refused_with_the_path(
    bot: BotServer, customer: Caller, gateway: GatewayProcess, answer: Any, kind: str, detail: str | None
) -> None:
    bot.on("start", answer)
    await customer.calls(RECEPTION)
    failed = await gateway.wait_for("bot.failed")
    assert failed["kind"] == kind and (detail is None or failed["detail"] == detail), json.dumps(failed)
