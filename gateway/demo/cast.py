"""The demo's three processes: the gateway, the caller's phone, the agent's phone; started and ended for run.py."""

import asyncio
import contextlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.demo.stage import AGENT, CALLER, GATEWAY, DemoFailed, Stage

ROOT: Final = Path(__file__).resolve().parent.parent.parent
FOLDER: Final = ROOT / "var" / "demo"
STORE_URL: Final = f"sqlite+aiosqlite:///{FOLDER / 'switchhook.db'}"
CALLER_HEARD: Final = FOLDER / "caller-heard.wav"
AGENT_HEARD: Final = FOLDER / "agent-heard.wav"

_READY: Final = re.compile(r"ready sip=udp:127\.0\.0\.1:(\d+).* api=(\S+)")
_START_S, _STOP_S = 30.0, 10.0
_LAST_LINES: Final = 12
_LEE: Final = "sip:lee@127.0.0.1:5070"
"""The telephone, as dialplans/demo.yaml has it."""
_SETTINGS: Final = {
    "SWITCHHOOK_SIP__BIND": "127.0.0.1",
    "SWITCHHOOK_SIP__UDP_PORT": "0",
    "SWITCHHOOK_SIP__TCP_PORT": "0",
    "SWITCHHOOK_API__BIND": "127.0.0.1:0",
    "SWITCHHOOK_STORE__URL": STORE_URL,
    "SWITCHHOOK_LIMITS__LAG_MS": "60000",  # one call, on a machine that may have just built all this: never refused
    "SWITCHHOOK_LOG__MASK": "false",
    "SWITCHHOOK_LOG__LEVEL": "info",
}


@dataclass(frozen=True, slots=True)
class Node:
    """The gateway that runs: its UDP port on 127.0.0.1, and the address of its API."""

    port: int
    api: str


class Cast:
    """Starts processes, gives their events to the stage, and ends them."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._orders: dict[str, asyncio.StreamWriter] = {}

    def tell(self, phone: str, what: str, **fields: object) -> None:
        """An order to a phone, as in gateway/phone/script.py."""
        orders = self._orders.get(phone)
        if orders is not None and not orders.is_closing():
            orders.write(json.dumps({"do": what, **fields}).encode() + b"\n")

    @contextlib.asynccontextmanager
    async def gateway(self, agent_port: int) -> AsyncIterator[Node]:
        """A gateway of our own on free ports, with the demo's plan; the agent's phone is at this port."""
        plan = FOLDER / "plan.yaml"
        text = (ROOT / "dialplans" / "demo.yaml").read_text(encoding="utf-8")
        plan.write_text(text.replace(_LEE, f"sip:lee@127.0.0.1:{agent_port}"), encoding="utf-8")
        process = await _start("serve", "--log", "json", "--dialplans", str(plan), env=os.environ | _SETTINGS)
        assert process.stdout is not None and process.stderr is not None
        last: list[str] = []
        reading = asyncio.create_task(self._read(process.stderr, GATEWAY, last))
        try:
            yield await _node(process.stdout, last)
        finally:
            code = await _end(process)
            await reading
            if code != 0:
                self._complain(f"the gateway ended with code {code}", last)

    @contextlib.asynccontextmanager
    async def caller(self, node: Node) -> AsyncIterator[None]:
        """The caller's phone, dialling."""
        target = f"sip:100@127.0.0.1:{node.port}"
        async with self._phone(CALLER, "call", target, "--record", str(CALLER_HEARD), "--from", "2125550147"):
            yield

    @contextlib.asynccontextmanager
    async def agent(self) -> AsyncIterator[int]:
        """The agent's phone, waiting to be called, and answering when it is told to; gives its port."""
        async with self._phone(AGENT, "answer", "--port", "0", "--ring", "60", "--record", str(AGENT_HEARD)):
            await self._stage.until(
                lambda: self._stage.count("listening", AGENT) > 0, "the agent's phone", within_s=_START_S
            )
            yield int(self._stage.all("listening", AGENT)[0]["port"])

    @contextlib.asynccontextmanager
    async def _phone(self, name: str, *args: str) -> AsyncIterator[None]:
        FOLDER.mkdir(parents=True, exist_ok=True)
        process = await _start(*args, "--script", "--max-seconds", "90", stdin=asyncio.subprocess.PIPE)
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._orders[name] = process.stdin
        last: list[str] = []
        reading = [
            asyncio.create_task(self._read(process.stdout, name, last)),
            asyncio.create_task(self._read(process.stderr, name, last)),
        ]
        went_well = False
        try:
            yield
            went_well = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await process.wait()
        finally:
            code = await _end(process)
            await asyncio.gather(*reading)
            if code != 0 and (went_well or last):  # else it follows from what went wrong, which is told already
                self._complain(f"the {name}'s phone ended with code {code}", last)

    def _complain(self, what: str, last: list[str]) -> None:
        self._stage.problems.append("\n".join([f"{what}; its last words:" if last else what, *last]))

    async def _read(self, stream: asyncio.StreamReader, name: str, last: list[str]) -> None:
        """Events are one JSON object a line; what else a process says is kept for when it fails."""
        while line := await stream.readline():
            text = line.decode(errors="replace").rstrip()
            try:
                event = json.loads(text)
            except ValueError:
                event = None
            if isinstance(event, Mapping):
                self._stage.happened(event, name)
            if not isinstance(event, Mapping) or event.get("level") in ("warning", "error", "critical"):
                last[:] = [*last, text][-_LAST_LINES:]


async def _node(stdout: asyncio.StreamReader, last: list[str]) -> Node:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_S):
            while line := await stdout.readline():
                if found := _READY.search(line.decode(errors="replace")):
                    return Node(int(found[1]), found[2])
    await asyncio.sleep(0.2)  # its last words are on their way
    raise DemoFailed("the gateway did not start; its last words:\n" + ("\n".join(last) or "none"))


async def _start(
    *args: str, env: dict[str, str] | None = None, stdin: int = asyncio.subprocess.DEVNULL
) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "gateway", *args)
    return await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=env, stdin=stdin, stdout=pipe, stderr=pipe, limit=1 << 20
    )


async def _end(process: asyncio.subprocess.Process) -> int:
    """SIGTERM, and SIGKILL if that does not help; its exit code."""
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
    return await process.wait()
