"""SIP texts into values: RFC 3261's odd spellings, and that nothing off the wire raises what is not documented."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.causes import ReasonHeader
from gateway.calls.model import Caller
from gateway.sip.headers import (
    MessageError,
    NameAddr,
    parse_message,
    parse_name_addr,
    parse_user_to_user,
    reasons,
    split_values,
    user_of,
)
from gateway.sip.trunk import TrunkSpec, caller_of

INVITE = (
    "INVITE sip:+18005550100;npdi@10.0.0.1:5060;user=phone SIP/2.0\r\n"
    "v: SIP/2.0/TCP 10.0.0.9:5060;branch=z9hG4bKabc\r\n"
    'f: "Ann \\"A\\", Smith" <sip:%2B4912@10.0.0.9>;tag=1\r\n'
    "t: <sip:100@10.0.0.1>\r\n"
    "i: call-1@10.0.0.9\r\n"
    "X-CRM-Id : 42\r\n"
    "x-crm-note: long\r\n and\r\n\tfolded\r\n"
    'Diversion: "Bob, B" <sip:+4913@carrier>;reason=unconditional, <sip:+4914@carrier>\r\n'
    "User-to-User: 00ab;encoding=hex;purpose=isdn-uui, 01cd\r\n"
    "no header at all\r\n"
    "\r\n"
    "v=0\r\na=sendrecv\r\n"
)


def test_message_is_taken_apart() -> None:
    message = parse_message(INVITE)
    assert message.method == "INVITE"
    assert message.transport == "tcp"
    assert message.first("call-id") == "call-1@10.0.0.9"
    assert message.first("x-crm-note") == "long and folded"
    assert message.body == "v=0\r\na=sendrecv\r\n"
    assert ("X-CRM-Id", "42") in message.headers
    assert len(message.headers) == 8


def test_invite_becomes_a_caller() -> None:
    caller = caller_of(parse_message(INVITE), TrunkSpec("t", to_bot=("X-CRM-*",)))
    assert caller == Caller(
        sip_call_id="call-1@10.0.0.9",
        trunk="t",
        from_="+4912",
        to="+18005550100",
        from_name='Ann "A", Smith',
        diversion="+4913",
        headers=(("X-CRM-Id", "42"), ("x-crm-note", "long and folded")),
        user_to_user=({"data": "00ab", "encoding": "hex", "purpose": "isdn-uui"}, {"data": "01cd", "encoding": "hex"}),
    )


def test_request_uri_without_user_falls_back_to_the_to_header() -> None:
    text = "INVITE sip:10.0.0.1 SIP/2.0\r\nTo: <tel:+4915;phone-context=x>\r\nFrom: sip:anonymous.invalid\r\n\r\n"
    caller = caller_of(parse_message(text), TrunkSpec("t"))
    assert (caller.to, caller.from_, caller.from_name) == ("+4915", "", None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("<sip:a@b>", NameAddr(None, "sip:a@b")),
        ("sip:a@b;tag=1", NameAddr(None, "sip:a@b")),
        ("Ann Smith <sip:a@b;x=1>;tag=1", NameAddr("Ann Smith", "sip:a@b;x=1")),
        ('"<sip:evil@x>" <sip:a@b>', NameAddr("<sip:evil@x>", "sip:a@b")),
        ('"never closed <sip:a@b>', NameAddr("never closed <sip:a@b>", "")),
        ("", NameAddr(None, "")),
    ],
)
def test_name_addr(value: str, expected: NameAddr) -> None:
    assert parse_name_addr(value) == expected


@pytest.mark.parametrize(
    ("uri", "user"),
    [
        ("sip:+49@h", "+49"),
        ("SIPS:a%20b@h:5061", "a b"),
        ("sip:+49;npdi;rn=1@h", "+49"),
        ("sip:h", ""),
        ("tel:+49-30;ext=1", "+49-30"),
        ("sip:a%0d%0aX: y@h", "a  X"),
        ("sip:a@b@h", "a@b"),
        ("garbage", ""),
    ],
)
def test_user_of(uri: str, user: str) -> None:
    assert user_of(uri) == user


def test_values_split_at_commas_outside_of_quotes_and_brackets() -> None:
    assert split_values('"a,\\"b" <sip:x,y@h>, c ,,d') == ['"a,\\"b" <sip:x,y@h>', "c", "d"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", None),
        (" ;encoding=hex", None),
        ('"plain text";encoding=ascii', {"data": "plain text", "encoding": "ascii"}),
        ("00;foo=1;content=x", {"data": "00", "encoding": "hex", "content": "x"}),
    ],
)
def test_user_to_user(value: str, expected: dict[str, Any] | None) -> None:
    assert parse_user_to_user(value) == expected


def test_reasons_of_several_headers_and_values() -> None:
    bye = 'BYE sip:a SIP/2.0\r\nReason: SIP;cause=480;text="a, b",Q.850 ; cause=19\r\nreason: broken\r\n\r\n'
    assert reasons(parse_message(bye)) == [ReasonHeader("SIP", 480), ReasonHeader("Q.850", 19)]


@pytest.mark.parametrize("text", ["", "\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\0" * 100])
def test_what_is_no_sip_message_is_refused(text: str) -> None:
    with pytest.raises(MessageError):
        parse_message(text)


_JUNK = st.text(st.sampled_from('ab:;,<>@"\\%0a \t\r\n\0\udcffé=?/'), max_size=80)
_NAMES = st.sampled_from(["f", "From", "To", "Diversion", "User-to-User", "Reason", "v", "X-A", "i"])


@given(st.lists(st.tuples(_NAMES, _JUNK), max_size=12), _JUNK)
def test_nothing_off_the_wire_raises_and_all_that_comes_out_is_clean(fields: list[tuple[str, str]], uri: str) -> None:
    text = f"INVITE {uri} SIP/2.0\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields) + "\r\nbody"
    try:
        message = parse_message(text)
    except MessageError:  # the junk broke the first line
        return
    caller = caller_of(message, TrunkSpec("t", to_bot=("*",)))
    reasons(message)
    assert message.transport is not None
    out = [caller.from_, caller.to, caller.from_name or "", caller.diversion or "", caller.sip_call_id]
    out += [part for header in caller.headers for part in header] + [json.dumps(u) for u in caller.user_to_user]
    for part in out:
        part.encode()  # no surrogates
        assert not set(part) & set("\r\n\0"), part


@given(st.text(max_size=300))
def test_no_text_at_all_raises_anything_else(text: str) -> None:
    parse_name_addr(text)
    user_of(text)
    split_values(text)
    parse_user_to_user(text)
    with suppress(MessageError):
        parse_message(text)
