"""An INVITE as a Caller: what a trunk's settings let count and let through."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.calls.model import Caller
from gateway.sip.headers import MessageError, parse_message
from gateway.sip.trunk import Credentials, TrunkSpec, caller_of

TRUSTED = TrunkSpec("t", trust_identity=True)
CLAIMS = (
    'P-Asserted-Identity: "Bank" <sip:+4999;verstat=TN-Validation-Passed@h>',
    'Remote-Party-ID: "Bank" <sip:+4998@h>;screen=yes',
    "History-Info: <sip:+4997@h>, <sip:+4996@h;cause=302>",
    "Identity: token",
)


def registered(user: str, to_bot: tuple[str, ...] = (), *, trust_identity: bool = False) -> TrunkSpec:
    known = Credentials(user, "r", "p")
    return TrunkSpec("t", to_bot=to_bot, trust_identity=trust_identity, credentials=known, registers=True)


def caller(trunk: TrunkSpec, *headers: str, uri: str = "sip:100@10.0.0.1") -> Caller:
    """Of an INVITE with these headers and, before them, a From and a To."""
    head = [f"INVITE {uri} SIP/2.0", 'From: "Ann" <sip:+4910;verstat=Forged@h>;tag=1', "To: <sip:200@h>"]
    return caller_of(parse_message("\r\n".join([*head, *headers, "", ""])), trunk)


def test_a_trunk_that_is_not_trusted_asserts_nothing() -> None:
    assert caller(TrunkSpec("t"), *CLAIMS) == caller(TrunkSpec("t")) == Caller("", "t", "+4910", "100", "Ann")
    assert caller(TrunkSpec("t"), "Privacy: id").from_ == "+4910"


def test_a_trusted_trunk_is_believed() -> None:
    assert caller(TRUSTED, *CLAIMS) == Caller(
        "", "t", "+4999", "100", "Bank",
        diversion="+4997", verstat="TN-Validation-Passed", headers=(("Identity", "token"),),
    )  # fmt: skip
    assert caller(TRUSTED, *CLAIMS, "Diversion: <sip:+4995@h>").diversion == "+4995"


def test_identity_tokens_reach_the_bot_under_one_name_and_few_of_them() -> None:
    tokens = [f"{'y' if number % 2 else 'Identity'}: token{number}" for number in range(6)]
    expected = tuple(("Identity", f"token{number}") for number in range(4))
    assert caller(TRUSTED, *tokens).headers == expected
    assert caller(TrunkSpec("t", to_bot=("identity",)), *tokens).headers == expected
    assert caller(TrunkSpec("t", to_bot=("X-*",)), *tokens).headers == ()


def test_a_token_that_was_cut_off_is_left_out() -> None:
    assert len(caller(TRUSTED, "Identity: " + "a" * 8191).headers[0][1]) == 8191
    assert caller(TRUSTED, "Identity: " + "a" * 8192, "y: b").headers == (("Identity", "b"),)


def test_no_header_tells_a_withheld_number_unless_it_is_named() -> None:
    everything = caller(TrunkSpec("t", to_bot=("*",), trust_identity=True), *CLAIMS, "Privacy: id", "X-A: 1")
    assert [name for name, _ in everything.headers] == ["To", "History-Info", "Privacy", "X-A"]
    named = TrunkSpec("t", to_bot=("P-Asserted-Identity", "x-*"), trust_identity=True)
    assert [name for name, _ in caller(named, *CLAIMS, "Privacy: id", "X-A: 1").headers] == [
        "P-Asserted-Identity", "X-A",
    ]  # fmt: skip


def test_compact_names_match_patterns_and_stay_as_received() -> None:
    assert caller(TrunkSpec("t", to_bot=("Subject",)), "s: hello").headers == (("s", "hello"),)


@pytest.mark.parametrize(
    ("uri", "headers", "to"),
    [
        ("sip:gw7@10.0.0.1", ["P-Called-Party-ID: <sip:+4950@h>"], "+4950"),
        ("sip:gw7@10.0.0.1", ["P-Called-Party-ID: <sip:h>"], "200"),
        ("sip:gw7@10.0.0.1", [], "200"),
        ("sip:+4960@10.0.0.1", ["P-Called-Party-ID: <sip:+4950@h>"], "+4960"),
        ("sip:10.0.0.1", ["P-Called-Party-ID: <sip:+4950@h>"], "200"),
    ],
)
def test_a_registered_contact_is_not_what_was_dialled(uri: str, headers: list[str], to: str) -> None:
    assert caller(registered("gw7"), *headers, uri=uri).to == to


_NAMES = st.sampled_from(
    [
        "f",
        "To",
        "P-Asserted-Identity",
        "Remote-Party-ID",
        "Privacy",
        "y",
        "History-Info",
        "Diversion",
        "P-Called-Party-ID",
    ]
)
_PIECES = [
    "sip:", "tel:", "+4912", "@h", "<", ">", ";verstat=", "TN-Validation-Passed", ";privacy=full", ";cause=302",
    '"', "\\",
    ",", ";", "id", "%0d%0a", "%00", " ", "\r\n ", "\0", "\x1b", "\udcff", "é", "?", "=", "(", ":",
]  # fmt: skip
_VALUES = st.lists(st.sampled_from(_PIECES), max_size=14).map("".join)


@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=12), st.booleans())
@example([("P-Asserted-Identity", '"%0d%0a\x1b" <sip:%00+1%0d;verstat=%0d@h>')], True)
def test_nothing_raises_and_no_control_character_comes_out(fields: list[tuple[str, str]], trusted: bool) -> None:
    text = "INVITE sip:gw@h SIP/2.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n"
    try:
        message = parse_message(text)
    except MessageError:
        return
    found = caller_of(
        message,
        registered("gw", to_bot=("*",), trust_identity=trusted),
    )
    out = [found.from_, found.to, found.from_name or "", found.diversion or "", found.verstat or ""]
    for part in [*out, *(part for header in found.headers for part in header)]:
        part.encode()  # no surrogates
        assert not any(ord(char) < 32 or ord(char) == 127 for char in part), part
    assert trusted or found.verstat is None


@pytest.mark.parametrize("unit", ["1", "<", '"', "(", ";a=", ",", " ", "\\", "verstat=", "<sip:1@h>,"])
def test_long_values_are_read_in_little_time(unit: str) -> None:
    value = (unit * 8192)[:8000]
    names = ("From", "P-Asserted-Identity", "Remote-Party-ID", "Privacy", "History-Info", "P-Called-Party-ID")
    headers = [f"{name}: {form}" for name in names for form in (value, f'"{value}" <sip:{value}x@h>;{value}')]
    text = "\r\n".join(["INVITE sip:gw@h SIP/2.0", *headers, "", ""])
    message = parse_message(text)
    began = time.process_time()
    caller_of(
        message,
        registered("gw", to_bot=("*",), trust_identity=True),
    )
    assert time.process_time() - began < 0.25
