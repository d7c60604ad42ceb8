"""How good a leg's audio was: RTP as it was counted at both ends, and what it comes to; made by sip/quality.py.

The MOS is an estimate by the E-model (ITU-T G.107), reduced to what RTP and RTCP tell: codec, loss and delay. It hears
no noise and no echo.
"""

from dataclasses import dataclass
from typing import Final

from gateway.calls.model import Json, JsonObject

_CODECS: Final = {
    "PCMU": (0.0, 25.1),  # ITU-T G.113 appendix I, G.711 with loss concealment
    "PCMA": (0.0, 25.1),
    "G722": (0.0, 25.1),  # wideband has no place on this scale: taken as G.711, so that the two compare
    "G729": (11.0, 19.0),  # ITU-T G.113 appendix I, G.729A
    "OPUS": (0.0, 25.1),  # ITU-T gives none: taken as G.711
}
"""Of each codec: Ie, how much it takes away itself, and Bpl, how well it bears loss."""
_BEST: Final = 93.2
"""R with the default values of ITU-T G.107 for all that is not measured."""
_STEADY_MS: Final = 40.0
"""Packetisation and the smallest jitter buffer."""
_NOTICED_MS: Final = 177.3
"""A one-way delay that disturbs a conversation."""


def mos(codec: str, loss: float, delay_ms: float) -> float:
    """What people would say of it, from 1 (bad) to 4.5 (excellent).

    `loss` is the part of the packets that was not heard, 0 to 1, as if lost at random; `delay_ms` is one way, from
    mouth to ear. An unknown codec counts as G.711.
    """
    ie, bpl = _CODECS.get(codec.upper(), _CODECS["PCMU"])
    percent = 100 * min(max(loss, 0.0), 1.0)
    ie_eff = ie + (95 - ie) * percent / (percent + bpl)  # ITU-T G.107 §3.5, BurstR = 1
    r = _BEST - _delay_impairment(max(delay_ms, 0.0)) - ie_eff
    if r <= 0:
        return 1.0
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)  # ITU-T G.107 annex B; below R = 6.5 it dips


def _delay_impairment(delay_ms: float) -> float:
    """Id of the E-model in its usual linear form, for an echo that is cancelled."""
    return 0.024 * delay_ms + 0.11 * max(0.0, delay_ms - _NOTICED_MS)


@dataclass(frozen=True, slots=True)
class RtpFlow:
    """RTP in one direction, as its receiver counted it.

    `expected` is how many packets he should have had, `lost` how many of them did not come. Jitter is the interarrival
    jitter of RFC 3550 §6.4.1 in milliseconds, its mean and its maximum; None if it was never measured.
    """

    expected: int
    lost: int
    jitter_ms: float | None = None
    jitter_max_ms: float | None = None

    @property
    def loss(self) -> float:
        """Lost of expected, 0 to 1."""
        return min(1.0, self.lost / self.expected) if self.expected else 0.0

    def mos(self, codec: str, round_trip_ms: float | None) -> float | None:
        """The estimate; None if nothing was sent.

        The receiver's jitter buffer is taken to hold twice the jitter, and a network whose delay nobody measured to
        have none.
        """
        if not self.expected:
            return None
        return mos(codec, self.loss, _STEADY_MS + 2 * (self.jitter_ms or 0.0) + (round_trip_ms or 0.0) / 2)


@dataclass(frozen=True, slots=True)
class RtpQuality:
    """A leg's RTP from its first packet to its last, over all its streams.

    `received` is what we counted of the peer's packets. `reported` is what the peer's RTCP said of ours, up to its
    last report: None if there was none. `sent` is how many packets we sent. `round_trip_ms` is a mean, None if the
    peer's RTCP gave no measure of it.
    """

    codec: str
    received: RtpFlow
    sent: int
    reported: RtpFlow | None = None
    round_trip_ms: float | None = None

    @property
    def mos_received(self) -> float | None:
        """MOS estimate of what we heard."""
        return self.received.mos(self.codec, self.round_trip_ms)

    @property
    def mos_sent(self) -> float | None:
        """MOS estimate of what the peer heard; None if it did not say."""
        return self.reported.mos(self.codec, self.round_trip_ms) if self.reported else None


def as_json(quality: RtpQuality) -> JsonObject:
    """As it stands in `leg.left` and, with the leg's id, in the CDR's `rtp[]`.

    `sent.packets` are all of ours; what follows it is null if the peer sent no RTCP report.
    """
    received, reported = quality.received, quality.reported
    unsaid: JsonObject = dict.fromkeys(("lost", "lossPercent", "jitterMs", "jitterMaxMs"))
    return {
        "codec": quality.codec,
        "received": {
            "packets": received.expected - received.lost,
            **_flow_json(received),
            "mos": _round(quality.mos_received, 2),
        },
        "sent": {
            "packets": quality.sent,
            **(_flow_json(reported) if reported else unsaid),
            "mos": _round(quality.mos_sent, 2),
        },
        "roundTripMs": _round(quality.round_trip_ms, 1),
    }


def _flow_json(flow: RtpFlow) -> JsonObject:
    return {
        "lost": flow.lost,
        "lossPercent": round(100 * flow.loss, 2),
        "jitterMs": _round(flow.jitter_ms, 1),
        "jitterMaxMs": _round(flow.jitter_max_ms, 1),
    }


def _round(value: float | None, digits: int) -> Json:
    return round(value, digits) if value is not None else None
