"""Who is shown as calling on an outbound leg: what the bot asks for, under the trunk's policy; part of outbound.py."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from gateway.dialplan.checks import MAY_NOT_SHOW_CUSTOMERS, shows_customers
from gateway.dialplan.numbers import is_extension, normalise
from gateway.dialplan.schema import CallerId, Dialplan, Trunk

ANONYMOUS: Final = "anonymous"
"""Stands where there is no number to show (the user of RFC 3323's anonymous URI)."""
_NOT_IN_A_USER: Final = re.compile(r"[^A-Za-z0-9\-_.!~*'()+]")  # of RFC 3261 §25.1 user, what needs no care
_LONGEST: Final = 64


@dataclass(frozen=True, slots=True)
class AskedCaller:
    """The reply's `callerId`: the bot's number, the customer's, or a given one (number, name, privacy are of that)."""

    kind: Literal["bot", "customer", "given"] = "bot"
    number: str | None = None
    name: str | None = None
    privacy: bool = False


@dataclass(frozen=True, slots=True)
class From:
    """The call that is transferred: its channel, the trunk that it came on, the number that it called, its caller."""

    channel: str
    trunk: str
    called: str
    caller: str
    caller_name: str | None = None
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """Who is shown. `withheld`: the carrier may know, the called one must not. `why` is for the operator."""

    number: str
    name: str | None
    withheld: bool
    why: str


NOBODY: Final = Shown("", None, withheld=False, why="somebody else dials")


def shown_caller(plan: Dialplan, trunk_name: str, asked: AskedCaller, call: From) -> Shown | str:
    """Who is shown on this trunk, or one sentence on why that cannot be.

    A number that the bot gives comes first, then the customer, if the bot or the trunk's `caller_id` says so, then the
    trunk's fixed number, else the number that the call came to. The customer needs a trunk without account, and keeps
    the privacy that he asked for; the trunk's `privacy` hides everybody.
    """
    trunk = plan.trunks[trunk_name]
    if asked.kind == "given":
        return _given(trunk, asked)
    if asked.kind == "customer" or trunk.caller_id == "customer":
        if not shows_customers(trunk):
            return f'callerId: customer cannot be shown on trunk "{trunk_name}": {MAY_NOT_SHOW_CUSTOMERS}; write bot'
        number = _number(plan, call.trunk, call.caller)
        withheld = trunk.privacy or call.withheld or number is None
        why = "the customer" + (" wants to stay unknown" if call.withheld else "")
        return Shown(number or ANONYMOUS, None if call.withheld else _name(call.caller_name), withheld, why)
    if isinstance(trunk.caller_id, CallerId):
        return Shown(trunk.caller_id.number, trunk.caller_id.name, trunk.privacy, "fixed by the trunk's caller_id")
    number = _number(plan, call.trunk, call.called)
    return Shown(number or ANONYMOUS, None, trunk.privacy or number is None, "the number that the customer called")


def diverting(plan: Dialplan, trunk: Trunk, call: From) -> str | None:
    """The number that the customer had called, for Diversion (RFC 5806), if the trunk's `show_in` has it."""
    return _number(plan, call.trunk, call.called) if "diversion" in trunk.show_in else None


def _given(trunk: Trunk, asked: AskedCaller) -> Shown | str:
    text = asked.number or ""
    number = text if is_extension(text) else normalise(text, trunk.region)
    if number is None:
        return "callerId.number: is not a phone number; write it in E.164, such as +16125550111"
    if asked.name is not None and (not asked.name.isprintable() or len(asked.name) > _LONGEST):
        return f"callerId.name: cannot be shown; write at most {_LONGEST} visible characters"
    return Shown(number, asked.name or None, trunk.privacy or asked.privacy, "given by the bot")


def _number(plan: Dialplan, trunk: str, text: str) -> str | None:
    """A number of the inbound call in E.164, else as it came but for what cannot stand in a URI; None if it is none."""
    known = plan.trunks.get(trunk)
    found = normalise(text, known.region if known is not None else None)
    found = found or _NOT_IN_A_USER.sub("", text)[:_LONGEST]
    return found if found and found.lower() != ANONYMOUS else None


def _name(text: str | None) -> str | None:
    """The customer's display name, one line of it."""
    return "".join(char for char in text or "" if char.isprintable())[:_LONGEST].strip() or None
