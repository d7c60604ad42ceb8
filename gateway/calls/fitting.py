"""What the schema of replies cannot say: whether they fit the call now; asked by control before any is carried out."""

import json
from collections.abc import Collection
from difflib import get_close_matches

from gateway.calls.model import Call, Direction, JsonObject
from gateway.calls.replies import BEFORE_ANSWER, MAX_DATA, AnswerReply, BotResponse, Handoff, HangupReply, Tag
from gateway.calls.states import CallState, LegState
from gateway.calls.switch import Switch

WHILE_PARKED = (Tag, HangupReply)
"""What may be said of a call whose customer is with people."""


def unreached(call: Call) -> bool:
    """We have called the customer, who has not answered: nobody is there to whom a bot could say anything."""
    return call.direction is Direction.OUTBOUND and call.state is CallState.OFFERED


def parked_out(response: BotResponse, call: Call) -> bool:
    """Whether this must not be said now, as the bot is parked (transfer.md, "How long a transfer lasts")."""
    if call.state is CallState.AGENTS_ONLY or unreached(call):
        return True
    parked = call.state in (CallState.TRANSFERRING, CallState.TALKING)
    return parked and not all(isinstance(reply, WHILE_PARKED) for reply in response.replies)


def too_much_data(call: Call, switch: Switch) -> str | None:
    """Why the data of a switch cannot be merged into the call's; None if they can."""
    return _TOO_LARGE if _too_large(call.data | switch.data) else None


_TOO_LARGE = f"data: call.data would be larger than {MAX_DATA // 1024} KiB"


def _too_large(data: JsonObject) -> bool:
    return len(json.dumps(data, ensure_ascii=False).encode()) > MAX_DATA


def misfit(response: BotResponse, call: Call, channels: Collection[str]) -> str | None:
    """The first thing that does not fit, with its path; None if all does. A list is taken as a whole or not at all."""
    unanswered = call.customer.state in (LegState.OFFERED, LegState.RINGING)
    data: JsonObject = dict(call.data)
    for i, reply in enumerate(response.replies):
        if unanswered and not isinstance(reply, (*BEFORE_ANSWER, Tag)):
            return f"replies[{i}]: {reply.type} needs an answered call; send answer first"
        if not unanswered and isinstance(reply, BEFORE_ANSWER):
            return f"replies[{i}]: {reply.type} is only for a call that is not answered yet"
        if isinstance(reply, Handoff) and reply.channel not in channels:
            near = get_close_matches(reply.channel, channels, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            return f"replies[{i}].channel: no channel {reply.channel!r}{meant}"
        if isinstance(reply, Tag | Switch):
            data |= reply.data
            if _too_large(data):
                return f"replies[{i}].{_TOO_LARGE}"
        if isinstance(reply, AnswerReply):
            unanswered = False
    return None
