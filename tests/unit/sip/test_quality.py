"""Adding up a leg's streams: what PJSIP counted, what the peer said, and what nobody should believe."""

import time
from dataclasses import dataclass, field

import pytest

from gateway.calls.quality import RtpFlow, RtpQuality
from gateway.sip.quality import RtpTally


@dataclass
class Moment:
    """As pjsua2's TimeVal."""

    sec: int = 0
    msec: int = 0


@dataclass
class Measure:
    """As pjsua2's MathStat, in microseconds."""

    n: int = 0
    mean: int = 0
    max: int = 0


@dataclass
class Counts:
    """As pjsua2's RtcpStreamStat."""

    pkt: int = 0
    loss: int = 0
    updateCount: int = 0
    update: Moment = field(default_factory=Moment)
    jitterUsec: Measure = field(default_factory=Measure)


@dataclass
class Rtcp:
    """As pjsua2's RtcpStat."""

    rxStat: Counts = field(default_factory=Counts)
    txStat: Counts = field(default_factory=Counts)
    start: Moment = field(default_factory=Moment)
    rttUsec: Measure = field(default_factory=Measure)


@dataclass
class Stat:
    """As pjsua2's StreamStat."""

    rtcp: Rtcp


def reported(sent: int, lost: int, jitter: Measure | None = None) -> Stat:
    """A stream of which the peer spoke a moment ago."""
    now = Moment(int(time.time()) + 1)
    return Stat(Rtcp(txStat=Counts(sent, lost, 1, now, jitter or Measure()), start=Moment(now.sec - 100)))


def total(*streams: Stat) -> RtpQuality:
    tally = RtpTally()
    for stream in streams:
        tally.add("PCMU", stream)
    quality = tally.total()
    assert quality is not None
    return quality


def test_without_a_stream_there_is_nothing():
    assert RtpTally().total() is None


def test_streams_add_up():
    quality = total(
        Stat(Rtcp(Counts(90, 10, jitterUsec=Measure(30, 2000, 5000)), Counts(100), rttUsec=Measure(1, 40_000, 40_000))),
        Stat(Rtcp(Counts(50, 0, jitterUsec=Measure(10, 6000, 9000)), Counts(55), rttUsec=Measure(3, 80_000, 90_000))),
    )
    assert quality == RtpQuality("PCMU", RtpFlow(150, 10, 3.0, 9.0), 155, None, 70.0)


def test_the_codec_is_that_of_the_last_stream():
    tally = RtpTally()
    tally.add("PCMU", Stat(Rtcp()))
    tally.add("G722", Stat(Rtcp()))
    assert tally.total() == RtpQuality("G722", RtpFlow(0, 0), 0)


def test_a_peer_that_counts_on_over_a_new_stream_is_not_counted_twice():
    assert total(reported(100, 5), reported(100, 8)).reported == RtpFlow(200, 8)


def test_a_peer_that_began_anew_is_added():
    assert total(reported(100, 5), reported(100, 2)).reported == RtpFlow(200, 7)


def test_a_negative_loss_is_none():
    assert total(reported(100, 0xFFFFFE)).reported == RtpFlow(100, 0)


def test_nobody_lost_more_than_there_was_or_jitters_for_a_minute():
    quality = total(reported(100, 5000, Measure(1, 60_000_000, 60_000_000)))
    assert quality.reported == RtpFlow(100, 100, 10_000.0, 10_000.0)


def test_a_report_covers_what_was_sent_before_it():
    now = int(time.time())
    stat = Stat(Rtcp(txStat=Counts(1000, 40, 3, Moment(now - 50)), start=Moment(now - 100)))
    flow = total(stat).reported
    assert flow is not None
    assert flow.expected == pytest.approx(500, abs=15)
    assert flow.loss == pytest.approx(0.08, abs=0.005)


@pytest.mark.parametrize("moment", [Moment(0), Moment(2**31)])
def test_a_clock_that_was_set_breaks_nothing(moment: Moment):
    quality = total(Stat(Rtcp(txStat=Counts(1000, 40, 3, moment), start=Moment(2**31 - 1))))
    assert quality.reported == RtpFlow(1000, 40)
