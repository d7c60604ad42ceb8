"""Happenings for tests of journal and store."""

from gateway.calls.history import Happening
from gateway.calls.model import CallId, JsonObject, LegId

NORMAL: JsonObject = {"result": "completed", "reason": "normal"}


def happening(
    type_: str, call_id: str, *, at: float = 1000.0, channel: str = "reception", data: JsonObject | None = None
) -> Happening:
    """One that is about the customer's leg."""
    return Happening(type_, at, CallId(call_id), LegId(f"leg_of_{call_id}"), channel, "acme", data or {})


def a_call(call_id: str, channel: str = "reception", at: float = 1000.0, *, from_: str = "+1") -> list[Happening]:
    """A short call, from beginning to end."""
    offer: JsonObject = {"direction": "inbound", "from": from_, "to": "+9", "sipCallId": f"{call_id}@carrier"}
    end: JsonObject = {"cause": NORMAL, "sipStatus": 200, "q850": 16}
    steps: list[tuple[str, float, JsonObject]] = [
        ("call.started", 0, offer),
        ("leg.joined", 0.2, {"role": "customer", "codec": "PCMU"}),
        ("call.answered", 0.2, {}),
        ("bot.asked", 0.2, {"seq": 1, "event": "start", "again": False}),
        ("leg.left", 5.2, {"role": "customer", "by": "peer", **end}),
        ("call.ended", 5.2, {**end, "endedBy": "customer", "durationMs": 5000}),
    ]
    return [happening(type_, call_id, at=at + after, channel=channel, data=data) for type_, after, data in steps]
