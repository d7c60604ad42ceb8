"""Everybody does what they like, as long as a world could do it: a Hypothesis machine of one call and its customer, bot
and people."""

import json

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from gateway.calls.causes import DRAINED, NORMAL, Cause, Reason, Result
from gateway.calls.commands import Timer
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
from gateway.calls.model import AnswerMode, ChannelPolicy, PeerHold
from gateway.calls.replies import BotResponse, response
from gateway.calls.states import CallState, LegState
from gateway.calls.switch import parse_switch
from tests.call_invariants import ALIVE, CALLING, CallInvariants
from tests.scripted_call import HANGUP, ScriptedCall, collect, text

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
        "method": st.sampled_from(["invite", "refer"]),
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


class AnyCall(CallInvariants):
    """Everybody does what they like, as long as a world could do it."""

    @initialize(mode=st.sampled_from(AnswerMode), filler=st.booleans(), patience=st.integers(1, 3))
    def an_invite_comes(self, mode: AnswerMode, filler: bool, patience: int) -> None:
        channel = ChannelPolicy("reception", mode, 1000, fallback_after=patience)
        if not filler:
            channel = ChannelPolicy("reception", mode, 1000, filler=None, fallback_after=patience)
        self.begins(channel)

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
        self.call.happens(DtmfReceived(self.customer, digit))

    @precondition(lambda self: self.call.playing)
    @rule()
    def playback_ends(self) -> None:
        self.call.played()

    @precondition(lambda self: self.call.playing and self.call.playing[0].playback_id in self.call.stopping)
    @rule()
    def playback_stops(self) -> None:
        self.call.stopped()

    @precondition(lambda self: self.leg_is(LegState.CONNECTED))
    @rule()
    def digits_are_out(self) -> None:
        self.call.happens(DigitsSent(self.customer))

    @precondition(lambda self: self.call.timers and self.restless())
    @rule(data=st.data())
    def a_timer_runs_out(self, data: st.DataObject) -> None:
        timer = data.draw(st.sampled_from(sorted(self.call.timers)))
        self.call.now += self.call.timers[timer] / 1000
        self.call.time_passes(timer)

    @precondition(lambda self: self.leg_is(LegState.CONNECTED))
    @rule(hold=st.sampled_from(PeerHold))
    def the_peer_holds(self, hold: PeerHold) -> None:
        self.call.happens(LegHoldChanged(self.customer, hold))

    @precondition(lambda self: self.restless() and not self.leg_is(LegState.ENDING))
    @rule()
    def an_operator_ends_it(self) -> None:
        self.call.operator_hangs_up(DRAINED)

    @precondition(lambda self: self.restless() and not self.leg_is(LegState.ENDED))
    @rule()
    def the_customer_hangs_up(self) -> None:
        self.call.happens(LegEnded(self.customer, NORMAL, 200, 16, by_peer=True))

    @precondition(lambda self: self.leg_is(LegState.ENDING))
    @rule()
    def our_hangup_is_through(self) -> None:
        self.call.happens(LegEnded(self.customer, NORMAL, 200, None, by_peer=False))

    # ── People ──────────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.up())
    @rule(switch=switches)
    def somebody_asks_for_a_transfer(self, switch: dict) -> None:
        self.call.happens(TransferRequested(parse_switch(json.dumps(switch).encode())))

    @precondition(lambda self: self.restless())
    @rule()
    def somebody_takes_it_back(self) -> None:
        self.call.happens(TransferCancelled())

    @precondition(lambda self: self.restless() and self.desk.state is not CallState.OFFERED)
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

    @precondition(lambda self: self.restless() and self.agents(*ALIVE))
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

    @rule(seq=st.integers(0, 3), timer=st.sampled_from(sorted(ScriptedCall().timers) or ["no-input"]))
    def late_things_arrive(self, seq: int, timer: str) -> None:
        """Answers, timers and playbacks of a moment ago, after what they belong to is over."""
        if seq not in self.call.open_asks:
            self.call.happens(BotReplied(seq, BotResponse()))
        if not self.call.timers:
            self.call.happens(TimerFired(Timer(timer)))
        self.call.happens(PlaybackEnded(999, stopped=True, item=0, played_ms=0))
