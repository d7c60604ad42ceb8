"""A call as its bot sees it: the `call` object of bot-protocol.md; made by control for every request."""

from datetime import UTC, datetime

from gateway.calls.commands import EndCall
from gateway.calls.model import Call, Json, JsonObject


def rfc3339(at: float) -> str:
    """Seconds since the epoch as RFC 3339 UTC with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def bot_view(call: Call) -> JsonObject:
    """A snapshot: later changes of the call do not show in it."""
    caller = call.caller
    headers: dict[str, Json] = {}
    for name, value in caller.headers:  # a header may come several times: the values are joined (RFC 3261 §7.3.1)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return {
        "id": call.id,
        "sipCallId": caller.sip_call_id or None,
        "channel": call.channel.name,
        "trunk": caller.trunk,
        "direction": call.direction.value,
        "state": call.state.value,
        "from": caller.from_,
        "fromName": caller.from_name,
        "to": caller.to,
        "diversion": caller.diversion,
        "verstat": caller.verstat,
        "headers": headers,
        "userToUser": [dict(uui) for uui in caller.user_to_user],
        "startedAt": rfc3339(call.started_at),
        "answeredAt": rfc3339(call.answered_at) if call.answered_at is not None else None,
        "data": dict(call.data),
    }


def farewell(end: EndCall) -> JsonObject:
    """The data of the `hangup` event."""
    return {
        "cause": {"result": end.cause.result.value, "reason": end.cause.reason.value},
        "sipStatus": end.sip_status,
        "q850": end.q850,
        "endedBy": end.ended_by.value,
        "durationMs": end.duration_ms,
    }
