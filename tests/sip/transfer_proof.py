"""What is left of transfers: in the gateway, in its journal, at the far ends; for tests/sip."""

import asyncio
import os
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.callee import Callee
from tests.gateway_process import GatewayProcess
from tests.operators import Operator, operator_of


class Held(NamedTuple):
    """What the gateway holds besides what /healthz says (GatewayProcess.held)."""

    threads: int
    sockets: int
    live: int
    on_trunks: dict[str, int]


class Proof:
    """`async with Proof(gateway):` at its end the gateway must hold what it held before, and have broken nowhere.

    It asks one thing at a time: the gateway keeps the connections to its database that many at once make it open.
    """

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway, self._one_at_a_time = gateway, asyncio.Lock()

    async def __aenter__(self) -> Self:
        self.operator: Operator = await operator_of(self._gateway, self._gateway.folder)
        self._before = await self._held()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        await self._gateway.all_given_back(within_s=10.0)
        deadline = asyncio.get_running_loop().time() + 5.0
        while (now := await self._held()) != self._before:
            assert asyncio.get_running_loop().time() < deadline, f"{now} is held, before it was {self._before}"
            await asyncio.sleep(0.1)
        self._gateway.check()

    async def _held(self) -> Held:
        folder = Path("/proc") / str(self._gateway.pid)
        _, trunks = await self._asks("/v1/trunks")
        _, calls = await self._asks("/v1/calls")
        return Held(
            len(os.listdir(folder / "task")),
            sum(_is_socket(folder / "fd" / name) for name in os.listdir(folder / "fd")),
            len(calls["items"]),
            {trunk["name"]: trunk["calls"] for trunk in trunks["items"]},
        )

    async def _asks(self, path: str) -> tuple[int, Any]:
        async with self._one_at_a_time:
            return await self.operator.asks("GET", path)

    # ── the journal ─────────────────────────────────────────────────────────────────────────────────

    async def history(self, call_id: str, number: str) -> list[dict[str, Any]]:
        """All events of a call to this number, once it is over: one end of the call, one of each transfer, and the same
        in the CDR; one `transfer` for the bot of each."""
        events = await self._until_ended(call_id)
        types = [event["type"] for event in events]
        assert (types.count("call.ended"), types[-1]) == (1, "call.ended"), types
        ends = [event["data"] for event in events if event["type"] == "transfer.ended"]
        assert types.count("transfer.started") == len(ends), types
        asked = [event["data"] for event in events if event["type"] == "bot.asked" and not event["data"]["again"]]
        assert [one["event"] for one in asked].count("transfer") == len(ends), asked
        cdr = await self._record(call_id, number)
        assert cdr["transfers"] == ends
        assert [leg for leg in cdr["legs"] if leg["leftAt"] is None] == []
        return events

    async def _until_ended(self, call_id: str) -> list[dict[str, Any]]:
        async with asyncio.timeout(10):
            while True:
                _, told = await self._asks(f"/v1/calls/{call_id}/events?limit=500")
                if told["items"] and told["items"][-1]["type"] == "call.ended":
                    return list(told["items"])
                await asyncio.sleep(0.1)

    async def _record(self, call_id: str, number: str) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while True:
                _, told = await self._asks(f"/v1/cdrs?to={number}")
                for cdr in told["items"]:
                    if cdr["callId"] == call_id:
                        return dict(cdr)
                await asyncio.sleep(0.1)


def _is_socket(descriptor: Path) -> bool:
    try:
        return os.readlink(descriptor).startswith("socket:")
    except FileNotFoundError:  # it was closed meanwhile
        return False


def is_released(agent: Callee) -> None:
    """Nobody is left ringing, nobody in a call without a BYE; CANCEL and BYE say why (RFC 3326)."""
    ours = [message for message in agent.messages if message.sent]
    theirs = [message for message in agent.messages if not message.sent]
    for invite in agent.invites:
        answered = any(m.status == 200 and m.method == "INVITE" for m in ours)
        refused = any(m.status >= 300 and m.method == "INVITE" for m in ours)
        heard_of = any(m.status >= 100 for m in ours)
        said_bye = any(m.start.startswith("BYE ") for m in ours)
        last = [m for m in theirs if m.start.startswith(("BYE ", "CANCEL "))]
        assert refused or said_bye or last or not heard_of, invite.start  # RFC 3261 §9.1: no CANCEL to who said nothing
        assert not answered or said_bye or last[-1].method == "BYE", invite.start
        assert all(m.header("Reason") for m in last), [m.text for m in last]
