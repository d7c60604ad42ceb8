"""A plan's trunks as the SIP adapter gets them."""

from ipaddress import ip_address
from typing import Any

import pytest

from gateway.carriers import specs, still_valid
from gateway.dialplan.schema import Dialplan


def plan(**trunk: Any) -> Dialplan:
    return Dialplan.model_validate({"trunks": {"acme": {"host": "192.0.2.1", **trunk}}, "channels": {}, "routes": ()})


@pytest.mark.parametrize(
    ("trunk", "show_in", "privacy"),
    [
        ({}, ("from",), False),
        ({"show_in": ()}, ("from",), False),
        ({"show_in": ("pai", "diversion"), "privacy": True}, ("pai", "diversion"), True),
    ],
)
def test_where_the_caller_is_shown(trunk: dict[str, Any], show_in: tuple[str, ...], privacy: bool) -> None:
    (spec,) = specs(plan(**trunk))
    assert (spec.show_in, spec.privacy) == (show_in, privacy)


def test_the_addresses_of_a_host_are_not_those_of_the_next_one():
    found = {"acme": (ip_address("192.0.2.7"),)}
    one, other = plan(host="one.example"), plan(host="other.example")
    assert still_valid(found, one, other) == {}
    assert still_valid(found, one, plan(host="one.example", codecs=("PCMA",))) == found
