"""Calls that we place, on fakes: what is refused at once leaves nothing, what is taken counts in every limit."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.bots.builtin import AttendantBot
from gateway.calls.commands import BotEventName
from gateway.calls.model import Call, LegId
from gateway.calls.outgoing import parse_outgoing
from gateway.calls.states import CallState
from gateway.dialplan.parse import load_text
from gateway.engine.call import World
from gateway.engine.engine import Engine
from gateway.engine.placing import NotPlaced
from gateway.engine.running import Running, policy
from tests.fakes.bot import ScriptedBot
from tests.fakes.bridge import FakeBridge
from tests.fakes.journal import MemoryJournal
from tests.fakes.legs import FakeLegs
from tests.fakes.sounds import FakeSounds
from tests.leaks import no_leaks

PLAN = """
trunks:
  acme: {host: 192.0.2.1, caller_id: {number: "+12125550100"}, region: US, headers: {from_bot: ["X-*"]}}
  small: {host: 192.0.2.2, caller_id: {number: "+12125550100"}, limits: {channels: 1, cps: 2}}
  mute: {host: 192.0.2.3}
channels:
  hello: {bot: {type: builtin, name: echo}, trunk: acme, limits: {calls: 1}}
  bare: {bot: {type: builtin, name: echo}}
agents:
  ann: {name: Ann, target: "sip:ann@192.0.2.5", trunk: acme}
  sam: {name: Sam, target: "sip:sam@192.0.2.5", trunk: small}
  sal: {name: Sal, target: "sip:sal@192.0.2.5", trunk: small}
contacts: {lab: {phoneNumber: "+4930123456", trunk: acme}}
destinations: {allow: ["+1"], deny: ["+1900"], hosts: [192.0.2.9], limits: {per_minute: 4}}
"""
TO_BOT = {"to": "+16125550111", "channel": "hello"}
FOR_ANN = {"to": "+16125550111", "agent": "ann", "trunk": "acme"}


class Desk:
    """The engine with everything around it faked."""

    def __init__(self) -> None:
        plan = load_text(PLAN)
        self.bot, self.legs, self.journal = ScriptedBot(), FakeLegs(), MemoryJournal()
        bridge = FakeBridge(lambda *told: self.engine.on_mark(*told))
        policies = {name: policy(name, channel) for name, channel in plan.channels.items()}
        running = Running(plan, policies, dict.fromkeys(policies, self.bot), lambda _: ScriptedBot(), AttendantBot)
        world = World(self.legs, bridge, FakeSounds(), lambda: 1000.0, self.journal)
        self.engine = Engine(running, world, 3)

    async def places(self, body: dict[str, Any], by_agent: str | None = None, **more: Any) -> Call:
        return await self.engine.place(parse_outgoing(json.dumps(body | more).encode()), by_agent)

    async def refuses(self, body: dict[str, Any], by_agent: str | None = None, **more: Any) -> NotPlaced:
        """And nothing is left of it."""
        before = self.counted
        with pytest.raises(NotPlaced) as refused:
            await self.places(body, by_agent, **more)
        assert self.counted == before
        return refused.value

    @property
    def counted(self) -> tuple[Any, ...]:
        live = self.engine.live
        return len(live.calls), dict(live._promised), +live.per_trunk, +live.per_channel, len(self.legs.all)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with no_leaks():
        desk = Desk()
        await desk.engine.start()
        yield desk
        await desk.engine.stop()
        live = desk.engine.live
        assert not live.calls and not +live.per_trunk and not +live.per_channel and not live.by_leg


async def settles() -> None:
    await asyncio.sleep(0.02)


async def test_the_customer_is_called_and_then_the_bots(desk: Desk):
    call = await desk.places(TO_BOT, headers={"x-Why": "y"}, userToUser="42", data={"a": 1}, timeout=12)
    leg = desk.legs.all[call.customer.id]
    assert leg.order is not None and (leg.order.number, leg.order.trunk) == ("+16125550111", "acme")
    assert (leg.order.headers, leg.order.user_to_user) == ((("x-Why", "y"),), ("42",))
    assert (leg.order.caller.number, leg.order.diverting) == ("+12125550100", None)
    assert desk.engine.live.per_trunk["acme"] == 1 and desk.engine.live.per_channel["hello"] == 1
    assert (call.caller.from_, call.caller.to, call.data) == ("+12125550100", "+16125550111", {"a": 1})
    assert call.state is CallState.OFFERED and desk.bot.events == []
    desk.legs.picks_up(call.customer.id)
    await settles()
    assert desk.bot.events == [BotEventName.START]


async def test_the_agent_is_called_first(desk: Desk):
    call = await desk.places(FOR_ANN, timeout=12)
    assert call.channel.name == "agent"
    (agent,) = desk.legs.all
    order = desk.legs.all[agent].order
    assert order is not None and order.uri == "sip:ann@192.0.2.5" and order.caller.number == "+16125550111"
    assert order.diverting is None
    assert desk.engine.live.per_trunk["acme"] == 2, "the customer's channel is kept for them"
    desk.legs.picks_up(LegId(agent))
    await settles()
    assert call.customer.id in desk.legs.all and desk.engine.live.per_trunk["acme"] == 2
    desk.legs.picks_up(call.customer.id)
    await settles()
    assert call.state is CallState.TALKING


@pytest.mark.parametrize(
    ("body", "why", "detail"),
    [
        ({**TO_BOT, "to": "+19005550100"}, "blocked", "to: "),
        ({"sipUri": "sip:x@192.0.2.77", "channel": "hello"}, "blocked", "sipUri: "),
        ({**TO_BOT, "to": "x"}, "invalid", "to: is not a phone number"),
        ({**TO_BOT, "channel": "helo"}, "invalid", "channel: there is no such channel for this key"),
        ({**TO_BOT, "channel": "bare"}, "invalid", "trunk: is missing"),
        ({**TO_BOT, "trunk": "acm"}, "invalid", 'trunk: there is no trunk "acm"'),
        ({**TO_BOT, "trunk": "mute"}, "invalid", 'callerId: trunk "mute" fixes no number'),
        ({**TO_BOT, "callerId": {"number": "x"}}, "invalid", "callerId.number: is not a phone number"),
        ({**TO_BOT, "headers": {"Y-Why": "z"}}, "invalid", "headers: trunk acme lets no bot set Y-Why"),
        ({**TO_BOT, "userToUser": [{"data": "41" * 1000}] * 8}, "invalid", "userToUser: "),
        ({"contact": "lib", "channel": "hello"}, "invalid", 'contact: there is no contact "lib"'),
        ({**FOR_ANN, "agent": "eve"}, "invalid", 'agent: there is no agent "eve"; write one of ann'),
    ],
)
async def test_what_cannot_be_dialled(desk: Desk, body: dict[str, Any], why: str, detail: str):
    refused = await desk.refuses(body)
    assert refused.why == why and refused.detail.startswith(detail), refused
    assert not desk.journal.recorded
    await desk.places(FOR_ANN)  # what was refused has cost nothing of what may be dialled in a minute
    await desk.places(TO_BOT)


async def test_an_agent_who_asks_needs_the_right_to_call_outside(desk: Desk):
    assert (await desk.refuses(FOR_ANN, "ann")).why == "forbidden"


async def test_other_ways_to_say_whom(desk: Desk):
    contact = await desk.places({"contact": "lab", "agent": "ann"})
    assert contact.caller.to == "+4930123456"
    uri = await desk.places({"sipUri": "sip:bob@192.0.2.9", "channel": "hello"}, callerId={"number": "+12125550199"})
    assert (uri.caller.to, uri.caller.from_) == ("sip:bob@192.0.2.9", "+12125550199")


# ── Limits ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_channel_that_is_full(desk: Desk):
    call = await desk.places(TO_BOT)
    refused = await desk.refuses(TO_BOT)
    assert (refused.why, refused.detail) == ("unreachable", "channel hello is full") and refused.retry_after_s > 0
    desk.legs.turns_down(call.customer.id, 486)
    await settles()
    await desk.places(TO_BOT)


async def test_a_trunk_that_is_full(desk: Desk):
    await desk.places(TO_BOT, trunk="small")
    refused = await desk.refuses({**TO_BOT, "channel": "bare", "trunk": "small"})
    assert refused.why == "unreachable" and "small" in refused.detail


async def test_a_trunk_that_has_no_room_for_agent_and_customer(desk: Desk):
    assert (await desk.refuses(FOR_ANN, agent="sam", trunk="small")).why == "unreachable"
    await desk.places(FOR_ANN, agent="sam")
    assert (await desk.refuses(FOR_ANN, agent="sal")).why == "unreachable"


async def test_what_may_be_dialled_in_a_minute(desk: Desk):
    for _ in range(2):
        call = await desk.places(FOR_ANN)
        desk.legs.turns_down(next(leg.id for leg in call.others), 486)
        await settles()
    refused = await desk.refuses(TO_BOT)
    assert refused.why == "unreachable" and "per_minute" in refused.detail


async def test_a_node_that_is_full_or_drains(desk: Desk):
    for agent in ("ann", "sal"):
        await desk.places(FOR_ANN, agent=agent)
    desk.engine.live.limit = 2
    refused = await desk.refuses(TO_BOT)
    assert (refused.why, refused.detail, refused.retry_after_s) == ("unreachable", "the gateway is full", 30)
    desk.engine.live.limit, desk.engine.live.draining = 3, True
    refused = await desk.refuses(TO_BOT)
    assert (refused.why, refused.detail) == ("unreachable", "draining")


async def test_an_agent_who_is_away_or_on_a_call_is_not_called(desk: Desk):
    desk.engine.agents.say("ann", away=True)
    refusal = await desk.refuses(FOR_ANN)
    assert (refusal.why, refusal.detail) == ("agent-busy", "agent: ann is away")
    desk.engine.agents.say("ann", away=False)
    await desk.places(FOR_ANN)
    refusal = await desk.refuses(FOR_ANN)
    assert (refusal.why, refusal.detail) == ("agent-busy", "agent: ann is on a call")
    await desk.engine.hang_up_all()
