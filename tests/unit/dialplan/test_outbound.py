"""Where outbound legs go: trunk, policy, how a number is written, who is shown, which headers a bot may set."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.dialplan.numbers import dialled, normalise
from gateway.dialplan.outbound import AskedCaller, From, NoWay, Wanted, Way, refused_header, way_out, written
from gateway.dialplan.parse import load_text
from gateway.dialplan.schema import Contact, Trunk

PLAN = load_text(
    """
trunks:
  acme: {host: sip.acme.example, region: US}
  digits: {host: 203.0.113.2, number_format: digits, caller_id: {number: "+12125550199", name: Example}}
  office: {host: "198.51.100.10:5062", transport: tcp, extensions: true, show_in: [from, diversion]}
  london: {host: 203.0.113.4, region: GB, number_format: national, prefix: "9", caller_id: customer}
  account: {host: 203.0.113.5, register: true, auth: {username: u, realm: r, password: {env: P}}}
  hidden: {host: 203.0.113.6, privacy: true}
channels:
  sales: {bot: {type: builtin, name: echo}, trunk: digits}
  plain: {bot: {type: builtin, name: echo}}
agents:
  ann: {name: Ann, target: "sip:ann@10.0.0.5", trunk: office}
  bob: {name: Bob, target: "sip:1001@10.0.0.6:5080;transport=udp", trunk: office}
contacts:
  warehouse: {phoneNumber: "+4930123456", trunk: digits}
  gate: {phoneNumber: "812", trunk: office}
destinations:
  allow: ["+1", "+44", "+19005550100"]
  deny: ["+1900", "+1876"]
  hosts: [sip.Voximplant.com]
""",
    {"P": "x"},
)
CALL = From("plain", "acme", called="12125550100", caller="2125550142", caller_name="Cu Stomer")
BOT = AskedCaller()


def out(wanted: Wanted, asked: AskedCaller = BOT, call: From = CALL) -> Way:
    way = way_out(PLAN, wanted, asked, call)
    assert isinstance(way, Way), way
    return way


def refused(wanted: Wanted, asked: AskedCaller = BOT, call: From = CALL) -> tuple[str, str]:
    way = way_out(PLAN, wanted, asked, call)
    assert isinstance(way, NoWay), way
    return way.reason, way.detail


# ── the trunk ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wanted", "channel", "trunk"),
    [
        (Wanted("+16125550111", channel="sales", trunk="office"), "plain", "digits"),
        (Wanted("+16125550111", channel="plain", trunk="office"), "sales", "office"),
        (Wanted("+16125550111", trunk="office"), "sales", "office"),
        (Wanted("+16125550111", channel="plain"), "sales", "digits"),
        (Wanted("+16125550111"), "sales", "digits"),
        (Wanted("+16125550111"), "plain", "acme"),
        (Wanted("+16125550111"), "announcement", "acme"),
        (Wanted(agent="ann", trunk="acme"), "sales", "office"),
        (Wanted(contact="warehouse", channel="plain", trunk="acme"), "plain", "digits"),
    ],
)
def test_which_trunk_a_leg_uses(wanted: Wanted, channel: str, trunk: str) -> None:
    assert out(wanted, call=replace(CALL, channel=channel)).trunk == trunk


@pytest.mark.parametrize(
    ("wanted", "detail"),
    [
        (
            Wanted("+16125550111", channel="sale"),
            'transferChannel: there is no channel "sale"; did you mean "sales"?',
        ),
        (Wanted("+16125550111", trunk="acne"), 'trunk: there is no trunk "acne"; did you mean "acme"?'),
        (Wanted(agent="an"), 'agent: there is no agent "an"; did you mean "ann"?'),
        (Wanted(agent="x\r\ny"), 'agent: there is no agent "xy"; write one of ann, bob'),
        (Wanted(contact="zzz"), 'contact: there is no contact "zzz"; write one of gate, warehouse'),
        (Wanted(agent="ann", trunk="acne"), 'trunk: there is no trunk "acne"; did you mean "acme"?'),
        (Wanted(), "write exactly one of phoneNumber, sipUri, agent, contact"),
        (Wanted("+16125550111", agent="ann"), "write exactly one of phoneNumber, sipUri, agent, contact"),
    ],
)
def test_what_the_plan_does_not_have_is_named(wanted: Wanted, detail: str) -> None:
    assert refused(wanted) == ("invalid-request", detail)


def test_a_trunk_that_a_reload_took_away() -> None:
    gone = replace(CALL, trunk="former")
    assert refused(Wanted("+16125550111"), call=gone)[0] == "invalid-request"
    assert out(Wanted("+16125550111", trunk="acme"), call=gone).trunk == "acme"


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "trunk", "number", "shown"),
    [
        ("16123456789", "acme", "+16123456789", "16123456789"),  # as JAICP writes it
        ("+1 (612) 345-6789", "acme", "+16123456789", "+16123456789"),
        ("6123456789", "acme", "+16123456789", "6123456789"),
        ("+16123456789", "digits", "16123456789", "+16123456789"),
        ("+442071234567", "london", "902071234567", "+442071234567"),
        ("020 7123 4567", "london", "902071234567", "02071234567"),
        ("+16123456789", "london", "90016123456789", "+16123456789"),
        ("812", "office", "812", "812"),
    ],
)
def test_a_number_is_read_and_written(asked: str, trunk: str, number: str, shown: str) -> None:
    way = out(Wanted(asked, trunk=trunk))
    assert (way.number, way.uri, way.shown) == (number, None, shown)


@pytest.mark.parametrize(
    ("asked", "detail"),
    [
        ("", "phoneNumber: is not a phone number; write it in E.164, such as +16125550111"),
        ("sales", "phoneNumber: is not a phone number; write it in E.164, such as +16125550111"),
        ("5550111", "phoneNumber: is not a phone number; write it in E.164, such as +16125550111"),
        ("+16125550111;ext=5", "phoneNumber: is not a phone number; write it in E.164, such as +16125550111"),
        ("%2B16125550111", "phoneNumber: is not a phone number; write it in E.164, such as +16125550111"),
        ("+1612\r\n5550111", "phoneNumber: is not a phone number; write it in E.164, such as +16125550111"),
        ("1" * 100_000, "phoneNumber: is not a phone number; write it in E.164, such as +16125550111"),
        (
            "812",
            'phoneNumber: is an extension, and trunk "acme" does not say extensions: true; write it in E.164, such as '
            "+16125550111",
        ),
    ],
)
def test_what_is_no_number_here(asked: str, detail: str) -> None:
    assert refused(Wanted(asked)) == ("invalid-request", detail)


@pytest.mark.parametrize(
    ("keys", "number", "text"),
    [
        ({}, "+16125550111", "+16125550111"),
        ({"number_format": "digits"}, "+16125550111", "16125550111"),
        ({"number_format": "digits", "strip": 1}, "+16125550111", "6125550111"),
        ({"number_format": "digits", "strip": 1, "prefix": "91"}, "+16125550111", "916125550111"),
        ({"number_format": "national", "region": "US"}, "+16125550111", "6125550111"),
        ({"number_format": "national", "region": "US"}, "+442071234567", "011442071234567"),
        ({"number_format": "national", "region": "GB"}, "+442071234567", "02071234567"),
        ({"number_format": "national", "region": "NO"}, "+4722123456", "22123456"),
        ({"number_format": "national"}, "+16125550111", "+16125550111"),
        ({"prefix": "9"}, "+16125550111", "916125550111"),
        ({"strip": 15}, "+16125550111", ""),
        ({"number_format": "digits", "strip": 1, "prefix": "9"}, "812", "812"),
    ],
)
def test_how_a_trunk_wants_a_number(keys: dict[str, object], number: str, text: str) -> None:
    assert written(number, Trunk.model_validate({"host": "10.0.0.1", **keys})) == text


def test_a_number_of_which_strip_leaves_nothing() -> None:
    plan = load_text(
        "trunks: {a: {host: 10.0.0.1, number_format: digits, strip: 11, prefix: '9'}}\ndestinations: {allow: ['+1']}"
    )
    way = way_out(plan, Wanted("+16125550111"), BOT, replace(CALL, trunk="a"))
    assert isinstance(way, NoWay) and way.reason == "invalid-number"
    assert way.detail == 'phoneNumber: nothing is left of it, as trunk "a" says strip: 11'


# ── policy ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("+4930123456", "destinations.allow has no prefix of it"),
        ("+19005550123", 'destinations.deny has "+1900"'),
        ("+19005550100", 'destinations.deny has "+1900"'),  # the longer allow does not win
        ("9005550123", 'destinations.deny has "+1900"'),
        ("0019005550123", 'destinations.deny has "+1900"'),
    ],
)
def test_a_number_that_may_not_be_called(asked: str, why: str) -> None:
    reason, detail = refused(Wanted(asked))
    assert reason == "blocked"
    assert detail.startswith("phoneNumber: +") and detail.endswith(f" may not be called: {why}")
    assert normalise(asked, "US") not in detail, "details are logged: numbers are masked"


def test_without_destinations_only_people_of_the_plan_are_called() -> None:
    plan = load_text(
        "trunks: {a: {host: 10.0.0.1}}\nagents: {ann: {name: Ann, target: 'sip:1001@10.0.0.5', trunk: a}}\n"
        "contacts: {w: {phoneNumber: '+16125550111', trunk: a}}\n"
    )
    call = replace(CALL, trunk="a")
    for wanted in (
        Wanted("+16125550111"),
        Wanted(sip_uri="sip:x@evil.example"),
        Wanted(sip_uri="+16125550111@10.0.0.1"),
    ):
        way = way_out(plan, wanted, BOT, call)
        assert isinstance(way, NoWay) and way.reason == "blocked"
    assert isinstance(way_out(plan, Wanted(agent="ann"), BOT, call), Way)
    assert isinstance(way_out(plan, Wanted(contact="w"), BOT, call), Way)


def test_agents_and_contacts_are_called_as_the_plan_names_them() -> None:
    assert (out(Wanted(agent="ann")).uri, out(Wanted(agent="ann")).shown) == ("sip:ann@10.0.0.5;transport=tcp", "ann")
    assert out(Wanted(agent="bob")).uri == "sip:1001@10.0.0.6:5080;transport=udp"
    warehouse = out(Wanted(contact="warehouse"))  # +49 is not in allow: that the plan names it is enough
    assert (warehouse.trunk, warehouse.number, warehouse.shown) == ("digits", "4930123456", "warehouse")
    assert out(Wanted(contact="gate")).number == "812"


def test_a_deny_wins_over_contacts_too() -> None:
    premium = Contact(phoneNumber="+19005550123", trunk="acme")
    plan = PLAN.model_copy(update={"contacts": {"premium": premium}})
    way = way_out(plan, Wanted(contact="premium"), BOT, CALL)
    assert isinstance(way, NoWay)
    assert (way.reason, way.detail) == ("blocked", 'contact: may not be called: destinations.deny has "+1900"')


# ── SIP URIs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "uri"),
    [
        ("sip:ivr@sip.voximplant.com", "sip:ivr@sip.voximplant.com"),
        ("ivr@sip.voximplant.com", "sip:ivr@sip.voximplant.com"),
        ("SIP:ivr@SIP.Voximplant.COM:5080;Transport=TCP", "sip:ivr@sip.voximplant.com:5080;transport=tcp"),
        ("sip:+16125550111@sip.voximplant.com;user=phone", "sip:+16125550111@sip.voximplant.com;user=phone"),
        ("sip:a%40b@sip.voximplant.com", "sip:a%40b@sip.voximplant.com"),
        ("sip:anyone@sip.acme.example", "sip:anyone@sip.acme.example"),  # the trunk's own host
        ("sip:queue@10.0.0.5", "sip:queue@10.0.0.5"),  # where an agent is
        ("sip:sip.voximplant.com", "sip:sip.voximplant.com"),
    ],
)
def test_a_uri_that_may_be_called(asked: str, uri: str) -> None:
    way = out(Wanted(sip_uri=asked))
    assert (way.trunk, way.uri, way.number, way.shown) == ("acme", uri, None, asked)


def test_a_uri_goes_over_the_transport_of_its_trunk() -> None:
    assert out(Wanted(sip_uri="sip:ivr@sip.voximplant.com", trunk="office")).uri == (
        "sip:ivr@sip.voximplant.com;transport=tcp"
    )


def test_an_extension_at_a_host_needs_a_trunk_that_dials_extensions() -> None:
    assert out(Wanted(sip_uri="sip:812@198.51.100.10", trunk="office")).uri == "sip:812@198.51.100.10;transport=tcp"
    reason, detail = refused(Wanted(sip_uri="sip:812@10.0.0.5"))
    assert reason == "blocked" and 'trunk "acme" does not say extensions: true' in detail


@pytest.mark.parametrize(
    "asked",
    [
        "sip:x@evil.example",
        "sip:x@voximplant.com",
        "sip:x@sip.voximplant.com.evil.example",
        "sip:x@198.51.100.10",  # another trunk's host
        "sip:+19005550123@sip.voximplant.com",
        "sip:+1-900-555-0123@sip.voximplant.com",
        "sip:%2B19005550123@sip.voximplant.com",
        "sip:%31%39005550123@sip.voximplant.com",
        "sip:19005550123%3Bx=y@sip.voximplant.com",
        "sip:+4930123456@sip.acme.example",
        "sip:0119005550123,1@sip.voximplant.com",
        "sip:*72@sip.voximplant.com",
        "sip:5550123@sip.voximplant.com",
        "sip:[::1]",
        "x@2130706433.example",
    ],
)
def test_a_uri_that_may_not_be_called(asked: str) -> None:
    reason, detail = refused(Wanted(sip_uri=asked))
    assert reason == "blocked" and detail.startswith("sipUri: its ")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("sip:a@sip.voximplant.com?Via=x", "holds header fields"),
        ("sip:good?x@sip.voximplant.com", "holds header fields"),
        ("sip:a:secret@sip.voximplant.com", "holds a password"),
        ("http://sip.voximplant.com", "is not a SIP URI"),
        ("sips:a@sip.voximplant.com", "asks for TLS"),
        ("sip:a@sip.voximplant.com;transport=tls", "has a transport that is not available"),
        ("sip:a@sip.voximplant.com;transport=udp;transport=tcp", "has a transport that is not available"),
        ("sip:a@sip.voximplant.com;maddr=10.9.9.9", "has a parameter that is not understood"),
        ("sip:a@sip.voximplant.com\r\nX: y", "is not a SIP URI"),
        ("sip:a%0d%0aX@sip.voximplant.com", "is not a SIP URI"),
        ("sip:sip.voximplant.com;x@evil.example", "has a parameter that is not understood"),
        ("<sip:a@sip.voximplant.com>", "holds a password or another scheme"),
        ("sip:a@b@sip.voximplant.com", "is not a SIP URI"),
        ("sip:a@sip_voximplant.com", "is not a SIP URI"),
        ("sip:a@", "is not a SIP URI"),
        ("", "is not a SIP URI"),
        ("sip:a@2130706433", "has no usable host"),
        ("sip:a@sip.voximplant.com:99999", "has no usable host"),
        ("sip:" + "a" * 500 + "@sip.voximplant.com", "is longer than 255"),
        ("tel:+16125550111;ext=5", "is not a phone number"),
    ],
)
def test_what_is_no_uri_to_be_called(asked: str, says: str) -> None:
    reason, detail = refused(Wanted(sip_uri=asked))
    assert reason == "invalid-request" and detail.startswith(f"sipUri: {says}")


def test_a_tel_uri_is_a_phone_number() -> None:
    way = out(Wanted(sip_uri="tel:+1-612-555-0111", trunk="digits"))
    assert (way.number, way.uri, way.shown) == ("16125550111", None, "+16125550111")
    assert refused(Wanted(sip_uri="tel:+19005550123"))[0] == "blocked"


# ── who is shown ─────────────────────────────────────────────────────────────────────────────────────────────────────

GIVEN = AskedCaller("given", "+16125550177", "Support", privacy=True)


@pytest.mark.parametrize(
    ("trunk", "asked", "caller"),
    [
        ("acme", BOT, ("+12125550100", None, False)),
        ("digits", BOT, ("+12125550199", "Example", False)),  # fixed
        ("hidden", BOT, ("+12125550100", None, True)),
        ("account", BOT, ("+12125550100", None, False)),
        ("london", BOT, ("+12125550142", "Cu Stomer", False)),  # the trunk's policy is customer
        ("acme", AskedCaller("customer"), ("+12125550142", "Cu Stomer", False)),
        ("digits", AskedCaller("customer"), ("+12125550142", "Cu Stomer", False)),
        ("hidden", AskedCaller("customer"), ("+12125550142", "Cu Stomer", True)),
        ("digits", GIVEN, ("+16125550177", "Support", True)),
        ("acme", AskedCaller("given", "6125550177"), ("+16125550177", None, False)),
        ("acme", AskedCaller("given", "812"), ("812", None, False)),
    ],
)
def test_who_is_shown(trunk: str, asked: AskedCaller, caller: tuple[str, str | None, bool]) -> None:
    way = out(Wanted("+16125550111", trunk=trunk), asked)
    assert (way.caller_number, way.caller_name, way.withheld) == caller


@pytest.mark.parametrize(
    ("asked", "trunk", "says"),
    [
        (AskedCaller("customer"), "account", 'callerId: customer cannot be shown on trunk "account": it has auth or'),
        (AskedCaller("given"), "acme", "callerId.number: is not a phone number; write it in E.164"),
        (AskedCaller("given", "bank"), "acme", "callerId.number: is not a phone number; write it in E.164"),
        (AskedCaller("given", "+16125550177", "a\r\nb"), "acme", "callerId.name: cannot be shown; write at most 64"),
    ],
)
def test_a_caller_that_cannot_be_shown(asked: AskedCaller, trunk: str, says: str) -> None:
    reason, detail = refused(Wanted("+16125550111", trunk=trunk), asked)
    assert reason == "invalid-request" and detail.startswith(says)


def test_a_customer_who_is_withheld_stays_so() -> None:
    unknown = replace(CALL, caller="anonymous", caller_name="Cu Stomer", withheld=True)
    way = out(Wanted("+16125550111"), AskedCaller("customer"), unknown)
    assert (way.caller_number, way.caller_name, way.withheld) == ("anonymous", None, True)
    way = out(Wanted("+16125550111"), AskedCaller("customer"), replace(CALL, withheld=True))
    assert (way.caller_number, way.caller_name, way.withheld) == ("+12125550142", None, True)  # the carrier may know
    nobody = out(Wanted("+16125550111"), AskedCaller("customer"), replace(CALL, caller=""))
    assert (nobody.caller_number, nobody.withheld) == ("anonymous", True)
    assert not out(Wanted("+16125550111"), BOT, unknown).withheld, "the bot's own number is no secret of his"


@pytest.mark.parametrize(
    ("called", "shown"), [("100", "100"), ("alice", "alice"), ('a"<>@b c', "abc"), ("", "anonymous")]
)
def test_a_called_number_that_is_not_e164_is_shown_as_it_came(called: str, shown: str) -> None:
    assert out(Wanted("+16125550111"), BOT, replace(CALL, called=called)).caller_number == shown


def test_diversion_tells_the_number_that_was_called() -> None:
    assert out(Wanted("812", trunk="office"), GIVEN).diverting == "+12125550100"
    assert out(Wanted("+16125550111", trunk="acme")).diverting is None


# ── headers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("patterns", "names", "refusal"),
    [
        (None, ["X-Crm", "callReason"], None),
        (None, ["X-Crm", "p-asserted-IDENTITY"], "p-asserted-IDENTITY"),
        (["*", "Diversion"], ["X-Crm", "diversion"], None),
        (["P-*"], ["P-Charge-Info"], None),
        (["P-*"], ["P-Asserted-Identity"], "P-Asserted-Identity"),
        (["x-*"], ["X-Crm", "callReason"], "callReason"),
        (["callReason"], ["CALLREASON"], None),
        (["callReason"], ["callReason2"], "callReason2"),
        ([], ["X-Crm"], "X-Crm"),
        ([], [], None),
    ],
)
def test_which_headers_a_bot_may_set(patterns: list[str] | None, names: list[str], refusal: str | None) -> None:
    headers = {} if patterns is None else {"headers": {"from_bot": tuple(patterns)}}
    assert refused_header(Trunk.model_validate({"host": "10.0.0.1", **headers}), names) == refusal


# ── whatever is asked ────────────────────────────────────────────────────────────────────────────────────────────────

texts = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(categories=["Cs", "Cc", "Nd", "L"]), max_size=20),
    st.from_regex(r"\A\+?[0-9 ().-]{1,20}\Z"),
    st.from_regex(
        r"\A(sips?:|tel:)?([+0-9a-z%;:?.*-]{0,15}@)?(sip\.voximplant\.com|10\.0\.0\.5|[a-z.]{1,9})[;?:a-z=0-9]{0,9}\Z"
    ),
    st.sampled_from(["ann", "warehouse", "sales", "acme", "digits", "office", "london", "account"]),
)
maybe = st.none() | texts
callers = st.builds(AskedCaller, st.sampled_from(["bot", "customer", "given"]), maybe, maybe, st.booleans())
calls = st.builds(From, texts, texts, texts, texts, maybe, st.booleans())


@given(st.builds(Wanted, maybe, maybe, maybe, maybe, maybe, maybe), callers, calls)
@settings(max_examples=300, deadline=None)
def test_nothing_raises_and_what_comes_out_can_be_sent(wanted: Wanted, asked: AskedCaller, call: From) -> None:
    sendable(way_out(PLAN, wanted, asked, call))


@given(texts, st.sampled_from(["phone_number", "sip_uri"]), st.sampled_from(list(PLAN.trunks)), callers, calls)
@example("tel:\ud800", "sip_uri", "acme", BOT, CALL)
@example("%D9%A1%D9%A1@sip.voximplant.com", "sip_uri", "acme", BOT, CALL)
@settings(max_examples=500, deadline=None)
def test_one_target_of_any_text(text: str, field: str, trunk: str, asked: AskedCaller, call: From) -> None:
    sendable(way_out(PLAN, replace(Wanted(trunk=trunk), **{field: text}), asked, call))


def sendable(way: Way | NoWay) -> None:
    if isinstance(way, NoWay):
        assert way.detail.isprintable() and len(way.detail) < 400
        return
    assert (way.number is None) != (way.uri is None)
    assert way.number is None or re.fullmatch(r"\+?[0-9]+", way.number, re.ASCII)
    assert way.uri is None or re.fullmatch(r"sip:[!->@-~]+", way.uri)
    assert re.fullmatch(r"[A-Za-z0-9\-_.!~*'()+]+", way.caller_number)
    assert way.caller_name is None or way.caller_name.isprintable()


@given(
    st.from_regex(r"\A\+?(1|1900|1876|44|49|0044|001900)[0-9]{4,12}\Z"),
    st.lists(st.sampled_from(["+1", "+44", "+1900", "+49", "+19005"]), max_size=3),
    st.lists(st.sampled_from(["+1", "+1900", "+1876", "+4420"]), max_size=3),
    st.booleans(),
)
@settings(max_examples=500, deadline=None)
def test_what_is_called_has_a_prefix_in_allow_and_none_in_deny(
    number: str, allow: list[str], deny: list[str], as_uri: bool
) -> None:
    policy = PLAN.destinations.model_copy(update={"allow": tuple(allow), "deny": tuple(deny)})
    plan = PLAN.model_copy(update={"destinations": policy})
    wanted = Wanted(sip_uri=f"{number}@sip.voximplant.com") if as_uri else Wanted(number)
    way = way_out(plan, wanted, BOT, CALL)
    e164 = normalise(number, "US") if as_uri else dialled(number, "US")
    if isinstance(way, Way):
        assert e164 is not None and (as_uri or way.number == e164)
        assert e164.startswith(tuple(allow)) and not e164.startswith(tuple(deny))
    elif e164 is not None:
        assert way.reason == "blocked"
        assert not e164.startswith(tuple(allow)) or e164.startswith(tuple(deny))


@given(
    st.from_regex(r"\A\+(1|44|49|47|39|7|86)[0-9]{6,12}\Z").map(normalise).filter(bool),
    st.sampled_from(["e164", "digits", "national"]),
    st.integers(0, 15),
    st.text("0123456789", max_size=5),
    st.sampled_from([None, "US", "GB", "DE", "IT", "RU", "BR"]),
)
@settings(max_examples=500, deadline=None)
def test_a_written_number_is_digits_with_a_plus_at_most(
    number: str, form: str, strip: int, prefix: str, region: str | None
) -> None:
    keys = {"number_format": form, "strip": strip, "prefix": prefix} | ({"region": region} if region else {})
    text = written(number, Trunk.model_validate({"host": "10.0.0.1", **keys}))
    assert text == "" or re.fullmatch(r"\+?[0-9]+", text, re.ASCII)
    assert text.startswith(prefix) or not text
