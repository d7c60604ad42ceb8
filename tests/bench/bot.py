"""The benchmark's bot, a process of its own: one path per behaviour; started by scene.py, which reads its port.

`GET /times` tells when each `start` was answered, by path, in seconds since the epoch.
"""

import asyncio
import itertools
import json
import time
from collections import defaultdict
from typing import Any

from aiohttp import web

LONG_PROMPT, SHORT_PROMPT = "bench-long", "one-moment"
AGENTS_NUMBER = "+16125550100"
CALL_HEADER = "Bench-Call"
"""Of the INVITE to an agent: the Call-ID of the customer's, so that who reads the wire can tell the calls apart."""
_MOST_REPLIES = 32

_COLOURS = ("red", "green", "silver", "golden", "purple", "yellow", "scarlet", "turquoise")
_ANIMALS = ("badger", "falcon", "tortoise", "leopard", "dolphin", "sparrow", "buffalo", "hedgehog")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_sentences = itertools.product(_COLOURS, _ANIMALS, _DAYS)
_times: defaultdict[str, list[float]] = defaultdict(list)


def _audio(prompt: str, times: int = 1) -> list[dict[str, str]]:
    return [{"type": "audio", "prompt": prompt}] * times


def _fresh_text() -> list[dict[str, str]]:
    """Ten words that nobody has said yet."""
    colour, animal, day = next(_sentences)
    return [{"type": "text", "text": f"The {colour} {animal} leaves from our second platform this {day}"}]


def _switch(sip_call_id: str) -> list[dict[str, Any]]:
    return [{"type": "switch", "phoneNumber": AGENTS_NUMBER, "headers": {CALL_HEADER: sip_call_id}}]


def _start(path: str, call: dict[str, Any]) -> list[dict[str, Any]]:
    match path:
        case "/long":
            return _audio(LONG_PROMPT, _MOST_REPLIES)
        case "/short":
            return _audio(SHORT_PROMPT, _MOST_REPLIES)
        case "/cached":
            return _audio(LONG_PROMPT)
        case "/switch":
            return _switch(call["sipCallId"])
        case "/fresh":
            return _fresh_text()
        case _:
            return _audio("goodbye")


async def _event(request: web.Request) -> web.Response:
    asked = json.loads(await request.read())
    event = asked["event"]
    if event == "offered":
        return web.json_response({"replies": [{"type": "answer"}]})
    if event != "start":
        return web.Response(status=204)
    body = {"replies": _start(request.path, asked["call"]), "config": {"noInputTimeoutMs": 0}}
    _times[request.path].append(time.time())
    return web.json_response(body)


async def _tell_times(_: web.Request) -> web.Response:
    return web.json_response(_times)


async def _serve() -> None:
    app = web.Application()
    app.router.add_post("/{behaviour}", _event)
    app.router.add_get("/times", _tell_times)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(_serve())
