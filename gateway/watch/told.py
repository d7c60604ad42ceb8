"""What a command says of the call afterwards, or why it was refused, in a line or two; pure, for command.py."""

from collections.abc import Sequence
from typing import Final

from gateway.watch.rows import CallRow
from gateway.watch.wire import Fields, text
from gateway.watch.words import Numbers, clock, names, passed, scene

_COMMANDS: Final = (
    "consult", "swap", "merge", "forward", "end-consult", "transfer", "cancel-transfer", "hold", "unhold", "monitor",
    "hangup",
)  # fmt: skip
"""Of the API's command words those that the command line has; `legs` is `monitor` there."""


def now(row: CallRow, allowed: Sequence[str]) -> str:
    """The call as it is now: where it is and what it takes, then who is where and hears whom."""
    if row.legs and all(leg.state == "ending" for leg in row.legs):
        return f"{row.call_id} is ending\n  everybody is being hung up"
    following = _commands(allowed)
    ahead = f"; next: {', '.join(following)}" if following else ""
    return f"{row.call_id} is {_state(row.state, row.consult)}{ahead}" + _scene(row)


def called(row: CallRow, leg_id: str) -> str:
    """A supervisor who is called: how to change what they do."""
    name = names(row.legs).get(leg_id, leg_id)
    return f"{name} is called; then: switchhook monitor {row.call_id} --leg {leg_id} --mode whisper, or --end"


def failed_at_once(call_id: str, what: str) -> str:
    """A consult or transfer that the API took, and whom nobody can call: it was over before the answer came."""
    return f"{call_id}: the {what} failed at once; switchhook watch --once --call {call_id} shows why"


def listed(row: CallRow, at: float, numbers: Numbers) -> str:
    """A live call in a list, as it is `at` this time: a line, and who is where and hears whom."""
    since = f"since {clock(row.started_at)} ({passed(at - row.started_at)})"
    return f"{row.call_id}  {_state(row.state, row.consult)}  {numbers.both(row)}  {since}" + _scene(row)


def refused(call_id: str, problem: Fields, numbers: Numbers) -> str:
    """Why the API did not do it, and what can be done instead."""
    detail, allowed = numbers.within(text(problem, "detail")), problem.get("allowed")
    if not isinstance(allowed, list):
        return f"{call_id}: {detail or text(problem, 'title') or 'refused without a word why'}"
    state, consult = text(problem, "state"), text(problem, "consultState") or "none"
    if state == "ended":
        return f"{call_id} is over"
    takes = ", ".join(_commands([str(word) for word in allowed]))
    return f"{call_id} is {state} (consult: {consult}); it takes now: {takes or 'nothing, as it is ending'}"


def _state(state: str, consult: str) -> str:
    return f"{state}, consult {consult}" if consult != "none" else state


def _scene(row: CallRow) -> str:
    return f"\n  {scene(row)}" if row.legs else ""


def _commands(allowed: Sequence[str]) -> list[str]:
    words = ["monitor" if word == "legs" else word for word in allowed]
    return [word for word in words if word in _COMMANDS]
