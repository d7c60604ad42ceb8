"""What captured RTP says of its sender: gaps, losses, silence where sound should be; used by the figures on media."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.bench.capture import Datagram

LONGEST_FINE_MS = 60
HEADER = 12
"""Bytes before the sound."""
_SILENCE = frozenset(b"\xff\x7f")  # PCMU's two zeros
_PCMU = 0


@dataclass(slots=True)
class Stream:
    """One SSRC of one port."""

    last_at: float
    last_seq: int
    packets: int = 1
    longest_ms: float = 0.0
    sounds: bool = False
    """Some of it was not silence."""


@dataclass(slots=True)
class Wire:
    """All streams of a capture together. `intervals` counts times between packets, in whole milliseconds."""

    streams: dict[tuple[int, bytes], Stream] = field(default_factory=dict)
    intervals: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    late: int = 0
    silent: int = 0

    @property
    def packets(self) -> int:
        """Of all streams."""
        return sum(stream.packets for stream in self.streams.values())

    @property
    def mute(self) -> int:
        """Streams in which there was nothing but silence."""
        return sum(not stream.sounds for stream in self.streams.values())

    @property
    def longest_ms(self) -> float:
        """The longest gap in any stream."""
        return max((stream.longest_ms for stream in self.streams.values()), default=0.0)

    @property
    def too_long(self) -> int:
        """Gaps over 60 ms."""
        return sum(count for ms, count in self.intervals.items() if ms >= LONGEST_FINE_MS)

    def interval_ms(self, share: float) -> int:
        """The time between two packets that this share of them stays below."""
        left = share * self.intervals.total()
        for ms in sorted(self.intervals):
            left -= self.intervals[ms]
            if left <= 0:
                return ms + 1
        return 0


def audio(datagrams: Iterable[Datagram]) -> Iterator[Datagram]:
    """Those that are RTP with PCMU in it."""
    return (datagram for datagram in datagrams if is_pcmu(datagram))


def is_pcmu(datagram: Datagram) -> bool:
    """Whether it is RTP with PCMU in it."""
    data = datagram.data
    return len(data) > HEADER and data[0] == 0x80 and data[1] & 0x7F == _PCMU


def is_silent(datagram: Datagram) -> bool:
    """Whether all that was captured of the packet's sound is digital silence."""
    return _SILENCE.issuperset(datagram.data[HEADER:])


def numbers(wire: Wire) -> dict[str, float | dict[str, int]]:
    """What it says, for a report's details."""
    return {
        "streams": len(wire.streams),
        "packets": wire.packets,
        "longestMs": round(wire.longest_ms, 2),
        "over60Ms": wire.too_long,
        "intervalMs": {str(share): wire.interval_ms(share) for share in (0.5, 0.99, 0.999)},
        "lost": wire.lost,
        "late": wire.late,
        "silentPackets": wire.silent,
        "muteStreams": wire.mute,
    }


def faults(wire: Wire) -> str:
    """What is wrong with it, for a row."""
    told = f"{wire.too_long} over {LONGEST_FINE_MS} ms, {wire.lost} lost, {wire.silent} silent of {wire.packets}"
    return told + (f", {wire.mute} heard nothing at all" if wire.mute else "")


def read_wire(datagrams: Iterable[Datagram], begin: float, end: float) -> Wire:
    """Everything that was sent between two times."""
    wire = Wire()
    for datagram in audio(datagrams):
        if not begin <= datagram.at <= end:
            continue
        seq = int.from_bytes(datagram.data[2:4])
        silent = is_silent(datagram)
        wire.silent += silent
        key = (datagram.source_port, datagram.data[8:12])
        stream = wire.streams.get(key)
        if stream is None:
            wire.streams[key] = Stream(datagram.at, seq, sounds=not silent)
            continue
        stream.sounds = stream.sounds or not silent
        step = (seq - stream.last_seq) & 0xFFFF
        if step == 0 or step >= 0x8000:
            wire.late += 1
            continue
        gap_ms = (datagram.at - stream.last_at) * 1000
        wire.lost += step - 1
        wire.intervals[int(gap_ms)] += 1
        stream.packets += 1
        stream.longest_ms = max(stream.longest_ms, gap_ms)
        stream.last_at, stream.last_seq = datagram.at, seq
    return wire
