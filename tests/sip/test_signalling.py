"""One call from INVITE to BYE, and every way to end it early, as SIPp sees it."""

import asyncio
from pathlib import Path

import pytest

from tests.caller import Caller
from tests.ear import Ear
from tests.gateway_process import GatewayProcess
from tests.sipp import sipp
from tests.spectrum import rms_db

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN = """
trunks:
  carrier: {host: 127.0.0.2, allow: [127.0.0.2/32]}
channels:
  echo: {bot: {type: builtin, name: echo}}
  ringing: {bot: {type: builtin, name: echo}, answer: {after_ms: 300}}
  patient: {bot: {type: builtin, name: echo}, answer: {after_ms: 20000}}
routes:
  - {to: "100", channel: echo}
  - {to: "101", channel: ringing}
  - {to: "102", channel: patient}
"""


async def test_a_call_is_answered_and_ends_with_the_callers_bye(gateway: GatewayProcess, folder: Path) -> None:
    run = (await sipp("basic", gateway, folder, duration_ms=500)).succeeded()
    assert run.statuses == [200]
    ended = await gateway.end_of(run.call_id)
    assert (ended["cause"], ended["ended_by"], ended["sip_status"]) == ("completed/normal", "customer", 200)
    assert 400 <= ended["duration_ms"] <= 1500


async def test_a_channel_that_answers_after_a_while_rings_first(gateway: GatewayProcess, folder: Path) -> None:
    run = (await sipp("basic", gateway, folder, to="101")).succeeded()
    assert run.statuses == [180, 200]


async def test_the_200_has_what_rfc_3261_asks_for(gateway: GatewayProcess, folder: Path) -> None:
    answer = (await sipp("basic", gateway, folder)).succeeded().response(200)
    assert answer.to_tag and f"127.0.0.1:{gateway.udp_port}" in (answer.header("Contact") or "")
    assert answer.media[0] == "127.0.0.1" and 20000 <= answer.media[1] <= 29999
    assert answer.sdp("m=audio ")[0].split(" ", 1)[1].strip() == "RTP/AVP 0 101"


async def test_the_caller_gives_up_while_it_rings(gateway: GatewayProcess, folder: Path) -> None:
    run = (await sipp("cancel", gateway, folder, to="102", duration_ms=100)).succeeded()
    assert run.statuses == [180, 487]
    ended = await gateway.end_of(run.call_id)
    assert (ended["cause"], ended["ended_by"], ended["sip_status"]) == ("caller/cancelled", "customer", 487)
    assert not gateway.of_call(run.call_id, "bot.asked"), "nobody asked the bot, so nobody tells it"


async def test_the_caller_hangs_up_as_soon_as_it_is_answered(gateway: GatewayProcess, folder: Path) -> None:
    run = (await sipp("basic", gateway, folder, duration_ms=0)).succeeded()
    assert (await gateway.end_of(run.call_id))["cause"] == "completed/normal"


async def test_a_cancel_that_crosses_the_200_changes_nothing(gateway: GatewayProcess, folder: Path) -> None:
    run = (await sipp("cancel_late", gateway, folder, duration_ms=200)).succeeded()
    assert (await gateway.end_of(run.call_id))["cause"] == "completed/normal"


async def test_cancels_that_race_the_answer_leave_nothing(gateway: GatewayProcess) -> None:
    async def races(after_s: float) -> int:
        async with Caller(gateway) as customer:
            customer.invites("100")
            await asyncio.sleep(after_s)
            final = await customer.cancels()
            if final.status == 200:
                await customer.is_answered()
            return final.status

    assert set(await asyncio.gather(*(races(n / 2000) for n in range(20)))) <= {200, 487}


async def test_a_late_offer_is_answered_in_the_ack_and_audio_flows(gateway: GatewayProcess, folder: Path) -> None:
    async with Ear() as ear:
        run = await sipp("late_offer", gateway, folder, ear_port=ear.port, duration_ms=2500)
        assert "0" in run.succeeded().response(200).sdp("m=audio ")[0].split(" ")[2:], "the 200 offers PCMU"
        assert rms_db(ear.sound()) > -40


async def test_fifty_calls_at_twenty_five_a_second(gateway: GatewayProcess, folder: Path) -> None:
    run = (await sipp("basic", gateway, folder, duration_ms=300, calls=50, rate=25)).succeeded()
    assert run.statuses == [200] * 50


@pytest.mark.parametrize(
    ("reason", "cause", "q850"),
    [
        ('Q.850;cause=17;text="User busy"', "carrier/busy", 17),
        ("Q.850;cause=16", "completed/normal", 16),
        ("SIP;cause=503", "carrier/unavailable", None),
        ('SIP;cause=200;text="completed elsewhere", Q.850 ; cause=41', "carrier/unavailable", 41),
        ("no reason at all", "completed/normal", None),
    ],
)
async def test_why_the_carrier_hung_up_is_the_calls_cause(
    gateway: GatewayProcess, customer: Caller, reason: str, cause: str, q850: int | None
) -> None:
    await customer.calls("100")
    await customer.hangs_up({"Reason": reason})
    ended = await customer.end()
    assert (ended["cause"], ended["q850"], ended["ended_by"]) == (cause, q850, "customer")


async def test_the_reason_of_a_sipp_caller_is_read_too(gateway: GatewayProcess, folder: Path) -> None:
    run = await sipp("bye_with_reason", gateway, folder, reason="Q.850;cause=27;text=out-of-order")
    assert (await gateway.end_of(run.succeeded().call_id))["q850"] == 27


async def test_our_bye_says_why(gateway: GatewayProcess, customer: Caller) -> None:
    await customer.calls("100")
    await customer.ear.hears_something()
    await customer.ear.presses("*")
    assert (await customer.is_hung_up()).header("Reason") == 'Q.850;cause=16;text="normal"'
    assert (await customer.end())["ended_by"] == "bot"
