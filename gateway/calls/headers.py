"""Which SIP headers a bot or API client may set, and what none may hold (hostile-world.md); read by replies."""

import re
from typing import Final

_TOKEN: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")  # RFC 3261 §25.1 token
_FORBIDDEN_IN_VALUE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # a tab is white space, every other control is not

RESERVED: Final = frozenset({
    "via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "contact", "m", "route", "record-route", "max-forwards",
    "authorization", "www-authenticate", "require", "supported", "k", "replaces", "referred-by", "b", "l", "c", "e",
    "reason", "refer-to", "r", "event", "o", "rack", "rseq", "session-expires", "x", "min-se", "allow", "unsupported",
})  # fmt: skip
"""Names, lower case with the compact forms, that are the stack's own (Reason is made from the cause)."""
IDENTITY: Final = frozenset({
    "p-asserted-identity", "p-preferred-identity", "remote-party-id", "diversion", "history-info", "privacy",
    "identity",
})  # fmt: skip
"""Names by which a network is told who somebody is: a bot may not, as no trunk can name them in `from_bot` yet."""
_RESERVED_PREFIXES: Final = ("content-", "proxy-")


def check_header(name: str, value: str, *, identity: bool = False) -> None:
    """Raise ValueError, saying what is wrong, unless the header may go on the wire as it is.

    `identity`: those of IDENTITY may, as the gateway made them itself, or looked before whether the trunk names them.
    """
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name")
    lower = name.lower()
    if lower in RESERVED or lower.startswith(_RESERVED_PREFIXES):
        raise ValueError(f"{name} is set by the gateway and cannot be given")
    if lower in IDENTITY and not identity:
        raise ValueError(f"{name} tells a network who somebody is and cannot be given")
    if len(value.encode()) > 4096:
        raise ValueError(f"{name} is longer than 4 KiB")
    if _FORBIDDEN_IN_VALUE.search(value):
        raise ValueError(f"{name} holds a line break or another control character")
