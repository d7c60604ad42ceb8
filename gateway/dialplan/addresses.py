"""IP addresses with ports, host names, networks, as plans and settings write them; for schema.py and settings.py."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema

AnyAddress = IPv4Address | IPv6Address
AnyNetwork = IPv4Network | IPv6Network
SIP_PORT = 5060
"""Of UDP and TCP (RFC 3261 §19.1.2)."""
_NAME = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address and a port (0: pick a free one). `str()` gives `192.0.2.1:5060` or `[2001:db8::1]:5060`."""

    ip: str
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True when only this machine can reach it."""
        return ip_address(self.ip).is_loopback


def parse_address(text: str, default_port: int | None) -> Address:
    """Read `192.0.2.1`, `192.0.2.1:5062`, `2001:db8::1` or `[2001:db8::1]:5062`.

    Raises ValueError: not an IP address, a port out of 0–65535, or no port where there is no default.
    """
    host, port_text = text, ""
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", text, re.DOTALL)
    if bracketed:
        host, port_text = bracketed[1], bracketed[2] or ""
    elif text.count(":") == 1:
        host, port_text = text.split(":")
    ip = str(ip_address(host))
    if not port_text and not text.endswith(":") and default_port is not None:
        return Address(ip, default_port)
    if not re.fullmatch(r"[0-9]{1,5}", port_text) or int(port_text) > 65535:
        raise ValueError(f'"{port_text}" is not a port')
    return Address(ip, int(port_text))


@dataclass(frozen=True, slots=True)
class Host:
    """Where a peer is: an IP address or a DNS name, and a port if one was written. `str()` gives it as written."""

    name: str
    port: int | None = None

    def __str__(self) -> str:
        if self.port is None:
            return self.name
        return str(Address(self.name, self.port))

    @property
    def ip(self) -> AnyAddress | None:
        """The address, if it is one; None for a name that must be looked up."""
        try:
            return ip_address(self.name)
        except ValueError:
            return None


def parse_host(text: str) -> Host:
    """Read `sip.acme.example`, `sip.acme.example:5080`, or an address as `parse_address` does.

    Raises ValueError: neither a name (RFC 1123 §2.1, an underscore is no part of it) nor an IP address.
    """
    try:
        address = parse_address(text, 0)
    except ValueError:
        name, colon, port_text = text.partition(":")
        if not _NAME.fullmatch(name) or len(name) > 253 or not any(char.isalpha() for char in name.split(".")[-1]):
            raise ValueError("is neither a host name nor an IP address") from None
        if not colon:
            return Host(name.lower().rstrip("."))
        if not re.fullmatch(r"[0-9]{1,5}", port_text) or not 0 < int(port_text) <= 65535:
            raise ValueError(f'"{port_text}" is not a port') from None
        return Host(name.lower().rstrip("."), int(port_text))
    return Host(address.ip, address.port or None)


def parse_network(value: object) -> AnyNetwork:
    """Read `203.0.113.0/24` or a single address. Raises ValueError that says what to write instead."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    if not isinstance(value, str):
        raise ValueError('write a network in quotes, such as "203.0.113.0/24"')
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        raise ValueError("write a network or an address, such as 203.0.113.0/24") from None
    if str(network.network_address) != str(ip_address(value.split("/")[0])):
        raise ValueError(f"the address has bits beyond its mask; write {network}")
    if network.prefixlen == 0:
        raise ValueError("means everybody on the internet; write your carrier's networks")
    return network


Network = Annotated[
    AnyNetwork,
    PlainValidator(parse_network),
    WithJsonSchema({"type": "string", "description": "A network such as 203.0.113.0/24, or one address."}),
]
