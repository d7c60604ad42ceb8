"""The benchmark: what a call costs and how well it sounds, one run's figures beside their aims; for `make bench`.

Asserts nothing about time. The exit code is 1 only if something did not work: calls that fail at a low rate, a process
that dies, a program that is missing.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rich.console import Console

from tests.bench import (
    bridged,
    call_rate,
    call_setup,
    conference,
    consults,
    first_audio,
    journal,
    machine,
    memory,
    play_cost,
    rtp_gaps,
    sse,
    transfers,
)
from tests.bench.children import BenchError
from tests.bench.report import Report
from tests.bench.scene import ROOT, Say

Measure = Callable[[Report, Path, Say, bool], None]

_FIGURES: dict[str, Measure] = {
    "cost": play_cost.measure,
    "bridged": bridged.measure,
    "conference": conference.measure,
    "memory": memory.measure,
    "setup": call_setup.measure,
    "audio": first_audio.measure,
    "switch": transfers.switch,
    "bridge": transfers.bridge,
    "consult": consults.measure,
    "gaps": rtp_gaps.measure,
    "rate": call_rate.measure,
    "journal": journal.measure,
    "sse": sse.measure,
}


def main() -> int:
    """Run what the command line asks for; the exit code."""
    arguments = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    console = Console(width=None if sys.stdout.isatty() else 160)
    report = Report(machine.describe(ROOT), arguments.quick, datetime.now(UTC))
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="switchhook-bench-") as folder:
        for name in arguments.only or _FIGURES:
            say(f"── {name}")
            try:
                _FIGURES[name](report, Path(folder), say, arguments.quick)
            except BenchError as error:
                say(f"{name} did not work: {error}")
                report.failures[name] = str(error)
            except KeyboardInterrupt:
                say("interrupted")
                return 130
    report.show(console)
    console.print(f"written to {report.write(ROOT / 'var' / 'bench')}", highlight=False)
    return 1 if report.failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the gateway: SIP and RTP over loopback, SIPp as the callers.")
    parser.add_argument("--quick", action="store_true", help="shorter and lighter, to see that all of it works")
    parser.add_argument("--only", action="append", choices=list(_FIGURES), help="this figure; may be given again")
    return parser.parse_args()


def _interrupt(_: int, __: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
