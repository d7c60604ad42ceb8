"""User-to-User information as header values (RFC 7433): what a bot gives, checked and encoded; for the core that dials.

The shape is the one that Genesys Cloud documents and Avaya reads: `00` and the data in hex, then `;encoding=hex`, or,
with the discriminator as a parameter, the data in hex and `;pd=00;encoding=hex`; `purpose` and `content` come last.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

MOST_VALUES: Final = 8
"""How many User-to-User headers a request may have; as many are read of one that comes in."""
LONGEST_DATA: Final = 1024
"""Bytes of data in one value, before hex doubles them; ISDN carries 128 (RFC 7434 §1)."""
LONGEST_TOGETHER: Final = 4096
"""Bytes of all values of a request: with 8 KiB of other headers it still fits in PJSIP's largest packet."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")  # RFC 3261 §25.1 token
_LONGEST_TOKEN: Final = 64
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_OCTET: Final = re.compile(r"[0-9A-Fa-f]{2}")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # a tab is white space, as in headers.py


@dataclass(frozen=True, slots=True)
class Uui:
    """One piece of user-to-user information, as transfer.md describes it (`userToUser`).

    `data` is hex digits, a text to be sent in hex (`ascii`, whatever its script: its UTF-8 bytes), or a text to be sent
    as it is (`raw`). `protocol_discriminator` is one octet in hex: put before the data (`prefix`; never before raw
    data), or sent as `pd` (`parameter`).
    """

    data: str
    encoding: Literal["hex", "ascii", "raw"] = "hex"
    purpose: str | None = None
    content: str | None = None
    protocol_discriminator: str = "00"
    discriminator_mode: Literal["prefix", "parameter"] = "prefix"


def encode(uui: Uui) -> str:
    """The header value. Raises ValueError, a sentence that names the field as the bot writes it."""
    if not _OCTET.fullmatch(uui.protocol_discriminator):
        raise ValueError("protocolDiscriminator is not two hex digits")
    if uui.encoding == "raw":
        data = _raw(uui.data)
    else:
        data = _in_hex(uui)
        if uui.discriminator_mode == "prefix":
            data = uui.protocol_discriminator + data
    pd = uui.protocol_discriminator if uui.discriminator_mode == "parameter" else None
    parameters = {
        "pd": pd,
        "encoding": None if uui.encoding == "raw" else "hex",
        "purpose": uui.purpose,
        "content": uui.content,
    }
    return data + "".join(f";{name}={_token(name, value)}" for name, value in parameters.items() if value is not None)


def encode_all(values: Sequence[Uui | str]) -> tuple[str, ...]:
    """The values of all User-to-User headers of a request, in order. A plain string is a whole header value already.

    Raises ValueError, a sentence that names the field, also if they are too many or too long together.
    """
    if len(values) > MOST_VALUES:
        raise ValueError(f"userToUser has more than {MOST_VALUES} values")
    encoded = tuple(encode(value) if isinstance(value, Uui) else _whole(value) for value in values)
    if sum(len(value.encode()) for value in encoded) > LONGEST_TOGETHER:
        raise ValueError(f"userToUser is longer than {LONGEST_TOGETHER} bytes in all")
    return encoded


def _in_hex(uui: Uui) -> str:
    digits = uui.data if uui.encoding == "hex" else _bytes("data", uui.data).hex()
    if not digits:
        raise ValueError("data is empty")
    if not _HEX.fullmatch(digits):
        raise ValueError("data is not an even number of hex digits")
    if len(digits) > 2 * LONGEST_DATA:
        raise ValueError(f"data is longer than {LONGEST_DATA} bytes")
    return digits


def _raw(data: str) -> str:
    """A token, else a quoted string (RFC 7433 §4.1)."""
    if not data.strip():
        raise ValueError("data is empty")
    if _CONTROLS.search(data):
        raise ValueError("data holds a line break or another control character, which raw data cannot")
    if len(_bytes("data", data)) > LONGEST_DATA:
        raise ValueError(f"data is longer than {LONGEST_DATA} bytes")
    if _TOKEN.fullmatch(data):
        return data
    escaped = data.replace("\\", "\\\\").replace('"', '\\"')  # RFC 3261 §25.1 quoted-pair
    return f'"{escaped}"'


def _whole(value: str) -> str:
    if not value.strip():
        raise ValueError("userToUser is empty")
    if _CONTROLS.search(value):
        raise ValueError("userToUser holds a line break or another control character")
    _bytes("userToUser", value)
    return value


def _token(name: str, value: str) -> str:
    if len(value) > _LONGEST_TOKEN or not _TOKEN.fullmatch(value):
        raise ValueError(f"{name} is not a token of at most {_LONGEST_TOKEN} characters (RFC 3261 §25.1)")
    return value


def _bytes(name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # lone surrogates, which JSON can hold
        raise ValueError(f"{name} is not Unicode text") from None
