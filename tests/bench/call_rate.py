"""Figure: calls per second answered with fewer than 0.1 % failing, with and without a webhook; run by run.py."""

import time
from pathlib import Path
from typing import Any

from tests.bench.children import BenchError, until
from tests.bench.machine import use_during, watch
from tests.bench.report import Report, quantile
from tests.bench.scene import BUILTIN, CHURN, Say, Scene
from tests.bench.sipp import Calls

_FULL = (50, 100, 150, 200, 250, 300, 350, 400, 500, 600, 800)
_QUICK = (50, 100, 200, 300)
_HOLD_S = 1.0
_FEW = 0.001
_LOW = 0.01
"""More failures than this at the lowest rate: it does not work at all."""
_PLACED = 0.97
"""SIPp must have placed the calls at this share of the rate, else it is SIPp that is at its end."""
_SETTLED_S = 30
_QUEUE_MS = 500
"""RFC 3261's T1, at which callers repeat their INVITE. At the end of a step half of them wait longer: a queue grows."""

Step = dict[str, Any]


def measure(report: Report, folder: Path, say: Say, quick: bool) -> None:
    """Adds one row without a webhook, one with a webhook that is asked twice a call."""
    for name, number, aim in (("built-in bot", BUILTIN, "300/s"), ("webhook bot", CHURN, "50/s")):
        steps: list[Step] = []
        report.details.setdefault("call_rate", {})[name] = steps
        with Scene(f"call-rate-{number}", folder, say, mute=True) as scene:
            use_during(scene.gateway.pid, 1.5)
            idle = use_during(scene.gateway.pid, 3.0).ms_per_s
            end = "the highest rate that was tried"
            for rate in _QUICK if quick else _FULL:
                step = _step(scene, number, rate, 4.0 if quick else 10.0, idle)
                steps.append(step)
                say(f"{name}, {_told(step)}")
                if rate == _QUICK[0] and step["failures"] > _LOW:
                    raise BenchError(f"{name}: {step['failed']} of {step['created']} calls failed at {rate}/s")
                if not step["held"]:
                    end = f"then {_told(step)}"
                    break
        _add_row(report, name, aim, steps, end)
    report.add("", "", "", "calls of 1 s, callers send no RTP; Asterisk, bare: 800/s")


def _add_row(report: Report, name: str, aim: str, steps: list[Step], end: str) -> None:
    best = next((step for step in reversed(steps) if step["held"]), None)
    figure = f"answered calls/s, failures < 0.1 %, {name}"
    if best is None:
        report.add(figure, f"< {steps[0]['rate']}/s", aim, end)
        return
    report.add(figure, f"{best['rate']}/s", aim, end)
    busy = f"machine {best['machineBusy']:.0%} busy"
    note = f"at {best['rate']}/s; set-up p99 {best['p99Ms']:.0f} ms (SIPp's clock); {busy}"
    report.add(f"CPU per call, {name}", f"{best['cpuMsPerCall']:.1f} ms", "", note)


def _told(step: Step) -> str:
    text = f"{step['rate']}/s: {step['failures']:.2%} failed, placed {step['placed']:.0f}/s, p99 {step['p99Ms']:.0f} ms"
    text += ", a queue grows" if step["waitAtEndMs"] > _QUEUE_MS else ""
    text += "" if step["allOver"] else f", calls left behind after {_SETTLED_S} s"
    return f"{text}, {step['cpuMsPerCall']:.1f} ms CPU per call, machine {step['machineBusy']:.0%} busy"


def _step(scene: Scene, number: str, rate: int, seconds: float, idle_ms_per_s: float) -> Step:
    """One rate for some seconds. The CPU is that of the whole lives of these calls."""
    so_far = watch(scene.gateway.pid)
    with scene.call(Calls(number, rate, round(rate * seconds), _HOLD_S)) as sipp:
        outcome = sipp.outcome()
        time.sleep(0.5)
        used = so_far()
    # A rate that is too high leaves calls behind that SIPp has given up: that is a finding, not a broken benchmark.
    all_over = until(lambda: scene.held()["calls"] == 0, _SETTLED_S)
    placed = outcome.created / outcome.placing_s
    waits = outcome.setup_ms or [0.0]
    wait_at_end = quantile(waits[len(waits) * 3 // 4 :], 0.5)
    kept_up = placed >= _PLACED * rate * seconds / (seconds + 0.1) and wait_at_end <= _QUEUE_MS
    cost = (used.cpu_ms - idle_ms_per_s * used.seconds) / max(1, outcome.created)
    return {
        "rate": rate,
        "created": outcome.created,
        "failed": outcome.failed,
        "failures": outcome.failures,
        "why": outcome.why,
        "placed": round(placed, 1),
        "held": outcome.failures < _FEW and kept_up and all_over,
        "retransmissions": outcome.retransmissions,
        "p50Ms": quantile(waits, 0.5),
        "p99Ms": quantile(waits, 0.99),
        "waitAtEndMs": wait_at_end,
        "allOver": all_over,
        "cpuMsPerCall": round(cost, 3),
        "threadsMs": {name: round(ms) for name, ms in used.threads.items()},
        "machineBusy": round(used.machine_busy, 3),
    }
