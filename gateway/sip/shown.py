"""Who calls, as an outgoing INVITE tells it: From, P-Asserted-Identity, Remote-Party-ID, Diversion, Privacy; used by
outbound.py.

All of it is pure and raises nothing: what cannot stand in a header is left out of it.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from gateway.calls.commands import ShownCaller
from gateway.sip.identity import ANONYMOUS
from gateway.sip.trunk import TrunkSpec

_NOBODY: Final = '"Anonymous" <sip:anonymous@anonymous.invalid>'  # RFC 3323 §4.1.1.3
_LONGEST: Final = 64
"""Characters of a name, and of a number: a From of so many still fits where PJSIP puts it."""
_IN_USER: Final = "+*-_.!~'()"
"""What stands unescaped in the user part beside letters and digits: RFC 3261 §25.1 unreserved, and `+`."""


@dataclass(frozen=True, slots=True)
class Shown:
    """`from_` is the From of the INVITE, a name-addr; `headers` are those that tell the network more, in order."""

    from_: str
    headers: tuple[tuple[str, str], ...] = ()


def shown(caller: ShownCaller, diverting: str | None, trunk: TrunkSpec) -> Shown:
    """As the trunk's `show_in` and `privacy` say.

    A withheld caller, or any on a trunk with `privacy`, has an anonymous From and `Privacy: id`; the carrier learns of
    the number in P-Asserted-Identity or Remote-Party-ID all the same, if the trunk has it there (RFC 3325 §9.3). A
    caller without a number cannot be asserted: its From is anonymous.
    """
    number, name = _number(caller.number), _name(caller.name or "")
    known = number not in ("", ANONYMOUS)
    hidden = caller.withheld or trunk.privacy or not known
    who = _name_addr(name, number, trunk)
    headers: list[tuple[str, str]] = []
    if known and "pai" in trunk.show_in:
        headers.append(("P-Asserted-Identity", who))
    if known and "rpid" in trunk.show_in:
        privacy = "full" if hidden else "off"
        headers.append(("Remote-Party-ID", f"{who};party=calling;screen=yes;privacy={privacy}"))
    diverted_by = _number(diverting or "")
    if diverted_by and "diversion" in trunk.show_in:  # RFC 5806 §7
        headers.append(("Diversion", f"{_name_addr('', diverted_by, trunk)};reason=unconditional"))
    if hidden:
        headers.append(("Privacy", "id"))
        return Shown(_NOBODY, tuple(headers))
    return Shown(who if "from" in trunk.show_in else _name_addr("", trunk.user, trunk), tuple(headers))


def _name_addr(name: str, number: str, trunk: TrunkSpec) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')  # RFC 3261 §25.1 quoted-pair
    uri = f"<sip:{quote(number, safe=_IN_USER)}@{trunk.host_in_uri}>"
    return f'"{escaped}" {uri}' if name else uri


def _name(text: str) -> str:
    """One line of printable characters."""
    shown_as = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(shown_as.split())[:_LONGEST].rstrip()


def _number(text: str) -> str:
    return "".join(char for char in text if char.isprintable() and not char.isspace())[:_LONGEST]
