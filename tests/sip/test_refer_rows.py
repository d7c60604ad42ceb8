"""Transfers by REFER, one behaviour of the customer's side per row, with continueCall and onFail or without: what the
bot is told, what events, record and metrics say, what the customer hears, and what is on the wire."""

import asyncio
import socket
from collections import Counter
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.bot_server import BotServer
from tests.gateway_process import GatewayProcess
from tests.refer_play import ReferSeen, judge_refer, look_up_refers, play_refer
from tests.refer_rows import (
    KNOWN,
    OTHER,
    OVER_TCP,
    PASSWORD,
    REALM,
    ReferCase,
    ReferRow,
    Step,
    answers,
    hangs_up,
    instruct_for_refer,
    is_hung_up,
    notifies,
    pauses,
    refer_cases,
    refer_plan,
    says_last,
)
from tests.sip.transfer_proof import Proof
from tests.transfer_rows import NUMBER, Sound, Span
from tests.wire import free_port

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

_AT_A_TIME: Final = 24
"""Cases that are played at a time: more would make the machine, not the gateway, the one that is late."""
_CHALLENGE: Final = f'Digest realm="{REALM}", nonce="5ae3", algorithm=MD5, qop="auth"'
_WAITS: Final = pauses(1.2)
_RINGBACK: Final = (Span("referred", "told", Sound.RINGBACK),)
_TO_NUMBER, _TO_OTHER = (f"sip:+{number}@127.0.0.2" for number in (NUMBER, OTHER))
_TWO: Final = (("targets", [{"phoneNumber": NUMBER}, {"phoneNumber": OTHER}]),)
_SOON: Final = (("timeout", 1),)


def transferred(name: str, *steps: Step, events: tuple[str, ...] = ("accepted",), **more: Any) -> ReferRow:
    """It works."""
    usual = {"ring_s": 1.2, "spans": () if more.get("leaves") else _RINGBACK}
    return ReferRow(
        name, (), "completed", 200, "OK", success=True, steps=steps, events=events, **(usual | more)
    )  # fmt: skip


def refused(status: str, reason: str) -> ReferRow:
    """A final failure instead of the 202."""
    return ReferRow(f"{status[:3]} to REFER", (), reason, int(status[:3]), status[4:], steps=(answers(status),))


def failed(status: str, reason: str) -> ReferRow:
    """The last NOTIFY says so."""
    return ReferRow(
        f"NOTIFY {status[:3]}", (), reason, int(status[:3]), status[4:], _RINGBACK,
        steps=(answers(), notifies("100 Trying"), _WAITS, says_last(status)), events=("accepted",), ring_s=1.2,
    )  # fmt: skip


def challenged(status: str, ask: str) -> tuple[Step, ...]:
    """401 or 407."""
    return (answers(status, f"{ask}: {_CHALLENGE}"),)


ROWS = (
    transferred(
        "202 and NOTIFY 100 180 200",
        answers(), notifies("100 Trying"), notifies("180 Ringing"), _WAITS, says_last("200 OK"),
        events=("accepted", "ringing"),
    ),
    transferred("NOTIFY 200 overtakes 202", answers(None), _WAITS, says_last("200 OK"), answers()),
    transferred(
        "NOTIFYs without a body and with garbage", answers(), notifies(None), notifies(None, body="SIP/2.0 abc"),
        notifies(None, body="\0\1 Hello"), notifies(None, "Content-Type: text/plain"), _WAITS, says_last("200 OK"),
    ),
    transferred(
        "NOTIFY after our BYE", answers(), _WAITS, notifies("200 OK"), is_hung_up, says_last("200 OK"),
    ),
    transferred("BYE instead of NOTIFY", answers(), _WAITS, hangs_up, assumed=True, leaves=True, ring_s=6.2),
    transferred(
        "BYE and then NOTIFY 200", answers(), _WAITS, hangs_up, pauses(1.0), says_last("200 OK"),
        leaves=True, ring_s=2.2,
    ),
    transferred(
        "no subscription and BYE", answers("202 Accepted", "Refer-Sub: false"), _WAITS, hangs_up,
        assumed=True, leaves=True,
    ),
    transferred(
        "no subscription and nothing", answers("202 Accepted", "Refer-Sub: false"), assumed=True, ring_s=5.0,
    ),
    transferred(
        "two targets and the first is busy",
        answers(), says_last("486 Busy Here"), answers(count=2), _WAITS, says_last("200 OK", of=2),
        switch=_TWO, number=OTHER, attempts=((NUMBER, 486, "busy"),), events=("accepted", "accepted"),
        refers_to=(_TO_NUMBER, _TO_OTHER),
    ),
    transferred(
        "two targets and the last word on the first comes twice",
        answers(), notifies("486 Busy Here"), answers(count=2), says_last("486 Busy Here", of=1), _WAITS,
        says_last("200 OK", of=2),
        switch=_TWO, number=OTHER, attempts=((NUMBER, 486, "busy"),), events=("accepted", "accepted"),
        refers_to=(_TO_NUMBER, _TO_OTHER),
    ),
    transferred(
        "401 answered", *challenged("401 Unauthorized", "WWW-Authenticate"), answers(count=2), _WAITS,
        says_last("200 OK"), address=KNOWN, refers_to=(f"sip:+{NUMBER}@{KNOWN}",) * 2,
    ),
    transferred(
        "407 answered", *challenged("407 Proxy Authentication Required", "Proxy-Authenticate"), answers(count=2),
        _WAITS, says_last("200 OK"), address=KNOWN, refers_to=(f"sip:+{NUMBER}@{KNOWN}",) * 2,
    ),
    transferred(
        "over TCP", answers(), notifies("180 Ringing"), _WAITS, says_last("200 OK"), events=("accepted", "ringing"),
        address=OVER_TCP, refers_to=(f"sip:+{NUMBER}@{OVER_TCP};transport=tcp",),
    ),
    transferred(
        "to a URI with parameters", answers(), _WAITS, says_last("200 OK"),
        switch=(("sipUri", "ann@127.0.9.9:5070;transport=tcp"),), number="ann@127.0.9.9:5070;transport=tcp",
        refers_to=("sip:ann@127.0.9.9:5070;transport=tcp",),
    ),
    transferred(
        "fields that it cannot honour", answers(), _WAITS, says_last("200 OK"),
        switch=(
            ("continueRecording", True), ("announce", "Hello"), ("accept", True), ("postDialDigits", "1"),
            ("postSession", {"channel": "reception"}), ("maxTalkMs", 60000),
        ),
        warns=("continueRecording", "announce", "accept", "postDialDigits", "postSession", "maxTalkMs"),
    ),
    failed("486 Busy Here", "busy"),
    failed("603 Decline", "declined"),
    failed("404 Not Found", "invalid-number"),
    failed("480 Temporarily Unavailable", "no-answer"),
    failed("503 Service Unavailable", "carrier-error"),
    failed("302 Moved Temporarily", "carrier-error"),
    refused("405 Method Not Allowed", "not-supported"),
    refused("501 Not Implemented", "not-supported"),
    refused("420 Bad Extension", "not-supported"),
    refused("603 Decline", "declined"),
    refused("403 Forbidden", "declined"),
    refused("404 Not Found", "invalid-number"),
    refused("500 Server Internal Error", "carrier-error"),
    refused("401 Unauthorized", "carrier-error"),
    refused("407 Proxy Authentication Required", "carrier-error"),
    ReferRow(
        "401 and our password is wrong to them", (), "carrier-error", 401, "Unauthorized", address=KNOWN,
        steps=(*challenged("401 Unauthorized", "WWW-Authenticate"), answers("401 Unauthorized", count=2)),
        refers_to=(f"sip:+{NUMBER}@{KNOWN}",) * 2,
    ),
    ReferRow(
        "no answer to REFER", (), "unreachable", None, None, _RINGBACK, steps=(answers(None),),
        ring_s=6.0, switch=_SOON,
    ),
    ReferRow(
        "nothing after 202", (), "no-answer", None, None, _RINGBACK, steps=(answers(),),
        events=("accepted",), ring_s=6.0, switch=_SOON,
    ),
    ReferRow(
        "BYE and then NOTIFY 486", (), "busy", 486, "Busy Here", leaves=True, events=("accepted",), ring_s=2.2,
        steps=(answers(), _WAITS, hangs_up, pauses(1.0), says_last("486 Busy Here")), attempts=((NUMBER, 486, "busy"),),
    ),
    ReferRow(
        "BYE before any answer", (), "caller-abandoned", None, None, leaves=True, ring_s=1.2,
        steps=(answers(None), _WAITS, hangs_up),
    ),
    ReferRow(
        "two targets and both are busy", (), "busy", 486, "Busy Here", _RINGBACK, switch=_TWO, number=OTHER, ring_s=1.2,
        steps=(answers(), says_last("486 Busy Here"), answers(count=2), _WAITS, says_last("486 Busy Here", of=2)),
        attempts=((NUMBER, 486, "busy"), (OTHER, 486, "busy")), events=("accepted", "accepted"),
        refers_to=(_TO_NUMBER, _TO_OTHER),
    ),
    ReferRow(
        "not allowed", (), "blocked", None, None, switch=(("phoneNumber", "19005550100"),), number="19005550100",
        detail="destinations.allow", refers_to=(),
    ),
)  # fmt: skip

CASES = refer_cases(ROWS)
BOT_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)
PLAN = refer_plan(BOT_PORT)
ENV = {"CARRIER_PASSWORD": PASSWORD}
Played = dict[str, ReferSeen | BaseException]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(request: pytest.FixtureRequest, running: GatewayProcess) -> Played:
    """All cases that were asked for, several at a time; what came of each, by its name. Nothing is left of them."""
    wanted = [
        item.callspec.params["case"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.function is test_row
    ]
    turn = asyncio.Semaphore(_AT_A_TIME)

    async def one(case: ReferCase) -> ReferSeen:
        async with turn:
            return await play_refer(case, running)

    async with Proof(running) as proof, BotServer(port=BOT_PORT) as bot:
        instruct_for_refer(bot, wanted)
        seen = await asyncio.gather(*(one(case) for case in wanted), return_exceptions=True)
        await look_up_refers([one for one in seen if isinstance(one, ReferSeen)], bot, proof.operator)
    return {case.name: came for case, came in zip(wanted, seen, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_row(case: ReferCase, played: Played) -> None:
    seen = played[case.name]
    if isinstance(seen, BaseException):
        raise seen
    judge_refer(case, seen)


async def test_each_is_counted_once(played: Played, running: GatewayProcess) -> None:
    wanted = Counter((row["status"], row["reason"]) for case in CASES if case.name in played for row in (case.status,))
    async with aiohttp.ClientSession() as session, session.get(f"{running.api}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    counted = {
        (sample.labels["status"], sample.labels["reason"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name == "switchhook_transfers_total" and sample.labels["method"] == "refer"
    }
    assert counted == wanted
