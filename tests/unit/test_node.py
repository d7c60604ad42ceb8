"""The running node as the API sees it."""

import asyncio
from collections.abc import Mapping

import pytest

from gateway.api.control import NotNow
from gateway.calls.causes import NORMAL, EndedBy
from gateway.calls.orders import Consult, Swap
from gateway.calls.states import CallState, ConsultState
from gateway.calls.switch import Switch
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


def _never() -> None:
    """Nobody asks for the end."""


async def test_trunks_say_how_many_calls_they_carry_and_may_carry():
    async with no_leaks():
        desk = Desk()
        await desk.engine.start()
        await desk.calls("500", "small")
        node = Node(desk.engine, NoTrunks(), lambda: desk.engine.running.plan, _nothing, _never)
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

        node = Node(desk.engine, NoTrunks(), load, run, _never)
        await asyncio.gather(node.reload(), node.reload())
        assert steps == ["read", "run", "read", "run"]


async def test_the_call_shows_what_was_ordered_as_soon_as_it_was_taken():
    async with no_leaks():
        desk = Desk()
        await desk.engine.start()
        node = Node(desk.engine, NoTrunks(), lambda: desk.engine.running.plan, _nothing, _never)
        await desk.calls("500")
        (call,) = node.live_calls()
        ann, bob = (Switch.model_validate({"agent": name}) for name in ("ann", "bob"))
        with pytest.raises(NotNow):
            await node.order(call.id, Swap())
        with pytest.raises(NotNow):
            await node.cancel_transfer(call.id)
        await node.transfer(call.id, ann)
        assert (call.state, len(call.others)) == (CallState.TRANSFERRING, 1)
        desk.legs.picks_up(call.others[0].id)
        await desk.settles()
        asked = await asyncio.gather(*(node.order(call.id, Consult(bob)) for _ in range(2)), return_exceptions=True)
        assert [type(each) for each in asked] == [type(None), NotNow] and call.consult is ConsultState.DIALLING
        with pytest.raises(NotNow):
            await node.transfer(call.id, ann)
        await node.hang_up(call.id, NORMAL, EndedBy.GATEWAY)
        assert call.consult is ConsultState.NONE
        await desk.settles()
        with pytest.raises(NotNow):
            await node.order(call.id, Swap())
        await desk.engine.stop()


async def test_of_two_who_ask_the_same_agent_at_once_one_is_told_that_it_is_late():
    async with no_leaks():
        desk = Desk()
        await desk.engine.start()
        node = Node(desk.engine, NoTrunks(), lambda: desk.engine.running.plan, _nothing, _never)
        number, bob = Switch.model_validate({"sipUri": "sip:x@192.0.2.5"}), Switch.model_validate({"agent": "bob"})
        for _ in range(2):
            await desk.calls("500")
        calls = node.live_calls()
        for call in calls:
            await node.transfer(call.id, number)
            desk.legs.picks_up(call.others[0].id)
        await desk.settles()
        asked = await asyncio.gather(*(node.order(c.id, Consult(bob)) for c in calls), return_exceptions=True)
        (late,) = [each for each in asked if isinstance(each, NotNow)]
        assert (late.why, late.detail) == ("agent-busy", "agent: bob is on a call")
        assert sorted(call.consult for call in calls) == [ConsultState.DIALLING, ConsultState.NONE]
        await desk.engine.stop()


async def test_who_is_away_is_not_called_by_a_transfer():
    async with no_leaks():
        desk = Desk()
        await desk.engine.start()
        node = Node(desk.engine, NoTrunks(), lambda: desk.engine.running.plan, _nothing, _never)
        await desk.calls("500")
        (call,) = node.live_calls()
        node.say("ann", away=True)
        await node.transfer(call.id, Switch.model_validate({"agent": "ann"}))
        await desk.settles()
        assert not call.others
        (ended,) = [r.happening for r in desk.journal.recorded if r.happening.type == "transfer.ended"]
        assert (ended.data["reason"], ended.data["detail"]) == ("no-agents", "agent: ann is away")
        await desk.engine.stop()
