"""Figure: time from the bot's response to the first sound on the wire, one call at a time; run by run.py."""

from bisect import bisect_left
from pathlib import Path

from tests.bench.capture import Capture
from tests.bench.children import BenchError
from tests.bench.report import Report, quantile
from tests.bench.rtp import audio, is_silent
from tests.bench.scene import CACHED, FRESH, Say, Scene
from tests.bench.sipp import Calls

_HOLD_S = 1.0
_SNAPLEN = 262144


def measure(report: Report, folder: Path, say: Say, quick: bool) -> None:
    """Adds a row for a cached prompt and one for a sentence that was never said."""
    count = 10 if quick else 40
    with Scene("first-audio", folder, say) as scene:
        for name, number, path, aim in (
            ("cached prompt", CACHED, "/cached", "60 ms"),
            ("new 10-word sentence, espeak", FRESH, "/fresh", "250 ms"),
        ):
            only = f"udp dst port {scene.rtp_port}"
            calls = Calls(number, 10, count, _HOLD_S, limit=1)
            with Capture(scene.folder, f"rtp-{number}", only, _SNAPLEN) as capture, scene.call(calls) as sipp:
                outcome = sipp.outcome()
            if outcome.failed:
                raise BenchError(f"{name}: {outcome.failed} of {count} calls failed: {outcome.why}\n{sipp.errors()}")
            sounds = [datagram.at for datagram in audio(capture.datagrams()) if not is_silent(datagram)]
            times = _delays_ms(scene.answered_at()[path], sounds)
            p50, worst = quantile(times, 0.5), max(times)
            say(f"{name}: p50 {p50:.0f} ms, longest {worst:.0f} ms")
            note = f"{len(times)} calls, one at a time; first packet that is not digital silence"
            report.add(f"bot's response -> first sound, {name}", f"p50 {p50:.0f}, max {worst:.0f} ms", aim, note)
            report.details.setdefault("first_audio", {})[name] = [round(ms, 1) for ms in times]


def _delays_ms(answered_at: list[float], sounds: list[float]) -> list[float]:
    """From each answer to the first sound after it, before the next answer."""
    delays = []
    for began, ends in zip(answered_at, [*answered_at[1:], float("inf")], strict=True):
        first = bisect_left(sounds, began)
        if first == len(sounds) or sounds[first] >= ends:
            raise BenchError(f"no sound came within {_HOLD_S:g} s of the bot's response")
        delays.append((sounds[first] - began) * 1000)
    return delays
