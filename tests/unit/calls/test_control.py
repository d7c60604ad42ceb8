"""One call's control: the answer, the bot's trouble, the end; each test reads like the call."""

from dataclasses import replace

import pytest

from gateway.calls.causes import BOT_FAILED, CANCELLED, DRAINED, NORMAL, Cause, EndedBy, Reason, Result
from gateway.calls.commands import (
    AbandonBot,
    Answer,
    AskBot,
    EndCall,
    Hangup,
    Note,
    Play,
    PlayPrompt,
    Redirect,
    Reject,
    Ring,
    SayText,
    SetHearing,
    StartTimer,
    Timer,
)
from gateway.calls.events import BotReplied, LegAnswered, LegEnded, LegOffered
from gateway.calls.model import AnswerMode, BotParty, ChannelPolicy, Edge, LegParty, PeerHold, Spoken
from gateway.calls.replies import BotResponse
from gateway.calls.states import CallState
from tests.scripted_call import CALLER, HANGUP, LEG, ScriptedCall, collect, text


def answering(mode: AnswerMode, after_ms: int = 0) -> ScriptedCall:
    return ScriptedCall(ChannelPolicy("reception", answer=mode, answer_after_ms=after_ms))


# ── The answer ──────────────────────────────────────────────────────────────────────────────────────


def test_a_call_is_answered_at_once_and_the_bot_is_told_after_the_ack():
    call = ScriptedCall().offered()
    assert call.commands == [Answer(LEG)]
    call.acked()
    assert call.told == [("start", {"reason": "inbound", "parameters": {}})]
    assert call.control.call.state is CallState.BOT


def test_the_bot_is_heard_from_the_ack_on():
    call = ScriptedCall().connected()
    assert call.commands[0] == SetHearing(frozenset({Edge(BotParty(), LegParty(LEG))}))


def test_answer_after_ms_lets_it_ring():
    call = answering(AnswerMode.AFTER, 3000).offered()
    assert call.commands == [Ring(LEG), StartTimer(Timer.ANSWER, 3000)]
    call.time_passes(Timer.ANSWER)
    assert call.commands == [Answer(LEG)]


def test_the_bot_may_decide_to_answer():
    call = answering(AnswerMode.BOT).offered()
    assert call.told == [("offered", {})]
    call.bot_replies({"type": "ringing"}, {"type": "answer"}, text("Hello"))
    assert [type(c) for c in call.commands if isinstance(c, Ring | Answer | Play)] == [Ring, Answer]
    assert Timer.ANSWER not in call.timers
    call.acked()
    assert call.did(Play)[0].items[0].text == "Hello"
    assert call.told[0][0] == "start"


def test_the_bot_may_reject():
    call = answering(AnswerMode.BOT).offered()
    call.bot_replies({"type": "reject", "status": 603, "reason": "Not now", "headers": {"X-Why": "holiday"}})
    cause = Cause(Result.BOT, Reason.DECLINED)
    assert call.refusals == [Reject(LEG, 603, cause, "Not now", (("X-Why", "holiday"),))]
    call.is_gone(603)
    assert (call.end.cause, call.end.ended_by, call.end.duration_ms) == (cause, EndedBy.BOT, 0)


def test_the_bot_may_redirect():
    call = answering(AnswerMode.BOT).offered()
    call.bot_replies({"type": "redirect", "contacts": ["sip:200@192.0.2.1"]})
    assert call.refusals == [Redirect(LEG, ("sip:200@192.0.2.1",))]


def test_a_bot_that_does_not_decide_in_10_s_has_the_call_answered():
    call = answering(AnswerMode.BOT).offered()
    assert call.timers[Timer.ANSWER] == 10_000
    call.time_passes(Timer.ANSWER)
    assert call.did(AbandonBot) and call.did(Answer)
    call.acked()
    assert call.told[0][0] == "start"


def test_a_bot_that_says_nothing_to_offered_still_has_its_10_s():
    call = answering(AnswerMode.BOT).offered()
    call.bot_replies()
    assert call.timers[Timer.ANSWER] == 10_000


@pytest.mark.parametrize("reply", [text("x"), collect(), HANGUP, {"type": "pause", "ms": 1}])
def test_before_the_answer_only_answering_replies_are_taken(reply):
    call = answering(AnswerMode.BOT).offered()
    call.bot_replies(reply)
    (note,) = call.did(Note)
    assert note.fields["detail"] == f"replies[0]: {reply['type']} needs an answered call; send answer first"


@pytest.mark.parametrize("type_", ["answer", "ringing", "reject"])
def test_after_the_answer_answering_replies_are_refused(type_):
    call = ScriptedCall().connected()
    call.bot_replies({"type": type_})
    (note,) = call.did(Note)
    assert note.fields["detail"] == f"replies[0]: {type_} is only for a call that is not answered yet"


def test_a_bot_that_fails_on_offered_twice_has_the_call_answered():
    call = answering(AnswerMode.BOT).offered()
    call.bot_fails()
    assert call.did(AskBot)[0].again
    call.bot_fails()
    assert call.did(Answer)


# ── The end ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_customer_hangs_up():
    call = ScriptedCall().connected()
    call.bot_replies(text("Hello"))
    call.hangs_up()
    assert call.end.ended_by is EndedBy.CUSTOMER
    assert call.farewell == {
        "cause": {"result": "completed", "reason": "normal"},
        "sipStatus": 200,
        "q850": 16,
        "endedBy": "customer",
        "durationMs": 1000,
    }
    assert not call.timers


def test_a_caller_who_gives_up_before_the_ack_never_reaches_the_bot():
    call = ScriptedCall().offered()
    call.happens(LegEnded(LEG, CANCELLED, 487, None, by_peer=True))
    assert call.end.cause == CANCELLED
    assert call.asks == []


def test_the_bot_hangs_up_after_what_it_said_before():
    call = ScriptedCall().connected()
    call.bot_replies(text("Goodbye"), {"type": "hangup", "reason": "solved", "headers": {"X-Result": "done"}})
    assert not call.did(Hangup)
    call.played()
    assert call.did(Hangup) == [Hangup(LEG, NORMAL, (("X-Result", "done"),))]
    assert call.did(Note) == [Note("bot.hung_up", {"reason": "solved"})]
    call.is_gone()
    assert call.end.ended_by is EndedBy.BOT


def test_hangup_overtakes_what_waits_and_abandons_what_is_pending():
    call = ScriptedCall().connected()
    call.bot_replies()
    call.presses("1")
    call.presses("2")  # waits behind the first
    call.hangs_up()
    assert [a.event.value for a in call.asks] == ["start", "dtmf", "hangup"]
    assert call.did(AbandonBot)


def test_both_sides_hang_up_at_once():
    call = ScriptedCall().connected()
    call.bot_replies(HANGUP)
    call.hangs_up()
    assert call.end.ended_by is EndedBy.BOT
    assert len([c for c in call.all if isinstance(c, EndCall)]) == 1


def test_after_our_hangup_nothing_else_is_done():
    call = ScriptedCall().connected()
    call.bot_replies(HANGUP)
    call.presses("1")
    assert call.commands == []


def test_an_operator_ends_a_call_in_any_state():
    for call in (ScriptedCall().offered(), ScriptedCall().connected(), answering(AnswerMode.BOT).offered()):
        call.operator_hangs_up(DRAINED)
        assert call.hangup.cause == DRAINED
        assert not call.timers
        call.is_gone()
        assert call.end.ended_by is EndedBy.GATEWAY


def test_nothing_happens_after_the_end():
    call = ScriptedCall().connected()
    call.hangs_up()
    for event in (LegEnded(LEG, NORMAL, 200, None, True), BotReplied(1, BotResponse()), LegOffered(LEG, CALLER)):
        assert call.happens(event) == []


def test_an_ack_after_our_own_hangup_is_late():
    call = ScriptedCall().offered()
    call.operator_hangs_up(DRAINED)
    assert call.happens(LegAnswered(LEG, "PCMU")) == []


# ── A bot in trouble ────────────────────────────────────────────────────────────────────────────────


def test_a_first_failure_is_bridged_with_one_moment_and_asked_again():
    call = ScriptedCall().connected()
    call.bot_fails()
    assert call.did(Play)[0].items == (PlayPrompt("one-moment"),)
    (again,) = call.did(AskBot)
    assert (again.seq, again.event.value, again.again) == (1, "start", True)


def test_two_failures_in_a_row_run_the_fallback_and_hang_up():
    call = ScriptedCall(ChannelPolicy("reception", fallback=Spoken(text="Sorry."))).connected()
    call.bot_fails()
    call.played()
    call.bot_fails()
    assert isinstance(call.did(Play)[0].items[0], SayText)
    assert not call.did(Hangup)
    call.played()
    assert call.hangup.cause == BOT_FAILED
    call.is_gone()
    assert call.farewell["endedBy"] == "gateway"
    assert call.end.cause == BOT_FAILED


def test_an_answer_between_two_failures_starts_the_count_anew():
    call = ScriptedCall().connected()
    call.bot_fails()
    call.bot_replies()
    call.played()
    call.presses("1")
    call.bot_fails()
    assert call.did(AskBot)[0].again


def test_the_fallback_waits_for_what_plays_and_digits_do_not_disturb_it():
    call = ScriptedCall(ChannelPolicy("reception", fallback_after=1)).connected()
    call.bot_replies(text("A long story", bargeIn=False))
    call.presses("1")
    call.bot_fails()
    assert [len(call.playing), call.did(Hangup)] == [2, []]
    call.played()
    call.presses("5")
    assert call.commands == []
    call.played()
    assert call.hangup.cause == BOT_FAILED


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (
            {"type": "handoff", "channel": "recepton"},
            "replies[0].channel: no channel 'recepton'; did you mean 'reception'?",
        ),
        ({"type": "tag", "data": {"x": "y" * 9000}}, "replies[0].data: call.data would be larger than 16 KiB"),
    ],
)
def test_replies_that_do_not_fit_the_call_are_refused_as_a_whole(reply, problem):
    call = ScriptedCall().connected()
    call.control.call.data = {"old": "z" * 9000}
    call.bot_replies(text("never said"), reply)
    (note,) = call.did(Note)
    assert note.fields == {"event": "start", "kind": "refused", "detail": problem.replace("[0]", "[1]")}
    assert call.did(Play)[0].items == (PlayPrompt("one-moment"),)
    assert list(call.control.call.data) == ["old"]


def test_the_bot_thinks_for_long_and_the_customer_hears_a_filler_again_and_again():
    call = ScriptedCall(ChannelPolicy("reception", filler_after_ms=1500)).connected()
    assert call.timers[Timer.FILLER] == 1500
    call.time_passes(Timer.FILLER)
    assert call.did(Play)[0].items == (PlayPrompt("one-moment"),)
    assert Timer.FILLER not in call.timers
    call.played()
    assert call.timers[Timer.FILLER] == 1500
    call.bot_replies()
    assert Timer.FILLER not in call.timers


def test_no_filler_where_the_channel_has_none_or_while_something_plays():
    assert Timer.FILLER not in ScriptedCall(ChannelPolicy("reception", filler=None)).connected().timers
    call = ScriptedCall().connected()
    call.bot_replies(text("A story", bargeIn=False))
    call.presses("1")
    assert call.told and Timer.FILLER not in call.timers


# ── Handing over, tags ──────────────────────────────────────────────────────────────────────────────


def test_a_handoff_starts_the_other_channels_bot_with_its_voice():
    sales = ChannelPolicy("sales", voice=replace(ChannelPolicy("x").voice, voice="de"))
    call = ScriptedCall(channels={"sales": sales}).connected()
    call.bot_replies(text("One moment"), {"type": "handoff", "channel": "sales", "parameters": {"why": "price"}})
    call.played()
    (ask,) = call.did(AskBot)
    assert (ask.channel, ask.data) == ("sales", {"reason": "handoff", "parameters": {"why": "price"}})
    call.bot_replies(text("Hallo"))
    assert call.did(Play)[0].items[0].voice.voice == "de"
    call.hangs_up()
    assert [a.channel for a in call.asks] == ["reception", "sales", "sales"]


def test_tags_are_merged_and_shown_to_the_bot():
    call = ScriptedCall().connected()
    call.bot_replies({"type": "tag", "data": {"a": 1}}, {"type": "tag", "data": {"b": [2]}})
    call.presses("1")
    assert call.did(AskBot)[0].call["data"] == {"a": 1, "b": [2]}


def test_what_the_bot_sees_of_the_call():
    (ask,) = ScriptedCall().connected().did(AskBot)
    assert ask.call == {
        "id": "call_1", "sipCallId": "abc@carrier", "channel": "reception", "trunk": "acme", "direction": "inbound",
        "state": "bot", "from": "+12125550123", "fromName": None, "to": "+12125550100", "diversion": None,
        "verstat": None, "headers": {"X-CRM-Id": "42"}, "userToUser": [], "startedAt": "2023-11-14T22:13:20.000Z",
        "answeredAt": "2023-11-14T22:13:21.000Z", "data": {},
    }  # fmt: skip


# ── The peer's hold ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("hold", [PeerHold.SENDONLY, PeerHold.INACTIVE])
def test_a_peer_on_hold_hears_nothing_of_ours_and_nobodys_time_runs(hold):
    call = ScriptedCall().connected()
    call.bot_replies()
    assert Timer.NO_INPUT in call.timers
    call.holds(hold)
    assert call.edges == frozenset()
    assert not call.timers
    call.holds(PeerHold.NONE)
    assert call.edges and Timer.NO_INPUT in call.timers


def test_the_time_between_digits_stands_still_on_hold():
    call = ScriptedCall().connected()
    call.bot_replies(collect(4, timeout=3000))
    call.presses("1")
    call.holds()
    assert not call.timers
    call.holds(PeerHold.NONE)
    assert call.timers == {Timer.INTER_DIGIT: 3000}
