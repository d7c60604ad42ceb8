"""Which commands a call takes now, in the API's words (control-api.md, "States"); asked by the API and by control."""

from typing import Literal, TypeAlias

from gateway.calls.model import Call
from gateway.calls.states import CallState, ConsultState, LegState

CommandWord: TypeAlias = Literal[
    "consult", "swap", "merge", "forward", "end-consult", "transfer", "cancel-transfer", "hold", "unhold", "legs",
    "play", "hangup",
]  # fmt: skip
"""Of those words of control-api.md that are built."""

_OF_CONSULT: dict[ConsultState, tuple[CommandWord, ...]] = {
    ConsultState.NONE: ("consult",),
    ConsultState.DIALLING: ("forward", "end-consult"),
    ConsultState.CONSULTING: ("swap", "merge", "forward", "end-consult"),
    ConsultState.SWAPPED: ("swap", "merge", "forward", "end-consult"),
    ConsultState.MERGED: ("forward", "end-consult"),
}
_ENDS: dict[ConsultState, tuple[CommandWord, ...]] = {
    state: ("end-consult",) if state is not ConsultState.NONE else () for state in ConsultState
}
_GONE = frozenset({LegState.ENDING, LegState.ENDED})


def allowed(call: Call) -> list[CommandWord]:
    """The command words that this call takes; none for one that is over or about to be."""
    if call.state is CallState.ENDED:
        return []
    if call.state is CallState.AGENTS_ONLY:
        up = any(leg.state is LegState.CONNECTED for leg in call.others)
        return [*_ENDS[call.consult], "legs", "play", "hangup"] if up else []
    if call.customer.state in _GONE:
        return []
    words: list[CommandWord] = []
    if call.state is CallState.TALKING and not call.passing_on:
        words += _OF_CONSULT[call.consult]
    if call.transferable:
        words.append("transfer")
    if call.state is CallState.TRANSFERRING or (call.passing_on and call.consult is ConsultState.NONE):
        words.append("cancel-transfer")
    if call.state is CallState.TALKING and call.consult in (ConsultState.NONE, ConsultState.MERGED):
        words.append("unhold" if call.customer.held else "hold")
    if call.state is not CallState.OFFERED and not call.closing:
        words.append("legs")
    if call.state is CallState.TALKING and not call.passing_on:
        words.append("play")
    return [*words, "hangup"]
