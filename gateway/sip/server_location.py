"""RFC 3263 §4: where requests to a host may go, by NAPTR, SRV and address records; called by resolver.py."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import accumulate
from random import Random

from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.NAPTR import NAPTR
from dns.rdtypes.IN.SRV import SRV

from gateway.sip.nameservers import Answer, Nameservers

_SRV_PREFIX = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}
_NAPTR_SERVICE = {"udp": b"SIP+D2U", "tcp": b"SIP+D2T", "tls": b"SIPS+D2T"}
DEFAULT_PORT = {"udp": 5060, "tcp": 5060, "tls": 5061}

MAX_HOSTS = 8
"""SRV records that are used: each costs a query."""
MAX_ADDRESSES = 4
"""Addresses of one name that are used."""


@dataclass(frozen=True, slots=True)
class Host:
    """One name that serves, as an SRV record says it (or a host alone, with priority and weight 0)."""

    priority: int
    weight: int
    name: str
    port: int
    ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Location:
    """What a search found."""

    hosts: tuple[Host, ...]
    """Those with at least one address; none: nothing was found."""
    ttl_s: float
    """Smallest TTL of the records used; of the negative answers where there are no hosts."""
    steps: tuple[str, ...]
    """What was asked in vain, such as `SRV _sip._udp.acme.example: NXDOMAIN`."""
    certain: bool
    """False: a question went unanswered, so this may be less than what DNS has."""


class Search:
    """One search for the servers of one host; `deadline` is loop time."""

    def __init__(self, servers: Nameservers, random: Random, ipv6: bool, deadline: float) -> None:
        self._servers, self._random, self._ipv6, self._deadline = servers, random, ipv6, deadline
        self._steps: list[str] = []
        self._ttls: list[float] = []
        self._negative_ttls: list[float] = []
        self._certain = True

    async def run(self, name: str, port: int | None, transport: str) -> Location:
        """Where requests to `name` may go; `port` None: the service's own (RFC 3263 §4.2)."""
        if port is not None or self._servers.in_hosts(name, self._ipv6):
            hosts = [Host(0, 0, name, DEFAULT_PORT[transport] if port is None else port)]
        else:
            services = [*await self._naptr(name, transport), f"{_SRV_PREFIX[transport]}.{name}"]
            for service in dict.fromkeys(services):
                srv = await self._srv(service)
                if srv is not None:
                    hosts = srv
                    break
            else:
                hosts = [Host(0, 0, name, DEFAULT_PORT[transport])]
        found = await self._with_addresses(hosts)
        ttls = self._ttls if found else self._negative_ttls
        return Location(tuple(found), min(ttls, default=0.0), tuple(self._steps), self._certain)

    async def _ask(self, name: str, kind: str) -> Answer:
        answer = await self._servers.ask(name, kind, self._deadline)
        return self._noted(answer, name, kind)

    def _noted(self, answer: Answer, name: str, kind: str) -> Answer:
        self._certain &= answer.certain
        (self._negative_ttls if answer.reason else self._ttls).append(answer.ttl_s)
        if answer.reason:
            self._steps.append(f"{kind} {name}: {answer.reason}")
        return answer

    async def _naptr(self, name: str, transport: str) -> list[str]:
        """RFC 3263 §4.1: the SRV name of the best record of our transport, which the operator chose; or none."""
        answer = await self._ask(name, "NAPTR")
        records = [one for one in answer.records if isinstance(one, NAPTR)]
        ours = [
            one
            for one in records
            if one.service.upper() == _NAPTR_SERVICE[transport] and one.flags.lower() == b"s" and not one.regexp
        ]
        if not ours and records:
            self._steps.append(f"NAPTR {name}: none for {transport}")
        best = sorted(ours, key=lambda one: (one.order, one.preference))[:1]
        return [_text(one.replacement.to_text()) for one in best]

    async def _srv(self, service: str) -> list[Host] | None:
        """The hosts of a service, best first; empty: there is no such service here; None: no record."""
        answer = await self._ask(service, "SRV")
        records = [one for one in answer.records if isinstance(one, SRV)]
        if not records:
            return None
        hosts = [
            Host(one.priority, one.weight, _text(one.target.to_text()), one.port)
            for one in records
            if one.target.to_text() != "." and one.port
        ]
        if not hosts:  # RFC 2782, "Target": "." means that the service is decidedly not available
            self._steps.append(f"SRV {service}: service not available")
        return in_order(hosts, self._random)[:MAX_HOSTS]

    async def _with_addresses(self, hosts: list[Host]) -> list[Host]:
        names = list(dict.fromkeys(host.name for host in hosts))
        found = dict(zip(names, await asyncio.gather(*(self._addresses(name) for name in names)), strict=True))
        return [
            Host(host.priority, host.weight, host.name, host.port, found[host.name])
            for host in hosts
            if found[host.name]
        ]

    async def _addresses(self, name: str) -> tuple[str, ...]:
        """The addresses of a name, IPv4 first."""
        listed = self._servers.in_hosts(name, self._ipv6)
        if listed is not None:
            answers = [self._noted(listed, name, "hosts file")]
        else:
            kinds = ("A", "AAAA") if self._ipv6 else ("A",)
            answers = await asyncio.gather(*(self._ask(name, kind) for kind in kinds))
        records = [one for answer in answers for one in answer.records]
        given = [one.address for one in records if isinstance(one, A | AAAA)]
        usable = [ip for ip in given if _is_usable(ip)]
        if given and not usable:
            self._steps.append(f"A {name}: {given[0]} is not a host's address")
        return tuple(dict.fromkeys(usable))[:MAX_ADDRESSES]


def in_order(hosts: Iterable[Host], random: Random) -> list[Host]:
    """By priority, and at random by weight among equals (RFC 2782, "Weight")."""
    by_priority: dict[int, list[Host]] = {}
    for host in hosts:
        by_priority.setdefault(host.priority, []).append(host)
    return [host for priority in sorted(by_priority) for host in _drawn(by_priority[priority], random)]


def _drawn(hosts: list[Host], random: Random) -> Iterable[Host]:
    left = list(hosts)
    random.shuffle(left)
    left.sort(key=lambda host: host.weight > 0)  # those of weight 0 come first, so that they have a small chance
    while left:
        at = random.randint(0, sum(host.weight for host in left))
        reaches = accumulate(host.weight for host in left)
        yield left.pop(next(index for index, reach in enumerate(reaches) if reach >= at))


def _is_usable(ip: str) -> bool:
    """False for what no single host has; private addresses are fine."""
    address = ip_address(ip)
    return not (address.is_unspecified or address.is_multicast or ip == "255.255.255.255")


def _text(name: str) -> str:
    return name.rstrip(".")
