"""How a call of the terminal phone is shown: a JSON line for each event, or a ladder; made by call.py."""

import json
import sys
from collections.abc import Callable
from typing import TypeAlias

from rich.console import Console

from gateway.calls.model import JsonObject
from gateway.telemetry.ladder import Ladder, summary

Output: TypeAlias = Callable[[JsonObject], None]


def as_ladder(peer: str) -> Output:
    """For people; `peer` is what the other side is called."""
    console = Console(highlight=False, soft_wrap=True)
    ladder = Ladder(("phone", peer), width=min(console.width, 100))
    seen: list[JsonObject] = []

    def draw(event: JsonObject) -> None:
        seen.append(event)
        if event["type"] == "listening":
            console.print(f"waiting for a call at {event['uri']} (Ctrl-C ends it)")
        for line in ladder.lines(event):
            console.print(line)
        if event["type"] == "stopped":
            for line in summary(seen):
                console.print(line)

    return draw


def as_json(event: JsonObject) -> None:
    """For programs."""
    if event["type"] == "stopped":
        return
    try:
        sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it is gone; the call goes on to its end
        sys.stdout = sys.stderr
