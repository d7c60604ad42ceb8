"""Any order of events: what must hold for every call whatever everybody does (house.md, "Properties to prove")."""

import json
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.calls.causes import DRAINED, NORMAL, Cause, Reason, Result
from gateway.calls.commands import (
    Answer,
    AskBot,
    EndCall,
    Hangup,
    Note,
    Play,
    PlayPrompt,
    Redirect,
    Reject,
    SendDigits,
    Timer,
)
from gateway.calls.errors import BotErrorKind
from gateway.calls.events import (
    BotReplied,
    DigitsSent,
    DtmfReceived,
    LegAnswered,
    LegEnded,
    LegHoldChanged,
    LegRinging,
    PlaybackEnded,
    RepliesPushed,
    TimerFired,
    TransferCancelled,
    TransferRequested,
)
from gateway.calls.fitting import parked_out
from gateway.calls.hearing import hearing
from gateway.calls.model import (
    AnswerMode,
    BotParty,
    Call,
    ChannelPolicy,
    Leg,
    LegId,
    LegParty,
    PeerHold,
    Ringback,
    Room,
)
from gateway.calls.outbound import NoWay, TransferReason
from gateway.calls.replies import BotResponse, response
from gateway.calls.states import CallState, LegState
from gateway.calls.switch import parse_switch
from tests.scripted_call import HANGUP, LEG, Everywhere, ScriptedCall, collect, text

CALLING = (LegState.DIALLING, LegState.RINGING)
ALIVE = (*CALLING, LegState.CONNECTED, LegState.ENDING)
NOTICE = (PlayPrompt("caller-left"),)
NOWHERE = {"+900": NoWay(TransferReason.BLOCKED, "+900 is denied")}
CALM = [
    text("Hello"), text("Legal", bargeIn=False), text("Sentence", bargeIn={"mode": "sentence"}), collect(1), collect(3),
    {"type": "pause", "ms": 10}, {"type": "audio", "prompt": "closed"}, {"type": "sendDtmf", "digits": "1"},
    {"type": "tag", "data": {"a": 1}}, {"type": "answer"}, {"type": "ringing"},
]  # fmt: skip
LAST = [
    HANGUP,
    {"type": "handoff", "channel": "sales"},
    {"type": "reject"},
    {"type": "redirect", "contacts": ["sip:a@b"]},
]
switches = st.fixed_dictionaries(
    {"type": st.just("switch")},
    optional={
        "continueCall": st.booleans(),
        "timeout": st.sampled_from([1, 30]),
        "ringback": st.sampled_from(["tone", "music", "earlyMedia", "silence"]),
        "announce": st.just("A caller"),
        "accept": st.just(True),
        "postDialDigits": st.just("ww1"),
        "onFail": st.sampled_from(["return", "hangup", {"handoff": {"channel": "sales"}}]),
        "postSession": st.just({"channel": "sales"}),
        "maxTalkMs": st.just(60_000),
    },
)
targets = st.lists(
    st.sampled_from(["+4915", "+4916", "+900"]).map(lambda n: {"phoneNumber": n}), min_size=1, max_size=3
)
switches = st.builds(
    lambda switch, whom, strategy: switch | ({"targets": whom, "strategy": strategy}),
    switches, targets, st.sampled_from(["sequential", "parallel"]),
)  # fmt: skip
reply_lists = st.tuples(st.lists(st.sampled_from(CALM), max_size=5), st.none() | st.sampled_from(LAST) | switches).map(
    lambda t: t[0] + ([t[1]] if t[1] else [])
)


class AnyCall(RuleBasedStateMachine):
    """Everybody does what they like, as long as a world could do it."""

    @initialize(mode=st.sampled_from(AnswerMode), filler=st.booleans(), patience=st.integers(1, 3))
    def an_invite_comes(self, mode: AnswerMode, filler: bool, patience: int) -> None:
        channel = ChannelPolicy("reception", mode, 1000, fallback_after=patience)
        if not filler:
            channel = ChannelPolicy("reception", mode, 1000, filler=None, fallback_after=patience)
        self.begins(channel)

    def begins(self, channel: ChannelPolicy) -> None:
        self.sent: dict[LegId, int] = {}
        self.aside: set[int] = set()
        self.call = ScriptedCall(channel, {"sales": ChannelPolicy("sales")}, ways=Everywhere(NOWHERE)).offered()

    @property
    def desk(self) -> Call:
        return self.call.control.call

    def agents(self, *states: LegState) -> list[Leg]:
        return [leg for leg in self.desk.others if leg.state in states]

    def up(self) -> bool:
        return self.call.control.call.state is not CallState.ENDED

    def leg_is(self, *states: LegState) -> bool:
        return self.call.control.call.customer.state in states

    @precondition(lambda self: self.leg_is(LegState.ANSWERING))
    @rule()
    def the_ack_comes(self) -> None:
        self.call.acked()

    @precondition(lambda self: self.call.open_asks and self.up())
    @rule(replies=reply_lists)
    def the_bot_replies(self, replies: list[dict]) -> None:
        self.call.bot_replies(*replies)

    @precondition(lambda self: self.call.open_asks and self.up())
    @rule(kind=st.sampled_from(BotErrorKind))
    def the_bot_fails(self, kind: BotErrorKind) -> None:
        self.call.bot_fails(kind)

    @precondition(lambda self: self.up())
    @rule(digit=st.sampled_from("0123456789*#ABCD"))
    def a_key_is_pressed(self, digit: str) -> None:
        self.call.presses(digit)

    @precondition(lambda self: self.call.playing)
    @rule()
    def playback_ends(self) -> None:
        self.call.played()

    @precondition(lambda self: self.call.playing and self.call.playing[0].playback_id in self.call.stopping)
    @rule()
    def playback_stops(self) -> None:
        self.call.stopped()

    @rule()
    def digits_are_out(self) -> None:
        self.call.digits_are_out()

    @precondition(lambda self: self.call.timers)
    @rule(data=st.data())
    def a_timer_runs_out(self, data: st.DataObject) -> None:
        timer = data.draw(st.sampled_from(sorted(self.call.timers)))
        self.call.now += self.call.timers[timer] / 1000
        self.call.time_passes(timer)

    @precondition(lambda self: self.leg_is(LegState.CONNECTED))
    @rule(hold=st.sampled_from(PeerHold))
    def the_peer_holds(self, hold: PeerHold) -> None:
        self.call.holds(hold)

    @rule()
    def an_operator_ends_it(self) -> None:
        if not self.leg_is(LegState.ENDING, LegState.ENDED):
            self.call.operator_hangs_up(DRAINED)

    @precondition(lambda self: self.up() and not self.leg_is(LegState.ENDED))
    @rule()
    def the_customer_hangs_up(self) -> None:
        self.call.hangs_up()

    @precondition(lambda self: self.leg_is(LegState.ENDING))
    @rule()
    def our_hangup_is_through(self) -> None:
        self.call.is_gone()

    # ── People ──────────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.up())
    @rule(switch=switches)
    def somebody_asks_for_a_transfer(self, switch: dict) -> None:
        self.call.happens(TransferRequested(parse_switch(json.dumps(switch).encode())))

    @rule()
    def somebody_takes_it_back(self) -> None:
        self.call.happens(TransferCancelled())

    @precondition(lambda self: self.up() and self.desk.state is not CallState.OFFERED)
    @rule(last=st.sampled_from([{"type": "tag", "data": {"b": 2}}, HANGUP, text("Pushed")]))
    def replies_are_pushed(self, last: dict) -> None:
        pushed = BotResponse(replies=response([last]).replies)
        if not parked_out(pushed, self.desk):
            self.call.happens(RepliesPushed(pushed))

    @precondition(lambda self: self.agents(*CALLING))
    @rule(data=st.data(), status=st.sampled_from([180, 183]), media=st.booleans())
    def it_rings(self, data: st.DataObject, status: int, media: bool) -> None:
        leg = data.draw(st.sampled_from(self.agents(*CALLING)))
        self.call.happens(LegRinging(leg.id, status, media))

    @precondition(lambda self: self.agents(*CALLING))
    @rule(data=st.data())
    def a_person_answers(self, data: st.DataObject) -> None:
        self.call.happens(LegAnswered(data.draw(st.sampled_from(self.agents(*CALLING))).id, "PCMU"))

    @precondition(lambda self: self.agents(LegState.ENDING))
    @rule(data=st.data())
    def a_200_crosses_our_cancel(self, data: st.DataObject) -> None:
        self.call.happens(LegAnswered(data.draw(st.sampled_from(self.agents(LegState.ENDING))).id, "PCMU"))

    @precondition(lambda self: self.agents(*ALIVE))
    @rule(data=st.data(), cause=st.builds(Cause, st.sampled_from(Result), st.sampled_from(Reason)))
    def a_persons_leg_ends(self, data: st.DataObject, cause: Cause) -> None:
        leg = data.draw(st.sampled_from(self.agents(*ALIVE)))
        called = leg.state in CALLING
        status = data.draw(st.sampled_from([302, 408, 480, 486, 503, 603] if called else [200, 487]))
        contacts = ("sip:+4917@carrier",) if status == 302 else ()
        by_peer = leg.state is not LegState.ENDING and data.draw(st.booleans())
        self.call.happens(LegEnded(leg.id, cause, status, None, by_peer, contacts=contacts))

    @precondition(lambda self: self.agents(*ALIVE))
    @rule(data=st.data(), digit=st.sampled_from("1125#"))
    def a_person_presses_a_key(self, data: st.DataObject, digit: str) -> None:
        self.call.happens(DtmfReceived(data.draw(st.sampled_from(self.agents(*ALIVE))).id, digit))

    @precondition(lambda self: self.agents(LegState.CONNECTED))
    @rule(data=st.data(), hold=st.sampled_from(PeerHold))
    def a_person_holds(self, data: st.DataObject, hold: PeerHold) -> None:
        leg = data.draw(st.sampled_from(self.agents(LegState.CONNECTED)))
        self.call.happens(LegHoldChanged(leg.id, hold))

    @precondition(lambda self: self.agents(LegState.CONNECTED))
    @rule(data=st.data())
    def digits_to_a_person_are_out(self, data: st.DataObject) -> None:
        leg = data.draw(st.sampled_from(self.agents(LegState.CONNECTED)))
        if self.digits_to(leg) > self.sent.get(leg.id, 0):
            self.sent[leg.id] = self.sent.get(leg.id, 0) + 1
            self.call.happens(DigitsSent(leg.id))

    def digits_to(self, leg: Leg) -> int:
        return sum(isinstance(c, SendDigits) and c.leg_id == leg.id for c in self.call.all)

    @rule(seq=st.integers(0, 3), timer=st.sampled_from(sorted(ScriptedCall().timers) or ["no-input"]))
    def late_things_arrive(self, seq: int, timer: str) -> None:
        """Answers, timers and playbacks of a moment ago, after what they belong to is over."""
        if seq not in self.call.open_asks:
            self.call.happens(BotReplied(seq, BotResponse()))
        if not self.call.timers:
            self.call.happens(TimerFired(Timer(timer)))
        self.call.happens(PlaybackEnded(999, stopped=True, item=0, played_ms=0))

    # ── What must hold ──────────────────────────────────────────────────────────────────────────────

    @invariant()
    def one_request_at_a_time_and_one_hangup_event(self) -> None:
        asks = [a for a in self.call.asks if not a.again]
        assert len({a.seq for a in asks}) == len(asks)
        pending = [a for a in self.call.open_asks.values() if a.event.value not in ("hangup", "transfer")]
        assert len(pending) <= 1
        assert all(a.event.value != "hangup" for a in asks[:-1])

    @invariant()
    def the_edges_are_those_of_the_state(self) -> None:
        assert self.call.edges == hearing(self.call.control.call)

    @invariant()
    def an_ended_call_ended_once_and_left_nothing(self) -> None:
        ends = [c for c in self.call.all if isinstance(c, EndCall)]
        assert len(ends) == (0 if self.up() else 1)
        assert len([c for c in self.call.all if isinstance(c, Answer)]) <= 1
        ended = Counter(c.leg_id for c in self.call.all if isinstance(c, Hangup | Reject | Redirect))
        assert all(count == 1 for count in ended.values())
        if not self.up():
            assert not self.call.timers
            assert not self.call.edges
            assert all(leg.state is LegState.ENDED for leg in self.desk.legs.values())
            assert all(a.event.value in ("hangup", "transfer") for a in self.call.open_asks.values())
            assert all(p.items == NOTICE for p in self.sounding())
            assert isinstance(self.call.all[-1], EndCall)

    @invariant()
    def a_connected_call_always_waits_for_somebody(self) -> None:
        """Never dead air without end: something plays, a key, an answer, a timer or the peer is waited for."""
        control = self.call.control
        if self.leg_is(LegState.CONNECTED):
            assert (
                self.call.playing
                or self.call.open_asks
                or self.call.timers
                or control.turns.held
                or control.turns._sending  # digits are on their way out
                or self.desk.state is CallState.TALKING
                or any(self.digits_to(leg) > self.sent.get(leg.id, 0) for leg in self.agents(LegState.CONNECTED))
            )

    def sounding(self) -> list[Play]:
        return [play for play in self.call.playing if play.playback_id not in self.call.stopping]

    @invariant()
    def a_transfer_is_told_exactly_once(self) -> None:
        notes = [c for c in self.call.all if isinstance(c, Note)]
        started = [n.fields["transferId"] for n in notes if n.name == "transfer.started"]
        over = [n.fields for n in notes if n.name == "transfer.ended"]
        under_way = self.call.control.transfer
        assert started == [o["transferId"] for o in over] + ([under_way.id] if under_way else [])
        told = [a.data for a in self.call.asks if a.event.value == "transfer" and not a.again]
        waiting = [t.data for t in self.call.control.conversation.waiting if t.event.value == "transfer"]
        assert over == told + waiting, "the bot is told in order, when it has answered what it was told before"
        assert self.up() or not waiting
        assert (under_way is not None) == (self.desk.transfer_id is not None)
        assert self.up() or under_way is None

    @invariant()
    def a_timer_of_people_runs_only_while_somebody_needs_it(self) -> None:
        state, timers, gone = self.desk.state, self.call.timers, self.leg_is(LegState.ENDED)
        in_lobby = [leg for leg in self.agents(LegState.CONNECTED) if leg.room is Room.LOBBY]
        assert Timer.RING not in timers or (state is CallState.TRANSFERRING and self.agents(*CALLING) and not gone)
        assert Timer.ACCEPT not in timers or (state is CallState.TRANSFERRING and in_lobby and not gone)
        assert Timer.MAX_TALK not in timers or (state is CallState.TALKING and not gone)
        assert Timer.NOTICE not in timers or (gone and in_lobby)
        assert not gone or timers.keys() <= {Timer.NOTICE}
        assert not self.agents(*CALLING) or Timer.RING in timers

    @invariant()
    def the_lobby_is_closed(self) -> None:
        calling = {LegParty(leg.id) for leg in self.agents(*CALLING)}
        lobby = {LegParty(leg.id) for leg in self.desk.others if leg.room is Room.LOBBY}
        for edge in self.call.edges:
            if edge.source in lobby:
                early = self.desk.ringback is Ringback.EARLY_MEDIA and edge.source in calling
                assert early and edge.sink == LegParty(LEG) and self.desk.state is CallState.TRANSFERRING
            if edge.sink in lobby:
                assert edge.source == BotParty()

    @invariant()
    def only_the_lobby_hears_what_is_said_aside(self) -> None:
        if self.desk.state in (CallState.TRANSFERRING, CallState.TALKING):
            self.aside |= {c.playback_id for c in self.call.commands if isinstance(c, Play)}
            assert all(play.playback_id in self.aside for play in self.sounding()), "nothing of the bot's"
            assert all(edge.sink != LegParty(LEG) for edge in self.call.edges if edge.source == BotParty())
        if self.desk.state in (CallState.BOT, CallState.TALKING):
            assert not [play for play in self.sounding() if play.playback_id in self.aside]

    def teardown(self) -> None:
        if hasattr(self, "call") and self.up():
            if not self.leg_is(LegState.ENDED):
                self.call.hangs_up()
            if Timer.NOTICE in self.call.timers:
                self.call.time_passes(Timer.NOTICE)
            assert not self.agents(*CALLING, LegState.CONNECTED), "nobody is left ringing or alone"
            for leg in self.agents(LegState.ENDING):
                self.call.happens(LegEnded(leg.id, NORMAL, 487, None, by_peer=False))
            assert not self.up()
            self.a_transfer_is_told_exactly_once()
            self.an_ended_call_ended_once_and_left_nothing()


AnyCall.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyCall = AnyCall.TestCase


class AnyTransfer(AnyCall):
    """The same from where people are called on."""

    @initialize(switch=switches, patience=st.integers(1, 3))
    def an_invite_comes(self, switch: dict, patience: int) -> None:
        self.begins(ChannelPolicy("reception", fallback_after=patience))
        self.call.acked()
        self.call.bot_replies(switch)


AnyTransfer.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestAnyTransfer = AnyTransfer.TestCase


def test_a_key_before_the_ack_is_nobodys():
    call = ScriptedCall().offered()
    assert call.happens(DtmfReceived(LEG, "1")) == []
    assert not call.did(AskBot)
