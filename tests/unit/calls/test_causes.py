"""Why things end: SIP statuses, Q.850 causes and Reason headers, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls import causes
from gateway.calls.causes import CANCELLED, NORMAL, Cause, Reason, ReasonHeader, Result


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, "bad-number"), (484, "bad-number"), (486, "busy"), (600, "busy"), (603, "declined"), (480, "no-answer"),
        (408, "no-response"), (403, "not-authorized"), (488, "no-common-codec"), (503, "unavailable"),
        (500, "unavailable"), (422, "session-expired"), (499, "protocol-error"), (200, "normal"),
    ],
)  # fmt: skip
def test_a_status_has_a_reason(status: int, reason: str):
    assert causes.of_status(status, Result.CARRIER) == Cause(Result.CARRIER, Reason(reason))


def test_487_is_the_callers_own_doing():
    assert causes.of_status(487, Result.CARRIER) == CANCELLED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Q.850;cause=16;text="Normal call clearing"', ReasonHeader("Q.850", 16)),
        ("q.850 ; text=\"x\" ; cause = 31", ReasonHeader("Q.850", 31)),
        ('SIP;cause=200;text="Call completed elsewhere"', ReasonHeader("SIP", 200)),
        ("SIP", None), ("", None), ("Q.850;cause=abc", None), (";cause=1", None),
    ],
)  # fmt: skip
def test_a_reason_header_is_read(text: str, expected: ReasonHeader | None):
    assert causes.parse_reason(text) == expected


@pytest.mark.parametrize(
    ("reasons", "cause", "q850"),
    [
        ([], NORMAL, None),
        ([ReasonHeader("Q.850", 16)], NORMAL, 16),
        ([ReasonHeader("Q.850", 31)], NORMAL, 31),
        ([ReasonHeader("Q.850", 38)], Cause(Result.CARRIER, Reason.UNAVAILABLE), 38),
        ([ReasonHeader("SIP", 503), ReasonHeader("Q.850", 17)], Cause(Result.CARRIER, Reason.BUSY), 17),
        ([ReasonHeader("SIP", 200)], NORMAL, None),
        ([ReasonHeader("SIP", 503)], Cause(Result.CARRIER, Reason.UNAVAILABLE), None),
    ],
)
def test_a_bye_is_normal_unless_its_reason_says_otherwise(reasons, cause, q850):
    assert causes.of_bye(reasons) == (cause, q850)


@pytest.mark.parametrize("reason", Reason)
def test_our_own_reason_header_can_be_read_back(reason: Reason):
    cause = Cause(Result.GATEWAY, reason)
    assert causes.parse_reason(causes.reason_header(cause)) == ReasonHeader("Q.850", causes.q850_of(cause))


@given(st.integers(300, 699))
def test_every_failure_has_a_cause_and_a_q850_number(status: int):
    assert 1 <= causes.q850_of(causes.of_status(status, Result.CARRIER)) <= 127


@given(st.text())
def test_reading_a_reason_never_fails(text: str):
    causes.parse_reason(text)
