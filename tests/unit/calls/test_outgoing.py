"""A call that somebody wants placed, as it comes over the API; its errors are tests/api/test_originate.py's."""

import json

import pytest

from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.fields import MAX_BODY
from gateway.calls.outgoing import parse_outgoing
from gateway.calls.switch import Switch


def test_all_that_can_be_said_of_the_customer() -> None:
    of_customer = {"headers": {"X-Why": "parcel"}, "userToUser": [{"data": "4142"}, "43"], "timeout": "12",
                   "trunk": "acme", "callerId": {"number": "+12"}, "data": {"a": [1]}}  # fmt: skip
    given = {**of_customer, "sipUri": "sip:ann@192.0.2.1", "agent": "ann", "channel": None, "to": None}
    wanted = parse_outgoing(json.dumps(given).encode())
    assert (wanted.agent, wanted.channel, wanted.timeout_s) == ("ann", None, 12.0)
    assert wanted.customer() == Switch.model_validate({**of_customer, "sipUri": "sip:ann@192.0.2.1"})


@pytest.mark.parametrize(("key", "field"), [("to", "phoneNumber"), ("contact", "contact"), ("sipUri", "sipUri")])
def test_whom_to_call(key: str, field: str) -> None:
    wanted = parse_outgoing(json.dumps({key: "one", "channel": "reception"}).encode())
    assert wanted.customer() == Switch.model_validate({field: "one"})
    assert (wanted.caller_id, wanted.timeout_s, wanted.data) == ("bot", 30.0, {})


@pytest.mark.parametrize(
    ("body", "kind", "detail"),
    [
        (b"[]", BotErrorKind.MALFORMED, "not a JSON object such as "),
        (b"{", BotErrorKind.MALFORMED, "not JSON: "),
        (b"{}", BotErrorKind.REFUSED, "call: give exactly one of to, sipUri and contact"),
        (
            b'{"to": "1", "agent": "a", "userToUser": {"data": "41", "purpos": ""}}',
            BotErrorKind.REFUSED,
            "userToUser.purpos: unknown field; did you mean purpose?",
        ),
        (b" " * (MAX_BODY + 1), BotErrorKind.TOO_LARGE, "the call has more than 64 KiB"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, kind: BotErrorKind, detail: str) -> None:
    with pytest.raises(BotError) as refused:
        parse_outgoing(body)
    assert refused.value.kind is kind and refused.value.detail.startswith(detail), refused.value.detail
