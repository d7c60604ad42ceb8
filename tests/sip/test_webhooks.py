"""Status webhooks of a real gateway with a real receiver: what it gets, when it is down, slow, gone, and kill -9."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.bot_server import raw, silent, status
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.operators import Operator, operator_of
from tests.status_receiver import SECRET, StatusServer

ENV = {"STATUS_SECRET": SECRET}
PLAN = """
trunks: {carrier: {host: 127.0.0.2, allow: [127.0.0.2/32]}}
channels:
  echo: {bot: {type: builtin, name: echo}}
  other: {bot: {type: builtin, name: echo}}
routes:
  - {to: "100", channel: echo}
  - {to: "300", channel: other}
webhooks:
"""


def hook(receiver: StatusServer, more: str = "") -> str:
    return f'  - {{url: "{receiver.url}", secret: {{env: STATUS_SECRET}}{more}}}\n'


@asynccontextmanager
async def running(folder: Path, *hooks: str, key: str = "") -> AsyncIterator[tuple[GatewayProcess, Operator]]:
    """`key`: of the operator of an earlier run."""
    async with GatewayProcess(PLAN + "".join(hooks), folder, {}, ENV) as gateway:
        yield gateway, Operator(gateway, key) if key else await operator_of(gateway, folder)


async def one_call(gateway: GatewayProcess, to: str = "100") -> str:
    async with Caller(gateway) as customer:
        await customer.calls(to)
        await gateway.wait_for("bot.asked")
        await customer.hangs_up()
        return str((await customer.end())["call_id"])


async def the_journal(operator: Operator, *call_ids: str) -> list[dict[str, Any]]:
    """All events of these calls, as the API has them."""
    found: list[dict[str, Any]] = []
    for call_id in call_ids:
        _, told = await operator.asks("GET", f"/v1/calls/{call_id}/events?limit=500")
        found += told["items"]
    return sorted(found, key=lambda event: int(event["seq"]))


async def webhook(operator: Operator) -> dict[str, Any]:
    status_, told = await operator.asks("GET", "/v1/webhooks")
    assert status_ == 200
    (item,) = told["items"]
    return dict(item)


async def webhook_when(operator: Operator, **fields: object) -> dict[str, Any]:
    """As soon as it is so."""
    async with asyncio.timeout(10):
        while not fields.items() <= (item := await webhook(operator)).items():
            await asyncio.sleep(0.05)
    return item


def ended(receiver: StatusServer, call_id: str) -> bool:
    return any(event["type"] == "call.ended" and event["callId"] == call_id for event in receiver.taken)


async def test_a_receiver_gets_what_the_stream_says(tmp_path: Path) -> None:
    async with StatusServer() as receiver, running(tmp_path, hook(receiver)) as (gateway, operator):
        streamed: list[dict[str, Any]] = []
        async with (
            aiohttp.ClientSession(headers=operator.headers) as session,
            session.get(f"{gateway.api}/v1/events") as stream,
        ):
            call_id = await one_call(gateway)
            async with asyncio.timeout(10):
                while not (streamed and streamed[-1]["type"] == "call.ended"):
                    line = await stream.content.readline()
                    if line.startswith(b"data: "):
                        streamed.append(json.loads(line[6:]))
        await receiver.until(lambda: ended(receiver, call_id))
        assert receiver.taken == streamed  # in order, field by field, each once
        assert len(set(receiver.ids)) == len(receiver.ids)
        item = await webhook_when(operator, pending=0)
        assert (item["state"], item["delivered"], item["lagMs"]) == ("delivering", len(streamed), 0)
        async with aiohttp.ClientSession() as session, session.get(f"{gateway.api}/metrics") as answer:
            metrics = await answer.text()
        assert f'switchhook_webhook_deliveries_total{{outcome="delivered"}} {len(streamed)}.0' in metrics
        assert "switchhook_webhook_lag_seconds 0.0" in metrics


async def test_each_gets_what_it_asks_for(tmp_path: Path) -> None:
    async with StatusServer() as ends, StatusServer() as other:
        hooks = hook(ends, ", events: [call.ended]"), hook(other, ', events: ["call.*"], channels: [other]')
        async with running(tmp_path, *hooks) as (gateway, _):
            first = await one_call(gateway, "100")
            second = await one_call(gateway, "300")
            await ends.until(lambda: len(ends.taken) == 2)
            await other.until(lambda: ended(other, second))
    assert [(event["type"], event["callId"]) for event in ends.taken] == [
        ("call.ended", first),
        ("call.ended", second),
    ]
    assert other.types == ["call.started", "call.answered", "call.ended"]


async def test_a_receiver_that_was_down_gets_everything_when_it_is_up(tmp_path: Path) -> None:
    async with StatusServer() as receiver, running(tmp_path, hook(receiver)) as (gateway, operator):
        await receiver.leave()
        call_id = await one_call(gateway)
        item = await webhook_when(operator, state="failing", delivered=0)
        assert "Connection refused" in item["lastError"] and item["lastErrorAt"] and item["lagMs"] > 0
        await receiver.listen()
        journal = await the_journal(operator, call_id)
        await receiver.until(lambda: len(receiver.taken) == len(journal))  # the first retries: after 5 s
        assert sorted(receiver.taken, key=lambda event: int(event["seq"])) == journal
        await webhook_when(operator, state="delivering", pending=0)


async def test_410_disables_it_over_a_restart_until_a_reload(tmp_path: Path) -> None:
    async with StatusServer() as receiver:
        receiver.answer = status(410)
        async with running(tmp_path, hook(receiver)) as (gateway, operator):
            first = await one_call(gateway)
            await webhook_when(operator, state="disabled")
        came, receiver.answer = len(receiver.came), status(204)
        async with running(tmp_path, hook(receiver), key=operator.key) as (gateway, operator):
            second = await one_call(gateway)
            item = await webhook(operator)
            assert (item["state"], item["delivered"], item["lastError"]) == ("disabled", 0, "it answered 410")
            assert len(receiver.came) == came
            assert (await operator.asks("POST", "/v1/dialplan/reload"))[0] == 200
            journal = await the_journal(operator, first, second)
            await receiver.until(lambda: len(receiver.taken) == len(journal))
            assert sorted(receiver.taken, key=lambda event: int(event["seq"])) == journal


async def test_retry_after_is_honoured(tmp_path: Path) -> None:
    async with StatusServer() as receiver, running(tmp_path, hook(receiver, ", events: [call.ended]")) as (gateway, _):
        receiver.answer = raw(b"", status=503, Retry_After="8")  # longer than the 5 s of the schedule
        first = await one_call(gateway)
        await receiver.until(lambda: receiver.came)
        asked = time.monotonic()
        receiver.answer = status(204)
        second = await one_call(gateway)  # not even this is sent before
        await receiver.until(lambda: len(receiver.came) > 1)
        assert time.monotonic() - asked >= 7.9
        await receiver.until(lambda: ended(receiver, first) and ended(receiver, second))


async def test_one_that_never_answers_harms_no_call(tmp_path: Path) -> None:
    async with (
        StatusServer() as receiver,
        StatusServer() as well,
        running(tmp_path, hook(receiver), hook(well)) as (gateway, operator),
    ):
        receiver.answer = silent()
        for number in range(10):
            async with Caller(gateway) as customer:
                began = time.monotonic()
                await customer.calls("100")
                assert time.monotonic() - began < 5
                await customer.ear.hears_something()
                await customer.hangs_up()
                call_id = (await customer.end())["call_id"]
            await well.until(lambda call_id=call_id: ended(well, call_id))
            assert len(receiver.came) <= 8, number
        _, told = await operator.asks("GET", "/v1/webhooks")
        assert told["items"][0]["pending"] > 0 and told["items"][1]["pending"] == 0


async def test_kill_9_loses_nothing(tmp_path: Path) -> None:
    async with StatusServer() as receiver:
        first = GatewayProcess(PLAN + hook(receiver), tmp_path, {}, ENV)
        await first.start()
        over = await one_call(first)
        await receiver.until(lambda: ended(receiver, over))
        await receiver.leave()
        unheard = await one_call(first)  # its events wait for a retry, or for their turn
        operator = await operator_of(first, tmp_path)
        await webhook_when(operator, state="failing")
        async with Caller(first) as customer:
            await customer.calls("100")
            open_call = (await operator.call())["id"]
            customer._live = False  # nobody will answer a BYE any more
            await first.kill()
        await receiver.listen()
        async with running(tmp_path, hook(receiver), key=operator.key) as (_, operator):
            journal = await the_journal(operator, over, unheard, open_call)
            seqs = {event["seq"] for event in journal}
            await receiver.until(lambda: {event["seq"] for event in receiver.taken} == seqs, 30)
            (crashed,) = [event for event in receiver.taken if event["data"].get("cause", {}).get("reason") == "crashed"
                          and event["type"] == "call.ended"]  # fmt: skip
            assert crashed["callId"] == open_call
            by_seq = {event["seq"]: event for event in receiver.taken}
            assert [by_seq[event["seq"]] for event in journal] == journal
            assert len(set(receiver.ids)) == len(journal)  # what came twice came with the same id
            await webhook_when(operator, pending=0)


async def test_the_end_of_the_last_call_goes_out_before_the_gateway_does(tmp_path: Path) -> None:
    async with StatusServer() as receiver:
        async with running(tmp_path, hook(receiver)) as (gateway, _):
            call_id = await one_call(gateway)
        assert ended(receiver, call_id)
