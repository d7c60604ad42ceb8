"""The gateway as its users run it: a process of its own, with its log and what it holds; for tests/sip and tests/bench.

async with GatewayProcess(plan, tmp_path) as gateway:
    ...                                     # call sip:…@127.0.0.1:{gateway.udp_port}
    ended = await gateway.wait_for("call.ended", ended_by="bot")
"""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

ROOT: Final = Path(__file__).resolve().parent.parent
_READY: Final = re.compile(r"ready sip=udp:127\.0\.0\.1:(\d+),tcp:127\.0\.0\.1:(\d+) api=(http://\S+)")
_DEFECTS: Final = frozenset({
    "sip.callback_error", "sip.thread_error", "call.failed", "voice.defect", "bot.broke", "bridge.listener_error",
    "engine.calls_left", "gateway.cannot_start",
})  # fmt: skip
_START_S: Final = 30.0
_HELD_MORE: Final = {"orders"}
"""What may be held for a moment at any time: orders on their way to the PJSIP thread."""

Line = dict[str, Any]


class GatewayProcess:
    """`python -m gateway serve` on free ports. `plan` is the text of a dialplan; `settings` are SWITCHHOOK_* by key."""

    def __init__(
        self, plan: str, folder: Path, settings: Mapping[str, str] | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self._plan, self.folder, self._settings, self.env = plan, folder, settings or {}, env or {}
        self.log: list[Line] = []
        """The log since the last `forget`."""
        self.noise: list[str] = []
        """What stood on stderr and was no line of the log: a traceback, an abort."""
        self.udp_port = self.tcp_port = 0
        self.api = ""
        self.idle: dict[str, int] = {}
        """What it holds when there is no call."""
        self._news = asyncio.Event()
        self._readers: list[asyncio.Task[None]] = []

    # ── its life ────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Start, and wait for the ready line."""
        plan = self.folder / "plan.yaml"
        plan.write_text(self._plan)
        (self.folder / "switchhook.yaml").write_text("{}\n")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", "--log", "json", "--dialplans", str(plan)),
            cwd=self.folder,
            env=self._environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**22,
        )
        self._readers = [asyncio.create_task(self._read_log())]
        assert self._process.stdout is not None
        async with asyncio.timeout(_START_S):
            line = (await self._process.stdout.readline()).decode()
        ready = _READY.fullmatch(line.strip())
        assert ready, f"no ready line but {line!r}; stderr: {self.noise} {self.log}"
        self.udp_port, self.tcp_port, self.api = int(ready[1]), int(ready[2]), ready[3]
        self._readers.append(asyncio.create_task(self._drain_stdout()))
        self.idle = await self.held()

    def _environment(self) -> dict[str, str]:
        settings = {
            "sip.udp_port": "0",
            "sip.tcp_port": "0",
            "api.bind": "127.0.0.1:0",
            "media.folder": str(ROOT / "media"),
            "cache": str(self.folder / "cache"),
            "limits.cps": "1000",  # tests call as fast as they can, on machines that are
            "limits.lag_ms": "60000",  # busy with other things too
            **self._settings,
        }
        own = {f"SWITCHHOOK_{key.replace('.', '__').upper()}": value for key, value in settings.items()}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SWITCHHOOK_")}
        return {**clean, **self.env, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **own}

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def terminate(self, how: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM: the first one drains, the second one ends it."""
        self._process.send_signal(how)

    async def kill(self) -> None:
        """kill -9."""
        self.terminate(signal.SIGKILL)
        await self.exit_code()

    async def exit_code(self, timeout_s: float = 20.0) -> int:
        """Wait for its end."""
        async with asyncio.timeout(timeout_s):
            code = await self._process.wait()
            await asyncio.gather(*self._readers)
        return code

    async def stop(self) -> None:
        """SIGTERM, a second one if it does not go by itself. It must exit with 0 and have complained of nothing."""
        try:
            if self._process.returncode is None:
                self.terminate()
                try:
                    await self.exit_code(timeout_s=5.0)
                except TimeoutError:
                    self.terminate()
            code = await self.exit_code()
        except BaseException:
            self._process.kill()
            raise
        self.check()
        assert code == 0, f"exit code {code}"

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            self._process.kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # ── its log ─────────────────────────────────────────────────────────────────────────────────────

    async def _read_log(self) -> None:
        assert self._process.stderr is not None
        async for raw in self._process.stderr:
            text = raw.decode(errors="replace").rstrip()
            try:
                line = json.loads(text)
            except ValueError:
                self.noise.append(text)
            else:
                self.log.append(line)
            self._news.set()

    async def _drain_stdout(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            self.noise.append(raw.decode(errors="replace").rstrip())

    def forget(self) -> None:
        """Begin a new log."""
        self.log.clear()

    def events(self, event: str, **fields: Any) -> list[Line]:
        """The lines of this event whose fields are these."""
        return [line for line in self.log if line["event"] == event and fields.items() <= line.items()]

    async def wait_for(self, event: str, *, timeout_s: float = 10.0, count: int = 1, **fields: Any) -> Line:
        """The `count`th such line, now or as soon as it comes."""
        try:
            async with asyncio.timeout(timeout_s):
                while len(found := self.events(event, **fields)) < count:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            told = "\n".join(str(line) for line in self.log)
            raise AssertionError(f"no {event} {fields} ({count}) in the log:\n{told}") from None
        return found[count - 1]

    async def end_of(self, sip_call_id: str, timeout_s: float = 10.0) -> Line:
        """`call.ended` of the call with this Call-ID."""
        started = await self.wait_for("call.started", sip_call_id=sip_call_id)
        return await self.wait_for("call.ended", call_id=started["call_id"], timeout_s=timeout_s)

    def of_call(self, sip_call_id: str, event: str) -> list[Line]:
        """The lines of this event of the call with this Call-ID."""
        (started,) = self.events("call.started", sip_call_id=sip_call_id)
        return self.events(event, call_id=started["call_id"])

    def check(self) -> None:
        """Nothing in the log is a defect of the gateway."""
        assert not self.noise, "\n".join(self.noise)
        wrong = [line for line in self.log if line["event"] in _DEFECTS or "exception" in line]
        assert not wrong, "\n".join(f"{line['event']}: {line.get('exception', line)}" for line in wrong)

    # ── what it holds ───────────────────────────────────────────────────────────────────────────────

    async def held(self) -> dict[str, int]:
        """Legs, voices, ports, timers, tasks, descriptors, calls."""
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session, session.get(f"{self.api}/healthz") as answer:
            held: dict[str, int] = (await answer.json())["held"]
        return {name: count for name, count in held.items() if name not in _HELD_MORE}

    async def ready(self) -> int:
        """The status of /readyz."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.api}/readyz") as answer:
            return answer.status

    async def all_given_back(self, within_s: float = 5.0) -> None:
        """It holds again what it held before there was any call."""
        deadline = asyncio.get_running_loop().time() + within_s
        while (held := await self.held()) != (idle := self.idle):
            if asyncio.get_running_loop().time() > deadline:
                self.idle = held  # tell it once, not after every test that follows
                more = {name: f"{count}, idle {idle[name]}" for name, count in held.items() if count != idle[name]}
                raise AssertionError(f"still held: {more}")
            await asyncio.sleep(0.05)
