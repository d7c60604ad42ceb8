"""Refer-To as a target: what RFC 3515 and RFC 3261 let it be, and that nothing off the wire gets through it."""

import re
from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.calls.model import LegId
from gateway.calls.refers import ReferTarget
from gateway.dialplan.sip_uris import parse_sip_uri
from gateway.sip.headers import Message, MessageError, parse_message
from gateway.sip.refer_to import ReferToError, target_of

LEG = LegId("leg_7")


def own(host: str) -> bool:
    return host in ("gw.example", "192.0.2.1", "2001:db8::1")


def leg_of(call_id: str, own_tag: str, peer_tag: str) -> LegId | None:
    return LEG if (call_id, own_tag, peer_tag) == ("c1@far", "ours", "theirs") else None


def refer(*headers: str) -> Message:
    return parse_message("\r\n".join(["REFER sip:gw@192.0.2.1 SIP/2.0", "Call-ID: x", *headers, "", ""]))


def target(refer_to: str) -> ReferTarget:
    return target_of(refer(f"Refer-To: {refer_to}"), own, leg_of)


def status_of(*headers: str) -> int:
    with pytest.raises(ReferToError) as caught:
        target_of(refer(*headers), own, leg_of)
    assert caught.value.detail
    return caught.value.status


@pytest.mark.parametrize(
    ("refer_to", "expected"),
    [
        ("<sip:bob@far.example>", ReferTarget("sip:bob@far.example", "bob", False)),
        ("sip:bob@far.example", ReferTarget("sip:bob@far.example", "bob", False)),
        ("sip:bob@far.example;x=1", ReferTarget("sip:bob@far.example", "bob", False)),
        ('"Bob, \\"B\\" <x>" <sip:bob@far.example:5070>;a=b', ReferTarget("sip:bob@far.example:5070", "bob", False)),
        (
            "Bob <SIP:%62ob@FAR.example;transport=TCP;ob>",
            ReferTarget("sip:%62ob@far.example;transport=tcp", "bob", False),
        ),
        ("<sip:100@gw.example;method=INVITE>", ReferTarget("sip:100@gw.example", "100", True)),
        ("<sip:100@192.0.2.1:5080>", ReferTarget("sip:100@192.0.2.1:5080", "100", True)),
        ("<sip:100@[2001:DB8::1]>", ReferTarget("sip:100@[2001:db8::1]", "100", True)),
        ("<sip:+49123;npdi:pw@gw.example;user=phone>", ReferTarget("sip:+49123@gw.example;user=phone", "+49123", True)),
        ("<sip:far.example>", ReferTarget("sip:far.example", "", False)),
        ("<tel:+1-(201)555.0123;ext=7>", ReferTarget("tel:+12015550123", "+12015550123", True)),
        ("tel:100", ReferTarget("tel:100", "100", True)),
    ],
)
def test_a_target(refer_to: str, expected: ReferTarget) -> None:
    assert target(refer_to) == expected


def test_its_compact_form_and_the_replaces_of_a_leg() -> None:
    value = quote("c1@far;to-tag=ours;from-tag=theirs", safe="")
    found = target_of(refer(f"r: <sip:100@gw.example?Replaces={value}&Require=replaces>"), own, leg_of)
    assert found == ReferTarget("sip:100@gw.example", "100", True, replaces=LEG)


def test_a_replaces_of_somebody_elses_dialog() -> None:
    value = quote("c2@far;from-tag=f;to-tag=t;early-only;x=y", safe="")
    found = target(f"<sip:bob@far.example?x=y&replaces={value}>")
    assert (found.replaces, found.replaces_elsewhere) == (None, "c2@far;to-tag=t;from-tag=f;early-only")


def test_of_other_headers_only_user_to_user_is_taken() -> None:
    found = target(
        "<sip:bob@far.example?User-to-User=00ab%3Bencoding%3Dhex&Route=%3Csip:evil%3E&user-to-user=01cd"
        "&Subject=a%0D%0AX-Evil:%20b&body=hello>"
    )
    assert found == ReferTarget("sip:bob@far.example", "bob", False, user_to_user=("00ab;encoding=hex", "01cd"))


@pytest.mark.parametrize(
    ("refer_to", "status"),
    [
        ("", 400), ("<>", 400), ("<sip:>", 400), ("sip", 400), ("<sip:bob@far.example", 400),
        ("sip:bob@far.example>", 400),
        ("<sip:a@far.example>, <sip:b@far.example>", 400), ("sip:a@far.example, sip:b@far.example", 400),
        ('"Bob <sip:bob@far.example>', 400), ("<sip:bob@far.example> bob", 400), ("<sip:bob@far ample>", 400),
        ("<sip:a@b@far.example>", 400), ("<sip:a?b@far.example>", 400), ("<sip:bob@-far->", 400),
        ("<sip:bob@far.example:99999>", 400), ("<sip:b%0D%0Ab@far.example>", 400), ("<sip:b%0ob@far.example>", 400),
        ("<sip:büb@far.example>", 400), (f"<sip:{'b' * 1100}@far.example>", 400),
        (f"<sip:b@far.example?x={'y' * 9000}>", 400), (f"<sip:b@far.example{';x=y' * 300}>", 400),
        (f"<tel:{'1' * 1100}>", 400), (f"<sip:b@far.example?{'&'.join(['x=y'] * 65)}>", 400),
        ("<sips:bob@far.example>", 416), ("<http://far.example/>", 416), ("<sip:bob@far.example;transport=tls>", 416),
        ("<sip:bob@far.example;method=BYE>", 501), ("<sip:bob@far.example;Method=message>", 501),
        ("<tel:bob>", 400), ("<tel:+>", 400), ("<tel:100?Subject=x>", 400),
        ("<sip:bob@far.example?Replaces=c1@far>", 400), ("<sip:bob@far.example?Replaces>", 400),
        ("<sip:bob@far.example?Replaces=c%3Bto-tag%3D1%3Bfrom-tag%3D2&replaces=c%3Bto-tag%3D1%3Bfrom-tag%3D2>", 400),
        ("<sip:bob@far.example?Replaces=c%0D%0AX:y%3Bto-tag%3D1%3Bfrom-tag%3D2>", 400),
        ("<sip:bob@far.example?User-to-User=a%0D%0AX:y>", 400), ("<sip:bob@far.example?Subject=%zz>", 400),
        (f"<sip:bob@far.example?{'&'.join(['User-to-User=00'] * 9)}>", 400),
    ],
)  # fmt: skip
def test_what_is_refused(refer_to: str, status: int) -> None:
    assert status_of(f"Refer-To: {refer_to}") == status


def test_there_must_be_exactly_one() -> None:
    assert status_of() == 400
    assert status_of("Refer-To: <sip:a@far.example>", "r: <sip:a@far.example>") == 400


PIECES = st.sampled_from([
    "sip:", "tel:", "sips:", "<", ">", '"', "\\", "?", "&", "=", ";", ",", ":", "@", "%0D%0A", "%3B", "%", "[", "]",
    "::1",
    " ", "\t", "\0", "\ud800", "ü", "bob", "+49", "gw.example", "far.example", "5060", "Replaces=", "User-to-User=",
    "c1@far%3Bto-tag%3Dours%3Bfrom-tag%3Dtheirs", "method=", "INVITE", "transport=tcp", "maddr=evil.example", "body=",
])  # fmt: skip


@given(st.lists(PIECES, max_size=25).map("".join) | st.text())
@example('"a" <sip:b@c?d=e>')
@example(" " * 8000 + ":<")
@example('"' + "\\" * 7999)
@example("<sip:" + "a" * 7000 + ";" * 900)
def test_whatever_comes_raises_nothing_else_and_gives_a_clean_uri(value: str) -> None:
    messages = [Message("REFER x SIP/2.0", (("Refer-To", value),), {"refer-to": [value]}, "")]
    with suppress(MessageError):
        messages.append(refer(f"Refer-To: {value}"))
    for message in messages:
        try:
            found = target_of(message, own, leg_of)
        except ReferToError as error:
            assert error.status in (400, 416, 501)
            continue
        assert found.uri.isascii() and found.uri.isprintable() and not re.search(r'[<>" ?]', found.uri)
        assert len(found.uri) <= 1024 and found.user.isprintable()
        assert all(text.isprintable() or "\t" in text for text in found.user_to_user)
        if found.uri.startswith("sip:"):
            assert own(parse_sip_uri(found.uri).host.name) == found.own, "others find the same host in it"
