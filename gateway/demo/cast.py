"""The demo's processes: the gateway and everybody's phone; started, given orders and ended for the scenes."""

import asyncio
import base64
import contextlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from gateway.demo.stage import GATEWAY, DemoFailed, Stage

ROOT: Final = Path(__file__).resolve().parent.parent.parent
FOLDER: Final = ROOT / "var" / "demo"
STORE_URL: Final = f"sqlite+aiosqlite:///{FOLDER / 'switchhook.db'}"
CALLERS_NUMBER: Final = "2125550147"

_READY: Final = re.compile(r"ready sip=udp:127\.0\.0\.1:(\d+).* api=(\S+)")
_START_S, _STOP_S = 30.0, 10.0
_LAST_LINES: Final = 12
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


def recording(phone: str) -> Path:
    """What this phone heard, once it has ended."""
    return FOLDER / f"{phone}-heard.wav"


class Cast:
    """Starts processes, gives their events to the stage, and ends them. A phone is known by its name on the stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._orders: dict[str, asyncio.StreamWriter] = {}

    # ── on and off ──────────────────────────────────────────────────────────────────────────────────

    @contextlib.asynccontextmanager
    async def gateway(self, phones: Mapping[str, int]) -> AsyncIterator[Node]:
        """A gateway of our own on free ports, with the demo's plan, whose agents are these: name and port of phone."""
        plan = yaml.safe_load((ROOT / "dialplans" / "demo.yaml").read_text(encoding="utf-8"))
        plan["agents"] = {
            name: {"name": name.capitalize(), "target": f"sip:{name}@127.0.0.1:{port}", "trunk": "loopback"}
            for name, port in phones.items()
        }
        path = FOLDER / "plan.yaml"
        path.write_text(yaml.safe_dump(plan, sort_keys=False), encoding="utf-8")
        process = await _start("serve", "--log", "json", "--dialplans", str(path), env=os.environ | _SETTINGS)
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
    async def calling(self, phone: str, node: Node) -> AsyncIterator[None]:
        """The caller's phone, dialling the reception."""
        async with self._phone(phone, "call", f"sip:100@127.0.0.1:{node.port}", "--from", CALLERS_NUMBER):
            yield

    @contextlib.asynccontextmanager
    async def waiting(self, phone: str, *options: str) -> AsyncIterator[None]:
        """A phone that is going to be called, and answers when it is told to, or does as the options say."""
        async with self._phone(phone, "answer", "--port", "0", "--ring", "60", *options):
            yield

    async def port(self, phone: str) -> int:
        """Where a phone waits to be called. Raises DemoFailed."""
        listens = f"the {phone}'s phone"
        await self.stage.until(lambda: self.stage.count("listening", phone) > 0, listens, within_s=_START_S)
        return int(self.stage.all("listening", phone)[0]["port"])

    # ── orders ──────────────────────────────────────────────────────────────────────────────────────

    def tell(self, phone: str, what: str, **fields: object) -> None:
        """An order to a phone, as in gateway/phone/script.py."""
        orders = self._orders.get(phone)
        if orders is not None and not orders.is_closing():
            orders.write(json.dumps({"do": what, **fields}).encode() + b"\n")

    async def says(self, phone: str, text: str) -> None:
        """Speak, to the end. Raises DemoFailed."""
        before = self.stage.count("played", phone)
        self.tell(phone, "say", text=text)
        await self.stage.until(lambda: self.stage.count("played", phone) > before, f"what the {phone} says")

    async def listen(self, ms: int, *phones: str) -> list[bytes]:
        """What they hear in the next `ms`. Raises DemoFailed."""
        before = {phone: self.stage.count("heard", phone) for phone in phones}
        for phone in phones:
            self.tell(phone, "listen", ms=ms)
        await self.stage.until(
            lambda: all(self.stage.count("heard", phone) > before[phone] for phone in phones),
            "a sound at the phone of the " + " and the ".join(phones),
        )
        return [base64.b64decode(self.stage.all("heard", phone)[before[phone]]["pcm"]) for phone in phones]

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    @contextlib.asynccontextmanager
    async def _phone(self, name: str, *args: str) -> AsyncIterator[None]:
        FOLDER.mkdir(parents=True, exist_ok=True)
        heard = ("--record", str(recording(name)))
        process = await _start(*args, *heard, "--script", "--max-seconds", "90", stdin=asyncio.subprocess.PIPE)
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
        self.stage.problems.append("\n".join([f"{what}; its last words:" if last else what, *last]))

    async def _read(self, stream: asyncio.StreamReader, name: str, last: list[str]) -> None:
        """Events are one JSON object a line; what else a process says is kept for when it fails."""
        while line := await stream.readline():
            text = line.decode(errors="replace").rstrip()
            try:
                event = json.loads(text)
            except ValueError:
                event = None
            if isinstance(event, Mapping):
                self.stage.happened(event, name)
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
