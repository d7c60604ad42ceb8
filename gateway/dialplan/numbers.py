"""Phone numbers: E.164, the pattern language of routes, masking; used by schema.py, routing.py and the log.

Patterns (`to` and `from` of a route):

    +12125550100   this number. Numbers are written in E.164 (ITU-T E.164): + and country code first
    +1212555XXXX   X is any one digit
    +1212*         * at the end is any rest, also none
    8XX            three digits that begin with 8 (a short number; it is not an E.164 number)
    alice          this user name, letter by letter
    *              everything, also no number at all

X means a digit only in patterns made of digits, +, X and a final *; in a name it is a letter.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote

import phonenumbers

_MAX_USER = 128  # characters of a SIP user part that we look at as a number
_SEPARATORS = re.compile(r"[-.()\s]")  # RFC 3966 §5.1.1 visual separators
_NUMERIC = re.compile(r"\+?[0-9X]*\*?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_.!~'()&=$,;?/%+-]+\*?", re.ASCII)  # RFC 3261 §25.1 user
_FOREIGN = re.compile(r"_?\+?(?=.*[0-9])[0-9XxNnZz.!]+\*?", re.ASCII)


def normalise(user: str, region: str | None = None) -> str | None:
    """The E.164 form (`+12125550100`) of a SIP user part, or None when it is not such a number.

    Understood: `+1…`, `001…`, `1…` (digits with the country code), visual separators, `%2B`, parameters after `;`
    (RFC 3966), and, with a `region` (ISO 3166 code such as `US`), that country's national form. Short numbers
    (fewer than 8 digits) are extensions, not E.164. Length is checked, whether it was ever assigned is not.
    """
    if len(user) > _MAX_USER:
        return None
    digits = without_marks(unquote(user).split(";")[0])
    if not re.fullmatch(r"\+?[0-9]{8,18}", digits, re.ASCII):
        return None
    if digits.startswith("+"):
        return _e164(digits, None)
    national = _e164(digits, region) if region else None
    if national:
        return national
    return _e164("+" + (digits[2:] if digits.startswith("00") else digits), None)


def dialled(text: str, region: str | None = None) -> str | None:
    """The E.164 form of a number that somebody asks us to call, with or without its + (transfer.md): digits that are a
    number of some country are that one, whatever the trunk's `region`; only others are read as the region's own."""
    if not text.startswith(("+", "0")):
        number = normalise(f"+{text}")
        if number is not None and phonenumbers.is_valid_number(phonenumbers.parse(number)):
            return number
    return normalise(text, region)


def _e164(digits: str, region: str | None) -> str | None:
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def without_marks(text: str) -> str:
    """The text without the marks that only make a number easier to read: space, `-`, `.`, `(` and `)`."""
    return _SEPARATORS.sub("", text)


def is_extension(text: str) -> bool:
    """Whether this is a short number of a house: 2 to 6 digits (design: dialplan.md, `extensions`)."""
    return re.fullmatch(r"[0-9]{2,6}", text, re.ASCII) is not None


def as_dialled_in(number: str, region: str) -> str:
    """An E.164 number as people dial it in a country: the national form with its trunk prefix for the country's own
    (`02071234567` in GB), else with the international prefix (`0012125550100`). Digits only; `+` and country code
    where the country has no single international prefix.
    """
    parsed = phonenumbers.parse(number)
    if parsed.country_code == phonenumbers.country_code_for_region(region):
        text = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
    else:
        text = phonenumbers.format_out_of_country_calling_number(parsed, region)
    return ("+" if text.startswith("+") else "") + re.sub("[^0-9]", "", text)


def is_region(code: str) -> bool:
    """Whether this is the code of a country with phone numbers (`US`, `GB`, `NO`)."""
    return code in phonenumbers.SUPPORTED_REGIONS


def check_pattern(text: str) -> str:
    """Return the pattern as it is. Raises ValueError that says what to write instead."""
    if not text:
        raise ValueError('is empty; write a number, or "*" for everything')
    if len(text) > _MAX_USER:
        raise ValueError(f"is longer than {_MAX_USER} characters")
    if "*" in text[:-1]:
        raise ValueError(f'"{text}": * may only be the last character; X is any one digit')
    if _NUMERIC.fullmatch(text):
        return text
    if _FOREIGN.fullmatch(text):
        raise ValueError(f'"{text}" is not a pattern; write X (capital) for any digit, and * at the end for any rest')
    bare = _SEPARATORS.sub("", text)
    if _NUMERIC.fullmatch(bare) and re.search("[0-9]", bare):
        raise ValueError(f'write the number without spaces and marks: "{bare}"')
    if not _NAME.fullmatch(text):
        raise ValueError(f'"{text}" is not a number or user name; write one like "+12125550100", "8XX" or "*"')
    return text


@lru_cache(maxsize=4096)  # the numbers of a trunk are called again and again, and each parse takes 20 µs
def forms(user: str, region: str | None = None) -> tuple[str, ...]:
    """What a user part may be matched as: its exact text first, then its E.164 form if that is another."""
    number = normalise(user, region)
    return (user, number) if number and number != user else (user,)


def matches(pattern: str, user: str, region: str | None = None) -> bool:
    """Whether the pattern covers this user part: by its exact text, else by its E.164 form."""
    return matches_any(pattern, forms(user, region))


def matches_any(pattern: str, texts: tuple[str, ...]) -> bool:
    """Whether the pattern covers one of these texts (the `forms` of a user part)."""
    compiled = _compiled(pattern)
    return any(compiled.fullmatch(text) for text in texts)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    body = pattern.removesuffix("*")
    expression = re.escape(body)
    if _NUMERIC.fullmatch(pattern):
        expression = expression.replace("X", "[0-9]")
    return re.compile(expression + (".*" if pattern.endswith("*") else ""), re.DOTALL)


def mask(number: str) -> str:
    """The number as logs show it: `+12125550123` becomes `+1212•••0123`.

    Always three dots, whatever they stand for. Short extensions (up to 4 digits) are names of the house, not
    people's numbers, and stay.
    """
    length = len(number)
    if re.fullmatch(r"[0-9]{0,4}", number, re.ASCII):
        return number
    if length <= 7:
        return "•••" + number[max(length - 2, 3) :]
    return number[: min(length - 7, 5)] + "•••" + number[-4:]
