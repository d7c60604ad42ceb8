"""Two calls that want each other's legs, whatever the order: each leg is in one of them, none is lost, both end."""

import itertools
from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.calls.causes import NORMAL
from gateway.calls.commands import AskBot, Command, Dial, EndCall, Hangup, StartTimer, StopTimer, Timer
from gateway.calls.control import CallControl
from gateway.calls.events import BotReplied, Event, LegAnswered, LegEnded, LegEvent, LegOffered, TimerFired
from gateway.calls.model import Call, CallId, ChannelPolicy, Leg, LegId, Role
from gateway.calls.refers import (
    ClaimPeer,
    ClaimRefused,
    HandOver,
    LegTakenOver,
    NotifyRefer,
    PeerClaimed,
    ReferReceived,
    ReferTarget,
    RefuseClaim,
)
from gateway.calls.replies import response
from gateway.calls.states import CallState, LegState
from tests.scripted_call import CALLER, Everywhere

CALLS = (CallId("call_1"), CallId("call_2"))
SWITCH = response([{"type": "switch", "phoneNumber": "+4915", "continueCall": True}])
which = st.sampled_from(CALLS)


class TwoCalls(RuleBasedStateMachine):
    """The calls' queues are worked off in any order, as engine/call.py and engine/live.py do it."""

    @initialize(busy=st.booleans())
    def both_talk(self, busy: bool) -> None:
        ids = itertools.count(1)
        self.controls: dict[CallId, CallControl] = {}
        self.queues: dict[CallId, deque[Event]] = {id_: deque() for id_ in CALLS}
        self.owner: dict[LegId, CallId] = {}
        """Live.by_leg: of legs that are not gone."""
        self.ending: set[LegId] = set()
        self.calling: set[LegId] = set()
        self.byes: set[LegId] = set()
        """Those whose last event is in a queue, or was."""
        self.timers: dict[CallId, set[Timer]] = {id_: set() for id_ in CALLS}
        self.over: set[CallId] = set()
        self.referred: dict[int, list[int]] = {}
        for id_ in CALLS:
            leg_id = LegId(f"customer_{id_}")
            channel = ChannelPolicy("reception")
            call = Call(id_, CALLER, channel, Leg(leg_id, Role.CUSTOMER, trunk="acme"), 0.0)
            new = lambda prefix, of=id_: f"{prefix}_{of}_{next(ids)}"  # noqa: E731
            self.controls[id_] = CallControl(call, {"reception": channel}, Everywhere(), new)
            self.owner[leg_id] = id_
            self.happens(id_, LegOffered(leg_id, CALLER))
            self.happens(id_, LegAnswered(leg_id, "PCMU"))
            self.happens(id_, BotReplied(1, SWITCH))
            if not busy or id_ == CALLS[0]:
                self.answer_all()

    # ── The engine's part ───────────────────────────────────────────────────────────────────────────

    def happens(self, id_: CallId, event: Event) -> None:
        """What LiveCall does with the first of its queue."""
        if isinstance(event, LegEvent) and self.owner.get(event.leg_id, id_) != id_:
            self.queues[self.owner[event.leg_id]].append(event)
            return
        if isinstance(event, LegEnded):
            self.owner.pop(event.leg_id, None)  # one that nobody took any more is gone already
            self.ending.discard(event.leg_id)
        for command in self.controls[id_].handle(event, 1.0):
            self.does(id_, command)

    def does(self, id_: CallId, command: Command) -> None:
        match command:
            case Dial():
                self.owner[command.leg_id] = id_
                self.calling.add(command.leg_id)
            case Hangup():
                self.hang_up(id_, command.leg_id)
            case StartTimer():
                self.timers[id_].add(command.timer)
            case StopTimer():
                self.timers[id_].remove(command.timer)
            case NotifyRefer():
                self.referred[command.refer_id].append(command.status)
            case ClaimPeer():
                other = self.owner.get(command.leg_id)
                if other is None or other == id_:
                    self.queues[id_].append(ClaimRefused())
                else:
                    self.queues[other].append(PeerClaimed(command.leg_id, id_))
            case HandOver():
                assert self.owner[command.leg.id] == id_, "nobody gives away what it has not"
                self.hand_over(command)
            case RefuseClaim():
                self.refuse(command.to)
            case EndCall():
                self.ends(id_)
            case _:
                assert not isinstance(command, AskBot) or id_ not in self.over

    def hang_up(self, id_: CallId, leg_id: LegId) -> None:
        assert self.owner.get(leg_id, id_) == id_, "only its own"
        if leg_id in self.owner:
            assert leg_id not in self.ending
            self.calling.discard(leg_id)
            self.ending.add(leg_id)

    def hand_over(self, command: HandOver) -> None:
        if command.to in self.over:
            self.ending.add(command.leg.id)
            del self.owner[command.leg.id]
            return
        self.owner[command.leg.id] = command.to
        self.queues[command.to].append(LegTakenOver(command.leg, command.target))

    def refuse(self, to: CallId) -> None:
        if to not in self.over:
            self.queues[to].append(ClaimRefused())

    def ends(self, id_: CallId) -> None:
        """What is still asked gets its answer; a leg that came too late is hung up (Live.remove)."""
        self.over.add(id_)
        assert not self.timers[id_]
        for event in self.queues[id_]:
            if isinstance(event, PeerClaimed):
                self.refuse(event.by)
        stray = [leg_id for leg_id, owner in self.owner.items() if owner == id_]
        assert not {*stray} & {*self.controls[id_].call.legs}, "a leg of its own outlives it"
        for leg_id in stray:
            del self.owner[leg_id]
        left = [*self.queues[id_]]
        self.queues[id_].clear()
        for event in left:  # of legs that have gone to the other call
            if isinstance(event, LegEvent) and self.owner.get(event.leg_id, id_) != id_:
                self.queues[self.owner[event.leg_id]].append(event)

    # ── What may happen ─────────────────────────────────────────────────────────────────────────────

    def answer_all(self) -> None:
        for leg_id in sorted(self.calling):
            self.calling.discard(leg_id)
            self.queues[self.owner[leg_id]].append(LegAnswered(leg_id, "PCMU"))

    @precondition(lambda self: any(self.queues.values()))
    @rule(data=st.data())
    def a_call_comes_to_its_next_event(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from([id_ for id_ in CALLS if self.queues[id_]]))
        self.happens(id_, self.queues[id_].popleft())

    @precondition(lambda self: self.owner)
    @rule(data=st.data())
    def a_leg_refers(self, data: st.DataObject) -> None:
        leg_id = data.draw(st.sampled_from(sorted(self.owner)))
        replaces = data.draw(st.sampled_from(sorted(self.owner)))
        if leg_id in self.ending | self.calling | self.byes:
            return
        refer_id = len(self.referred) + 1
        self.referred[refer_id] = []
        asked = ReferReceived(leg_id, refer_id, ReferTarget("sip:+4916@gw", "+4916", True, replaces))
        self.queues[self.owner[leg_id]].append(asked)

    @rule(id_=which)
    def who_talks_refers_to_whom_it_called(self, id_: CallId) -> None:
        """The agent of one call is the customer of the other one."""
        transfer = self.controls[id_].transfer
        talks = transfer.bridged if transfer is not None else None
        other = self.controls[CALLS[1] if id_ == CALLS[0] else CALLS[0]].call
        if talks in self.owner and talks is not None and talks not in self.ending | self.byes:
            refer_id = len(self.referred) + 1
            self.referred[refer_id] = []
            target = ReferTarget("sip:+4916@gw", "+4916", True, other.customer.id)
            self.queues[self.owner[talks]].append(ReferReceived(talks, refer_id, target))

    @rule(id_=which)
    def whoever_is_claimed_leaves(self, id_: CallId) -> None:
        """The claim waits in the queue, and the end of whom it is about is behind it."""
        self.who_talks_refers_to_whom_it_called(id_)
        while self.queues[id_]:
            self.happens(id_, self.queues[id_].popleft())
        for other in CALLS:
            transfer = self.controls[other].transfer
            claimed = any(isinstance(event, PeerClaimed) for event in self.queues[other])
            talks = transfer.bridged if transfer is not None else None
            if claimed and talks is not None and talks in self.owner and not self.has_ended(talks):
                self.end_of(talks)

    @precondition(lambda self: self.calling)
    @rule()
    def people_answer(self) -> None:
        self.answer_all()

    @precondition(lambda self: self.owner)
    @rule(data=st.data(), often=st.integers(0, 4))
    def a_leg_ends(self, data: st.DataObject, often: int) -> None:
        """Its end is the last of its events; it may wait in a queue while the leg goes to the other call."""
        leg_id = data.draw(st.sampled_from(sorted(self.owner)))
        if often == 0 and not self.has_ended(leg_id):
            self.end_of(leg_id)

    @precondition(lambda self: self.ending)
    @rule(data=st.data())
    def a_released_leg_is_gone(self, data: st.DataObject) -> None:
        leg_id = data.draw(st.sampled_from(sorted(self.ending)))
        if leg_id in self.owner and not self.has_ended(leg_id):
            self.end_of(leg_id)

    def end_of(self, leg_id: LegId) -> None:
        self.calling.discard(leg_id)
        self.byes.add(leg_id)
        self.queues[self.owner[leg_id]].append(LegEnded(leg_id, NORMAL, 200, None, leg_id not in self.ending))

    def has_ended(self, leg_id: LegId) -> bool:
        return leg_id in self.byes

    @rule(id_=which)
    def a_timer_runs_out(self, id_: CallId) -> None:
        if Timer.RING in self.timers[id_]:
            self.timers[id_].discard(Timer.RING)
            self.happens(id_, TimerFired(Timer.RING))

    # ── What must hold ──────────────────────────────────────────────────────────────────────────────

    @invariant()
    def each_leg_is_in_exactly_one_call(self) -> None:
        """Or on its way to one."""
        coming = {(id_, e.leg.id) for id_ in CALLS for e in self.queues[id_] if isinstance(e, LegTakenOver)}
        calls = [control.call for control in self.controls.values()]
        held = {(call.id, leg.id) for call in calls for leg in call.legs.values() if leg.state is not LegState.ENDED}
        assert {(owner, leg_id) for leg_id, owner in self.owner.items()} == held | coming
        assert not held & coming

    def teardown(self) -> None:
        """Everybody hangs up."""
        if not hasattr(self, "controls"):
            return
        for _ in range(100):
            for id_ in CALLS:
                while self.queues[id_]:
                    self.happens(id_, self.queues[id_].popleft())
            for leg_id in sorted(self.owner):
                if not self.has_ended(leg_id):
                    self.end_of(leg_id)
            if not any(self.queues.values()):
                break
            for id_ in CALLS:
                self.timers[id_].discard(Timer.NOTICE)
        assert not self.owner and self.over == {*CALLS}
        assert all(control.call.state is CallState.ENDED for control in self.controls.values())
        assert all(not told or told[-1] >= 200 for told in self.referred.values())


TwoCalls.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestTwoCalls = TwoCalls.TestCase
