"""Figure: memory that a call costs, at 200 calls; run by run.py."""

import time
from pathlib import Path

from tests.bench.machine import rss_mb
from tests.bench.report import Report
from tests.bench.scene import LONG, SHORT, Say, Scene
from tests.bench.sipp import Calls

_AIM = "0.35 MB"
_CALLS = 200
_RAMP = 25
_HOLD_S = _CALLS / _RAMP + 6


def measure(report: Report, folder: Path, say: Say, quick: bool) -> None:
    """Adds a row for short prompts, and one for prompts of a minute, each on a gateway of its own."""
    for name, number in (("3 s prompts", SHORT), ("60 s prompts", LONG)):
        with Scene(f"memory-{number}", folder, say) as scene:
            time.sleep(1)
            idle = rss_mb(scene.gateway.pid)
            with scene.call(Calls(number, _RAMP, _CALLS, _HOLD_S)) as sipp:
                scene.wait_calls(_CALLS, _HOLD_S)
                time.sleep(2)
                full = rss_mb(scene.gateway.pid)
                sipp.outcome()
            scene.wait_calls(0, 10)
            time.sleep(1)
            after = rss_mb(scene.gateway.pid)
        each = (full - idle) / _CALLS
        say(f"{name}: {each:.2f} MB per call")
        note = f"{idle:.0f} MB idle, {full:.0f} MB at {_CALLS} calls, {after:.0f} MB after them"
        report.add(f"RSS per call, {name}", f"{each:.2f} MB", _AIM, note)
        report.details.setdefault("memory", {})[name] = {
            "perCallMb": round(each, 3),
            "idleMb": round(idle, 1),
            "fullMb": round(full, 1),
            "afterMb": round(after, 1),
        }
