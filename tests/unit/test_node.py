"""The running node as the API sees it."""

import asyncio
from collections.abc import Mapping

from gateway.dialplan.schema import Dialplan
from gateway.engine.trunks import TrunkHealth
from gateway.node import Node
from tests.leaks import no_leaks
from tests.unit.engine.test_engine import Desk


class NoTrunks:
    """Nobody looks after any trunk."""

    def health(self) -> Mapping[str, TrunkHealth]:
        return {}


async def _nothing(plan: Dialplan) -> None:
    """No plan is run."""


async def test_trunks_say_how_many_calls_they_carry_and_may_carry():
    async with no_leaks():
        desk = Desk()
        await desk.engine.start()
        await desk.calls("500", "small")
        node = Node(desk.engine, NoTrunks(), lambda: desk.engine.running.plan, _nothing)
        assert [(trunk.name, trunk.calls, trunk.max_calls) for trunk in node.trunks()] == [
            ("acme", 0, None),
            ("small", 1, 2),
        ]
        await desk.engine.stop()


async def test_reloads_that_cross_come_one_after_the_other():
    async with no_leaks():
        desk, steps = Desk(), []
        plan = desk.engine.running.plan

        def load() -> Dialplan:
            steps.append("read")
            return plan

        async def run(plan: Dialplan) -> None:
            await asyncio.sleep(0)
            steps.append("run")

        node = Node(desk.engine, NoTrunks(), load, run)
        await asyncio.gather(node.reload(), node.reload())
        assert steps == ["read", "run", "read", "run"]
