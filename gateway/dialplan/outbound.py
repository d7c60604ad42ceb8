"""Where an outbound leg goes and whom it shows, or why not; called by transfers and by `switchhook route --out`.

Design: transfer.md (phoneNumber, sipUri, agent, contact, transferChannel, trunk, callerId), dialplan.md (trunks,
destinations). Pure; the plan is the one that the call runs by. Sentences for bots mask numbers: they are logged too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from gateway.dialplan.destinations import Verdict, denied_by, on_host, on_number, on_user
from gateway.dialplan.numbers import as_dialled_in, dialled, is_extension, mask, normalise, without_marks
from gateway.dialplan.problems import did_you_mean
from gateway.dialplan.schema import Dialplan, Trunk
from gateway.dialplan.shown import NOBODY, AskedCaller, From, Shown, diverting, shown_caller
from gateway.dialplan.sip_uris import parse_sip_uri

__all__ = ["IDENTITY", "AskedCaller", "From", "NoWay", "Wanted", "Way", "refused_header", "way_out", "written"]

IDENTITY: Final = frozenset({
    "p-asserted-identity", "p-preferred-identity", "remote-party-id", "diversion", "history-info", "privacy",
    "identity",
})  # fmt: skip
"""Names, lower case, by which a network is told who somebody is (hostile-world.md)."""

_LONGEST_NAME: Final = 64
_NUMBER: Final = re.compile(r"[ ]*\+?[-0-9. ()]+", re.ASCII)
_E164_LIKE: Final = "write it in E.164, such as +16125550111"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom to reach: exactly one of the first four, as the bot wrote it.

    `channel` (transferChannel) means that channel's trunk; `trunk` is the one to use else. An agent and a contact have
    a trunk of their own in the plan, which is used whatever these say.
    """

    phone_number: str | None = None
    sip_uri: str | None = None
    agent: str | None = None
    contact: str | None = None
    channel: str | None = None
    trunk: str | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """Dial this on that trunk. Exactly one of `number` (as the trunk wants it) and `uri` (a whole `sip:` URI).

    `shown` is what the status event calls the target: a number as it was asked for, without visual separators; a URI as
    it was asked for; an agent and a contact by name. `diverting` is the number that the customer had called, if the
    trunk shows it in Diversion. `steps` is the way to the decision, one sentence each, for the operator.
    """

    trunk: str
    number: str | None
    uri: str | None
    shown: str
    caller_number: str
    caller_name: str | None
    withheld: bool
    diverting: str | None
    steps: tuple[str, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class NoWay:
    """Nothing is dialled. `reason` is that of the transfer (transfer.md), `detail` one sentence for whoever wrote the
    bot: it begins with the field that is wrong."""

    reason: Literal["blocked", "invalid-request", "invalid-number", "no-agents"]
    detail: str
    steps: tuple[str, ...] = field(default=(), compare=False, repr=False)


class _Refused(Exception):
    """Ends the search for a way; becomes a NoWay, and never leaves this module."""

    def __init__(self, reason: Literal["blocked", "invalid-request", "invalid-number"], detail: str) -> None:
        super().__init__(detail)
        self.no_way = NoWay(reason, detail)


@dataclass(frozen=True, slots=True)
class _Target:
    """What is dialled, before anybody looks at the caller."""

    trunk: str
    shown: str
    number: str | None = None
    uri: str | None = None


def way_out(plan: Dialplan, wanted: Wanted, asked: AskedCaller | None, call: From) -> Way | NoWay:
    """The trunk, the target and the caller of a leg that is to be dialled for this call; raises nothing.

    The trunk is that of an agent or contact; else of `wanted.channel`; else `wanted.trunk`; else of the call's own
    channel; else the one that the call came on. A channel without a trunk is passed over. A name that the plan does not
    have is `invalid-request`, as is what cannot be read or shown; what the plan does not let us dial is `blocked`.
    `asked` is None when somebody else dials it (REFER): nobody is shown, and the caller's number is "".
    """
    steps: list[str] = []
    try:
        target = _target(plan, wanted, call, steps)
        trunk = plan.trunks[target.trunk]
        shown = shown_caller(plan, target.trunk, asked, call) if asked is not None else NOBODY
        if isinstance(shown, str):
            raise _Refused("invalid-request", shown)
    except _Refused as refused:
        return replace(refused.no_way, steps=(*steps, f"{refused.no_way.reason}: {refused.no_way.detail}"))
    if asked is not None:
        steps.append(_says_who(trunk, shown))
    return Way(
        trunk=target.trunk,
        number=target.number,
        uri=target.uri,
        shown=target.shown,
        caller_number=shown.number,
        caller_name=shown.name,
        withheld=shown.withheld,
        diverting=diverting(plan, trunk, call) if asked is not None else None,
        steps=tuple(steps),
    )


def written(number: str, trunk: Trunk) -> str:
    """A number as this trunk wants it: digits only, with a leading `+` if its `number_format` has one.

    First the format: `e164` +16125550111, `digits` 16125550111, `national` as dialled inside the trunk's region (also
    to other countries, with the international prefix). Then `strip` digits are taken from its beginning, then `prefix`
    is put before it; both take the `+` away. An extension (2 to 6 digits) stays as it is. `number` is E.164 or an
    extension. "" if strip leaves nothing of it.
    """
    if is_extension(number):
        return number
    text = number
    if trunk.number_format == "national" and trunk.region is not None:
        text = as_dialled_in(number, trunk.region)
    elif trunk.number_format == "digits":
        text = number.removeprefix("+")
    if not trunk.strip and not trunk.prefix:
        return text
    rest = text.removeprefix("+")[trunk.strip :]
    return trunk.prefix + rest if rest else ""


def refused_header(trunk: Trunk, names: Collection[str]) -> str | None:
    """The first of these SIP header names that a bot may not set on this trunk, as given; None if it may set them all.

    The trunk's `headers.from_bot` decides, without regard to case. Names of IDENTITY must stand there in full: no
    pattern with `*` covers them. That reserved names (Via, From, …) are never set is calls/headers.py's business.
    """
    patterns = [pattern.lower() for pattern in trunk.headers.from_bot]
    for name in names:
        lower = name.lower()
        beginnings = [one.removesuffix("*") for one in patterns if one.endswith("*") and lower not in IDENTITY]
        if lower not in patterns and not any(lower.startswith(one) for one in beginnings):
            return name
    return None


# ── the target ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _target(plan: Dialplan, wanted: Wanted, call: From, steps: list[str]) -> _Target:
    given = (wanted.phone_number, wanted.sip_uri, wanted.agent, wanted.contact)
    if sum(one is not None for one in given) != 1:
        raise _Refused("invalid-request", "write exactly one of phoneNumber, sipUri, agent, contact")
    trunk, why = _asked_trunk(plan, wanted, call)
    if wanted.agent is not None:
        return _agent(plan, wanted.agent, steps)
    if wanted.contact is not None:
        return _contact(plan, wanted.contact, steps)
    steps.append(f"trunk {trunk}: {why}")
    if wanted.phone_number is not None:
        return _number(plan, trunk, "phoneNumber", wanted.phone_number, steps)
    text = wanted.sip_uri or ""
    if text[:4].lower() == "tel:":  # RFC 3966
        return _number(plan, trunk, "sipUri", text[4:], steps)
    return _uri(plan, trunk, text, steps)


def _asked_trunk(plan: Dialplan, wanted: Wanted, call: From) -> tuple[str, str]:
    """The trunk that a number or URI goes over, and why that one."""
    if wanted.channel is not None and wanted.channel not in plan.channels:
        raise _unknown("transferChannel", "channel", wanted.channel, list(plan.channels))
    if wanted.trunk is not None and wanted.trunk not in plan.trunks:
        raise _unknown("trunk", "trunk", wanted.trunk, list(plan.trunks))
    asked_channel = plan.channels.get(wanted.channel or "")
    own_channel = plan.channels.get(call.channel)
    choices = (
        (asked_channel.trunk if asked_channel else None, f"of transferChannel {wanted.channel}"),
        (wanted.trunk, "asked for"),
        (own_channel.trunk if own_channel else None, f"of the call's channel {call.channel}"),
        (call.trunk, "the one that the call came on"),
    )
    trunk, why = next((name, why) for name, why in choices if name is not None)
    if trunk not in plan.trunks:
        raise _unknown("trunk", "trunk", trunk, list(plan.trunks))
    return trunk, why


def _unknown(key: str, kind: str, name: str, known: Sequence[str]) -> _Refused:
    listing = f"write one of {', '.join(sorted(known)[:20])}" if known else f"the plan has no {kind}s"
    hint = did_you_mean(name, known, listing) if len(name) <= _LONGEST_NAME else listing
    asked = "".join(char for char in name[:_LONGEST_NAME] if char.isprintable())
    return _Refused("invalid-request", f'{key}: there is no {kind} "{asked}"; {hint}')


def _agent(plan: Dialplan, name: str, steps: list[str]) -> _Target:
    agent = plan.agents.get(name)
    if agent is None:
        raise _unknown("agent", "agent", name, list(plan.agents))
    if agent.trunk not in plan.trunks:
        raise _unknown("trunk", "trunk", agent.trunk, list(plan.trunks))
    trunk = plan.trunks[agent.trunk]
    uri = parse_sip_uri(agent.target)
    _not_denied(plan, "agent", normalise(uri.number or "", trunk.region))
    whole = uri.over(trunk.transport)
    steps += [f"trunk {agent.trunk}: of agent {name}", f"{whole}: allowed, the plan names this agent"]
    return _Target(agent.trunk, name, uri=whole)


def _contact(plan: Dialplan, name: str, steps: list[str]) -> _Target:
    contact = plan.contacts.get(name)
    if contact is None:
        raise _unknown("contact", "contact", name, list(plan.contacts))
    if contact.trunk not in plan.trunks:
        raise _unknown("trunk", "trunk", contact.trunk, list(plan.trunks))
    _not_denied(plan, "contact", contact.phoneNumber)
    steps += [
        f"trunk {contact.trunk}: of contact {name}",
        f"{contact.phoneNumber}: allowed, the plan names this contact",
    ]
    return _Target(contact.trunk, name, number=_write(plan, contact.trunk, "contact", contact.phoneNumber, steps))


def _not_denied(plan: Dialplan, key: str, number: str | None) -> None:
    """The plan's own agents and contacts need no `allow`, but a `deny` wins over them too (parse.py told it)."""
    denied = denied_by(plan.destinations, number) if number is not None else None
    if denied is not None:
        raise _Refused("blocked", f'{key}: may not be called: destinations.deny has "{denied}"')


def _number(plan: Dialplan, trunk: str, key: str, text: str, steps: list[str]) -> _Target:
    asked = without_marks(text[:_LONGEST_NAME])
    if not _NUMBER.fullmatch(text) or len(text) > _LONGEST_NAME:
        raise _Refused("invalid-request", f"{key}: is not a phone number; {_E164_LIKE}")
    if is_extension(asked):
        if not plan.trunks[trunk].extensions:
            why = f'is an extension, and trunk "{trunk}" does not say extensions: true; {_E164_LIKE}'
            raise _Refused("invalid-request", f"{key}: {why}")
        steps.append(f"{asked}: allowed, an extension, and the trunk says extensions: true")
        return _Target(trunk, asked, number=_write(plan, trunk, key, asked, steps))
    number = dialled(asked, plan.trunks[trunk].region)
    if number is None:
        raise _Refused("invalid-request", f"{key}: is not a phone number; {_E164_LIKE}")
    verdict = on_number(plan.destinations, number)
    _obey(key, mask(number), verdict)
    steps.append(f"{number}: allowed, {verdict.why}")
    return _Target(trunk, asked, number=_write(plan, trunk, key, number, steps))


def _write(plan: Dialplan, trunk: str, key: str, number: str, steps: list[str]) -> str:
    known = plan.trunks[trunk]
    text = written(number, known)
    if not text:
        raise _Refused("invalid-number", f'{key}: nothing is left of it, as trunk "{trunk}" says strip: {known.strip}')
    ways = [f"number_format {known.number_format}"]
    ways += [f"strip {known.strip}"] if known.strip else []
    ways += [f"prefix {known.prefix}"] if known.prefix else []
    steps.append(f"written as {text}: " + ("an extension" if is_extension(number) else ", ".join(ways)))
    return text


def _uri(plan: Dialplan, trunk_name: str, text: str, steps: list[str]) -> _Target:
    try:
        uri = parse_sip_uri(text)
    except ValueError as error:
        raise _Refused("invalid-request", f"sipUri: {error}") from None
    trunk = plan.trunks[trunk_name]
    whole = uri.over(trunk.transport)
    host = on_host(plan, trunk_name, trunk, uri.host.name)
    _obey("sipUri", "its host", host)
    steps.append(f"{whole}: host allowed, {host.why}")
    user = on_user(plan, trunk_name, uri)
    if user is not None:
        _obey("sipUri", "its number", user)
        steps.append(f"{whole}: number allowed, {user.why}")
    return _Target(trunk_name, text, uri=whole)


def _obey(key: str, what: str, verdict: Verdict) -> None:
    if not verdict.allowed:
        raise _Refused("blocked", f"{key}: {what} may not be called: {verdict.why}")


def _says_who(trunk: Trunk, shown: Shown) -> str:
    name = f' "{shown.name}"' if shown.name else ""
    hidden = ", withheld from the called one" if shown.withheld else ""
    return f"shows {shown.number}{name} in {', '.join(trunk.show_in or ('from',))}{hidden}: {shown.why}"
