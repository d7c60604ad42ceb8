"""Whose order it is, and what that agent may do; asked by consult.py, ending.py and hops.py (dialplan.md, `may`).

Legs that are no agents of the plan are bound by the destination policy alone, and so is what nobody in particular asks
through the API.
"""

from collections.abc import Mapping
from typing import Final

from gateway.calls.allowed import CommandWord
from gateway.calls.commands import TurnDown
from gateway.calls.events import Event, HangupRequested, TransferCancelled, TransferRequested
from gateway.calls.model import Call, Leg, LegId
from gateway.calls.orders import AddLeg, ChangeLeg, Hold, Ordered, PressKeys, ReleaseLeg
from gateway.calls.outbound import NoWay, Outbound, Right, TransferReason
from gateway.calls.refers import ReferTarget
from gateway.calls.states import LegState
from gateway.calls.switch import Switch

_WHAT: Final[dict[Right, str]] = {
    "consult": "consult somebody",
    "forward": "leave the customer with somebody else",
    "external": "reach anybody but agents of the plan",
}


def is_theirs(event: Event, leg: Leg | None, legs: Mapping[LegId, Leg]) -> bool:
    """Whether the agent for whom a key that is bound to them asks this is the one who acts, by this `leg`, or asks it
    of their own one; so is all that nobody in particular asks, and what is not asked."""
    match event:
        case Ordered(order=Hold() | ChangeLeg() | ReleaseLeg() | PressKeys() as order, agent=str(agent)):
            own = legs.get(order.leg) if order.leg is not None else None
            return _speaks(agent, own) or _speaks(agent, leg)
        case (
            Ordered(agent=str(agent)) | TransferRequested(agent=str(agent))
            | TransferCancelled(agent=str(agent)) | HangupRequested(agent=str(agent))
        ):  # fmt: skip
            return _speaks(agent, leg)
        case _:
            return True


def _speaks(agent: str, leg: Leg | None) -> bool:
    return leg is not None and leg.agent == agent and leg.state is LegState.CONNECTED


def lacks(leg: Leg | None, right: Right, outbound: Outbound) -> str | None:
    """Why the agent who speaks through this leg may not do that, as a sentence; None: they may."""
    agent = leg.agent if leg is not None else None
    if agent is None or outbound.may(agent, right):
        return None
    return f"agents.{agent}.may has no {right}: {agent} may not {_WHAT[right]}"


def lacks_way(leg: Leg | None, switch: Switch, outbound: Outbound) -> str | None:
    """The same, of calling these."""
    targets = switch.targets or ()
    inside = switch.agent is not None or (targets and all(target.agent is not None for target in targets))
    return None if inside else lacks(leg, "external", outbound)


def beyond(event: TransferRequested | Ordered, leg: Leg | None, outbound: Outbound) -> list[TurnDown]:
    """What keeps the agent for whom this is asked from calling somebody; empty: nothing, or nobody is called."""
    match event:
        case TransferRequested(switch=switch, agent=str()):
            what: CommandWord = "transfer"
        case Ordered(order=AddLeg(target=switch), agent=str()):
            what = "legs"
        case _:
            return []
    return refused(what, lacks_way(leg, switch, outbound))


def consult_refused(leg: Leg | None, switch: Switch, outbound: Outbound) -> TurnDown | None:
    """Why the agent who speaks through this leg does not get this consult: no right to it, or nobody is free."""
    lacking = lacks(leg, "consult", outbound) or lacks_way(leg, switch, outbound)
    if lacking is not None:
        return TurnDown("consult", "forbidden", lacking)
    engaged = outbound.engaged(switch.agent) if switch.agent is not None else None
    return TurnDown("consult", "agent-busy", f"agent: {switch.agent} {engaged}") if engaged is not None else None


def refused(what: CommandWord, lacking: str | None) -> list[TurnDown]:
    """In the words of a call's answer; nothing if nothing is lacking."""
    return [TurnDown(what, "forbidden", lacking)] if lacking is not None else []


def referred(outbound: Outbound, call: Call, leg: Leg, trunk: str, target: ReferTarget) -> Switch | NoWay:
    """What a REFER on this leg asks for (`Outbound.referred`), if whoever speaks through it may have that."""
    switch = outbound.referred(call, trunk, target)
    lacking = None if isinstance(switch, NoWay) else lacks_way(leg, switch, outbound)
    return switch if lacking is None else NoWay(TransferReason.BLOCKED, lacking)
