"""The names of events that a plan's webhooks may ask for; for people.py.

They are those of gateway/calls/history.py, which a plan cannot import; tests/unit/dialplan/test_event_names.py holds
the two together.
"""

from typing import Final

from gateway.dialplan.problems import did_you_mean

EVENT_TYPES: Final = (
    "call.started", "call.refused", "call.answered", "call.tagged", "call.handedOff", "call.ended",
    "leg.dialling", "leg.joined", "leg.held", "leg.unheld", "leg.muted", "leg.unmuted", "leg.modeChanged", "leg.left",
    "dtmf.received",
    "transfer.started", "transfer.ringing", "transfer.answered", "transfer.accepted", "transfer.bridged",
    "transfer.ended",
    "consult.started", "consult.ringing", "consult.answered", "consult.failed", "consult.swapped", "consult.merged",
    "consult.forwarded", "consult.ended",
    "customer.left",
    "bot.asked", "bot.replied", "bot.failed", "fallback.started",
    "playback.started", "playback.ended", "sound.failed",
)  # fmt: skip
"""Every type of event that there is."""

_FAMILIES: Final = tuple(dict.fromkeys(f"{name.partition('.')[0]}.*" for name in EVENT_TYPES))


def event_name(text: str) -> str:
    """The name of a type or, with `.*`, of a family of them. Raises ValueError with the nearest name."""
    if text in EVENT_TYPES or text in _FAMILIES:
        return text
    hint = did_you_mean(
        text, (*EVENT_TYPES, *_FAMILIES), "write one like call.ended, or transfer.* for all of a family"
    )
    raise ValueError(f'"{text}" is no event; {hint}')
