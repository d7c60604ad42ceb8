"""The engine on fakes: routing, limits, timers, the bot's requests, draining; nothing is left behind."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.bots.builtin import AttendantBot
from gateway.calls.causes import OVER_LIMIT
from gateway.calls.commands import BotEventName, TurnDown
from gateway.calls.errors import BotErrorKind
from gateway.calls.events import TransferCancelled, TransferRequested
from gateway.calls.model import Caller, LegId
from gateway.calls.refers import ReferReceived, ReferTarget
from gateway.calls.states import CallState, LegState
from gateway.calls.switch import Switch
from gateway.dialplan.parse import load_text
from gateway.engine.call import World
from gateway.engine.engine import Engine
from gateway.engine.queued import OVER
from gateway.engine.running import Running, policy
from gateway.telemetry.lag import Clock
from tests.fakes.bot import ScriptedBot, Thinks, fails, says
from tests.fakes.bridge import FakeBridge
from tests.fakes.journal import MemoryJournal
from tests.fakes.legs import FakeLeg, FakeLegs
from tests.fakes.sounds import FakeSounds
from tests.leaks import no_leaks

PLAN = """
trunks: {acme: {host: 192.0.2.1}, small: {host: 192.0.2.2, limits: {channels: 2, cps: 3}}}
channels:
  hello: {bot: {type: builtin, name: echo}, filler: {prompt: one-moment, after_ms: 100}, limits: {calls: 2}}
  many: {bot: {type: builtin, name: echo}}
routes:
  - {to: "100", channel: hello}
  - {to: "300", say: "We are closed."}
  - {to: "400", reject: 486}
  - {to: "500", channel: many}
  - {to: "801", agent: ann}
agents:
  ann: {name: Ann, target: "sip:ann@192.0.2.5", trunk: acme}
  bob: {name: Bob, target: "sip:bob@192.0.2.5", trunk: acme}
"""
TEXT = {"type": "text", "text": "Hello"}
HANGUP = {"type": "hangup"}


class Desk:
    """The engine with everything around it faked; the verbs are the customer's."""

    def __init__(self, limit: int = 10) -> None:
        plan = load_text(PLAN)
        self.bot, self.announcements = ScriptedBot(), []
        self.legs, self.sounds, self.journal = FakeLegs(), FakeSounds(), MemoryJournal()
        self.bridge = FakeBridge(lambda *told: self.engine.on_mark(*told))
        self.now = 1000.0
        policies = {name: policy(name, channel) for name, channel in plan.channels.items()}
        bots = {"hello": self.bot, "many": self.bot}
        running = Running(plan, policies, bots, self._announcer, AttendantBot)
        world = World(self.legs, self.bridge, self.sounds, lambda: self.now, self.journal)
        self.engine = Engine(running, world, limit, draw=lambda low, high: low + 1)
        self._calls = 0

    def _announcer(self, spoken: object) -> ScriptedBot:
        self.announcements.append(spoken)
        bot = ScriptedBot()
        bot.on(BotEventName.START, says(TEXT | {"bargeIn": False}, HANGUP))
        return bot

    async def calls(self, to: str = "100", trunk: str = "acme", **how: bool) -> tuple[LegId, FakeLeg]:
        self._calls += 1
        leg_id = LegId(f"leg_{self._calls}")
        leg = self.legs.call(leg_id, Caller(f"{self._calls}@far", trunk, "+12125550123", to), **how)
        await self.settles()
        return leg_id, leg

    def runs(self, old: str, new: str) -> None:
        """Another plan runs from now on."""
        assert old in PLAN
        self.engine.running = replace(self.engine.running, plan=load_text(PLAN.replace(old, new), {"P": "x"}))

    async def settles(self, seconds: float = 0.02) -> None:
        await asyncio.sleep(seconds)

    async def hears_out(self) -> None:
        """Everything that is queued is heard."""
        await self.settles()
        self.bridge.advance(60_000)
        await self.settles()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with no_leaks():
        desk = Desk()
        await desk.engine.start()
        yield desk
        await desk.engine.stop()
        assert not desk.engine.live.calls and not desk.bridge.voices and not desk.legs.live


async def test_a_call_is_answered_told_and_ended(desk: Desk):
    desk.bot.on(BotEventName.START, says(TEXT, HANGUP))
    _, leg = await desk.calls()
    assert leg.statuses[-1] == 200
    await desk.hears_out()
    assert leg.got_bye
    assert desk.bot.events == [BotEventName.START, BotEventName.HANGUP]


async def test_the_unknown_number_the_refusal_and_the_full_gateway(desk: Desk):
    for to, status in (("999", 404), ("400", 486)):
        _, leg = await desk.calls(to)
        assert leg.statuses[-1] == status
    assert desk.bot.events == []


async def test_a_full_channel_and_a_full_gateway_refuse_with_503(desk: Desk):
    await desk.calls()
    await desk.calls()
    _, third = await desk.calls()
    assert third.statuses[-1] == 503 and "Retry-After" not in dict(third.headers)
    desk.engine.live.limit = 2
    _, other = await desk.calls("300")
    assert (other.statuses[-1], dict(other.headers)["Retry-After"]) == (503, "30")


async def test_a_full_trunk_refuses_and_says_so_while_others_go_on(desk: Desk):
    first, _ = await desk.calls("500", "small")
    await desk.calls("500", "small")
    _, third = await desk.calls("500", "small")
    _, elsewhere = await desk.calls("500")
    assert third.statuses[-1] == 503 and "Retry-After" not in dict(third.headers)
    assert elsewhere.statuses[-1] == 200
    refused = desk.journal.recorded[desk.journal.types().index("call.refused")].happening
    assert refused.data["why"] == "trunk small has reached limits.channels: 2 calls at a time"
    assert refused.data["cause"] == {"result": "gateway", "reason": "over-limit"}
    desk.legs.bye(first)
    await desk.settles()
    _, again = await desk.calls("500", "small")
    assert again.statuses[-1] == 200


async def test_too_many_calls_in_a_second_are_refused_by_the_trunk_before_they_are_routed(desk: Desk):
    statuses = [(await desk.calls(to, "small"))[1].statuses[-1] for to in ("400", "999", "400", "400")]
    assert statuses == [486, 404, 486, 503]
    desk.now += 1 / 3
    _, later = await desk.calls("400", "small")
    assert later.statuses[-1] == 486


async def test_another_plans_limits_hold_for_new_calls_and_live_ones_are_counted_on(desk: Desk):
    for _ in range(2):
        await desk.calls("500", "small")
    desk.runs("channels: 2, cps: 3", "channels: 3, cps: 30")
    _, third = await desk.calls("500", "small")
    _, fourth = await desk.calls("500", "small")
    assert (third.statuses[-1], fourth.statuses[-1]) == (200, 503)


async def test_legs_on_other_trunks_take_their_channels_and_give_them_back(desk: Desk):
    leg_id, _ = await desk.calls("500")
    call, agents = desk.engine.live.by_leg[leg_id], [LegId("agent_1"), LegId("agent_2")]
    for agent in agents:
        desk.engine.live.add_leg(call, agent, "small")
    assert desk.engine.live.by_leg[agents[0]] is call
    assert desk.engine.admission.admit_out("small", desk.now) is not None
    desk.engine.live.remove_leg(call, agents[0])
    desk.engine.live.remove_leg(call, agents[0])
    assert desk.engine.admission.admit_out("small", desk.now) is None
    desk.legs.bye(leg_id)
    await desk.settles()
    assert not desk.engine.live.by_leg and not +desk.engine.live.per_trunk


async def test_several_targets_at_once_are_no_more_legs_than_the_trunk_takes(desk: Desk):
    desk.runs("cps: 3}}}", "cps: 30}}}\ndestinations: {allow: ['+1']}")
    targets = [{"phoneNumber": f"+1212555010{i}"} for i in range(4)]
    switch = {"type": "switch", "targets": targets, "strategy": "parallel", "trunk": "small", "continueCall": True}
    desk.bot.on(BotEventName.START, says(switch))
    leg_id, _ = await desk.calls("500")
    agents = [leg for leg in desk.legs.all.values() if leg.order is not None]
    assert len(agents) == 2 and desk.engine.live.per_trunk["small"] == 2
    desk.legs.bye(leg_id)
    await desk.settles()
    assert not +desk.engine.live.per_trunk and not -desk.engine.live.per_trunk


async def test_a_full_gateway_has_sip_turn_calls_away_until_a_place_is_free(desk: Desk):
    desk.engine.live.limit = 2
    first, _ = await desk.calls("500")
    assert desk.engine.taking and desk.legs.turned_away == []
    await desk.calls("500")
    assert not desk.engine.taking and desk.legs.turned_away == [(30, False)]
    _, late = await desk.calls("500", on_its_way=True)
    assert (late.statuses[-1], dict(late.headers)["Retry-After"]) == (503, "30")
    desk.legs.bye(first)
    await desk.settles()
    assert desk.legs.turned_away == [(30, False), (None, False)] and desk.engine.taking


async def test_an_overloaded_gateway_turns_calls_away_and_keeps_those_it_has(desk: Desk):
    _, live = await desk.calls("500")
    desk.engine.late(Clock.EVENT_LOOP, 0.2)
    assert desk.engine.taking
    desk.engine.late(Clock.EVENT_LOOP, 0.2)
    assert not desk.engine.taking and desk.legs.turned_away == [(6, False)]
    _, late = await desk.calls("500", on_its_way=True)
    assert (late.statuses[-1], dict(late.headers)["Retry-After"]) == (503, "6")
    assert desk.journal.records[-1].cause == OVER_LIMIT
    assert not live.got_bye
    for _ in range(110):
        desk.now += 0.1
        desk.engine.late(Clock.EVENT_LOOP, 0.0)
    assert desk.engine.taking and desk.legs.turned_away[-1] == (None, False)


async def test_a_route_that_only_speaks_answers_speaks_and_hangs_up(desk: Desk):
    _, leg = await desk.calls("300")
    await desk.hears_out()
    assert leg.got_bye
    assert desk.announcements[0].text == "We are closed."


async def test_a_route_to_an_agent_dials_and_shows_the_phone_where_the_agents_trunk_can(desk: Desk):
    account = "acme: {host: 192.0.2.1, auth: {username: u, realm: r, password: {env: P}}}"
    for shown in ("+12125550123", "801"):
        leg_id, leg = await desk.calls("801")
        assert leg.statuses[-1] == 200
        (call,) = desk.engine.live.calls.values()
        assert (call.channel, call.call.state) == ("agent", CallState.TRANSFERRING)
        (order,) = (leg.order for leg in desk.legs.live.values() if leg.order is not None)
        assert (order.uri, order.caller.number) == ("sip:ann@192.0.2.5", shown)
        desk.legs.bye(leg_id)
        await desk.settles()
        desk.runs("acme: {host: 192.0.2.1}", account)
    assert desk.bot.events == []


async def test_a_call_without_a_channel_may_be_handed_to_one(desk: Desk):
    leg_id, _ = await desk.calls("300")
    switch = Switch.model_validate({"agent": "ann", "postSession": {"channel": "hello"}})
    desk.engine.live.by_leg[leg_id].post(TransferRequested(switch))
    await desk.settles()
    agent = next(name for name, leg in desk.legs.all.items() if leg.order is not None)
    desk.legs.picks_up(agent)
    await desk.settles()
    desk.legs.bye(agent)
    await desk.settles()
    assert desk.bot.events == [BotEventName.START]
    desk.legs.bye(leg_id)
    await desk.settles()


async def test_a_bot_that_thinks_is_bridged_by_the_filler(desk: Desk):
    desk.bot.on(BotEventName.START, Thinks(0.2, says(HANGUP)))
    _, leg = await desk.calls()
    await desk.settles(0.15)
    assert desk.sounds.asked == ["one-moment"]
    await desk.settles(0.15)
    await desk.hears_out()
    assert leg.got_bye


async def test_events_wait_for_the_bots_answer(desk: Desk):
    desk.bot.on(BotEventName.START, Thinks(0.1, says()))
    leg_id, _ = await desk.calls()
    desk.legs.press(leg_id, "1")
    desk.legs.press(leg_id, "2")
    await desk.settles()
    assert desk.bot.events == [BotEventName.START]
    await desk.settles(0.15)
    assert desk.bot.events == [BotEventName.START, BotEventName.DTMF, BotEventName.DTMF]


async def test_a_hangup_abandons_the_request_that_hangs(desk: Desk):
    desk.bot.on(BotEventName.START, Thinks(60, says()))
    leg_id, _ = await desk.calls()
    desk.legs.bye(leg_id)
    await desk.settles()
    assert desk.bot.events == [BotEventName.START, BotEventName.HANGUP]
    assert not desk.engine.live.finishing


async def test_a_bot_in_trouble_twice_ends_in_the_fallback(desk: Desk):
    desk.bot.on(BotEventName.START, fails(BotErrorKind.TIMEOUT), fails(BotErrorKind.STATUS))
    _, leg = await desk.calls()
    await desk.hears_out()
    await desk.hears_out()
    assert leg.got_bye
    ids = [asked.event_id for asked in desk.bot.asked if asked.ask.event is BotEventName.START]
    assert len(ids) == 2 and len(set(ids)) == 1, "the same event keeps its id"


async def test_draining_refuses_new_calls_and_waits_for_live_ones(desk: Desk):
    leg_id, leg = await desk.calls()
    drain = asyncio.create_task(desk.engine.drain(60))
    await desk.settles()
    assert desk.legs.turned_away == [(30, True)]
    _, late = await desk.calls()
    assert late.statuses[-1] == 503
    _, on_its_way = await desk.calls(on_its_way=True)
    assert (on_its_way.statuses[-1], dict(on_its_way.headers)["Retry-After"]) == (503, "30")
    assert not drain.done() and not leg.got_bye
    desk.legs.bye(leg_id)
    await asyncio.wait_for(drain, 1)


async def test_a_drain_that_takes_too_long_ends_the_calls(desk: Desk):
    _, leg = await desk.calls()
    await asyncio.wait_for(desk.engine.drain(0.05), 1)
    assert leg.got_bye


async def test_a_defect_in_one_call_ends_that_call_alone(desk: Desk):
    leg_id, _ = await desk.calls()
    other_id, other = await desk.calls()
    desk.engine.live.by_leg[leg_id].post("not an event")  # type: ignore[arg-type]
    await desk.settles()
    assert desk.legs.all[leg_id].got_bye
    assert not other.got_bye
    desk.legs.bye(other_id)


async def test_what_the_bot_says_is_heard_by_the_customer(desk: Desk):
    desk.bot.on(BotEventName.START, says(TEXT))
    await desk.calls()
    await desk.hears_out()
    (voice,) = desk.bridge.voices.values()
    assert desk.sounds.asked == ["Hello"]
    assert len(voice.heard) >= 2 * 8 * 60 * len("Hello")


async def test_every_call_is_in_the_journal_from_its_start_to_its_one_record(desk: Desk):
    desk.bot.on(BotEventName.START, says(TEXT, HANGUP))
    await desk.calls()
    await desk.hears_out()
    types = desk.journal.types()
    assert (types[0], types[-1]) == ("call.started", "call.ended")
    assert [t for t in types if t.startswith(("call.", "leg."))] == [
        "call.started", "leg.joined", "call.answered", "leg.left", "call.ended",
    ]  # fmt: skip
    (cdr,) = desk.journal.records
    assert (cdr.channel, str(cdr.cause)) == ("hello", "completed/normal")


async def test_a_refused_call_leaves_a_record_too(desk: Desk):
    await desk.calls("999")
    assert desk.journal.types() == ["call.refused"]
    (cdr,) = desk.journal.records
    assert str(cdr.cause) == "gateway/no-route"


async def test_a_call_that_a_defect_ended_is_written_off_once(desk: Desk):
    leg_id, _ = await desk.calls()
    desk.engine.live.by_leg[leg_id].post("not an event")  # type: ignore[arg-type]
    await desk.settles()
    assert desk.journal.types()[-2:] == ["leg.left", "call.ended"]
    (cdr,) = desk.journal.records
    assert str(cdr.cause) == "gateway/protocol-error"


async def test_a_disk_that_stalls_delays_nobody_for_long(desk: Desk):
    desk.journal.fail()
    desk.bot.on(BotEventName.START, says(TEXT, HANGUP))
    _, leg = await desk.calls()
    await desk.settles(0.5)
    await desk.hears_out()
    await desk.settles(0.3)
    assert leg.got_bye
    desk.journal.mend()


async def talks_to_ann(desk: Desk) -> tuple[LegId, LegId]:
    """Somebody dials her number, and she answers; both legs."""
    before = {*desk.legs.all}
    caller, _ = await desk.calls("801")
    (ann,) = {*desk.legs.all} - before - {caller}
    desk.legs.picks_up(ann)
    await desk.settles()
    return caller, ann


@pytest.mark.parametrize(
    ("on", "names", "about"),
    [
        ("second", "agent", "agent"),  # as if it had come there, and named the other one
        ("agent", "second", "agent"),
        ("second", "customer", "second"),
        ("second", "nobody", "second"),
    ],
)
async def test_which_call_carries_out_a_refer_that_names_another_one(desk: Desk, on: str, names: str, about: str):
    customer, agent = await talks_to_ann(desk)
    second, colleague = await talks_to_ann(desk)
    legs = {"customer": customer, "agent": agent, "second": second, "nobody": None}
    refer = ReferReceived(legs[on] or agent, 7, ReferTarget("sip:1@gw", "1", True, legs[names], user_to_user=("ab",)))
    taken = desk.engine.live.turned_round(refer)
    assert taken.leg_id == legs[about] and taken.turned_round == ((on, about) == ("second", "agent"))
    if not taken.turned_round:
        assert taken is refer
    else:
        assert (taken.target.user, taken.target.replaces, taken.target.user_to_user) == ("801", second, ("ab",))
    for leg in (customer, second):
        desk.legs.bye(leg)
    await desk.settles()
    assert not desk.engine.live.by_leg and colleague in desk.legs.all


async def test_a_refer_of_another_trunk_is_not_turned_round(desk: Desk):
    _, agent = await talks_to_ann(desk)
    second, _ = await desk.calls("500", "small")
    refer = ReferReceived(second, 7, ReferTarget("sip:1@gw", "1", True, agent))
    assert desk.engine.live.turned_round(refer) is refer
    for leg in [*desk.legs.live]:
        desk.legs.bye(leg)
    await desk.settles()


# ── What is asked for, and whether it was taken ─────────────────────────────────────────────────────


async def test_what_is_asked_for_shows_as_soon_as_it_was_taken(desk: Desk):
    await desk.calls("500")
    (live,) = desk.engine.live.calls.values()
    switch = Switch.model_validate({"agent": "ann"})
    first, second = await asyncio.gather(live.take(TransferRequested(switch)), live.take(TransferRequested(switch)))
    assert (first, second) == (None, TurnDown("transfer")), "the one that came first"
    assert live.call.state is CallState.TRANSFERRING and len(live.call.others) == 1


async def test_a_call_that_ends_takes_nothing_and_keeps_nobody_waiting(desk: Desk):
    leg_id, _ = await desk.calls("500")
    (live,) = desk.engine.live.calls.values()
    desk.legs.bye(leg_id)
    async with asyncio.timeout(2):
        assert await live.take(TransferCancelled()) is not None
        await desk.settles()
        assert await live.take(TransferCancelled()) == OVER


async def test_a_defect_keeps_nobody_waiting(desk: Desk):
    await desk.calls("500")
    (live,) = desk.engine.live.calls.values()
    async with asyncio.timeout(2):
        taken = await asyncio.gather(live.take("not an event"), live.take(TransferCancelled()))  # type: ignore[arg-type]
    assert taken == [OVER, OVER]


async def test_the_end_of_a_leg_that_has_moved_is_not_lost_with_the_call_that_it_left(desk: Desk):
    customer, _ = await talks_to_ann(desk)
    second, colleague = await talks_to_ann(desk)
    first, left = desk.engine.live.by_leg[customer], desk.engine.live.by_leg[second]
    moved = left.call.legs[colleague]
    for leg_id in (second, colleague):  # the second end waits in the queue of a call that is over by the first
        desk.legs.bye(leg_id)
    await asyncio.sleep(0)
    left.call.others.remove(moved)
    desk.engine.live.hand_over(left, moved, "801", first.id)
    await desk.settles()
    assert left.id not in desk.engine.live.calls
    assert moved.state is LegState.ENDED, "or the call that has it now would never end"
    desk.legs.bye(customer)
    await desk.settles()
    assert not desk.engine.live.calls
