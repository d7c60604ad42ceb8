"""Figure: CPU that journal and events cost per call: the gateway beside one that drops what happens; run by run.py."""

from pathlib import Path
from statistics import median

from tests.bench.children import BenchError
from tests.bench.machine import use_during, watch
from tests.bench.report import Report
from tests.bench.scene import BUILTIN, Say, Scene
from tests.bench.sipp import Calls

_AIM = "1 ms"
_RATES = (50, 200)
_HOLD_S = 1.0


def measure(report: Report, folder: Path, say: Say, quick: bool) -> None:
    """Adds a row for each rate. The two gateways take turns, so that a noisy minute is noisy for both."""
    rounds, seconds = (2, 4.0) if quick else (5, 8.0)
    with (
        Scene("journal", folder, say, mute=True, journal=True) as kept,
        Scene("no-journal", folder, say, mute=True, journal=False) as dropped,
    ):
        idle = {scene: _idle(scene) for scene in (kept, dropped)}
        for scene in (kept, dropped):
            _cost(scene, _RATES[0], 2.0, idle[scene])  # what a first call costs is not what calls cost
        for rate in _RATES:
            pairs = []
            for number in range(rounds):
                order = (kept, dropped) if number % 2 == 0 else (dropped, kept)
                cost = {scene: _cost(scene, rate, seconds, idle[scene]) for scene in order}
                pairs.append((cost[kept], cost[dropped]))
                say(f"{rate}/s: {cost[kept]:.2f} ms per call with the journal, {cost[dropped]:.2f} without")
            more = sorted(with_it - without for with_it, without in pairs)
            whole = median(with_it for with_it, _ in pairs)
            note = f"median of {rounds} pairs, from {more[0]:.2f} to {more[-1]:.2f}; a call takes {whole:.1f} ms in all"
            report.add(f"CPU per call of journal and events, {rate} calls/s", f"{median(more):.2f} ms", _AIM, note)
            report.details.setdefault("journal", {})[str(rate)] = [
                {"withMs": round(with_it, 3), "withoutMs": round(without, 3)} for with_it, without in pairs
            ]
    report.add("", "", "", "a gateway beside one whose journal drops everything, in turns; built-in bot, calls of 1 s")


def _idle(scene: Scene) -> float:
    use_during(scene.gateway.pid, 1.5)
    return use_during(scene.gateway.pid, 3.0).ms_per_s


def _cost(scene: Scene, rate: int, seconds: float, idle_ms_per_s: float) -> float:
    """Milliseconds of CPU per call, over the whole lives of calls that come for so long."""
    so_far = watch(scene.gateway.pid)
    with scene.call(Calls(BUILTIN, rate, round(rate * seconds), _HOLD_S)) as sipp:
        outcome = sipp.outcome()
        scene.wait_calls(0, 10)
        used = so_far()
    if outcome.failures > 0.01:
        raise BenchError(f"{outcome.failed} of {outcome.created} calls failed at {rate}/s: {outcome.why}")
    return (used.cpu_ms - idle_ms_per_s * used.seconds) / outcome.created
