"""Calls that we place, at the desk: every order in which customer and agent ring, answer, and hang up."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.calls.allowed import allowed
from gateway.calls.causes import DRAINED, NORMAL, Cause, EndedBy, Reason, Result
from gateway.calls.commands import AskBot, Dial, EndCall, Hangup, Note, ShownCaller, Timer, TurnDown
from gateway.calls.events import (
    CallPlaced,
    DtmfReceived,
    HangupRequested,
    LegAnswered,
    LegEnded,
    LegRinging,
    RepliesPushed,
    TransferCancelled,
    TransferRequested,
)
from gateway.calls.hearing import hearing
from gateway.calls.model import RINGBACK_TONE, Caller, ChannelPolicy, Direction, LegId, LegParty, Party
from gateway.calls.orders import Consult, Forward, Ordered
from gateway.calls.outbound import NoWay, TransferReason
from gateway.calls.replies import response
from gateway.calls.states import CallState, LegState
from gateway.calls.switch import Switch
from tests.scripted_call import LEG, Everywhere
from tests.watched_call import ALIVE, Dialog, WatchedCall

BUSY = Cause(Result.CALLEE, Reason.BUSY)
LOST = Cause(Result.CARRIER, Reason.MEDIA_TIMEOUT)
INVITE = Dial(LEG, "acme", "+12125550123", None, ShownCaller("+12125550100"), headers=(("X-a", "1"),))


@dataclass
class Placed(WatchedCall):
    """A call that we place. `agent` is whom it is for, if it is for one."""

    agent: str | None = None
    data: dict[str, Any] = field(default_factory=dict)

    def begin(self) -> "Placed":
        call = self.control.call
        call.direction, call.customer.state = Direction.OUTBOUND, LegState.PLANNED
        call.caller, call.data = Caller("", "acme", "+12125550100", "+12125550123"), self.data
        if self.agent is not None:
            call.channel = ChannelPolicy("agent")
        switch = Switch.model_validate({"agent": self.agent, "timeout": 20}) if self.agent else None
        self.happens(CallPlaced(INVITE, 25.0, 3600.0, switch))
        return self

    # ── who does what ───────────────────────────────────────────────────────────────────────────────

    @property
    def anns(self) -> LegId:
        return self.control.call.others[0].id

    def rings(self, leg: LegId, media: bool = False) -> None:
        self.happens(LegRinging(leg, 183 if media else 180, media))

    def answers(self, leg: LegId) -> None:
        self.happens(LegAnswered(leg, "PCMU"))

    def ends(self, leg: LegId, cause: Cause = NORMAL, status: int = 200, by_peer: bool = True) -> None:
        self.happens(LegEnded(leg, cause, status, None, by_peer))

    def time_passes(self, timer: Timer) -> None:
        self.now += self.timers[timer] / 1000
        super().time_passes(timer)

    def is_released(self, leg: LegId, status: int = 487) -> None:
        """The dialog that we ended is gone."""
        assert self.dialogs[leg] is Dialog.ENDING
        self.ends(leg, next(c.cause for c in self.all if isinstance(c, Hangup) and c.leg_id == leg), status, False)

    def both_talk(self) -> "Placed":
        self.begin()
        self.answers(self.anns)
        self.answers(LEG)
        return self

    # ── what is seen ────────────────────────────────────────────────────────────────────────────────

    def hears(self, leg: LegId) -> set[Party]:
        return {edge.source for edge in self.edges if edge.sink == LegParty(leg)}

    def notes(self, name: str) -> list[Any]:
        return [c.fields for c in self.all if isinstance(c, Note) and c.name == name]

    @property
    def status(self) -> dict[str, Any]:
        (one,) = [note for note in self.notes("transfer.ended") if "hopOf" not in note]
        return dict(one)

    def ended(self) -> tuple[str, EndedBy, int]:
        """Exactly once; no bot was told anything."""
        assert not self.timers and not self.edges
        return str(self.end.cause), self.end.ended_by, self.end.sip_status


def for_ann(**ways: NoWay) -> Placed:
    return Placed(agent="ann", ways=Everywhere(dict(ways)))


# ── For a bot ───────────────────────────────────────────────────────────────────────────────────────


def test_a_customer_who_answers_is_the_bots():
    call = Placed(data={"campaign": 7}).begin()
    assert [c for c in call.commands if isinstance(c, Dial)] == [INVITE]
    assert call.notes("call.tagged") == [{"keys": ["campaign"]}]
    assert call.timers == {Timer.RING: 25_000} and call.control.call.state is CallState.OFFERED
    call.rings(LEG)
    call.rings(LEG, media=True)
    assert call.asks == [] and call.edges == frozenset()
    call.answers(LEG)
    assert call.told == [("start", {"reason": "outbound", "parameters": {}})]
    assert call.control.call.state is CallState.BOT and Timer.RING not in call.timers
    assert call.asks[0].call["direction"] == "outbound" and call.asks[0].call["data"] == {"campaign": 7}
    assert call.asks[0].call["sipCallId"] is None
    call.hangs_up()
    assert (str(call.end.cause), call.end.ended_by) == ("completed/normal", EndedBy.CUSTOMER)
    assert call.farewell["endedBy"] == "customer"


@pytest.mark.parametrize(
    ("cause", "status", "ends"),
    [
        (BUSY, 486, ("callee/busy", EndedBy.CUSTOMER, 486)),
        (Cause(Result.CARRIER, Reason.UNAVAILABLE), 503, ("carrier/unavailable", EndedBy.CUSTOMER, 503)),
        (Cause(Result.CARRIER, Reason.NORMAL), 302, ("callee/unavailable", EndedBy.CUSTOMER, 302)),
    ],
)
def test_a_customer_who_is_not_reached_is_no_bots(cause: Cause, status: int, ends: tuple[str, EndedBy, int]):
    call = Placed().begin()
    call.ends(LEG, cause, status)
    assert call.ended() == ends and call.asks == []


def test_a_carrier_that_says_nothing():
    call = Placed().begin()
    call.ends(LEG, Cause(Result.CARRIER, Reason.NO_RESPONSE), 503, by_peer=False)
    assert call.ended() == ("carrier/no-response", EndedBy.GATEWAY, 503) and call.asks == []


def test_a_customer_who_does_not_answer_in_time():
    call = Placed().begin()
    call.rings(LEG)
    call.time_passes(Timer.RING)
    assert call.hangup == Hangup(LEG, Cause(Result.CALLEE, Reason.NO_ANSWER))
    call.answers(LEG)  # its 200 crosses our CANCEL
    assert call.commands == []
    call.is_released(LEG)
    assert call.ended() == ("callee/no-answer", EndedBy.GATEWAY, 487) and call.asks == []


@pytest.mark.parametrize(("asked", "cause"), [(NORMAL, "caller/cancelled"), (DRAINED, "gateway/drained")])
def test_a_call_that_is_taken_back(asked: Cause, cause: str):
    call = Placed().begin()
    call.happens(HangupRequested(asked, EndedBy.GATEWAY))
    call.is_released(LEG)
    assert call.ended() == (cause, EndedBy.GATEWAY, 487) and call.asks == []


def test_a_customer_is_on_the_line_for_as_long_as_may_be():
    call = Placed().begin()
    call.answers(LEG)
    assert call.timers[Timer.MAX_CALL] == 3_600_000
    call.bot_replies({"type": "switch", "phoneNumber": "+4915"})
    call.answers(call.anns)
    call.time_passes(Timer.MAX_CALL)
    call.is_released(call.anns, 200)
    call.is_released(LEG, 200)
    assert call.ended() == ("gateway/max-duration", EndedBy.GATEWAY, 200)
    assert call.status["status"] == "SUCCESS" and call.farewell["cause"]["reason"] == "max-duration"


def test_nothing_can_be_done_with_a_customer_who_has_not_answered():
    call = Placed().begin()
    call.rings(LEG)
    call.happens(RepliesPushed(response([{"type": "answer"}])))
    assert call.notes("replies.late") == [{"detail": "the customer has not answered"}]
    call.happens(DtmfReceived(LEG, "5"))
    for event in (TransferRequested(Switch(agent="ann")), TransferCancelled(), Ordered(Forward())):
        call.happens(event)
        assert call.did(TurnDown), event
    assert call.asks == [] and len([c for c in call.all if isinstance(c, Dial)]) == 1


# ── For an agent ────────────────────────────────────────────────────────────────────────────────────


def test_agent_first_then_the_customer_and_they_talk():
    call = for_ann().begin()
    (first,) = call.did(Dial)
    assert first.leg_id == call.anns and call.timers == {Timer.RING: 20_000}
    assert call.control.call.customer.state is LegState.PLANNED
    call.rings(call.anns)
    call.answers(call.anns)
    assert call.did(Dial) == [INVITE] and call.timers == {Timer.RING: 25_000}
    assert call.hears(call.anns) == {RINGBACK_TONE}
    call.rings(LEG)
    assert call.hears(call.anns) == {RINGBACK_TONE}
    call.rings(LEG, media=True)
    assert call.hears(call.anns) == {LegParty(LEG)} and call.hears(LEG) == set()
    assert call.control.call.state is CallState.OFFERED
    call.answers(LEG)
    assert call.control.call.state is CallState.TALKING and call.control.call.answered_at is not None
    assert call.hears(call.anns) == {LegParty(LEG)} and call.hears(LEG) == {LegParty(call.anns)}
    assert call.transfers[call.control.call.transfer_id or ""].bridged
    assert call.control.call.others[0].agent == "ann"
    assert allowed(call.control.call) == ["consult", "transfer", "hold", "legs", "play", "hangup"]
    call.happens(DtmfReceived(call.anns, "5"))
    assert [c.leg_id for c in call.commands] == [LEG]
    call.ends(call.anns)
    assert call.hangup == Hangup(LEG, NORMAL)
    call.is_released(LEG, 200)
    assert call.ended() == ("completed/normal", EndedBy.AGENT, 200) and call.asks == []
    status = call.status
    assert (status["status"], status["reason"], status["endedBy"]) == ("SUCCESS", "completed", "agent")


def test_the_customer_hangs_up_first():
    call = for_ann().both_talk()
    call.ends(LEG)
    call.is_released(call.anns, 200)
    assert call.ended() == ("completed/normal", EndedBy.CUSTOMER, 200) and call.asks == []
    assert (call.status["status"], call.status["hangup"], call.status["endedBy"]) == ("SUCCESS", True, "customer")


@pytest.mark.parametrize(
    ("cause", "status", "by_peer", "ends", "reason"),
    [
        (BUSY, 486, True, ("callee/busy", EndedBy.AGENT, 487), "busy"),
        (Cause(Result.CALLEE, Reason.DECLINED), 603, True, ("callee/declined", EndedBy.AGENT, 487), "declined"),
        (
            Cause(Result.CARRIER, Reason.NO_RESPONSE), 503, False,
            ("carrier/no-response", EndedBy.GATEWAY, 487), "unreachable",
        ),
    ],
)  # fmt: skip
def test_an_agent_who_is_not_there(cause: Cause, status: int, by_peer: bool, ends: tuple, reason: str):
    call = for_ann().begin()
    call.ends(call.anns, cause, status, by_peer)
    assert call.ended() == ends and call.asks == []
    assert INVITE not in call.all, "the customer is never called"
    assert (call.status["status"], call.status["reason"]) == ("FAIL", reason)
    (left,) = call.notes("leg.left")
    assert (left["legId"], left["sipStatus"]) == (LEG, None)


def test_an_agent_who_does_not_answer_in_time():
    call = for_ann().begin()
    call.time_passes(Timer.RING)
    call.answers(call.anns)  # crosses our CANCEL
    call.is_released(call.anns)
    assert call.ended() == ("callee/no-answer", EndedBy.GATEWAY, 487)
    assert INVITE not in call.all and call.status["reason"] == "no-answer"


def test_an_agent_for_whom_there_is_no_way_any_more():
    call = for_ann(ann=NoWay(TransferReason.UNREACHABLE, "trunk office is full")).begin()
    assert call.ended() == ("gateway/over-limit", EndedBy.GATEWAY, 487)
    assert call.status["reason"] == "unreachable"


def test_an_agent_who_hangs_up_while_the_customers_phone_rings():
    call = for_ann().begin()
    call.answers(call.anns)
    call.rings(LEG)
    call.ends(call.anns)
    assert call.hangup.leg_id == LEG
    call.answers(LEG)  # crosses our CANCEL
    assert call.commands == []
    call.is_released(LEG)
    assert call.ended() == ("caller/cancelled", EndedBy.AGENT, 487)
    assert (call.status["status"], call.status["reason"]) == ("FAIL", "caller-abandoned")


def test_an_agent_whose_phone_dies_while_the_customers_rings():
    call = for_ann().begin()
    call.answers(call.anns)
    call.ends(call.anns, LOST, by_peer=False)
    call.is_released(LEG)
    assert call.ended() == ("carrier/media-timeout", EndedBy.GATEWAY, 487)
    assert call.status["reason"] == "media-failed"


def test_a_customer_who_is_busy_releases_the_agent():
    call = for_ann().begin()
    call.answers(call.anns)
    call.ends(LEG, BUSY, 486)
    assert call.hangup == Hangup(call.anns, BUSY)
    call.is_released(call.anns, 200)
    assert call.ended() == ("callee/busy", EndedBy.CUSTOMER, 486)
    status = call.status
    assert (status["status"], status["hangup"], status["reason"], status["sipStatus"]) == ("FAIL", True, "busy", 486)
    assert status["attempts"] == [{"target": "+12125550123", "sipStatus": 486, "reason": "busy"}]


def test_a_customer_who_does_not_answer_the_agent():
    call = for_ann().begin()
    call.answers(call.anns)
    call.time_passes(Timer.RING)
    assert {c.leg_id for c in call.did(Hangup)} == {LEG, call.anns}
    call.is_released(call.anns, 200)
    call.is_released(LEG)
    assert call.ended() == ("callee/no-answer", EndedBy.GATEWAY, 487)
    assert call.status["reason"] == "no-answer"


@pytest.mark.parametrize("answered", [False, True])
def test_an_operator_takes_it_back(answered: bool):
    call = for_ann().begin()
    if answered:
        call.answers(call.anns)
    call.happens(HangupRequested(NORMAL, EndedBy.GATEWAY))
    for leg in call.legs_that_are(Dialog.ENDING):
        call.is_released(leg)
    assert call.ended() == ("caller/cancelled", EndedBy.GATEWAY, 487)
    assert (call.status["reason"], call.status["hangup"]) == ("cancelled", True)


def test_a_talk_that_lasts_too_long_or_loses_its_agent():
    call = for_ann().both_talk()
    call.ends(call.anns, LOST, by_peer=False)
    assert call.control.call.state is CallState.BOT and len(call.playing) == 1, "the apology"
    call.played()
    call.is_released(LEG, 200)
    assert call.ended() == ("gateway/unavailable", EndedBy.GATEWAY, 200) and call.asks == []


def test_the_agent_consults_and_forwards():
    call = for_ann().both_talk()
    call.happens(Ordered(Consult(Switch.model_validate({"phoneNumber": "+4916"}))))
    expert = call.control.call.others[1].id
    call.answers(expert)
    assert call.hears(call.anns) == {LegParty(expert)}
    call.happens(Ordered(Forward()))
    assert call.hears(LEG) == {LegParty(expert)}
    call.is_released(call.anns, 200)
    call.ends(expert)
    call.is_released(LEG, 200)
    assert call.ended() == ("completed/normal", EndedBy.AGENT, 200) and call.asks == []
    assert [hop["kind"] for hop in call.status["hops"]] == ["forward"]


# ── Whatever everybody does ─────────────────────────────────────────────────────────────────────────


@settings(max_examples=400)
@given(st.booleans(), st.lists(st.tuples(st.integers(0, 7), st.booleans()), max_size=12))
def test_it_ends_once_and_leaves_nothing(for_agent: bool, steps: list[tuple[int, bool]]):
    """watched_call.py fails whatever an adapter could not do."""
    call = Placed(agent="ann" if for_agent else None).begin()
    for what, customers in steps:
        legs = call.control.call.legs
        leg = LEG if customers or len(legs) == 1 else call.anns
        where = call.dialogs.get(leg)
        if call.is_over or where not in ALIVE:
            continue
        match what:
            case 0 if where is Dialog.CALLING:
                call.rings(leg, media=True)
            case 1 | 2 | 3 if where in (Dialog.CALLING, Dialog.ENDING) and legs[leg].state is not LegState.CONNECTED:
                call.answers(leg)
            case 4:
                call.ends(leg, BUSY if where is Dialog.CALLING else NORMAL, 486 if where is Dialog.CALLING else 200)
            case 5 if Timer.RING in call.timers:
                call.time_passes(Timer.RING)
            case 6:
                call.happens(HangupRequested(NORMAL, EndedBy.GATEWAY))
            case 7 if where is Dialog.ENDING:
                call.is_released(leg)
        assert call.edges == hearing(call.control.call)
        if call.control.call.state is CallState.TALKING and {*call.dialogs.values()} == {Dialog.UP}:
            assert call.hears(call.anns) == {LegParty(LEG)} and call.hears(LEG) == {LegParty(call.anns)}
    if not call.is_over:
        call.happens(HangupRequested(NORMAL, EndedBy.GATEWAY))
    while call.playing and not call.is_over:
        call.played()
    for leg in call.legs_that_are(Dialog.ENDING):
        call.is_released(leg)
    assert call.is_over and not call.timers and not call.edges
    assert len([c for c in call.all if isinstance(c, EndCall)]) == 1 and isinstance(call.all[-1], EndCall)
    assert len(call.notes("transfer.ended")) == (1 if for_agent else 0)
    if for_agent:
        assert not [c for c in call.all if isinstance(c, AskBot)]


@pytest.mark.parametrize("answered", [False, True])
def test_an_agent_thinks_better_of_a_call_whose_customer_is_not_there_yet(answered: bool) -> None:
    desk = for_ann().begin()
    if answered:
        desk.answers(desk.anns)
    desk.happens(HangupRequested(NORMAL, EndedBy.GATEWAY, agent="bob"))
    assert desk.commands == [TurnDown("hangup")], "it is none of his"
    desk.happens(HangupRequested(NORMAL, EndedBy.GATEWAY, agent="ann"))
    desk.is_released(desk.anns)
    if answered:
        desk.is_released(LEG)
    assert desk.ended()[:2] == ("caller/cancelled", EndedBy.GATEWAY) and len(desk.notes("transfer.ended")) == 1
