"""PcmPort and PcmHub, seen from Python: the media clock keeps its 20 ms whatever Python does."""

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pjsua2", reason="needs the wheel of gateway/sip/native/build.sh")

SCENES = Path(__file__).with_name("scenes.py")


@functools.cache
def play(scene: str) -> Any:
    """The scene's outcome; one process each, since a process can have one Endpoint only."""
    done = subprocess.run([sys.executable, SCENES, scene], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"{scene} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return json.loads(done.stdout.rpartition("\nRESULT ")[2])


# ── the media clock ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_busy_interpreter_does_not_disturb_the_media_clock() -> None:
    got = play("clock_native")
    assert 49 < got["frames_per_second"] < 51, got
    assert got["max_gap_ms"] < 60, got


def test_a_prompt_that_was_handed_over_plays_whole_while_python_is_busy() -> None:
    got = play("clock_native")
    assert got["underruns"] == 0
    assert got["dropped"] == 0
    assert got["whole"]
    assert got["heard_seconds"] > 3.9


def test_the_measurement_can_fail_a_python_media_port_stalls_every_call() -> None:
    got = play("clock_python")
    assert got["max_gap_ms"] > 60 or got["frames_per_second"] < 49, got
    assert got["bystander_max_gap_ms"] > 60, got  # a native port on the same clock: hence no Python there at all


# ── the queue ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_tags_are_told_in_order_and_positions_add_up() -> None:
    got = play("queue_order")
    assert got["ends"] == [1000, 1333, 1333, 1337]
    assert got["waiting"] == 1337
    assert got["played"] == [[True, 11, 1000], [True, 12, 1333], [True, 13, 1337]]
    assert (got["position"], got["queued"], got["underruns"]) == (1337, 0, 0)


def test_what_is_heard_is_bit_for_bit_what_was_written() -> None:
    got = play("queue_order")
    assert got["exact"]
    assert got["silence_around"]


def test_flush_silences_at_once_and_tells_what_was_played() -> None:
    got = play("flush")
    assert got["silent"]
    assert got["flush_ms"] < 20
    assert got["stopped"] == got["position"]
    assert got["queued"] == 0
    assert got["told"] == [[True, 2, got["stopped"] - 160], [True, 3, 0], [True, 4, 0]]
    assert 0 < got["stopped"] - 160 < 16000


def test_what_is_written_after_a_flush_plays_and_counts_from_there() -> None:
    got = play("flush")
    assert got["after_heard"]
    assert got["end"] == got["stopped"] + 400
    assert got["played"] == [[True, 5, got["end"]]]


def test_a_loop_repeats_without_a_seam_until_flush() -> None:
    got = play("loop")
    assert got["rounds"] >= 8
    assert got["seamless"]
    assert got["after_heard"]
    assert got["errors"] == []


def test_running_dry_counts_only_when_more_was_promised() -> None:
    ended, gap, closed, flushed = play("underruns")["counts"]
    assert ended == closed == flushed == 0
    assert 7 <= gap <= 16


def test_a_port_that_nobody_hears_waits_and_can_be_flushed() -> None:
    assert play("nobody_listens") == {"position": 0, "queued": 800, "stopped": 0, "told": [[True, 1, 0]]}


def test_a_shared_prompt_is_in_memory_once() -> None:
    got = play("shared_buffer")
    assert got["grown_mb"] < 10 * got["prompt_mb"]  # 300 ports


# ── capture ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_capture_stores_nothing_unasked_and_drops_what_nobody_drains() -> None:
    got = play("capture_off_and_full")
    assert got["unasked"] == got["off"] == 0
    assert got["kinds"] == [1, 4]
    assert got["kept"] >= 1600  # 200 ms
    assert got["lost"] == got["counted"] > 3000
    assert got["second_starts"] == got["kept"] + got["lost"]  # the index counts lost samples too


def test_a_port_may_have_another_rate_than_the_bridge() -> None:
    got = play("other_rates")
    assert got["tags"] == [1]
    for rate in (8000, 16000):
        assert abs(got[f"peak_hz_{rate}"] - 440) < 3
        assert got[f"share_{rate}"] > 0.99


# ── the hub, and lifetimes ──────────────────────────────────────────────────────────────────────────────────────────


def test_one_wake_up_per_tick_finds_every_port() -> None:
    got = play("one_wake_up_per_tick")
    assert got["ports"] == 51
    assert got["signals"] <= got["ticks"] + 2
    assert got["full_share"] > 0.9


def test_a_thousand_ports_leave_nothing_behind() -> None:
    rounds = play("churn")["rounds"]
    assert [r["ports"] for r in rounds] == [0, 0, 0, 0]
    assert len({r["fds"] for r in rounds}) == 1
    assert rounds[-1]["rss_mb"] - rounds[0]["rss_mb"] < 15, rounds


def test_ports_hub_and_endpoint_may_go_in_any_order() -> None:
    assert play("lifetimes") == {"failures": []}


def test_mistakes_raise_and_a_closed_port_is_silent() -> None:
    assert play("errors") == {
        "before libCreate": "Error",
        "odd": "ValueError",
        "odd buffer": "ValueError",
        "text": "TypeError",
        "number": "TypeError",
        "twice": "Error",
        "no rate": "Error",
        "closed": "nothing",
        "closed twice": "nothing",
    }


# ── the build ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_build_is_big_enough_and_has_our_codecs() -> None:
    got = play("build")
    assert got["version"] >= [2, 17]
    assert got["calls"] >= 1024  # and the scene asked for 1,100
    assert set(got["codecs"]) == {"PCMU/8000", "PCMA/8000", "G722/16000", "opus/48000", "G729/8000"}


def test_the_sip_descriptor_wakes_a_poll() -> None:
    got = play("build")
    assert got["before"] == -1
    assert got["kind"] == "anon_inode:[eventpoll]"
    assert (got["idle"], got["woken"]) == (False, True)
