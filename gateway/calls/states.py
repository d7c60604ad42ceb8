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
    """The customer's INVITE is here: 100 sent, perhaps 180; no 200 yet. The customer hears its own ringback. Of a call
    that we place: our INVITE to the customer is out, or first the one to the agent for whom it is; no 200 of the
    customer yet. An agent who is there hears ringback, or the early media of the customer's side."""
    BOT = "bot"
    """200 and ACK are exchanged, media flows; the customer talks with the bot."""
    TRANSFERRING = "transferring"
    """INVITEs to people are out, or one has answered and is briefed; the customer hears ringback; the bot is parked."""
    TALKING = "talking"
    """The customer and people hear each other; the bot is parked."""
    AGENTS_ONLY = "agents-only"
    """The customer has left, people of a consult still talk; the bot was told that the call is over."""
    ENDED = "ended"
    """No leg is left: BYE or a final failure went one way or the other. Nothing but the `hangup` event follows."""


class LegState(StrEnum):
    """Where one SIP dialog of ours is. A leg that called us begins as `offered`, one that we call as `dialling`, the
    customer's of a call that we place as `planned`."""

    PLANNED = "planned"
    """No INVITE yet: the agent for whom the customer is to be called is called first."""

    OFFERED = "offered"
    """INVITE received, 100 sent."""
    DIALLING = "dialling"
    """INVITE sent; nothing but 100 came back."""
    RINGING = "ringing"
    """180 sent, or a provisional response received."""
    ANSWERING = "answering"
    """200 sent and retransmitted, ACK not here yet."""
    CONNECTED = "connected"
    """ACK received (a late offer's answer was in it), or sent: both directions of media are agreed."""
    ENDING = "ending"
    """We sent BYE, CANCEL or a final failure and wait for the answer or the ACK."""
    ENDED = "ended"
    """The dialog is gone."""


class CallTrigger(StrEnum):
    """What moves a call."""

    CONNECTED = "customer connected"
    TRANSFER = "transfer begins"
    BRIDGED = "a person is bridged"
    RETURNED = "back to the bot"
    PASSED_ON = "the person left, the next one is called"
    CUSTOMER_LEFT = "customer left, people go on"
    LEFT = "last leg ended"


class LegTrigger(StrEnum):
    """What moves a leg."""

    RING = "send 180"
    ANSWER = "send 200"
    ACK = "ACK received"
    DIAL = "send INVITE"
    PROVISIONAL = "1xx received"
    ANSWERED = "200 received, ACK sent"
    RELEASE = "send BYE, CANCEL or a failure"
    GONE = "dialog ended"


CALL_TRANSITIONS: Mapping[tuple[CallState, CallTrigger], CallState] = {
    (CallState.OFFERED, CallTrigger.CONNECTED): CallState.BOT,
    (CallState.OFFERED, CallTrigger.BRIDGED): CallState.TALKING,
    (CallState.OFFERED, CallTrigger.LEFT): CallState.ENDED,
    (CallState.BOT, CallTrigger.TRANSFER): CallState.TRANSFERRING,
    (CallState.BOT, CallTrigger.LEFT): CallState.ENDED,
    (CallState.TRANSFERRING, CallTrigger.BRIDGED): CallState.TALKING,
    (CallState.TRANSFERRING, CallTrigger.RETURNED): CallState.BOT,
    (CallState.TRANSFERRING, CallTrigger.LEFT): CallState.ENDED,
    (CallState.TALKING, CallTrigger.RETURNED): CallState.BOT,
    (CallState.TALKING, CallTrigger.PASSED_ON): CallState.TRANSFERRING,
    (CallState.TALKING, CallTrigger.LEFT): CallState.ENDED,
    (CallState.TALKING, CallTrigger.CUSTOMER_LEFT): CallState.AGENTS_ONLY,
    (CallState.AGENTS_ONLY, CallTrigger.LEFT): CallState.ENDED,
}

LEG_TRANSITIONS: Mapping[tuple[LegState, LegTrigger], LegState] = {
    (LegState.OFFERED, LegTrigger.RING): LegState.RINGING,
    (LegState.OFFERED, LegTrigger.ANSWER): LegState.ANSWERING,
    (LegState.OFFERED, LegTrigger.RELEASE): LegState.ENDING,
    (LegState.OFFERED, LegTrigger.GONE): LegState.ENDED,
    (LegState.PLANNED, LegTrigger.DIAL): LegState.DIALLING,
    (LegState.PLANNED, LegTrigger.GONE): LegState.ENDED,
    (LegState.DIALLING, LegTrigger.PROVISIONAL): LegState.RINGING,
    (LegState.DIALLING, LegTrigger.ANSWERED): LegState.CONNECTED,
    (LegState.DIALLING, LegTrigger.RELEASE): LegState.ENDING,
    (LegState.DIALLING, LegTrigger.GONE): LegState.ENDED,
    (LegState.RINGING, LegTrigger.ANSWER): LegState.ANSWERING,
    (LegState.RINGING, LegTrigger.PROVISIONAL): LegState.RINGING,
    (LegState.RINGING, LegTrigger.ANSWERED): LegState.CONNECTED,
    (LegState.RINGING, LegTrigger.RELEASE): LegState.ENDING,
    (LegState.RINGING, LegTrigger.GONE): LegState.ENDED,
    (LegState.ANSWERING, LegTrigger.ACK): LegState.CONNECTED,
    (LegState.ANSWERING, LegTrigger.RELEASE): LegState.ENDING,
    (LegState.ANSWERING, LegTrigger.GONE): LegState.ENDED,
    (LegState.CONNECTED, LegTrigger.RELEASE): LegState.ENDING,
    (LegState.CONNECTED, LegTrigger.GONE): LegState.ENDED,
    (LegState.ENDING, LegTrigger.GONE): LegState.ENDED,
}


class TransferState(StrEnum):
    """Where a transfer is (transfer.md, States); by REFER it is only `requested`, `referring`, `accepted` and over."""

    REQUESTED = "requested"
    """It is asked for, and planned: no INVITE yet. Earlier replies have been played out."""
    DIALLING = "dialling"
    """INVITE sent to the target, or to all of them at once; the customer hears ringback."""
    RINGING = "ringing"
    """One of them sent a provisional response."""
    ANSWERED = "answered"
    """A target's 200 is here; digits go to what stands behind it, if there are some."""
    ANNOUNCING = "announcing"
    """The target hears the briefing; the customer still hears ringback."""
    ACCEPTING = "accepting"
    """The target was asked to press a key."""
    BRIDGED = "bridged"
    """Target and customer hear each other."""
    REFERRING = "referring"
    """REFER sent on the customer's leg; the customer hears ringback."""
    ACCEPTED = "accepted"
    """The peer's 2xx to it is here: it calls the target itself, and tells in NOTIFYs what comes of it."""
    ENDED = "ended"
    """It was bridged, and is over."""
    FAILED = "failed"
    """No target was bridged; the customer is still there."""
    ABANDONED = "abandoned"
    """The customer hung up before it was bridged: CANCEL or BYE to all targets."""


class TransferTrigger(StrEnum):
    """What moves a transfer."""

    DIAL = "INVITE sent"
    PROVISIONAL = "1xx received"
    ANSWERED = "200 received"
    ANNOUNCE = "briefing begins"
    ASK = "key asked for"
    BRIDGE = "target and customer bridged"
    NEXT = "this target failed, another one is left"
    FAIL = "no target is left"
    ABANDON = "customer hung up"
    END = "target or customer left"
    REFER = "REFER sent"
    ACCEPT = "2xx received"
    TRANSFERRED = "final NOTIFY 2xx, or BYE"


class ConsultState(StrEnum):
    """Where a consult is (control-api.md, "The agent's flow"); in brackets who is in which room."""

    NONE = "none"
    """[main: customer, agent] Nobody is asked."""
    DIALLING = "dialling"
    """[main: customer · consult: agent] INVITE sent to the consultant; the agent hears ringback."""
    CONSULTING = "consulting"
    """[main: customer · consult: agent, consultant]"""
    SWAPPED = "swapped"
    """[main: customer, agent · consult: consultant]"""
    MERGED = "merged"
    """[main: all three]"""


class ConsultTrigger(StrEnum):
    """What moves a consult."""

    DIAL = "INVITE sent to the consultant"
    ANSWERED = "200 received from the consultant"
    SWAP = "swap"
    MERGE = "merge"
    OVER = "forwarded, ended, or somebody left"


CONSULT_TRANSITIONS: Mapping[tuple[ConsultState, ConsultTrigger], ConsultState] = {
    (ConsultState.NONE, ConsultTrigger.DIAL): ConsultState.DIALLING,
    (ConsultState.DIALLING, ConsultTrigger.ANSWERED): ConsultState.CONSULTING,
    (ConsultState.CONSULTING, ConsultTrigger.SWAP): ConsultState.SWAPPED,
    (ConsultState.SWAPPED, ConsultTrigger.SWAP): ConsultState.CONSULTING,
    (ConsultState.CONSULTING, ConsultTrigger.MERGE): ConsultState.MERGED,
    (ConsultState.SWAPPED, ConsultTrigger.MERGE): ConsultState.MERGED,
    **{(state, ConsultTrigger.OVER): ConsultState.NONE for state in ConsultState if state is not ConsultState.NONE},
}


S = TypeVar("S", bound=StrEnum)
T = TypeVar("T", bound=StrEnum)


_TRYING = (TransferState.REQUESTED, TransferState.DIALLING, TransferState.RINGING)
_SCREENING = (TransferState.ANSWERED, TransferState.ANNOUNCING, TransferState.ACCEPTING)
TRANSFER_TRANSITIONS: Mapping[tuple[TransferState, TransferTrigger], TransferState] = {
    (TransferState.REQUESTED, TransferTrigger.DIAL): TransferState.DIALLING,
    (TransferState.DIALLING, TransferTrigger.PROVISIONAL): TransferState.RINGING,
    (TransferState.DIALLING, TransferTrigger.ANSWERED): TransferState.ANSWERED,
    (TransferState.RINGING, TransferTrigger.ANSWERED): TransferState.ANSWERED,
    (TransferState.ANSWERED, TransferTrigger.ANNOUNCE): TransferState.ANNOUNCING,
    (TransferState.ANSWERED, TransferTrigger.ASK): TransferState.ACCEPTING,
    (TransferState.ANNOUNCING, TransferTrigger.ASK): TransferState.ACCEPTING,
    **{(state, TransferTrigger.NEXT): TransferState.DIALLING for state in (*_TRYING[1:], *_SCREENING)},
    **{(state, TransferTrigger.BRIDGE): TransferState.BRIDGED for state in _SCREENING},
    **{(state, TransferTrigger.FAIL): TransferState.FAILED for state in (*_TRYING, *_SCREENING)},
    **{(state, TransferTrigger.ABANDON): TransferState.ABANDONED for state in (*_TRYING, *_SCREENING)},
    (TransferState.BRIDGED, TransferTrigger.END): TransferState.ENDED,
}

_REFERRING = (TransferState.REFERRING, TransferState.ACCEPTED)
REFER_TRANSITIONS: Mapping[tuple[TransferState, TransferTrigger], TransferState] = {
    **{(state, TransferTrigger.REFER): TransferState.REFERRING for state in (TransferState.REQUESTED, *_REFERRING)},
    (TransferState.REFERRING, TransferTrigger.ACCEPT): TransferState.ACCEPTED,
    (TransferState.ACCEPTED, TransferTrigger.TRANSFERRED): TransferState.ENDED,
    **{(state, TransferTrigger.FAIL): TransferState.FAILED for state in (TransferState.REQUESTED, *_REFERRING)},
    **{(state, TransferTrigger.ABANDON): TransferState.ABANDONED for state in (TransferState.REQUESTED, *_REFERRING)},
}


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
        (
            "Transfer",
            TransferState.REQUESTED.value,
            [(a.value, t.value, b.value) for (a, t), b in TRANSFER_TRANSITIONS.items()],
        ),
        (
            "Refer",
            TransferState.REQUESTED.value,
            [(a.value, t.value, b.value) for (a, t), b in REFER_TRANSITIONS.items()],
        ),
        (
            "Consult",
            ConsultState.NONE.value,
            [(a.value, t.value, b.value) for (a, t), b in CONSULT_TRANSITIONS.items()],
        ),
    ):
        lines += [f"    state {name} {{", f"        [*] --> {name.lower()}_{start}"]
        for state in dict.fromkeys(s for a, _, b in table for s in (a, b)):
            lines.append(f'        state "{state}" as {name.lower()}_{state}')
        lines += [f"        {name.lower()}_{a} --> {name.lower()}_{b}: {t}" for a, t, b in table]
        ends = {b for _, _, b in table} - {a for a, _, _ in table}
        lines += [*(f"        {name.lower()}_{end} --> [*]" for end in sorted(ends)), "    }"]
    return "\n".join(lines)
