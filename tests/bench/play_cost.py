"""Figure: CPU that a call costs while it hears a prompt and sends RTP; run by run.py."""

from pathlib import Path
from typing import Any

from tests.bench.children import BenchError
from tests.bench.machine import Usage, rss_mb, use_during
from tests.bench.report import Report
from tests.bench.scene import LONG, Say, Scene
from tests.bench.sipp import Calls

_AIM = "1.2 ms"
_RAMP = 25
_SETTLE_S = 2.0
_SLACK_S = 6.0


def measure(report: Report, folder: Path, say: Say, quick: bool) -> None:
    """Adds one row per number of calls."""
    seconds, details = (10.0 if quick else 30.0), list[dict[str, Any]]()
    report.details["play_cost"] = details
    with Scene("play-cost", folder, say) as scene:
        use_during(scene.gateway.pid, 1.5)
        idle = use_during(scene.gateway.pid, 3.0 if quick else 10.0)
        say(f"idle: {idle.ms_per_s:.1f} ms CPU per second")
        for calls in (50, 100, 200):
            used = _with_calls(scene, calls, seconds)
            cost = (used.ms_per_s - idle.ms_per_s) / calls
            threads = {name: round(ms / seconds / calls, 3) for name, ms in _largest(used)}
            details.append(
                {
                    "calls": calls,
                    "seconds": used.seconds,
                    "cpuMsPerCallSecond": round(cost, 4),
                    "idleMsPerSecond": round(idle.ms_per_s, 2),
                    "threadsMsPerCallSecond": threads,
                    "machineBusy": round(used.machine_busy, 3),
                    "rssMb": round(rss_mb(scene.gateway.pid), 1),
                }
            )
            split = ", ".join(f"{name} {ms:.2f}" for name, ms in threads.items() if ms >= 0.005)
            note = f"{split}; machine {used.machine_busy:.0%} busy"
            report.add(f"CPU per call-second, prompt plays, {calls} calls", f"{cost:.2f} ms", _AIM, note)
        sent = scene.stop_callers()
        details.append({"callers": sent})
        report.add("", "", "", "callers send 50 packets/s of PCMU each, spread over time, and hear a 60 s prompt")
        report.add("", "", "", "Asterisk 22 on a like machine: 2.2 for a looped prompt; PJSIP's bare C core 0.95")


def _with_calls(scene: Scene, calls: int, seconds: float) -> Usage:
    """What the gateway uses while so many calls are up, all of them, all the time."""
    ramp = calls / _RAMP
    with scene.call(Calls(LONG, _RAMP, calls, ramp + _SETTLE_S + seconds + _SLACK_S)) as sipp:
        scene.wait_calls(calls, ramp + _SLACK_S)
        use_during(scene.gateway.pid, _SETTLE_S)
        scene.say(f"{calls} calls are up; measuring for {seconds:.0f} s")
        used = use_during(scene.gateway.pid, seconds)
        still = scene.held()["calls"]
        if still != calls:
            raise BenchError(f"of {calls} calls only {still} were still up after {seconds:.0f} s\n{sipp.errors()}")
        outcome = sipp.outcome()
    if outcome.failed:
        raise BenchError(f"{outcome.failed} of {calls} calls failed at {_RAMP}/s: {outcome.why}\n{sipp.errors()}")
    scene.wait_calls(0, 10)
    return used


def _largest(used: Usage) -> list[tuple[str, float]]:
    return sorted(used.threads.items(), key=lambda item: -item[1])
