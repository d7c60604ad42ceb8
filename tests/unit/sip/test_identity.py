"""Whom a trusted trunk says it is: which header wins, what a withheld caller leaves, who diverted."""

import pytest

from gateway.sip.headers import parse_message
from gateway.sip.identity import ANONYMOUS, Identity, diverted_by, trusted_identity

FROM = 'From: "Ann" <sip:+4910@h>;tag=1'
HIDDEN_FROM = 'From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=1'


def identity(*headers: str) -> Identity:
    """Of an INVITE with these headers."""
    return trusted_identity(parse_message("\r\n".join(["INVITE sip:100@10.0.0.1 SIP/2.0", *headers, "", ""])))


@pytest.mark.parametrize(
    ("headers", "number", "name"),
    [
        ([FROM], "+4910", "Ann"),
        ([FROM, 'P-Asserted-Identity: "Bob" <sip:+4920@h>'], "+4920", "Bob"),
        ([FROM, "P-Asserted-Identity: <sip:+4920@h>"], "+4920", None),
        ([FROM, "P-Asserted-Identity: tel:+49-1(0)"], "+4910", "Ann"),
        ([FROM, "P-Asserted-Identity: <sip:bob@h>, <tel:+4920>"], "+4920", None),
        ([FROM, "P-Asserted-Identity: <tel:+4920>", 'P-Asserted-Identity: "B" <sip:+4921@h>'], "+4920", None),
        ([FROM, "P-Asserted-Identity: <sip:bob@h>"], "bob", None),
        ([FROM, "P-Asserted-Identity: <sip:h>"], "+4910", "Ann"),
        ([FROM, "P-Asserted-Identity: <sip:+4920@h>", "Remote-Party-ID: <sip:+4930@h>"], "+4920", None),
        ([FROM, 'Remote-Party-ID: "Cid" <sip:+4930@h>;party=calling;screen=yes;privacy=off'], "+4930", "Cid"),
        ([FROM, "Remote-Party-ID: <sip:+4940@h>;party=called", "Remote-Party-ID: <sip:+4930@h>"], "+4930", None),
        ([FROM, "Remote-Party-ID: <sip:+4930@h>;party=calling;screen=no"], "+4910", "Ann"),
        ([FROM, 'Remote-Party-ID: "Cid" <sip:+4930@h>;privacy=name'], "+4930", None),
        ([HIDDEN_FROM, "Privacy: none", "P-Asserted-Identity: <sip:+4920@h>"], "+4920", None),
        ([], "", None),
    ],
)
def test_the_best_header_tells_who_calls(headers: list[str], number: str, name: str | None) -> None:
    assert identity(*headers) == Identity(number, name, None, withheld=False)


@pytest.mark.parametrize(
    "asks",
    [
        [FROM, "Privacy: id"],
        [FROM, "Privacy: Header;Critical"],
        [FROM, "Privacy: none, user"],
        [FROM, "Remote-Party-ID: <sip:+4930@h>;privacy=full"],
        [FROM, "Remote-Party-ID: <sip:+4930@h>;party=calling;screen=no;privacy=URI"],
        [HIDDEN_FROM],
    ],
)
def test_a_caller_who_asks_for_privacy_is_withheld(asks: list[str]) -> None:
    pai = 'P-Asserted-Identity: "Bob" <sip:+4920;verstat=TN-Validation-Passed@h>'
    assert identity(*asks, pai) == Identity(ANONYMOUS, None, "TN-Validation-Passed", withheld=True)


@pytest.mark.parametrize(
    ("headers", "verstat"),
    [
        (["P-Asserted-Identity: <sip:+1;verstat=TN-Validation-Passed@h;user=phone>"], "TN-Validation-Passed"),
        (["P-Asserted-Identity: <tel:+1;verstat=TN-Validation-Failed-B>"], "TN-Validation-Failed-B"),
        (["P-Asserted-Identity: <sip:bob@h>, tel:+1;verstat=No-TN-Validation"], None),
        (["P-Asserted-Identity: <sip:bob@h>, <tel:+1;x=y;VERSTAT=No-TN-Validation>"], "No-TN-Validation"),
        (["P-Asserted-Identity: <tel:+1>", "From: <sip:+1;verstat=From@h>"], "From"),
        (["P-Asserted-Identity: <tel:+1;verstat=Pai>", "From: <sip:+1;verstat=From@h>"], "Pai"),
        (["P-Asserted-Identity: <sip:+1@h;verstat=not-in-the-user>"], None),
        (["P-Asserted-Identity: <tel:+1;verstat=<script>>"], None),
        (["P-Asserted-Identity: <tel:+1;verstat=>"], None),
        ([f"P-Asserted-Identity: <tel:+1;verstat={'x' * 64}>"], "x" * 64),
        ([f"P-Asserted-Identity: <tel:+1;verstat={'x' * 65}>"], None),
    ],
)
def test_verstat_is_a_token_of_the_user_part(headers: list[str], verstat: str | None) -> None:
    assert identity(*headers).verstat == verstat


@pytest.mark.parametrize(
    ("headers", "by"),
    [
        (["History-Info: <sip:+491@h>;index=1, <sip:+492@h;cause=302>;index=1.1;mp=1"], "+491"),
        (["History-Info: <sip:+491@h>;index=1", "History-Info: <sip:+492;npdi@h;cause=486>;index=1.1"], "+491"),
        (["History-Info: <sip:1@h>, <sip:2@h;cause=302>, <sip:3@h;cause=408>, <sip:4@h>"], "2"),
        (["History-Info: <sip:+491@h>;index=1, <sip:+492@h>;index=1.1"], None),
        (["History-Info: <sip:+491@h>;index=1, <sip:+492@h;cause=380>;index=1.1"], None),
        (["History-Info: <sip:+492@h;cause=302>;index=1"], None),
        (["History-Info: <sip:+491@h?Privacy=history>, <sip:+492@h;cause=302>"], None),
        (["Privacy: history", "History-Info: <sip:+491@h>, <sip:+492@h;cause=302>"], None),
        ([], None),
    ],
)
def test_history_info_tells_who_diverted(headers: list[str], by: str | None) -> None:
    message = parse_message("\r\n".join(["INVITE sip:100@10.0.0.1 SIP/2.0", *headers, "", ""]))
    assert diverted_by(message) == by
