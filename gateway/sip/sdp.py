"""What we read from and change in SDP texts: codecs of a trunk, and signs of a hold; used by leg.py and legs.py."""

import re
from typing import Final

_MEDIA: Final = re.compile(r"^m=audio (?P<port>\S+) (?P<proto>\S+) (?P<formats>[^\r\n]*)", re.MULTILINE)
_RTPMAP: Final = re.compile(r"^a=rtpmap:(?P<pt>\d+) (?P<name>[^/\r\n]+)(?P<rate>/\d+)?", re.MULTILINE)
_STATIC: Final = {"0": "pcmu", "8": "pcma", "9": "g722", "18": "g729"}  # RFC 3551 §6
_RATES: Final = {"opus": "/48000"}  # RFC 7587 §7
_USUAL_RATE: Final = "/8000"
_EVENTS: Final = ("telephone-event/8000", "telephone-event/48000")


def keep_codecs(sdp: str, codecs: tuple[str, ...], offer: str = "") -> str:
    """Our SDP with only these audio codecs, best first, and events at their rates; unchanged if none would be left.

    If it answers an `offer`, only the best one stays that is offered too: the order of `codecs` decides, where PJSIP
    would let the offer's decide (RFC 3264 §6.1 leaves it to the answerer).
    """
    media = _MEDIA.search(sdp)
    if media is None:
        return sdp
    names, formats = _names(sdp), media["formats"].split()
    offered = _offered(offer)
    wanted = [codec.lower() for codec in codecs]
    wanted = next(([codec] for codec in wanted if codec in offered and codec in names.values()), wanted)
    kept = sorted((pt for pt in formats if names.get(pt) in wanted), key=lambda pt: wanted.index(names[pt]))
    if not kept:
        return sdp
    events = _EVENTS if "opus" in wanted else _EVENTS[:1]  # RFC 4733 §2.1: events have the clock rate of their audio
    kept += [pt for pt in formats if names.get(pt) in events]
    if kept == formats:
        return sdp
    dropped = "|".join(pt for pt in formats if pt not in kept)
    line = f"m=audio {media['port']} {media['proto']} {' '.join(kept)}"
    sdp = sdp[: media.start()] + line + sdp[media.end() :]
    return re.sub(rf"a=(?:rtpmap|fmtp):(?:{dropped}) [^\n]*\n", "", sdp) if dropped else sdp


def _offered(offer: str) -> set[str]:
    """The codecs of an offer's audio; none if it has several media, as it is PJSIP who chooses among those."""
    media = _MEDIA.search(offer)
    if media is None or offer.count("\nm=") != 1:
        return set()
    names = _names(offer)
    return {names[pt] for pt in media["formats"].split() if pt in names}


def _names(sdp: str) -> dict[str, str]:
    """What each payload type is: a codec at its only rate, `telephone-event/RATE`, or `NAME/RATE` of another kind."""
    names = dict(_STATIC)
    for found in _RTPMAP.finditer(sdp):
        name, rate = found["name"].lower(), found["rate"] or _USUAL_RATE
        usual = name != "telephone-event" and rate == _RATES.get(name, _USUAL_RATE)
        names[found["pt"]] = name if usual else name + rate
    return names


def may_hold(sdp: str) -> bool:
    """Whether an offer might ask for anything but media both ways (RFC 3264 §5.1, and c=0.0.0.0 of §8.4)."""
    return "a=sendonly" in sdp or "a=inactive" in sdp or "a=recvonly" in sdp or " 0.0.0.0" in sdp
