"""The headers that say who calls, for each policy of a trunk, and for whatever a name or number holds."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.calls.commands import ShownCaller
from gateway.dialplan.addresses import Host
from gateway.sip.headers import parse_message, parse_name_addr, user_of
from gateway.sip.identity import trusted_identity
from gateway.sip.shown import Shown, shown
from gateway.sip.trunk import Credentials, TrunkSpec

ANN = ShownCaller("+12125550100", "Ann")
SECRET = ShownCaller("+12125550100", "Ann", withheld=True)
ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>'
WHO = '"Ann" <sip:+12125550100@carrier.example>'
PAI = ("P-Asserted-Identity", WHO)
DIVERSION = ("Diversion", "<sip:+4930@carrier.example>;reason=unconditional")
EVERYWHERE = ("from", "pai", "rpid", "diversion")


def trunk(*show_in: str, privacy: bool = False) -> TrunkSpec:
    known = Credentials("acme", "carrier.example", "pw")
    host = Host("carrier.example", 5080)
    return TrunkSpec("t", host=host, credentials=known, show_in=show_in, privacy=privacy)


def rpid(privacy: str) -> tuple[str, str]:
    return "Remote-Party-ID", f"{WHO};party=calling;screen=yes;privacy={privacy}"


@pytest.mark.parametrize(
    ("caller", "policy", "expected"),
    [
        (ANN, trunk("from"), Shown(WHO)),
        (ANN, trunk("pai"), Shown("<sip:acme@carrier.example>", (PAI,))),
        (ANN, trunk("from", "rpid"), Shown(WHO, (rpid("off"),))),
        (ANN, trunk(*EVERYWHERE), Shown(WHO, (PAI, rpid("off"), DIVERSION))),
        (SECRET, trunk("from"), Shown(ANONYMOUS, (("Privacy", "id"),))),
        (SECRET, trunk("from", "pai"), Shown(ANONYMOUS, (PAI, ("Privacy", "id")))),
        (ANN, trunk("from", "pai", privacy=True), Shown(ANONYMOUS, (PAI, ("Privacy", "id")))),
        (SECRET, trunk(*EVERYWHERE), Shown(ANONYMOUS, (PAI, rpid("full"), DIVERSION, ("Privacy", "id")))),
        (ShownCaller("anonymous"), trunk("from", "pai", "rpid"), Shown(ANONYMOUS, (("Privacy", "id"),))),
        (ShownCaller("\r\n"), trunk("from", "pai"), Shown(ANONYMOUS, (("Privacy", "id"),))),
    ],
)
def test_policies(caller: ShownCaller, policy: TrunkSpec, expected: Shown) -> None:
    assert shown(caller, "+4930", policy) == expected


def test_nobody_diverted() -> None:
    assert shown(ANN, None, trunk("from", "diversion")) == Shown(WHO)


@pytest.mark.parametrize(
    ("caller", "from_"),
    [
        (ShownCaller("+49", 'The "A\\B" Zoë'), '"The \\"A\\\\B\\" Zoë" <sip:+49@carrier.example>'),
        (ShownCaller("+49"), "<sip:+49@carrier.example>"),
        (ShownCaller("a b;c@d>?#*e"), "<sip:ab%3Bc%40d%3E%3F%23*e@carrier.example>"),
        (ShownCaller("+49", "A\r\nX-Evil: 1"), '"A X-Evil: 1" <sip:+49@carrier.example>'),
    ],
)
def test_names_and_numbers_are_escaped(caller: ShownCaller, from_: str) -> None:
    assert shown(caller, None, trunk("from")).from_ == from_


_PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=64)


@given(_PRINTABLE, _PRINTABLE, _PRINTABLE)
@example('"', "\\", "<")
@example("a" * 63 + "\\", "%41", ";x")
def test_who_it_is_can_be_read_back(number: str, name: str, diverting: str) -> None:
    told = shown(ShownCaller(number, name), diverting, trunk(*EVERYWHERE))
    if number == "anonymous":
        return
    for value in (told.from_, told.headers[0][1], told.headers[1][1]):
        read = parse_name_addr(value)
        assert (read.display, user_of(read.uri)) == (name, number)
    assert user_of(parse_name_addr(told.headers[2][1]).uri) == diverting
    lines = [f"From: {told.from_};tag=1", *(f"{header}: {value}" for header, value in told.headers)]
    identity = trusted_identity(parse_message("\r\n".join(["INVITE sip:1@h SIP/2.0", *lines, "", ""])))
    assert identity.name == name


_ANYTHING = st.text(st.characters(exclude_categories=()), max_size=300)


@given(st.builds(ShownCaller, _ANYTHING, st.none() | _ANYTHING, st.booleans()), _ANYTHING, st.booleans())
@example(ShownCaller("\ud800\r\n\0", "\ud800\r\n\0\x85\u2028"), "\x85\0", False)
def test_nothing_breaks_out_of_its_line(caller: ShownCaller, diverting: str, privacy: bool) -> None:
    told = shown(caller, diverting, trunk(*EVERYWHERE, privacy=privacy))
    for name, value in (("From", told.from_), *told.headers):
        assert value.isprintable()
        assert name == "Privacy" or parse_name_addr(value).uri.startswith("sip:")
