"""SIPp: runs one of tests/sip/scenarios, and keeps what went over the wire; for tests/sip."""

import asyncio
import itertools
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.gateway_process import GatewayProcess
from tests.wire import CARRIER, Wire, free_port, ladder

SCENARIOS: Final = Path(__file__).parent / "sip" / "scenarios"
_ENTRY: Final = re.compile(r"^-{20,} [\d-]+\s+[\d:.]+\n\w+ message (sent|received) .*$\n\n", re.MULTILINE)
_runs = itertools.count(1)


@dataclass(frozen=True, slots=True)
class SippRun:
    """What came of a scenario: the caller's side of one or more calls; `call_id` is that of the first one."""

    code: int
    output: str
    messages: tuple[Wire, ...]
    call_id: str
    took_s: float

    @property
    def received(self) -> list[Wire]:
        """What the gateway sent."""
        return [message for message in self.messages if not message.sent]

    @property
    def statuses(self) -> list[int]:
        """The final and provisional statuses that the gateway gave to INVITEs, in order, without 100."""
        return [m.status for m in self.received if m.method == "INVITE" and m.status > 100]

    def response(self, status: int, method: str = "INVITE") -> Wire:
        """The first response with this status."""
        return next(m for m in self.received if m.status == status and m.method == method)

    def request(self, method: str) -> Wire:
        """The first request of the gateway with this method."""
        return next(m for m in self.received if not m.status and m.method == method)

    def succeeded(self) -> "SippRun":
        """The scenario went as it was written."""
        assert self.code == 0, f"SIPp ended with {self.code}:\n{ladder(self.messages)}\n{self.output[-3000:]}"
        return self


async def sipp(
    scenario: str,
    gateway: GatewayProcess,
    folder: Path,
    *,
    to: str = "100",
    address: str = CARRIER,
    tcp: bool = False,
    ear_port: int = 9,
    duration_ms: int = 0,
    calls: int = 1,
    rate: int = 10,
    timeout_s: float = 15.0,
    **keys: str | int,
) -> SippRun:
    """Run tests/sip/scenarios/{scenario}.xml; `keys` are its [names], [ear] is the port where audio is wanted."""
    number = next(_runs)
    call_id = f"1-{scenario}-{number}-{time.monotonic_ns():x}@{address}"
    trace = folder / f"{scenario}-{number}.messages"
    command = [
        *("sipp", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-s", to, "-i", address, "-m", str(calls)),
        *("-p", str(free_port(address)), "-cid_str", "%u" + call_id[1:], "-nostdin", "-nd"),
        *("-d", str(duration_ms), "-r", str(rate), "-l", str(calls)),
        *("-t", "t1" if tcp else "u1", "-timeout", f"{timeout_s:.0f}s", "-timeout_error", "-trace_msg"),
        *("-message_file", str(trace), "-recv_timeout", str(int(timeout_s * 1000)), "-key", "ear", str(ear_port)),
        *(part for name, value in keys.items() for part in ("-key", name, str(value))),
        f"127.0.0.1:{gateway.tcp_port if tcp else gateway.udp_port}",
    ]
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(timeout_s + 10):
            output, _ = await process.communicate()
    except BaseException:
        process.kill()
        raise
    took = time.monotonic() - began
    return SippRun(process.returncode or 0, output.decode(errors="replace"), _read(trace), call_id, took)


def _read(trace: Path) -> tuple[Wire, ...]:
    text = trace.read_text(errors="replace") if trace.exists() else ""
    parts = _ENTRY.split(text)[1:]
    return tuple(Wire(way == "sent", body) for way, body in zip(parts[::2], parts[1::2], strict=True))
