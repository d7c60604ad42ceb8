"""SIPp as the callers' SIP: starts it, waits for it, reads its statistics; used by every figure."""

import csv
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.children import BenchError, Child

_SCENARIO = Path(__file__).with_name("hold.xml")


@dataclass(frozen=True, slots=True)
class Calls:
    """So many calls to `number`, `rate` a second, each for `hold_s`; at most `limit` at a time (0: any number)."""

    number: str
    rate: int
    count: int
    hold_s: float
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of them. `placing_s` is the time in which they were placed, `setup_ms` SIPp's own INVITE -> 200."""

    created: int
    good: int
    failed: int
    retransmissions: int
    placing_s: float
    why: dict[str, int]
    setup_ms: list[float] = field(repr=False)

    @property
    def failures(self) -> float:
        """The share that failed."""
        return self.failed / max(1, self.created)


class Sipp:
    """One run of SIPp; a context manager that ends it."""

    def __init__(self, folder: Path, name: str, sip_port: int, rtp_port: int, calls: Calls) -> None:
        """Raises BenchError without SIPp. RTP is answered to `rtp_port` of 127.0.0.1, which is not SIPp's."""
        program = shutil.which("sipp")
        if program is None:
            raise BenchError("sipp is missing: install Debian's package sip-tester")
        self._calls = calls
        self._folder = folder / f"sipp-{name}"
        self._folder.mkdir()
        shutil.copy(_SCENARIO, self._folder)  # SIPp writes some of its files beside the scenario
        self._most_s = calls.count / calls.rate * 3 + calls.hold_s + 45
        command = [
            *(program, f"127.0.0.1:{sip_port}", "-sf", _SCENARIO.name, "-s", calls.number, "-i", "127.0.0.1"),
            *("-key", "rtp_port", str(rtp_port), "-d", str(round(calls.hold_s * 1000)), "-buff_size", str(4 << 20)),
            *("-r", str(calls.rate), "-m", str(calls.count), "-l", str(calls.limit or calls.count + 1)),
            *("-nostdin", "-skip_rlimit", "-trace_stat", "-stf", "stat.csv", "-fd", "100ms"),
            *("-trace_rtt", "-rtt_freq", "1", "-trace_err", "-error_file", "errors.log"),
        ]
        self.child = Child("sipp", command, self._folder / "stderr", cwd=self._folder, quiet=True)

    def __enter__(self) -> "Sipp":
        return self

    def __exit__(self, *_: object) -> None:
        self.child.stop()

    def outcome(self) -> Outcome:
        """Wait for its end. Raises BenchError when it could not work at all."""
        code = self.child.wait(self._most_s)
        if code not in (0, 1):
            raise BenchError(f"sipp has ended with code {code}:\n{self.child.last_words()}\n{self.errors()}")
        with (self._folder / "stat.csv").open() as lines:
            rows = list(csv.DictReader(lines, delimiter=";"))
        last = rows[-1]
        all_placed = next(row for row in rows if row["TotalCallCreated"] == last["TotalCallCreated"])
        why = {
            name.removeprefix("Failed").removesuffix("(C)"): int(count)
            for name, count in last.items()
            if name and name.startswith("Failed") and name.endswith("(C)") and count and int(count)
        }
        return Outcome(
            created=int(last["TotalCallCreated"]),
            good=int(last["SuccessfulCall(C)"]),
            failed=int(last["FailedCall(C)"]),
            retransmissions=int(last["Retransmissions(C)"]),
            placing_s=max(0.001, _epoch(all_placed, "CurrentTime") - _epoch(all_placed, "StartTime")),
            why={name: count for name, count in why.items() if name != "Call"},
            setup_ms=self._setup_ms(),
        )

    def errors(self) -> str:
        """The beginning of what it complained about."""
        file = self._folder / "errors.log"
        return file.read_text(errors="replace")[:1500] if file.exists() else ""

    def _setup_ms(self) -> list[float]:
        file = next(self._folder.glob("*_rtt.csv"), None)
        if file is None:
            return []
        with file.open() as lines:
            return [float(row["response_time_ms"]) for row in csv.DictReader(lines, delimiter=";")]


def _epoch(row: dict[str, str], column: str) -> float:
    """SIPp writes a time as date, time of day and seconds since the epoch."""
    return float(row[column].split("\t")[2])
