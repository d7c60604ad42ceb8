"""SIP URIs as bots and plans write them, taken apart strictly; used by base.py (agents) and outbound.py (sipUri).

Strict, as the host of such a URI is looked up in a policy: what other parsers might read in another way is refused, and
what is sent is put together again from the parts that were looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from gateway.dialplan.addresses import Host, parse_host

_MOST = 255
_LIKE = "write it like sip:ann@192.0.2.5"
_URI = (
    re.compile(  # RFC 3261 §25.1, without `;`, `?` and `/` in the user part: there parsers disagree on what the host is
        r"(?:(?P<user>(?:[A-Za-z0-9\-_.!~*'()&=+$,]|%[0-9A-Fa-f]{2})+)@)?"
        r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?P<port>:[0-9]{1,5})?(?P<parameters>(?:;[^;]+)*)",
        re.ASCII,
    )
)
_ESCAPED_CONTROL = re.compile(r"%(?:[01][0-9A-F]|7F)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SipUri:
    """A `sip:` URI. `user` is escaped as it was written; `transport` is its parameter, None without one."""

    user: str | None
    host: Host
    transport: str | None = None
    phone: bool = False

    def over(self, transport: str) -> str:
        """The whole URI; without a transport of its own it gets this one, if it is not UDP, the default of SIP."""
        user = f"{self.user}@" if self.user is not None else ""
        host = f"[{self.host}]" if ":" in self.host.name and self.host.port is None else str(self.host)
        used = self.transport or (transport if transport != "udp" else None)
        return f"sip:{user}{host}" + (f";transport={used}" if used else "") + (";user=phone" if self.phone else "")

    @property
    def number(self) -> str | None:
        """The user part, unescaped, if it may be taken for a number: digits and no letter. None if it is a name."""
        user = unquote(self.user or "").split(";")[0]
        numeric = any(char.isdigit() for char in user) and not re.search("[A-Za-z]", user)
        return user if numeric else None


def parse_sip_uri(text: str) -> SipUri:
    """Read `sip:ann@192.0.2.5:5070;transport=tcp`, with or without `sip:`.

    Raises ValueError that says what to write instead, and does not repeat the text: another scheme, header fields,
    a password, control characters, parameters but `transport` (udp, tcp) and `user=phone` (`maddr` would send it
    elsewhere).
    """
    rest = _without_scheme(text)
    if len(text) > _MOST:
        raise ValueError(f"is longer than {_MOST} characters")
    if "?" in rest:
        raise ValueError("holds header fields (?…); remove them, and give them as headers")
    if ":" in rest.rpartition("@")[0]:
        raise ValueError(f"holds a password or another scheme; {_LIKE}")
    found = _URI.fullmatch(rest)
    if found is None or _ESCAPED_CONTROL.search(found["user"] or ""):
        raise ValueError(f"is not a SIP URI; {_LIKE}")
    try:
        host = parse_host(found["host"] + (found["port"] or ""))
    except ValueError:
        raise ValueError(f"has no usable host; {_LIKE}") from None
    transport, phone = _parameters(found["parameters"])
    return SipUri(found["user"], host, transport, phone)


def _without_scheme(text: str) -> str:
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() == "sip":
        return rest
    if colon and scheme.lower() == "sips":
        raise ValueError("asks for TLS (sips:), which is not available yet; write sip:")
    return text


def _parameters(text: str) -> tuple[str | None, bool]:
    transport, phone = None, False
    for parameter in text.split(";")[1:]:
        lower = parameter.lower()
        if lower in ("transport=udp", "transport=tcp") and transport is None:
            transport = lower.partition("=")[2]
        elif lower == "user=phone":
            phone = True
        elif lower.startswith("transport="):
            raise ValueError("has a transport that is not available; write ;transport=udp or ;transport=tcp, once")
        else:
            raise ValueError("has a parameter that is not understood; only transport and user=phone may be given")
    return transport, phone
