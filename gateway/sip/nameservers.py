"""Asks nameservers for the records of one name, without a thread; called by server_location.py.

Names of the hosts file are found there and nowhere else, as with the other programs of the machine; other sources of
the C library (mDNS, NIS) are not asked. A host's name without a dot is looked up in the search domains of resolv.conf
too, one with a dot never is. dnspython takes the id of a query and its port at random, and repeats over TCP what came
truncated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.rdata
import dns.resolver

from gateway.dialplan.addresses import Address

_TRY_S = 0.9
"""Seconds for one nameserver to answer once: a lost datagram is sent again within one query of 2 s."""
_HOSTS_TTL_S = 30.0
"""How long a line of the hosts file holds: edits are seen soon."""
_FAILED_TTL_S = 5.0
"""How long no answer holds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said about one name and type."""

    records: tuple[dns.rdata.Rdata, ...]
    ttl_s: float
    """Seconds that it holds, as the server said (RFC 2308 for no record)."""
    reason: str = ""
    """Why there are no records: `NXDOMAIN`, `no record`, `timeout`, `SERVFAIL` …"""
    certain: bool = True
    """False: nobody knows; records may exist."""


class Nameservers:
    """The nameservers given, or those of resolv.conf (at `port`), read again when it changes."""

    def __init__(
        self, given: Sequence[Address], query_s: float, resolv_conf: Path, hosts: Path, port: int = 53
    ) -> None:
        self._given, self._query_s, self._port = tuple(given), query_s, port
        self._resolv_conf, self._hosts = resolv_conf, hosts
        self._read: tuple[int, int] | None = None
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def ask(self, name: str, kind: str, deadline: float) -> Answer:
        """The records of type `kind` (`A`, `SRV` …) of `name`, in the server's order.

        Takes at most the time of one query, and not beyond `deadline` (loop time). Raises nothing: see Answer.reason.
        """
        resolver = self._current()
        if resolver is None:
            return Answer((), _FAILED_TTL_S, "no nameserver", certain=False)
        try:
            query = dns.name.from_text(name, None)
        except (dns.exception.DNSException, UnicodeError):
            return Answer((), _FAILED_TTL_S, "not a name")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + self._query_s)):
                answer = await resolver.resolve(
                    query, kind, lifetime=self._query_s, search=self._may_search(name), backend=_ASYNCIO
                )
        except (TimeoutError, dns.exception.Timeout):
            return Answer((), _FAILED_TTL_S, "timeout", certain=False)
        except dns.resolver.NXDOMAIN as nothing:
            return Answer((), _negative_ttl(list(nothing.kwargs["responses"].values())), "NXDOMAIN")
        except dns.resolver.NoAnswer as nothing:
            return Answer((), _negative_ttl([nothing.kwargs["response"]]), "no record")
        except dns.resolver.NoNameservers as failure:
            return Answer((), _FAILED_TTL_S, _last_error(failure), certain=False)
        except dns.exception.DNSException as error:
            return Answer((), _FAILED_TTL_S, type(error).__name__, certain=False)
        return Answer(tuple(answer), answer.chaining_result.minimum_ttl)

    def in_hosts(self, name: str, ipv6: bool) -> Answer | None:
        """The addresses that the hosts file has for `name`, as records; None: not in it.

        `localhost` is always loopback (RFC 6761 §6.3).
        """
        wanted = name.rstrip(".").lower()
        try:
            text = self._hosts.read_text("utf-8", "replace").lower()
        except OSError:
            text = ""
        found = _addresses(text, wanted) if wanted in text else []
        texts = [one for one in found if ipv6 or isinstance(ip_address(one), IPv4Address)]
        if wanted == "localhost" or wanted.endswith(".localhost"):
            texts = [one for one in texts if ip_address(one).is_loopback] or ["127.0.0.1"]
        if not texts:
            return None
        kinds = ["AAAA" if ":" in one else "A" for one in texts]
        pairs = zip(kinds, texts, strict=True)
        return Answer(tuple(dns.rdata.from_text("IN", kind, one) for kind, one in pairs), _HOSTS_TTL_S)

    def _may_search(self, name: str) -> bool:
        return not self._given and "." not in name

    def _current(self) -> dns.asyncresolver.Resolver | None:
        if self._given:
            if self._resolver is None:
                self._resolver = _bare()
                self._resolver.nameservers = [dns.nameserver.Do53Nameserver(one.ip, one.port) for one in self._given]
            return self._resolver
        try:
            status = self._resolv_conf.stat()
        except OSError:
            return self._resolver
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._read:
            self._read, self._resolver = stamp, _of_system(self._resolv_conf, self._port)
        return self._resolver


_ASYNCIO = dns.asyncbackend.get_backend("asyncio")


def _bare() -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.timeout = _TRY_S
    return resolver


def _of_system(resolv_conf: Path, port: int) -> dns.asyncresolver.Resolver | None:
    resolver = _bare()
    resolver.port = port
    try:
        resolver.read_resolv_conf(str(resolv_conf))
    except (dns.resolver.NoResolverConfiguration, ValueError):  # none in it, or one that is no address
        return None
    resolver.timeout = _TRY_S  # its `options timeout:` counts whole seconds, 5 as a rule: all that a resolve may take
    return resolver


def _addresses(text: str, wanted: str) -> list[str]:
    """The addresses of the lines of a hosts file that name `wanted`."""
    found = []
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if wanted in words[1:]:
            try:
                found.append(str(ip_address(words[0])))
            except ValueError:
                continue
    return list(dict.fromkeys(found))


def _negative_ttl(responses: Sequence[dns.message.Message]) -> float:
    """RFC 2308 §5: the smaller of the SOA's TTL and its MINIMUM field."""
    ttls = [one.resolve_chaining().minimum_ttl for one in responses if isinstance(one, dns.message.QueryMessage)]
    return float(min(ttls, default=_FAILED_TTL_S))


def _last_error(failure: dns.resolver.NoNameservers) -> str:
    errors = failure.kwargs["errors"]
    return str(errors[-1][3]).rstrip(".") if errors else "no nameserver"
