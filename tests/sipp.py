"""SIPp as a caller or a registrar: runs one of tests/sip/scenarios, and keeps the messages; for tests/sip."""

import asyncio
import itertools
import re
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.gateway_process import GatewayProcess
from tests.wire import CARRIER, Wire, free_port, ladder

SCENARIOS: Final = Path(__file__).parent / "sip" / "scenarios"
_ENTRY: Final = re.compile(r"^-{20,} [\d-]+\s+([\d:.]+)\n\w+ message (sent|received) .*$\n\n", re.MULTILINE)
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
    return SippRun(process.returncode or 0, output.decode(errors="replace"), messages_in(trace), call_id, took)


class SippRegistrar:
    """A registrar at the carrier's address, as tests/sip/scenarios/registrar.xml says."""

    def __init__(self, folder: Path, first: str, second: str = "200 OK", expires_s: int = 300) -> None:
        """`first` and `second` are its answers: a status line, perhaps with headers, as in "401 No\\nA: b"."""
        self.address, self.port = CARRIER, free_port()
        self._folder, self._expires_s = folder, expires_s
        self._scenario, self._trace = folder / "registrar.xml", folder / "registrar.messages"
        text = (SCENARIOS / "registrar.xml").read_text()
        # SIPp reads Authorization only: what answers a 407 is for the test to look at.
        wrong = f"{second}\n[last_Contact:];expires=[expires]" if first.startswith("407") else "400 Wrong Digest"
        for token, answer in (("@first@", first), ("@second@", second), ("@wrong@", wrong)):
            text = text.replace(token, answer)
        self._scenario.write_text(text)

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *("sipp", "-sf", str(self._scenario), "-i", self.address, "-p", str(self.port), "-nostdin"),
            *("-nd", "-trace_msg", "-message_file", str(self._trace), "-key", "expires", str(self._expires_s)),
            cwd=self._folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.returncode is None, "SIPp gave up"
        self._process.kill()
        await self._process.wait()

    @property
    def registers(self) -> list[Wire]:
        """The REGISTERs that came so far."""
        return [message for message in messages_in(self._trace) if message.start.startswith("REGISTER ")]


def messages_in(trace: Path) -> tuple[Wire, ...]:
    """What SIPp wrote with -message_file; `at_s` is the time of day, in seconds."""
    text = trace.read_text(errors="replace") if trace.exists() else ""
    parts = _ENTRY.split(text)[1:]
    entries = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return tuple(Wire(way == "sent", body, _seconds(clock)) for clock, way, body in entries)


def _seconds(clock: str) -> float:
    """Of a time of day."""
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
