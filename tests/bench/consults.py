"""Figures: how fast an agent's order becomes an INVITE, and how fast the customer hears who is new; run by run.py.

Both ends are the kernel's times of packets on the loopback device: the request of the API's client, and the INVITE or
the first packet to the customer with the tone of the one whom they did not hear before. Consultant and agent speak all
the time, so what is waited for is the gateway's alone.
"""

from pathlib import Path

from tests.bench.agents import RING_S
from tests.bench.capture import Capture
from tests.bench.children import BenchError
from tests.bench.consulted import Ordered, Reader
from tests.bench.desk import Desk
from tests.bench.machine import watch
from tests.bench.report import Report, quantile
from tests.bench.scene import SWITCHED, Say, Scene
from tests.bench.sipp import Calls

_AIM = "p50 40, p99 100 ms"
_RATE = 10
_RAMP = 25
_ROUNDS = 6
_SLACK_S = 8.0
_FEW = 0.01
_SNAPLEN = 4096
_FIGURES = {
    "consult": "consult order -> INVITE",
    "swap": "swap order -> agent on caller's wire",
    "merge": "merge order -> consultant on caller's wire",
    "forward": "forward order -> consultant on caller's wire",
}


def measure(report: Report, folder: Path, say: Say, quick: bool) -> None:
    """Adds a row for each order with 20 calls that talk, and with 100 unless `quick`."""
    for talking, times in ((20, 1),) if quick else ((20, 5), (100, 1)):
        orders: dict[str, list[Ordered]] = {what: [] for what in _FIGURES}
        with Scene(f"consult-{talking}", folder, say, consultants=True) as scene, Desk(scene) as desk:
            so_far = watch(scene.gateway.pid)
            for turn in range(times):
                say(f"{talking} calls, {turn + 1} of {times}")
                for what, found in _once(scene, desk, talking).items():
                    orders[what] += found
            busy = so_far().machine_busy
            told = {"callers": scene.stop_callers(), "consultants": scene.stop_consultants()}
        for what, figure in _FIGURES.items():
            _row(report, f"{figure}, {talking} calls talk", orders[what], f"machine {busy:.0%} busy")
        report.details["consult"][f"{talking} calls"] = told | {"machineBusy": round(busy, 3)}
    note = (
        "both ends by the kernel's timestamps (dumpcap): the API client's TCP segment, the INVITE or the first packet"
    )
    report.add("", "", "", f"{note} with the tone of whom the caller did not hear before; {_RATE} orders/s")


def _once(scene: Scene, desk: Desk, count: int) -> dict[str, list[Ordered]]:
    """Every agent consults, swaps to the customer, merges, ends the consult, consults again and forwards."""
    hold_s = count / _RAMP + _ROUNDS * (count / _RATE + RING_S + 0.5) + _SLACK_S
    with (
        Capture(scene.folder, "orders", Reader.wanted(scene, desk), _SNAPLEN) as capture,
        scene.call(Calls(SWITCHED, _RAMP, count, hold_s)) as sipp,
    ):
        scene.wait_bridged(count, count / _RAMP + _SLACK_S)
        calls = desk.calls()
        desk.consults(calls, _RATE)
        desk.swaps(calls, _RATE)
        desk.merges(calls, _RATE)
        desk.ends_consults(calls, _RATE)
        desk.consults(calls, _RATE)
        desk.forwards(calls, _RATE)
        outcome = sipp.outcome()
    if outcome.failed:
        raise BenchError(f"{outcome.failed} of {count} calls failed: {outcome.why}\n{sipp.errors()}")
    if capture.dropped:
        scene.say(f"dumpcap lost {capture.dropped}")
    scene.wait_calls(0, 10)
    return Reader(scene, desk, calls).read(capture.datagrams())


def _row(report: Report, figure: str, orders: list[Ordered], busy: str) -> None:
    """Raises BenchError when what was ordered did not come in more than a few, or was there before."""
    already = sum(order.heard_already for order in orders)
    if already:
        raise BenchError(f"{figure}: in {already} of {len(orders)} it was heard before it was ordered")
    times = sorted((order.done - order.at) * 1000 for order in orders if order.done is not None)
    never = len(orders) - len(times)
    if not orders or never > _FEW * len(orders):
        raise BenchError(f"{figure}: it came in only {len(times)} of {len(orders)}")
    p50, p90, p99 = (quantile(times, share) for share in (0.5, 0.9, 0.99))
    note = f"p90 {p90:.1f}, longest {times[-1]:.1f} ms of {len(orders)}; {busy}" + (
        f"; never in {never}" if never else ""
    )
    report.add(figure, f"p50 {p50:.1f}, p99 {p99:.1f} ms", _AIM, note)
    report.details.setdefault("consult", {})[figure] = {
        "orders": len(orders),
        "never": never,
        "p50Ms": round(p50, 2),
        "p90Ms": round(p90, 2),
        "p99Ms": round(p99, 2),
        "longestMs": round(times[-1], 2),
    }
