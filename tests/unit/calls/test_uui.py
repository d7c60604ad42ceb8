"""User-to-User values: as Genesys Cloud and Avaya write them, and read back by the parser for those that come in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.uui import LONGEST_DATA, Uui, encode, encode_all
from gateway.sip.headers import parse_message, parse_user_to_user
from gateway.sip.trunk import TrunkSpec, caller_of


@pytest.mark.parametrize(
    ("uui", "value"),
    [
        (Uui("56a390F3"), "0056a390F3;encoding=hex"),
        (Uui("56a3", purpose="isdn-uui", content="isdn-uui"), "0056a3;encoding=hex;purpose=isdn-uui;content=isdn-uui"),
        (Uui("56a3", protocol_discriminator="04"), "0456a3;encoding=hex"),
        (Uui("56a3", discriminator_mode="parameter"), "56a3;pd=00;encoding=hex"),
        (Uui("Zoë 1\n", "ascii"), "005a6fc3ab20310a;encoding=hex"),
        (Uui("12345", "raw"), "12345"),
        (Uui("1\t2", "raw"), '"1\t2"'),
        (Uui('say "hi"\\, é', "raw", purpose="x"), '"say \\"hi\\"\\\\, é";purpose=x'),
        (Uui("12345", "raw", discriminator_mode="parameter"), "12345;pd=00"),
    ],
)
def test_the_value(uui: Uui, value: str) -> None:
    assert encode(uui) == value


@pytest.mark.parametrize(
    ("uui", "complaint"),
    [
        (Uui(""), "data is empty"),
        (Uui("", "ascii"), "data is empty"),
        (Uui(" ", "raw"), "data is empty"),
        (Uui("abc"), "data is not an even number"),
        (Uui("0g"), "data is not an even number"),
        (Uui("٠١"), "data is not an even number"),
        (Uui("ab\n"), "data is not an even number"),
        (Uui("a\r\nX-Evil: 1", "raw"), "data holds a line break"),
        (Uui("\ud800", "ascii"), "data is not Unicode"),
        (Uui("x\ud800", "raw"), "data is not Unicode"),
        (Uui("ab" * (LONGEST_DATA + 1)), "data is longer than 1024 bytes"),
        (Uui("é" * 513, "ascii"), "data is longer than 1024 bytes"),
        (Uui("é" * 513, "raw"), "data is longer than 1024 bytes"),
        (Uui("ab", purpose="a b"), "purpose is not a token"),
        (Uui("ab", purpose=""), "purpose is not a token"),
        (Uui("ab", content="a;b"), "content is not a token"),
        (Uui("ab", content="x" * 65), "content is not a token"),
        (Uui("ab", protocol_discriminator="0"), "protocolDiscriminator is not two hex digits"),
        (Uui("ab", protocol_discriminator="00\n"), "protocolDiscriminator is not two hex digits"),
        (Uui("ab", "raw", protocol_discriminator="zz"), "protocolDiscriminator is not two hex digits"),
    ],
)
def test_what_cannot_be_sent_is_named(uui: Uui, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        encode(uui)


def test_several_in_their_order_and_a_plain_string_is_a_whole_value() -> None:
    assert encode_all(["04ab;encoding=hex", Uui("ab")]) == ("04ab;encoding=hex", "00ab;encoding=hex")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (["00"] * 9, "more than 8 values"),
        ([Uui("ab" * 1024)] * 2, "longer than 4096 bytes in all"),
        (["x" * 4097], "longer than 4096 bytes in all"),
        (["  "], "userToUser is empty"),
        (["a\r\nX-Evil: 1"], "userToUser holds a line break"),
        (["\ud800"], "userToUser is not Unicode"),
    ],
)
def test_a_list_that_cannot_be_sent(values: list[Uui | str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        encode_all(values)


_TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=120)
_WORD = st.none() | st.from_regex(r"[A-Za-z0-9.!%*_+`'~-]{1,64}", fullmatch=True)
_OCTET = st.binary(min_size=1, max_size=1).map(bytes.hex)
_DATA = (
    st.tuples(st.binary(min_size=1, max_size=LONGEST_DATA).map(bytes.hex), st.just("hex"))
    | st.tuples(_TEXT, st.just("ascii"))
    | st.tuples(_TEXT.filter(lambda text: bool(text.strip()) and not set(text) & _NOT_RAW), st.just("raw"))
)
_NOT_RAW = {chr(code) for code in range(32)} | {"\x7f"}  # a tab may be sent, and is read as a space


@given(_DATA, _WORD, _WORD, _OCTET, st.sampled_from(["prefix", "parameter"]))
def test_what_is_written_is_read_back(data, purpose, content, octet, mode):
    uui = Uui(*data, purpose, content, octet, mode)
    value = encode(uui)
    assert not set(value) & _NOT_RAW
    text = data[0] if data[1] != "ascii" else data[0].encode().hex()
    expected = {
        "data": octet + text if mode == "prefix" and data[1] != "raw" else text,
        "encoding": "hex",
        "purpose": purpose,
        "content": content,
        "pd": octet if mode == "parameter" else None,
    }
    expected = {name: said for name, said in expected.items() if said is not None}
    assert parse_user_to_user(value) == expected
    invite = f"INVITE sip:1@h SIP/2.0\r\nUser-to-User: {value}\r\nUser-to-User: {value}\r\n\r\n"
    assert caller_of(parse_message(invite), TrunkSpec("t")).user_to_user == (expected, expected)
