"""The states of a call and of a leg, as tables; read by control, the README's diagram and the docs.

Rules: a pair that is not in a table is illegal and raises IllegalTransition; nobody sets a state but `advance`.
Every state is told in SIP terms, for both ends.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from gateway.calls.errors import IllegalTransition


class CallState(StrEnum):
    """Where a call is."""

    OFFERED = "offered"
    """The customer's INVITE is here: 100 sent, perhaps 180; no 200 yet. The customer hears its own ringback."""
    BOT = "bot"
    """200 and ACK are exchanged, media flows; the customer talks with the bot."""
    ENDED = "ended"
    """No leg is left: BYE or a final failure went one way or the other. Nothing but the `hangup` event follows."""


class LegState(StrEnum):
    """Where one SIP dialog of ours is."""

    OFFERED = "offered"
    """INVITE received, 100 sent."""
    RINGING = "ringing"
    """180 sent."""
    ANSWERING = "answering"
    """200 sent and retransmitted, ACK not here yet."""
    CONNECTED = "connected"
    """ACK received (a late offer's answer was in it): both directions of media are agreed."""
    ENDING = "ending"
    """We sent BYE or a final failure and wait for the answer or the ACK."""
    ENDED = "ended"
    """The dialog is gone."""


class CallTrigger(StrEnum):
    """What moves a call."""

    CONNECTED = "customer connected"
    LEFT = "customer's leg ended"


class LegTrigger(StrEnum):
    """What moves a leg."""

    RING = "send 180"
    ANSWER = "send 200"
    ACK = "ACK received"
    RELEASE = "send BYE or a failure"
    GONE = "dialog ended"


CALL_TRANSITIONS: Mapping[tuple[CallState, CallTrigger], CallState] = {
    (CallState.OFFERED, CallTrigger.CONNECTED): CallState.BOT,
    (CallState.OFFERED, CallTrigger.LEFT): CallState.ENDED,
    (CallState.BOT, CallTrigger.LEFT): CallState.ENDED,
}

LEG_TRANSITIONS: Mapping[tuple[LegState, LegTrigger], LegState] = {
    (LegState.OFFERED, LegTrigger.RING): LegState.RINGING,
    (LegState.OFFERED, LegTrigger.ANSWER): LegState.ANSWERING,
    (LegState.OFFERED, LegTrigger.RELEASE): LegState.ENDING,
    (LegState.OFFERED, LegTrigger.GONE): LegState.ENDED,
    (LegState.RINGING, LegTrigger.ANSWER): LegState.ANSWERING,
    (LegState.RINGING, LegTrigger.RELEASE): LegState.ENDING,
    (LegState.RINGING, LegTrigger.GONE): LegState.ENDED,
    (LegState.ANSWERING, LegTrigger.ACK): LegState.CONNECTED,
    (LegState.ANSWERING, LegTrigger.RELEASE): LegState.ENDING,
    (LegState.ANSWERING, LegTrigger.GONE): LegState.ENDED,
    (LegState.CONNECTED, LegTrigger.RELEASE): LegState.ENDING,
    (LegState.CONNECTED, LegTrigger.GONE): LegState.ENDED,
    (LegState.ENDING, LegTrigger.GONE): LegState.ENDED,
}

S = TypeVar("S", bound=StrEnum)
T = TypeVar("T", bound=StrEnum)


def advance(table: Mapping[tuple[S, T], S], state: S, trigger: T) -> S:
    """The next state; IllegalTransition if the table has no such pair."""
    try:
        return table[state, trigger]
    except KeyError:
        raise IllegalTransition(type(state).__name__, state.value, trigger.value) from None


def diagram() -> str:
    """The state diagram of README.md, as Mermaid, generated from the tables."""
    lines = ["stateDiagram-v2"]
    for name, start, table in (
        ("Call", CallState.OFFERED.value, [(a.value, t.value, b.value) for (a, t), b in CALL_TRANSITIONS.items()]),
        ("Leg", LegState.OFFERED.value, [(a.value, t.value, b.value) for (a, t), b in LEG_TRANSITIONS.items()]),
    ):
        lines += [f"    state {name} {{", f"        [*] --> {name.lower()}_{start}"]
        for state in dict.fromkeys(s for a, _, b in table for s in (a, b)):
            lines.append(f'        state "{state}" as {name.lower()}_{state}')
        lines += [f"        {name.lower()}_{a} --> {name.lower()}_{b}: {t}" for a, t, b in table]
        lines += [f"        {name.lower()}_ended --> [*]", "    }"]
    return "\n".join(lines)
