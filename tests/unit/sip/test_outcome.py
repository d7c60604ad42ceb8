"""What an answer to a REGISTER of ours says."""

import pytest

from gateway.dialplan.addresses import Host
from gateway.sip.outcome import MOST_RETRY_AFTER_S, NO_ANSWER, Outcome, outcome_of, why_not_registered
from gateway.sip.resolver import Target
from gateway.sip.trunk import Credentials, TrunkSpec

SPEC = TrunkSpec("t", host=Host("a.example"), credentials=Credentials("gw", "a.example", "open sesame"))
TARGET = Target("192.0.2.1", 5060, "udp")


def answer(*headers: str) -> str:
    return "\r\n".join(["SIP/2.0 503 No", "CSeq: 1 REGISTER", *headers, "", ""])


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Retry-After: 18", 18),
        ("Retry-After: 120 (in maintenance);duration=60", 120),
        ("retry-after:  5", 5),
        (f"Retry-After: {10**8}", MOST_RETRY_AFTER_S),
        (f"Retry-After: {'9' * 5000}", 0),
        ("Retry-After: soon", 0),
        ("Retry-After: -4", 0),
        ("X: 1", 0),
    ],
)
def test_when_to_come_back(header: str, seconds: int) -> None:
    assert outcome_of(503, "No", 0, answer(header)).retry_after_s == seconds


def test_what_is_no_message_says_nothing_more() -> None:
    assert outcome_of(NO_ANSWER, "Timeout", 0, "") == Outcome(NO_ANSWER, "Timeout")
    assert outcome_of(500, "No", 0, "rubbish") == Outcome(500, "No")


def test_the_realms_of_a_challenge_that_was_not_met() -> None:
    text = answer('WWW-Authenticate: Digest realm="evil.example", nonce="1"')
    outcome = outcome_of(401, "Unauthorized", 0, text)
    assert outcome.realms == ("evil.example",)
    assert outcome_of(503, "No", 0, text).realms == ()
    assert why_not_registered(SPEC, TARGET, outcome) == (
        'udp:192.0.2.1:5060 asks for the realm "evil.example", and the plan\'s auth.realm is "a.example"'
    )


@pytest.mark.parametrize(
    ("status", "ok", "temporary"),
    [(200, True, False), (403, False, False), (NO_ANSWER, False, True), (503, False, True), (404, False, False)],
)
def test_what_it_means(status: int, ok: bool, temporary: bool) -> None:
    outcome = Outcome(status)
    assert (outcome.ok, outcome.temporary) == (ok, temporary)


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Outcome(NO_ANSWER), "did not register us (no answer)"),
        (Outcome(403, "Forbidden"), "refuses our credentials (403 Forbidden)"),
        (Outcome(503, "Busy"), "did not register us (503 Busy)"),
    ],
)
def test_what_people_are_told(outcome: Outcome, told: str) -> None:
    assert why_not_registered(SPEC, TARGET, outcome) == f"udp:192.0.2.1:5060 {told}"
