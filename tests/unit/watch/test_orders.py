"""Each command's request, in the API's words."""

import pytest

from gateway.watch.options import UsageError
from gateway.watch.orders import (
    Asked,
    Order,
    Target,
    change_mode,
    consult,
    hold,
    monitor,
    plain,
    stop_monitor,
    transfer,
)
from gateway.watch.rows import LegRow
from tests.unit.watch.boards import CUSTOMER, a_call

AGENT, SUE = LegRow("leg_a/1", "agent", "connected"), LegRow("leg_s", "supervisor", "connected")
CALL = a_call(legs=(CUSTOMER, AGENT, SUE))
BOB, EXPERT = Target(agent="bob"), Target(number="+16125550100")


@pytest.mark.parametrize(
    ("order", "asked"),
    [
        (plain("swap"), Asked("POST", "/swap")),
        (plain("merge"), Asked("POST", "/merge")),
        (plain("forward"), Asked("POST", "/forward")),
        (plain("end-consult"), Asked("DELETE", "/consult")),
        (plain("cancel-transfer"), Asked("DELETE", "/transfer")),
        (plain("hangup"), Asked("DELETE", "")),
        (consult(BOB, None, None, None), Asked("POST", "/consult", {"agent": "bob"})),
        (
            consult(EXPERT, "a refund", "end", 20.0),
            Asked("POST", "/consult", {"phoneNumber": "+16125550100", "note": "a refund", "onAgentHangup": "end",
                                       "timeout": 20.0}),
        ),
        (
            transfer(Target(sip_uri="sip:a@b"), None, 5.0),
            Asked("POST", "/transfer", {"sipUri": "sip:a@b", "timeout": 5.0}),
        ),
        (transfer(Target(contact="depot"), "urgent", None),
         Asked("POST", "/transfer", {"contact": "depot", "note": "urgent"})),
        (hold(None, on=True), Asked("POST", "/hold", {})),
        (hold("agent", on=False), Asked("POST", "/unhold", {"legId": "leg_a/1"})),
        (
            monitor(BOB, None, None, None),
            Asked("POST", "/legs", {"agent": "bob", "role": "supervisor", "mode": "monitor"}),
        ),
        (
            monitor(EXPERT, "whisper", "agent", None),
            Asked("POST", "/legs", {"phoneNumber": "+16125550100", "role": "supervisor", "mode": "whisper",
                                    "whisperTo": "leg_a/1"}),
        ),
        (change_mode(None, "barge", None), Asked("PATCH", "/legs/leg_s", {"mode": "barge"})),
        (change_mode("agent", None, "customer"), Asked("PATCH", "/legs/leg_a%2F1", {"whisperTo": "leg_c"})),
        (stop_monitor(None), Asked("DELETE", "/legs/leg_s")),
    ],
)  # fmt: skip
def test_what_is_asked(order: Order, asked: Asked) -> None:
    assert order.ask(CALL) == asked


def test_listening_needs_a_scope_of_its_own() -> None:
    assert "supervise" in monitor(BOB, None, None, None).scopes and "supervise" in stop_monitor(None).scopes
    assert plain("hangup").scopes == ("calls:read", "calls:control")


@pytest.mark.parametrize("target", [Target(), Target("bob", "+1612"), Target(sip_uri="sip:a@b", contact="depot")])
def test_exactly_one_is_called(target: Target) -> None:
    for ask in (lambda: consult(target, None, None, None), lambda: transfer(target, None, None)):
        with pytest.raises(UsageError, match="one of --agent, --number, --sip-uri, --contact"):
            ask()
