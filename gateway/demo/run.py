"""One scene from start to exit code: played, its record shown, all of it checked; called by cli.py."""

import asyncio
import signal

from rich.console import Console

from gateway.demo import record
from gateway.demo.cast import Cast, recording
from gateway.demo.scene import Scene
from gateway.demo.stage import GATEWAY, DemoFailed, Stage
from gateway.telemetry.ladder import summary


async def run_demo(scene: Scene) -> int:
    """Run it; 0 if everything went as planned."""
    console = Console(highlight=False, soft_wrap=True)
    stage = Stage(console, scene.parties)
    console.print(f"{scene.intro}\n")
    ending = asyncio.current_task()
    if ending is not None:  # a SIGTERM too must leave no process behind
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.cancel)
    cdr: record.Record = {}
    try:
        cdr = await _play(scene, stage)
    except DemoFailed as error:
        stage.problems.insert(0, str(error))
    except asyncio.CancelledError:  # by a signal, and there is nothing to come after this
        stage.problems.insert(0, "it was interrupted")
    stage.draw(everything=True)
    _conclude(console, scene, stage, cdr)
    return 1 if stage.problems else 0


async def _play(scene: Scene, stage: Stage) -> record.Record:
    """The CDR of the call."""
    drawing = asyncio.create_task(stage.draw_on())
    try:
        cdr = await scene.play(Cast(stage))
    finally:
        drawing.cancel()
    stage.problems += scene.check(cdr)
    return cdr


def _conclude(console: Console, scene: Scene, stage: Stage, cdr: record.Record) -> None:
    console.print()
    for line in summary([event for event in stage.seen if event["phone"] in (stage.caller, GATEWAY)]):
        console.print(line)
    if cdr:
        console.print("\nthe call's record, from GET /v1/cdrs:")
        for text in record.lines(cdr):
            console.print(f"  {text}", markup=False)
    console.print()
    for problem in stage.problems:
        console.print(f"[bold red]not as planned:[/] {problem}")
    if not stage.problems:
        heard = [
            name for name in scene.parties if any(float(event["seconds"]) for event in stage.all("recorded", name))
        ]
        first, *others = [recording(name) for name in heard]
        console.print(f"listen to it: {first}" + "".join(f" and {path.name}" for path in others))
        for text in scene.last_words:
            console.print(text)
