"""Which event is drawn as what: an arrow between two parties, or a mark beside one; read by ladder.py."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

PHONE, GATEWAY, BOT, AGENT = 0, 1, 2, 3
"""In the order of their columns; the agent, and who comes after, takes the bot's while the bot is parked."""

Event: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Arrow:
    """Something that one party sent to another."""

    source: int
    sink: int
    label: str
    style: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a party."""

    party: int
    text: str
    style: str = "note"


Drawn: TypeAlias = Iterator[Arrow | Mark]


def clean(value: object) -> str:
    """Text for a terminal: what came off the wire must not move its cursor."""
    return "".join(char if char.isprintable() else " " for char in str(value))


def _mappings(value: object) -> list[Event]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


# ── the phone's ─────────────────────────────────────────────────────────────────────────────────────


def _of(event: Event) -> int:
    """Whose phone it happened at; the demo says so, as it has several."""
    party = event.get("party")
    return party if isinstance(party, int) else PHONE


def _sip(event: Event) -> Drawn:
    phone, sent = _of(event), event.get("dir") == "sent"
    label = str(event.get("what", ""))
    failed = label[:1] in ("4", "5", "6") and label[:3].isdigit()
    yield Arrow(phone if sent else GATEWAY, GATEWAY if sent else phone, label, "bad" if failed else "sip")


def _answered(event: Event) -> Drawn:
    codec = event.get("codec")
    yield Mark(_of(event), f"answered, {codec}" if codec else "answered")


def _incoming(event: Event) -> Drawn:
    headers = event.get("headers")
    told = [str(header) for header in headers] if isinstance(headers, list) else []
    yield Mark(_of(event), "; ".join([f"called by {event.get('from')}", *told]))


def _hears(event: Event) -> Drawn:
    yield Mark(_of(event), f"hears {event.get('what')}")


def _digit_sent(event: Event) -> Drawn:
    yield Arrow(_of(event), GATEWAY, f"presses {event.get('digit')}", "digit")


def _digit_heard(event: Event) -> Drawn:
    yield Arrow(GATEWAY, _of(event), f"digit {event.get('digit')}", "digit")


def _saying(event: Event) -> Drawn:
    yield Arrow(_of(event), GATEWAY, f"“{event.get('text', '')}”", "speech")


def _playing(event: Event) -> Drawn:
    ms = event.get("ms")
    length = f"{ms / 1000:.1f} s of " if isinstance(ms, int | float) else ""
    yield Arrow(_of(event), GATEWAY, f"♪ {length}audio", "speech")


def _sound(event: Event) -> Drawn:
    yield Mark(_of(event), "hears something")


def _error(event: Event) -> Drawn:
    yield Mark(_of(event), str(event.get("detail", "")), "bad")


# ── the gateway's log ───────────────────────────────────────────────────────────────────────────────


def _call_started(event: Event) -> Drawn:
    yield Mark(GATEWAY, f"call from {event.get('from')} to {event.get('to')}: channel {event.get('channel')}")


def _call_refused(event: Event) -> Drawn:
    yield Mark(GATEWAY, f"refused with {event.get('status')}: {event.get('why')}", "bad")


def _hold_changed(event: Event) -> Drawn:
    yield Mark(GATEWAY, f"the phone's hold: {event.get('hold')}")


def _dtmf_received(event: Event) -> Drawn:
    yield Mark(GATEWAY, f"digit {event.get('digit')}", "digit")


def _digits_sending(event: Event) -> Drawn:
    yield Mark(GATEWAY, f"sends digits {event.get('digits')}", "digit")


def _bot_asked(event: Event) -> Drawn:
    data = event.get("data")
    keys = ("status", "reason") if event.get("bot_event") == "transfer" else ("digits", "count", "from", "error")
    told = [data[key] for key in keys if data.get(key)] if isinstance(data, Mapping) else []
    yield Arrow(GATEWAY, BOT, " ".join(str(part) for part in (event.get("bot_event"), *told)), "bot")


def _bot_replied(event: Event) -> Drawn:
    replies = _mappings(event.get("replies"))
    ms = event.get("ms")
    took = f" ({ms:.0f} ms)" if isinstance(ms, int | float) and ms >= 1 else ""
    yield Arrow(BOT, GATEWAY, (", ".join(_reply(reply) for reply in replies) or "nothing to say") + took, "bot")


def _reply(reply: Event) -> str:
    name = str(reply.get("type"))
    match name:
        case "text":
            return "text"  # in full when it is played
        case "dtmf" | "gather":
            most = reply.get("max", 1)
            return "a digit?" if most == 1 else f"up to {most} digits?"
        case "sendDtmf":
            return f"send {reply.get('digits')}"
        case "switch":
            return f"switch to {_target(reply)}"
        case "tag":
            data = reply.get("data")
            return "tag " + " ".join(f"{key}={data[key]}" for key in data) if isinstance(data, Mapping) else name
        case "pause":
            return f"pause {reply.get('ms')} ms"
        case _:
            return name


def _target(switch: Event) -> str:
    named = (switch.get(key) for key in ("agent", "contact", "phoneNumber", "sipUri", "queue"))
    return next((str(name) for name in named if name), "several")


def _bot_failed(event: Event) -> Drawn:
    yield Arrow(
        BOT, GATEWAY, f"no answer to {event.get('bot_event')}: {event.get('kind')}, {event.get('detail')}", "bad"
    )


def _handed_off(event: Event) -> Drawn:
    yield Mark(GATEWAY, f"goes on with channel {event.get('channel')}")


def _sound_failed(event: Event) -> Drawn:
    yield Mark(GATEWAY, f"cannot play: {event.get('detail')}", "bad")


def _fallback(event: Event) -> Drawn:
    yield Mark(GATEWAY, "gives up on the bot and says so", "bad")


def _playback_started(event: Event) -> Drawn:
    spoken = [_item(item) for item in _mappings(event.get("items"))]
    if spoken:
        yield Arrow(GATEWAY, PHONE, " ".join(spoken), "speech")


def _item(item: Event) -> str:
    if "say" in item:
        return f"“{item['say']}”"
    if "prompt" in item:
        return f"♪ {item['prompt']}"
    if "url" in item:
        return f"♪ {item['url']}"
    return f"({item.get('silence')} ms of silence)"


def _playback_ended(event: Event) -> Drawn:
    if event.get("stopped"):
        played = event.get("played_ms")
        yield Mark(GATEWAY, f"stops speaking after {played} ms" if played is not None else "stops speaking")


def _transfer_started(event: Event) -> Drawn:
    targets = event.get("targets")
    whom = ", ".join(str(each) for each in targets) if isinstance(targets, list) else "?"
    yield Mark(GATEWAY, f"transfer to {whom}; the bot is parked")


def _transfer_bridged(event: Event) -> Drawn:
    yield Mark(GATEWAY, "bridged: they hear each other")


def _transfer_ended(event: Event) -> Drawn:
    ms = event.get("talkMs")
    talked = f", talked {ms / 1000:.1f} s" if isinstance(ms, int | float) and ms else ""
    good = event.get("status") == "SUCCESS"
    yield Mark(GATEWAY, f"transfer: {event.get('status')}, {event.get('reason')}{talked}", "note" if good else "bad")


def _leg_hanging_up(event: Event) -> Drawn:
    yield Mark(GATEWAY, f"hangs up: {event.get('cause')}")


def _leg_rejecting(event: Event) -> Drawn:
    yield Mark(GATEWAY, f"rejects with {event.get('status')}", "bad")


def _call_ended(event: Event) -> Drawn:
    yield Mark(GATEWAY, f"call ended by {event.get('ended_by')}: {event.get('cause')}")


DRAWN: Final[dict[str, Callable[[Event], Drawn]]] = {
    "sip": _sip,
    "answered": _answered,
    "incoming": _incoming,
    "hears": _hears,
    "digit-sent": _digit_sent,
    "dtmf-received": _digit_heard,
    "saying": _saying,
    "playing": _playing,
    "audio-started": _sound,
    "error": _error,
    "call.started": _call_started,
    "call.refused": _call_refused,
    "leg.hold_changed": _hold_changed,
    "dtmf.received": _dtmf_received,
    "digits.sending": _digits_sending,
    "bot.asked": _bot_asked,
    "bot.replied": _bot_replied,
    "bot.failed": _bot_failed,
    "call.handed_off": _handed_off,
    "sound.failed": _sound_failed,
    "fallback.started": _fallback,
    "playback.started": _playback_started,
    "playback.ended": _playback_ended,
    "transfer.started": _transfer_started,
    "transfer.bridged": _transfer_bridged,
    "transfer.ended": _transfer_ended,
    "leg.hanging_up": _leg_hanging_up,
    "leg.rejecting": _leg_rejecting,
    "call.ended": _call_ended,
}
"""By the event's name. What is not here (leg.rang, leg.answered: the phone's SIP shows them) is not drawn."""
