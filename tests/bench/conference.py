"""Figure: CPU per leg of three people who talk together, and how evenly each hears the others; run by run.py."""

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.agents import RING_S
from tests.bench.capture import Capture, Datagram
from tests.bench.children import BenchError
from tests.bench.desk import Desk
from tests.bench.machine import rss_mb, use_during
from tests.bench.report import Report
from tests.bench.rtp import HEADER, audio, faults, numbers, read_wire
from tests.bench.scene import SWITCHED, Say, Scene
from tests.bench.sipp import Calls
from tests.bench.tones import AGENT_HZ, CONSULTANT_HZ, CUSTOMER_HZ, with_tone

_AIM = "1.5 ms"
_LEGS = 3
_RAMP = 25
_SETTLE_S = 2.0
_SLACK_S = 10.0
_SNAPLEN = 256
_MOSTLY = 0.5
"""The share of the packets to a party in which each other one must be heard: a busy machine holds up who sends them."""
_PEOPLE = {"caller": CUSTOMER_HZ, "agent": AGENT_HZ, "consultant": CONSULTANT_HZ}


@dataclass(frozen=True, slots=True)
class _Captured:
    """RTP between two times, `ports` in the order of _PEOPLE."""

    capture: Capture
    ports: tuple[int, ...]
    begin: float
    end: float


def measure(report: Report, folder: Path, say: Say, quick: bool) -> None:
    """Adds two rows per number of calls: the CPU, and then, in a time of its own, the gaps on all three wires."""
    seconds, captured_s = (8.0, 4.0) if quick else (30.0, 10.0)
    details = list[dict[str, Any]]()
    report.details["conference"] = details
    with Scene("conference", folder, say, consultants=True) as scene, Desk(scene) as desk:
        use_during(scene.gateway.pid, 1.5)
        idle_ms_per_s = use_during(scene.gateway.pid, 3.0 if quick else 10.0).ms_per_s
        say(f"idle: {idle_ms_per_s:.1f} ms CPU per second")
        sizes = (20, 50) if quick else (50, 100)
        for calls in sizes:
            hold_s = 4 * calls / _RAMP + RING_S + _SLACK_S + 2 * _SETTLE_S + seconds + captured_s
            with scene.call(Calls(SWITCHED, _RAMP, calls, hold_s)) as sipp:
                scene.wait_bridged(calls, calls / _RAMP + _SLACK_S)
                talking = desk.calls()
                desk.consults(talking, _RAMP)
                desk.merges(talking, _RAMP)
                use_during(scene.gateway.pid, _SETTLE_S)
                say(f"{calls} calls are merged; measuring for {seconds:.0f} s")
                found = _cost(report, scene, calls, seconds, idle_ms_per_s, _AIM if calls == sizes[-1] else "")
                captured = _capture(scene, calls, captured_s)
                desk.ends_consults(talking, _RAMP)  # else agent and consultant stay when the caller leaves
                outcome = sipp.outcome()
            if outcome.failed:
                raise BenchError(f"{outcome.failed} of {calls} calls failed: {outcome.why}\n{sipp.errors()}")
            scene.wait_calls(0, 10)
            details.append(found | _gaps(report, calls, captured))
        told = {"callers": scene.stop_callers(), "agents": scene.stop_agents()}
        details.append(told | {"consultants": scene.stop_consultants()})
    report.add("", "", "", "caller, agent and consultant send 50 packets/s of PCMU each, spread over time")
    report.add("", "", "", "Asterisk 22's ConfBridge on a like machine: 3.8 per leg-second")


def _cost(report: Report, scene: Scene, calls: int, seconds: float, idle_ms_per_s: float, aim: str) -> dict[str, Any]:
    used = use_during(scene.gateway.pid, seconds)
    _still(scene, calls)
    legs = _LEGS * calls
    cost = (used.ms_per_s - idle_ms_per_s) / legs
    largest = sorted(used.threads.items(), key=lambda item: -item[1])
    threads = {name: round(ms / used.seconds / legs, 3) for name, ms in largest}
    split = ", ".join(f"{name} {ms:.2f}" for name, ms in threads.items() if ms >= 0.005)
    note = f"{split}; machine {used.machine_busy:.0%} busy"
    report.add(f"CPU per leg-second, {calls} conferences of three", f"{cost:.2f} ms", aim, note)
    scene.say(f"{cost:.2f} ms per leg-second; {note}")
    return {
        "calls": calls,
        "seconds": used.seconds,
        "cpuMsPerLegSecond": round(cost, 4),
        "idleMsPerSecond": round(idle_ms_per_s, 2),
        "threadsMsPerLegSecond": threads,
        "machineBusy": round(used.machine_busy, 3),
        "rssMb": round(rss_mb(scene.gateway.pid), 1),
    }


def _capture(scene: Scene, calls: int, seconds: float) -> _Captured:
    """What is sent to each of the three; it is read when the calls are over, as that takes its time."""
    ports = (scene.rtp_port, scene.agents_rtp_port, scene.consultants_rtp_port)
    only = " or ".join(f"udp dst port {port}" for port in ports)
    with Capture(scene.folder, f"rtp-{calls}", only, _SNAPLEN) as capture:
        time.sleep(_SETTLE_S / 2)
        begin = time.time()
        time.sleep(seconds)
        end = time.time()
    _still(scene, calls)
    return _Captured(capture, ports, begin, end)


def _gaps(report: Report, calls: int, captured: _Captured) -> dict[str, Any]:
    begin, end = captured.begin, captured.end
    datagrams = [datagram for datagram in captured.capture.datagrams() if begin <= datagram.at <= end]
    found: dict[str, Any] = {"captureDropped": captured.capture.dropped}
    told = []
    for (who, own_hz), port in zip(_PEOPLE.items(), captured.ports, strict=True):
        heard = [datagram for datagram in datagrams if datagram.port == port]
        wire = read_wire(heard, begin, end)
        if len(wire.streams) != calls:
            raise BenchError(f"of {calls} merged calls the {who}s of {len(wire.streams)} were sent RTP")
        both = _hears_both(who, heard, own_hz)
        found[who] = numbers(wire) | {"hearsBoth": round(both, 4)}
        even = f"99% < {wire.interval_ms(0.99)} ms, longest {wire.longest_ms:.0f}, {faults(wire)}"
        told.append(f"{who}s: {even}; both others heard in {both:.1%}")
    longest = max(found[who]["longestMs"] for who in _PEOPLE)
    lost = f" (dumpcap itself lost {captured.capture.dropped})" if captured.capture.dropped else ""
    report.add(f"longest gap in our RTP, {calls} conferences", f"{longest:.0f} ms", "", "; ".join(told) + lost)
    return {"gaps": found}


def _hears_both(who: str, datagrams: list[Datagram], own_hz: int) -> float:
    """The share of packets with the tone of the other whom somebody hears the least; the worst of all these people.
    Raises BenchError if one of them does not hear both others, or does hear themselves."""
    streams = defaultdict[int, list[bytes]](list)
    for datagram in audio(datagrams):
        streams[datagram.source_port].append(datagram.data[HEADER:])
    worst = 1.0
    for sounds in streams.values():
        least = min(with_tone(sounds, hz) for hz in _PEOPLE.values() if hz != own_hz) / len(sounds)
        echoed = with_tone(sounds, own_hz)
        if least < _MOSTLY or echoed:
            raise BenchError(f"one of the {who}s hears another in {least:.1%} of the packets, themselves in {echoed}")
        worst = min(worst, least)
    return worst


def _still(scene: Scene, calls: int) -> None:
    held = scene.held()
    if (held["calls"], held["legs"]) != (calls, _LEGS * calls):
        raise BenchError(f"of {calls} merged calls {held['calls']} with {held['legs']} legs are still up")
