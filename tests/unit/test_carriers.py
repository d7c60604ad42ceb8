"""A plan's trunks as the SIP adapter gets them."""

from typing import Any

import pytest

from gateway.carriers import specs
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
