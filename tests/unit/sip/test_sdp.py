"""Our SDP cut down to a trunk's codecs."""

import pytest

from gateway.sip.sdp import keep_codecs, may_hold

OFFER = (
    "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 0 8 9 96 101 102\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:96 opus/48000/2\r\n"
    "a=fmtp:96 useinbandfec=1\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"
    "a=rtpmap:102 telephone-event/48000\r\na=fmtp:102 0-16\r\na=sendrecv\r\n"
)


def test_only_the_codecs_of_the_trunk_stay_in_its_order() -> None:
    sdp = keep_codecs(OFFER, ("G722", "PCMU"))
    assert "m=audio 4000 RTP/AVP 9 0 101\r\n" in sdp
    assert "opus" not in sdp
    assert ":96 " not in sdp
    assert ":102 " not in sdp
    assert "a=rtpmap:0 PCMU/8000\r\n" in sdp
    assert sdp.endswith("a=sendrecv\r\n")


def test_events_at_48_khz_stay_with_opus() -> None:
    assert "RTP/AVP 96 101 102\r\n" in keep_codecs(OFFER, ("opus",))


@pytest.mark.parametrize("codecs", [("G729",), ()])
def test_an_sdp_that_would_be_empty_is_left_alone(codecs: tuple[str, ...]) -> None:
    assert keep_codecs(OFFER, codecs) == OFFER


def test_what_is_no_audio_is_left_alone() -> None:
    assert keep_codecs("v=0\r\n", ("PCMU",)) == "v=0\r\n"


@pytest.mark.parametrize(
    ("formats", "kept"),
    [
        ("0 9", "9 101"),
        ("0", "0 101"),
        ("99", "9 0 101"),
        ("96 0", "0 101"),
    ],
    ids=["ours-first", "only-one", "none-in-common", "not-of-the-trunk"],
)
def test_an_answer_has_the_best_codec_that_is_offered(formats: str, kept: str) -> None:
    offer = OFFER.replace("0 8 9 96 101 102", formats)
    assert f"RTP/AVP {kept}\r\n" in keep_codecs(OFFER, ("G722", "PCMU"), offer)


def test_an_offer_at_an_odd_rate_or_of_several_media_decides_nothing() -> None:
    odd = OFFER.replace("a=rtpmap:0 PCMU/8000", "a=rtpmap:9 G722/16000")
    assert "RTP/AVP 0 101\r\n" in keep_codecs(OFFER, ("G722", "PCMU"), odd)
    several = OFFER + "m=audio 0 RTP/AVP 0\r\n"
    assert "RTP/AVP 9 0 101\r\n" in keep_codecs(OFFER, ("G722", "PCMU"), several)


def test_signs_of_a_hold() -> None:
    assert not may_hold(OFFER)
    assert may_hold(OFFER.replace("sendrecv", "inactive"))
    assert may_hold(OFFER.replace("IP4 10.0.0.1\r\nt", "IP4 0.0.0.0\r\nt"))
