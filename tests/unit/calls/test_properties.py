"""Any order of events: what must hold for every call whatever everybody does (house.md, "Properties to prove")."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.calls.causes import DRAINED
from gateway.calls.commands import Answer, AskBot, EndCall, Hangup, Redirect, Reject
from gateway.calls.errors import BotErrorKind
from gateway.calls.events import BotReplied, DtmfReceived, PlaybackEnded, TimerFired
from gateway.calls.hearing import hearing
from gateway.calls.model import AnswerMode, ChannelPolicy, PeerHold
from gateway.calls.replies import BotResponse
from gateway.calls.states import CallState, LegState
from tests.scripted_call import HANGUP, LEG, ScriptedCall, collect, text

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
reply_lists = st.tuples(st.lists(st.sampled_from(CALM), max_size=5), st.none() | st.sampled_from(LAST)).map(
    lambda t: t[0] + ([t[1]] if t[1] else [])
)


class AnyCall(RuleBasedStateMachine):
    """Everybody does what they like, as long as a world could do it."""

    @initialize(mode=st.sampled_from(AnswerMode), filler=st.booleans(), patience=st.integers(1, 3))
    def an_invite_comes(self, mode: AnswerMode, filler: bool, patience: int) -> None:
        channel = ChannelPolicy("reception", mode, 1000, fallback_after=patience)
        if not filler:
            channel = ChannelPolicy("reception", mode, 1000, filler=None, fallback_after=patience)
        self.call = ScriptedCall(channel, {"sales": ChannelPolicy("sales")}).offered()

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
        self.call.time_passes(data.draw(st.sampled_from(sorted(self.call.timers))))

    @precondition(lambda self: self.leg_is(LegState.CONNECTED))
    @rule(hold=st.sampled_from(PeerHold))
    def the_peer_holds(self, hold: PeerHold) -> None:
        self.call.holds(hold)

    @rule()
    def an_operator_ends_it(self) -> None:
        if not self.leg_is(LegState.ENDING, LegState.ENDED):
            self.call.operator_hangs_up(DRAINED)

    @precondition(lambda self: self.up())
    @rule()
    def the_customer_hangs_up(self) -> None:
        self.call.hangs_up()

    @precondition(lambda self: self.leg_is(LegState.ENDING))
    @rule()
    def our_hangup_is_through(self) -> None:
        self.call.is_gone()

    @rule(seq=st.integers(0, 3), timer=st.sampled_from(sorted(ScriptedCall().timers) or ["no-input"]))
    def late_things_arrive(self, seq: int, timer: str) -> None:
        """Answers, timers and playbacks of a moment ago, after what they belong to is over."""
        if seq not in self.call.open_asks:
            self.call.happens(BotReplied(seq, BotResponse()))
        if not self.call.timers:
            from gateway.calls.commands import Timer

            self.call.happens(TimerFired(Timer(timer)))
        self.call.happens(PlaybackEnded(999, stopped=True, item=0, played_ms=0))

    # ── What must hold ──────────────────────────────────────────────────────────────────────────────

    @invariant()
    def one_request_at_a_time_and_one_hangup_event(self) -> None:
        asks = [a for a in self.call.asks if not a.again]
        assert len({a.seq for a in asks}) == len(asks)
        pending = [a for a in self.call.open_asks.values() if a.event.value != "hangup"]
        assert len(pending) <= 1
        assert sum(a.event.value == "hangup" for a in asks) <= 1

    @invariant()
    def the_edges_are_those_of_the_state(self) -> None:
        assert self.call.edges == hearing(self.call.control.call)

    @invariant()
    def an_ended_call_ended_once_and_left_nothing(self) -> None:
        ends = [c for c in self.call.all if isinstance(c, EndCall)]
        assert len(ends) == (0 if self.up() else 1)
        assert len([c for c in self.call.all if isinstance(c, Answer)]) <= 1
        assert len([c for c in self.call.all if isinstance(c, Hangup | Reject | Redirect)]) <= 1
        if not self.up():
            assert not self.call.timers
            assert not self.call.edges
            assert all(a.event.value == "hangup" for a in self.call.open_asks.values())
            assert all(p.playback_id in self.call.stopping for p in self.call.playing)
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
            )

    def teardown(self) -> None:
        if hasattr(self, "call") and self.up():
            self.call.hangs_up()
            self.an_ended_call_ended_once_and_left_nothing()


AnyCall.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyCall = AnyCall.TestCase


def test_a_key_before_the_ack_is_nobodys():
    call = ScriptedCall().offered()
    assert call.happens(DtmfReceived(LEG, "1")) == []
    assert not call.did(AskBot)
