"""One demo from start to exit code: processes up, story played, record fetched, all of it checked; called by cli.py."""

import asyncio
import signal
from typing import Any

from rich.console import Console

from gateway.demo import record
from gateway.demo.cast import AGENT_HEARD, CALLER_HEARD, Cast
from gateway.demo.stage import AGENT, DemoFailed, Stage
from gateway.demo.story import Agent, Story
from gateway.telemetry.ladder import summary


async def run_demo(agent: Agent | None = None) -> int:
    """Run it; 0 if everything went as planned. `agent`: how the person behaves, if not as planned."""
    console = Console(highlight=False, soft_wrap=True)
    stage = Stage(console)
    console.print("starting the gateway, calling its reception bot, and asking that for a person\n")
    ending = asyncio.current_task()
    if ending is not None:  # a SIGTERM too must leave no process behind
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.cancel)
    cdr: dict[str, Any] = {}
    try:
        cdr = await _play(stage, agent or Agent())
    except DemoFailed as error:
        stage.problems.insert(0, str(error))
    except asyncio.CancelledError:  # by a signal, and there is nothing to come after this
        stage.problems.insert(0, "it was interrupted")
    stage.draw(everything=True)
    _conclude(console, stage, cdr)
    return 1 if stage.problems else 0


async def _play(stage: Stage, agent: Agent) -> dict[str, Any]:
    """The CDR of the call."""
    cast = Cast(stage)
    story = Story(stage, cast, agent)
    drawing = asyncio.create_task(stage.draw_on())
    try:
        async with cast.agent() as agent_port, cast.gateway(agent_port) as node:
            async with cast.caller(node):
                await story.play()
            cdr = await record.fetch(node.api, str(stage.all("call.started")[0].get("call_id")))
    finally:
        drawing.cancel()
    stage.problems += [*story.check(), *record.check(cdr)]
    return cdr


def _conclude(console: Console, stage: Stage, cdr: dict[str, Any]) -> None:
    console.print()
    for line in summary([event for event in stage.seen if event["phone"] != AGENT]):
        console.print(line)
    if cdr:
        console.print("\nthe call's record, from GET /v1/cdrs:")
        for text in record.lines(cdr):
            console.print(f"  {text}", markup=False)
    console.print()
    for problem in stage.problems:
        console.print(f"[bold red]not as planned:[/] {problem}")
    if not stage.problems:
        console.print(f"listen to it: {CALLER_HEARD} and {AGENT_HEARD.name}")
        console.print("try it yourself: make run, then call it with your softphone or `switchhook call`;")
        console.print("you are the person if you press 0: `switchhook answer`")
