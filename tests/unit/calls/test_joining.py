"""Who joins a call: agents whom everybody hears, and supervisors; who is the agent when the agent leaves."""

from typing import Any

import pytest

from gateway.calls.allowed import allowed
from gateway.calls.causes import NORMAL
from gateway.calls.commands import Dial, EndCall, Hangup, Note, Play, SendDigits, StopPlayback, Timer, TurnDown
from gateway.calls.events import LegAnswered, LegEnded, PlaybackEnded, TransferRequested
from gateway.calls.model import (
    RINGBACK_TONE,
    BotParty,
    LegId,
    LegParty,
    MusicParty,
    Party,
    Role,
    Spoken,
    SupervisorMode,
)
from gateway.calls.orders import (
    AddLeg,
    ChangeLeg,
    Consult,
    EndConsult,
    Hold,
    Order,
    Ordered,
    PlayAnnouncement,
    PressKeys,
    ReleaseLeg,
    StopAnnouncement,
)
from gateway.calls.outbound import NoWay, TransferReason
from gateway.calls.refers import ReferReceived, ReferTarget
from gateway.calls.states import CallState, ConsultState, LegState
from gateway.calls.switch import Switch
from tests.scripted_call import LEG, Everywhere
from tests.unit.calls.test_transfer import CUSTOMER, Desk

BOB = Switch.model_validate({"phoneNumber": "+4916"})
CARL = Switch.model_validate({"phoneNumber": "+4917"})
MUSIC = MusicParty("hold/calm")
JOINS = LegId("leg_joins")
SUE = LegParty(LegId("leg_sue"))


class Conference(Desk):
    """A customer, an agent (leg 0 that was dialled), and whoever joins."""

    def orders(self, order: Order) -> "Conference":
        self.happens(Ordered(order))
        return self

    def refuses(self, order: Order) -> TurnDown:
        self.orders(order)
        (down,) = self.did(TurnDown)
        assert self.commands == [down]
        return down

    def talks(self, **fields: Any) -> "Conference":
        self.bridged(continueCall=True, **fields)
        return self

    def joined(self, leg_id: LegId = JOINS) -> "Conference":
        self.orders(AddLeg(leg_id, CARL, Role.AGENT))
        self.happens(LegAnswered(leg_id, "PCMU"))
        return self

    def supervised(self, mode: SupervisorMode = SupervisorMode.MONITOR, to: LegId | None = None) -> "Conference":
        self.orders(AddLeg(SUE.leg_id, CARL, Role.SUPERVISOR, mode, to))
        self.happens(LegAnswered(SUE.leg_id, "PCMU"))
        return self

    def goes(self, leg_id: LegId) -> None:
        self.happens(LegEnded(leg_id, NORMAL, 200, None, by_peer=True))

    @property
    def ann(self) -> LegParty:
        return LegParty(self.leg(0))

    @property
    def state(self) -> CallState:
        return self.control.call.state

    def hears(self, ear: LegParty) -> set[Party]:
        return {edge.source for edge in self.edges if edge.sink == ear}

    @property
    def notes(self) -> list[str]:
        return [note.name for note in self.all if isinstance(note, Note)]


CARL_LEG = LegParty(JOINS)


def test_who_is_called_is_heard_by_nobody_until_the_answer_and_by_all_after_it() -> None:
    desk = Conference().talks()
    before = desk.edges
    desk.orders(AddLeg(JOINS, CARL, Role.AGENT))
    assert [dial.number for dial in desk.did(Dial)] == ["+4917"] and Timer.JOIN in desk.timers
    assert desk.edges == before and desk.control.call.legs[JOINS].state is LegState.DIALLING
    desk.happens(LegAnswered(JOINS, "PCMU"))
    assert desk.hears(CUSTOMER) == {desk.ann, CARL_LEG}
    assert desk.hears(CARL_LEG) == {CUSTOMER, desk.ann} and desk.hears(desk.ann) == {CUSTOMER, CARL_LEG}
    assert Timer.JOIN not in desk.timers and desk.state is CallState.TALKING
    assert desk.control.call.consult is ConsultState.NONE


def test_who_does_not_answer_in_time_is_not_called_any_more() -> None:
    desk = Conference().talks().orders(AddLeg(JOINS, CARL, Role.AGENT))
    desk.now += 60
    desk.time_passes(Timer.JOIN)
    assert [hangup.leg_id for hangup in desk.did(Hangup)] == [JOINS]
    desk.goes(JOINS)
    assert desk.state is CallState.TALKING and Timer.JOIN not in desk.timers


def test_nobody_stays_for_longer_than_the_plan_allows() -> None:
    desk = Conference(ways=Everywhere(most_s=600))
    desk.connected()
    desk.supervised()
    assert desk.timers[Timer.JOIN] == 600_000
    desk.now += 600
    desk.time_passes(Timer.JOIN)
    assert [hangup.leg_id for hangup in desk.did(Hangup)] == [SUE.leg_id] and Timer.JOIN not in desk.timers
    desk.goes(SUE.leg_id)
    assert desk.state is CallState.BOT
    again = Conference(ways=Everywhere(most_s=600))
    again.connected()
    again.supervised()
    again.goes(SUE.leg_id)
    assert Timer.JOIN not in again.timers


def test_who_is_busy_changes_nothing() -> None:
    desk = Conference().talks().orders(AddLeg(JOINS, CARL, Role.AGENT))
    desk.goes(JOINS)
    assert desk.did(Hangup) == [] and desk.hears(CUSTOMER) == {desk.ann}


def test_whom_the_plan_does_not_let_us_call_is_not_called() -> None:
    for reason, why in (
        (TransferReason.BLOCKED, "blocked"),
        (TransferReason.INVALID_REQUEST, "invalid"),
        (TransferReason.UNREACHABLE, "unreachable"),
    ):
        desk = Conference(ways=Everywhere({"+4917": NoWay(reason, "no")})).talks()
        assert desk.refuses(AddLeg(JOINS, CARL, Role.AGENT)) == TurnDown("legs", why, "no")


def test_an_agent_joins_a_talk_only() -> None:
    desk = Conference()
    desk.connected()
    assert desk.refuses(AddLeg(JOINS, CARL, Role.AGENT)) == TurnDown("legs")
    assert "legs" in allowed(desk.control.call), "a supervisor may come"


def test_when_the_agent_leaves_who_joined_is_the_agent() -> None:
    desk = Conference().talks().joined()
    desk.leaves(0)
    assert desk.state is CallState.TALKING and desk.hears(CUSTOMER) == {CARL_LEG}
    assert desk.control.transfer and desk.control.transfer.bridged == JOINS
    desk.goes(JOINS)
    assert desk.state is CallState.BOT
    assert [hop["kind"] for hop in desk.status["hops"]] == ["joined"]


def test_when_the_customer_leaves_those_who_talked_go_on_until_one_is_left() -> None:
    desk = Conference().talks().joined()
    desk.customer_leaves()
    assert desk.state is CallState.AGENTS_ONLY and "customer.left" in desk.notes
    assert desk.hears(desk.ann) == {CARL_LEG}
    assert allowed(desk.control.call) == ["legs", "play", "hangup"]
    desk.goes(JOINS)
    assert [hangup.leg_id for hangup in desk.did(Hangup)] == [desk.ann.leg_id]
    desk.goes(desk.ann.leg_id)
    assert isinstance(desk.commands[-1], EndCall)


def test_when_the_talk_is_over_who_joined_is_released() -> None:
    desk = Conference().talks(maxTalkMs=60_000).joined()
    desk.time_passes(Timer.MAX_TALK)
    assert {hangup.leg_id for hangup in desk.did(Hangup)} == {desk.ann.leg_id, JOINS}
    assert desk.state is CallState.BOT


def test_an_agent_who_consults_and_hangs_up_leaves_the_customer_to_who_joined() -> None:
    desk = Conference().talks().joined().orders(Consult(Switch.model_validate({"phoneNumber": "+4916"}), "end"))
    desk.leaves(0)
    assert desk.state is CallState.TALKING and desk.hears(CUSTOMER) == {CARL_LEG}
    assert desk.control.call.consult is ConsultState.NONE and "consult.ended" in desk.notes


def test_while_the_agent_consults_who_joined_stays_with_the_customer() -> None:
    desk = Conference().talks().joined().orders(Consult(Switch.model_validate({"phoneNumber": "+4916"}), "end"))
    desk.answers(2)
    assert desk.hears(CUSTOMER) == {CARL_LEG} and desk.hears(desk.ann) == {LegParty(desk.leg(2))}
    desk.customer_leaves()
    assert desk.hears(CARL_LEG) == {desk.ann, LegParty(desk.leg(2))}, "they all hear each other"


def test_those_who_talk_on_without_the_customer_hear_each_other_when_the_consultant_goes() -> None:
    for ends in ("by the consultant", "by the agent"):
        desk = Conference().talks().joined().orders(Consult(BOB))
        desk.answers(2)
        desk.customer_leaves()
        if ends == "by the agent":
            desk.orders(EndConsult())
        else:
            desk.leaves(2)
        assert desk.hears(CARL_LEG) == {desk.ann} and desk.hears(desk.ann) == {CARL_LEG}, ends


def test_those_who_talk_on_hear_each_other_and_the_consultant_ring() -> None:
    desk = Conference().talks().joined().orders(Consult(BOB))
    desk.customer_leaves()
    assert desk.hears(CARL_LEG) == {desk.ann, RINGBACK_TONE} and desk.hears(desk.ann) == {CARL_LEG, RINGBACK_TONE}
    desk.fails(486, number=2)
    assert desk.hears(CARL_LEG) == {desk.ann}


def hops_ended(desk: Conference) -> list[tuple[object, ...]]:
    ended = [c.fields for c in desk.all if isinstance(c, Note) and c.name == "transfer.ended" and "hopOf" in c.fields]
    return [(one["reason"], one["hangup"]) for one in ended]


def test_nobody_is_called_for_a_customer_who_has_left_those_who_talk_on() -> None:
    desk = Conference().talks().joined()
    desk.happens(TransferRequested(BOB))
    desk.customer_leaves()
    assert desk.state is CallState.AGENTS_ONLY and hops_ended(desk) == [("caller-abandoned", True)]
    assert [hangup.leg_id for hangup in desk.did(Hangup)] == [desk.leg(2)]
    assert Timer.RING not in desk.timers
    desk.goes(desk.leg(2))
    assert desk.hears(CARL_LEG) == {desk.ann}


def test_who_was_briefed_for_a_customer_who_has_left_is_told_and_those_who_talk_on_are_not() -> None:
    desk = Conference().talks().joined()
    desk.happens(TransferRequested(Switch.model_validate({"phoneNumber": "+4916", "announce": {"text": "hi"}})))
    desk.answers(2)
    desk.customer_leaves()
    assert desk.hears(LegParty(desk.leg(2))) == {BotParty()} and desk.hears(CARL_LEG) == {desk.ann}
    desk.time_passes(Timer.NOTICE)
    assert [hangup.leg_id for hangup in desk.did(Hangup)] == [desk.leg(2)]
    assert desk.hears(CARL_LEG) == {desk.ann}


def test_who_is_the_agent_from_now_on_is_not_held_or_muted() -> None:
    for change in (ChangeLeg(JOINS, held=True), ChangeLeg(JOINS, muted=True)):
        desk = Conference().talks().joined().orders(change)
        desk.leaves(0)
        assert desk.hears(CUSTOMER) == {CARL_LEG}, change


def test_the_customer_is_called_through_when_all_who_talked_are_gone() -> None:
    desk = Conference().talks().joined()
    desk.happens(ReferReceived(desk.ann.leg_id, 7, ReferTarget("sip:+4916@gw", "+4916", True)))
    desk.leaves(0)
    assert desk.state is CallState.TALKING and desk.hears(CUSTOMER) == {CARL_LEG}
    desk.goes(JOINS)
    assert desk.state is CallState.TRANSFERRING
    desk.answers(2)
    assert desk.state is CallState.TALKING and desk.hears(CUSTOMER) == {LegParty(desk.leg(2))}


# ── Supervisors ─────────────────────────────────────────────────────────────────────────────────────


def test_a_supervisor_hears_all_and_is_heard_as_the_mode_says() -> None:
    desk = Conference().talks().supervised()
    assert desk.hears(SUE) == {CUSTOMER, desk.ann}
    assert desk.hears(CUSTOMER) == {desk.ann} and desk.hears(desk.ann) == {CUSTOMER}
    desk.orders(ChangeLeg(SUE.leg_id, mode=SupervisorMode.WHISPER))
    assert desk.hears(CUSTOMER) == {desk.ann} and desk.hears(desk.ann) == {CUSTOMER, SUE}
    desk.orders(ChangeLeg(SUE.leg_id, mode=SupervisorMode.BARGE))
    assert desk.hears(CUSTOMER) == {desk.ann, SUE} and desk.hears(desk.ann) == {CUSTOMER, SUE}
    desk.orders(ChangeLeg(SUE.leg_id, mode=SupervisorMode.MONITOR))
    assert desk.hears(CUSTOMER) == {desk.ann} and desk.hears(desk.ann) == {CUSTOMER}
    assert desk.notes.count("leg.modeChanged") == 3


def test_a_supervisor_follows_the_agent_into_a_consult_and_whispers_there() -> None:
    desk = Conference().talks().supervised(SupervisorMode.WHISPER)
    desk.orders(Consult(Switch.model_validate({"phoneNumber": "+4916"})))
    desk.answers(2)
    bob = LegParty(desk.leg(2))
    assert desk.hears(SUE) == {desk.ann, bob} and desk.hears(desk.ann) == {bob, SUE}
    assert desk.hears(CUSTOMER) == {MUSIC} and desk.hears(bob) == {desk.ann}


def test_a_supervisor_whispers_to_whom_it_wants() -> None:
    desk = Conference().talks().joined().supervised(SupervisorMode.WHISPER, JOINS)
    assert SUE in desk.hears(CARL_LEG) and SUE not in desk.hears(desk.ann)
    desk.orders(ChangeLeg(SUE.leg_id, whisper_to=desk.ann.leg_id))
    assert SUE not in desk.hears(CARL_LEG) and SUE in desk.hears(desk.ann)


@pytest.mark.parametrize(
    ("to", "detail"),
    [
        (LEG, "whisperTo: is the leg of a customer; whisper to an agent or a consultant"),
        (LegId("leg_x"), "whisperTo: the call has no such leg"),
    ],
)
def test_nobody_whispers_to_a_customer(to: LegId, detail: str) -> None:
    desk = Conference().talks()
    add = AddLeg(SUE.leg_id, CARL, Role.SUPERVISOR, SupervisorMode.WHISPER, to)
    assert desk.refuses(add) == TurnDown("legs", "invalid", detail)
    desk.supervised()
    assert desk.refuses(ChangeLeg(SUE.leg_id, whisper_to=to)) == TurnDown("legs", "invalid", detail)


def test_whoever_becomes_the_customer_hears_no_whisper_and_the_agent_hears_it_again() -> None:
    desk = Conference(ways=Everywhere(refers={"acme"})).talks().supervised(SupervisorMode.WHISPER)
    desk.happens(ReferReceived(LEG, 7, ReferTarget("sip:+4916@gw", "+4916", True)))
    new = LegParty(desk.leg(2))
    desk.orders(ChangeLeg(SUE.leg_id, whisper_to=new.leg_id))
    desk.answers(2)
    assert desk.control.call.customer.id == new.leg_id
    assert desk.hears(new) == {desk.ann} and desk.hears(desk.ann) == {new, SUE}


def test_an_agent_who_hears_the_consultant_ring_hears_the_whisper() -> None:
    desk = Conference().talks().supervised(SupervisorMode.WHISPER).orders(Consult(BOB))
    assert desk.hears(desk.ann) == {RINGBACK_TONE, SUE} and desk.hears(CUSTOMER) == {MUSIC}


def test_a_supervisor_listens_to_the_bot_and_stays_when_people_come_and_go() -> None:
    desk = Conference()
    desk.connected()
    desk.supervised()
    assert desk.hears(SUE) == {BotParty(), CUSTOMER}
    desk.bot_replies({"type": "switch", "phoneNumber": "+4915", "continueCall": True})
    assert desk.hears(SUE) == {CUSTOMER}, "not the ringback"
    desk.answers(1)
    assert desk.hears(SUE) == {CUSTOMER, LegParty(desk.leg(1))}
    desk.leaves(1)
    assert desk.hears(SUE) == {BotParty(), CUSTOMER} and desk.state is CallState.BOT
    desk.customer_leaves()
    assert [hangup.leg_id for hangup in desk.did(Hangup)] == [SUE.leg_id]
    desk.goes(SUE.leg_id)
    assert isinstance(desk.commands[-1], EndCall)


def test_a_supervisor_is_no_company() -> None:
    desk = Conference().talks().supervised(SupervisorMode.BARGE)
    desk.leaves(0)
    assert desk.state is CallState.BOT
    again = Conference().talks().supervised(SupervisorMode.BARGE)
    again.customer_leaves()
    assert {hangup.leg_id for hangup in again.did(Hangup)} == {SUE.leg_id, again.ann.leg_id}


# ── Single legs ─────────────────────────────────────────────────────────────────────────────────────


def test_a_leg_is_muted_and_heard_again_and_nobody_stays_muted() -> None:
    desk = Conference().talks()
    desk.orders(ChangeLeg(desk.ann.leg_id, muted=True))
    assert desk.hears(CUSTOMER) == set() and desk.hears(desk.ann) == {CUSTOMER}
    desk.orders(ChangeLeg(desk.ann.leg_id, muted=False)).orders(ChangeLeg(LEG, muted=True))
    assert desk.hears(CUSTOMER) == {desk.ann} and desk.hears(desk.ann) == set()
    desk.leaves(0)
    assert desk.state is CallState.BOT and not desk.control.call.customer.muted
    assert [name for name in desk.notes if name.startswith("leg.")] == ["leg.muted", "leg.unmuted"] * 2


def test_all_or_nothing_of_a_change() -> None:
    desk = Conference().talks()
    assert desk.refuses(ChangeLeg(desk.ann.leg_id, muted=True, mode=SupervisorMode.BARGE)).why == "invalid"
    assert not desk.control.call.legs[desk.ann.leg_id].muted
    desk.orders(Consult(Switch.model_validate({"phoneNumber": "+4916"})))
    assert desk.refuses(ChangeLeg(LEG, muted=True, held=True)) == TurnDown("hold"), "the customer hears music already"
    assert not desk.control.call.customer.muted


def test_a_held_leg_of_two_who_talk_on_without_the_customer() -> None:
    desk = Conference().talks().joined()
    desk.customer_leaves()
    desk.orders(ChangeLeg(JOINS, held=True))
    assert desk.hears(CARL_LEG) == {MUSIC} and desk.hears(desk.ann) == {MUSIC}


def test_who_is_released_is_gone_for_the_others_at_once() -> None:
    desk = Conference().talks().joined()
    desk.orders(ReleaseLeg(desk.ann.leg_id))
    assert desk.hears(CUSTOMER) == {CARL_LEG} and desk.control.transfer and desk.control.transfer.bridged == JOINS
    desk.goes(desk.ann.leg_id)
    assert desk.state is CallState.TALKING
    desk.orders(ReleaseLeg(JOINS))
    assert desk.state is CallState.BOT
    desk.goes(JOINS)
    assert desk.state is CallState.BOT and desk.status["endedBy"] == "agent"


def test_who_is_called_is_released_before_the_answer() -> None:
    desk = Conference().talks().orders(AddLeg(JOINS, CARL, Role.AGENT)).orders(ReleaseLeg(JOINS))
    assert [hangup.leg_id for hangup in desk.did(Hangup)] == [JOINS] and Timer.JOIN not in desk.timers
    desk.happens(LegAnswered(JOINS, "PCMU"))
    assert desk.hears(CUSTOMER) == {desk.ann}
    desk.goes(JOINS)


def test_the_consultant_is_released_and_the_agent_is_with_the_customer() -> None:
    desk = Conference().talks().orders(Consult(Switch.model_validate({"phoneNumber": "+4916"})))
    desk.answers(1)
    desk.orders(ReleaseLeg(desk.leg(1)))
    assert desk.control.call.consult is ConsultState.NONE and desk.hears(CUSTOMER) == {desk.ann}
    desk.goes(desk.leg(1))
    assert desk.state is CallState.TALKING


def test_keys_go_to_one_leg() -> None:
    desk = Conference().talks().orders(PressKeys(LEG, "1w#"))
    assert desk.did(SendDigits) == [SendDigits(LEG, "1w#", 120)]
    assert desk.refuses(PressKeys(LegId("leg_x"), "1")) == TurnDown("legs")
    desk.orders(AddLeg(JOINS, CARL, Role.AGENT))
    assert desk.refuses(PressKeys(JOINS, "1")) == TurnDown("legs"), "it has not answered"


def test_who_is_briefed_is_not_held() -> None:
    desk = Conference().talks()
    desk.happens(TransferRequested(Switch.model_validate({"phoneNumber": "+4916", "announce": {"text": "hi"}})))
    desk.answers(1)
    assert desk.refuses(Hold(True, desk.leg(1))) == TurnDown("hold")


# ── Announcements ───────────────────────────────────────────────────────────────────────────────────

CLOSING = Spoken(text="We close in five minutes")


def test_an_announcement_is_heard_beside_the_talk_by_all_or_by_one() -> None:
    desk = Conference().talks().orders(PlayAnnouncement(CLOSING))
    assert desk.hears(CUSTOMER) == {desk.ann, BotParty()} and desk.hears(desk.ann) == {CUSTOMER, BotParty()}
    desk.played()
    assert desk.hears(CUSTOMER) == {desk.ann}
    desk.orders(PlayAnnouncement(CLOSING, to=desk.ann.leg_id))
    assert desk.hears(CUSTOMER) == {desk.ann} and desk.hears(desk.ann) == {CUSTOMER, BotParty()}


def test_the_next_announcement_takes_the_place_of_the_one_that_plays() -> None:
    desk = Conference().talks().orders(PlayAnnouncement(CLOSING)).orders(PlayAnnouncement(CLOSING, to=LEG))
    assert len(desk.did(StopPlayback)) == 1 and len(desk.did(Play)) == 1
    desk.stopped()
    assert desk.hears(CUSTOMER) == {desk.ann, BotParty()} and desk.hears(desk.ann) == {CUSTOMER}


def test_a_loop_plays_until_it_is_stopped_and_one_that_cannot_be_made_plays_once() -> None:
    desk = Conference().talks().orders(PlayAnnouncement(CLOSING, loop=True))
    desk.played()
    assert len(desk.did(Play)) == 1
    desk.orders(StopAnnouncement())
    desk.stopped()
    assert desk.playing == [] and desk.hears(CUSTOMER) == {desk.ann}
    desk.orders(PlayAnnouncement(CLOSING, loop=True))
    play = desk.playing.pop()
    desk.happens(PlaybackEnded(play.playback_id, stopped=False, item=0, played_ms=20))
    assert desk.did(Play) == [], "nor what is all but nothing"


def test_an_announcement_ends_with_the_talk() -> None:
    desk = Conference().talks().orders(PlayAnnouncement(CLOSING, loop=True))
    desk.leaves(0)
    assert len(desk.did(StopPlayback)) == 1 and desk.control.call.announcement is None
    desk.stopped()
    assert desk.did(Play) == []


def test_who_is_held_hears_no_announcement() -> None:
    desk = Conference().talks().orders(ChangeLeg(LEG, held=True)).orders(PlayAnnouncement(CLOSING))
    assert desk.hears(CUSTOMER) == {MUSIC} and BotParty() in desk.hears(desk.ann)


def test_a_customer_with_the_bot_hears_no_announcement() -> None:
    desk = Conference()
    desk.connected()
    assert desk.refuses(PlayAnnouncement(CLOSING)) == TurnDown("play")
