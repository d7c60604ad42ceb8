"""The agent's phone is one that nobody here wrote, baresip, and passes the customer on by its own transfer command."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.baresip import ADDRESS, Baresip
from tests.gateway_process import GatewayProcess
from tests.sip.office import Office, office_plan
from tests.sip.transfer_cells import places
from tests.spectrum import has_tone
from tests.wire import Wire, free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

(PLACE,) = places(1)
BOT_PORT = PLACE.bot_port
PORT = free_port(ADDRESS)
PLAN = office_plan([PLACE], ann=f"sip:ann@{ADDRESS}:{PORT}")
ANNS_HZ = 440


@pytest_asyncio.fixture(loop_scope="module")
async def phone(gateway: GatewayProcess, tmp_path: Path) -> AsyncIterator[Baresip]:
    """Ann's."""
    async with Baresip(tmp_path, ANNS_HZ, port=PORT) as baresip:
        yield baresip


def number(office: Office) -> str:
    """Bob's, as a phone dials it."""
    return f"sip:{office.bobs_number}@{ADDRESS}:{office.gateway.udp_port}"


async def talks(office: Office, phone: Baresip) -> None:
    """The customer hears Ann."""
    await office.is_switched_to_ann()
    await phone.event("CALL_ESTABLISHED")
    await office.notes("transfer.bridged")
    await hears_ann(office)


async def hears_ann(office: Office) -> None:
    """The customer does."""
    await asyncio.sleep(0.3)
    assert has_tone(await office.customer.ear.listens(0.4), ANNS_HZ)


def dialog(phone: Baresip, *, hers: bool) -> tuple[str, str, str]:
    """Call-ID, the gateway's tag and the phone's tag of the call that it made, or took, from its trace."""
    trace = [Wire(False, part.partition("\n")[2]) for part in re.split(r"\n\S*#\r?\n", phone.output)]
    answers = [one for one in trace if one.status == 200 and one.method == "INVITE"]
    answer = next(one for one in answers if ("sip:ann@" in (one.header("From") or "")) is hers)
    tag = (answer.header("From") or "").partition(";tag=")[2]
    call_id = answer.header("Call-ID") or ""
    return (call_id, answer.to_tag, tag) if hers else (call_id, tag, answer.to_tag)


async def test_blind(office: Office, phone: Baresip) -> None:
    await talks(office, phone)
    await phone.hold()
    await office.notes("leg.hold_changed", hold="sendonly")
    await phone.transfer(number(office))
    await office.bob.is_called()
    office.bob.rings()
    await office.notes("refer.notifying", status=180)
    await office.bob.answers()
    assert (await phone.event("CALL_CLOSED"))["param"] == "Call transfered"  # as it spells it
    await office.hear_each_other(office.customer, office.bob)
    await office.bob.hangs_up()
    (hop,) = (await office.told())["hops"]
    assert (hop["kind"], hop["status"]) == ("refer", "SUCCESS")
    await office.history()


async def test_blind_and_the_colleague_is_busy(office: Office, phone: Baresip) -> None:
    """Version 1.0 hangs up when it is told so."""
    await talks(office, phone)
    await phone.hold()
    await office.notes("leg.hold_changed", hold="sendonly")
    await phone.transfer(number(office))
    await office.bob.is_called()
    await office.bob.refuses("486 Busy Here")
    assert "486" in (await phone.event("TRANSFER_FAILED"))["param"]
    await office.customer.is_hung_up()
    (hop,) = (await office.told())["hops"]
    assert (hop["status"], hop["reason"]) == ("FAIL", "busy")
    await office.history()


@pytest.mark.parametrize("line", [1, 2])
async def test_attended(office: Office, phone: Baresip, line: int) -> None:
    """Version 1.0 has no key for it, and refers to what it is told: the Replaces is ours, REFER and all that follows
    are its own. On either line."""
    await talks(office, phone)
    await phone.dial(number(office))
    await office.bob.is_called()
    await office.bob.answers()
    await phone.event("CALL_ESTABLISHED")
    await office.bob.ear.hears_something()
    first, second = dialog(phone, hers=False), dialog(phone, hers=True)
    call_id, gateways, own = {1: second, 2: first}[line]
    await phone.takes_line(line)
    replaces = f"{call_id}%3Bto-tag%3D{gateways}%3Bfrom-tag%3D{own}".replace("@", "%40")
    await phone.transfer(f"{number(office)}?Replaces={replaces}")
    await phone.event("CALL_CLOSED")
    await phone.event("CALL_CLOSED")
    await office.hear_each_other(office.customer, office.bob)
    assert len(office.bob.invites) == 1
    await office.bob.hangs_up()
    (hop,) = (await office.told())["hops"]
    assert (hop["kind"], hop["status"]) == ("refer", "SUCCESS")
    await office.history()
