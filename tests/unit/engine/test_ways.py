"""Where a transfer's targets are called, by the plan and the limits that run."""

from collections import Counter
from typing import Any

from gateway.calls.model import Call, Caller, CallId, ChannelPolicy, Leg, LegId, Role
from gateway.calls.outbound import Callee, Way
from gateway.calls.switch import Switch
from gateway.dialplan.parse import load_text
from gateway.engine.limits import Admission
from gateway.engine.ways import Ways

PLAN = """
trunks: {acme: {host: 192.0.2.1}, office: {host: 192.0.2.2}}
channels: {hello: {bot: {type: builtin, name: echo}, trunk: acme}}
agents: {ann: {name: Ann, target: "sip:ann@192.0.2.5", trunk: office}}
routes: [{to: "*", channel: hello}]
"""


def way_to(callee: Callee, **switch: Any) -> object:
    plan = load_text(PLAN)
    caller = Caller("1@far", "acme", "+12125550123", "+12125550100")
    call = Call(CallId("call_1"), caller, ChannelPolicy("hello"), Leg(LegId("leg_1"), Role.CUSTOMER), 0.0)
    ways = Ways(lambda: plan, Admission(lambda trunk: None, Counter()), lambda call_id, trunk: None)
    return ways.way_to(call, Switch.model_validate({"agent": "ann"} | switch), callee, 0.0)


def test_an_agent_is_called_on_its_own_trunk():
    way = way_to(Callee("agent", "ann", {}, 30.0))
    assert isinstance(way, Way) and way.trunk == "office"


def test_where_an_agents_phone_points_is_called_on_the_agents_trunk():
    callee = Callee("sipUri", "sip:desk@192.0.2.5", {}, 30.0, "office")
    for switch in ({}, {"trunk": "acme"}, {"transferChannel": "hello"}):
        way = way_to(callee, **switch)
        assert isinstance(way, Way) and way.trunk == "office"
