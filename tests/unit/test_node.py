"""The running node as the API sees it."""

from collections.abc import Mapping

from gateway.dialplan.schema import Dialplan
from gateway.engine.trunks import TrunkHealth
from gateway.node import Node
from tests.leaks import no_leaks
from tests.unit.engine.test_engine import Desk


class Unwatched:
    """Nobody looks after the trunks."""

    def health(self) -> Mapping[str, TrunkHealth]:
        return {}


async def nothing(plan: Dialplan) -> None:
    """Run a plan."""


async def test_trunks_say_how_many_calls_they_carry_and_may_carry():
    async with no_leaks():
        desk = Desk()
        await desk.engine.start()
        await desk.calls("500", "small")
        node = Node(desk.engine, Unwatched(), lambda: desk.engine.running.plan, nothing)
        assert [(trunk.name, trunk.calls, trunk.max_calls) for trunk in node.trunks()] == [
            ("acme", 0, None),
            ("small", 1, 2),
        ]
        await desk.engine.stop()
