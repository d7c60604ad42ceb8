"""Which addresses a URL given by a bot may reach, decided where the name is resolved; used by speech/fetch.py."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

Network: TypeAlias = IPv4Network | IPv6Network
Address: TypeAlias = IPv4Address | IPv6Address
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) -> addresses."""

_SPECIAL = (
    ip_network("168.63.129.16"),  # Azure's wire server: a public address that tells secrets
    ip_network(
        "192.0.0.0/24"
    ),  # RFC 6890; not all of it is private to Python 3.11, and Oracle's cloud has metadata here
)
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052
_UNICAST = ip_network("2000::/3")  # RFC 4291 §2.4: all that IANA gives out


class AddressRefused(Exception):
    """A host is, or resolves to, nothing that may be reached."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} is not a public address, and security.fetch_allow does not name it")


def may_reach(address: Address, allow: Sequence[Network]) -> bool:
    """Whether a connection to `address` is allowed: a public unicast address, or one of a network in `allow`."""
    inner = _embedded(address)
    if any(candidate in network for candidate in (address, inner) for network in allow):
        return True
    if isinstance(inner, IPv6Address) and inner not in _UNICAST:
        return False
    special = inner.is_multicast or inner.is_reserved or any(inner in network for network in _SPECIAL)
    return inner.is_global and not special


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to: mapped, NAT64 or 6to4; else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour or address


def check_literal(host: str, allow: Sequence[Network]) -> None:
    """Refuse a host that is an address in any notation and not allowed; aiohttp connects to those without resolving."""
    bare = host.strip("[]")
    if ":" not in bare and not bare.replace(".", "").isdigit():
        return
    try:
        address = ip_address(bare)
    except ValueError:  # 127.1, 2130706433, 0177.0.0.1: the C library would read them as addresses
        raise AddressRefused(host) from None
    if (isinstance(address, IPv6Address) and address.scope_id) or not may_reach(address, allow):
        raise AddressRefused(host)


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """The system's resolver, in a thread."""
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


class GuardedResolver(AbstractResolver):
    """aiohttp's resolver for one hop: asked once, and what it returns is what is connected to."""

    def __init__(self, resolve: Resolve, allow: Sequence[Network]) -> None:
        self._resolve, self._allow = resolve, allow

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host` that may be reached. Raises AddressRefused if there is none."""
        addresses = [ip_address(text.partition("%")[0]) for text in await self._resolve(host, port)]
        reachable = [address for address in addresses if may_reach(address, self._allow)]
        if addresses and not reachable:
            raise AddressRefused(host)
        return [_result(host, port, address) for address in reachable]

    async def close(self) -> None:
        """Nothing is held."""


def _result(host: str, port: int, address: Address) -> ResolveResult:
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    return ResolveResult(
        hostname=host, host=str(address), port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
    )
