"""Where a transfer's targets are called, by the plan and the limits that run; what a Refer-To asks for, as a switch."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.model import Call, Caller, CallId, ChannelPolicy, Leg, LegId, Role
from gateway.calls.outbound import Callee, NoWay, TransferReason, Way, callees
from gateway.calls.refers import ReferTarget
from gateway.calls.switch import Switch
from gateway.dialplan.parse import load_text
from gateway.dialplan.schema import Dialplan
from gateway.engine.agents import Agents
from gateway.engine.limits import Admission
from gateway.engine.live import Live
from gateway.engine.ways import Ways

PLAN = """
trunks:
  acme: {host: 192.0.2.1, limits: {channels: 2}, number_format: digits, headers: {from_bot: ["X-*"]}}
  office: {host: 192.0.2.2, extensions: true, accept_refer: true}
  account: {host: 192.0.2.3, auth: {username: u, realm: r, password: {env: P}}}
channels: {hello: {bot: {type: builtin, name: echo}, trunk: acme}}
agents: {ann: {name: Ann, target: "sip:ann@192.0.2.5", trunk: office}}
routes: [{to: "801", agent: ann}, {to: "+12125550100", channel: hello}]
destinations: {allow: ["+1"], deny: ["+1900"], limits: {per_call: 2, per_minute: 3}}
"""
NUMBER = Callee("phoneNumber", "+16125550111", {}, 30.0)


def a_call(trunk: str = "acme") -> Call:
    caller = Caller("1@far", trunk, "+12125550123", "+12125550100")
    return Call(CallId("call_1"), caller, ChannelPolicy("hello"), Leg(LegId("leg_1"), Role.CUSTOMER), 0.0)


@dataclass
class Node:
    """The ways of a plan; `legs` are those that each trunk carries, `promised` the ways that were told of."""

    plan: Dialplan = field(default_factory=lambda: load_text(PLAN, {"P": "x"}))
    legs: Counter[str] = field(default_factory=Counter)
    promised: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        admission = Admission(lambda trunk: self.plan.trunks[trunk].limits, self.legs)
        self.agents = Agents(lambda: self.plan, Live(9), lambda: 0.0)
        self.ways = Ways(lambda: self.plan, admission, lambda *told: self.promised.append(told), self.agents)

    def way_to(self, callee: Callee = NUMBER, came_on: str = "acme", **switch: Any) -> Way | NoWay:
        return self.ways.way_to(a_call(came_on), Switch.model_validate({"agent": "ann"} | switch), callee, 0.0)

    def referred(self, **target: Any) -> Switch | NoWay:
        target = {"uri": "sip:801@192.0.2.99", "user": "801", "own": True} | target
        return self.ways.referred(a_call("office"), "office", ReferTarget(**target))


@pytest.fixture
def node() -> Node:
    return Node()


def test_an_agent_is_called_on_its_own_trunk(node: Node):
    way = node.way_to(Callee("agent", "ann", {}, 30.0))
    assert isinstance(way, Way) and way.trunk == "office"


def test_where_an_agents_phone_points_is_called_on_the_agents_trunk():
    callee = Callee("sipUri", "sip:desk@192.0.2.5", {}, 30.0, "office")
    for switch in ({}, {"trunk": "acme"}, {"transferChannel": "hello"}):
        way = Node().way_to(callee, **switch)
        assert isinstance(way, Way) and way.trunk == "office"


# ── the limits ──────────────────────────────────────────────────────────────────────────────────────


def test_a_trunk_that_is_full_costs_nothing_of_what_may_be_dialled(node: Node):
    node.legs["acme"] = 2
    for _ in range(5):
        way = node.way_to()
        assert isinstance(way, NoWay) and way.reason is TransferReason.UNREACHABLE
    node.legs["acme"] = 0
    assert [isinstance(node.way_to(), Way) for _ in range(3)] == [True, True, False], "per_call is 2"
    assert node.promised == [("call_1", "acme")] * 2


def test_what_the_limits_of_the_node_refuse_takes_no_channel(node: Node):
    ways = [node.way_to() for _ in range(3)]
    assert isinstance(ways[2], NoWay) and ways[2].reason is TransferReason.BLOCKED
    assert len(node.promised) == 2


# ── by REFER ────────────────────────────────────────────────────────────────────────────────────────


def test_the_peer_that_dials_takes_no_channel_and_shows_nobody(node: Node):
    node.legs["acme"] = 2
    way = node.way_to(method="refer", callerId="customer")
    assert isinstance(way, Way) and (way.trunk, way.number, way.caller.number) == ("acme", "16125550111", "")
    assert node.promised == []


def test_the_peer_is_told_a_number_as_its_own_trunk_has_it(node: Node):
    way = node.way_to(came_on="office", method="refer")
    assert isinstance(way, Way) and (way.trunk, way.number) == ("office", "+16125550111")
    way = node.way_to(came_on="office", method="refer", transferChannel="hello")
    assert isinstance(way, Way) and (way.trunk, way.number) == ("acme", "16125550111")


def test_a_caller_who_cannot_be_shown_matters_only_when_we_dial(node: Node):
    shown = {"callerId": "customer", "trunk": "account"}
    assert isinstance(node.way_to(**shown), NoWay)
    assert isinstance(node.way_to(**shown, method="refer"), Way)


def test_the_policies_hold_for_the_peer_too(node: Node):
    denied = node.way_to(Callee("phoneNumber", "+19005550111", {}, 30.0), method="refer")
    assert isinstance(denied, NoWay) and denied.reason is TransferReason.BLOCKED
    header = node.way_to(Callee("phoneNumber", "+16125550111", {"Alert": "1"}, 30.0), method="refer")
    assert isinstance(header, NoWay) and header.detail.startswith("headers: ")
    assert [isinstance(node.way_to(method="refer"), Way) for _ in range(3)] == [True, True, False]


# ── a REFER that came ───────────────────────────────────────────────────────────────────────────────


def test_a_trunk_says_whether_its_customers_may_refer(node: Node):
    asked = {name: node.ways.may_refer(a_call(), name) for name in ("office", "acme", "gone")}
    assert asked == {"office": True, "acme": False, "gone": False}


def test_what_is_dialled_here_becomes_a_switch(node: Node):
    assert node.referred() == Switch.model_validate({"agent": "ann"})
    assert node.referred(user="812") == Switch.model_validate({"phoneNumber": "812", "trunk": "office"})
    asked = node.referred(user="+16125550111", user_to_user=("3132;encoding=hex",))
    assert asked == Switch.model_validate({"phoneNumber": "+16125550111", "userToUser": ["3132;encoding=hex"]})
    assert isinstance(asked, Switch) and asked.caller_id == "bot"


def test_another_host_becomes_a_switch_to_its_uri_which_the_policy_then_judges(node: Node):
    asked = node.referred(own=False, uri="sip:bob@192.0.2.66", user="bob")
    assert asked == Switch.model_validate({"sipUri": "sip:bob@192.0.2.66", "trunk": "office"})
    assert isinstance(asked, Switch)
    (callee,) = callees(asked)
    way = node.ways.way_to(a_call("office"), asked, callee, 0.0)
    assert isinstance(way, NoWay) and way.reason is TransferReason.BLOCKED


def test_our_own_number_is_not_dialled_in_a_loop(node: Node):
    refused = node.referred(user="+12125550100")
    assert isinstance(refused, NoWay) and refused.reason is TransferReason.INVALID_REQUEST
    assert "is ours (routes[1])" in refused.detail


@given(
    st.text(max_size=300) | st.builds("sip:{}@{}".format, st.text(max_size=20), st.text(max_size=20)),
    st.text(max_size=300) | st.from_regex(r"\A\+?[0-9]{0,12}\Z"),
    st.booleans(),
    st.lists(st.text(max_size=30), max_size=12),
)
def test_no_refer_to_breaks_anything(uri: str, user: str, own: bool, user_to_user: list[str]):
    asked = Node().referred(uri=uri, user=user, own=own, user_to_user=tuple(user_to_user))
    assert isinstance(asked, Switch | NoWay)
