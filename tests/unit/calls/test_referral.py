"""A transfer by REFER at the desk: every answer and every NOTIFY, and none (transfer.md, "What happens (refer)")."""

import pytest

from gateway.calls.causes import DRAINED, MEDIA_TIMEOUT, NORMAL, TRANSFERRED, EndedBy
from gateway.calls.commands import EndCall, Hangup, Play, Timer
from gateway.calls.events import LegAnswered, LegEnded, LegOffered, TransferCancelled
from gateway.calls.model import LegId, MusicParty
from gateway.calls.outbound import NoWay, TransferReason
from gateway.calls.refers import ReferAnswered, ReferNotified, SendRefer
from gateway.calls.states import CallState
from tests.scripted_call import CALLER, LEG
from tests.unit.calls.test_transfer import ANN, CUSTOMER, Desk


def referring(**fields: object) -> Desk:
    """The REFER is out."""
    return Desk().switches(method="refer", **fields)


def accepted(**fields: object) -> Desk:
    """And its 202 is here."""
    desk = referring(**fields)
    desk.happens(ReferAnswered(LEG, 202))
    return desk


def refers(desk: Desk) -> list[SendRefer]:
    return [command for command in desk.all if isinstance(command, SendRefer)]


def test_the_refer_says_who_and_what() -> None:
    desk = referring(headers={"X-Why": "support"}, userToUser="abcd;encoding=hex", timeout=20)
    (refer,) = refers(desk)
    assert refer == SendRefer(LEG, "acme", ANN, None, (("X-Why", "support"),), ("abcd;encoding=hex",))
    assert desk.timers[Timer.RING] == 25_000
    assert desk.heard() == {(MusicParty("tones/ringback"), CUSTOMER)} and not desk.dials


def test_a_final_notify_200_ends_the_call_with_a_bye_of_ours() -> None:
    desk = accepted(continueCall=True, announce="Hi")
    for status in (100, 180, 183, 200):
        desk.happens(ReferNotified(LEG, status))
    told = desk.status
    assert (told["status"], told["hangup"], told["endedBy"], told["assumed"]) == ("SUCCESS", True, "transferred", False)
    assert (told["method"], told["reason"], told["sipStatus"]) == ("refer", "completed", 200)
    assert [warning.split(":")[0] for warning in told["warnings"]] == ["continueCall", "announce"]
    assert desk.hangup == Hangup(LEG, TRANSFERRED)
    desk.is_gone()
    assert desk.end.ended_by is EndedBy.TRANSFERRED and desk.end.cause == TRANSFERRED
    assert [ask.event.value for ask in desk.asks] == ["start", "transfer", "hangup"] and not desk.timers


def test_ringing_is_told_once() -> None:
    desk = accepted()
    for status in (100, 180, 180, 183):
        desk.happens(ReferNotified(LEG, status))
    names = [command.name for command in desk.all if hasattr(command, "name")]
    assert names == ["transfer.started", "transfer.accepted", "transfer.ringing"]


def test_a_notify_may_overtake_the_202() -> None:
    desk = referring()
    desk.happens(ReferNotified(LEG, 200))
    desk.happens(ReferAnswered(LEG, 202))
    assert desk.status["status"] == "SUCCESS"


@pytest.mark.parametrize(
    ("status", "reason"),
    [(405, "not-supported"), (501, "not-supported"), (420, "not-supported"), (603, "declined"), (403, "declined"),
     (404, "invalid-number"), (486, "busy"), (500, "carrier-error"), (481, "carrier-error")],
)  # fmt: skip
def test_a_refused_refer_leaves_the_customer_with_the_bot(status: int, reason: str) -> None:
    desk = referring()
    desk.happens(ReferAnswered(LEG, status))
    told = desk.status
    assert (told["status"], told["hangup"], told["reason"], told["sipStatus"]) == ("FAIL", False, reason, status)
    assert told["sipReason"], "its phrase"
    assert desk.control.call.state is CallState.BOT and not desk.did(Hangup) and not desk.did(Play)


@pytest.mark.parametrize(
    ("status", "reason"), [(486, "busy"), (480, "no-answer"), (603, "declined"), (302, "carrier-error")]
)
def test_a_final_notify_of_failure_leaves_the_customer_with_the_bot(status: int, reason: str) -> None:
    desk = accepted()
    desk.happens(ReferNotified(LEG, status))
    assert (desk.status["status"], desk.status["reason"], desk.status["sipStatus"]) == ("FAIL", reason, status)
    assert desk.control.call.state is CallState.BOT
    desk.happens(ReferNotified(LEG, 200))  # another word than its last one: too late
    assert desk.control.call.state is CallState.BOT and len(desk.asks) == 2


def test_silence_after_the_202() -> None:
    desk = accepted()
    desk.time_passes(Timer.RING)
    assert (desk.status["status"], desk.status["reason"], desk.status["sipStatus"]) == ("FAIL", "no-answer", None)
    assert desk.control.call.state is CallState.BOT


def test_no_answer_to_the_refer() -> None:
    desk = referring()
    desk.happens(ReferAnswered(LEG, 408, by_peer=False))
    assert (desk.status["reason"], desk.status["sipStatus"]) == ("unreachable", None)
    assert referring_ran_out().status["reason"] == "unreachable"


def referring_ran_out() -> Desk:
    desk = referring()
    desk.time_passes(Timer.RING)
    return desk


def test_bye_instead_of_a_notify_is_success_after_five_seconds() -> None:
    desk = accepted()
    desk.customer_leaves()
    assert not any(isinstance(command, EndCall) for command in desk.all)
    assert desk.timers == {Timer.RING: 5000}
    desk.time_passes(Timer.RING)
    told = desk.status
    assert (told["status"], told["hangup"], told["assumed"], told["endedBy"]) == ("SUCCESS", True, True, "transferred")
    assert desk.end.ended_by is EndedBy.TRANSFERRED
    assert [ask.event.value for ask in desk.asks] == ["start", "transfer", "hangup"] and not desk.timers


@pytest.mark.parametrize(("status", "success"), [(200, True), (486, False)])
def test_a_last_notify_after_the_bye_decides(status: int, success: bool) -> None:
    desk = accepted()
    desk.customer_leaves()
    desk.happens(ReferNotified(LEG, 180))
    desk.happens(ReferNotified(LEG, status))
    told = desk.status
    assert (told["status"] == "SUCCESS", told["hangup"], told["assumed"]) == (success, True, False)
    assert desk.end and not desk.timers


@pytest.mark.parametrize(("status", "success"), [(None, False), (200, True)])
def test_a_peer_that_is_lost_has_not_said_that_it_worked(status: int | None, success: bool) -> None:
    desk = accepted()
    desk.happens(LegEnded(LEG, MEDIA_TIMEOUT, 200, None, by_peer=True))
    assert desk.timers == {Timer.RING: 5000}
    if status is None:
        desk.time_passes(Timer.RING)
    else:
        desk.happens(ReferNotified(LEG, status))
    told = desk.status
    assert (told["status"] == "SUCCESS", told["hangup"], told["assumed"]) == (success, True, False)
    assert told["reason"] == ("completed" if success else "caller-abandoned")
    assert desk.end.ended_by is (EndedBy.TRANSFERRED if success else EndedBy.CUSTOMER) and not desk.timers


def test_bye_before_any_answer_is_a_caller_who_gave_up() -> None:
    desk = referring()
    desk.customer_leaves()
    assert (desk.status["status"], desk.status["hangup"], desk.status["reason"]) == ("FAIL", True, "caller-abandoned")
    assert desk.end.ended_by is EndedBy.CUSTOMER and not desk.timers


def test_without_a_subscription_success_is_assumed() -> None:
    desk = referring()
    desk.happens(ReferAnswered(LEG, 202, notifies=False))
    assert desk.timers[Timer.RING] == 5000
    desk.time_passes(Timer.RING)
    assert (desk.status["status"], desk.status["assumed"]) == ("SUCCESS", True)
    assert desk.hangup == Hangup(LEG, TRANSFERRED)


def test_without_a_subscription_a_bye_is_success_at_once() -> None:
    desk = referring()
    desk.happens(ReferAnswered(LEG, 202, notifies=False))
    desk.customer_leaves()
    assert (desk.status["status"], desk.status["assumed"]) == ("SUCCESS", True) and desk.end


def test_a_second_target_after_a_busy_one() -> None:
    desk = referring(targets=[{"phoneNumber": "+1"}, {"phoneNumber": "+2"}], strategy="parallel")
    desk.happens(ReferAnswered(LEG, 202))
    desk.happens(ReferNotified(LEG, 486))
    assert [refer.number for refer in refers(desk)] == ["+1", "+2"]
    desk.happens(ReferAnswered(LEG, 202))
    desk.happens(ReferNotified(LEG, 200))
    told = desk.status
    assert (told["status"], told["number"], [one["reason"] for one in told["attempts"]]) == ("SUCCESS", "+2", ["busy"])


def test_a_peer_that_knows_no_refer_is_not_asked_twice() -> None:
    desk = referring(targets=[{"phoneNumber": "+1"}, {"phoneNumber": "+2"}])
    desk.happens(ReferAnswered(LEG, 405))
    assert len(refers(desk)) == 1 and desk.status["reason"] == "not-supported"


def test_what_may_not_be_called_is_not_referred_to() -> None:
    desk = Desk()
    desk.ways.no[ANN] = NoWay(TransferReason.BLOCKED, "phoneNumber: no")
    desk.switches(method="refer")
    assert desk.status["reason"] == "blocked" and not refers(desk) and desk.control.call.state is CallState.BOT


def test_an_operator_takes_it_back() -> None:
    desk = accepted()
    desk.happens(TransferCancelled())
    assert desk.status["reason"] == "cancelled" and desk.control.call.state is CallState.BOT


def test_on_fail_hangup_is_done() -> None:
    desk = referring(onFail="hangup")
    desk.happens(ReferAnswered(LEG, 603))
    assert desk.status["status"] == "FAIL" and desk.did(Play)
    desk.played()
    assert desk.hangup.leg_id == LEG


def test_a_second_target_is_not_assumed_as_the_first_one_was() -> None:
    """The first peer said that it would tell nothing, and did."""
    desk = referring(targets=[{"phoneNumber": "+1"}, {"phoneNumber": "+2"}])
    desk.happens(ReferAnswered(LEG, 202, notifies=False))
    desk.happens(ReferNotified(LEG, 486))
    assert len(refers(desk)) == 2
    desk.time_passes(Timer.RING)
    assert (desk.status["status"], desk.status["reason"]) == ("FAIL", "unreachable")


def test_the_place_of_who_was_asked_to_refer_is_taken() -> None:
    """Nobody is there any more who could tell what became of it; the customer is with the bot."""
    desk = accepted()
    new = LegId("leg_new")
    desk.happens(LegOffered(new, CALLER, replaces=LEG))
    desk.happens(LegAnswered(new, "PCMU"))
    assert (desk.status["status"], desk.status["reason"], desk.status["hangup"]) == ("FAIL", "cancelled", False)
    assert desk.hangup == Hangup(LEG, TRANSFERRED) and desk.control.call.state is CallState.BOT
    desk.is_gone()
    desk.happens(LegEnded(new, NORMAL, 200, None, by_peer=True))
    assert desk.end


def test_nobody_waits_for_a_last_notify_when_the_gateway_stops() -> None:
    desk = accepted()
    desk.customer_leaves()
    desk.operator_hangs_up(DRAINED)
    assert (desk.status["status"], desk.status["assumed"]) == ("SUCCESS", True)
    assert desk.end and not desk.timers
