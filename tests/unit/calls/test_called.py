"""Whom an agent asks, as it comes over the API."""

import json

import pytest

from gateway.calls.called import Consulted, parse_called
from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.fields import MAX_BODY
from gateway.calls.orders import Consult
from gateway.calls.switch import Switch


def test_all_that_can_be_said() -> None:
    given = {"contact": "lab", "headers": {"X-Why": "refund"}, "userToUser": [{"data": "4142"}, "43"], "timeout": "12",
             "note": "A refund", "onAgentHangup": "end", "legId": "leg_7", "agent": None}  # fmt: skip
    order = parse_called(Consulted, json.dumps(given).encode()).order()
    switch = Switch.model_validate(
        {name: given[name] for name in ("contact", "headers", "userToUser", "timeout", "note")}
    )
    assert switch.timeout_s == 12.0 and len(switch.user_to_user) == 2
    assert order == Consult(switch, "end", "leg_7")


def test_a_target_is_enough() -> None:
    order = parse_called(Consulted, b'{"phoneNumber": "+4915"}').order()
    assert order == Consult(Switch.model_validate({"phoneNumber": "+4915"}), None, None)


@pytest.mark.parametrize(
    ("body", "kind", "detail"),
    [
        (b"[]", BotErrorKind.MALFORMED, 'not a JSON object such as {"agent": "ann"}'),
        (b"{", BotErrorKind.MALFORMED, "not JSON: "),
        (b"{}", BotErrorKind.REFUSED, "consult: give exactly one of phoneNumber, sipUri, agent and contact"),
        (b'{"queue": {"name": "q"}}', BotErrorKind.REFUSED, "queue: queues are not available yet"),
        (b'{"agent": "ann", "targets": []}', BotErrorKind.REFUSED, "targets: unknown field"),
        (
            b'{"agent": "a", "userToUser": {"data": "41", "purpos": ""}}',
            BotErrorKind.REFUSED,
            "userToUser.purpos: unknown field; did",
        ),
        (b" " * (MAX_BODY + 1), BotErrorKind.TOO_LARGE, "the consult has more than 64 KiB"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, kind: BotErrorKind, detail: str) -> None:
    with pytest.raises(BotError) as refused:
        parse_called(Consulted, body)
    assert refused.value.kind is kind and refused.value.detail.startswith(detail), refused.value.detail
