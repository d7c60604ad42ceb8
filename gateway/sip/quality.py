"""Counts a leg's RTP over all its streams, from PJSIP's statistics of each; one per leg, fed by leg.py."""

import time
from typing import Any, Final

from gateway.calls.quality import RtpFlow, RtpQuality

_NEGATIVE: Final = 0x800000
"""RFC 3550 §6.4.1: `cumulative number of packets lost` is signed and has 24 bits; below 0 means duplicates."""
_LONGEST_MS: Final = 10_000.0
"""A peer that reports more jitter than this is not believed."""


class RtpTally:
    """The sum of the streams that are over: a re-INVITE may end one and begin another."""

    def __init__(self) -> None:
        self._codec = ""
        self._streams = 0
        self._sent = 0
        self._received = _Flow()
        self._reported = _Flow()
        self._said_lost = 0
        self._round_trip = _Mean()

    def add(self, codec: str, stat: Any) -> None:
        """A stream that ends now: its codec and pjsua2's StreamStat of it.

        The jitter buffer's own count of discards stays out: it discards as well when nobody listens to the leg.
        """
        self._streams += 1
        self._codec = codec
        rtcp = stat.rtcp
        received, ours = rtcp.rxStat, rtcp.txStat
        lost = received.loss
        self._received.add(received.pkt + lost, lost, received.jitterUsec)
        self._sent += ours.pkt
        self._round_trip.add(rtcp.rttUsec)
        if ours.updateCount:
            self._add_report(ours, _seconds(rtcp.start))

    def _add_report(self, ours: Any, began: float) -> None:
        """The peer counts its loss since it first heard our SSRC, which a new stream keeps (RFC 3550 §6.4.1); a peer
        whose count is less than it was began anew."""
        said = ours.loss if ours.loss < _NEGATIVE else 0
        lost = said - self._said_lost if said >= self._said_lost else said
        self._said_lost = said
        lasted = time.time() - began
        part = min(1.0, (_seconds(ours.update) - began) / lasted) if lasted > 0 else 1.0
        covered = round(ours.pkt * max(0.0, part))
        self._reported.add(covered, min(lost, covered), ours.jitterUsec)

    def total(self) -> RtpQuality | None:
        """All of them; None if there was no stream."""
        if not self._streams:
            return None
        reported = self._reported.flow() if self._reported.expected else None
        return RtpQuality(self._codec, self._received.flow(), self._sent, reported, self._round_trip.mean_ms)


class _Mean:
    """A mean of means, each weighted by how many samples it has."""

    def __init__(self) -> None:
        self._samples = 0
        self._sum_ms = 0.0
        self._max_ms = 0.0

    def add(self, usec: Any) -> None:
        """pjsua2's MathStat, in microseconds."""
        if usec.n:
            self._samples += usec.n
            self._sum_ms += usec.n * min(usec.mean / 1000, _LONGEST_MS)
            self._max_ms = max(self._max_ms, min(usec.max / 1000, _LONGEST_MS))

    @property
    def mean_ms(self) -> float | None:
        return self._sum_ms / self._samples if self._samples else None

    @property
    def max_ms(self) -> float | None:
        return self._max_ms if self._samples else None


class _Flow:
    def __init__(self) -> None:
        self.expected = 0
        self._lost = 0
        self._jitter = _Mean()

    def add(self, expected: int, lost: int, jitter: Any) -> None:
        self.expected += expected
        self._lost += lost
        self._jitter.add(jitter)

    def flow(self) -> RtpFlow:
        return RtpFlow(self.expected, self._lost, self._jitter.mean_ms, self._jitter.max_ms)


def _seconds(at: Any) -> float:
    return float(at.sec + at.msec / 1000)
