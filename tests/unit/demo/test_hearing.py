"""Who hears whom: found in sounds that are known, read from what the API says, compared, and shown."""

from pathlib import Path

import numpy as np
import pytest

from gateway.audio.pcm import Samples, pcm_of, resample_loop
from gateway.audio.ringback import ringback
from gateway.audio.wav import read_wav
from gateway.demo.consult import VOICES
from gateway.demo.hearing import MUSIC, RATE, RINGBACK, differences, is_heard, sources, table, told, when_heard

CALM = Path(__file__).resolve().parents[3] / "media" / "hold" / "calm.wav"


def tone(hz: float, seconds: float = 1.0, dbfs: float = -12.0) -> Samples:
    at = np.arange(int(seconds * RATE)) / RATE
    return (10 ** (dbfs / 20) * np.sin(2 * np.pi * hz * at)).astype(np.float32)


def test_each_voice_is_told_from_the_others() -> None:
    assert sources(bytes(2 * RATE), VOICES) == frozenset()
    for name, hz in VOICES.items():
        assert sources(pcm_of(tone(hz)), VOICES) == {name}
    everybody = sum((tone(hz, dbfs=-18) for hz in VOICES.values()), np.zeros(RATE, np.float32))
    assert sources(pcm_of(everybody), VOICES) == VOICES.keys()
    assert is_heard(pcm_of(tone(1100, dbfs=-39)), 1100) and not is_heard(pcm_of(tone(1100, dbfs=-41)), 1100)


def test_the_hold_music_is_music_and_nobody_s_voice_wherever_one_listens() -> None:
    wav = read_wav(CALM.read_bytes())
    music = resample_loop(wav.mono().astype(np.float32), wav.rate, RATE)
    for at in range(0, music.size - RATE, RATE // 4):
        assert sources(pcm_of(music[at : at + RATE]), VOICES) == {MUSIC}, f"at {at / RATE} s"


def test_ringback_is_no_music_and_is_found_in_any_part_of_what_was_heard() -> None:
    ring = ringback(RATE)
    assert sources(pcm_of(ring), VOICES) == {RINGBACK}
    assert sources(pcm_of(np.roll(ring, 4 * RATE)), VOICES) == {RINGBACK}
    assert sources(pcm_of(ring[2 * RATE :]), VOICES) == frozenset(), "between two rings"
    assert sources(pcm_of(np.concatenate([tone(1100), ring])), VOICES) == {"customer", RINGBACK}


def test_when_a_voice_is_heard() -> None:
    pcm = pcm_of(np.concatenate([tone(1100), tone(1900, 0.5), tone(1100, 0.6)]))
    assert when_heard(pcm, 1900, 250) == [1.0, 1.25]
    assert when_heard(pcm, 1500, 250) == []


def test_what_the_api_says_is_told_by_the_names_of_phones() -> None:
    call = {
        "legs": [
            {"legId": "leg_1", "state": "connected"},
            {"legId": "leg_2", "state": "connected"},
            {"legId": "leg_3", "state": "ringing"},
            {"legId": "leg_4", "state": "connected"},
        ],
        "hearing": [
            {"source": "music:hold/calm", "sink": "leg_1", "level": 1},
            {"source": "music:tones/ringback", "sink": "leg_2", "level": 1},
            {"source": "bot", "sink": "leg_2", "level": 1},
            {"source": "leg_4", "sink": "leg_2", "level": 1},
        ],
    }
    assert told(call, {"leg_1": "customer", "leg_2": "lee", "leg_3": "bob"}) == {
        "customer": {MUSIC},
        "lee": {RINGBACK, "bot", "leg_4"},
        "leg_4": set(),
    }


@pytest.mark.parametrize(
    ("found", "wanted", "words"),
    [
        ({"a": {"b"}, "b": set()}, {"a": {"b"}, "b": set()}, []),
        ({"a": {"b", MUSIC}}, {"a": {"b"}}, ["a hears music"]),
        ({"a": set()}, {"a": {"b"}}, ["a does not hear b"]),
        ({"a": {"b"}}, {"a": {"b"}, "b": {"a"}}, ["b does not hear a"]),
        ({"a": {"b"}, "c": {"a"}}, {"a": {"b"}}, ["c hears a"]),
    ],
)
def test_differences(found: dict[str, set[str]], wanted: dict[str, set[str]], words: list[str]) -> None:
    def frozen(hearing: dict[str, set[str]]) -> dict[str, frozenset[str]]:
        return {name: frozenset(those) for name, those in hearing.items()}

    assert differences(frozen(found), frozen(wanted)) == words


def test_the_table_has_a_row_for_each_who_is_there() -> None:
    hearing = {"bob": frozenset({"lee", RINGBACK}), "lee": frozenset({MUSIC})}
    assert table(hearing, ("customer", "lee", "bob")) == [
        "            customer  lee       bob       music     ringback",
        "  lee       –         ·         –         hears     –",
        "  bob       –         hears     ·         –         hears",
    ]
