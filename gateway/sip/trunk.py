"""What the SIP adapter knows of a trunk, and how an INVITE becomes a Caller; used by legs.py, made by app.py."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final, TypeAlias

from gateway.calls.model import Caller, JsonObject
from gateway.dialplan.addresses import Host
from gateway.sip.headers import Message, long_name, parse_name_addr, parse_user_to_user, split_values, user_of
from gateway.sip.identity import REVEALING, Identity, diverted_by, trusted_identity

_MOST_TO_BOT: Final = 64
_MOST_TOKENS: Final = 4
_LONGEST_TOKEN: Final = 8191  # a longer value was cut off, and a part of a token proves nothing
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
    trust_identity: bool = False
    host: Host = LOCALHOST
    transport: str = "udp"
    credentials: Credentials | None = None
    registers: bool = False
    session_timer_s: int | None = None
    options_interval_s: int | None = None
    show_in: tuple[str, ...] = ("from",)
    """Where those whom we call on it see the caller: of `from`, `pai`, `rpid`, `diversion` (shown.py)."""
    privacy: bool = False
    """Callers are withheld from those whom we call on it (RFC 3323)."""

    @property
    def contact_user(self) -> str:
        """The user of the contact that we registered with it; "" for an IP trunk."""
        return self.user if self.registers else ""

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

    def uri_of(self, number: str) -> str:
        """What is called to reach this number, written as the trunk wants it."""
        transport = "" if self.transport == "udp" else f";transport={self.transport}"
        return f"sip:{number.replace('#', '%23')}@{self.authority}{transport}"  # RFC 3261 §25.1 user


TrunkLookup: TypeAlias = Callable[[str, str, int, str], str | None]
"""The trunk that an INVITE from (address, transport, port) to a Request-URI with this user belongs to; None for a
stranger. Called in the PJSIP thread."""


def caller_of(invite: Message, trunk: TrunkSpec) -> Caller:
    """Who calls whom. On a trunk that is not trusted only From counts: anybody can write the rest."""
    if trunk.trust_identity:
        who = trusted_identity(invite)
    else:
        sender = parse_name_addr(invite.first("from"))
        who = Identity(user_of(sender.uri), sender.display, None, withheld=False)
    return Caller(
        sip_call_id=invite.first("call-id"),
        trunk=trunk.name,
        from_=who.number,
        to=_dialled(invite, trunk),
        from_name=who.name,
        diversion=_diversion(invite, trunk),
        verstat=who.verstat,
        headers=headers_to_bot(invite, trunk, withheld=who.withheld),
        user_to_user=_user_to_user(invite),
    )


def headers_to_bot(invite: Message, trunk: TrunkSpec, *, withheld: bool) -> tuple[tuple[str, str], ...]:
    """The headers whose names match, in any case; their names stay as received.

    A trusted trunk's Identity (RFC 8224) needs no pattern: the bot can check its signature. Of a withheld caller, what
    would tell the number goes to the bot only if the trunk names it without a wildcard.
    """
    named = [pattern.lower() for pattern in trunk.to_bot]
    patterns = [*named, "identity"] if trunk.trust_identity and not withheld else named
    if not patterns:
        return ()
    chosen: list[tuple[str, str]] = []
    tokens = 0
    for name, value in invite.headers:
        lower = long_name(name)
        if not any(fnmatchcase(spelling, pattern) for spelling in {lower, name.lower()} for pattern in patterns):
            continue
        if withheld and lower in REVEALING and lower not in named:
            continue
        if lower == "identity":
            tokens += 1
            if tokens <= _MOST_TOKENS and len(value) <= _LONGEST_TOKEN:
                chosen.append(("Identity", value))  # one name for its long and its compact form
        else:
            chosen.append((name, value))
    return tuple(chosen[:_MOST_TO_BOT])


def _dialled(invite: Message, trunk: TrunkSpec) -> str:
    """The Request-URI's user, as To may still name what was dialled first; but not our own contact's, which a registrar
    puts there: then P-Called-Party-ID tells (RFC 7315 §4.2), or To."""
    requested = user_of(invite.request_uri)
    ours = requested == trunk.contact_user
    told = [parse_name_addr(invite.first(name)).uri for name in ("p-called-party-id", "to")]
    order = [*map(user_of, told), requested] if ours and requested else [requested, user_of(told[1])]
    return next(filter(None, order), "")


def _diversion(invite: Message, trunk: TrunkSpec) -> str | None:
    """The newest Diversion (RFC 5806), else what a trusted trunk's History-Info says (RFC 7044)."""
    newest = next(iter(split_values(invite.first("diversion"))), "")
    by = user_of(parse_name_addr(newest).uri)
    return by or (diverted_by(invite) if trunk.trust_identity else None)


def _user_to_user(invite: Message) -> tuple[JsonObject, ...]:
    values = [part for value in invite.values("user-to-user") for part in split_values(value)]
    return tuple(found for found in map(parse_user_to_user, values[:_MOST_UUI]) if found is not None)
