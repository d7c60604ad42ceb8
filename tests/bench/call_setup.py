"""Figure: time from INVITE to 200 at 50 calls/s, by the kernel's timestamps of both packets; run by run.py."""

import re
from collections.abc import Iterable
from pathlib import Path

from tests.bench.capture import Capture, Datagram
from tests.bench.children import BenchError
from tests.bench.report import Report, quantile
from tests.bench.scene import ASKED, BUILTIN, CHURN, Say, Scene
from tests.bench.sipp import Calls

_AIM = "p99 50 ms"
_RATE = 50
_SNAPLEN = 1600
_CALL_ID = re.compile(rb"^call-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_ANSWERS_INVITE = re.compile(rb"^cseq:\s*\d+\s+INVITE", re.IGNORECASE | re.MULTILINE)


def measure(report: Report, folder: Path, say: Say, quick: bool) -> None:
    """Adds a row for each way to answer."""
    ways = (
        ("built-in bot", BUILTIN, _AIM, "answered at once"),
        ("webhook bot", CHURN, _AIM, "answered at once, the bot is asked afterwards"),
        ("webhook answers", ASKED, "", "answer: bot, so a request to the bot lies between"),
    )
    with Scene("call-setup", folder, say, mute=True) as scene:
        for name, number, aim, note in ways:
            calls = Calls(number, _RATE, _RATE * (5 if quick else 20), 1.0)
            only = f"udp port {scene.sip_port}"
            with Capture(scene.folder, f"sip-{number}", only, _SNAPLEN) as capture, scene.call(calls) as sipp:
                outcome = sipp.outcome()
            if outcome.failures > 0.01:
                raise BenchError(f"{name}: {outcome.failed} of {outcome.created} calls failed at {_RATE}/s")
            times = sorted(_setup_ms(capture.datagrams()))
            p50, p90, p99 = (quantile(times, share) for share in (0.5, 0.9, 0.99))
            say(f"{name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {times[-1]:.1f} ms")
            told = f"{note}; p90 {p90:.1f}, longest {times[-1]:.1f} ms of {len(times)} calls"
            report.add(f"INVITE -> 200 at {_RATE}/s, {name}", f"p50 {p50:.1f}, p99 {p99:.1f} ms", aim, told)
            report.details.setdefault("call_setup", {})[name] = {
                "calls": len(times),
                "p50Ms": round(p50, 2),
                "p90Ms": round(p90, 2),
                "p99Ms": round(p99, 2),
                "longestMs": round(times[-1], 2),
                "captureDropped": capture.dropped,
            }
    report.add("", "", "", "both ends by the kernel's timestamps (dumpcap); the first INVITE counts, not its repeats")


def _setup_ms(datagrams: Iterable[Datagram]) -> list[float]:
    """From each call's first INVITE to its first 200."""
    invited: dict[bytes, float] = {}
    answered: dict[bytes, float] = {}
    for datagram in datagrams:
        call_id = _CALL_ID.search(datagram.data)
        if call_id is None:
            continue
        if datagram.data.startswith(b"INVITE "):
            invited.setdefault(call_id[1], datagram.at)
        elif datagram.data.startswith(b"SIP/2.0 200") and _ANSWERS_INVITE.search(datagram.data):
            answered.setdefault(call_id[1], datagram.at)
    times = [(answered[call] - at) * 1000 for call, at in invited.items() if call in answered]
    if not times:
        raise BenchError("no INVITE with its 200 was captured")
    return times
