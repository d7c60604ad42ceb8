"""Which trunk a call came on, and where it goes; called by the engine for every INVITE, and by `switchhook route`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network
from types import MappingProxyType
from typing import Final

from gateway.dialplan.addresses import SIP_PORT, AnyAddress, AnyNetwork
from gateway.dialplan.numbers import forms, matches_any
from gateway.dialplan.schema import Dialplan, Route, Target, Trunk

ANNOUNCEMENT: Final = "announcement"
"""Stands for the channel of a call that only hears a prompt (ToPrompt)."""
TO_AGENT: Final = "agent"
"""Stands for the channel of a call that goes straight to an agent (ToAgent)."""
NO_CHANNELS: Final = frozenset({ANNOUNCEMENT, TO_AGENT})
"""Names that no channel of a plan may have, as the API, the records and the metrics show them for such calls."""

NOTHING_RESOLVED: Final[Mapping[str, Sequence[AnyAddress]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ToChannel:
    """The bot of this channel takes the call.

    `route` is the index of the route in the plan, `where` its place (`dialplans/demo.yaml:31`, empty for a plan that
    came from no file), `steps` the way to the decision, one sentence per route that was looked at.
    """

    channel: str
    route: int
    where: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToPrompt:
    """The caller hears a prompt of media/prompts or a spoken text (exactly one is given), then the call ends."""

    prompt: str | None
    say: str | None
    route: int
    where: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToAgent:
    """The caller is connected with this agent of the plan, without any bot: a phone that dials another one."""

    agent: str
    route: int
    where: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """The call is refused, unanswered, with a SIP status. `route` is None when no route matched (404)."""

    status: int
    why: str
    route: int | None
    where: str
    steps: tuple[str, ...]


Decision = ToChannel | ToPrompt | ToAgent | Refuse


def inbound(plan: Dialplan, trunk: str, to: str, from_: str, at: datetime) -> Decision:
    """Where a call goes that arrived on `trunk`: the first route that matches, in file order; else Refuse 404.

    `to` and `from_` are the user parts of the called and the calling address as they arrived; each is compared by its
    exact text, then by its E.164 form (`numbers.normalise`, with the trunk's region). `at` has a time zone, else
    ValueError.
    """
    if at.tzinfo is None:
        raise ValueError("at has no time zone")
    known = plan.trunks.get(trunk)
    region = known.region if known else None
    called, caller = forms(to, region), forms(from_, region)
    steps: list[str] = []
    for index, route in enumerate(plan.routes):
        place = plan.where("routes", index)
        where = str(place) if place else ""
        target, reason = _look_at(route, trunk, called, caller, at)
        number = f"{index + 1}. routes[{index}]"
        steps.append(" ".join(part for part in (number, where, f"{_asks(route)}: {reason}") if part))
        if target is not None:
            return _decide(target, index, where, tuple(steps))
    steps.append(f"{len(plan.routes) + 1}. no route matches: refused with 404")
    return Refuse(404, "no route matches", None, "", tuple(steps))


def _look_at(
    route: Route, trunk: str, called: tuple[str, ...], caller: tuple[str, ...], at: datetime
) -> tuple[Target | None, str]:
    """Where this route sends the call (None: it does not match), and why."""
    if route.trunk is not None and route.trunk != trunk:
        return None, f'does not match: the call is on trunk "{trunk}"'
    if not matches_any(route.to, called):
        return None, f"does not match {_shown(called)}"
    if route.from_ is not None and not matches_any(route.from_, caller):
        return None, f"does not match the caller {_shown(caller)}"
    if route.hours is None or route.hours.open_at(at):
        return route, f"matches {_shown(called)}: {_goes(route)}"
    local = at.astimezone(route.hours.zone)
    closed = f"closed ({local:%a %H:%M} in {route.hours.zone.key})"
    if route.otherwise is None:
        return None, f"does not match: {closed}"
    return route.otherwise, f"matches {_shown(called)}, but {closed}: {_goes(route.otherwise)}"


def _decide(target: Target, index: int, where: str, steps: tuple[str, ...]) -> Decision:
    if target.channel is not None:
        return ToChannel(target.channel, index, where, steps)
    if target.prompt is not None or target.say is not None:
        return ToPrompt(target.prompt, target.say, index, where, steps)
    if target.agent is not None:
        return ToAgent(target.agent, index, where, steps)
    if target.reject is not None:
        return Refuse(target.reject, "the route refuses", index, where, steps)
    return Refuse(501, "queues are not available yet", index, where, steps)  # parse.py lets none through


def _asks(route: Route) -> str:
    """What the route asks of a call: `to "+1212*" trunk acme`."""
    words = [f'to "{route.to}"']
    if route.from_ is not None:
        words.append(f'from "{route.from_}"')
    if route.trunk is not None:
        words.append(f"trunk {route.trunk}")
    if route.hours is not None:
        words.append(f"hours {route.hours.text}")
    return " ".join(words)


def _goes(target: Target) -> str:
    given = {
        "channel": target.channel, "agent": target.agent, "prompt": target.prompt, "say": target.say,
        "reject": target.reject,
    }  # fmt: skip
    return next((f"{key} {value}" for key, value in given.items() if value is not None), "nowhere")


def _shown(texts: tuple[str, ...]) -> str:
    return f'"{texts[0]}"' + (f" ({texts[1]})" if len(texts) > 1 else "")


Resolved = Mapping[str, Sequence[AnyAddress]]
"""The addresses that the hosts of trunks have now, by the trunk's name."""


def networks_of(name: str, trunk: Trunk, resolved: Resolved) -> tuple[AnyNetwork, ...]:
    """Whence this trunk's calls come: what the plan says, or the addresses of its host as they are now."""
    return trunk.networks or tuple(ip_network(address) for address in resolved.get(name, ()))


def trunk_of(
    plan: Dialplan, source_ip: str, transport: str, port: int, user: str = "", resolved: Resolved = NOTHING_RESOLVED
) -> str | None:
    """The trunk that a call from this source belongs to, or None for a stranger. `user` is that of the Request-URI.

    A trunk takes calls over its own transport; a UDP trunk takes TCP too, as its peer must use it for requests over
    1,300 bytes (RFC 3261 §18.1.1). Of the trunks whose networks (`allow`, or `host` alone) hold the address, one that
    registered this `user` wins, then one with the most specific network, then one of the same transport. Two trunks may
    share a network and a transport only if they register different users, or over UDP with hosts at different ports of
    one address; then the one whose host has the source's `port` wins, else the first in file order. (Any other sharing
    is an error of the plan.) An IPv4 address mapped into IPv6 (RFC 4291 §2.5.5.2) is the IPv4 address. Raises
    ValueError when `source_ip` is not an address.
    """
    address = ip_address(source_ip.split("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    transport = transport.lower()
    best: tuple[bool, int, bool, bool] | None = None
    winner: str | None = None
    for name, trunk in plan.trunks.items():
        same = trunk.transport == transport
        if not same and (trunk.transport, transport) != ("udp", "tcp"):
            continue
        from_host = trunk.host.ip == address and (trunk.host.port or SIP_PORT) == port
        asked_for = bool(user) and trunk.contact_user == user
        for network in networks_of(name, trunk, resolved):
            rank = (asked_for, network.prefixlen, same, from_host)
            if address in network and (best is None or rank > best):
                best, winner = rank, name
    return winner
