"""What plans are made of: the frozen model, texts with a meaning, secrets; the base of schema.py and settings.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Self, cast
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    PlainValidator,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from gateway.dialplan.addresses import Host, parse_host
from gateway.dialplan.hours import Hours, parse_hours
from gateway.dialplan.numbers import check_pattern, is_extension, is_region, normalise
from gateway.dialplan.sip_uris import parse_sip_uri

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_MEDIA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9][A-Za-z0-9_-]*)*", re.ASCII)


class Model(BaseModel):
    """A part of a plan: frozen, no unknown keys, no guessing of types, and no input shown in errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )


# ── texts with a meaning ─────────────────────────────────────────────────────────────────────────────────────────────


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f'"{text}" is not a name; write letters, digits, "-", "_" and "." only, at most 64')
    return text


def _media_name(text: str) -> str:
    if len(text) > 128 or not _MEDIA_NAME.fullmatch(text):
        raise ValueError(f'"{text}" is not a name from media/; write one like "one-moment" or "hold/calm"')
    return text


def _trunk_host(given: object) -> Host:
    if isinstance(given, Host):
        return given
    try:
        return parse_host(given if isinstance(given, str) else "")
    except ValueError as error:
        raise ValueError(f"{error}; write one like sip.acme.example or 203.0.113.5, with :port if need be") from None


def _header_pattern(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.!%_`'~+*-]+", text, re.ASCII) or "*" in text[:-1]:  # RFC 3261 §25.1 token
        raise ValueError(f'"{text}" is not a header name; write one like "X-CRM-Id" or "X-*"')
    return text


def _web_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f]", text):
        raise ValueError("is not a web address; write one like https://bots.example/reception")
    if parts.username is not None:
        raise ValueError("holds a user name or password; remove it, requests are signed with `secret`")
    return text


def _language(text: str) -> str:
    if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", text, re.ASCII):
        raise ValueError(f'"{text}" is not a language; write one like en-US (RFC 5646)')
    return text


def _region(text: str) -> str:
    if not is_region(text):
        raise ValueError(f'"{text}" is not a country; write its ISO 3166 code, such as US or NO')
    return text


def user_name(text: str) -> str:
    """A user name for digest credentials: it stands in quotes and in a URI (RFC 3261 §25.1)."""
    if not re.fullmatch(r"[A-Za-z0-9\-_.!~*'()&=+$,;?/%]{1,128}", text, re.ASCII):
        raise ValueError(f'"{text}" cannot stand in a SIP URI; write the user name that the carrier gave you')
    return text


def exact_realm(text: str) -> str:
    """A realm: never the wildcard, which would give the password to whoever asks (hostile-world.md)."""
    if text == "*":
        raise ValueError(
            '"*" would answer any challenger; write the realm of the carrier\'s 401, such as "acme.example"'
        )
    if not re.fullmatch(r'[^"\\\x00-\x1f\x7f]{1,255}', text):
        raise ValueError("is not a realm; write the one in the carrier's 401, such as acme.example")
    return text


def _dialled(text: str) -> str:
    if is_extension(text) or (text.startswith("+") and normalise(text) == text):
        return text
    raise ValueError(f'"{text}" is not a number; write it in E.164, such as "+16125550111", or an extension, "812"')


def _dialled_prefix(text: str) -> str:
    if not re.fullmatch(r"\+[1-9][0-9]{0,14}", text, re.ASCII):
        raise ValueError(f'"{text}" is not the beginning of an E.164 number; write one like "+1" or "+1900"')
    return text


def _digits(text: str) -> str:
    if not re.fullmatch(r"[0-9]{0,15}", text, re.ASCII):
        raise ValueError(f'"{text}" is not digits; write up to 15 of them, such as "9"')
    return text


def _bare_host(text: str) -> str:
    try:
        host = parse_host(text)
    except ValueError as error:
        raise ValueError(f"{error}; write one like sip.acme.example or 203.0.113.5") from None
    if host.port is not None:
        raise ValueError(f"names a port; write {host.name} alone, any port of it is meant")
    return host.name


def _sip_target(text: str) -> str:
    if not text.startswith("sip:"):
        raise ValueError('is not a SIP URI; write one like "sip:ann@10.0.0.5"')
    parse_sip_uri(text)
    return text


def _display_name(text: str) -> str:
    if not text.isprintable() or not text.strip() or len(text) > 64:
        raise ValueError("is not a name to be shown; write 1 to 64 letters and other visible characters")
    return text


def off_is_none(given: object) -> object:
    """`off` means None."""
    return None if given in ("off", False) else given


def _hours(given: object) -> Hours:
    if isinstance(given, Hours):
        return given
    if not isinstance(given, str) or not given.strip():
        raise ValueError('write hours like "mon-fri 09:00-18:00 America/New_York"')
    return parse_hours(given)


Name = Annotated[str, AfterValidator(_name)]
"""The name of a trunk, channel, queue, agent or contact."""

MediaName = Annotated[str, AfterValidator(_media_name)]
"""The name of a file in media/, without folder of its kind and ending: `one-moment`, `hold/calm`."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
"""Something to be spoken."""

WebUrl = Annotated[str, AfterValidator(_web_url)]
NumberPattern = Annotated[str, AfterValidator(check_pattern)]
HeaderPattern = Annotated[str, AfterValidator(_header_pattern)]
TrunkHost = Annotated[Host, PlainValidator(_trunk_host), WithJsonSchema({"type": "string"})]
HoursText = Annotated[Hours, PlainValidator(_hours), WithJsonSchema({"type": "string"})]
Params = Mapping[str, object]
DialledNumber = Annotated[str, AfterValidator(_dialled)]
DialledPrefix = Annotated[str, AfterValidator(_dialled_prefix)]
Digits = Annotated[str, AfterValidator(_digits)]
BareHost = Annotated[str, AfterValidator(_bare_host)]
SipTarget = Annotated[str, AfterValidator(_sip_target)]
DisplayName = Annotated[str, AfterValidator(_display_name)]
Language = Annotated[str, AfterValidator(_language)]
Region = Annotated[str, AfterValidator(_region)]

# ── parts that several models share ──────────────────────────────────────────────────────────────────────────────────


class Secret(Model):
    """A secret by reference, never by value: `{env: NAME}` or `{file: path}` (path from the working directory).

    Its value is fetched while the plan is loaded, and shown by nothing but `reveal`.
    """

    env: str | None = None
    """Name of the environment variable that holds it."""
    file: str | None = None
    """Path of the file that holds it; a line end at its end is not part of it."""
    _value: SecretStr | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _never_inline(cls, given: object) -> object:
        if not isinstance(given, dict):
            raise ValueError("a secret is never written here; write {env: NAME} or {file: path}")
        return given

    @model_validator(mode="after")
    def _fetch(self, info: ValidationInfo) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("write either {env: NAME} or {file: path}")
        if self.env is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", self.env, re.ASCII):
            raise ValueError("env takes the name of a variable (capitals, digits, _), not the secret itself")
        fetch = cast("Callable[[Secret], str] | None", info.context)
        if fetch is not None:
            self._value = SecretStr(fetch(self))
        return self

    def reveal(self) -> str:
        """The secret itself. Raises LookupError when the plan was made without fetching secrets."""
        if self._value is None:
            raise LookupError(f"the secret {self!r} was not fetched")
        return self._value.get_secret_value()


class Spoken(Model):
    """Something that the caller hears: a text for the TTS engine, or a recorded prompt. Exactly one."""

    say: Text | None = None
    """Text that is spoken with the channel's voice."""
    prompt: MediaName | None = None
    """Name of a prompt in media/prompts."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.say is None) == (self.prompt is None):
            raise ValueError("write either `say: a text` or `prompt: a name from media/prompts`")
        return self


def kind(given: object) -> str:
    """Discriminator of `a word | a mapping`: which of the two was written."""
    return "word" if isinstance(given, str | bool) or given is None else "mapping"
