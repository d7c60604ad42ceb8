"""What the SIP adapter knows of a trunk, and how an INVITE becomes a Caller; used by legs.py, made by app.py."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final, TypeAlias

from gateway.calls.model import Caller, JsonObject
from gateway.dialplan.addresses import Host
from gateway.sip.headers import Message, parse_name_addr, parse_user_to_user, split_values, user_of

_MOST_TO_BOT: Final = 64
_MOST_UUI: Final = 8
LOCALHOST: Final = Host("localhost")


class DtmfMode(StrEnum):
    """How digits go out: as RTP events, as SIP INFO, or by whichever the peer's SDP allows."""

    RFC4733 = "rfc4733"
    INFO = "info"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What challenges of one exact realm are answered with (RFC 3261 §22)."""

    username: str
    realm: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TrunkSpec:
    """The settings of one trunk that matter here. `to_bot` are fnmatch patterns of header names."""

    name: str
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    dtmf: DtmfMode = DtmfMode.AUTO
    to_bot: tuple[str, ...] = ()
    host: Host = LOCALHOST
    transport: str = "udp"
    credentials: Credentials | None = None
    registers: bool = False
    session_timer_s: int | None = None
    options_interval_s: int | None = None

    @property
    def user(self) -> str:
        """Who we are to this trunk."""
        return self.credentials.username if self.credentials is not None else "switchhook"

    @property
    def host_in_uri(self) -> str:
        """Its host, as it stands in a URI."""
        return f"[{self.host.name}]" if ":" in self.host.name else self.host.name

    @property
    def authority(self) -> str:
        """Its host and port, as they stand in a URI (RFC 3986 §3.2)."""
        return self.host_in_uri if self.host.port is None else f"{self.host_in_uri}:{self.host.port}"


TrunkLookup: TypeAlias = Callable[[str, str, int, str], str | None]
"""The trunk that an INVITE from (address, transport, port) to a Request-URI with this user belongs to; None for a
stranger. Called in the PJSIP thread."""


def caller_of(invite: Message, trunk: TrunkSpec) -> Caller:
    """Who calls whom: the dialled number is the Request-URI's user, as To may still name what was dialled first."""
    sender = parse_name_addr(invite.first("from"))
    dialled = user_of(invite.request_uri) or user_of(parse_name_addr(invite.first("to")).uri)
    diversion = next(iter(split_values(invite.first("diversion"))), "")
    return Caller(
        sip_call_id=invite.first("call-id"),
        trunk=trunk.name,
        from_=user_of(sender.uri),
        to=dialled,
        from_name=sender.display,
        diversion=user_of(parse_name_addr(diversion).uri) or None,
        headers=headers_to_bot(invite, trunk.to_bot),
        user_to_user=_user_to_user(invite),
    )


def headers_to_bot(invite: Message, patterns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The headers whose names match, in any case; their names stay as received."""
    if not patterns:
        return ()
    wanted = [pattern.lower() for pattern in patterns]
    chosen = [(n, v) for n, v in invite.headers if any(fnmatchcase(n.lower(), pattern) for pattern in wanted)]
    return tuple(chosen[:_MOST_TO_BOT])


def _user_to_user(invite: Message) -> tuple[JsonObject, ...]:
    values = [part for value in invite.values("user-to-user") for part in split_values(value)]
    return tuple(found for found in map(parse_user_to_user, values[:_MOST_UUI]) if found is not None)
