"""SIP messages as text into values: headers, name-addr, URI users, Reason, User-to-User; used by trunk.py and leg.py.

All of it is pure and fed from the wire. `parse_message` raises MessageError for what is no SIP message; nothing else
raises.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from gateway.calls.causes import ReasonHeader, parse_reason
from gateway.calls.model import JsonObject

_REALM: Final = re.compile(r'\brealm\s*=\s*"([^"]*)"', re.IGNORECASE)
_MOST_HEADERS: Final = 200
_LONGEST_VALUE: Final = 8192
_MOST_REASONS: Final = 8

_COMPACT: Final = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition", "e": "content-encoding",
    "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported", "l": "content-length", "m": "contact",
    "o": "event", "r": "refer-to", "s": "subject", "t": "to", "u": "allow-events", "v": "via", "x": "session-expires",
    "y": "identity",
}  # fmt: skip

_NAME: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")  # RFC 3261 §25.1 token
_FOLD: Final = re.compile(r"\r?\n[ \t]+")  # RFC 3261 §7.3.1: a line that begins with white space goes on the last one
_CONTROLS: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]+")
_END_OF_HEADERS: Final = re.compile(r"\r?\n\r?\n")


class MessageError(ValueError):
    """Raised when a text is not a SIP message at all."""


@dataclass(frozen=True, slots=True)
class Message:
    """A SIP message, taken apart: `headers` in their order, names as received; `by_name` by lower-case long name."""

    start_line: str
    headers: tuple[tuple[str, str], ...]
    by_name: Mapping[str, Sequence[str]]
    body: str

    def values(self, name: str) -> Sequence[str]:
        """The values of all headers of this name (lower case, long form), in order."""
        return self.by_name.get(name, ())

    def first(self, name: str) -> str:
        """The first header of this name (lower case, long form), or ""."""
        values = self.by_name.get(name)
        return values[0] if values else ""

    @property
    def method(self) -> str:
        """The method of a request; "SIP/2.0" for a response."""
        return self.start_line.partition(" ")[0]

    @property
    def request_uri(self) -> str:
        """The Request-URI of a request, as it stands there."""
        parts = self.start_line.split(" ")
        return parts[1] if len(parts) > 1 else ""

    @property
    def transport(self) -> str:
        """The transport in the topmost Via, lower case: what the sender says it used (RFC 3261 §18.1.1)."""
        protocol, _, _ = self.first("via").strip().partition(" ")
        return protocol.rpartition("/")[2].lower()


@dataclass(frozen=True, slots=True)
class NameAddr:
    """`"Ann" <sip:42@host>;tag=1`: the display name (None without one) and the URI."""

    display: str | None
    uri: str


def long_name(name: str) -> str:
    """A header's name in lower case and in its long form (RFC 3261 §7.3.3)."""
    lower = name.lower()
    return _COMPACT.get(lower, lower)


def parse_message(text: str) -> Message:
    """Take a message apart (RFC 3261 §7): unfold lines, drop what is no header. Raises MessageError."""
    end = _END_OF_HEADERS.search(text)
    head, body = (text[: end.start()], text[end.end() :]) if end else (text, "")
    if "\n " in head or "\n\t" in head:
        head = _FOLD.sub(" ", head)
    lines = _printable(head.replace("\r\n", "\n")).split("\n")
    start_line = lines[0]
    if "SIP/2.0" not in start_line:
        raise MessageError(f"no SIP message: {start_line[:60]!r}")
    headers: list[tuple[str, str]] = []
    by_name: dict[str, list[str]] = {}
    for line in lines[1 : _MOST_HEADERS + 1]:
        name, colon, value = line.partition(":")
        name = name.rstrip()
        if colon and _NAME.fullmatch(name):
            value = value.strip()[:_LONGEST_VALUE]
            headers.append((name, value))
            by_name.setdefault(long_name(name), []).append(value)
    return Message(start_line, tuple(headers), by_name, body)


def split_values(value: str) -> list[str]:
    """Several values in one header line: at commas outside of quotes and angle brackets (RFC 3261 §7.3.1)."""
    if "," not in value:
        return [value.strip()] if value.strip() else []
    found, begin, quoted, escaped, angle = [], 0, False, False, False
    for at, char in enumerate(value):
        if quoted:
            quoted = escaped or char != '"'
            escaped = not escaped and char == "\\"
        elif char == '"':
            quoted = True
        elif char in "<>":
            angle = char == "<"
        elif char == "," and not angle:
            found.append(value[begin:at].strip())
            begin = at + 1
    found.append(value[begin:].strip())
    return [part for part in found if part]


def parse_name_addr(value: str) -> NameAddr:
    """Read a From, To or Diversion value; a bare URI ends at its first `;` (RFC 3261 §20.10)."""
    value = value.strip()
    display = None
    if value.startswith('"'):
        display, value = _quoted(value)
    before, bracket, rest = value.partition("<")
    if not bracket:
        return NameAddr(display or None, value.partition(";")[0].strip())
    if display is None:
        display = before.strip()
    return NameAddr(display or None, rest.partition(">")[0].strip())


def user_of(uri: str) -> str:
    """The user part of a sip, sips or tel URI, unescaped, without its parameters; "" if there is none."""
    scheme, colon, rest = uri.partition(":")
    if not colon:
        return ""
    if scheme.lower() == "tel":  # RFC 3966 §3
        return _one_line(unquote(rest.partition(";")[0]))
    rest = rest.partition("?")[0]
    user, at, _ = rest.rpartition("@")
    if not at:
        return ""
    user = user.partition(";")[0].partition(":")[0]  # parameters of a telephone number; a password (deprecated)
    return _one_line(unquote(user))


def parse_user_to_user(value: str) -> JsonObject | None:
    """One User-to-User value (RFC 7433 §4.1): its data and parameters; None if it is empty."""
    if value.startswith('"'):
        data, rest = _quoted(value)
    else:
        data, _, rest = value.partition(";")
        data, rest = data.strip(), ";" + rest
    if not data.strip():
        return None
    found: JsonObject = {"data": data, "encoding": "hex"}
    for part in rest.split(";")[1:9]:
        key, _, setting = part.partition("=")
        if key.strip().lower() in ("encoding", "purpose", "content", "pd"):
            found[key.strip().lower()] = setting.strip().strip('"')
    return found


def auth_realms(message: Message) -> tuple[str, ...]:
    """The realms of all digest challenges of a 401 or 407 (RFC 3261 §22)."""
    challenges = [*message.values("www-authenticate"), *message.values("proxy-authenticate")]
    found = (_REALM.search(challenge) for challenge in challenges)
    return tuple(realm[1][:255] for realm in found if realm is not None)


def reasons(message: Message) -> list[ReasonHeader]:
    """All Reason values (RFC 3326) of a message that have a protocol and a cause."""
    values = [part for value in message.values("reason") for part in split_values(value)]
    return [reason for reason in map(parse_reason, values[:_MOST_REASONS]) if reason is not None]


def _quoted(value: str) -> tuple[str, str]:
    """The text of the quoted string that `value` begins with, unescaped, and what follows it."""
    text: list[str] = []
    escaped = False
    for at, char in enumerate(value[1:], 1):
        if escaped:
            text.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == '"':
            return "".join(text), value[at + 1 :]
        else:
            text.append(char)
    return "".join(text), ""


def _printable(text: str) -> str:
    """What can be stored and sent on as JSON: controls but line feeds, and surrogates (no UTF-8), are replaced."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return _CONTROLS.sub(" ", text).strip()


def _one_line(text: str) -> str:
    return _printable(text).replace("\n", " ")
