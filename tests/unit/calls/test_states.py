"""The state tables."""

import pytest

from gateway.calls.errors import IllegalTransition
from gateway.calls.states import (
    CALL_TRANSITIONS,
    LEG_TRANSITIONS,
    REFER_TRANSITIONS,
    TRANSFER_TRANSITIONS,
    CallState,
    CallTrigger,
    LegState,
    LegTrigger,
    TransferState,
    advance,
)


def test_an_illegal_step_is_one_sentence_that_names_machine_state_and_trigger():
    with pytest.raises(IllegalTransition, match="CallState in state 'ended' cannot take 'customer connected'"):
        advance(CALL_TRANSITIONS, CallState.ENDED, CallTrigger.CONNECTED)


@pytest.mark.parametrize("table,starts,ends", [
    (CALL_TRANSITIONS, {CallState.OFFERED}, {CallState.ENDED}),
    (LEG_TRANSITIONS, {LegState.OFFERED, LegState.PLANNED, LegState.DIALLING}, {LegState.ENDED}),
    (
        TRANSFER_TRANSITIONS, {TransferState.REQUESTED},
        {TransferState.ENDED, TransferState.FAILED, TransferState.ABANDONED},
    ),
    (
        REFER_TRANSITIONS, {TransferState.REQUESTED},
        {TransferState.ENDED, TransferState.FAILED, TransferState.ABANDONED},
    ),
])  # fmt: skip
def test_every_state_can_be_reached_and_left_for_the_end(table, starts, ends):
    reached, before = set(starts), set()
    while reached != before:
        before = set(reached)
        reached |= {b for (a, _), b in table.items() if a in reached}
    states = {state for (a, _), b in table.items() for state in (a, b)}
    assert reached == states
    assert {a for a, _ in table} == states - ends


@pytest.mark.parametrize("tables", [(CALL_TRANSITIONS,), (LEG_TRANSITIONS,), (TRANSFER_TRANSITIONS, REFER_TRANSITIONS)])
def test_no_state_is_in_no_table(tables):
    states = {state for table in tables for (a, _), b in table.items() for state in (a, b)}
    assert states == set(type(min(states)))


def test_every_live_leg_can_go_at_every_moment():
    for state in set(LegState) - {LegState.ENDED}:
        assert advance(LEG_TRANSITIONS, state, LegTrigger.GONE) is LegState.ENDED
