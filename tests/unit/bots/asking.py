"""Questions to bots, for tests."""

from typing import Any

from gateway.calls.commands import AskBot, BotEventName
from gateway.calls.replies import BotResponse
from gateway.engine.ports import Bot

AT = "2026-11-21T10:00:00.000Z"
DATA: dict[BotEventName, dict[str, Any]] = {
    BotEventName.OFFERED: {},
    BotEventName.START: {"reason": "inbound", "parameters": {}},
    BotEventName.DTMF: {"digits": "1", "complete": "max"},
    BotEventName.NO_INPUT: {"count": 1},
    BotEventName.BARGE_IN: {"playedMs": 400, "reply": 0},
    BotEventName.TRANSFER: {
        "status": "FAIL",
        "hangup": False,
        "number": "16123456789",
        "transferId": "xfer_1",
        "method": "invite",
        "reason": "busy",
        "sipStatus": 486,
    },
    BotEventName.HANGUP: {
        "cause": {"result": "completed", "reason": "normal"},
        "sipStatus": 200,
        "q850": 16,
        "endedBy": "customer",
        "durationMs": 4000,
    },
}
_SNAPSHOT: dict[str, Any] = {
    "channel": "reception",
    "from": "+12125550123",
    "fromName": "Zoë ☎",
    "headers": {"X-CRM-Id": "42"},
    "data": {},
}


def question(event: BotEventName, data: dict[str, Any] | None = None, call: str = "call_1", seq: int = 1) -> AskBot:
    """An event as control would ask it."""
    return AskBot(seq, "reception", event, DATA[event] if data is None else data, {"id": call, **_SNAPSHOT})


async def tell(bot: Bot, event: BotEventName, call: str = "call_1", **data: Any) -> BotResponse:
    """Ask, with `data` over the usual."""
    return await bot.ask(question(event, DATA[event] | data, call), "evt_1", AT)
