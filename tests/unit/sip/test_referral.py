"""What a REFER of ours says, byte for byte; and that nothing a bot gives can break out of it."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.model import LegId
from gateway.calls.refers import SendRefer
from gateway.dialplan.addresses import Host
from gateway.sip.headers import parse_name_addr
from gateway.sip.referral import host_of, refer_to, referred_by
from gateway.sip.trunk import TrunkSpec

TRUNK = TrunkSpec("t", host=Host("carrier.example"))
LEG = LegId("leg_1")


def to_number(number: str = "+4915", *headers: tuple[str, str], uui: tuple[str, ...] = ()) -> SendRefer:
    return SendRefer(LEG, "t", number, None, headers, uui)


def to_uri(uri: str, *headers: tuple[str, str]) -> SendRefer:
    return SendRefer(LEG, "t", None, uri, headers)


@pytest.mark.parametrize(
    ("order", "trunk", "golden"),
    [
        (to_number(), TRUNK, "<sip:+4915@carrier.example>"),
        (to_number("*21#"), TRUNK, "<sip:*21%23@carrier.example>"),
        (to_number("100"), TrunkSpec("t", host=Host("carrier.example", 5070)), "<sip:100@carrier.example:5070>"),
        (to_number(), TrunkSpec("t", host=Host("2001:db8::1")), "<sip:+4915@[2001:db8::1]>"),
        (
            to_number("+4915", ("X-A", "1")),
            TrunkSpec("t", host=Host("carrier.example"), transport="tcp"),
            "<sip:+4915@carrier.example;transport=tcp?X-A=1>",
        ),
        (
            to_number("+4915", ("callReason", "support"), ("crmClientId", "42")),
            TRUNK,
            "<sip:+4915@carrier.example?callReason=support&crmClientId=42>",
        ),
        (
            to_number("+4915", ("X-Text", 'schön & "gut"=?<>;,@:+\t%'), ("x-text", "")),
            TRUNK,
            "<sip:+4915@carrier.example?X-Text=sch%C3%B6n%20%26%20%22gut%22%3D%3F%3C%3E%3B%2C%40%3A%2B%09%25&x-text=>",
        ),
        (to_number("1", ("a%b*c`d+e'f~g!h.", "1")), TRUNK, "<sip:1@carrier.example?a%25b*c%60d%2Be'f~g!h.=1>"),
        (
            to_number("1", ("X-A", "1"), ("user-TO-user", "bots"), uui=("00ab;encoding=hex", "00cd;encoding=hex")),
            TRUNK,
            "<sip:1@carrier.example?User-to-User=00ab%3Bencoding%3Dhex&User-to-User=00cd%3Bencoding%3Dhex&X-A=1>",
        ),
        (to_number("1", ("User-to-User", "bots")), TRUNK, "<sip:1@carrier.example?User-to-User=bots>"),
        (to_uri("sip:ann@192.0.2.5:5070;transport=tcp"), TRUNK, "<sip:ann@192.0.2.5:5070;transport=tcp>"),
        (to_uri("sip:ann@192.0.2.5", ("X-A", "1")), None, "<sip:ann@192.0.2.5?X-A=1>"),
        (to_uri("sip:ann@192.0.2.5?X-B=2", ("X-A", "1")), TRUNK, "<sip:ann@192.0.2.5?X-B=2&X-A=1>"),
        (to_uri("tel:+4915"), TRUNK, "<tel:+4915>"),
    ],
)
def test_golden(order: SendRefer, trunk: TrunkSpec | None, golden: str) -> None:
    assert refer_to(order, trunk) == golden


@pytest.mark.parametrize(
    "header",
    [
        ("Via", "x"), ("replaces", "x"), ("Referred-By", "<sip:a@b>"), ("P-Asserted-Identity", "<sip:a@b>"),
        ("body", "x"),
        ("X-Bad", "a\r\nX-Evil: 1"), ("X Bad", "1"), ("X-Bad\r\n", "1"), ("", "1"), ("X=Bad", "1"),
    ],
)  # fmt: skip
def test_what_may_not_be_given_is_left_out(header: tuple[str, str]) -> None:
    assert refer_to(to_number("1", header, ("X-Good", "1")), TRUNK) == "<sip:1@carrier.example?X-Good=1>"


def test_user_to_user_cannot_bring_a_header() -> None:
    assert (
        refer_to(to_number("1", uui=("ab\r\nX-Evil: 1", "00ab")), TRUNK) == "<sip:1@carrier.example?User-to-User=00ab>"
    )


@pytest.mark.parametrize(
    ("order", "trunk"),
    [
        (to_number(), None), (to_number(""), TRUNK), (to_uri(""), TRUNK), (to_uri("sip:"), TRUNK),
        (to_uri("ann"), TRUNK), (to_uri("sip:a#b@c"), TRUNK), (to_uri("sip:a\\b@c"), TRUNK),
        (to_uri("sip:a@b>;x"), TRUNK), (to_uri("sip:a@b\r\nX-Evil: 1"), TRUNK), (to_uri("sip:a b@c"), TRUNK),
        (to_number("1\r\n2"), TRUNK), (to_number("1>2"), TRUNK), (to_uri("mailto:a@b"), TRUNK),
        (to_uri("sip:ä@b"), TRUNK),
    ],
)  # fmt: skip
def test_what_is_no_uri_is_refused(order: SendRefer, trunk: TrunkSpec | None) -> None:
    with pytest.raises(ValueError, match="no URI"):
        refer_to(order, trunk)


@given(st.lists(st.tuples(st.text(), st.text()), max_size=4), st.lists(st.text(), max_size=2))
def test_nothing_breaks_out_and_all_can_be_read_back(headers: list[tuple[str, str]], uui: list[str]) -> None:
    value = refer_to(SendRefer(LEG, "t", "1", None, tuple(headers), tuple(uui)), TRUNK)
    assert value.isprintable() and value.isascii()
    assert value.count("<") == value.count(">") == 1
    uri, _, tail = parse_name_addr(value).uri.partition("?")
    assert uri == "sip:1@carrier.example"
    for part in tail.split("&") if tail else []:
        name, _, text = part.partition("=")
        assert (unquote(name), unquote(text)) in {*headers, *(("User-to-User", one) for one in uui)}


@pytest.mark.parametrize(
    ("local", "contact", "golden"),
    [
        ("<sip:+4930@gw.example>", "<sip:switchhook@192.0.2.1:5062;ob>", "<sip:+4930@192.0.2.1:5062>"),
        ('"Ann" <sip:a%23b;c=d@gw.example>;tag=1', "<sip:x@gw.example>", "<sip:a%23b@gw.example>"),
        ("sip:100@h", "sip:192.0.2.1", "<sip:100@192.0.2.1>"),
        ("<sip:h>", "<sip:x@[2001:db8::1]:5060;transport=tcp>", "<sip:[2001:db8::1]:5060>"),
        ("<sip:a%0D%0Ab@h>", "<sip:x@h>", "<sip:a%20%20b@h>"),
        ("<sip:100@h>", "", ""),
    ],
)
def test_who_refers(local: str, contact: str, golden: str) -> None:
    assert referred_by(local, contact) == golden


@pytest.mark.parametrize(
    ("contact", "host"),
    [
        ("<sip:x@GW.example:5060;ob>", "gw.example"),
        ("<sip:x@[2001:DB8::1]:5060>", "2001:db8::1"),
        ("sip:192.0.2.1;transport=tcp", "192.0.2.1"),
        ("<sips:x@h?a=b>", "h"),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_the_host_of_a_contact(contact: str, host: str) -> None:
    assert host_of(contact) == host
