"""Session timers (RFC 4028): too small an interval, who refreshes, who stops, and a peer that knows nothing of them.

The smallest interval is 90 s (§5), so the calls of one test are up at the same time.
"""

import asyncio
import socket
from collections.abc import Mapping

import pytest

from tests.bot_server import BotServer, replies
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.spectrum import has_tone
from tests.tone_server import ToneServer
from tests.wire import Wire, free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOT_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)
SETTINGS = {"security.fetch_allow": "127.0.0.0/8"}
TIMED = "127.0.0.4"
PLAN = f"""
trunks:
  carrier: {{host: 127.0.0.2, allow: [127.0.0.2/32]}}
  timed: {{host: {TIMED}, allow: [{TIMED}/32], session_timer: 90}}
channels: {{tones: {{bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot"}}}}}}
routes: [{{to: "*", channel: tones}}]
"""
LOW, HIGH = 440, 1700
ALLOW = {"Allow": "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE"}
WE_REFRESH = {"Supported": "timer", "Session-Expires": "90;refresher=uac"}
YOU_REFRESH = {"Supported": "timer", "Session-Expires": "90;refresher=uas"}
_LONGER_S = 97
"""An interval, and somewhat more."""


def interval(message: Wire) -> tuple[int, str]:
    """Seconds and refresher."""
    seconds, _, rest = (message.header("Session-Expires") or "0").partition(";")
    return int(seconds), rest.partition("refresher=")[2].split(";")[0]


def refreshes(caller: Caller) -> list[str]:
    """The methods of the gateway's requests within the call, each of them once."""
    return [m.method for m in {m.header("Via"): m for m in caller.received if not m.status}.values()]


async def is_up_and_heard(caller: Caller) -> None:
    """Neither has hung up, and audio goes both ways: it hears the low tone, presses a key, and hears the high one."""
    assert "BYE" not in refreshes(caller)
    assert has_tone(await caller.ear.listens(1.0), LOW)
    caller.ear.is_silent()
    await caller.ear.presses("5")
    await caller.ear.listens(2.0)
    assert has_tone(await caller.ear.listens(1.0), HIGH)
    await caller.hangs_up()
    assert (await caller.end())["cause"] == "completed/normal"


async def test_an_interval_too_small_is_refused_with_the_smallest(
    gateway: GatewayProcess, bot: BotServer, customer: Caller
) -> None:
    customer.invites("100", {"Supported": "timer", "Session-Expires": "60"})
    refused = await customer.is_told_finally()
    assert (refused.status, refused.header("Min-SE")) == (422, "90")
    customer.invites("100", WE_REFRESH)
    assert interval(await customer.is_answered()) == (90, "uac")
    await customer.hangs_up()


async def caller_refreshes(gateway: GatewayProcess, by_update: bool) -> None:
    async with Caller(gateway) as caller:
        answer = await caller.calls("100", WE_REFRESH)
        assert interval(answer) == (90, "uac")
        assert "timer" in (answer.header("Require") or "")  # §9
        caller.ear.sings(400)  # what sends nothing at all is hung up by the watchdog of RTP
        for pause_s in (45, _LONGER_S - 45):
            await asyncio.sleep(pause_s)
            refreshed = await (caller.updates(WE_REFRESH) if by_update else caller.reinvites(headers=WE_REFRESH))
            assert (refreshed.status, interval(refreshed)) == (200, (90, "uac"))
        await is_up_and_heard(caller)


async def caller_stops(gateway: GatewayProcess) -> None:
    async with Caller(gateway) as caller:
        answer = await caller.calls("100", WE_REFRESH)
        caller.ear.sings(400)
        bye = await caller.is_hung_up(timeout_s=100)
        assert 55 <= bye.at_s - answer.at_s <= 92  # §10: at the interval less the smaller of 32 s and a third of it
        ended = await caller.end()
        assert (ended["cause"], ended["sip_status"]) == ("carrier/session-expired", 200)


async def gateway_refreshes(
    gateway: GatewayProcess, address: str, headers: Mapping[str, str], how: str, echoes: tuple[str, ...]
) -> None:
    async with Caller(gateway, address) as caller:
        caller.echoes = echoes
        assert interval(await caller.calls("100", headers)) == (90, "uas")
        caller.ear.sings(400)
        await asyncio.sleep(_LONGER_S)
        assert [one for one in refreshes(caller) if one != "ACK"] == [how] * 2, "halfway through each interval (§7.2)"
        assert len(caller.ear.packets) > 0.9 * 50 * _LONGER_S, "its audio went on"
        await is_up_and_heard(caller)


async def test_who_refreshes_and_who_does_not(gateway: GatewayProcess, bot: BotServer, tones: ToneServer) -> None:
    bot.on("start", replies({"type": "audio", "url": tones.url(LOW, 150)}, {"type": "dtmf", "max": 1}))
    bot.on("dtmf", replies({"type": "audio", "url": tones.url(HIGH)}))
    async with asyncio.TaskGroup() as group:
        for calls in (
            caller_refreshes(gateway, True),
            caller_refreshes(gateway, False),
            caller_stops(gateway),
            gateway_refreshes(gateway, "127.0.0.2", {**ALLOW, **YOU_REFRESH}, "UPDATE", ("Session-Expires",)),
            gateway_refreshes(gateway, "127.0.0.2", YOU_REFRESH, "INVITE", ("Session-Expires",)),
            gateway_refreshes(gateway, TIMED, ALLOW, "UPDATE", ()),  # it knows nothing of timers, the plan wants one
        ):
            group.create_task(calls)
