"""Figure: how evenly our RTP leaves, by the kernel's timestamps on the loopback device; run by run.py."""

import time
from pathlib import Path

from tests.bench.capture import Capture
from tests.bench.machine import use_during
from tests.bench.report import Report
from tests.bench.rtp import LONGEST_FINE_MS, Wire, read_wire
from tests.bench.scene import LONG, Say, Scene
from tests.bench.sipp import Calls

_AIM = f"none over {LONGEST_FINE_MS} ms"
_RAMP = 25
_SETTLE_S = 2.0
_SLACK_S = 8.0
_SNAPLEN = 64  # Ethernet 14, IP 20, UDP 8, RTP 12, and ten samples, which tell sound from silence


def measure(report: Report, folder: Path, say: Say, quick: bool) -> None:
    """Adds rows for 100 calls, and for 400 unless `quick`."""
    for calls in (100,) if quick else (100, 400):
        _with_calls(report, folder, say, calls, 10.0 if quick else 30.0)
    report.add("", "", "", "underruns as heard: packets of digital silence while a prompt without any plays")


def _with_calls(report: Report, folder: Path, say: Say, calls: int, seconds: float) -> None:
    with Scene(f"rtp-gaps-{calls}", folder, say) as scene:
        ramp = calls / _RAMP
        with scene.call(Calls(LONG, _RAMP, calls, ramp + _SETTLE_S + seconds + _SLACK_S)):
            scene.wait_calls(calls, ramp + _SLACK_S)
            with Capture(scene.folder, "rtp", f"udp dst port {scene.rtp_port}", _SNAPLEN) as capture:
                time.sleep(_SETTLE_S)
                say(f"{calls} calls are up; capturing for {seconds:.0f} s")
                begin = time.time()
                used = use_during(scene.gateway.pid, seconds)
                end = time.time()
            held = scene.held()
            callers = scene.stop_callers()
        wire = read_wire(capture.datagrams(), begin, end)
    expected = round(calls * seconds * 50)
    too_long = f"{wire.too_long} over {LONGEST_FINE_MS} ms"
    say(f"longest gap {wire.longest_ms:.1f} ms, {too_long}, {wire.silent} silent packets")
    _add_rows(report, calls, wire, capture.dropped, f"machine {used.machine_busy:.0%} busy")
    report.details.setdefault("rtp_gaps", {})[str(calls)] = {
        "streams": len(wire.streams),
        "packets": wire.packets,
        "packetsExpected": expected,
        "longestMs": round(wire.longest_ms, 2),
        "over60Ms": wire.too_long,
        "intervalMs": {str(share): wire.interval_ms(share) for share in (0.5, 0.99, 0.999, 0.9999)},
        "lost": wire.lost,
        "late": wire.late,
        "silentPackets": wire.silent,
        "gatewayUnderruns": held.get("underruns"),
        "captureDropped": capture.dropped,
        "callers": callers,
        "machineBusy": round(used.machine_busy, 3),
    }


def _add_rows(report: Report, calls: int, wire: Wire, dropped: int | None, busy: str) -> None:
    spread = ", ".join(f"{share:.2%} < {wire.interval_ms(share)} ms" for share in (0.99, 0.999))
    lost = f"{wire.lost} lost of {wire.packets} packets" + (f" (dumpcap itself lost {dropped})" if dropped else "")
    note = f"{wire.too_long} over {LONGEST_FINE_MS} ms; {spread}; {lost}; {busy}"
    aim = _AIM if calls == 400 else ""
    report.add(f"longest gap in our RTP, {calls} calls", f"{wire.longest_ms:.0f} ms", aim, note)
    report.add(f"underruns in our RTP, {calls} calls", f"{wire.silent}", "0", "")
