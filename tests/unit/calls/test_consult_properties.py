"""Any order of orders and hang-ups while an agent consults: what must hold whatever everybody does (house.md)."""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.calls.causes import MEDIA_TIMEOUT, NORMAL, EndedBy
from gateway.calls.commands import EndCall, Hangup, Note, Timer, TurnDown
from gateway.calls.events import (
    HangupRequested,
    LegAnswered,
    LegEnded,
    LegHoldChanged,
    LegRinging,
    TransferCancelled,
    TransferRequested,
)
from gateway.calls.hearing import hearing
from gateway.calls.model import BotParty, Leg, LegId, LegParty, PeerHold, Role, Room, Spoken, SupervisorMode
from gateway.calls.orders import (
    AddLeg,
    ChangeLeg,
    Consult,
    EndConsult,
    Forward,
    Hold,
    Merge,
    Ordered,
    PlayAnnouncement,
    ReleaseLeg,
    Swap,
)
from gateway.calls.refers import ReferReceived, ReferTarget
from gateway.calls.states import CallState, ConsultState, LegState
from tests.scripted_call import LEG, Everywhere
from tests.unit.calls.test_consult import BOB
from tests.unit.calls.test_transfer import BUSY, Desk

CALLING = (LegState.DIALLING, LegState.RINGING)
ORDERS = st.one_of(
    st.builds(Consult, st.just(BOB), st.sampled_from(["forward", "end"])),
    st.sampled_from([Swap(), Merge(), Forward(), EndConsult()]),
    st.builds(Hold, st.booleans()),
)
OVER = {"consult.failed", "consult.forwarded", "consult.ended"}


class AnyConsult(RuleBasedStateMachine):
    """From where the customer talks to an agent."""

    @initialize(back=st.booleans(), limit=st.booleans())
    def they_talk(self, back: bool, limit: bool) -> None:
        ways, limits = Everywhere(most_s=600 if limit else None), {"maxTalkMs": 60_000} if limit else {}
        self.desk = Desk(ways=ways).bridged(continueCall=back, **limits)
        self.refers = self.joined = 0

    @property
    def call(self):
        return self.desk.control.call

    def legs(self, *states: LegState) -> list[Leg]:
        return [leg for leg in self.call.others if leg.state in states]

    def up(self) -> bool:
        return self.call.state is not CallState.ENDED

    # ── What happens ────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.up())
    @rule(order=ORDERS)
    def somebody_orders(self, order) -> None:
        self.desk.happens(Ordered(order))

    @precondition(lambda self: self.up())
    @rule()
    def a_consult_is_ordered(self) -> None:
        self.desk.happens(Ordered(Consult(BOB)))

    @precondition(lambda self: self.up() and len(self.call.others) < 6)
    @rule(role=st.sampled_from([Role.AGENT, Role.SUPERVISOR]), mode=st.sampled_from(SupervisorMode))
    def somebody_is_to_join(self, role, mode) -> None:
        self.joined += 1
        self.desk.happens(Ordered(AddLeg(LegId(f"leg_joins_{self.joined}"), BOB, role, mode)))

    @precondition(lambda self: self.up() and self.call.others)
    @rule(data=st.data(), muted=st.sampled_from([None, True, False]), held=st.sampled_from([None, True, False]))
    def a_leg_is_changed(self, data: st.DataObject, muted, held) -> None:
        leg = data.draw(st.sampled_from([leg.id for leg in self.call.legs.values()]))
        self.desk.happens(Ordered(ChangeLeg(leg, muted, held)))

    @precondition(lambda self: self.up() and self.call.others)
    @rule(data=st.data(), mode=st.sampled_from(SupervisorMode), to=st.booleans())
    def a_supervisor_changes_mode(self, data: st.DataObject, mode, to) -> None:
        legs = [leg.id for leg in self.call.legs.values()]
        whom = data.draw(st.sampled_from(legs)) if to else None
        self.desk.happens(Ordered(ChangeLeg(data.draw(st.sampled_from(legs)), mode=mode, whisper_to=whom)))

    @precondition(lambda self: self.up() and self.call.others)
    @rule(data=st.data())
    def a_leg_is_released(self, data: st.DataObject) -> None:
        leg = data.draw(st.sampled_from([leg.id for leg in self.call.legs.values()]))
        self.desk.happens(Ordered(ReleaseLeg(leg)))

    @precondition(lambda self: self.up())
    @rule(data=st.data(), all_=st.booleans(), loop=st.booleans())
    def something_is_announced(self, data: st.DataObject, all_, loop) -> None:
        to = None if all_ else data.draw(st.sampled_from([leg.id for leg in self.call.legs.values()]))
        self.desk.happens(Ordered(PlayAnnouncement(Spoken(text="Hear"), to, loop)))

    @precondition(lambda self: self.desk.playing)
    @rule()
    def what_plays_is_over(self) -> None:
        first = self.desk.playing[0]
        (self.desk.stopped if first.playback_id in self.desk.stopping else self.desk.played)()

    @precondition(lambda self: self.up())
    @rule(cancel=st.booleans())
    def a_transfer_is_ordered(self, cancel: bool) -> None:
        self.desk.happens(TransferCancelled() if cancel else TransferRequested(BOB))

    @precondition(lambda self: self.legs(*CALLING))
    @rule(data=st.data(), what=st.sampled_from(["rings", "answers", "answers", "answers", "fails"]))
    def whoever_is_called(self, data: st.DataObject, what: str) -> None:
        leg = data.draw(st.sampled_from(self.legs(*CALLING)))
        match what:
            case "rings":
                self.desk.happens(LegRinging(leg.id, 180, media=False))
            case "answers":
                self.desk.happens(LegAnswered(leg.id, "PCMU"))
            case _:
                self.desk.happens(LegEnded(leg.id, BUSY, 486, None, by_peer=True))

    @precondition(lambda self: self.legs(LegState.CONNECTED))
    @rule(data=st.data(), lost=st.booleans())
    def somebody_hangs_up(self, data: st.DataObject, lost: bool) -> None:
        leg = data.draw(st.sampled_from(self.legs(LegState.CONNECTED)))
        self.desk.happens(LegEnded(leg.id, MEDIA_TIMEOUT if lost else NORMAL, 200, None, by_peer=not lost))

    @precondition(lambda self: self.legs(LegState.ENDING))
    @rule(data=st.data())
    def whoever_was_released_is_gone(self, data: st.DataObject) -> None:
        leg = data.draw(st.sampled_from(self.legs(LegState.ENDING)))
        self.desk.happens(LegEnded(leg.id, NORMAL, 200, None, by_peer=False))

    @rule(order=ORDERS)
    def an_order_comes_late(self, order) -> None:
        if not self.up():
            assert self.desk.happens(Ordered(order)) == []

    @precondition(lambda self: self.call.customer.state is LegState.CONNECTED and len(self.desk.all) > 30)
    @rule()
    def the_customer_hangs_up(self) -> None:
        self.desk.happens(LegEnded(LEG, NORMAL, 200, None, by_peer=True))

    @precondition(lambda self: self.legs(LegState.CONNECTED))
    @rule(data=st.data(), hold=st.sampled_from(PeerHold))
    def a_phone_holds(self, data: st.DataObject, hold: PeerHold) -> None:
        legs = [leg.id for leg in self.legs(LegState.CONNECTED)]
        if self.call.customer.state is LegState.CONNECTED:
            legs.append(LEG)
        self.desk.happens(LegHoldChanged(data.draw(st.sampled_from(legs)), hold))

    @precondition(lambda self: self.legs(LegState.CONNECTED))
    @rule(data=st.data())
    def a_phone_refers(self, data: st.DataObject) -> None:
        self.refers += 1
        leg = data.draw(st.sampled_from(self.legs(LegState.CONNECTED)))
        self.desk.happens(ReferReceived(leg.id, self.refers, ReferTarget("sip:+4917@gw", "+4917", True)))

    @precondition(lambda self: self.up() and self.desk.timers)
    @rule(data=st.data())
    def a_timer_runs_out(self, data: st.DataObject) -> None:
        self.desk.now += 60
        self.desk.time_passes(data.draw(st.sampled_from(sorted(self.desk.timers))))

    @precondition(lambda self: self.up())
    @rule()
    def an_operator_ends_it(self) -> None:
        if len(self.desk.all) > 60:  # else few calls would get far
            self.desk.happens(HangupRequested(NORMAL, EndedBy.GATEWAY))

    # ── What must hold ──────────────────────────────────────────────────────────────────────────────

    @invariant()
    def the_edges_are_those_of_the_state(self) -> None:
        assert self.desk.edges == hearing(self.call)
        for edge in self.desk.edges:
            assert edge.source != edge.sink

    @invariant()
    def the_customer_hears_no_consult(self) -> None:
        heard = {edge.source for edge in self.desk.edges if edge.sink == LegParty(LEG)}
        told = {edge.sink for edge in self.desk.edges if edge.source == LegParty(LEG)}
        people = {LegParty(leg.id) for leg in self.call.others if leg.room is Room.MAIN}
        heard -= {LegParty(leg.id) for leg in self.call.others if self.barges(leg)}
        told -= {LegParty(leg.id) for leg in self.call.others if leg.role is Role.SUPERVISOR}
        assert {party for party in (*heard, *told) if isinstance(party, LegParty)} <= people
        consult = self.desk.control.consult
        if consult is not None and self.call.consult in (ConsultState.DIALLING, ConsultState.CONSULTING):
            apart = [leg for leg in (consult.agent, consult.peer) if leg is not None]
            assert not {LegParty(leg.id) for leg in apart} & heard
        if self.call.state is CallState.TALKING:
            assert BotParty() not in heard or self.call.announcement is not None

    def barges(self, leg: Leg) -> bool:
        watched = self.call.legs.get(leg.watches) if leg.watches else None
        together = watched is None or watched.room is Room.MAIN
        return leg.role is Role.SUPERVISOR and leg.mode is SupervisorMode.BARGE and together

    @invariant()
    def nobody_hears_a_supervisor_who_listens_or_whispers_to_another(self) -> None:
        for leg in self.call.others:
            if leg.role is Role.SUPERVISOR and leg.mode is not SupervisorMode.BARGE:
                heard_by = {edge.sink for edge in self.desk.edges if edge.source == LegParty(leg.id)}
                assert heard_by <= ({LegParty(leg.whisper_to)} if leg.whisper_to else set())
                assert LegParty(LEG) not in heard_by

    @invariant()
    def an_announcement_plays_while_people_talk(self) -> None:
        told = self.call.announcement
        if told is not None:
            assert self.call.state in (CallState.TALKING, CallState.AGENTS_ONLY)
            assert told.playback_id in [play.playback_id for play in self.desk.playing]
            assert told.playback_id not in self.desk.stopping

    @invariant()
    def whoever_is_held_hears_music_only_and_is_heard_by_nobody(self) -> None:
        for leg in self.call.legs.values():
            if leg.held and leg.state is LegState.CONNECTED:
                assert not any(edge.source == LegParty(leg.id) for edge in self.desk.edges)
                assert not any(
                    isinstance(edge.source, LegParty) for edge in self.desk.edges if edge.sink == LegParty(leg.id)
                )

    @invariant()
    def a_customer_among_people_has_somebody(self) -> None:
        if self.call.state is CallState.TALKING and self.call.customer.state is LegState.CONNECTED:
            assert [leg for leg in self.legs(LegState.CONNECTED) if leg.role is not Role.SUPERVISOR]
        if self.call.state is CallState.TRANSFERRING and self.call.customer.state is LegState.CONNECTED:
            assert self.legs(*CALLING, LegState.CONNECTED) and Timer.RING in self.desk.timers
        if self.call.state is CallState.BOT:
            here = [leg for leg in self.legs(LegState.CONNECTED) if leg.role is not Role.SUPERVISOR]
            assert not here or self.call.passing_on

    @invariant()
    def who_is_together_is_in_one_room(self) -> None:
        talking = self.call.state is CallState.TALKING and self.call.consult is ConsultState.NONE
        if talking and self.call.customer.state is LegState.CONNECTED:
            assert any(leg.room is Room.MAIN for leg in self.legs(LegState.CONNECTED))
        if self.call.state is CallState.AGENTS_ONLY:
            rooms = {leg.room for leg in self.legs(LegState.CONNECTED)} - {Room.LOBBY}
            assert len(rooms) <= 1, "those who talk on hear each other"
            consult = self.desk.control.consult
            assert consult is None or consult.agent.state is LegState.CONNECTED, "nobody rings for nobody"
            assert self.desk.control.hop is None, "and nobody for a customer who has left"

    @invariant()
    def the_rooms_are_those_of_the_table(self) -> None:
        here = {leg.role: leg.room for leg in self.legs(LegState.CONNECTED)}
        joins = [leg for leg in self.legs(*CALLING) if self.desk.control._joins(leg.id)]
        assert (Timer.JOIN in self.desk.timers) is bool(joins or self.desk.control._stays_until)
        state, consult = self.call.state, self.desk.control.consult
        assert (consult is None) is (self.call.consult is ConsultState.NONE)
        if state is not CallState.TALKING or consult is None:
            return
        rooms = {
            ConsultState.DIALLING: (Room.CONSULT, None),
            ConsultState.CONSULTING: (Room.CONSULT, Room.CONSULT),
            ConsultState.SWAPPED: (Room.MAIN, Room.CONSULT),
            ConsultState.MERGED: (Room.MAIN, Room.MAIN),
        }[self.call.consult]
        assert consult.agent.room is rooms[0] and consult.agent.state is LegState.CONNECTED
        assert (consult.peer.room if consult.peer else None) is rooms[1]
        assert here.get(Role.CONSULT, rooms[1]) in (rooms[1], Room.LOBBY)

    @invariant()
    def what_begins_ends_once(self) -> None:
        notes = [command for command in self.desk.all if isinstance(command, Note)]
        begun = Counter(n.fields["consultId"] for n in notes if n.name == "consult.started")
        over = Counter(n.fields["consultId"] for n in notes if n.name in OVER)
        now = self.desk.control.consult
        assert begun == over + Counter([now.id] if now else []), "each consult ends exactly once"
        started = Counter(n.fields["transferId"] for n in notes if n.name == "transfer.started")
        ended = Counter(n.fields["transferId"] for n in notes if n.name == "transfer.ended")
        under_way = [self.desk.control.transfer, self.desk.control.hop.transfer if self.desk.control.hop else None]
        assert started == ended + Counter(one.id for one in under_way if one is not None)
        assert self.up() or not any(under_way)
        told = [ask for ask in self.desk.asks if ask.event.value == "hangup"]
        assert (len(told) <= 1 and self.desk.asks[-1:] == told) or not told

    @invariant()
    def each_leg_is_hung_up_once(self) -> None:
        hung_up = Counter(command.leg_id for command in self.desk.all if isinstance(command, Hangup))
        assert all(count == 1 for count in hung_up.values())
        ends = [command for command in self.desk.all if isinstance(command, EndCall)]
        assert len(ends) == (0 if self.up() else 1)
        if not self.up():
            assert not self.desk.timers and not self.desk.edges
            assert all(leg.state is LegState.ENDED for leg in self.call.legs.values())

    @invariant()
    def an_order_that_is_not_taken_changes_nothing(self) -> None:
        if any(isinstance(command, TurnDown) for command in self.desk.commands):
            assert not any(isinstance(command, Hangup) for command in self.desk.commands)

    def teardown(self) -> None:
        """Everybody hangs up: the call is over."""
        if not hasattr(self, "desk"):
            return
        if self.call.customer.state is LegState.CONNECTED:
            self.desk.happens(LegEnded(LEG, NORMAL, 200, None, by_peer=True))
        for _ in range(6):
            for leg in [*self.call.others]:
                if leg.state is LegState.ENDING:
                    self.desk.happens(LegEnded(leg.id, NORMAL, 200, None, by_peer=False))
                elif leg.state is LegState.CONNECTED:
                    self.desk.happens(LegEnded(leg.id, NORMAL, 200, None, by_peer=True))
                elif leg.state in CALLING:
                    self.desk.happens(LegEnded(leg.id, BUSY, 486, None, by_peer=True))
        if self.call.customer.state is LegState.ENDING:
            self.desk.is_gone()
        assert not self.up()
        self.what_begins_ends_once()
        self.each_leg_is_hung_up_once()


AnyConsult.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestAnyConsult = AnyConsult.TestCase
