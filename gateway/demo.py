"""`switchhook demo`: starts the gateway, calls its reception bot with the terminal phone, shows it; called by cli.py.

It checks itself: exit code 0 says that the customer was greeted, could interrupt, was understood, and got a goodbye.
"""

import asyncio
import base64
import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from gateway.audio.pcm import rms_dbfs, samples_of
from gateway.telemetry.ladder import Event, InOrder, Ladder, kind, summary

_ROOT: Final = Path(__file__).resolve().parent.parent
_RECORDING: Final = Path("var/demo/caller-heard.wav")
_READY: Final = re.compile(r"ready sip=udp:127\.0\.0\.1:(\d+)")
_START_WITHIN, _STOP_WITHIN, _STEP_WITHIN = 20.0, 10.0, 15.0
_LAST_LINES: Final = 12
_NUMBER: Final = "4711"
_SILENT_DBFS: Final = -40.0
_SETTINGS: Final = {
    "SWITCHHOOK_SIP__BIND": "127.0.0.1",
    "SWITCHHOOK_SIP__UDP_PORT": "0",
    "SWITCHHOOK_SIP__TCP_PORT": "0",
    "SWITCHHOOK_API__BIND": "127.0.0.1:0",
    "SWITCHHOOK_STORE__URL": "sqlite+aiosqlite:///var/demo/switchhook.db",
    "SWITCHHOOK_LIMITS__LAG_MS": "60000",  # one call, on a machine that may have just built all this: never refused
    "SWITCHHOOK_LOG__MASK": "false",
    "SWITCHHOOK_LOG__LEVEL": "info",
}


class DemoFailed(Exception):
    """The demo cannot go on; the text says why."""


async def run_demo() -> int:
    """Run it; 0 if everything went as planned."""
    console = Console(highlight=False, soft_wrap=True)
    demo = _Demo(console)
    console.print("starting the gateway, and calling its reception bot\n")
    ending = asyncio.current_task()
    if ending is not None:  # a SIGTERM too must leave no process behind
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.cancel)
    try:
        async with demo.gateway() as port, demo.phone(port):
            await demo.customer()
    except DemoFailed as error:
        demo.problems.append(str(error))
    except asyncio.CancelledError:  # by a signal, and there is nothing to come after this
        demo.problems.append("it was interrupted")
    demo.draw(everything=True)
    console.print()
    for line in summary(demo.seen):
        console.print(line)
    if not demo.problems:
        demo.check()
    for problem in demo.problems:
        console.print(f"[bold red]not as planned:[/] {problem}")
    if not demo.problems:
        console.print(f"listen to it: {_ROOT / _RECORDING}")
        console.print("try it yourself: make run, then call it with your softphone or `switchhook call`")
    return 1 if demo.problems else 0


class _Demo:
    """Two processes, what they said, and the part of the customer."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ladder = Ladder(("phone", "switchhook", "bot"), width=min(console.width, 110))
        self._order = InOrder()
        self._news = asyncio.Event()
        self._stdin: asyncio.StreamWriter | None = None
        self.seen: list[Event] = []
        self.problems: list[str] = []

    # ── the processes ───────────────────────────────────────────────────────────────────────────────

    @contextlib.asynccontextmanager
    async def gateway(self) -> AsyncIterator[int]:
        """A gateway of our own on free ports; gives its UDP port."""
        args = ("serve", "--log", "json", "--dialplans", "dialplans/demo.yaml")
        process = await _start(*args, env=os.environ | _SETTINGS)
        assert process.stdout is not None and process.stderr is not None
        last: list[str] = []
        reading = asyncio.create_task(self._read(process.stderr, last))
        try:
            yield await self._port(process.stdout, last)
        finally:
            code = await _end(process, _STOP_WITHIN)
            await reading
            if code != 0:
                self.problems.append(f"the gateway ended with code {code}; its last words:\n" + "\n".join(last))

    async def _port(self, stdout: asyncio.StreamReader, last: list[str]) -> int:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_WITHIN):
                while line := await stdout.readline():
                    if found := _READY.search(line.decode(errors="replace")):
                        return int(found[1])
        await asyncio.sleep(0.2)  # its last words are on their way
        raise DemoFailed("the gateway did not start; its last words:\n" + ("\n".join(last) or "none"))

    @contextlib.asynccontextmanager
    async def phone(self, port: int) -> AsyncIterator[None]:
        """The customer's phone, dialling."""
        (_ROOT / _RECORDING).parent.mkdir(parents=True, exist_ok=True)
        target = f"sip:100@127.0.0.1:{port}"
        args = ("call", target, "--script", "--record", str(_RECORDING), "--from", "2125550147", "--max-seconds", "60")
        process = await _start(*args, stdin=asyncio.subprocess.PIPE)
        assert process.stdout is not None and process.stderr is not None
        self._stdin = process.stdin
        last: list[str] = []
        reading = [
            asyncio.create_task(self._read(process.stdout, last)),
            asyncio.create_task(self._read(process.stderr, last)),
        ]
        drawing = asyncio.create_task(self._draw_on())
        try:
            yield
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_WITHIN):
                    await process.wait()
        finally:
            code = await _end(process, _STOP_WITHIN)
            await asyncio.gather(*reading)
            drawing.cancel()
            if code != 0:
                self.problems.append(f"the phone ended with code {code}" + "".join(f"\n{line}" for line in last))

    async def _read(self, stream: asyncio.StreamReader, last: list[str]) -> None:
        """Events are one JSON object a line; what else a process says is kept for when it fails."""
        while line := await stream.readline():
            text = line.decode(errors="replace").rstrip()
            try:
                event = json.loads(text)
            except ValueError:
                event = None
            if isinstance(event, dict):
                self.seen.append(event)
                self._order.push(event)
                self._news.set()
            if not isinstance(event, dict) or event.get("level") in ("warning", "error", "critical"):
                last[:] = [*last, text][-_LAST_LINES:]

    async def _draw_on(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            self.draw()

    def draw(self, *, everything: bool = False) -> None:
        """Print what can be put in order by now."""
        for event in self._order.ready(float("inf") if everything else time.time()):
            for line in self._ladder.lines(event):
                self._console.print(line)

    # ── the customer ────────────────────────────────────────────────────────────────────────────────

    async def customer(self) -> None:
        """Interrupts the greeting with 1, hears the hours, leaves a number, and says goodbye."""
        await self._until(lambda: self._count("playback.started") == 1, "a greeting")
        self._do("listen", ms=1500)
        await self._until(lambda: self._count("heard") == 1, "the sound of the greeting")
        await asyncio.sleep(0.5)
        self._do("digits", digits="1")
        await self._until(lambda: self._count("playback.started") == 2, "the answer to 1")
        await asyncio.sleep(4.0)
        self._do("digits", digits="2")
        await self._until(lambda: self._count("playback.started") == 3, "the question for the customer number")
        await self._until(lambda: self._count("playback.ended") == 3, "the end of that question")
        self._do("digits", digits=f"{_NUMBER}#")
        await self._until(lambda: self._count("playback.started") == 4, "the number, read back")
        await asyncio.sleep(4.5)
        self._do("digits", digits="9")
        await self._until(lambda: self._count("ended") == 1 and self._count("call.ended") == 1, "the end of the call")

    def _do(self, what: str, **fields: object) -> None:
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write(json.dumps({"do": what, **fields}).encode() + b"\n")

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STEP_WITHIN):
                while not condition():
                    if what != "the end of the call" and (self._count("ended") or self._count("error")):
                        break
                    self._news.clear()
                    await self._news.wait()
        if not condition():
            raise DemoFailed(f"waited for {what} and did not get it")

    def _all(self, name: str) -> list[Event]:
        return [event for event in self.seen if kind(event) == name]

    def _count(self, name: str) -> int:
        return len(self._all(name))

    # ── was it as planned ───────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        """Put into `problems` what was not as planned."""
        digits = "".join(str(event.get("digit")) for event in self._all("dtmf.received"))
        asked = [event.get("data") or {} for event in self._all("bot.asked")]
        first = next(iter(self._all("playback.ended")), {})
        greeting = b"".join(base64.b64decode(event["pcm"]) for event in self._all("heard"))
        ended_by = next((event.get("ended_by") for event in self._all("call.ended")), "nobody")
        heard = next(iter(self._all("recorded")), {})
        facts: list[tuple[Any, str]] = [
            (rms_dbfs(samples_of(greeting)) > _SILENT_DBFS, "the phone heard no greeting"),
            (first.get("stopped"), "pressing 1 did not interrupt the greeting"),
            (digits == f"12{_NUMBER}#9", f"the gateway understood the digits {digits or 'none'}, not 12{_NUMBER}#9"),
            (any(data.get("digits") == _NUMBER for data in asked), "the bot was not given the customer number"),
            (ended_by == "bot", f"the call was ended by {ended_by}, not by the bot"),
            (float(heard.get("seconds") or 0) > 5, "there is no recording of the call"),
        ]
        self.problems += [problem for fact, problem in facts if not fact]


async def _start(
    *args: str, env: dict[str, str] | None = None, stdin: int = asyncio.subprocess.DEVNULL
) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "gateway", *args)
    return await asyncio.create_subprocess_exec(
        *command, cwd=_ROOT, env=env, stdin=stdin, stdout=pipe, stderr=pipe, limit=1 << 20
    )


async def _end(process: asyncio.subprocess.Process, within: float) -> int:
    """SIGTERM, and SIGKILL if that does not help; its exit code."""
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(within):
                await process.wait()
        except TimeoutError:
            process.kill()
    return await process.wait()
