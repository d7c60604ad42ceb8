"""What a call leaves behind, and what steers it from outside: journal, CDRs, API, metrics, reload, kill -9; each test
has a gateway of its own."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.operators import Operator, operator_of, switchhook

PLAN = """
trunks: {carrier: {host: 127.0.0.2, allow: [127.0.0.2/32]}}
channels:
  echo: {bot: {type: builtin, name: echo}}
  ringing: {bot: {type: builtin, name: echo}, answer: {after_ms: 20000}}
  other: {bot: {type: builtin, name: echo}}
routes:
  - {to: "100", channel: echo}
  - {to: "200", channel: ringing}
  - {to: "300", channel: other}
"""


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    async with GatewayProcess(PLAN, tmp_path) as process:
        yield process


@pytest_asyncio.fixture
async def operator(gateway: GatewayProcess, tmp_path: Path) -> Operator:
    return await operator_of(gateway, tmp_path)


async def test_a_call_is_seen_while_it_is_up_and_leaves_one_record(
    gateway: GatewayProcess, operator: Operator, tmp_path: Path
) -> None:
    async with Caller(gateway) as customer:
        await customer.calls("100")
        call = await operator.call()
        assert (call["state"], call["channel"], call["trunk"]) == ("bot", "echo", "carrier")
        assert call["hearing"] == [{"source": "bot", "sink": call["legs"][0]["legId"], "level": 1.0}]
        await customer.hangs_up()
        await customer.end()
    (cdr,) = await operator.cdrs()
    assert (cdr["callId"], cdr["endedBy"]) == (call["id"], "customer")
    assert cdr["cause"] == {"result": "completed", "reason": "normal"}
    assert call["id"] in await switchhook(tmp_path, "cdrs", "--json")


async def test_a_refused_call_leaves_a_record_too(gateway: GatewayProcess, operator: Operator) -> None:
    async with Caller(gateway) as customer:
        customer.invites("999")
        assert (await customer.is_told_finally()).status == 404
    async with asyncio.timeout(2):
        while not (cdrs := await operator.cdrs()):  # a refusal does not wait for the disk
            await asyncio.sleep(0.02)
    (cdr,) = cdrs
    assert (cdr["cause"]["reason"], cdr["sipStatus"]) == ("no-route", 404)


async def test_an_operator_pushes_replies_and_hangs_up(gateway: GatewayProcess, operator: Operator) -> None:
    async with Caller(gateway) as customer:
        await customer.calls("100")
        path = f"/v1/calls/{(await operator.call())['id']}"
        status, problem = await operator.asks("POST", f"{path}/replies", {"replies": [{"type": "txet"}]})
        assert status == 422 and problem["detail"].startswith("replies[0]")
        status, _ = await operator.asks(
            "POST", f"{path}/replies", {"replies": [{"type": "tag", "data": {"vip": True}}]}
        )
        assert status == 202
        await gateway.wait_for("call.tagged", timeout_s=15)  # after what the bot says
        status, _ = await operator.asks("DELETE", path)
        assert status == 202
        await customer.is_hung_up()
        await customer.end()
    (cdr,) = await operator.cdrs()
    assert cdr["data"] == {"vip": True}


async def test_a_key_of_one_channel_sees_nothing_of_another(gateway: GatewayProcess, tmp_path: Path) -> None:
    everybody, mine = await operator_of(gateway, tmp_path), await operator_of(gateway, tmp_path, "--channel", "other")
    async with Caller(gateway) as customer:
        await customer.calls("100")
        path = f"/v1/calls/{(await everybody.call())['id']}"
        assert (await mine.asks("GET", "/v1/calls"))[1]["items"] == []
        for method, where, body in (("GET", path, None), ("DELETE", path, None), ("POST", f"{path}/replies", {})):
            assert (await mine.asks(method, where, body))[0] == 404
        await customer.hangs_up()
        await customer.end()
    assert await mine.cdrs() == []


async def test_events_of_a_call_come_in_order_over_sse(gateway: GatewayProcess, operator: Operator) -> None:
    async with (
        aiohttp.ClientSession(headers=operator.headers) as session,
        session.get(f"{gateway.api}/v1/events?types=call.*") as stream,
        Caller(gateway) as customer,
    ):
        await customer.calls("100")
        await customer.hangs_up()
        seen: list[str] = []
        async with asyncio.timeout(10):
            async for line in stream.content:
                if line.startswith(b"event: "):
                    seen.append(line.decode().split()[1])
                if seen[-1:] == ["call.ended"] and line == b"\n":
                    break
    assert seen == ["call.started", "call.answered", "call.ended"]


async def test_metrics_count_the_call(gateway: GatewayProcess) -> None:
    async with Caller(gateway) as customer:
        await customer.calls("100")
        await customer.hangs_up()
        await customer.end()
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.api}/metrics") as answer:
        text = await answer.text()
    assert 'switchhook_calls_total{channel="echo",reason="normal",result="completed",trunk="carrier"} 1.0' in text
    assert "switchhook_calls_live 0.0" in text


@pytest.mark.parametrize("how", ["api", "sighup"])
async def test_a_reload_leaves_live_calls_alone_and_serves_new_ones(
    gateway: GatewayProcess, operator: Operator, tmp_path: Path, how: str
) -> None:
    plan = tmp_path / "plan.yaml"

    async def reloads() -> int:
        if how == "api":
            return (await operator.asks("POST", "/v1/dialplan/reload"))[0]
        before = len(gateway.events("dialplan.reloaded")) + len(gateway.events("dialplan.refused"))
        gateway.terminate(signal.SIGHUP)
        while len(gateway.events("dialplan.reloaded")) + len(gateway.events("dialplan.refused")) == before:
            await asyncio.sleep(0.05)
        return 200

    async with Caller(gateway) as customer, Caller(gateway) as second, Caller(gateway) as third:
        await customer.calls("100")
        plan.write_text(PLAN.replace('to: "100"', 'to: "777"'))
        assert await reloads() == 200
        second.invites("100")
        assert (await second.is_told_finally()).status == 404
        await third.calls("777")
        await customer.ear.presses("5")
        await customer.ear.hears_something()

        plan.write_text("routes: [{to: 1}]")
        status = await reloads()
        assert status == (422 if how == "api" else 200)
        if how == "sighup":
            assert "plan.yaml:1" in str(gateway.events("dialplan.refused")[0]["problems"])
        for caller in (third, customer):
            await caller.hangs_up()
            await caller.end()


async def test_a_stranger_becomes_known_by_a_reload(
    gateway: GatewayProcess, operator: Operator, tmp_path: Path
) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN.replace("127.0.0.2/32", "127.0.0.0/8"))
    assert (await operator.asks("POST", "/v1/dialplan/reload"))[0] == 200
    async with Caller(gateway, "127.0.0.9") as customer:
        await customer.calls("100")


@pytest.mark.parametrize("state", ["ringing", "talking", "ended"])
async def test_a_killed_gateway_leaves_one_end_and_one_record_of_every_call(tmp_path: Path, state: str) -> None:
    first = GatewayProcess(PLAN, tmp_path)
    await first.start()
    async with Caller(first) as customer:
        if state == "ringing":
            customer.invites("200")
            await customer.is_told(180)
        else:
            await customer.calls("100")
            await first.wait_for("bot.asked")  # the answer is on disk before the bot hears of it
        if state == "ended":
            await customer.hangs_up()
            await customer.end()
        customer._live = False  # nobody will answer a BYE any more
        first.terminate(signal.SIGKILL)
        await first.exit_code()
    async with GatewayProcess(PLAN, tmp_path) as second:
        operator = await operator_of(second, tmp_path)
        (cdr,) = await operator.cdrs()
        reason = "normal" if state == "ended" else "crashed"
        assert (cdr["cause"]["reason"], cdr["answeredAt"] is None) == (reason, state == "ringing")
        _, events = await operator.asks("GET", f"/v1/calls/{cdr['callId']}/events?limit=500")
        types = [event["type"] for event in events["items"]]
        assert types[0] == "call.started" and types[-1] == "call.ended" and types.count("call.ended") == 1


async def test_two_gateways_do_not_write_one_store(gateway: GatewayProcess, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve", "--log", "json", "--dialplans", str(tmp_path / "plan.yaml")),
        cwd=tmp_path,
        env=gateway._environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, complaints = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert "gateway.cannot_start" in complaints.decode() and "Traceback" not in complaints.decode()


@pytest.mark.parametrize("taken", ["sip.udp_port", "sip.tcp_port", "api.bind"])
async def test_an_address_that_is_taken_is_one_clear_error(gateway: GatewayProcess, tmp_path: Path, taken: str) -> None:
    address = {
        "sip.udp_port": str(gateway.udp_port),
        "sip.tcp_port": str(gateway.tcp_port),
        "api.bind": gateway.api.removeprefix("http://"),
    }[taken]
    folder = tmp_path / "second"
    folder.mkdir()
    second = GatewayProcess(PLAN, folder, {taken: address})
    with pytest.raises(AssertionError, match="no ready line"):
        await second.start()
    assert await second.exit_code() == 1
    (error,) = second.events("gateway.cannot_start")
    assert address.rpartition(":")[2] in error["detail"] and "set another port" in error["detail"]
    assert not second.noise, "no traceback"
