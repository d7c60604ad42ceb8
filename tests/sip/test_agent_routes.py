"""A phone dials another one through us: it rings, they talk, either hangs up; or the one who dialled is told."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.callee import Callee
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.spectrum import has_tone
from tests.wire import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOBS, NARROW = "127.0.0.4", "127.0.0.5"
PORT = free_port(BOBS)
PLAN = f"""
trunks:
  office: {{host: "{BOBS}:{PORT}", allow: [127.0.0.2/32, "{BOBS}/32"]}}
  account: {{host: 127.0.0.6, auth: {{username: gw, realm: acme.example, password: {{env: ACME_PASSWORD}}}}}}
  narrow: {{host: "{NARROW}", limits: {{channels: 1}}}}
agents:
  bob: {{name: Bob, target: "sip:802@{BOBS}:{PORT}", trunk: office}}
  carol: {{name: Carol, target: "sip:803@{BOBS}:{PORT}", trunk: account}}
  dave: {{name: Dave, target: "sip:804@{BOBS}:{PORT}", trunk: narrow}}
routes:
  - {{to: "802", trunk: office, agent: bob}}
  - {{to: "803", trunk: office, agent: carol}}
  - {{to: "804", trunk: narrow, agent: dave}}
"""
ENV = {"ACME_PASSWORD": "secret"}
ANN_HZ, BOB_HZ = 500, 1300


@pytest_asyncio.fixture(loop_scope="module")
async def ann(gateway: GatewayProcess) -> AsyncIterator[Caller]:
    """A phone that has not dialled yet."""
    async with Caller(gateway, user="801") as caller:
        yield caller


@pytest_asyncio.fixture(loop_scope="module")
async def bob() -> AsyncIterator[Callee]:
    """Another phone."""
    async with Callee(BOBS, PORT) as callee:
        yield callee


async def hear_each_other(ann: Caller, bob: Callee) -> None:
    """Each hears the other's tone, and not the own one."""
    ann.ear.sings(ANN_HZ)
    bob.ear.sings(BOB_HZ)
    await asyncio.sleep(0.3)
    at_ann, at_bob = await asyncio.gather(ann.ear.listens(0.6), bob.ear.listens(0.6))
    assert has_tone(at_ann, BOB_HZ) and not has_tone(at_ann, ANN_HZ)
    assert has_tone(at_bob, ANN_HZ) and not has_tone(at_bob, BOB_HZ)


async def hears_the_apology_and_bye(ann: Caller, since_s: float = 0.0) -> None:
    """Something is said, then it is over."""
    await ann.ear.hears_something(since_s)
    await ann.is_hung_up()
    assert (await ann.end())["ended_by"] == "gateway"


async def test_the_other_phone_rings_shows_who_dials_and_hangs_up(ann: Caller, bob: Callee) -> None:
    await ann.calls("802")
    invite = await bob.is_called()
    assert invite.start.startswith(f"INVITE sip:802@{BOBS}:{PORT} ")
    assert "sip:801@" in (invite.header("From") or "")
    bob.rings()
    ringback = await ann.ear.listens(1.0)
    assert has_tone(ringback, 440) and has_tone(ringback, 480)
    await bob.answers()
    await hear_each_other(ann, bob)
    await bob.hangs_up()
    await ann.is_hung_up()
    assert (await ann.end())["ended_by"] == "agent"


async def test_the_phone_that_dialled_hangs_up(ann: Caller, bob: Callee) -> None:
    await ann.calls("802")
    await bob.is_called()
    await bob.answers()
    await hear_each_other(ann, bob)
    await ann.hangs_up()
    await bob.is_hung_up(timeout_s=2)


async def test_it_hangs_up_while_the_other_one_rings(ann: Caller, bob: Callee) -> None:
    await ann.calls("802")
    await bob.is_called()
    bob.rings()
    await ann.ear.listens(0.3)
    await ann.hangs_up()
    await bob.is_cancelled(timeout_s=2)


async def test_a_busy_phone_is_told_in_words(ann: Caller, bob: Callee) -> None:
    await ann.calls("802")
    await bob.is_called()
    acked = await bob.refuses("486 Busy Here")
    await hears_the_apology_and_bye(ann, acked.at_s)


async def test_a_trunk_with_an_account_shows_the_number_that_was_dialled(ann: Caller, bob: Callee) -> None:
    await ann.calls("803")
    invite = await bob.is_called()
    assert "sip:803@" in (invite.header("From") or "")
    await bob.answers()
    await bob.hangs_up()
    await ann.is_hung_up()


async def test_a_trunk_without_room_for_both_dials_nobody(gateway: GatewayProcess, bob: Callee) -> None:
    async with Caller(gateway, NARROW, "805") as phone:
        await phone.calls("804")
        await hears_the_apology_and_bye(phone)
    assert bob.invites == []


@pytest.mark.parametrize("number", ["899", "804"])
async def test_a_number_that_nobody_has_on_this_trunk(ann: Caller, bob: Callee, number: str) -> None:
    ann.invites(number)
    assert (await ann.is_told_finally()).status == 404
    assert bob.invites == []
