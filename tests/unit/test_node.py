"""The running node as the API sees it."""

from gateway.node import Node
from tests.leaks import no_leaks
from tests.unit.engine.test_engine import Desk


async def test_trunks_say_how_many_calls_they_carry_and_may_carry():
    async with no_leaks():
        desk = Desk()
        await desk.engine.start()
        await desk.calls("500", "small")
        node = Node(desk.engine, lambda: desk.engine.running.plan, lambda plan: None)
        assert [(trunk.name, trunk.calls, trunk.max_calls) for trunk in node.trunks()] == [
            ("acme", 0, None),
            ("small", 1, 2),
        ]
        await desk.engine.stop()
