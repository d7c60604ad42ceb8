"""Refer-To (RFC 3515 §2.1) of a REFER as a ReferTarget; used by refers.py.

It is fed from the wire and strict, as the host of the URI is looked up in a policy: what is called is put together
again from the parts that were looked at. Raises ReferToError and nothing else.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import unquote

from gateway.calls.headers import check_header
from gateway.calls.model import LegId
from gateway.calls.refers import ReferTarget
from gateway.dialplan.addresses import parse_host
from gateway.dialplan.sip_uris import SipUri
from gateway.sip.headers import Message, split_values
from gateway.sip.replaces import Replaces, ReplacesError, parse_replaces

_LONGEST_URI: Final = 1024
_LONGEST_VALUE: Final = 8000
_MOST_HEADERS: Final = 64
_MOST_UUI: Final = 8
_NAME_ADDR: Final = re.compile(  # RFC 3261 §25.1: a quoted or a bare display name, the URI, parameters
    r'(?:"(?:[^"\\]|\\.)*"\s*|[^"<>:;,@]*)<([^<>"]*)>\s*(?:;[^<>]*)?'
)
_ADDR_SPEC: Final = re.compile(r'([^<>";\s]+)\s*(?:;[^<>]*)?')  # RFC 3261 §20: a bare URI ends at its first `;`
_SIP: Final = re.compile(  # user parameters (RFC 3261 §19.1.6) and a password are read and not kept
    r"(?:(?P<user>(?:[A-Za-z0-9\-_.!~*'()&=+$,]|%[0-9A-Fa-f]{2})+)?"
    r"(?:[;:](?:[A-Za-z0-9\-_.!~*'()&=+$,;:]|%[0-9A-Fa-f]{2})*)?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?P<port>:[0-9]{1,5})?(?P<parameters>(?:;[^;?]*)*)",
    re.ASCII,
)
_TEL: Final = re.compile(r"(\+?[0-9A-Da-d*#\-.()]+)(?:;[^;?]*)*", re.ASCII)  # RFC 3966 §3
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


class ReferToError(Exception):
    """Raised for a Refer-To that cannot be carried out: the status to answer the REFER with, and what is wrong."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status, self.detail = status, detail


Own = Callable[[str], bool]
"""Whether a host, in lower case, without port and brackets, is this gateway."""
LegOf = Callable[[str, str, str], LegId | None]
"""The leg of a dialog of ours, by Call-ID, our tag and the peer's tag."""


def target_of(message: Message, own: Own, leg_of: LegOf) -> ReferTarget:
    """Read the one Refer-To. A `tel:` URI means what dialling its number here would mean.

    Raises ReferToError: 400 for what is malformed, 416 for a URI scheme or transport that is not there (sips, TLS), 501
    for a method other than INVITE (RFC 3261 §21.5.2; the REFER itself is allowed, so it is no 405).
    """
    whole = _the_one(message)
    scheme, colon, rest = whole.partition(":")
    if not colon or not rest:
        raise ReferToError(400, "Refer-To has no URI")
    address, _, headers = rest.partition("?")
    if len(scheme) + 1 + len(address) > _LONGEST_URI:
        raise ReferToError(400, "the URI of Refer-To is too long")
    if scheme.lower() == "tel":
        number = _number(rest)
        return ReferTarget(f"tel:{number}", number, own=True)
    if scheme.lower() != "sip":
        raise ReferToError(416, "the scheme of Refer-To is not available")
    if "@" in headers and "@" not in address:  # a user part with a `?`, or a host and headers? Parsers disagree
        raise ReferToError(400, "the URI of Refer-To is ambiguous")
    uri, user = _address(address)
    replaces, user_to_user = _headers(headers)
    leg_id = leg_of(replaces.call_id, replaces.to_tag, replaces.from_tag) if replaces is not None else None
    return ReferTarget(
        uri.over("udp"),
        user,
        own(uri.host.name),
        replaces=leg_id,
        replaces_elsewhere=str(replaces) if replaces is not None and leg_id is None else None,
        user_to_user=user_to_user,
    )


def _the_one(message: Message) -> str:
    """The URI of the only Refer-To, with its headers."""
    values = message.values("refer-to")
    if len(values) != 1 or not 0 < len(values[0]) <= _LONGEST_VALUE:  # RFC 3515 §2.4.2
        raise ReferToError(400, "there must be one Refer-To")
    value = values[0].strip()
    found = (_NAME_ADDR if "<" in value else _ADDR_SPEC).fullmatch(value)
    if found is None or len(split_values(value)) != 1:
        raise ReferToError(400, "Refer-To is malformed")
    uri = found[1].strip()
    if not uri.isascii() or not uri.isprintable():
        raise ReferToError(400, "Refer-To holds what no URI may")
    return uri


def _number(text: str) -> str:
    found = _TEL.fullmatch(text)
    number = re.sub(r"[-.()]", "", found[1]) if found is not None else ""
    if not number.lstrip("+"):
        raise ReferToError(400, "Refer-To has no telephone number")
    return number


def _address(text: str) -> tuple[SipUri, str]:
    """The URI without its headers, and its user part, unescaped."""
    found = _SIP.fullmatch(text)
    if found is None:
        raise ReferToError(400, "the URI of Refer-To is malformed")
    user = unquote(found["user"] or "")
    if not user.isprintable():
        raise ReferToError(400, "the user of Refer-To holds control characters")
    try:
        host = parse_host(found["host"] + (found["port"] or ""))
    except ValueError:
        raise ReferToError(400, "the URI of Refer-To has no usable host") from None
    transport, phone = None, False
    for parameter in found["parameters"].split(";")[1:]:
        name, _, setting = (part.strip().lower() for part in parameter.partition("="))
        if name == "method" and setting != "invite":
            raise ReferToError(501, "Refer-To asks for a method other than INVITE")
        if name == "transport":
            if setting not in ("udp", "tcp"):
                raise ReferToError(416, "the transport of Refer-To is not available")
            transport = setting
        phone = phone or (name, setting) == ("user", "phone")
    return SipUri(found["user"], host, transport, phone), user


def _headers(text: str) -> tuple[Replaces | None, tuple[str, ...]]:
    """What is taken of the headers of the URI: Replaces, and all User-to-User."""
    replaces: Replaces | None = None
    user_to_user: list[str] = []
    for name, value in _unescaped(text):
        if name == "replaces":
            if replaces is not None:
                raise ReferToError(400, "Refer-To has more than one Replaces")
            try:
                replaces = parse_replaces(value)
            except ReplacesError as error:
                raise ReferToError(400, str(error)) from None
        elif name == "user-to-user" and value.strip():
            try:
                check_header("User-to-User", value)
            except ValueError as error:
                raise ReferToError(400, str(error)) from None
            user_to_user.append(value)
    if len(user_to_user) > _MOST_UUI:
        raise ReferToError(400, "Refer-To has too many User-to-User")
    return replaces, tuple(user_to_user)


def _unescaped(text: str) -> Iterator[tuple[str, str]]:
    """Names, in lower case, and values (RFC 3261 §19.1.1)."""
    if text.count("&") >= _MOST_HEADERS or _BAD_ESCAPE.search(text):
        raise ReferToError(400, "the headers of Refer-To are malformed")
    for part in text.split("&"):
        name, _, value = part.partition("=")
        yield unquote(name).lower(), unquote(value)
