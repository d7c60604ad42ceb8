"""Calls find their trunk and their route."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialplan.parse import load_text
from gateway.dialplan.routing import Decision, Refuse, ToAgent, ToChannel, ToPrompt, inbound, trunk_of
from gateway.dialplan.schema import Dialplan

PLAN = load_text(
    """\
trunks:
  acme: {host: 203.0.113.5, allow: [203.0.113.0/24], region: US}
  office: {host: 198.51.100.10}
channels:
  day: {bot: {type: builtin, name: reception}}
  night: {bot: {type: builtin, name: echo}}
routes:
  - {to: "+12125550100", trunk: acme, channel: day, hours: "mon-fri 09:00-18:00 America/New_York",
     otherwise: {channel: night}}
  - {to: "+12125550101", channel: day, hours: "mon-fri 09:00-18:00"}
  - {to: "+12125550101", prompt: closed}
  - {to: "*", from: "+1900*", reject: 603}
  - {to: "8XX", trunk: office, channel: day}
  - {to: "+1212555XXXX", say: "This number is not in service."}
  - {to: "ann", agent: ann}
agents: {ann: {name: Ann, target: "sip:ann@10.0.0.5", trunk: office}}
""",
    file="plan.yaml",
)
NOON = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)  # a Monday, 12:00 in New York
NIGHT = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


def call(to: str, trunk: str = "acme", from_: str = "+12125550123", at: datetime = NOON) -> Decision:
    return inbound(PLAN, trunk, to, from_, at)


def test_a_call_goes_to_the_channel_of_its_route() -> None:
    decision = call("+12125550100")
    assert isinstance(decision, ToChannel)
    assert (decision.channel, decision.route, decision.where) == ("day", 0, "plan.yaml:8")


@pytest.mark.parametrize("to", ["+12125550100", "12125550100", "0012125550100", "2125550100", "+1-212-555-0100"])
def test_a_number_is_found_however_the_carrier_writes_it(to: str) -> None:
    assert isinstance(call(to), ToChannel)


def test_outside_the_hours_the_call_goes_elsewhere() -> None:
    decision = call("+12125550100", at=NIGHT)
    assert isinstance(decision, ToChannel)
    assert decision.channel == "night"


def test_without_otherwise_the_next_route_is_tried_outside_the_hours() -> None:
    decision = call("+12125550101", at=NIGHT)
    assert isinstance(decision, ToPrompt)
    assert (decision.prompt, decision.say, decision.route) == ("closed", None, 2)


def test_the_caller_may_decide() -> None:
    decision = call("+12125550199", from_="19005550100")
    assert isinstance(decision, Refuse)
    assert (decision.status, decision.route) == (603, 3)


def test_a_route_of_another_trunk_does_not_count() -> None:
    assert isinstance(call("812", trunk="office"), ToChannel)
    assert isinstance(call("812", trunk="acme"), Refuse)


def test_a_text_is_spoken() -> None:
    decision = call("+12125559999")
    assert isinstance(decision, ToPrompt)
    assert decision.say == "This number is not in service."


def test_a_phone_reaches_an_agent() -> None:
    decision = call("ann")
    assert isinstance(decision, ToAgent)
    assert (decision.agent, decision.route, decision.where) == ("ann", 6, "plan.yaml:15")
    assert decision.steps[-1] == '7. routes[6] plan.yaml:15 to "ann": matches "ann": agent ann'


def test_no_route_is_404() -> None:
    decision = call("nobody")
    assert isinstance(decision, Refuse)
    assert (decision.status, decision.why, decision.route) == (404, "no route matches", None)


def test_the_way_to_the_decision_is_told_step_by_step() -> None:
    assert call("12125550101", at=NIGHT).steps == (
        '1. routes[0] plan.yaml:8 to "+12125550100" trunk acme hours mon-fri 09:00-18:00 America/New_York: '
        'does not match "12125550101" (+12125550101)',
        '2. routes[1] plan.yaml:10 to "+12125550101" hours mon-fri 09:00-18:00: '
        "does not match: closed (Mon 04:00 in UTC)",
        '3. routes[2] plan.yaml:11 to "+12125550101": matches "12125550101" (+12125550101): prompt closed',
    )
    assert call("812").steps[-2:] == (
        '7. routes[6] plan.yaml:15 to "ann": does not match "812"',
        "8. no route matches: refused with 404",
    )


def test_a_moment_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        call("1", at=datetime(2026, 1, 1))


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_call_gets_one_decision(to: str, from_: str) -> None:
    decision = call(to, from_=from_)
    assert decision.steps
    if decision.route is not None:
        assert len(decision.steps) == decision.route + 1


# ── which trunk ──────────────────────────────────────────────────────────────────────────────────────────────────────


def trunks(**lines: str) -> Dialplan:
    return load_text("trunks:\n" + "".join(f"  {name}: {{{keys}}}\n" for name, keys in lines.items()))


def test_a_source_belongs_to_the_trunk_that_allows_it() -> None:
    assert trunk_of(PLAN, "203.0.113.77", "udp", 5060) == "acme"
    assert trunk_of(PLAN, "198.51.100.10", "udp", 31337) == "office"
    assert trunk_of(PLAN, "::ffff:198.51.100.10", "UDP", 5060) == "office"


def test_strangers_have_no_trunk() -> None:
    assert trunk_of(PLAN, "198.51.100.11", "udp", 5060) is None
    assert trunk_of(PLAN, "203.0.113.5", "tls", 5060) is None
    assert trunk_of(PLAN, "2001:db8::1", "udp", 5060) is None


def test_the_most_specific_network_wins() -> None:
    plan = trunks(wide="host: 10.0.0.1, allow: [10.0.0.0/8]", narrow="host: 10.1.0.1, allow: [10.1.0.0/16]")
    assert trunk_of(plan, "10.1.2.3", "udp", 5060) == "narrow"
    assert trunk_of(plan, "10.2.2.3", "udp", 5060) == "wide"


def test_two_trunks_of_one_machine_are_told_apart_by_port() -> None:
    plan = trunks(a="host: '10.0.0.1:5070'", b="host: '10.0.0.1:5080'")
    assert trunk_of(plan, "10.0.0.1", "udp", 5070) == "a"
    assert trunk_of(plan, "10.0.0.1", "udp", 5080) == "b"
    assert trunk_of(plan, "10.0.0.1", "udp", 40000) == "a"


def test_a_network_in_trunks_of_two_transports_is_no_mistake() -> None:
    plan = trunks(a="host: 10.0.0.1, transport: udp", b="host: 10.0.0.1, transport: tcp")
    assert (trunk_of(plan, "10.0.0.1", "udp", 1), trunk_of(plan, "10.0.0.1", "tcp", 1)) == ("a", "b")


def test_a_udp_trunk_may_call_over_tcp_but_a_tcp_trunk_not_over_udp() -> None:
    plan = trunks(a="host: 10.0.0.1, transport: udp", b="host: 10.0.0.2, transport: tcp")
    assert trunk_of(plan, "10.0.0.1", "tcp", 1) == "a"
    assert trunk_of(plan, "10.0.0.2", "udp", 1) is None


networks = st.tuples(st.integers(0, 255), st.integers(0, 3), st.integers(8, 32)).map(
    lambda given: str(ip_network(f"10.{given[0]}.{given[1]}.7/{given[2]}", strict=False))
)


@given(
    st.lists(networks, min_size=1, max_size=6, unique=True), st.integers(0, 255), st.integers(0, 3), st.integers(0, 9)
)
def test_a_trunk_is_found_exactly_when_a_network_holds_the_address(nets: list[str], a: int, b: int, c: int) -> None:
    plan = trunks(**{f"t{index}": f"host: 192.0.2.{index + 1}, allow: [{net}]" for index, net in enumerate(nets)})
    address = ip_address(f"10.{a}.{b}.{c}")
    holding = [ip_network(net) for net in nets if address in ip_network(net)]
    found = trunk_of(plan, str(address), "udp", 5060)
    if found is None:
        assert not holding
    else:
        (network,) = plan.trunks[found].networks
        assert network.prefixlen == max(net.prefixlen for net in holding)
        assert address in network


AUTH = {"realm": "r", "password": {"env": "P"}}


def test_a_registered_user_tells_trunks_of_one_carrier_apart() -> None:
    plan = Dialplan.model_validate(
        {
            "trunks": {
                name: {"host": "sip.acme.example", "auth": {"username": name, **AUTH}, "register": True}
                for name in ("ann", "bob")
            }
        }
    )
    resolved = {name: (ip_address("192.0.2.7"),) for name in ("ann", "bob")}
    assert trunk_of(plan, "192.0.2.7", "udp", 5060, "bob", resolved) == "bob"
    assert trunk_of(plan, "192.0.2.7", "udp", 5060, "ann", resolved) == "ann"
    assert trunk_of(plan, "192.0.2.7", "udp", 5060, "+12125550100", resolved) == "ann"
    assert trunk_of(plan, "192.0.2.7", "udp", 5060, "bob") is None, "nobody knows the host's address"
    assert trunk_of(plan, "192.0.2.8", "udp", 5060, "bob", resolved) is None
