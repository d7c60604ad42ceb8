"""The table of control-api.md, "The agent's flow", as a function: what each command and each hang-up makes of a call.

Written from the design and not from gateway/, for tests/sip/test_consult_races.py and its kin.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal

COMMANDS: Final = (
    "consult", "swap", "merge", "forward", "end-consult", "transfer", "cancel-transfer", "hold", "unhold", "hangup",
)  # fmt: skip
HAPPENINGS: Final = ("customer-leaves", "agent-leaves", "consultant-leaves", "busy", "answer")
"""What people do at their phones; `busy` and `answer`: the consultant, or whoever the customer is transferred to."""

Who = Literal["agent", "consultant"]


@dataclass(frozen=True, slots=True)
class Where:
    """Where a call is. `agent` is whose phone has the agent's part now: after a forward it is the consultant's."""

    state: Literal["talking", "transferring", "agents-only", "bot", "ended"] = "talking"
    consult: Literal["none", "dialling", "consulting", "swapped", "merged"] = "none"
    agent: Who = "agent"
    held: bool = False
    passing_on: bool = False
    """The agent transfers the customer; `transferring` when the agent has left meanwhile."""
    forwarding: bool = False
    on_agent_hangup: Literal["forward", "end"] = "forward"
    returns: bool = True
    """`continueCall`: the customer goes back to the bot."""

    @property
    def shown(self) -> tuple[str, str, bool, bool]:
        """What the API must say: state, consultState, whether the customer is held and is being transferred."""
        return (*self.told, self.held, self.passing_on)

    @property
    def told(self) -> tuple[str, str]:
        """State and consultState; of a call without its customer, or without its agent, the first one counts."""
        return self.state, self.consult if self.state == "talking" else "-"


def alone(at: Where) -> Where:
    """The transfer has ended by the agent."""
    back = "bot" if at.returns else "ended"
    return replace(at, state=back, consult="none", held=False, passing_on=False, forwarding=False)


def _ended(at: Where) -> Where:
    return replace(at, state="ended", consult="none", held=False, passing_on=False, forwarding=False)


def _none(at: Where) -> Where:
    return replace(at, consult="none", forwarding=False)


def _forwarded(at: Where) -> Where:
    return replace(_none(at), state="talking", agent="consultant", held=False, passing_on=False)


def after(at: Where, step: str) -> Where | None:
    """What becomes of it; None for a command that is refused. Who is not there cannot leave: nothing happens."""
    if step in HAPPENINGS:
        return _left(at, step)
    if step == "hangup":
        return None if at.state == "ended" else _ended(at)
    if at.state == "agents-only":
        return _ended(at) if step == "end-consult" else None
    if step == "cancel-transfer":
        return _cancelled(at)
    return _ordered(at, step) if at.state == "talking" else None


def _cancelled(at: Where) -> Where | None:
    if at.state == "transferring":
        return alone(at)
    return replace(at, passing_on=False) if at.passing_on else None


def _ordered(at: Where, step: str) -> Where | None:
    free = at.consult == "none" and not at.passing_on
    apart = at.consult in ("consulting", "swapped")
    match step:
        case "consult" if free and at.agent == "agent":  # the one who would be asked is not the agent by now
            return replace(at, consult="dialling", held=False)
        case "transfer" if free:
            return replace(at, passing_on=True)
        case "swap" if apart:
            return replace(at, consult="swapped" if at.consult == "consulting" else "consulting")
        case "merge" if apart:
            return replace(at, consult="merged")
        case "forward" if at.consult == "dialling":
            return replace(at, forwarding=True)
        case "forward" if at.consult != "none":
            return _forwarded(at)
        case "end-consult" if at.consult != "none":
            return _none(at)
        case "hold" if at.consult in ("none", "merged") and not at.held:
            return replace(at, held=True)
        case "unhold" if at.consult in ("none", "merged") and at.held:
            return replace(at, held=False)
    return None


def _left(at: Where, step: str) -> Where:
    ringing = at.consult == "dialling" or at.passing_on
    match at.state, step:
        case "ended", _:
            return at
        case "bot" | "transferring", "customer-leaves":
            return _ended(at)
        case "talking", "customer-leaves":
            return _ended(at) if at.consult == "none" else replace(at, state="agents-only", held=False)
        case "agents-only", "agent-leaves":
            return _ended(at)
        case "agents-only", "consultant-leaves" if not ringing:
            return _ended(at)
        case "agents-only", "busy" if ringing:
            return _ended(at)
        case "agents-only", "answer" if ringing:
            return replace(at, consult="consulting")
        case "talking", "agent-leaves" if at.agent == "agent":
            return _agent_left(at)
        case "talking", "consultant-leaves":
            if at.agent == "consultant":
                return alone(at)
            return _none(at) if at.consult in ("consulting", "swapped", "merged") else at
        case "talking", "busy" if ringing:
            return replace(_none(at), passing_on=False)
        case "talking", "answer" if at.passing_on or at.forwarding:
            return _forwarded(at)
        case "talking", "answer" if ringing:
            return replace(at, consult="consulting")
        case "transferring", "busy":
            return alone(at)
        case "transferring", "answer":
            return _forwarded(at)
    return at


def _agent_left(at: Where) -> Where:
    if at.consult == "merged" or (at.consult in ("consulting", "swapped") and at.on_agent_hangup == "forward"):
        return _forwarded(at)
    if at.passing_on or (at.consult == "dialling" and at.on_agent_hangup == "forward"):
        return replace(at, state="transferring", consult="none", held=False, forwarding=False, passing_on=True)
    return alone(at)


def hearing(at: Where) -> dict[str, frozenset[str]]:
    """Who hears whom, of those who are there: the other two, `music`, `ringback`, `bot`."""
    other = at.agent
    match at.state, at.consult:
        case "ended", _:
            return {}
        case "bot", _:
            return {"customer": frozenset({"bot"})}
        case "transferring", _:
            return {"customer": frozenset({"ringback"})}
        case "agents-only", "dialling":
            return {"agent": frozenset({"ringback"})}
        case "agents-only", _:
            return {"agent": frozenset({"consultant"}), "consultant": frozenset({"agent"})}
        case _, "none":
            talk = (frozenset({"music"}),) * 2 if at.held else (frozenset({other}), frozenset({"customer"}))
            return {"customer": talk[0], other: talk[1]}
        case _, "dialling":
            return {"customer": frozenset({"music"}), other: frozenset({"ringback"})}
        case _, "swapped":
            return {
                "customer": frozenset({"agent"}), "agent": frozenset({"customer"}), "consultant": frozenset({"music"}),
            }  # fmt: skip
        case _, "merged" if not at.held:
            return {
                "customer": frozenset({"agent", "consultant"}),
                "agent": frozenset({"customer", "consultant"}),
                "consultant": frozenset({"customer", "agent"}),
            }
        case _:
            return {
                "customer": frozenset({"music"}),
                "agent": frozenset({"consultant"}),
                "consultant": frozenset({"agent"}),
            }


def in_turn(at: Where, *steps: str) -> tuple[tuple[bool, ...], Where]:
    """Which of them were taken, one after the other, and where that leads."""
    taken = []
    for step in steps:
        then = after(at, step)
        taken.append(then is not None)
        at = then or at
    return tuple(taken), at
