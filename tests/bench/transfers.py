"""Figures: how fast a switch reply becomes an INVITE, and an answer becomes a talk; run by run.py.

All times are the kernel's, of packets on the loopback device, so that how late the bot, the agents and the callers see
anything is in none of them. What the caller hears begins with the agent's first packet of RTP, which leaves right after
the 200: it is that one that counts, so an agent that the machine held up in between makes no figure longer.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.bench.agents import RING_S
from tests.bench.capture import Capture
from tests.bench.children import BenchError
from tests.bench.report import Report, quantile
from tests.bench.scene import SWITCHED, Say, Scene
from tests.bench.sipp import Calls
from tests.bench.switched import Reader, Switched

_SWITCH_AIM = "p50 10, p99 50 ms"
_BRIDGE_AIM = "p50 60, p99 120 ms"
_RATE = 10
_HOLD_S = RING_S + 1.0
_FEW = 0.01
_RAMP = 25
_SNAPLEN = 4096
_AGENTS_LATE_MS = 5.0

Moment = Callable[[Switched], float | None]


def switch(report: Report, folder: Path, say: Say, quick: bool) -> None:
    """Adds a row for few calls, and one beside a hundred that are bridged already unless `quick`."""
    for beside, calls, note in _calls(folder, say, "switch", quick):
        _row(report, "switch", "switch reply -> INVITE", beside, calls, _replied, _invited, _SWITCH_AIM, note)
    report.add("", "", "", "both ends by the kernel's timestamps (dumpcap): the bot's TCP segment, the first INVITE")


def bridge(report: Report, folder: Path, say: Say, quick: bool) -> None:
    """Adds the same for each of the two wires after the agent's 200."""
    for beside, calls, note in _calls(folder, say, "bridge", quick):
        spoke = sorted(_times_ms(calls, _answered, _spoke))
        if quantile(spoke, 0.99) > _AGENTS_LATE_MS:
            note += f"; the agents themselves were late: p99 {quantile(spoke, 0.99):.1f} ms"
        _row(report, "bridge", "200 -> caller's wire", beside, calls, _spoke, _customer_heard, _BRIDGE_AIM, note)
        _row(report, "bridge", "200 -> agent's wire", beside, calls, _answered, _agent_heard, _BRIDGE_AIM, "")
        details = report.details["bridge"].setdefault("agents", {})
        details[str(beside)] = {
            "ackMsP50": round(quantile(_times_ms(calls, _answered, _acked), 0.5), 2),
            "firstRtpMsP99": round(quantile(spoke, 0.99), 2),
        }
    report.add(
        "",
        "",
        "",
        "first packet with the other party's tone; the caller's wire from the agent's first RTP, sent with the 200",
    )


def _calls(folder: Path, say: Say, name: str, quick: bool) -> Iterator[tuple[int, list[Switched], str]]:
    """(how many calls were bridged meanwhile, those that were switched, a note)."""
    for beside, seconds in ((0, 5),) if quick else ((0, 30), (100, 20)):
        with Scene(f"{name}-{beside}", folder, say, agents=True) as scene, ExitStack() as stack:
            if beside:
                hold_s = beside / _RAMP + seconds + _HOLD_S + 12.0
                stack.enter_context(scene.call(Calls(SWITCHED, _RAMP, beside, hold_s)))
                scene.wait_bridged(beside, beside / _RAMP + 6.0)
            count = _RATE * seconds
            only = Reader.wanted(scene)
            with (
                Capture(scene.folder, name, only, _SNAPLEN) as capture,
                scene.call(Calls(SWITCHED, _RATE, count, _HOLD_S)) as sipp,
            ):
                outcome = sipp.outcome()
            if outcome.failures > _FEW:
                raise BenchError(f"{outcome.failed} of {count} calls failed: {outcome.why}\n{sipp.errors()}")
            calls = Reader(scene).read(capture.datagrams())
            if len(calls) < (1 - _FEW) * count:
                raise BenchError(f"of {count} calls only {len(calls)} were seen to be switched")
            note = f"{len(calls)} calls, {_RATE}/s" + (f", dumpcap lost {capture.dropped}" if capture.dropped else "")
            yield beside, calls, note


def _row(
    report: Report,
    name: str,
    what: str,
    beside: int,
    calls: list[Switched],
    begin: Moment,
    end: Moment,
    aim: str,
    note: str,
) -> None:
    times = sorted(_times_ms(calls, begin, end))
    p50, p90, p99 = (quantile(times, share) for share in (0.5, 0.9, 0.99))
    figure = what + (f", beside {beside} bridged calls" if beside else "")
    told = f"p90 {p90:.1f}, longest {times[-1]:.1f} ms" + (f"; {note}" if note else "")
    never = len(calls) - len(times)
    told += f"; never in {never} of {len(calls)} calls" if never else ""
    report.add(figure, f"p50 {p50:.1f}, p99 {p99:.1f} ms", aim, told)
    report.details.setdefault(name, {})[figure] = {
        "calls": len(times),
        "never": never,
        "p50Ms": round(p50, 2),
        "p90Ms": round(p90, 2),
        "p99Ms": round(p99, 2),
        "longestMs": round(times[-1], 2),
    }


def _times_ms(calls: list[Switched], begin: Moment, end: Moment) -> list[float]:
    """From one moment of each call to another. Raises BenchError when it did not come in more than a few."""
    pairs = [(begin(call), end(call)) for call in calls]
    times = [(until - since) * 1000 for since, until in pairs if since is not None and until is not None]
    if len(times) < (1 - _FEW) * len(calls):
        raise BenchError(f"{end.__name__.strip('_')} came in only {len(times)} of {len(calls)} calls")
    return times


def _replied(call: Switched) -> float | None:
    return call.replied


def _invited(call: Switched) -> float | None:
    return call.invited


def _answered(call: Switched) -> float | None:
    return call.answered


def _acked(call: Switched) -> float | None:
    return call.acked


def _spoke(call: Switched) -> float | None:
    return call.spoke


def _agent_heard(call: Switched) -> float | None:
    return call.agent_heard


def _customer_heard(call: Switched) -> float | None:
    return call.customer_heard
