"""Names of trunks to addresses, in asyncio; called by the trunks, so that PJSIP is handed addresses only (pjsip.md)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import TypeAlias

from gateway.dialplan.addresses import Address
from gateway.sip.nameservers import Nameservers
from gateway.sip.server_location import DEFAULT_PORT, Location, Search, in_order
from gateway.telemetry.log import get_logger

log = get_logger(__name__)

MAX_TARGETS = 16
MIN_TTL_S, MAX_TTL_S = 5.0, 3600.0
MAX_NEGATIVE_TTL_S = 30.0
STALE_S = 3600.0
"""How long after its end a resolution may be used while DNS is down (hostile-world.md, "DNS down")."""
_PATIENCE_S = 0.5
"""How long a caller waits for news of a name whose last resolution could serve (RFC 8767 §5, client response timer)."""
_MAX_KNOWN = 1024


@dataclass(frozen=True, slots=True)
class Target:
    """One place where a trunk's requests may go. `str()` gives `udp:192.0.2.1:5060` or `tls:[2001:db8::1]:5061`."""

    ip: str
    port: int
    transport: str
    """`udp`, `tcp` or `tls`."""

    def __str__(self) -> str:
        return f"{self.transport}:{Address(self.ip, self.port)}"


@dataclass(frozen=True, slots=True)
class Resolution:
    """Where requests may go now."""

    targets: tuple[Target, ...]
    """Best first; at least 1, at most 16, all different."""
    ttl_s: float
    """Seconds that it holds, 5 to 3600."""


class ResolveError(Exception):
    """A name has no address: one sentence that names the host, what was asked, and what came of it."""


_Key: TypeAlias = tuple[str, int | None, str]


@dataclass(frozen=True, slots=True)
class _Known:
    """What the last search of a name gave; times are the resolver's clock."""

    location: Location
    until: float
    """When to search again."""
    stale_until: float
    """When it may no longer be used at all."""


class Resolver:
    """Resolves by RFC 3263, keeps what it learns for its TTL, and lives on the last of it for an hour without DNS.

    `nameservers` empty: those of /etc/resolv.conf. The time limits are seconds: one query, all of a search.
    """

    def __init__(
        self,
        nameservers: Sequence[Address] = (),
        random: Random | None = None,
        *,
        ipv6: bool = False,
        query_s: float = 2.0,
        total_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        resolv_conf: Path = Path("/etc/resolv.conf"),
        hosts: Path = Path("/etc/hosts"),
    ) -> None:
        self._servers = Nameservers(nameservers, query_s, resolv_conf, hosts)
        self._random = random or Random()
        self._ipv6, self._total_s, self._clock = ipv6, total_s, clock
        self._known: dict[_Key, _Known] = {}
        self._searches: dict[_Key, asyncio.Task[None]] = {}
        self._failing: set[_Key] = set()

    async def resolve(self, host: str, port: int | None, transport: str) -> Resolution:
        """Where requests to `host` over `transport` (`udp`, `tcp`, `tls`) may go, within 5 s.

        An IP address is its own target. With `port` only addresses are looked up; without: NAPTR, SRV, and addresses
        at the default port. Each call draws the order among SRV records of one priority anew (RFC 2782), so hold a
        Resolution for its `ttl_s` where that must not change. Raises ResolveError.
        """
        with suppress(ValueError):
            ip = str(ip_address(host.strip("[]")))
            return Resolution((Target(ip, DEFAULT_PORT[transport] if port is None else port, transport),), MAX_TTL_S)
        key = (host.rstrip(".").lower(), port, transport)
        known = self._known.get(key)
        if known is None or known.until <= self._clock():
            await self._search(key, known)
            known = self._known.get(key, known)
        if known is None:
            raise ResolveError(f"no address for {host} (the search was given up)")
        if not known.location.hosts:
            raise ResolveError(f"no address for {host} ({'; '.join(known.location.steps)})")
        return self._resolution(known, transport)

    async def close(self) -> None:
        """Give up the searches under way."""
        searches = list(self._searches.values())
        for search in searches:
            search.cancel()
        await asyncio.gather(*searches, return_exceptions=True)

    def _resolution(self, known: _Known, transport: str) -> Resolution:
        hosts = in_order(known.location.hosts, self._random)
        targets = dict.fromkeys(Target(ip, host.port, transport) for host in hosts for ip in host.ips)
        left_s = known.until - self._clock()
        return Resolution(tuple(targets)[:MAX_TARGETS], min(max(left_s, MIN_TTL_S), MAX_TTL_S))

    async def _search(self, key: _Key, known: _Known | None) -> None:
        """Join the search for this name, or begin it; with something to live on, wait for a moment only."""
        search = self._searches.get(key)
        if search is None:
            search = self._searches[key] = asyncio.create_task(self._learn(key))
            search.add_done_callback(lambda _: self._searches.pop(key, None))
        patient = known is None or not self._may_serve(known)
        await asyncio.wait({search}, timeout=None if patient else _PATIENCE_S)
        if search.done() and not search.cancelled():
            search.result()

    def _may_serve(self, known: _Known) -> bool:
        return bool(known.location.hosts) and self._clock() < known.stale_until

    async def _learn(self, key: _Key) -> None:
        """Search, and keep what comes of it; of an unsure result and a sure one that may still serve, the sure one."""
        search = Search(self._servers, self._random, self._ipv6, asyncio.get_running_loop().time() + self._total_s)
        location = await search.run(*key)
        now, old = self._clock(), self._known.pop(key, None)
        negative = not (location.hosts and location.certain)
        until = now + min(max(location.ttl_s, MIN_TTL_S), MAX_NEGATIVE_TTL_S if negative else MAX_TTL_S)
        better = old is not None and self._may_serve(old) and (old.location.certain or not location.hosts)
        stale = not location.certain and better
        if stale and old is not None:
            self._known[key] = replace(old, until=until)
        else:
            self._known[key] = _Known(location, until, until + STALE_S)
        while len(self._known) > _MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._tell(key, location, stale, failed=negative)

    def _tell(self, key: _Key, location: Location, stale: bool, *, failed: bool) -> None:
        """Log that a name fails, once, and that it no longer does."""
        host, _, transport = key
        if failed and key not in self._failing:
            self._failing.add(key)
            log.warning("dns.failed", host=host, transport=transport, reason="; ".join(location.steps), stale=stale)
        elif not failed and key in self._failing:
            self._failing.discard(key)
            log.info("dns.recovered", host=host, transport=transport)
