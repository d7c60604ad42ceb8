"""Figure: CPU that two people cost who talk through the gateway, and how evenly each hears the other; run by run.py."""

import time
from pathlib import Path
from typing import Any

from tests.bench.capture import Capture
from tests.bench.children import BenchError
from tests.bench.machine import rss_mb, use_during
from tests.bench.report import Report
from tests.bench.rtp import faults, numbers, read_wire
from tests.bench.scene import SWITCHED, Say, Scene
from tests.bench.sipp import Calls

_AIM = "2.1 ms"
_RAMP = 25
_SETTLE_S = 2.0
_SLACK_S = 8.0
_SNAPLEN = 64  # Ethernet 14, IP 20, UDP 8, RTP 12, and ten samples, which tell sound from silence


def measure(report: Report, folder: Path, say: Say, quick: bool) -> None:
    """Adds two rows per number of calls: the CPU, and then, in a time of its own, the gaps on both wires."""
    seconds, captured_s = (8.0, 4.0) if quick else (30.0, 10.0)
    details = list[dict[str, Any]]()
    report.details["bridged"] = details
    with Scene("bridged", folder, say, agents=True) as scene:
        use_during(scene.gateway.pid, 1.5)
        idle_ms_per_s = use_during(scene.gateway.pid, 3.0 if quick else 10.0).ms_per_s
        say(f"idle: {idle_ms_per_s:.1f} ms CPU per second")
        for calls in (50, 100, 200):
            hold_s = calls / _RAMP + _SLACK_S + 2 * _SETTLE_S + seconds + captured_s
            with scene.call(Calls(SWITCHED, _RAMP, calls, hold_s)) as sipp:
                scene.wait_bridged(calls, calls / _RAMP + _SLACK_S)
                use_during(scene.gateway.pid, _SETTLE_S)
                say(f"{calls} calls are bridged; measuring for {seconds:.0f} s")
                found = _cost(report, scene, calls, seconds, idle_ms_per_s)
                found |= _gaps(report, scene, calls, captured_s)
                outcome = sipp.outcome()
            if outcome.failed:
                raise BenchError(f"{outcome.failed} of {calls} calls failed: {outcome.why}\n{sipp.errors()}")
            scene.wait_calls(0, 10)
            details.append(found)
        details.append({"callers": scene.stop_callers(), "agents": scene.stop_agents()})
    report.add("", "", "", "both legs together; caller and agent send 50 packets/s of PCMU each, spread over time")
    report.add("", "", "", "Asterisk 22 on a like machine: 2.15 bridged natively, 2.9 through its core")


def _cost(report: Report, scene: Scene, calls: int, seconds: float, idle_ms_per_s: float) -> dict[str, Any]:
    used = use_during(scene.gateway.pid, seconds)
    _still(scene, calls)
    cost = (used.ms_per_s - idle_ms_per_s) / calls
    largest = sorted(used.threads.items(), key=lambda item: -item[1])
    threads = {name: round(ms / used.seconds / calls, 3) for name, ms in largest}
    split = ", ".join(f"{name} {ms:.2f}" for name, ms in threads.items() if ms >= 0.005)
    note = f"{split}; machine {used.machine_busy:.0%} busy"
    report.add(f"CPU per call-second, {calls} bridged calls", f"{cost:.2f} ms", _AIM if calls == 200 else "", note)
    scene.say(f"{cost:.2f} ms per call-second; {note}")
    return {
        "calls": calls,
        "seconds": used.seconds,
        "cpuMsPerCallSecond": round(cost, 4),
        "idleMsPerSecond": round(idle_ms_per_s, 2),
        "threadsMsPerCallSecond": threads,
        "machineBusy": round(used.machine_busy, 3),
        "rssMb": round(rss_mb(scene.gateway.pid), 1),
    }


def _gaps(report: Report, scene: Scene, calls: int, seconds: float) -> dict[str, Any]:
    only = f"udp dst port {scene.rtp_port} or udp dst port {scene.agents_rtp_port}"
    with Capture(scene.folder, f"rtp-{calls}", only, _SNAPLEN) as capture:
        time.sleep(_SETTLE_S / 2)
        begin = time.time()
        time.sleep(seconds)
        end = time.time()
    _still(scene, calls)
    datagrams = list(capture.datagrams())
    found: dict[str, Any] = {"captureDropped": capture.dropped}
    told = []
    for who, port in (("caller", scene.rtp_port), ("agent", scene.agents_rtp_port)):
        wire = read_wire((datagram for datagram in datagrams if datagram.port == port), begin, end)
        if len(wire.streams) != calls:
            raise BenchError(f"of {calls} bridged calls the {who}s of {len(wire.streams)} were sent RTP")
        found[who] = numbers(wire)
        told.append(f"{who}s' wire: 99% < {wire.interval_ms(0.99)} ms, longest {wire.longest_ms:.0f}, {faults(wire)}")
    longest = max(found[who]["longestMs"] for who in ("caller", "agent"))
    lost = f" (dumpcap itself lost {capture.dropped})" if capture.dropped else ""
    report.add(f"longest gap in our RTP, {calls} bridged calls", f"{longest:.0f} ms", "", "; ".join(told) + lost)
    return {"gaps": found}


def _still(scene: Scene, calls: int) -> None:
    held = scene.held()
    if (held["calls"], held["legs"]) != (calls, 2 * calls):
        raise BenchError(f"of {calls} bridged calls {held['calls']} with {held['legs']} legs are still up")
