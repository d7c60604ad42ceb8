"""Transfers by INVITE, one behaviour of the agent's phone (SIPp) per row, with continueCall on and off: what the bot is
told, what the event stream and the record say, and what each party hears (tests/transfer_play.py)."""

import asyncio
import socket
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.bot_server import BotServer
from tests.gateway_process import GatewayProcess
from tests.operators import operator_of
from tests.sipp_agent import (
    ANSWERS,
    HANGS_UP,
    INVITED,
    IS_CANCELLED,
    IS_HUNG_UP,
    PASSWORD,
    audio,
    challenges,
    gets,
    pause,
    refuses,
    reinvites,
    says,
)
from tests.transfer_play import Seen, judge, look_up, play
from tests.transfer_rows import COLLEAGUE, Case, Row, Sound, Span, cases_of, instruct, plan_of
from tests.wire import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

_AT_A_TIME: Final = 20
"""Cases that are played at a time: more would make the machine, not the gateway, the one that is late."""
_EARLY = (("ringback", "earlyMedia"),)
_RINGS = (INVITED, says("180 Ringing"), pause(1200))
_PROGRESS = says("183 Session Progress", sdp=audio())
_TALK = pause(1200)
_RINGBACK = Span("> 180", "> 200", Sound.RINGBACK)
_TALKING = Span("< ACK", "> BYE", Sound.AGENT, Sound.CUSTOMER)
_LOST = says("200 OK", sdp=audio(), contact="<sip:agent@[local_ip]:9>", repeated=False)
"""Its Contact leads nowhere."""


def talks(
    name: str, *steps: str, spans: tuple[Span, ...] = (), ring_s: float = 0.0, talk_s: float = 1.2, **more: Any
) -> Row:
    """They talk, and the agent hangs up."""
    return Row(
        name, (steps,), "completed", 200, "OK", spans,
        success=True, ended_by="agent", answers=True, ring_s=ring_s, talk_s=talk_s, **more,
    )  # fmt: skip


def refused(status: str, reason: str, cause: str, *, after: tuple[str, ...] = (INVITED,), **more: Any) -> Row:
    """A final failure."""
    code, _, phrase = status.partition(" ")
    rings = len(after) > 1
    usual = {"name": code, "rings": rings, "ring_s": 1.2 if rings else 0.0}
    return Row(
        phones=((*after, *refuses(status)),), reason=reason, sip_status=int(code), sip_reason=phrase,
        leg=(cause, int(code)), **(usual | more),
    )  # fmt: skip


def talking(since: str) -> Span:
    """Until the agent hangs up."""
    return Span(since, "> BYE", Sound.AGENT, Sound.CUSTOMER)


def answers_then_bye(seconds: int) -> Row:
    """BYE so soon after the ACK."""
    wait = (pause(seconds * 1000),) if seconds else ()
    spans = (_TALKING,) if seconds else ()
    return talks(
        f"bye after {seconds} s", INVITED, *ANSWERS, *wait, *HANGS_UP, spans=spans, talk_s=seconds, rings=False
    )


ROWS = (
    Row(
        "no answer from a closed udp port", (), "unreachable", None, None,
        rings=False, ring_s=32, leg=("carrier/no-response", 408), switch=(("timeout", 60),),
    ),
    talks("180 then answer", *_RINGS, *ANSWERS, _TALK, *HANGS_UP, spans=(_RINGBACK, _TALKING), ring_s=1.2),
    talks(
        "183 with media", INVITED, pause(1200), _PROGRESS, pause(1200), *ANSWERS, _TALK, *HANGS_UP,
        spans=(
            Span("< INVITE", "> 183", Sound.RINGBACK), Span("> 183", "> 200", Sound.AGENT, Sound.SILENCE), _TALKING
        ), ring_s=2.4, switch=_EARLY,
    ),
    talks(
        "183 with media that nobody asked for", INVITED, _PROGRESS, pause(1200), *ANSWERS, _TALK, *HANGS_UP,
        spans=(Span("> 183", "> 200", Sound.RINGBACK), _TALKING), ring_s=1.2,
    ),
    talks(
        "183 then 180", INVITED, _PROGRESS, pause(1000), says("180 Ringing"), pause(1200), *ANSWERS, _TALK, *HANGS_UP,
        spans=(Span("> 183", "> 180", Sound.AGENT), Span("> 180", "> 200", Sound.AGENT), _TALKING),
        ring_s=2.2, switch=_EARLY,
    ),
    talks(
        "180 where early media is wanted", *_RINGS, *ANSWERS, _TALK, *HANGS_UP,
        spans=(_RINGBACK, _TALKING), ring_s=1.2, switch=_EARLY,
    ),
    refused("486 Busy Here", "busy", "callee/busy"),
    refused(
        "603 Decline", "declined", "callee/declined", after=_RINGS, spans=(Span("> 180", "> 603", Sound.RINGBACK),),
    ),
    refused("480 Temporarily Unavailable", "no-answer", "callee/no-answer"),
    refused(
        "480 Temporarily Unavailable", "no-answer", "callee/no-answer", name="480 after an announcement",
        after=(INVITED, _PROGRESS, pause(1200)), switch=_EARLY, spans=(Span("> 183", "> 480", Sound.AGENT),),
    ),
    refused("404 Not Found", "invalid-number", "carrier/bad-number"),
    refused("503 Service Unavailable", "carrier-error", "carrier/unavailable"),
    refused("500 Server Internal Error", "carrier-error", "carrier/unavailable"),
    Row(
        "no answer", ((*_RINGS, *IS_CANCELLED),), "no-answer", None, None, (Span("> 180", "< CANCEL", Sound.RINGBACK),),
        ring_s=3, leg=("callee/no-answer", 487), switch=(("timeout", "3"),),
    ),
    Row(
        "no response at all", ((INVITED, pause(2500)),), "no-answer", None, None, (),
        rings=False, ring_s=2, leg=("callee/no-answer", 487), switch=(("timeout", 2),),
    ),
    Row(
        "200 after we gave up", ((INVITED, pause(3000), *ANSWERS, *IS_HUNG_UP),), "no-answer", None, None, (),
        rings=False, ring_s=2, leg=("callee/no-answer", 487), switch=(("timeout", 2),),
    ),
    Row(
        "no answer from a closed tcp port", (), "unreachable", None, None,
        rings=False, transport="tcp", leg=("carrier/no-response", 503),
    ),
    Row(
        "302 inside the policy",
        (
            (INVITED, *refuses("302 Moved Temporarily", contact=f"<sip:ann@{COLLEAGUE}>")),
            (*_RINGS, *ANSWERS, _TALK, *HANGS_UP),
        ),
        "completed", 200, "OK",
        (Span("> 180", "> 200", Sound.RINGBACK, phone=1), Span("< ACK", "> BYE", Sound.AGENT, Sound.CUSTOMER, phone=1)),
        success=True, ended_by="agent", answers=True, ring_s=1.2, talk_s=1.2, number=f"sip:ann@{COLLEAGUE}", legs=2,
    ),
    Row(
        "302 outside the policy", ((INVITED, *refuses("302 Moved Temporarily", contact="<sip:ann@127.0.99.9:5060>")),),
        "blocked", None, None, rings=False, leg=("carrier/normal", 302), detail="destinations.hosts",
        attempts=(("sip:ann@127.0.99.9:5060", None, "blocked"),),
    ),
    answers_then_bye(0), answers_then_bye(1), answers_then_bye(5),
    talks(
        "hold and back", INVITED, *ANSWERS, _TALK, *reinvites(1, audio("inactive", 2)), _TALK,
        *reinvites(2, audio("sendrecv", 3)), _TALK, *HANGS_UP,
        spans=(Span("> INVITE 1", "> INVITE 2", Sound.MUSIC, Sound.SILENCE), talking("> INVITE 2")),
        talk_s=3.6, rings=False,
    ),
    talks(
        "hold with media", INVITED, *ANSWERS, _TALK, *reinvites(1, audio("sendonly", 2)), _TALK,
        *reinvites(2, audio("sendrecv", 3)), _TALK, *HANGS_UP,
        spans=(Span("> INVITE 1", "> INVITE 2", Sound.BOTH, Sound.SILENCE), talking("> INVITE 2")),
        talk_s=3.6, rings=False,
    ),
    talks(
        "delayed offer", INVITED, *ANSWERS, _TALK, *reinvites(1, "", audio("sendrecv", 2)), _TALK, *HANGS_UP,
        spans=(Span("< ACK", "> INVITE 1", Sound.AGENT, Sound.CUSTOMER), talking("> INVITE 1")),
        talk_s=2.4, rings=False,
    ),
    Row(
        "200 crosses cancel as the customer leaves",
        ((*_RINGS, gets("CANCEL"), says("200 OK", sdp=audio(), late=True), gets("ACK"), *IS_HUNG_UP),),
        "caller-abandoned", None, None, ended_by="customer", ring_s=1.0, leg=("completed/normal", 487),
        leaves_after="transfer.ringing",
    ),
    Row(
        "200 crosses cancel as time is up",
        ((*_RINGS, gets("CANCEL"), says("200 OK", sdp=audio(), late=True), gets("ACK"), *IS_HUNG_UP),),
        "no-answer", None, None, ring_s=2, leg=("callee/no-answer", 487), switch=(("timeout", 2),),
    ),
    talks(
        "200 whose ack is lost", INVITED, _LOST, pause(500), _LOST, pause(1000), _LOST, pause(500), *HANGS_UP,
        spans=(Span("> 200", "> BYE", Sound.AGENT, Sound.CUSTOMER),), talk_s=2.0, rings=False,
    ),
    Row(
        "200 whose ack and bye are lost", ((INVITED, _LOST, pause(2500)),),
        "completed", 200, "OK", (Span("> 200", "end", Sound.AGENT),), success=True, ended_by="customer",
        answers=True, rings=False, talk_s=1.0, leaves_after="transfer.bridged",
    ),
    Row(
        "the customer hangs up", ((INVITED, *ANSWERS, *IS_HUNG_UP),), "completed", 200, "OK",
        (Span("< ACK", "< BYE", Sound.AGENT, Sound.CUSTOMER),), success=True, ended_by="customer",
        answers=True, rings=False, talk_s=1.0, leaves_after="transfer.bridged",
    ),
    talks(
        "401", INVITED, *challenges("401 Unauthorized", "WWW-Authenticate"), *ANSWERS, _TALK, *HANGS_UP,
        spans=(_TALKING,), rings=False, password="AGENT_PASSWORD",
    ),
    talks(
        "407", INVITED, *challenges("407 Proxy Authentication Required", "Proxy-Authenticate"), *ANSWERS, _TALK,
        *HANGS_UP, spans=(_TALKING,), rings=False, password="AGENT_PASSWORD",
    ),
    refused(
        "401 Unauthorized", "carrier-error", "carrier/not-authorized", name="401 and a wrong password",
        after=(INVITED, *challenges("401 Unauthorized", "WWW-Authenticate")), rings=False, ring_s=0.0,
        password="WRONG_PASSWORD",
    ),
    refused("407 Proxy Authentication Required", "carrier-error", "carrier/not-authorized", name="407 and no password"),
    talks(
        "tcp", *_RINGS, *ANSWERS, _TALK, *HANGS_UP, spans=(_RINGBACK, _TALKING), ring_s=1.2, transport="tcp",
    ),
)  # fmt: skip

CASES = cases_of(ROWS)
BOT_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)
PLAN = plan_of(CASES, BOT_PORT)
ENV = {"AGENT_PASSWORD": PASSWORD, "WRONG_PASSWORD": "sesame open"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(
    request: pytest.FixtureRequest, running: GatewayProcess, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Seen | BaseException]:
    """All cases that were asked for, several at a time; what came of each, by its name."""
    wanted = [
        item.callspec.params["case"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.function is test_row
    ]
    operator = await operator_of(running, running.folder)
    folder = tmp_path_factory.mktemp("agents")
    turn = asyncio.Semaphore(_AT_A_TIME)

    async def one(case: Case) -> Seen:
        async with turn:
            return await play(case, running, folder)

    async with BotServer(port=BOT_PORT) as bot:
        instruct(bot, wanted)
        seen = await asyncio.gather(*(one(case) for case in wanted), return_exceptions=True)
        await look_up([one for one in seen if isinstance(one, Seen)], bot, operator)
    return {case.name: came for case, came in zip(wanted, seen, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_row(case: Case, played: dict[str, Seen | BaseException]) -> None:
    seen = played[case.name]
    if isinstance(seen, BaseException):
        raise seen
    judge(case, seen)


async def test_nothing_is_left_of_them(played: dict[str, Seen | BaseException], running: GatewayProcess) -> None:
    await running.all_given_back()
    running.check()
