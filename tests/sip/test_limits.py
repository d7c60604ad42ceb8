"""More calls than there may be: trunks at their limits, a node that is full or overloaded, a reload that makes room."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest_asyncio

from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.wire import Wire

ACME, BRISK, OTHER = "127.0.0.2", "127.0.0.3", "127.0.0.4"
PLAN = """
trunks:
  acme: {host: 127.0.0.2, limits: {channels: 2}}
  brisk: {host: 127.0.0.3, limits: {cps: 0.5}}
  other: {host: 127.0.0.4}
channels: {echo: {bot: {type: builtin, name: echo}}}
routes: [{to: "100", channel: echo}]
"""


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    async with GatewayProcess(PLAN, tmp_path, {"limits.calls": "4"}) as process:
        yield process


@pytest_asyncio.fixture
async def callers(gateway: GatewayProcess) -> AsyncIterator["Callers"]:
    async with AsyncExitStack() as stack:
        yield Callers(gateway, stack)


class Callers:
    """As many as are wanted; those who are still on the line at the end hang up."""

    def __init__(self, gateway: GatewayProcess, stack: AsyncExitStack) -> None:
        self._gateway, self._stack = gateway, stack

    async def call(self, address: str) -> Caller:
        """Somebody on this trunk is answered."""
        caller = await self._stack.enter_async_context(Caller(self._gateway, address))
        await caller.calls("100")
        return caller

    async def are_refused(self, address: str) -> Wire:
        """Somebody on this trunk is not."""
        caller = await self._stack.enter_async_context(Caller(self._gateway, address))
        caller.invites("100")
        refusal = await caller.is_told_finally()
        assert refusal.status == 503
        return refusal


async def metric(gateway: GatewayProcess, name: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.api}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.split()[0] == name)


async def test_a_trunk_takes_as_many_calls_as_it_has_channels(gateway: GatewayProcess, callers: Callers) -> None:
    first, _ = await callers.call(ACME), await callers.call(ACME)
    refusal = await callers.are_refused(ACME)
    assert refusal.header("Retry-After") is None
    assert (refusal.header("Reason") or "").startswith("Q.850;cause=42;")
    told = await gateway.wait_for("call.refused", trunk="acme", status=503)
    assert told["why"] == "trunk acme has reached limits.channels: 2 calls at a time"

    await callers.call(OTHER)
    await first.hangs_up()
    await first.end()
    await callers.call(ACME)
    await callers.are_refused(ACME)
    assert await gateway.ready() == 200, "one trunk is full, not the node"


async def test_a_trunk_takes_so_many_new_calls_in_a_second(gateway: GatewayProcess, callers: Callers) -> None:
    async with AsyncExitStack() as stack:
        burst = [await stack.enter_async_context(Caller(gateway, BRISK)) for _ in range(3)]
        for caller in burst:
            caller.invites("404")  # one that is routed nowhere is a new call too
        statuses = [(await caller.is_told_finally()).status for caller in burst]
    assert statuses == [404, 503, 503]
    told = await gateway.wait_for("call.refused", status=503)
    assert told["why"] == "trunk brisk has reached limits.cps: 0.5 new calls per second"
    await callers.call(OTHER)
    await asyncio.sleep(2.0)
    await callers.call(BRISK)


async def test_a_reload_makes_room_and_live_calls_are_counted_on(
    gateway: GatewayProcess, callers: Callers, tmp_path: Path
) -> None:
    await callers.call(ACME)
    await callers.call(ACME)
    await callers.are_refused(ACME)
    (tmp_path / "plan.yaml").write_text(PLAN.replace("channels: 2", "channels: 3"))
    gateway.terminate(signal.SIGHUP)
    await gateway.wait_for("dialplan.reloaded")
    await callers.call(ACME)
    await callers.are_refused(ACME)


async def test_a_full_node_says_when_to_come_back_and_is_not_ready(gateway: GatewayProcess, callers: Callers) -> None:
    first, *_ = [await callers.call(OTHER) for _ in range(4)]
    assert await gateway.ready() == 503
    refusal = await callers.are_refused(ACME)
    assert refusal.header("Retry-After") == "30"
    await first.hangs_up()
    await first.end()
    assert await gateway.ready() == 200
    await callers.call(ACME)


async def test_a_node_takes_so_many_new_calls_in_a_second(tmp_path: Path) -> None:
    async with GatewayProcess(PLAN, tmp_path, {"limits.cps": "1"}) as gateway, AsyncExitStack() as stack:
        burst = [await stack.enter_async_context(Caller(gateway, OTHER)) for _ in range(14)]
        for caller in burst:
            caller.invites("404")
        answers = [await caller.is_told_finally() for caller in burst]
        assert [answer.status for answer in answers[:10]] == [404] * 10, "ten at once are a group, not a flood"
        refused = [answer for answer in answers if answer.status == 503]
        assert refused and all(answer.header("Retry-After") for answer in refused)


async def test_an_overloaded_node_turns_calls_away_until_it_has_recovered(tmp_path: Path) -> None:
    """Its event loop is made late by stopping the process, longer than any noise of the machine may be."""
    async with GatewayProcess(PLAN, tmp_path, {"limits.lag_ms": "400"}) as gateway, AsyncExitStack() as stack:
        callers = Callers(gateway, stack)
        live = await callers.call(OTHER)
        for _ in range(2):
            assert await gateway.ready() == 200
            gateway.terminate(signal.SIGSTOP)
            await asyncio.sleep(0.8)
            gateway.terminate(signal.SIGCONT)
            await asyncio.sleep(0.2)
        told = await gateway.wait_for("gateway.overloaded", times=1)
        assert told["event_loop_ms"] > 400
        assert await gateway.ready() == 503
        assert (
            await metric(gateway, "switchhook_overloaded") == await metric(gateway, "switchhook_overloads_total") == 1
        )
        refusal = await callers.are_refused(ACME)
        assert 5 <= int(refusal.header("Retry-After") or 0) <= 15

        await gateway.wait_for("gateway.recovered", timeout_s=60)
        assert await gateway.ready() == 200
        await callers.call(ACME)
        assert not gateway.events("call.ended"), "the live call has stayed"
        await live.hangs_up()
