"""Voice: Plays come one after another, without gaps, each ends once, and a stop is exact about what was heard."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audio.pcm import samples_of
from gateway.calls.commands import Play, Playable, PlayPrompt, PlayUrl, SayText, Silence, StopPlayback
from gateway.calls.errors import SoundError
from gateway.calls.events import PlaybackEnded, PlaybackStarted, SoundFailed, VoiceEvent
from gateway.calls.model import CallId, VoiceSettings
from gateway.engine.voice import Voice
from gateway.speech.sounds import SoundLibrary
from tests.fakes.bridge import FakeBridge
from tests.fakes.sounds import FakeSounds, tone

CALL = CallId("call_1")
A, B = tone(440, 200), tone(880, 100)
MEDIA = Path(__file__).parents[3] / "media"


class Rig:
    """A voice on a fake bridge: what it said happened, and what was heard."""

    def __init__(self, sounds: FakeSounds | None = None) -> None:
        self.sounds = sounds or FakeSounds({"a": A, "b": B, "http://x/a": A, "empty": b""})
        self.events: list[VoiceEvent] = []
        self.bridge = FakeBridge(lambda call, *mark: self.voice.on_mark(*mark))
        self.bridge.open_voice(CALL)
        self.voice = Voice(CALL, self.bridge, self.sounds, self.events.append)

    def play(self, playback_id: int, *items: Playable) -> None:
        self.voice.play(Play(playback_id, items))

    def stop(self, playback_id: int, *, after_item: bool = False) -> None:
        self.voice.stop(StopPlayback(playback_id, after_item))

    async def settle(self) -> None:
        for _ in range(12):
            await asyncio.sleep(0)

    async def advance(self, ms: int) -> None:
        """Let the bridge play, tick by tick, and the voice follow."""
        await self.settle()
        for _ in range(0, ms, 20):
            self.bridge.advance(20)
            await self.settle()

    @property
    def heard(self) -> bytes:
        return bytes(self.bridge.voices[CALL].heard)

    def ends(self) -> list[PlaybackEnded]:
        return [event for event in self.events if isinstance(event, PlaybackEnded)]


def text(words: str) -> SayText:
    return SayText(words, False, VoiceSettings())


def speech(words: str) -> bytes:
    return tone(300 + 10 * len(words), 60 * len(words))


def tasks() -> int:
    return len(asyncio.all_tasks()) - 1


# ── Playing ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_prompt_is_one_buffer_one_mark_and_leaves_no_task() -> None:
    rig = Rig()
    rig.play(1, PlayPrompt("a"))
    assert tasks() == 1
    await rig.settle()
    assert tasks() == 0
    assert rig.events == [PlaybackStarted(1)]
    assert rig.bridge.written == [(CALL, A, 1, False)]
    await rig.advance(180)
    assert rig.ends() == []
    await rig.advance(20)
    assert rig.events == [PlaybackStarted(1), PlaybackEnded(1, False, 0, 200)]


async def test_items_follow_without_a_gap_and_more_is_told() -> None:
    rig = Rig()
    rig.play(1, PlayPrompt("a"), Silence(100), PlayUrl("http://x/a"), PlayPrompt("b"))
    await rig.advance(700)
    assert rig.heard[: 2 * 8 * 600] == A + bytes(1600) + A + B
    assert [more for _, _, _, more in rig.bridge.written] == [True, True, True, False]
    assert rig.ends() == [PlaybackEnded(1, False, 3, 600)]
    assert rig.bridge.voices[CALL].underruns == 0


async def test_text_is_played_by_sentences_with_a_breath_between() -> None:
    rig = Rig()
    rig.play(1, text("Hello. How are you?"))
    await rig.advance(2000)
    whole = speech("Hello.") + bytes(3200) + speech("How are you?")
    assert rig.heard[: len(whole)] == whole
    assert rig.ends() == [PlaybackEnded(1, False, 0, len(whole) // 16)]


async def test_ssml_is_not_cut() -> None:
    rig = Rig()
    rig.play(1, SayText("<speak>One. Two.</speak>", True, VoiceSettings()))
    await rig.settle()
    assert rig.sounds.asked == ["<speak>One. Two.</speak>"]


async def test_the_first_sentence_plays_while_the_next_is_made_and_two_are_ahead() -> None:
    rig = Rig()
    rig.play(1, text("One. Two. Three. Four. Five."))
    await rig.settle()
    assert rig.sounds.asked == ["One.", "Two.", "Three."]
    await rig.advance(240)
    assert rig.sounds.asked == ["One.", "Two.", "Three.", "Four."]
    rig.voice.close()


async def test_the_next_play_is_made_already_but_handed_over_only_when_the_former_has_ended() -> None:
    rig = Rig()
    rig.play(1, PlayPrompt("a"))
    rig.play(2, PlayPrompt("b"))
    await rig.settle()
    assert rig.sounds.asked == ["a", "b"]
    assert len(rig.bridge.written) == 1
    await rig.advance(200)
    assert len(rig.bridge.written) == 2
    await rig.advance(200)
    assert rig.heard[: len(A + B)] == A + B
    assert rig.events == [
        PlaybackStarted(1), PlaybackEnded(1, False, 0, 200), PlaybackStarted(2), PlaybackEnded(2, False, 0, 100),
    ]  # fmt: skip


async def test_nothing_to_play_ends_at_once() -> None:
    rig = Rig()
    rig.play(1)
    rig.play(2, PlayPrompt("empty"), Silence(0))
    await rig.settle()
    assert rig.events == [PlaybackEnded(1, False, 0, 0), PlaybackEnded(2, False, 1, 0)]


# ── Failures ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_failed_item_is_told_and_left_out() -> None:
    rig = Rig()
    rig.play(1, PlayPrompt("a"), PlayUrl("http://x/none"), PlayPrompt("b"))
    await rig.advance(400)
    assert rig.heard[: len(A + B)] == A + B
    failures = [event for event in rig.events if isinstance(event, SoundFailed)]
    assert failures == [SoundFailed(1, 1, "http://x/none: there is none", True)]
    assert rig.ends() == [PlaybackEnded(1, False, 2, 300)]


async def test_a_text_whose_first_sentence_fails_fails_once_as_a_whole() -> None:
    rig = Rig()
    rig.sounds.failing["One."] = SoundError("tts", "broken", by_bot=False)
    rig.play(1, text("One. Two. Three."), PlayPrompt("b"))
    await rig.advance(200)
    assert [type(event) for event in rig.events] == [SoundFailed, PlaybackStarted, PlaybackEnded]
    assert rig.sounds.asked == ["One.", "b"]


async def test_when_all_fail_it_ends_all_the_same() -> None:
    rig = Rig()
    rig.play(1, PlayPrompt("x"), PlayPrompt("y"))
    await rig.settle()
    assert [type(event) for event in rig.events] == [SoundFailed, SoundFailed, PlaybackEnded]
    assert rig.ends() == [PlaybackEnded(1, False, 1, 0)]
    assert tasks() == 0


async def test_a_last_item_that_fails_late_leaves_no_underrun_waiting() -> None:
    rig = Rig()
    rig.play(1, PlayPrompt("a"), PlayPrompt("x"))
    await rig.advance(400)
    assert rig.bridge.written[-1][3] is False
    assert not rig.bridge.voices[CALL].expecting
    assert len(rig.ends()) == 1


async def test_a_defect_of_a_sound_is_a_failure_not_a_dead_voice() -> None:
    rig = Rig()
    rig.sounds.failing["a"] = KeyError("a")  # type: ignore[assignment]
    rig.play(1, PlayPrompt("a"), PlayPrompt("b"))
    await rig.advance(200)
    assert SoundFailed(1, 0, "KeyError", False) in rig.events
    assert rig.ends() == [PlaybackEnded(1, False, 1, 100)]


# ── Stopping ────────────────────────────────────────────────────────────────────────────────────────


async def test_stop_at_once_tells_what_was_heard() -> None:
    rig = Rig()
    rig.play(1, PlayPrompt("a"), PlayPrompt("b"), PlayPrompt("a"))
    await rig.advance(240)
    rig.stop(1)
    await rig.advance(60)
    assert rig.ends() == [PlaybackEnded(1, True, 1, 240)]
    assert samples_of(rig.heard)[8 * 260 :].max() == 0


async def test_a_stop_lets_the_next_play_begin_and_drops_nothing_of_it() -> None:
    rig = Rig()
    rig.play(1, PlayPrompt("a"))
    rig.play(2, PlayPrompt("b"))
    await rig.advance(100)
    rig.stop(1)
    rig.stop(1)
    await rig.advance(200)
    assert rig.heard[: 2 * 8 * 100] + B == rig.heard[: 2 * 8 * 100] + rig.heard[2 * 8 * 120 :][: len(B)]
    assert rig.ends() == [PlaybackEnded(1, True, 0, 100), PlaybackEnded(2, False, 0, 100)]


async def test_stop_after_the_sentence_that_is_heard() -> None:
    rig = Rig()
    rig.play(1, PlayPrompt("b"), text("Hello you. How are you? Fine."), PlayPrompt("a"))
    await rig.advance(300)
    rig.stop(1, after_item=True)
    await rig.advance(2000)
    (end,) = rig.ends()
    assert (end.stopped, end.item) == (True, 1)
    whole = B + speech("Hello you.")
    assert rig.heard[: len(whole)] == whole
    assert not any(rig.heard[len(whole) :])
    assert 700 <= end.played_ms <= 740


async def test_stop_after_the_last_item_is_its_natural_end() -> None:
    rig = Rig()
    rig.play(1, PlayPrompt("a"))
    await rig.advance(100)
    rig.stop(1, after_item=True)
    await rig.advance(200)
    assert rig.ends() == [PlaybackEnded(1, False, 0, 200)]


async def test_a_stop_after_the_item_may_become_a_stop_at_once() -> None:
    rig = Rig()
    rig.play(1, PlayPrompt("a"), PlayPrompt("b"))
    await rig.advance(40)
    rig.stop(1, after_item=True)
    await rig.advance(20)
    rig.stop(1)
    await rig.advance(40)
    assert rig.ends() == [PlaybackEnded(1, True, 0, 60)]


@pytest.mark.parametrize("after_item", [False, True])
async def test_a_play_that_waits_can_be_stopped(after_item: bool) -> None:
    rig = Rig()
    rig.play(1, PlayPrompt("a"))
    rig.play(2, PlayPrompt("b"))
    rig.play(3, PlayPrompt("b"))
    rig.stop(2, after_item=after_item)
    assert rig.ends() == [PlaybackEnded(2, True, 0, 0)]
    await rig.advance(400)
    assert rig.heard[: len(A + B)] == A + B
    assert [end.playback_id for end in rig.ends()] == [2, 1, 3]


async def test_a_play_that_is_being_made_can_be_stopped_and_the_making_too() -> None:
    rig = Rig()
    rig.sounds.hold()
    rig.play(1, PlayPrompt("a"))
    rig.play(2, PlayPrompt("b"))
    await rig.settle()
    rig.stop(1)
    assert rig.ends() == [PlaybackEnded(1, True, 0, 0)]
    await rig.settle()
    assert rig.sounds.cancelled == ["a"]
    rig.sounds.release()
    await rig.advance(200)
    assert rig.ends()[-1] == PlaybackEnded(2, False, 0, 100)


async def test_stopping_what_ended_or_never_was_is_nothing() -> None:
    rig = Rig()
    rig.play(1, PlayPrompt("b"))
    await rig.advance(200)
    before = list(rig.events)
    rig.stop(1)
    rig.stop(7)
    rig.voice.on_mark(99, 5, False)
    await rig.settle()
    assert rig.events == before
    assert rig.bridge.flushes == []


# ── The end of the call ─────────────────────────────────────────────────────────────────────────────


async def test_close_stops_making_and_telling() -> None:
    rig = Rig()
    rig.sounds.hold()
    rig.play(1, PlayPrompt("a"))
    await rig.settle()
    rig.voice.close()
    rig.voice.close()
    await rig.settle()
    assert tasks() == 0
    assert rig.sounds.cancelled == ["a"]
    rig.play(2, PlayPrompt("b"))
    rig.stop(1)
    rig.voice.on_mark(1, 1, False)
    await rig.settle()
    assert rig.events == []


async def test_marks_after_close_are_ignored() -> None:
    rig = Rig()
    rig.play(1, PlayPrompt("a"))
    await rig.advance(40)
    rig.voice.close()
    rig.bridge.flush(CALL)
    await rig.advance(40)
    assert rig.events == [PlaybackStarted(1)]


# ── Whatever happens ────────────────────────────────────────────────────────────────────────────────

ITEMS = st.sampled_from(
    [
        PlayPrompt("a"),
        PlayPrompt("b"),
        PlayPrompt("x"),
        PlayPrompt("empty"),
        Silence(40),
        text("Hi. You! Go."),
        text("Hm"),
    ]
)
STEPS = st.one_of(
    st.tuples(st.just("play"), st.lists(ITEMS, max_size=4)),
    st.tuples(st.just("stop"), st.tuples(st.integers(1, 6), st.booleans())),
    st.tuples(st.just("advance"), st.integers(1, 20)),
    st.tuples(st.just("tick"), st.integers(1, 3)),
    st.tuples(st.just("hold"), st.booleans()),
)


@given(st.lists(STEPS, max_size=14))
@settings(max_examples=100, deadline=None)
def test_every_play_ends_once_in_truth_and_nothing_is_left(steps: list[tuple[str, object]]) -> None:
    asyncio.run(_every_play_ends_once(steps))


async def _every_play_ends_once(steps: list[tuple[str, object]]) -> None:
    rig = Rig()
    plays = 0
    stopped: set[int] = set()
    for step in steps:
        match step:
            case ("play", list(items)):
                plays += 1
                rig.play(plays, *items)
            case ("stop", (int(playback_id), bool(after_item))):
                stopped.add(playback_id)
                rig.stop(playback_id, after_item=after_item)
            case ("advance", int(ticks)):
                await rig.advance(20 * ticks)
            case ("tick", int(ticks)):  # the bridge plays on while the event loop is busy
                rig.bridge.advance(20 * ticks)
            case ("hold", bool(wait)):
                rig.sounds.hold() if wait else rig.sounds.release()
    rig.sounds.release()
    for _ in range(60):
        if len(rig.ends()) < plays:
            await rig.advance(200)
    await rig.advance(40)
    ends = {end.playback_id: end for end in rig.ends()}
    assert len(ends) == len(rig.ends()) == plays
    assert all(end.playback_id in stopped for end in ends.values() if end.stopped)
    assert tasks() == 0
    starts = [event.playback_id for event in rig.events if isinstance(event, PlaybackStarted)]
    assert starts == sorted(set(starts))
    for playback_id, end in ends.items():
        assert (playback_id in starts) or end.played_ms == 0
        if playback_id in starts:
            assert rig.events.index(PlaybackStarted(playback_id)) < rig.events.index(end)
    loud = np.count_nonzero(np.abs(samples_of(rig.heard)) > 1e-4) / 8
    assert loud <= sum(end.played_ms for end in ends.values()) + 1


# ── With the real sounds ────────────────────────────────────────────────────────────────────────────


async def _until(condition: Callable[[], bool]) -> float:
    start = asyncio.get_running_loop().time()
    while not condition():
        await asyncio.sleep(0)
    return asyncio.get_running_loop().time() - start


async def test_first_audio_of_a_cached_prompt_and_of_new_words_is_prompt(tmp_path: Path) -> None:
    library = SoundLibrary(media=MEDIA, clock_rate=8000, cache=tmp_path)
    await library.preload()
    await library.speak(text("Warm up."))
    events: list[VoiceEvent] = []
    bridge = FakeBridge()
    bridge.open_voice(CALL)
    voice = Voice(CALL, bridge, library, events.append)
    voice.play(Play(1, (PlayPrompt("one-moment"),)))
    assert await _until(lambda: bool(bridge.written)) < 0.02
    voice.close()
    voice = Voice(CALL, bridge, library, events.append)
    voice.play(Play(2, (text("Good morning, this is the reception, how can I help? Please say it."),)))
    assert await _until(lambda: len(bridge.written) == 2) < 0.25
    voice.close()
    await library.close()
