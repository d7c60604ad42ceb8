"""Calls that we place, on the wire: to a bot's customer, or for an agent who is called first; who hears whom, and how
each of them ends."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.bot_server import BotServer, nothing, replies, text
from tests.callee import Callee
from tests.gateway_process import GatewayProcess
from tests.operators import Operator, operator_of
from tests.party import hears_ringback, matrix, sing
from tests.wire import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOT_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)
CARRIER, PEOPLE, EXPERTS = "127.0.0.2", "127.0.0.4", "127.0.0.5"
PORT, PEOPLE_PORT, EXPERT_PORT = free_port(CARRIER), free_port(PEOPLE), free_port(EXPERTS)
OURS, CUSTOMER, EXPERT = "+12125550100", "+16125550111", "+16125550122"
PLAN = f"""
trunks:
  carrier:
    {{host: "{CARRIER}:{PORT}", caller_id: {{number: "{OURS}", name: Shop}}, limits: {{channels: 2}}}}
  people: {{host: "{PEOPLE}:{PEOPLE_PORT}", region: US}}
  experts: {{host: "{EXPERTS}:{EXPERT_PORT}", show_in: [from, diversion]}}
channels:
  campaign: {{bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot"}}, trunk: carrier}}
  narrow: {{bot: {{type: builtin, name: echo}}, trunk: carrier, limits: {{calls: 1}}}}
routes:
  - {{to: "*", channel: campaign}}
agents:
  ann: {{name: Ann, target: "sip:ann@{PEOPLE}:{PEOPLE_PORT}", trunk: people, may: [consult, forward, external]}}
  bob: {{name: Bob, target: "sip:bob@{EXPERTS}:{EXPERT_PORT}", trunk: experts}}
destinations: {{allow: ["+1612"], deny: ["+1612900"], limits: {{per_minute: 10000}}}}
"""
TO_BOT = {"to": CUSTOMER, "channel": "campaign"}
TALKING = ["consult", "transfer", "hold", "legs", "play", "hangup"]
FOR_ANN = {"to": CUSTOMER, "agent": "ann", "trunk": "carrier"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(running: GatewayProcess) -> Operator:
    """Who places the calls. Has asked for several things at once already: the store keeps the connections that it
    opened."""
    desktop = await operator_of(running, running.folder)
    await asyncio.gather(*(desktop.asks("GET", f"/v1/{what}") for what in ("cdrs", "calls/call_0", "cdrs", "trunks")))
    while (held := await running.held())["tasks"] != running.idle["tasks"]:
        await asyncio.sleep(0.02)
    running.idle = held
    return desktop


@pytest_asyncio.fixture(loop_scope="module")
async def called(gateway: GatewayProcess) -> AsyncIterator[Callee]:
    """The customer."""
    async with Callee(CARRIER, PORT) as phone:
        yield phone


@pytest_asyncio.fixture(loop_scope="module")
async def ann(gateway: GatewayProcess) -> AsyncIterator[Callee]:
    """An agent."""
    async with Callee(PEOPLE, PEOPLE_PORT) as phone:
        yield phone


async def placed(operator: Operator, **body: Any) -> dict[str, Any]:
    """The call is placed."""
    status, call = await operator.asks("POST", "/v1/calls", body)
    assert status == 202, call
    return dict(call)


async def cdr_of(gateway: GatewayProcess, operator: Operator, call_id: str) -> dict[str, Any]:
    """The record of a call that is over, which ended once, as did all in it."""
    await gateway.wait_for("call.ended", call_id=call_id)
    async with asyncio.timeout(5):  # the record is written a moment after the end
        while (cdr := (await operator.asks("GET", f"/v1/calls/{call_id}"))[1].get("cdr")) is None:
            await asyncio.sleep(0.02)
    _, told = await operator.asks("GET", f"/v1/calls/{call_id}/events")
    types = [event["type"] for event in told["items"]]
    assert types[0] == "call.started" and types[-1] == "call.ended" and types.count("call.ended") == 1
    assert types.count("transfer.started") == types.count("transfer.ended") == len(cdr["transfers"])
    assert [leg for leg in cdr["legs"] if leg["leftAt"] is None] == []
    return dict(cdr)


def ends(cdr: dict[str, Any]) -> tuple[str, str, str]:
    """Whose doing it was, what happened, and who ended it."""
    return cdr["cause"]["result"], cdr["cause"]["reason"], cdr["endedBy"]


# ── To a bot ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_bot_is_told_when_the_customer_answers(
    gateway: GatewayProcess, operator: Operator, bot: BotServer, called: Callee
):
    bot.on("start", replies(text("Your parcel is here."), {"type": "hangup"}))
    bot.on("hangup", nothing())
    uui = [{"data": "4142"}, {"data": "43", "purpose": "isdn-uui", "discriminatorMode": "parameter"}]
    call = await placed(
        operator, **TO_BOT, headers={"x-CRM-iD": "42"}, userToUser=uui, data={"parcel": 7}, timeout="20"
    )
    assert (call["direction"], call["state"], call["allowed"]) == ("outbound", "offered", ["hangup"])
    assert (call["from"], call["to"], call["sipCallId"], call["data"]) == (OURS, CUSTOMER, None, {"parcel": 7})
    assert [(leg["role"], leg["state"]) for leg in call["legs"]] == [("customer", "dialling")]
    invite = await called.is_called()
    assert invite.start.startswith(f"INVITE sip:{CUSTOMER}@{CARRIER}:{PORT}")
    assert f'"Shop" <sip:{OURS}@' in (invite.header("From") or "") and not invite.headers("Diversion")
    assert "\r\nx-CRM-iD: 42\r\n" in invite.text
    assert invite.headers("User-to-User") == ["004142;encoding=hex", "43;pd=00;encoding=hex;purpose=isdn-uui"]
    called.rings()
    await gateway.wait_for("leg.ringing")
    assert bot.events == []
    listed = (await operator.asks("GET", "/v1/calls?state=offered&channel=campaign"))[1]["items"]
    assert [one["id"] for one in listed] == [call["id"]]
    await called.answers()
    (start,) = await bot.received("start")
    assert start.event["data"] == {"reason": "outbound", "parameters": {}}
    told = start.event["call"]
    assert (told["direction"], told["from"], told["to"], told["data"]) == ("outbound", OURS, CUSTOMER, {"parcel": 7})
    await called.ear.hears_something()
    await called.is_hung_up()
    cdr = await cdr_of(gateway, operator, call["id"])
    assert (cdr["direction"], cdr["from"], cdr["to"], cdr["data"]) == ("outbound", OURS, CUSTOMER, {"parcel": 7})
    assert ends(cdr) == ("completed", "normal", "bot") and cdr["answeredAt"] is not None
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.api}/metrics") as answer:
        metrics = await answer.text()
    series = 'switchhook_calls_total{channel="campaign",reason="normal",result="completed",trunk="carrier"}'
    assert f"{series} 1.0" in metrics


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("486 Busy Here", ("callee", "busy", "customer")),
        ("603 Decline", ("callee", "declined", "customer")),
        ("404 Not Found", ("carrier", "bad-number", "customer")),
        ("503 Service Unavailable", ("carrier", "unavailable", "customer")),
        ("302 Moved Temporarily", ("callee", "unavailable", "customer")),
    ],
)
async def test_a_customer_who_is_not_reached(
    gateway: GatewayProcess, operator: Operator, bot: BotServer, called: Callee,
    status: str, expected: tuple[str, str, str],
):  # fmt: skip
    call = await placed(operator, **TO_BOT)
    await called.is_called()
    await called.refuses(status)
    cdr = await cdr_of(gateway, operator, call["id"])
    assert ends(cdr) == expected and cdr["sipStatus"] == int(status[:3]) and cdr["answeredAt"] is None
    assert bot.events == []


async def test_a_customer_who_does_not_answer(
    gateway: GatewayProcess, operator: Operator, bot: BotServer, called: Callee
):
    call = await placed(operator, **TO_BOT, timeout=1)
    await called.is_called()
    called.rings()
    cancel = await called.is_cancelled(5)
    assert (cancel.header("Reason") or "").startswith("Q.850;cause=19")
    cdr = await cdr_of(gateway, operator, call["id"])
    assert ends(cdr) == ("callee", "no-answer", "gateway") and bot.events == []


async def test_a_call_that_is_taken_back(gateway: GatewayProcess, operator: Operator, bot: BotServer, called: Callee):
    call = await placed(operator, **TO_BOT)
    await called.is_called()
    called.rings()
    await gateway.wait_for("leg.ringing")
    assert (await operator.asks("POST", f"/v1/calls/{call['id']}/replies", {"replies": [{"type": "answer"}]}))[0] == 409
    assert (await operator.asks("DELETE", f"/v1/calls/{call['id']}"))[0] == 202
    await called.is_cancelled(5)
    assert ends(await cdr_of(gateway, operator, call["id"])) == ("caller", "cancelled", "gateway")
    assert bot.events == []


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({**TO_BOT, "to": "+16129005555"}, 403, "blocked", "to: "),
        ({**TO_BOT, "to": "+4930123456"}, 403, "blocked", "to: "),
        ({**TO_BOT, "to": "hello"}, 422, "invalid", "to: is not a phone number"),
        ({**TO_BOT, "channel": "sales"}, 422, "invalid", "channel: there is no such channel"),
        ({**TO_BOT, "trunk": "acme"}, 422, "invalid", "trunk: there is no trunk"),
        ({**TO_BOT, "trunk": "experts"}, 422, "invalid", "callerId: trunk"),
        ({**FOR_ANN, "agent": "eve"}, 422, "invalid", "agent: there is no agent"),
        ({"to": CUSTOMER, "agent": "ann"}, 422, "invalid", "trunk: is missing"),
        ({**TO_BOT, "record": True}, 422, "invalid", "record: recording is not available yet"),
        ({**TO_BOT, "sipUri": "sip:x@192.0.2.1"}, 422, "invalid", "call: give exactly one of to, sipUri and contact"),
    ],
)
async def test_what_cannot_be_dialled_is_said_at_once(
    gateway: GatewayProcess, operator: Operator, body: dict[str, Any], status: int, code: str, words: str
):
    answer = await operator.asks("POST", "/v1/calls", body)
    assert (answer[0], answer[1]["code"]) == (status, code), answer
    assert answer[1]["detail"].startswith(words), answer[1]["detail"]
    assert (await operator.asks("GET", "/v1/calls"))[1]["items"] == []
    assert (await operator.trunk("carrier"))["calls"] == 0 and gateway.events("call.started") == []


async def test_the_channels_of_a_trunk_are_never_more_than_it_has(
    gateway: GatewayProcess, operator: Operator, bot: BotServer, called: Callee
):
    calls = [await placed(operator, **TO_BOT) for _ in range(2)]
    assert (await operator.trunk("carrier"))["calls"] == 2
    status, told = await operator.asks("POST", "/v1/calls", TO_BOT)
    assert (status, told["code"]) == (503, "over-limit")
    await called.is_called(2)
    for call in calls:
        await operator.asks("DELETE", f"/v1/calls/{call['id']}")
    for call in calls:
        await gateway.wait_for("call.ended", call_id=call["id"])
    assert (await operator.trunk("carrier"))["calls"] == 0


async def test_the_bot_transfers_a_customer_whom_we_called(
    gateway: GatewayProcess, operator: Operator, bot: BotServer, called: Callee
):
    """Whose number is whose: ours is the one that we showed, the customer's the one that we called."""
    switch = {"type": "switch", "phoneNumber": EXPERT, "trunk": "experts"}
    bot.on("start", replies({**switch, "callerId": "customer", "continueCall": True}))
    bot.on("transfer", replies(switch), nothing())
    async with Callee(EXPERTS, EXPERT_PORT) as expert:
        call = await placed(operator, **TO_BOT)
        await called.is_called()
        await called.answers()
        first = await expert.is_called()
        assert f"<sip:{CUSTOMER}@" in (first.header("From") or "")
        assert f"<sip:{OURS}@" in (first.header("Diversion") or "")
        await expert.refuses("486 Busy Here")
        second = await expert.is_called(2)
        assert f"<sip:{OURS}@" in (second.header("From") or "")
        await expert.answers()
        sing(customer=called, agent=expert)
        await gateway.wait_for("transfer.bridged")
        assert await matrix(customer=called, agent=expert) == {"customer": {"agent"}, "agent": {"customer"}}
        await called.hangs_up()
        await expert.is_hung_up()
        assert ends(await cdr_of(gateway, operator, call["id"])) == ("completed", "normal", "customer")


# ── For an agent ────────────────────────────────────────────────────────────────────────────────────


async def both_talk(gateway: GatewayProcess, operator: Operator, ann: Callee, called: Callee) -> str:
    """Ann was called, then the customer; the id of the call."""
    call = await placed(operator, **FOR_ANN)
    assert [(leg["role"], leg["state"]) for leg in call["legs"]] == [("customer", "planned"), ("agent", "dialling")]
    await ann.is_called()
    ann.rings()
    await ann.answers()
    await called.is_called()
    await called.answers()
    sing(customer=called, agent=ann)
    await gateway.wait_for("transfer.bridged", call_id=call["id"])
    return str(call["id"])


async def test_agent_first_then_the_customer(gateway: GatewayProcess, operator: Operator, ann: Callee, called: Callee):
    call = await placed(operator, **FOR_ANN, headers={"X-Why": "callback"}, data={"ticket": "A1"})
    invite = await ann.is_called()
    assert f"<sip:{CUSTOMER}@" in (invite.header("From") or ""), "she sees whom she is about to talk to"
    assert not invite.headers("Diversion") and not invite.headers("X-Why")
    ann.rings()
    await gateway.wait_for("transfer.ringing")
    assert called.invites == [], "nobody is called before she is there"
    await ann.answers()
    theirs = await called.is_called()
    assert f"<sip:{OURS}@" in (theirs.header("From") or "") and theirs.header("X-Why") == "callback"
    assert await hears_ringback(ann)
    called.rings()
    assert await hears_ringback(ann)
    sing(customer=called)
    called.rings(183, media=True)
    await gateway.wait_for("leg.ringing", media=True)
    assert await matrix(agent=ann) == {"agent": {"customer"}}, "the early media of the customer's side"
    _, shown = await operator.asks("GET", f"/v1/calls/{call['id']}")
    assert (shown["state"], shown["allowed"]) == ("offered", ["hangup"])
    await called.answers()
    sing(customer=called, agent=ann)
    await gateway.wait_for("transfer.bridged")
    assert await matrix(customer=called, agent=ann) == {"customer": {"agent"}, "agent": {"customer"}}
    _, shown = await operator.asks("GET", f"/v1/calls/{call['id']}")
    assert (shown["state"], shown["allowed"]) == ("talking", TALKING)
    await ann.ear.presses("5")
    assert await called.ear.hears_keys(1) == "5"
    await ann.hangs_up()
    await called.is_hung_up()
    cdr = await cdr_of(gateway, operator, call["id"])
    assert ends(cdr) == ("completed", "normal", "agent") and cdr["data"] == {"ticket": "A1"}
    assert (cdr["channel"], cdr["from"], cdr["to"]) == ("agent", OURS, CUSTOMER)
    assert [leg["role"] for leg in cdr["legs"]] == ["customer", "agent"]
    (transfer,) = cdr["transfers"]
    assert (transfer["status"], transfer["number"], transfer["endedBy"]) == ("SUCCESS", "ann", "agent")


async def test_the_customer_hangs_up_first(gateway: GatewayProcess, operator: Operator, ann: Callee, called: Callee):
    call_id = await both_talk(gateway, operator, ann, called)
    await called.hangs_up()
    await ann.is_hung_up(2)
    assert ends(await cdr_of(gateway, operator, call_id)) == ("completed", "normal", "customer")


async def test_the_agent_consults_and_forwards(
    gateway: GatewayProcess, operator: Operator, ann: Callee, called: Callee
):
    async with Callee(EXPERTS, EXPERT_PORT) as expert:
        call_id = await both_talk(gateway, operator, ann, called)
        status, told = await operator.asks("POST", f"/v1/calls/{call_id}/consult", {"agent": "bob"})
        assert (status, told.get("consultState")) == (202, "dialling"), told
        await expert.is_called()
        await expert.answers()
        sing(consultant=expert)
        await gateway.wait_for("consult.answered")
        assert await matrix(customer=called, agent=ann) == {"customer": {"music"}, "agent": {"consultant"}}
        assert (await operator.asks("POST", f"/v1/calls/{call_id}/forward"))[0] == 202
        await ann.is_hung_up(2)
        assert await matrix(customer=called, consultant=expert) == {
            "customer": {"consultant"},
            "consultant": {"customer"},
        }
        await expert.hangs_up()
        await called.is_hung_up(2)
        cdr = await cdr_of(gateway, operator, call_id)
        assert ends(cdr) == ("completed", "normal", "agent")
        assert [hop["kind"] for hop in cdr["transfers"][0]["hops"]] == ["forward"]


async def test_the_agents_phone_passes_the_customer_on(
    gateway: GatewayProcess, operator: Operator, ann: Callee, called: Callee
):
    """REFER, as after any transfer."""
    async with Callee(EXPERTS, EXPERT_PORT) as expert:
        call_id = await both_talk(gateway, operator, ann, called)
        await ann.refers(f"<sip:bob@{EXPERTS}:{EXPERT_PORT}>")
        await expert.is_called()
        await expert.answers()
        await ann.is_hung_up(5)
        sing(customer=called, consultant=expert)
        assert await matrix(customer=called, consultant=expert) == {
            "customer": {"consultant"},
            "consultant": {"customer"},
        }
        await called.hangs_up()
        await expert.is_hung_up(2)
        assert ends(await cdr_of(gateway, operator, call_id)) == ("completed", "normal", "customer")


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        ("486 Busy Here", "busy", ("callee", "busy", "customer")),
        ("404 Not Found", "invalid-number", ("carrier", "bad-number", "customer")),
    ],
)
async def test_a_customer_who_is_busy_releases_the_agent(
    gateway: GatewayProcess, operator: Operator, ann: Callee, called: Callee,
    status: str, reason: str, expected: tuple[str, str, str],
):  # fmt: skip
    call = await placed(operator, **FOR_ANN)
    await ann.is_called()
    await ann.answers()
    await called.is_called()
    await called.refuses(status)
    await ann.is_hung_up(2)
    cdr = await cdr_of(gateway, operator, call["id"])
    assert ends(cdr) == expected and cdr["answeredAt"] is None
    (transfer,) = cdr["transfers"]
    assert (transfer["status"], transfer["reason"], transfer["sipStatus"]) == ("FAIL", reason, int(status[:3]))


async def test_an_agent_who_is_busy(gateway: GatewayProcess, operator: Operator, ann: Callee, called: Callee):
    call = await placed(operator, **FOR_ANN)
    await ann.is_called()
    await ann.refuses("486 Busy Here")
    cdr = await cdr_of(gateway, operator, call["id"])
    assert ends(cdr) == ("callee", "busy", "agent") and called.invites == []


async def test_an_agent_who_hangs_up_while_the_customers_phone_rings(
    gateway: GatewayProcess, operator: Operator, ann: Callee, called: Callee
):
    call = await placed(operator, **FOR_ANN)
    await ann.is_called()
    await ann.answers()
    await called.is_called()
    called.rings()
    await ann.hangs_up()
    await called.is_cancelled(2)
    cdr = await cdr_of(gateway, operator, call["id"])
    assert ends(cdr) == ("caller", "cancelled", "agent")
    assert cdr["transfers"][0]["reason"] == "caller-abandoned"


async def test_the_customers_200_crosses_the_agents_bye(
    gateway: GatewayProcess, operator: Operator, ann: Callee, called: Callee
):
    """Nobody is left, whichever comes first."""
    call = await placed(operator, **FOR_ANN)
    await ann.is_called()
    await ann.answers()
    await called.is_called()
    called.ignores.add("CANCEL")
    called.rings()
    await asyncio.gather(ann.hangs_up(), called.answers())
    await called.is_hung_up(5)
    cdr = await cdr_of(gateway, operator, call["id"])
    assert cdr["endedBy"] == "agent" and cdr["cause"]["reason"] in ("cancelled", "normal")


# ── A node that dies ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("talking", [False, True])
async def test_what_a_crash_cut_off_is_ended_at_the_next_start(tmp_path: Path, talking: bool):
    async with Callee(PEOPLE, PEOPLE_PORT) as ann, Callee(CARRIER, PORT) as called:
        node = GatewayProcess(PLAN, tmp_path)
        await node.start()
        operator = await operator_of(node, tmp_path)
        if talking:
            call_id = await both_talk(node, operator, ann, called)
        else:
            call_id = (await placed(operator, **TO_BOT))["id"]
            await called.is_called()
        await journaled(operator, call_id, "transfer.bridged" if talking else "call.started")
        await node.kill()
        async with GatewayProcess(PLAN, tmp_path) as again:
            cdr = await cdr_of_crashed(Operator(again, operator.key), call_id)
            assert ends(cdr) == ("gateway", "crashed", "gateway") and cdr["direction"] == "outbound"
            assert (cdr["from"], cdr["to"]) == (OURS, CUSTOMER)
            assert [one["status"] for one in cdr["transfers"]] == (["SUCCESS"] if talking else [])


async def journaled(operator: Operator, call_id: str, type_: str) -> None:
    """Wait until this is on disk."""
    async with asyncio.timeout(5):
        while (await operator.asks("GET", f"/v1/calls/{call_id}/events?types={type_}"))[1]["items"] == []:
            await asyncio.sleep(0.02)


async def cdr_of_crashed(operator: Operator, call_id: str) -> dict[str, Any]:
    """The record that the new start wrote."""
    async with asyncio.timeout(5):
        while not (cdrs := await operator.cdrs()):
            await asyncio.sleep(0.05)
    (cdr,) = cdrs
    assert cdr["callId"] == call_id
    return cdr
