"""What a Refer-To that came on a trunk asks us to dial; called by engine/ways.py for a REFER that we carry out.

Design: transfer.md, "REFER and Replaces that arrive". Pure. Whether the answer may be dialled is asked of outbound.py
afterwards, as of every target. Sentences mask numbers: they are logged.
"""

from __future__ import annotations

from datetime import datetime

from gateway.dialplan.destinations import on_number
from gateway.dialplan.numbers import is_extension, mask, matches_any, normalise, without_marks
from gateway.dialplan.outbound import NoWay, Wanted
from gateway.dialplan.routing import Refuse, ToAgent, inbound
from gateway.dialplan.schema import Dialplan, Target
from gateway.dialplan.sip_uris import parse_sip_uri


def elsewhere(trunk: str, uri: str) -> Wanted | NoWay:
    """Of a Refer-To with another host than ours: that URI, on the trunk of whoever refers. Raises nothing."""
    try:
        parse_sip_uri(uri)
    except ValueError as error:
        return NoWay("invalid-request", f"Refer-To: {error}")
    return Wanted(sip_uri=uri, trunk=trunk)


def dialled_here(plan: Dialplan, trunk: str, user: str, from_: str, at: datetime) -> Wanted | NoWay:
    """Of a Refer-To with our own host: what dialling `user` on this trunk would mean. Raises nothing but ValueError
    when `at` has no time zone.

    An agent, if a route says so; else an extension of this trunk, or an E.164 number by whatever trunk the call uses.
    Not what a route of the plan takes: a call to a number of ours would only come back to us. A route for `*` takes no
    number that may be dialled, as it says nothing of it.
    """
    decision = inbound(plan, trunk, user, from_, at)
    if isinstance(decision, ToAgent):
        return Wanted(agent=decision.agent)
    known = plan.trunks.get(trunk)
    plain = without_marks(user.split(";")[0])  # RFC 3966 §5.1: what follows are parameters
    number = plain if is_extension(plain) else normalise(plain, known.region if known is not None else None)
    if number is None:
        return NoWay("invalid-request", "Refer-To: is no agent's number here, no extension and no E.164 number")
    taken = _taken(plan, trunk if is_extension(number) else None, (user, number, number.removeprefix("+")))
    if taken is not None:
        why = f"is ours ({taken}), and only agents can be referred to here"
        return NoWay("invalid-request", f"Refer-To: {mask(number)} {why}")
    by = plan.routes[decision.route] if decision.route is not None else None
    if isinstance(decision, Refuse):
        if by is not None and by.to != "*":
            return NoWay("blocked", f"Refer-To: {mask(number)} is refused by the plan (routes[{decision.route}])")
    elif not _may_be_dialled(plan, trunk, number):
        why = f"goes to a bot or a prompt (routes[{decision.route}]), and only agents can be referred to here"
        return NoWay("invalid-request", f"Refer-To: {mask(number)} {why}")
    return Wanted(phone_number=number, trunk=trunk if is_extension(number) else None)


def _taken(plan: Dialplan, trunk: str | None, texts: tuple[str, ...]) -> str | None:
    """The route that names this number as one of ours, at any hour; of all trunks, or of this one."""
    for index, route in enumerate(plan.routes):
        elsewhere_only = trunk is not None and route.trunk not in (None, trunk)
        if route.to == "*" or elsewhere_only or not matches_any(route.to, texts):
            continue
        if _takes_calls(route) or (route.otherwise is not None and _takes_calls(route.otherwise)):
            return f"routes[{index}]"
    return None


def _takes_calls(target: Target) -> bool:
    return target.reject is None


def _may_be_dialled(plan: Dialplan, trunk: str, number: str) -> bool:
    if is_extension(number):
        known = plan.trunks.get(trunk)
        return known is not None and known.extensions
    return on_number(plan.destinations, number).allowed
