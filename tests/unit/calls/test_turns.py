"""Whose turn it is: playback, barge-in, digit collection, no-input."""

import pytest

from gateway.calls.commands import Play, PlayPrompt, PlayUrl, SayText, SendDigits, Silence, StopPlayback, Timer
from tests.scripted_call import HANGUP, LEG, ScriptedCall, collect, text


def talking(*replies: dict, config: dict | None = None) -> ScriptedCall:
    call = ScriptedCall().connected()
    call.bot_replies(*replies, config=config)
    return call


# ── Playback ────────────────────────────────────────────────────────────────────────────────────────


def test_what_can_be_played_together_is_one_play():
    call = talking(
        text("Hello"), {"type": "pause", "ms": 500}, {"type": "audio", "prompt": "closed"},
        {"type": "audio", "url": "https://x.example/a.wav"},
    )  # fmt: skip
    (play,) = call.did(Play)
    assert [type(i) for i in play.items] == [SayText, Silence, PlayPrompt, PlayUrl]


def test_parts_with_another_barge_in_are_plays_of_their_own():
    call = talking(text("Menu"), text("Legal notice", bargeIn=False), text("Thanks"))
    assert [len(p.items) for p in call.did(Play)] == [1, 1, 1]


def test_a_pause_belongs_to_what_comes_before_it():
    call = talking(text("Legal", bargeIn=False), {"type": "pause", "ms": 100}, text("Menu"))
    assert [len(p.items) for p in call.did(Play)] == [2, 1]


def test_config_sets_the_voice_for_the_rest_of_the_call():
    call = talking(text("Hallo"), config={"language": "de", "tts": {"rate": 1.5}})
    say = call.did(Play)[0].items[0]
    assert (say.voice.voice, say.voice.language, say.voice.rate) == ("", "de", 1.5)


def test_a_text_may_bring_its_own_voice_or_language():
    call = talking(text("Bonjour", language="fr"), text("Ciao", language="it", voice="it+f2"))
    assert [(i.voice.language, i.voice.voice) for i in call.did(Play)[0].items] == [("fr", ""), ("it", "it+f2")]


def test_digits_are_sent_in_their_turn():
    call = talking(text("Dialling"), {"type": "sendDtmf", "digits": "1w2"}, text("Done"))
    call.played()
    assert call.commands == [SendDigits(LEG, "1w2", 120)]
    call.digits_are_out()
    assert call.did(Play)[0].items[0].text == "Done"


# ── Barge-in ────────────────────────────────────────────────────────────────────────────────────────


def test_a_digit_cuts_the_menu_off_and_counts_for_the_collection():
    call = talking(text("Press one or two"), collect(1))
    call.presses("2")
    assert call.commands == [StopPlayback(1)]
    call.stopped(played_ms=740)
    assert call.told == [("bargeIn", {"playedMs": 740, "reply": 0})]
    call.bot_replies()
    assert call.told == [("dtmf", {"digits": "2", "complete": "max"})]


def test_the_reply_that_was_interrupted_is_named():
    call = talking({"type": "tag", "data": {}}, text("One"), text("Two"), collect(1))
    call.presses("1")
    call.stopped(item=1, played_ms=1500)
    assert call.told == [("bargeIn", {"playedMs": 1500, "reply": 2})]


def test_a_digit_without_a_collection_interrupts_and_is_told_by_itself():
    call = talking(text("A story"))
    call.presses("5")
    call.stopped()
    assert call.told[0][0] == "bargeIn"
    call.bot_replies()
    assert call.told == [("dtmf", {"digits": "5", "complete": "single"})]


def test_sentence_lets_the_item_end():
    call = talking(text("First. Second."), config={"bargeIn": {"mode": "sentence"}})
    call.presses("1")
    assert call.commands == [StopPlayback(1, after_item=True)]


@pytest.mark.parametrize("off", [False, {"mode": "off"}])
def test_off_lets_nothing_interrupt_and_keeps_the_digits_for_the_collection(off):
    call = talking(text("Legal", bargeIn=off), collect(2))
    call.presses("12")
    assert not call.commands
    call.played()
    assert call.told == [("dtmf", {"digits": "12", "complete": "max"})]


def test_off_without_a_collection_tells_the_digit_at_once():
    call = talking(text("Music", bargeIn=False))
    call.presses("1")
    assert call.told == [("dtmf", {"digits": "1", "complete": "single"})]


def test_barge_in_spares_what_may_not_be_interrupted():
    call = talking(text("Menu"), text("Legal", bargeIn=False), text("Again"), collect(1))
    call.presses("1")
    assert call.commands == [StopPlayback(1)]


def test_barge_in_ends_all_that_may_be_interrupted():
    call = talking(text("Menu"), text("Again", bargeIn={"mode": "sentence"}), collect(1))
    call.presses("1")
    assert call.commands == [StopPlayback(1), StopPlayback(2)]


def test_a_playback_that_ended_as_it_was_interrupted_is_no_barge_in():
    call = talking(text("Menu"), collect(1))
    call.presses("1")
    call.played()
    assert call.told == [("dtmf", {"digits": "1", "complete": "max"})]


def test_one_interruption_is_told_once():
    call = talking(text("Menu"), collect(3))
    call.presses("123")
    call.stopped()
    assert call.told == [("bargeIn", {"playedMs": 320, "reply": 0})]


# ── Collection ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("want", "keys", "told"),
    [
        (collect(4), "1234", {"digits": "1234", "complete": "max"}),
        (collect(4), "12#", {"digits": "12", "complete": "finish"}),
        (collect(4, finishOn="*"), "1#*", {"digits": "1#", "complete": "finish"}),
        (collect(3, finishOn=""), "1#*", {"digits": "1#*", "complete": "max"}),
        (collect(4), "#", {"digits": "", "complete": "finish"}),
        ({"type": "gather", "max": 1}, "A", {"digits": "A", "complete": "max"}),
    ],
)
def test_a_collection_ends_by_its_length_or_its_key(want, keys, told):
    call = talking(want)
    call.presses(keys)
    assert call.told == [("dtmf", told)]
    assert Timer.INTER_DIGIT not in call.timers


def test_a_collection_ends_when_no_further_digit_comes():
    call = talking(collect(4, min=3, timeout=2000))
    assert call.timers == {Timer.NO_INPUT: 5000}
    call.presses("12")
    assert call.timers == {Timer.INTER_DIGIT: 2000}
    call.time_passes(Timer.INTER_DIGIT)
    assert call.told == [("dtmf", {"digits": "12", "complete": "timeout"})]


def test_what_is_typed_beyond_a_collection_is_kept_for_the_next():
    call = talking(text("Menu"), collect(1), text("PIN"), collect(4))
    call.presses("12345")
    call.stopped()
    call.bot_replies()
    assert call.told == [("dtmf", {"digits": "1", "complete": "max"})]
    call.played()
    call.bot_replies()
    assert call.told == [("dtmf", {"digits": "2345", "complete": "max"})]


def test_digits_typed_while_the_bot_thinks_wait_for_the_collection_that_it_opens():
    call = talking(collect(1))
    call.presses("1")
    call.presses("23")
    assert not call.commands
    call.bot_replies(collect(2))
    assert call.told == [("dtmf", {"digits": "23", "complete": "max"})]


def test_digits_typed_while_the_bot_thinks_are_told_one_by_one_if_it_opens_none():
    call = talking()
    call.presses("1")
    call.presses("23")
    call.bot_replies()
    assert call.told == [("dtmf", {"digits": "2", "complete": "single"})]
    call.bot_replies()
    assert call.told == [("dtmf", {"digits": "3", "complete": "single"})]


def test_a_digit_that_overtakes_the_ack_is_kept():
    call = ScriptedCall().offered()
    call.presses("7")
    call.acked()
    call.bot_replies(collect(1))
    assert call.told == [("dtmf", {"digits": "7", "complete": "max"})]


def test_the_list_goes_on_after_a_collection():
    call = talking(collect(1), text("Thanks"))
    call.presses("1")
    assert call.did(Play)[0].items[0].text == "Thanks"


# ── No input ────────────────────────────────────────────────────────────────────────────────────────


def test_silence_after_the_last_playback_is_told_and_counted():
    call = talking(text("Hello?"))
    assert Timer.NO_INPUT not in call.timers
    call.played()
    call.time_passes(Timer.NO_INPUT)
    assert call.told == [("noInput", {"count": 1})]
    call.bot_replies(text("Hello?"))
    call.played()
    call.time_passes(Timer.NO_INPUT)
    assert call.told == [("noInput", {"count": 2})]


def test_a_key_starts_the_count_anew():
    call = talking()
    call.time_passes(Timer.NO_INPUT)
    call.bot_replies()
    call.presses("1")
    call.bot_replies()
    call.time_passes(Timer.NO_INPUT)
    assert call.told == [("noInput", {"count": 1})]


def test_no_input_closes_the_collection_and_the_list_goes_on():
    call = talking(collect(1), HANGUP)
    call.time_passes(Timer.NO_INPUT)
    assert call.told == [("noInput", {"count": 1})]
    assert call.hangup


def test_no_input_can_be_set_and_switched_off():
    assert talking(config={"noInputTimeoutMs": 9000}).timers == {Timer.NO_INPUT: 9000}
    assert talking(config={"noInputTimeoutMs": 0}).timers == {}


def test_the_customers_time_does_not_run_while_the_bot_speaks_or_thinks():
    call = talking(text("Menu"), collect(1))
    assert not call.timers
    call.presses("1")
    call.stopped()
    assert Timer.NO_INPUT not in call.timers


# ── Secrets ─────────────────────────────────────────────────────────────────────────────────────────


def test_keys_are_secret_while_they_may_belong_to_a_secure_collection():
    call = talking(text("PIN"), collect(4, secure=True))
    turns = call.control.turns
    assert turns.secret, "typed ahead"
    call.presses("1")
    call.stopped()
    assert turns.secret, "collected"
    call.bot_replies()
    call.presses("234")
    assert turns.secret, "the next code may be typed ahead while the bot thinks"
    call.bot_replies(collect(1))
    assert not turns.secret
