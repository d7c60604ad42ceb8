"""What the kernel tells of this machine and of a process: who we measure on, CPU, memory; used by every figure."""

import os
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
_UTIME, _STIME = 11, 12  # of /proc/PID/stat, counted after the `)` of the name: proc(5)


def describe(root: Path) -> dict[str, str]:
    """The machine and the versions that a run's figures belong to."""
    memory_kib = int(_value("/proc/meminfo", "MemTotal").split()[0])
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "cpu": _value("/proc/cpuinfo", "model name"),
        "memory": f"{memory_kib / 2**20:.1f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "pjsip": _package("pjsua2"),
        "sipp": _first_line(["sipp", "-v"]),
        "commit": _first_line(["git", "-C", str(root), "describe", "--always", "--dirty"]),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _value(path: str, name: str) -> str:
    """Of a `name: value` line."""
    return next((line.partition(":")[2].strip() for line in _lines(path) if line.startswith(name)), "?")


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "?"


def _first_line(command: list[str]) -> str:
    try:
        out = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except OSError:
        return "?"
    return next((line.strip() for line in out.splitlines() if line.strip()), "?")


def rss_mb(pid: int) -> float:
    """Resident memory, MB (10^6 bytes)."""
    return int(_value(f"/proc/{pid}/status", "VmRSS").split()[0]) * 1024 / 1e6


def cpu_ms(pid: int) -> float:
    """CPU that all threads of a process have used, user and system."""
    return _stat_ms(f"/proc/{pid}/stat")


def _stat_ms(path: str) -> float:
    fields = Path(path).read_text().rpartition(")")[2].split()
    return (int(fields[_UTIME]) + int(fields[_STIME])) * _TICK_MS


def _thread_ms(pid: int) -> dict[int, float]:
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found[int(task.name)] = _stat_ms(f"{task}/stat")
        except OSError:  # it has just ended
            continue
    return found


def _thread_names(pid: int) -> dict[int, str]:
    """Names by thread id.

    Python 3.11 names no thread for the kernel, so they all bear the name of the process: the first is asyncio's, and
    the last one before PJSIP's own threads is the one that started PJSIP.
    """
    comms = {int(task.name): (task / "comm").read_text().strip() for task in Path(f"/proc/{pid}/task").iterdir()}
    unnamed = sorted(tid for tid, comm in comms.items() if comm == comms[pid])
    native = [tid for tid, comm in comms.items() if comm in ("media", "clock")]
    names = dict.fromkeys(unnamed, "workers") | {tid: comm for tid, comm in comms.items() if tid not in unnamed}
    starters = [tid for tid in unnamed if native and pid < tid < min(native)]
    if starters:
        names[starters[-1]] = "pjsip"
    return names | {pid: "asyncio"}


def _host_ticks() -> tuple[int, int]:
    """(busy, all) since boot; `idle` and `iowait` are not busy (proc(5), /proc/stat)."""
    fields = [int(field) for field in _lines("/proc/stat")[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process used during some time. `machine_busy` is the share of all cores that anybody used."""

    seconds: float
    cpu_ms: float
    threads: dict[str, float]
    machine_busy: float

    @property
    def ms_per_s(self) -> float:
        """Milliseconds of CPU per second."""
        return self.cpu_ms / self.seconds


def watch(pid: int) -> Callable[[], Usage]:
    """Begin to watch a process; call what it returns for the usage since then."""
    began, cpu, threads, host = time.monotonic(), cpu_ms(pid), _thread_ms(pid), _host_ticks()

    def so_far() -> Usage:
        seconds, used, busy = time.monotonic() - began, cpu_ms(pid) - cpu, _host_ticks()
        names, by_name = _thread_names(pid), dict[str, float]()
        for tid, ms in _thread_ms(pid).items():
            name = names.get(tid, "workers")
            by_name[name] = by_name.get(name, 0.0) + ms - threads.get(tid, 0.0)
        return Usage(seconds, used, by_name, (busy[0] - host[0]) / max(1, busy[1] - host[1]))

    return so_far


def use_during(pid: int, seconds: float) -> Usage:
    """Wait so long, and say what the process used meanwhile."""
    so_far = watch(pid)
    time.sleep(seconds)
    return so_far()
