"""The toll-fraud policy: which numbers and hosts the plan lets us dial; asked by outbound.py and checks.py."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.dialplan.numbers import is_extension, normalise, without_marks
from gateway.dialplan.people import Destinations
from gateway.dialplan.schema import Dialplan, Trunk
from gateway.dialplan.sip_uris import SipUri, parse_sip_uri


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it may be dialled, and which line of the plan says so (part of a sentence, without the number)."""

    allowed: bool
    why: str


def denied_by(policy: Destinations, number: str) -> str | None:
    """The prefix in `deny` that an E.164 number begins with, or None."""
    return next((prefix for prefix in policy.deny if number.startswith(prefix)), None)


def on_number(policy: Destinations, number: str) -> Verdict:
    """Whether an E.164 number may be dialled: by default none may; any `deny` wins, how short or long it is."""
    denied = denied_by(policy, number)
    if denied is not None:
        return Verdict(False, f'destinations.deny has "{denied}"')
    allowed = next((prefix for prefix in policy.allow if number.startswith(prefix)), None)
    if allowed is None:
        return Verdict(False, "destinations.allow has no prefix of it")
    return Verdict(True, f'destinations.allow has "{allowed}", and no deny covers it')


def on_host(plan: Dialplan, trunk_name: str, trunk: Trunk, host: str) -> Verdict:
    """Whether a SIP URI may name this host (lower case, without port): one of `destinations.hosts`, the trunk's own,
    or that of an agent."""
    if host in plan.destinations.hosts:
        return Verdict(True, f'destinations.hosts has "{host}"')
    if host == trunk.host.name:
        return Verdict(True, f'"{host}" is the host of trunk "{trunk_name}"')
    for name, agent in plan.agents.items():
        if host == parse_sip_uri(agent.target).host.name:
            return Verdict(True, f'"{host}" is where agent "{name}" is')
    return Verdict(False, f'destinations.hosts has no "{host}"')


def on_user(plan: Dialplan, trunk_name: str, uri: SipUri) -> Verdict | None:
    """Whether the user part of a SIP URI may be called, as a number of this trunk; None if it is a name, not a number.

    What is made of digits and is neither an extension nor an E.164 number may not: its host might dial something.
    """
    if uri.number is None:
        return None
    trunk = plan.trunks[trunk_name]
    if is_extension(without_marks(uri.number)):
        says = "says" if trunk.extensions else "does not say"
        return Verdict(trunk.extensions, f'it is an extension, and trunk "{trunk_name}" {says} extensions: true')
    number = normalise(uri.number, trunk.region)
    if number is None:
        return Verdict(False, "it is made of digits and is not an E.164 number")
    return on_number(plan.destinations, number)
