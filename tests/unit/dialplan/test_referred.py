"""What a Refer-To means: an agent, an extension, a number, a host elsewhere; never a number that comes back to us."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialplan.outbound import NoWay, Wanted
from gateway.dialplan.parse import load_text
from gateway.dialplan.referred import dialled_here, elsewhere

PLAN = load_text("""
trunks:
  office: {host: 192.0.2.2, extensions: true, region: US}
  acme: {host: 192.0.2.1}
channels: {hello: {bot: {type: builtin, name: echo}, trunk: acme}}
agents: {ann: {name: Ann, target: "sip:801@192.0.2.2", trunk: office}}
routes:
  - {to: "801", trunk: office, agent: ann}
  - {to: "802", trunk: office, agent: ann, hours: "mon 09:00-10:00"}
  - {to: "850", trunk: office, channel: hello}
  - {to: "851", trunk: acme, channel: hello}
  - {to: "+1900*", trunk: office, reject: 603}
  - {to: "+121255501XX", trunk: acme, channel: hello}
  - {to: "+12125550200", trunk: acme, reject: 480, hours: "mon 09:00-10:00", otherwise: {prompt: closed}}
  - {to: "*", trunk: office, channel: hello}
destinations: {allow: ["+1"]}
""")
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)  # a Tuesday


def here(user: str, trunk: str = "office", at: datetime = NOON) -> Wanted | NoWay:
    return dialled_here(PLAN, trunk, user, "+12125550123", at)


@pytest.mark.parametrize(
    ("user", "wanted"),
    [
        ("801", Wanted(agent="ann")),
        ("803", Wanted(phone_number="803", trunk="office")),
        ("803;phone-context=house", Wanted(phone_number="803", trunk="office")),
        ("+16125550111", Wanted(phone_number="+16125550111")),
        ("612-555-0111", Wanted(phone_number="+16125550111")),
        ("851", Wanted(phone_number="851", trunk="office")),  # the other trunk's 851 is another one
    ],
)
def test_it_means_what_dialling_it_would_mean(user: str, wanted: Wanted) -> None:
    assert here(user) == wanted


@pytest.mark.parametrize(
    ("user", "reason", "detail"),
    [
        ("850", "invalid-request", "850 is ours (routes[2]), and only agents can be referred to here"),
        ("802", "invalid-request", "802 is ours (routes[1]), and only agents can be referred to here"),
        ("2125550142", "invalid-request", "+1212•••0142 is ours (routes[5]), and only agents can be referred to here"),
        ("2125550200", "invalid-request", "+1212•••0200 is ours (routes[6]), and only agents can be referred to here"),
        ("+19005550111", "blocked", "+1900•••0111 is refused by the plan (routes[4])"),
        (
            "+442079460000", "invalid-request",
            "+4420•••0000 goes to a bot or a prompt (routes[7]), and only agents can be referred to here",
        ),
        ("ann", "invalid-request", "is no agent's number here, no extension and no E.164 number"),
        ("", "invalid-request", "is no agent's number here, no extension and no E.164 number"),
    ],
)  # fmt: skip
def test_what_it_cannot_mean_is_told(user: str, reason: str, detail: str) -> None:
    assert here(user) == NoWay(reason, f"Refer-To: {detail}")  # type: ignore[arg-type]


def test_without_a_route_an_extension_is_still_one_of_the_trunk() -> None:
    assert here("812", "acme") == Wanted(phone_number="812", trunk="acme")
    assert here("851", "acme") == NoWay(
        "invalid-request", "Refer-To: 851 is ours (routes[3]), and only agents can be referred to here"
    )


def test_an_agent_with_hours_is_reached_in_them() -> None:
    assert here("802", at=datetime(2026, 11, 23, 9, 30, tzinfo=UTC)) == Wanted(agent="ann")


def test_another_host_is_dialled_there_on_the_trunk_of_who_refers() -> None:
    assert elsewhere("office", "sip:bob@192.0.2.9:5062") == Wanted(sip_uri="sip:bob@192.0.2.9:5062", trunk="office")
    refused = elsewhere("office", "sip:bob@192.0.2.9;maddr=192.0.2.66")
    assert isinstance(refused, NoWay) and "has a parameter that is not understood" in refused.detail


@given(st.text(max_size=200) | st.from_regex(r"\A\+?[0-9;.()-]{0,30}\Z"), st.sampled_from(["office", "acme", "gone"]))
def test_any_user_part_gets_an_answer_and_none_of_our_own_numbers_is_dialled(user: str, trunk: str) -> None:
    found = here(user, trunk)
    if isinstance(found, NoWay):
        assert found.detail.startswith("Refer-To: ")
    else:
        assert (found.agent is None) != (found.phone_number is None)
        assert not (found.phone_number or "").startswith("+121255501")


@given(st.text(max_size=400))
def test_any_uri_gets_an_answer(uri: str) -> None:
    assert isinstance(elsewhere("office", uri), Wanted | NoWay)
