"""What a REFER of ours says, as header values: Refer-To with headers in its URI, and Referred-By; used by refers.py.

All of it is pure.
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from gateway.calls.headers import check_header
from gateway.calls.refers import SendRefer
from gateway.sip.headers import parse_name_addr, user_of
from gateway.sip.trunk import TrunkSpec
from gateway.telemetry.log import get_logger

log = get_logger(__name__)

_URI: Final = re.compile(r"(?:sips?|tel):[!$-;=?-\[\]_a-z~]+", re.ASCII | re.IGNORECASE)  # no white space, no `<>"`
_UNESCAPED: Final = "!~*'()"
"""What stands unescaped in a URI header beside letters, digits and `-_.`: RFC 3261 §25.1 mark. More would be allowed,
but may always be escaped too, and a `+` is a space to some."""
_AUTHORITY: Final = re.compile(r"sips?:(?:[^@]*@)?((\[[^\]]*\]|[^:;?>\s]+)(?::\d+)?)", re.IGNORECASE)


def refer_to(order: SendRefer, trunk: TrunkSpec | None) -> str:
    """The value of Refer-To (RFC 3515 §2.1): a URI in angle brackets, with headers (RFC 3261 §19.1.1) for the INVITE
    that it asks for; a header that may not be given is left out. `trunk` is the order's, None if there is no such one.
    Raises ValueError for what is no URI."""
    uri = order.uri
    if uri is None and trunk is not None and order.number:
        uri = trunk.uri_of(order.number)
    if uri is None or not _URI.fullmatch(uri):
        raise ValueError("no URI to refer to")
    headers = "&".join(f"{_escaped(name)}={_escaped(value)}" for name, value in _headers(order))
    if headers:
        uri = f"{uri}{'&' if '?' in uri else '?'}{headers}"
    return f"<{uri}>"


def referred_by(local_uri: str, contact: str) -> str:
    """The value of Referred-By (RFC 3892 §3): who we are in the dialog, at the host that our Contact names; "" if
    neither can be read."""
    where = _AUTHORITY.match(parse_name_addr(contact).uri)
    if where is None:
        return ""
    user = quote(user_of(parse_name_addr(local_uri).uri), safe="+*" + _UNESCAPED)
    return f"<sip:{user}@{where[1]}>" if user else f"<sip:{where[1]}>"


def host_of(contact: str) -> str:
    """The host that a Contact names, lower case, IPv6 without brackets; "" if it cannot be read."""
    where = _AUTHORITY.match(parse_name_addr(contact).uri)
    return where[2].strip("[]").lower() if where is not None else ""


def _headers(order: SendRefer) -> Iterator[tuple[str, str]]:
    """User-to-User first, as in an INVITE of ours; then what the bot gave, but for a User-to-User beside it."""
    own = [("User-to-User", value) for value in order.user_to_user]
    given = [(name, value) for name, value in order.headers if not own or name.lower() != "user-to-user"]
    for name, value in (*own, *given):
        try:
            check_header(name, value)
            if name.lower() == "body":  # RFC 3261 §19.1.1: it would be the INVITE's body
                raise ValueError("body is no header")
        except ValueError as error:  # the core checks first; what a bug lets through must not reach the wire
            log.warning("leg.header_refused", detail=str(error))
        else:
            yield name, value


def _escaped(text: str) -> str:
    return quote(text, safe=_UNESCAPED)
