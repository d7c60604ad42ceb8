"""Transfers at the desk: every way to the bridge and from it, in the core's own words."""

from typing import Any

import pytest

from gateway.calls.causes import NO_COMMON_CODEC, NORMAL, Cause, Reason, Result
from gateway.calls.commands import AbandonBot, Dial, EndCall, Hangup, Note, Play, SendDigits, StopPlayback, Timer
from gateway.calls.events import (
    DigitsSent,
    DtmfReceived,
    LegAnswered,
    LegEnded,
    LegRinging,
    PlaybackEnded,
    TimerFired,
    TransferCancelled,
    TransferRequested,
)
from gateway.calls.model import BotParty, Call, LegId, LegParty, MusicParty, Party
from gateway.calls.outbound import Callee, NoWay, TransferReason, Way
from gateway.calls.states import CallState
from gateway.calls.switch import Switch
from tests.scripted_call import LEG, Everywhere, ScriptedCall

ANN = "+4915"
BUSY = Cause(Result.CALLEE, Reason.BUSY)


class Desk(ScriptedCall):
    """A call that the bot transfers."""

    def switches(self, **fields: Any) -> "Desk":
        self.connected()
        self.bot_replies({"type": "switch", **({} if "targets" in fields else {"phoneNumber": ANN}), **fields})
        return self

    @property
    def dials(self) -> list[Dial]:
        return [command for command in self.all if isinstance(command, Dial)]

    @property
    def status(self) -> dict[str, Any]:
        """What the bot is told; exactly one."""
        (ask,) = [ask for ask in self.asks if ask.event.value == "transfer"]
        (note,) = [c for c in self.all if isinstance(c, Note) and c.name == "transfer.ended"]
        assert note.fields == ask.data
        return dict(ask.data)

    def leg(self, number: int = 0) -> LegId:
        return self.dials[number].leg_id

    def rings(self, number: int = 0, media: bool = False) -> None:
        self.happens(LegRinging(self.leg(number), 180, media))

    def answers(self, number: int = 0) -> None:
        self.happens(LegAnswered(self.leg(number), "PCMU"))

    def fails(self, status: int, cause: Cause = BUSY, number: int = 0, **fields: Any) -> None:
        self.happens(LegEnded(self.leg(number), cause, status, None, by_peer=True, **fields))

    def leaves(self, number: int = 0, cause: Cause = NORMAL) -> None:
        self.happens(LegEnded(self.leg(number), cause, 200, None, by_peer=True))

    def released(self, number: int = 0) -> None:
        self.happens(LegEnded(self.leg(number), NORMAL, 487, None, by_peer=False))

    def customer_leaves(self) -> None:
        self.happens(LegEnded(LEG, NORMAL, 200, None, by_peer=True))

    def heard(self) -> set[tuple[Party, Party]]:
        return {(edge.source, edge.sink) for edge in self.edges}

    def bridged(self, **fields: Any) -> "Desk":
        self.switches(**fields)
        self.answers()
        return self


CUSTOMER = LegParty(LEG)


def test_both_hear_each_other_after_the_answer_and_ringback_before() -> None:
    desk = Desk().switches(headers={"callReason": "support"}, userToUser="abcd;encoding=hex")
    (dial,) = desk.dials
    assert (dial.number, dial.headers, dial.user_to_user) == (ANN, (("callReason", "support"),), ("abcd;encoding=hex",))
    assert desk.control.call.state is CallState.TRANSFERRING
    assert desk.heard() == {(MusicParty("tones/ringback"), CUSTOMER)}
    desk.rings()
    desk.answers()
    agent = LegParty(desk.leg())
    assert desk.heard() == {(agent, CUSTOMER), (CUSTOMER, agent)}
    assert desk.control.call.state is CallState.TALKING
    assert Timer.RING not in desk.timers


def test_the_agent_hangs_up_and_the_call_ends() -> None:
    desk = Desk().bridged()
    desk.leaves()
    assert (desk.status["status"], desk.status["hangup"], desk.status["reason"]) == ("SUCCESS", False, "completed")
    assert desk.status["endedBy"] == "agent" and desk.status["talkMs"] == 500
    assert Hangup(LEG, NORMAL) in desk.commands
    desk.happens(LegEnded(LEG, NORMAL, 200, None, by_peer=False))
    assert isinstance(desk.commands[-1], EndCall)
    assert [ask.event.value for ask in desk.asks] == ["start", "transfer", "hangup"]


def test_the_customer_returns_to_the_bot_when_it_wants_so() -> None:
    desk = Desk().bridged(continueCall=True)
    desk.leaves()
    assert desk.status["status"] == "SUCCESS" and desk.control.call.state is CallState.BOT
    assert desk.heard() == {(BotParty(), CUSTOMER)}
    desk.bot_replies({"type": "text", "text": "Anything else?"})
    assert any(isinstance(command, Play) for command in desk.commands)


def test_the_customer_hangs_up_while_they_talk() -> None:
    desk = Desk().bridged()
    desk.customer_leaves()
    assert (desk.status["status"], desk.status["hangup"], desk.status["endedBy"]) == ("SUCCESS", True, "customer")
    assert Hangup(desk.leg(), NORMAL) in desk.commands
    assert not any(isinstance(command, EndCall) for command in desk.commands)
    desk.released()
    assert isinstance(desk.commands[-1], EndCall)
    assert [ask.event.value for ask in desk.asks] == ["start", "transfer", "hangup"]


def test_the_customer_hangs_up_while_it_rings() -> None:
    desk = Desk().switches()
    desk.rings()
    desk.customer_leaves()
    status = desk.status
    assert (status["status"], status["hangup"], status["reason"]) == ("FAIL", True, "caller-abandoned")
    assert Hangup(desk.leg(), NORMAL) in desk.commands
    desk.released()
    assert isinstance(desk.commands[-1], EndCall)


@pytest.mark.parametrize(
    ("status", "cause", "reason"),
    [
        (486, BUSY, "busy"), (600, BUSY, "busy"), (480, BUSY, "no-answer"), (603, BUSY, "declined"),
        (404, BUSY, "invalid-number"), (488, BUSY, "media-failed"), (503, BUSY, "carrier-error"),
    ],
)  # fmt: skip
def test_a_refusal_and_its_reason(status: int, cause: Cause, reason: str) -> None:
    desk = Desk().switches(continueCall=True)
    desk.fails(status, cause)
    told = desk.status
    assert (told["status"], told["hangup"], told["reason"], told["sipStatus"]) == ("FAIL", False, reason, status)
    assert told["attempts"] == [{"target": ANN, "sipStatus": status, "reason": reason}]
    assert desk.control.call.state is CallState.BOT


@pytest.mark.parametrize(("status", "phrase"), [(401, "Unauthorized"), (407, "Proxy Authentication Required")])
def test_a_refused_password_is_named(status: int, phrase: str) -> None:
    desk = Desk().switches(continueCall=True)
    desk.fails(status, BUSY)
    assert (desk.status["reason"], desk.status["sipReason"]) == ("carrier-error", phrase)


def test_silence_and_a_broken_transport_are_unreachable() -> None:
    desk = Desk().switches(continueCall=True)
    silent = Cause(Result.CARRIER, Reason.NO_RESPONSE)
    desk.happens(LegEnded(desk.leg(), silent, 408, None, by_peer=False))
    assert (desk.status["reason"], desk.status["attempts"][0]["sipStatus"]) == ("unreachable", None)


def test_a_failure_without_return_ends_with_an_apology() -> None:
    desk = Desk().switches()
    desk.fails(486)
    assert desk.status["status"] == "FAIL"
    assert isinstance(desk.playing[-1], Play)
    desk.happens(PlaybackEnded(desk.playing[-1].playback_id, False, 0, 900))
    assert any(isinstance(command, Hangup) and command.leg_id == LEG for command in desk.commands)


def test_nobody_answers_in_time() -> None:
    desk = Desk().switches(timeout="30", continueCall=True)
    assert desk.timers[Timer.RING] == 30_000
    desk.now += 31
    desk.happens(TimerFired(Timer.RING))
    assert Hangup(desk.leg(), Cause(Result.CALLEE, Reason.NO_ANSWER)) in desk.commands
    assert desk.status["reason"] == "no-answer"


def test_targets_one_after_the_other() -> None:
    desk = Desk().switches(targets=[{"phoneNumber": "+1"}, {"phoneNumber": "+2"}, {"phoneNumber": "+3"}])
    desk.fails(486)
    desk.fails(503, number=1)
    assert [dial.number for dial in desk.dials] == ["+1", "+2", "+3"]
    desk.answers(2)
    desk.leaves(2)
    assert (desk.status["number"], desk.status["status"]) == ("+3", "SUCCESS")
    assert [attempt["reason"] for attempt in desk.status["attempts"]] == ["busy", "carrier-error"]


def test_several_at_once_and_the_first_wins() -> None:
    desk = Desk().switches(targets=[{"phoneNumber": "+1"}, {"phoneNumber": "+2"}], strategy="parallel")
    assert [dial.number for dial in desk.dials] == ["+1", "+2"]
    desk.answers(1)
    assert Hangup(desk.leg(0), NORMAL, elsewhere=True) in desk.commands
    desk.released(0)
    assert desk.control.call.state is CallState.TALKING
    desk.leaves(1)
    assert desk.status["attempts"] == []


def test_a_target_that_policy_forbids_is_not_dialled() -> None:
    desk = Desk(ways=Everywhere({ANN: NoWay(TransferReason.BLOCKED, "+4915 is not allowed")}))
    desk.switches(continueCall=True)
    assert desk.dials == []
    assert (desk.status["reason"], desk.status["detail"]) == ("blocked", "+4915 is not allowed")
    assert desk.control.call.state is CallState.BOT


def test_digits_briefing_and_acceptance_before_the_bridge() -> None:
    desk = Desk().switches(postDialDigits="ww12", announce="A call for you", accept=True, continueCall=True)
    desk.answers()
    assert SendDigits(desk.leg(), "ww12", 120) in desk.commands
    agent = LegParty(desk.leg())
    assert desk.heard() == {(MusicParty("tones/ringback"), CUSTOMER), (BotParty(), agent)}
    desk.happens(DigitsSent(desk.leg()))
    briefing = desk.playing[-1]
    desk.happens(PlaybackEnded(briefing.playback_id, False, 0, 900))
    prompt = desk.playing[-1]
    assert prompt is not briefing
    desk.happens(PlaybackEnded(prompt.playback_id, False, 0, 900))
    assert desk.timers[Timer.ACCEPT] == 10_000
    desk.happens(DtmfReceived(desk.leg(), "1"))
    assert desk.heard() == {(agent, CUSTOMER), (CUSTOMER, agent)}


@pytest.mark.parametrize("how", ["wrong digit", "silence", "hangs up"])
def test_not_accepted(how: str) -> None:
    desk = Desk().switches(accept=True, continueCall=True)
    desk.answers()
    if how == "wrong digit":
        desk.happens(DtmfReceived(desk.leg(), "2"))
    elif how == "silence":
        desk.happens(PlaybackEnded(desk.playing[-1].playback_id, False, 0, 900))
        desk.now += 10
        desk.happens(TimerFired(Timer.ACCEPT))
    else:
        desk.leaves()
    assert (desk.status["reason"], desk.status["status"]) == ("not-accepted", "FAIL")


def test_the_customer_leaves_during_the_briefing_and_the_agent_is_told() -> None:
    desk = Desk().switches(announce="A call for you")
    desk.answers()
    desk.customer_leaves()
    assert desk.timers[Timer.NOTICE] < 2000
    assert desk.status["reason"] == "caller-abandoned"
    desk.happens(TimerFired(Timer.NOTICE))
    assert Hangup(desk.leg(), NORMAL) in desk.commands
    desk.released()
    assert isinstance(desk.commands[-1], EndCall)


def test_early_media_are_heard_and_nothing_is_said_to_them() -> None:
    desk = Desk().switches(ringback="earlyMedia")
    assert desk.heard() == {(MusicParty("tones/ringback"), CUSTOMER)}
    desk.rings(media=True)
    assert desk.heard() == {(LegParty(desk.leg()), CUSTOMER)}


def test_a_redirection_is_followed_under_the_policy() -> None:
    desk = Desk().switches()
    desk.fails(302, contacts=("sip:+4916@carrier",))
    assert desk.dials[1].number == "sip:+4916@carrier"


def test_a_redirection_that_policy_forbids_ends_it() -> None:
    desk = Desk(ways=Everywhere({"sip:+900@evil": NoWay(TransferReason.BLOCKED, "no")})).switches(continueCall=True)
    desk.fails(302, contacts=("sip:+900@evil",))
    assert desk.status["reason"] == "blocked"


def test_max_talk() -> None:
    desk = Desk().bridged(maxTalkMs=60000, continueCall=True)
    assert desk.timers[Timer.MAX_TALK] == 60_000
    desk.happens(TimerFired(Timer.MAX_TALK))
    assert (desk.status["reason"], desk.status["endedBy"]) == ("max-talk", "gateway")
    assert Hangup(desk.leg(), NORMAL) in desk.commands
    assert desk.control.call.state is CallState.BOT


def test_a_lost_leg_is_no_hangup() -> None:
    desk = Desk().bridged(continueCall=True, postSession={"channel": "reception"})
    desk.leaves(cause=Cause(Result.CARRIER, Reason.MEDIA_TIMEOUT))
    assert (desk.status["reason"], desk.status["status"]) == ("media-failed", "SUCCESS")
    assert [ask.event.value for ask in desk.asks] == ["start", "transfer"], "no survey"


def test_a_survey_after_the_agent_has_hung_up() -> None:
    desk = Desk().bridged(postSession={"channel": "reception", "parameters": {"a": 1}})
    desk.leaves()
    assert [ask.event.value for ask in desk.asks] == ["start", "transfer", "start"]
    assert desk.asks[-1].data == {"reason": "postSession", "parameters": {"a": 1}}


def test_it_can_be_taken_back_until_the_bridge() -> None:
    desk = Desk().switches(continueCall=True)
    desk.happens(TransferCancelled())
    assert desk.status["reason"] == "cancelled"
    assert Hangup(desk.leg(), NORMAL) in desk.commands


def test_keys_go_to_those_who_hear_the_one_who_presses() -> None:
    desk = Desk().bridged()
    desk.happens(DtmfReceived(LEG, "5"))
    assert desk.commands == [SendDigits(desk.leg(), "5", 160)]
    desk.happens(DtmfReceived(desk.leg(), "6"))
    assert desk.commands == [SendDigits(LEG, "6", 160)]


def test_a_parked_bot_hears_no_key() -> None:
    desk = Desk().switches()
    desk.happens(DtmfReceived(LEG, "5"))
    assert desk.commands == []


def test_a_briefing_that_nobody_waits_for_is_not_heard_by_the_customer() -> None:
    desk = Desk().switches(announce="Owes us three months", continueCall=True)
    desk.answers()
    briefing = desk.playing[-1]
    desk.leaves()
    assert StopPlayback(briefing.playback_id) in desk.commands
    assert desk.heard() == {(BotParty(), CUSTOMER)}


def test_a_key_ends_the_prompt_that_asked_for_it() -> None:
    desk = Desk().switches(accept=True, continueCall=True)
    desk.answers()
    prompt = desk.playing[-1]
    desk.happens(DtmfReceived(desk.leg(), "1"))
    assert StopPlayback(prompt.playback_id) in desk.commands


def test_the_notice_is_not_put_behind_the_briefing() -> None:
    desk = Desk().switches(announce="A long story")
    desk.answers()
    briefing = desk.playing[-1]
    desk.customer_leaves()
    sounds = [command for command in desk.commands if isinstance(command, StopPlayback | Play)]
    assert sounds == [StopPlayback(briefing.playback_id), desk.playing[-1]]


def test_the_time_to_accept_is_no_longer_that_of_the_next_target() -> None:
    desk = Desk().switches(targets=[{"phoneNumber": "+1"}, {"phoneNumber": "+2"}], accept=True)
    desk.answers()
    desk.happens(PlaybackEnded(desk.playing[-1].playback_id, False, 0, 900))
    assert Timer.ACCEPT in desk.timers
    desk.leaves()
    assert len(desk.dials) == 2 and Timer.ACCEPT not in desk.timers


def test_one_of_several_points_elsewhere_while_another_is_asked() -> None:
    desk = Desk().switches(targets=[{"phoneNumber": "+1"}, {"phoneNumber": "+2"}], strategy="parallel", accept=True)
    desk.answers(0)
    desk.fails(302, number=1, contacts=("sip:+4916@carrier",))
    assert len(desk.dials) == 3
    desk.happens(DtmfReceived(desk.leg(0), "1"))
    assert desk.control.call.state is CallState.TALKING


def test_one_who_answers_late_has_the_whole_time_to_accept() -> None:
    desk = Desk().switches(targets=[{"phoneNumber": "+1"}, {"phoneNumber": "+2"}], strategy="parallel", accept=True)
    desk.answers(0)
    desk.happens(PlaybackEnded(desk.playing[-1].playback_id, False, 0, 900))
    desk.answers(1)
    desk.now += 10
    desk.time_passes(Timer.ACCEPT)
    assert Hangup(desk.leg(0), NORMAL) in desk.commands and Hangup(desk.leg(1), NORMAL) not in desk.commands
    desk.happens(PlaybackEnded(desk.playing[-1].playback_id, False, 0, 900))
    assert desk.timers[Timer.ACCEPT] == 10_000


def test_an_answer_without_usable_media() -> None:
    desk = Desk().switches(continueCall=True)
    desk.fails(200, NO_COMMON_CODEC)
    assert (desk.status["status"], desk.status["reason"]) == ("FAIL", "media-failed")


def interrupted(**fields: Any) -> Desk:
    """The customer presses a key while "I connect you" is said: the bot is asked about that as the transfer begins."""
    desk = Desk()
    desk.connected()
    switch = {"type": "switch", "phoneNumber": ANN, "continueCall": True, **fields}
    desk.bot_replies({"type": "text", "text": "I connect you"}, switch)
    desk.presses("5")
    desk.stopped()
    assert desk.dials and desk.asks[-1].event.value == "bargeIn"
    return desk


def test_a_bot_that_fails_meanwhile_changes_nothing() -> None:
    desk = interrupted()
    desk.bot_fails()
    assert not any(isinstance(command, Play) for command in desk.commands)
    desk.answers()
    desk.leaves()
    assert desk.status["status"] == "SUCCESS" and desk.control.call.state is CallState.BOT
    desk.bot_replies({"type": "text", "text": "Welcome back"})
    assert any(isinstance(command, Play) for command in desk.commands)


@pytest.mark.parametrize("when", ["while it rings", "after the return"])
def test_what_a_bot_answers_to_something_before_the_transfer_is_for_nobody(when: str) -> None:
    desk = interrupted()
    if when == "while it rings":
        desk.bot_replies({"type": "hangup"})
    desk.answers()
    desk.leaves()
    if when == "after the return":
        desk.bot_replies({"type": "hangup"})
    assert desk.status["status"] == "SUCCESS"
    assert not any(isinstance(command, Hangup) and command.leg_id == LEG for command in desk.all)
    desk.bot_replies({"type": "text", "text": "Welcome back"})
    assert any(isinstance(command, Play) for command in desk.commands)


def test_the_end_of_a_transfer_is_told_though_the_next_one_begins() -> None:
    desk = Desk().bridged(continueCall=True)
    desk.leaves()
    desk.happens(TransferRequested(Switch(phoneNumber=ANN, continueCall=True)))
    assert len(desk.dials) == 2 and not any(isinstance(command, AbandonBot) for command in desk.all)
    desk.answers(1)
    desk.leaves(1)
    desk.bot_replies()
    assert [ask.event.value for ask in desk.asks] == ["start", "transfer", "transfer"]


def test_a_customer_who_is_being_said_goodbye_is_not_transferred() -> None:
    desk = Desk()
    desk.connected()
    desk.bot_fails()
    desk.bot_fails()
    desk.happens(TransferRequested(Switch(phoneNumber=ANN, continueCall=True)))
    assert desk.dials == []
    desk.played()
    desk.played()
    assert any(isinstance(command, Hangup) for command in desk.commands)


def test_a_key_interrupts_again_after_a_transfer_that_came_upon_an_interruption() -> None:
    desk = Desk()
    desk.connected()
    desk.bot_replies({"type": "text", "text": "A long story"})
    desk.presses("5")
    desk.happens(TransferRequested(Switch(phoneNumber=ANN, continueCall=True)))
    desk.stopped()
    desk.answers()
    desk.leaves()
    desk.bot_replies({"type": "text", "text": "Another one"})
    desk.presses("6")
    assert any(isinstance(command, StopPlayback) for command in desk.commands)


def test_the_bot_that_transferred_is_told_of_the_end_though_another_goes_on() -> None:
    desk = interrupted(postSession={"channel": "reception"})
    desk.answers()
    desk.leaves()
    assert [ask.event.value for ask in desk.asks] == ["start", "bargeIn", "transfer", "start"]


def test_no_timer_starts_when_the_customer_is_gone() -> None:
    desk = Desk().switches(continueCall=True)
    desk.happens(TransferCancelled())
    desk.customer_leaves()
    assert desk.timers == {}
    desk.released()
    assert isinstance(desk.commands[-1], EndCall)


def test_an_end_that_waited_is_told_as_the_next_transfer_begins_and_its_answer_is_for_nobody() -> None:
    desk = interrupted()
    desk.happens(TransferCancelled())
    desk.happens(TransferRequested(Switch(phoneNumber=ANN, continueCall=True)))
    assert desk.asks[-1].event.value == "transfer"
    desk.bot_fails()
    assert not any(isinstance(command, Play) for command in desk.commands)


def test_a_redirection_is_followed_on_the_trunk_that_it_came_from() -> None:
    asked: list[str | None] = []

    class Noted(Everywhere):
        def way_to(self, call: Call, switch: Switch, callee: Callee, now: float) -> Way | NoWay:
            asked.append(callee.trunk)
            return super().way_to(call, switch, callee, now)

    desk = Desk(ways=Noted()).switches()
    desk.fails(302, contacts=("sip:+4916@carrier",))
    assert asked == [None, "acme"]


TWO: dict[str, Any] = {"targets": [{"phoneNumber": "+1"}, {"phoneNumber": "+2"}], "accept": True}


def test_the_time_of_one_who_left_is_not_that_of_the_next() -> None:
    desk = Desk().switches(**TWO)
    desk.answers()
    desk.played()
    assert desk.timers[Timer.ACCEPT] == 10_000
    desk.leaves()
    assert Timer.ACCEPT not in desk.timers


def test_a_redirection_disturbs_nobody_who_is_asked_already() -> None:
    desk = Desk().switches(**TWO, strategy="parallel")
    desk.answers()
    desk.fails(302, number=1, contacts=("sip:+3@carrier",))
    desk.happens(DtmfReceived(desk.leg(), "1"))
    assert desk.control.call.state is CallState.TALKING
    assert Hangup(desk.leg(2), NORMAL, elsewhere=True) in desk.commands


def test_each_is_asked_for_the_key_though_another_was_before() -> None:
    desk = Desk().switches(**TWO, strategy="parallel", announce="A call for you")
    desk.answers(0)
    desk.played()
    desk.answers(1)
    desk.played()
    desk.played()
    assert [type(play.items[0]).__name__ for play in desk.playing] == ["PlayPrompt"], "the second one is asked too"


def test_a_briefing_ends_with_the_one_it_was_for() -> None:
    desk = Desk().switches(announce="A call for you", continueCall=True)
    desk.answers()
    desk.leaves()
    assert {play.playback_id for play in desk.playing} == desk.stopping


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"postSession": {"channel": "nowhere"}}, "postSession.channel: no channel 'nowhere'"),
        ({"onFail": {"handoff": {"channel": "nowhere"}}}, "onFail.handoff.channel: no channel 'nowhere'"),
        ({"userToUser": {"data": "x" * 1500, "encoding": "raw"}}, "userToUser: data"),
    ],
)
def test_what_cannot_be_kept_is_not_begun(fields: dict[str, Any], detail: str) -> None:
    desk = Desk().switches(continueCall=True, **fields)
    assert desk.dials == []
    assert desk.status["reason"] == "invalid-request"
    assert desk.status["detail"].startswith(detail)


def test_data_of_a_switch_counts_as_the_calls() -> None:
    desk = Desk().connected()
    desk.bot_replies(
        {"type": "tag", "data": {"a": "x" * 9000}}, {"type": "switch", "phoneNumber": ANN, "data": {"b": "y" * 9000}}
    )
    assert desk.dials == []
