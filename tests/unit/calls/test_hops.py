"""People pass the customer on: by REFER, by the API, to somebody they talk to already; and places that are taken."""

from dataclasses import replace

import pytest

from gateway.calls.causes import MEDIA_TIMEOUT, NORMAL, TRANSFERRED, EndedBy
from gateway.calls.commands import Answer, Hangup, Note, Play, Reject, Timer
from gateway.calls.events import (
    DtmfReceived,
    LegAnswered,
    LegEnded,
    LegHoldChanged,
    LegOffered,
    TransferCancelled,
    TransferRequested,
)
from gateway.calls.model import CallId, Leg, LegId, LegParty, MusicParty, PeerHold, Role
from gateway.calls.outbound import NoWay, TransferReason
from gateway.calls.refers import (
    AnswerRefer,
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
from gateway.calls.states import CallState, LegState
from gateway.calls.switch import Switch
from tests.scripted_call import CALLER, LEG
from tests.unit.calls.test_transfer import BUSY, CUSTOMER, Desk

BOB = "+4916"
OTHER = CallId("call_2")


def to(user: str = BOB, **more: object) -> ReferTarget:
    return ReferTarget(f"sip:{user}@gw", user, True, **more)  # type: ignore[arg-type]


def to_bob(**more: object) -> Switch:
    return Switch.model_validate({"phoneNumber": BOB, **more})


def refers(desk: Desk, target: ReferTarget | None = None, leg: LegId | None = None) -> None:
    desk.happens(ReferReceived(leg or desk.leg(), 7, target or to()))


def answered_with(desk: Desk) -> list[int]:
    return [command.status for command in desk.all if isinstance(command, AnswerRefer)]


def notified(desk: Desk) -> list[int]:
    return [command.status for command in desk.all if isinstance(command, NotifyRefer)]


def ended(desk: Desk) -> list[dict]:
    return [dict(c.fields) for c in desk.all if isinstance(c, Note) and c.name == "transfer.ended"]


def hangups(desk: Desk) -> list[LegId]:
    return [command.leg_id for command in desk.all if isinstance(command, Hangup)]


def test_a_blind_transfer_by_the_agents_phone() -> None:
    desk = Desk().bridged(continueCall=True)
    refers(desk)
    assert desk.control.call.state is CallState.TALKING and desk.dials[1].number == BOB
    ann = LegParty(desk.leg())
    assert desk.heard() == {(ann, CUSTOMER), (CUSTOMER, ann)}  # until Bob is there
    desk.rings(1)
    desk.answers(1)
    bob = LegParty(desk.leg(1))
    assert desk.heard() == {(bob, CUSTOMER), (CUSTOMER, bob)}
    assert (answered_with(desk), notified(desk)) == ([202], [100, 180, 200])
    assert hangups(desk) == [desk.leg()]
    assert not [ask for ask in desk.asks if ask.event.value == "transfer"]
    desk.released(0)
    desk.leaves(1)
    (told,) = [ask.data for ask in desk.asks if ask.event.value == "transfer"]
    (hop,) = told["hops"]
    assert (hop["kind"], hop["number"], hop["status"]) == ("refer", BOB, "SUCCESS")
    assert (told["status"], told["endedBy"]) == ("SUCCESS", "agent") and desk.control.call.state is CallState.BOT
    first, second = ended(desk)
    assert first["hopOf"] == second["transferId"] and first["transferId"] == hop["transferId"]


def test_a_busy_colleague_brings_both_together_again() -> None:
    desk = Desk().bridged()
    refers(desk)
    desk.fails(486, BUSY, number=1)
    assert notified(desk) == [100, 486] and not hangups(desk)
    ann = LegParty(desk.leg())
    assert desk.heard() == {(ann, CUSTOMER), (CUSTOMER, ann)}
    refers(desk)  # and may try again
    assert answered_with(desk) == [202, 202]


def test_the_referrer_leaves_and_the_customer_is_called_through() -> None:
    desk = Desk().bridged()
    refers(desk)
    desk.leaves(0)
    assert desk.control.call.state is CallState.TRANSFERRING
    assert desk.heard() == {(MusicParty("tones/ringback"), CUSTOMER)}
    desk.answers(1)
    bob = LegParty(desk.leg(1))
    assert desk.control.call.state is CallState.TALKING and desk.heard() == {(bob, CUSTOMER), (CUSTOMER, bob)}
    assert not hangups(desk)
    desk.leaves(1)


def test_the_referrer_leaves_and_nobody_answers() -> None:
    desk = Desk().bridged(onFail="return")
    refers(desk)
    desk.leaves(0)
    desk.fails(486, BUSY, number=1)
    assert desk.control.call.state is CallState.BOT
    (told,) = [ask.data for ask in desk.asks if ask.event.value == "transfer"]
    assert (told["status"], told["reason"], told["hangup"]) == ("SUCCESS", "busy", False)
    assert [hop["status"] for hop in told["hops"]] == ["FAIL"]


def test_the_customer_leaves_while_the_colleague_rings() -> None:
    desk = Desk().bridged()
    refers(desk)
    desk.customer_leaves()
    assert set(hangups(desk)) == {desk.leg(0), desk.leg(1)} and notified(desk) == [100, 487]
    assert [told["status"] for told in ended(desk)] == ["FAIL", "SUCCESS"]
    desk.released(0)
    desk.released(1)
    assert desk.end.ended_by is EndedBy.CUSTOMER and not desk.timers


def test_the_longest_talk_ends_a_hop_too() -> None:
    desk = Desk().bridged(maxTalkMs=5000)
    refers(desk)
    assert Timer.MAX_TALK in desk.timers
    desk.time_passes(Timer.MAX_TALK)
    assert [told["reason"] for told in ended(desk)] == ["cancelled", "max-talk"]
    assert {desk.leg(0), desk.leg(1)} <= set(hangups(desk)) and notified(desk) == [100, 487]


def test_the_longest_talk_goes_on_with_the_colleague() -> None:
    desk = Desk().bridged(maxTalkMs=5000)
    refers(desk)
    desk.answers(1)
    assert Timer.MAX_TALK in desk.timers
    desk.time_passes(Timer.MAX_TALK)
    assert hangups(desk)[-2:] != [] and desk.leg(1) in hangups(desk)
    assert ended(desk)[-1]["reason"] == "max-talk"


@pytest.mark.parametrize("why", [TransferReason.BLOCKED, TransferReason.INVALID_NUMBER])
def test_what_cannot_be_referred_to(why: TransferReason) -> None:
    desk = Desk().bridged()
    desk.ways.no["666"] = NoWay(why, "no")
    refers(desk, to("666"))
    assert answered_with(desk) == [403 if why is TransferReason.BLOCKED else 404] and not notified(desk)


def test_one_at_a_time_and_only_who_talks() -> None:
    desk = Desk().bridged()
    refers(desk)
    refers(desk)
    refers(desk, leg=LegId("leg_unknown"))
    assert answered_with(desk) == [202, 491, 481]


def test_a_customer_may_refersly_where_the_plan_says_so() -> None:
    desk = Desk().bridged()
    refers(desk, leg=LEG)
    assert answered_with(desk) == [603]


def test_a_customers_side_passes_the_call_on() -> None:
    """A PBX calls, its operator transfers: the colleague talks to the bot from then on."""
    desk = Desk().connected()
    desk.ways.refers.add(CALLER.trunk)
    refers(desk, leg=LEG)
    assert desk.control.call.state is CallState.BOT and desk.dials[0].number == BOB
    desk.answers()
    new = desk.leg()
    assert desk.control.call.customer.id == new and hangups(desk) == [LEG] and notified(desk) == [100, 180, 200]
    desk.is_gone()
    assert not [command for command in desk.all if type(command).__name__ == "EndCall"]
    desk.happens(LegEnded(new, NORMAL, 200, None, by_peer=True))
    assert desk.end.ended_by is EndedBy.CUSTOMER


def test_the_customer_gives_up_while_its_side_passes_it_on() -> None:
    desk = Desk().connected()
    desk.ways.refers.add(CALLER.trunk)
    refers(desk, leg=LEG)
    desk.customer_leaves()
    assert hangups(desk) == [desk.leg()]
    desk.released()
    assert desk.end and not desk.timers


# ── the API ───────────────────────────────────────────────────────────────────────────────────────


def test_the_api_passes_the_customer_on() -> None:
    desk = Desk().bridged()
    desk.happens(TransferRequested(to_bob(accept={"digit": "1"})))
    assert desk.control.call.passing_on
    desk.answers(1)
    (play,) = [command for command in desk.all if isinstance(command, Play)]
    desk.happens(DtmfReceived(desk.leg(1), "1"))
    bob = LegParty(desk.leg(1))
    assert desk.heard() == {(bob, CUSTOMER), (CUSTOMER, bob)} and hangups(desk) == [desk.leg()]
    assert not [ask for ask in desk.asks if ask.event.value == "transfer"] and not desk.control.call.passing_on
    assert play and not notified(desk)


def test_the_api_takes_it_back() -> None:
    desk = Desk().bridged()
    desk.happens(TransferRequested(to_bob()))
    desk.happens(TransferCancelled())
    ann = LegParty(desk.leg())
    assert desk.heard() == {(ann, CUSTOMER), (CUSTOMER, ann)} and hangups(desk) == [desk.leg(1)]
    assert ended(desk)[0]["reason"] == "cancelled" and desk.control.call.state is CallState.TALKING


def test_a_lost_agent_while_the_colleague_rings_is_called_through_too() -> None:
    desk = Desk().bridged()
    desk.happens(TransferRequested(to_bob()))
    desk.happens(LegEnded(desk.leg(), MEDIA_TIMEOUT, 200, None, by_peer=False))
    desk.answers(1)
    assert desk.control.call.state is CallState.TALKING


# ── somebody whom the referrer talks to already ───────────────────────────────────────────────────


def peer() -> Leg:
    return Leg(LegId("leg_bob"), Role.AGENT, LegState.CONNECTED, trunk="office")


def test_an_attended_transfer_is_joined_inside() -> None:
    desk = Desk().bridged()
    refers(desk, to("802", replaces=LegId("leg_second")))
    (claim,) = desk.did(ClaimPeer)
    assert claim == ClaimPeer(LegId("leg_second"), CallId("call_1")) and not desk.dials[1:]
    desk.happens(LegTakenOver(peer(), "bob"))
    bob = LegParty(LegId("leg_bob"))
    assert desk.heard() == {(bob, CUSTOMER), (CUSTOMER, bob)}
    assert hangups(desk) == [desk.leg()] and notified(desk) == [100, 200]
    desk.released()
    desk.happens(LegEnded(LegId("leg_bob"), NORMAL, 200, None, by_peer=True))
    (told,) = [ask.data for ask in desk.asks if ask.event.value == "transfer"]
    assert [(hop["kind"], hop["number"]) for hop in told["hops"]] == [("refer", "bob")]


def test_the_other_call_hands_its_peer_over() -> None:
    desk = Desk().bridged()
    desk.happens(PeerClaimed(LEG, OTHER))
    (handed,) = desk.did(HandOver)
    assert (handed.leg.id, handed.target, handed.to) == (desk.leg(), "+4915", OTHER)
    assert hangups(desk) == [LEG] and not desk.edges
    desk.is_gone()
    assert (desk.end.ended_by, desk.end.cause) == (EndedBy.TRANSFERRED, TRANSFERRED)
    assert desk.status["status"] == "SUCCESS" and desk.status["endedBy"] == "transferred"


def test_a_refer_on_the_leg_that_goes_first_has_its_last_word_from_there() -> None:
    desk, second = Desk().bridged(), Desk().bridged()
    desk.happens(ReferReceived(desk.leg(), 7, to("802", replaces=LEG), turned_round=True))
    assert not desk.did(ClaimPeer)  # of our own: there is nobody to claim
    desk.happens(ReferReceived(desk.leg(), 8, to("802", replaces=LegId("leg_second")), turned_round=True))
    (claim,) = desk.did(ClaimPeer)
    assert claim.refer_id == 8
    second.happens(PeerClaimed(LEG, OTHER, 8))
    told = [c for c in second.commands if isinstance(c, NotifyRefer | Hangup)]
    assert told == [NotifyRefer(LEG, 8, 200), Hangup(LEG, TRANSFERRED)]


@pytest.mark.parametrize("leg", [LegId("leg_2"), LegId("nobody")])
def test_nobody_else_is_handed_over(leg: LegId) -> None:
    desk = Desk().bridged()
    desk.happens(PeerClaimed(leg, OTHER))
    assert desk.commands == [RefuseClaim(OTHER)]


def test_a_peer_that_still_rings_is_called_anew() -> None:
    second = Desk().switches()
    second.happens(PeerClaimed(LEG, OTHER))
    assert RefuseClaim(OTHER) in second.commands and set(hangups(second)) == {second.leg(), LEG}
    desk = Desk().bridged()
    refers(desk, to(BOB, replaces=LegId("leg_second")))
    desk.happens(ClaimRefused())
    assert desk.dials[1].number == BOB


def test_a_claim_that_finds_nobody() -> None:
    desk = Desk().bridged()
    desk.ways.no["802"] = NoWay(TransferReason.INVALID_NUMBER, "no such")
    refers(desk, to("802", replaces=LegId("leg_second")))
    desk.happens(ClaimRefused())
    assert notified(desk) == [100, 404] and not hangups(desk)


def test_the_customer_leaves_before_the_peer_comes() -> None:
    desk = Desk().bridged()
    refers(desk, to("802", replaces=LegId("leg_second")))
    desk.customer_leaves()
    desk.happens(LegTakenOver(peer(), "bob"))
    assert desk.commands == [Hangup(LegId("leg_bob"), NORMAL)]
    desk.released()
    desk.happens(LegEnded(LegId("leg_bob"), NORMAL, 200, None, by_peer=False))
    assert desk.end


def test_the_referrer_leaves_before_the_peer_comes() -> None:
    desk = Desk().bridged()
    refers(desk, to("802", replaces=LegId("leg_second")))
    desk.leaves()
    desk.happens(LegTakenOver(peer(), "bob"))
    bob = LegParty(LegId("leg_bob"))
    assert desk.heard() == {(bob, CUSTOMER), (CUSTOMER, bob)} and desk.control.call.state is CallState.TALKING


# ── INVITE with Replaces ──────────────────────────────────────────────────────────────────────────


NEW = LegId("leg_new")


def takes(desk: Desk, leg: LegId) -> None:
    desk.happens(LegOffered(NEW, replace(CALLER, trunk="office"), replaces=leg))


def test_a_phone_takes_the_agents_place() -> None:
    desk = Desk().bridged()
    takes(desk, desk.leg())
    assert desk.did(Answer) == [Answer(NEW)]
    desk.happens(LegAnswered(NEW, "PCMU"))
    new = LegParty(NEW)
    assert desk.heard() == {(new, CUSTOMER), (CUSTOMER, new)} and hangups(desk) == [desk.leg()]
    desk.released()
    desk.happens(LegEnded(NEW, NORMAL, 200, None, by_peer=True))
    assert [hop["kind"] for hop in desk.status["hops"]] == ["replaced"]


def test_a_phone_takes_the_customers_place() -> None:
    desk = Desk().connected()
    takes(desk, LEG)
    desk.happens(LegAnswered(NEW, "PCMU"))
    assert hangups(desk) == [LEG] and desk.control.call.customer.id == NEW
    desk.is_gone()
    desk.happens(DtmfReceived(NEW, "5"))
    desk.bot_replies()
    desk.happens(LegEnded(NEW, NORMAL, 200, None, by_peer=True))
    assert desk.end.ended_by is EndedBy.CUSTOMER


def test_a_place_that_is_free_by_then() -> None:
    desk = Desk().bridged(continueCall=True)
    takes(desk, desk.leg())
    desk.leaves()
    desk.happens(LegAnswered(NEW, "PCMU"))
    assert hangups(desk) == [NEW] and desk.control.call.state is CallState.BOT


def test_the_call_ends_before_the_place_is_taken() -> None:
    desk = Desk().bridged()
    takes(desk, desk.leg())
    desk.customer_leaves()
    assert set(hangups(desk)) == {desk.leg(), NEW}
    desk.released()
    desk.happens(LegEnded(NEW, NORMAL, 200, None, by_peer=False))
    assert desk.end


def test_places_that_cannot_be_taken() -> None:
    desk = Desk().switches()
    takes(desk, desk.leg())
    assert desk.did(Reject)[0].status == 481
    desk.customer_leaves()
    takes(desk, LEG)
    assert desk.did(Reject)[0].status == 481


def test_an_agent_on_hold_passes_on() -> None:
    """As desk phones do: hold, then REFER."""
    desk = Desk().bridged()
    desk.happens(LegHoldChanged(desk.leg(), PeerHold.SENDONLY))
    refers(desk)
    desk.answers(1)
    bob = LegParty(desk.leg(1))
    assert desk.heard() == {(bob, CUSTOMER), (CUSTOMER, bob)}


# ── Who leaves, and when ──────────────────────────────────────────────────────────────────────────


def test_the_customers_place_is_taken_while_its_side_passes_it_on() -> None:
    """Whoever took the place has begun nothing: the hop of the leg that went is given up."""
    desk = Desk().connected()
    desk.ways.refers.add(CALLER.trunk)
    refers(desk, leg=LEG)
    takes(desk, LEG)
    desk.happens(LegAnswered(NEW, "PCMU"))
    assert (desk.control.call.customer.id, notified(desk)) == (NEW, [100, 487])
    assert set(hangups(desk)) == {LEG, desk.leg()}
    desk.is_gone()
    desk.released()
    assert desk.control.call.state is CallState.BOT and not desk.control.call.passing_on


def test_a_customer_on_hold_passes_on_and_the_bots_time_runs_again() -> None:
    desk = Desk().connected()
    desk.bot_replies()
    desk.ways.refers.add(CALLER.trunk)
    desk.holds()
    refers(desk, leg=LEG)
    assert Timer.NO_INPUT not in desk.timers
    desk.answers()
    assert Timer.NO_INPUT in desk.timers


def test_the_customers_place_is_taken_while_digits_go_out_and_the_bot_goes_on() -> None:
    desk = Desk().connected()
    desk.bot_replies({"type": "sendDtmf", "digits": "1"}, {"type": "text", "text": "Hello"})
    takes(desk, LEG)
    desk.happens(LegAnswered(NEW, "PCMU"))
    assert len(desk.did(Play)) == 1


def test_a_claim_that_is_not_answered_yet_is_the_only_one() -> None:
    """Its answer names no claim: whoever comes for the first must not be taken for the second."""
    desk = Desk().bridged()
    refers(desk, to("802", replaces=LegId("leg_second")))
    takes(desk, desk.leg())
    desk.happens(LegAnswered(NEW, "PCMU"))
    refers(desk, to("803", replaces=LegId("leg_third")), leg=NEW)
    assert answered_with(desk) == [202, 491]
    desk.happens(LegTakenOver(peer(), "bob"))
    assert Hangup(LegId("leg_bob"), NORMAL) in desk.commands
    refers(desk, to("803", replaces=LegId("leg_third")), leg=NEW)
    assert answered_with(desk) == [202, 491, 202]


def test_a_customers_side_that_passed_the_call_on_is_in_the_hops() -> None:
    desk = Desk().bridged()
    desk.ways.refers.add(CALLER.trunk)
    refers(desk, leg=LEG)
    desk.answers(1)
    assert desk.control.call.customer.id == desk.leg(1)
    desk.leaves(0)
    (told,) = [ask.data for ask in desk.asks if ask.event.value == "transfer"]
    assert [(hop["kind"], hop["status"]) for hop in told["hops"]] == [("refer", "SUCCESS")]


def test_who_comes_over_on_hold_is_not_held_here() -> None:
    desk = Desk().bridged()
    refers(desk, to(replaces=LegId("leg_x")))
    bob = Leg(LegId("leg_bob"), Role.AGENT, LegState.CONNECTED, held=True, muted=True)
    desk.happens(LegTakenOver(bob, BOB))
    assert desk.heard() == {(LegParty(bob.id), CUSTOMER), (CUSTOMER, LegParty(bob.id))}
