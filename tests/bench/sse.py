"""Figure: how fast events reach 1,000 clients of GET /v1/events, and what a client costs; run by run.py."""

import json
import sys
import time
from pathlib import Path

from tests.bench.children import BenchError, Child
from tests.bench.desk import new_key
from tests.bench.machine import rss_mb, watch
from tests.bench.report import Report
from tests.bench.scene import BUILTIN, ROOT, Say, Scene
from tests.bench.sipp import Calls

_AIM = "p99 100 ms"
_CLIENTS = 1000
_RATE = 2
_HOLD_S = 1.0


def measure(report: Report, folder: Path, say: Say, quick: bool) -> None:
    """Adds a row for the delivery and one for the memory."""
    count = _RATE * (5 if quick else 20)
    with Scene("sse", folder, say, mute=True) as scene:
        key = new_key(scene, "calls:read")
        time.sleep(1)
        idle = rss_mb(scene.gateway.pid)
        command = [sys.executable, "-m", "tests.bench.listeners", scene.api, key, str(_CLIENTS)]
        with Child("the listeners", command, scene.folder / "listeners.err", cwd=ROOT) as listeners:
            listeners.line(60)
            time.sleep(1)
            full = rss_mb(scene.gateway.pid)
            say(f"{_CLIENTS} clients are connected")
            so_far = watch(scene.gateway.pid)
            with scene.call(Calls(BUILTIN, _RATE, count, _HOLD_S)) as sipp:
                outcome = sipp.outcome()
            if outcome.failed:
                raise BenchError(f"{outcome.failed} of {count} calls failed at {_RATE}/s: {outcome.why}")
            used = so_far()
            scene.wait_calls(0, 10)
            time.sleep(1)
            listeners.ask_to_end()
            told: dict[str, float] = json.loads(listeners.line(30))
    if told["arrivals"] != told["expected"] or told["events"] < count:
        raise BenchError(
            f"of {told['expected']} events {told['arrivals']} arrived, {told['cutOff']} clients were cut off"
        )
    each_kb = (full - idle) * 1000 / _CLIENTS
    say(f"p50 {told['p50Ms']:.0f} ms, p99 {told['p99Ms']:.0f} ms; {each_kb:.0f} kB per client")
    note = f"from `at` to the client, longest {told['longestMs']:.0f} ms; {told['events']} events, each to all"
    each_us = used.threads["asyncio"] * 1000 / told["arrivals"]
    note += f"; event loop {each_us:.0f} us for each, machine {used.machine_busy:.0%} busy"
    measured = f"p50 {told['p50Ms']:.0f}, p99 {told['p99Ms']:.0f} ms"
    report.add(f"event -> {_CLIENTS} SSE clients, {_RATE} calls/s", measured, _AIM, note)
    report.add("RSS per SSE client, gateway", f"{each_kb:.0f} kB", "", f"{idle:.0f} MB idle, {full:.0f} MB with them")
    report.details["sse"] = {
        **told,
        "loopUsPerArrival": round(each_us, 1),
        "machineBusy": round(used.machine_busy, 3),
        "clients": _CLIENTS,
        "rssPerClientKb": round(each_kb, 1),
    }
