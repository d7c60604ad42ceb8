"""Which call or leg an operator means, who writes as little as is needed; for command.py, orders.py, watch.py."""

from collections.abc import Sequence
from typing import Final

from gateway.watch.client import WatchError
from gateway.watch.options import LAST, UsageError, names_a_call
from gateway.watch.rows import CallRow, LegRow
from gateway.watch.words import Numbers, names

_SHOWN: Final = 4
_LEAST: Final = 3
"""Characters of a leg's id that are enough, if they are unambiguous."""
_WRITE: Final = "an id, its beginning or ending, or last"


def pick_call(given: str | None, rows: Sequence[CallRow]) -> str:
    """The id of the call that is meant, of those that are up; a whole id is taken even if it is of none of them.

    None: the only one. Raises UsageError if it is not clear which, WatchError if there is none.
    """
    if given is not None and not names_a_call(given):
        raise UsageError(f"{given} is no call: write {_WRITE}; switchhook calls shows them")
    if given is None or given == LAST:
        if not rows:
            raise WatchError("no call is up")
        if given is None and len(rows) > 1:
            raise UsageError(f"{len(rows)} calls are up: say which by {_WRITE}: {_some(rows)}")
        return max(rows, key=lambda row: (row.started_at, row.call_id)).call_id
    found = [row for row in rows if _is_of(given, row.call_id)]
    if any(row.call_id == given for row in found):
        return given
    if len(found) > 1:
        raise UsageError(f"{given} may be any of {len(found)} calls: {_some(found)}")
    if found:
        return found[0].call_id
    if given.startswith("call_"):
        return given
    raise WatchError(f"no call that is up has an id that begins or ends with {given}: {_some(rows) or 'none is up'}")


def pick_leg(given: str, row: CallRow) -> str:
    """The id of the leg that is meant: by its name as `switchhook watch` and `calls` write it, or by its id or a part
    of that. Raises UsageError."""
    called = names(row.legs)
    found = [leg.leg_id for leg in row.legs if given in (leg.leg_id, called[leg.leg_id])]
    if not found and len(given) >= _LEAST:
        found = [leg.leg_id for leg in row.legs if _is_of(given, leg.leg_id)]
    if len(found) == 1:
        return found[0]
    there = ", ".join(f"{called[leg.leg_id]} ({leg.leg_id})" for leg in row.legs) or "no legs"
    raise UsageError(f"--leg {given}: the call has {there}")


def only_supervisor(row: CallRow) -> str:
    """The leg of the one who listens, if there is one only. Raises UsageError."""
    listening = [leg for leg in row.legs if leg.role == "supervisor"]
    if len(listening) == 1:
        return listening[0].leg_id
    if not listening:
        raise UsageError("nobody listens to this call: say who shall, with --agent, --number, --sip-uri or --contact")
    raise UsageError(f"say which with --leg: {_named(listening, row)}")


def _named(legs: Sequence[LegRow], row: CallRow) -> str:
    called = names(row.legs)
    return ", ".join(called[leg.leg_id] for leg in legs)


def _is_of(part: str, id_: str) -> bool:
    whole, part = id_.lower(), part.lower()
    return whole.startswith(part) or whole.endswith(part) or whole.partition("_")[2].startswith(part)


def _some(rows: Sequence[CallRow]) -> str:
    """The newest of them, in one line."""
    newest = sorted(rows, key=lambda row: -row.started_at)
    more = f" and {len(newest) - _SHOWN} more" if len(newest) > _SHOWN else ""
    return ", ".join(f"{row.call_id} ({Numbers().both(row)})" for row in newest[:_SHOWN]) + more
