"""What went over the wire: dumpcap on the loopback device, with the kernel's timestamps, and a reader of its files."""

import re
import shutil
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.bench.children import BenchError, Child, until

_BUFFER_MIB = "64"
_MAGICS = {0xA1B2C3D4: 1e6, 0xA1B23C4D: 1e9}
_TCP = 6
_ETHERNET_IPV4 = b"\x08\x00"
_DROPS = re.compile(r"received/dropped on interface [^:]*: *lo[^:]*: (\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP datagram or a TCP segment with data, `data` as far as it was captured; `at` in seconds since the epoch."""

    at: float
    source_port: int
    port: int
    """Where it went."""
    data: bytes


class Capture:
    """Captures from `with` to the end of the block; then `datagrams()` and `dropped`."""

    def __init__(self, folder: Path, name: str, only: str, snaplen: int) -> None:
        """`only` is a capture filter. Raises BenchError without dumpcap."""
        program = shutil.which("dumpcap")
        if program is None:
            raise BenchError("dumpcap is missing: install Debian's package wireshark-common")
        self._file = folder / f"{name}.pcap"
        command = [program, "-P", "-i", "lo", "-f", only, "-s", str(snaplen), "-B", _BUFFER_MIB, "-w", str(self._file)]
        self._child = Child("dumpcap", command, folder / f"{name}.dumpcap", quiet=True)
        self.dropped: int | None = None
        """Packets that dumpcap could not take; None: it did not say."""

    def __enter__(self) -> Self:
        if not until(self._has_begun, 5.0, 0.05):
            self._child.stop()
            raise BenchError(f"dumpcap does not capture:\n{self._child.last_words()}")
        return self

    def _has_begun(self) -> bool:
        self._child.check()
        return self._file.exists() and "File:" in self._child.stderr.read_text(errors="replace")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            time.sleep(1.2)  # dumpcap reads what the kernel holds for it once a second at least
        self._child.stop()
        told = _DROPS.search(self._child.stderr.read_text(errors="replace"))
        self.dropped = int(told[2]) if told else None

    def datagrams(self) -> Iterator[Datagram]:
        """All that was captured, in order; the file is deleted after the last one."""
        data = self._file.read_bytes()
        self._file.unlink()
        return _datagrams(data)


def _datagrams(data: bytes) -> Iterator[Datagram]:
    """Of a pcap file with Ethernet frames of IPv4, UDP and TCP."""
    order = "<" if struct.unpack_from("<I", data)[0] in _MAGICS else ">"
    unit = _MAGICS[struct.unpack_from(f"{order}I", data)[0]]
    record, at = struct.Struct(f"{order}IIII"), 24
    while at + record.size <= len(data):
        seconds, fraction, length, _ = record.unpack_from(data, at)
        begin, at = at + record.size, at + record.size + length
        if data[begin + 12 : begin + 14] != _ETHERNET_IPV4 or at > len(data):
            continue
        ip = begin + 14
        ports = ip + (data[ip] & 0x0F) * 4
        head = (data[ports + 12] >> 4) * 4 if data[ip + 9] == _TCP else 8
        if content := data[ports + head : at]:
            source, port = int.from_bytes(data[ports : ports + 2]), int.from_bytes(data[ports + 2 : ports + 4])
            yield Datagram(seconds + fraction / unit, source, port, content)
