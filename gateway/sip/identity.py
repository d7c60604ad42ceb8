"""Who a caller is as a trusted trunk vouches for it: RFC 3325, Remote-Party-ID, verstat; used by trunk.py.

All of it is pure, fed from the wire, and raises nothing. Whether the trunk is to be believed is the caller's business.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from gateway.sip.headers import Message, NameAddr, parse_name_addr, split_values, user_of

ANONYMOUS: Final = "anonymous"
"""What is told instead of a withheld number; also the user of RFC 3323's anonymous URI."""
REVEALING: Final = frozenset(
    {"from", "contact", "p-asserted-identity", "p-preferred-identity", "remote-party-id", "identity"}
)
"""Headers that tell a withheld number all the same; Identity does so inside of its token (ATIS-1000074)."""

_MOST_VALUES: Final = 8
_PHONE_NUMBER: Final = re.compile(r"\+?[0-9*#().-]{2,40}")
_SEPARATORS: Final = str.maketrans("", "", "().-")  # RFC 3966 §5.1.1: for the eye only
_VERSTAT: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,64}")  # RFC 3261 §25.1 token
_WITHHOLDING: Final = frozenset({"id", "user", "header"})  # RFC 3323 §4.2, RFC 3325 §9.3
_WITHHOLDING_RPID: Final = frozenset({"full", "uri"})
_DIVERTED: Final = frozenset({"302", "404", "408", "480", "486", "487", "503"})  # RFC 4458 §2


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller, vouched for. A `withheld` one has the number ANONYMOUS and no name."""

    number: str
    name: str | None
    verstat: str | None
    withheld: bool


def trusted_identity(invite: Message) -> Identity:
    """P-Asserted-Identity (a telephone number, if there is one), else the calling Remote-Party-ID, else From.

    A display name is taken from where the number is; From's too, if it is the name of the same number. A caller who
    asked for privacy is withheld: the bot belongs to the callee, and is outside of the network that may know
    (RFC 3325 §7). `verstat` stays, as it tells no number.
    """
    sender = parse_name_addr(invite.first("from"))
    asserted = [parse_name_addr(value) for value in _values(invite, "p-asserted-identity")]
    rpid, rpid_says = _calling_party(invite)
    verstat = next(filter(None, map(_verstat, [addr.uri for addr in (*asserted, sender)])), None)
    if _asks_for_privacy(invite, sender) or rpid_says.get("privacy") in _WITHHOLDING_RPID:
        return Identity(ANONYMOUS, None, verstat, withheld=True)
    chosen = _best(asserted)
    if chosen is None and rpid_says.get("screen") != "no":  # "no": the network did not look at it
        chosen = _best(rpid)
    if chosen is None:
        return Identity(user_of(sender.uri), sender.display, verstat, withheld=False)
    number = _number(chosen.uri)
    same = number == _number(sender.uri)
    hidden = rpid_says.get("privacy") == "name"
    name = None if hidden else chosen.display or (sender.display if same else None)
    return Identity(number, name, verstat, withheld=False)


def diverted_by(invite: Message) -> str | None:
    """Who diverted the call last, of History-Info: the entry before the last one that was diverted to (RFC 7044).

    None if there is none, or if the diverting user wants to stay unknown.
    """
    if "history" in _privacy(invite):
        return None
    entries = [parse_name_addr(value).uri for value in _values(invite, "history-info")]
    for before, after in reversed(list(pairwise(entries))):
        if _parameter(after.partition("?")[0].rpartition("@")[2], "cause") in _DIVERTED:
            return None if "privacy=history" in before.lower() else _number(before) or None
    return None


def _values(invite: Message, name: str) -> list[str]:
    return [part for value in invite.values(name)[:_MOST_VALUES] for part in split_values(value)][:_MOST_VALUES]


def _privacy(invite: Message) -> set[str]:
    return {word.strip().lower() for value in invite.values("privacy") for word in re.split("[;,]", value)}


def _asks_for_privacy(invite: Message, sender: NameAddr) -> bool:
    """Without a Privacy header, an anonymous From says it (RFC 3323 §4.1.1); `none` says the opposite."""
    asked = _privacy(invite)
    return bool(asked & _WITHHOLDING) or ("none" not in asked and "@anonymous.invalid" in sender.uri.lower())


def _calling_party(invite: Message) -> tuple[list[NameAddr], dict[str, str]]:
    """The Remote-Party-ID of the caller (draft-ietf-sip-privacy-04 §5; none or one) and its parameters."""
    for value in _values(invite, "remote-party-id"):
        parameters = {name: said.lower() for name, said in _parameters(value.rpartition(">")[2])}
        if parameters.get("party", "calling") == "calling":
            return [parse_name_addr(value)], parameters
    return [], {}


def _best(addresses: list[NameAddr]) -> NameAddr | None:
    """The first one with a telephone number, else the first with any user."""
    numbers = [address for address in addresses if _PHONE_NUMBER.fullmatch(user_of(address.uri))]
    others = [address for address in addresses if user_of(address.uri)]
    return next(iter(numbers + others), None)


def _number(uri: str) -> str:
    user = user_of(uri)
    return user.translate(_SEPARATORS) if _PHONE_NUMBER.fullmatch(user) else user


def _verstat(uri: str) -> str | None:
    """Of a tel URI, or of the user part of a sip URI (3GPP TS 24.229 §7.2A.20)."""
    scheme, _, rest = uri.partition(":")
    user = rest if scheme.lower() == "tel" else rest.partition("?")[0].rpartition("@")[0]
    found = _parameter(user, "verstat")
    return found if found is not None and _VERSTAT.fullmatch(found) else None


def _parameter(text: str, name: str) -> str | None:
    return next((value for key, value in _parameters(text) if key == name), None)


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split(";")[1:]:
        key, _, value = part.partition("=")
        yield key.strip().lower(), value.strip().strip('"')
