"""Reliable provisional responses (RFC 3262) to callers: when they ask, and not otherwise."""

import pytest

from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN = """
trunks: {carrier: {host: 127.0.0.2, allow: [127.0.0.2/32]}}
channels:
  soon: {bot: {type: builtin, name: echo}, answer: {after_ms: 1500}}
  patient: {bot: {type: builtin, name: echo}, answer: {after_ms: 50000}}
routes:
  - {to: "100", channel: soon}
  - {to: "200", channel: patient}
"""


def ringing(caller: Caller) -> list[Wire]:
    """Each 180 that came, repeated ones too."""
    return [message for message in caller.received if message.status == 180]


async def test_a_caller_who_requires_it_gets_a_reliable_180_until_it_is_acknowledged(
    gateway: GatewayProcess, customer: Caller
) -> None:
    customer.invites("100", {"Require": "100rel"})
    first = await customer.is_told(180)
    assert "100rel" in (first.header("Require") or "") and int(first.header("RSeq") or 0) > 0
    await customer.comes(lambda: len(ringing(customer)) >= 2, "the 180 again")
    again = ringing(customer)
    assert {message.header("RSeq") for message in again} == {first.header("RSeq")}
    assert 0.4 < again[1].at_s - again[0].at_s < 2.0  # RFC 3262 §3: T1, doubled each time; PJSIP begins with 2*T1
    assert (await customer.acknowledges_reliably(first)).status == 200
    before = len(ringing(customer))
    answer = await customer.is_answered()
    assert len(ringing(customer)) == before, "it is not repeated after its PRACK"
    assert answer.at_s > again[1].at_s
    await customer.hangs_up()
    assert (await customer.end())["cause"] == "completed/normal"


@pytest.mark.parametrize("headers", [{"Supported": "100rel"}, {}], ids=["supported", "unknown"])
async def test_who_does_not_require_it_gets_a_plain_180(
    gateway: GatewayProcess, customer: Caller, headers: dict[str, str]
) -> None:
    customer.invites("100", headers)
    assert (await customer.is_told(180)).header("RSeq") is None
    await customer.is_answered()
    assert len(ringing(customer)) == 1
    await customer.hangs_up()
    assert (await customer.end())["cause"] == "completed/normal"


async def test_an_answer_that_comes_before_the_prack_waits_for_nobody(
    gateway: GatewayProcess, customer: Caller
) -> None:
    customer.invites("100", {"Require": "100rel"})
    first = await customer.is_told(180)
    await customer.is_answered()
    assert (await customer.acknowledges_reliably(first)).status in (200, 481)
    await customer.hangs_up()
    assert (await customer.end())["cause"] == "completed/normal"


async def test_a_180_that_nobody_acknowledges_ends_the_call_and_leaves_nothing(
    gateway: GatewayProcess, customer: Caller
) -> None:
    customer.invites("200", {"Require": "100rel"})
    final = await customer.is_told_finally(timeout_s=45.0)
    assert 500 <= final.status <= 599, "RFC 3262 §3: after 64*T1"
    assert len(ringing(customer)) >= 6
    ended = await customer.end()
    assert (ended["cause"], ended["sip_status"]) == ("caller/no-response", final.status)


async def test_cancelled_before_its_prack(gateway: GatewayProcess, customer: Caller) -> None:
    customer.invites("200", {"Require": "100rel"})
    await customer.is_told(180)
    assert (await customer.cancels()).status == 487
    count = len(ringing(customer))
    assert (await customer.end())["cause"] == "caller/cancelled"
    await customer.ear.listens(1.2)
    assert len(ringing(customer)) == count, "the end ends its repetition"
