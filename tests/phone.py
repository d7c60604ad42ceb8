"""The terminal phone as its own process, for tests: `async with Phone(target, …) as phone`, then events and orders."""

import asyncio
import base64
import json
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
Event = dict[str, Any]


class PhoneEnded(AssertionError):
    """The phone is gone, or time is up, and what was waited for did not come."""


class Phone:
    """Runs `python -m gateway call TARGET --script`, with options: `Phone(uri, from_="42", header="X-A: 1")`.

    Option names are those of the command line with `_` for `-`; a list gives an option several times, True a flag.
    Without a target it waits to be called, at `await phone.uri()`: `gateway answer --script`.
    Leaving the block hangs up, waits, and kills what will not end.
    """

    def __init__(self, target: str | None, **options: object) -> None:
        self._args = ["answer", "--script"] if target is None else ["call", target, "--script"]
        for name, value in options.items():
            flag = "--" + name.strip("_").replace("_", "-")
            for one in value if isinstance(value, list | tuple) else [value]:
                if one is True:
                    self._args.append(flag)
                elif one is not None and one is not False:
                    self._args += [flag, str(one)]
        self.events: list[Event] = []
        """All that happened so far, oldest first."""
        self.stderr = ""
        self.exit_code: int | None = None
        self._taken: dict[str, int] = {}
        self._news = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", *self._args,
            cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, limit=32 << 20, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        self._readers = [asyncio.create_task(self._read_events()), asyncio.create_task(self._read_errors())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ── orders ──────────────────────────────────────────────────────────────────────────────────────

    async def send(self, do: str, **fields: object) -> None:
        """Give one order, as in gateway/phone/script.py: `await phone.send("tone", hz=440)`."""
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")
            await self._process.stdin.drain()
        except ConnectionError:
            raise PhoneEnded(f"{do}: {self._state()}") from None

    async def listen(self, ms: int, timeout: float | None = None) -> bytes:
        """What is heard in the next `ms`: 16-bit mono PCM at 8,000 Hz. tests/spectrum.py looks into it."""
        await self.send("listen", ms=ms)
        heard = await self.event("heard", timeout=timeout if timeout is not None else ms / 1000 + 5)
        return base64.b64decode(heard["pcm"])

    async def digits(self, digits: str, by: str | None = None) -> None:
        """Press keys, and wait until they were sent."""
        await self.send("digits", digits=digits, **({"by": by} if by else {}))
        for _ in digits.replace("w", "").replace("W", ""):
            await self.event("digit-sent", timeout=10)

    async def hang_up(self, timeout: float = 8.0) -> Event:
        """BYE or CANCEL; the `ended` event."""
        await self.send("hangup")
        return await self.event("ended", timeout=timeout)

    async def interrupt(self, signal_number: int) -> None:
        """Send the process a signal, such as that of Ctrl-C."""
        assert self._process is not None
        self._process.send_signal(signal_number)

    # ── what happens ────────────────────────────────────────────────────────────────────────────────

    async def event(self, kind: str, timeout: float = 10.0, **fields: object) -> Event:
        """The next event of this type (and with these fields) that `event` has not given yet.

        Raises PhoneEnded when it does not come in time, or the phone ends without it.
        """
        try:
            async with asyncio.timeout(timeout):
                while True:
                    done = all(reader.done() for reader in self._readers)
                    for number in range(self._taken.get(kind, 0), len(self.events)):
                        found = self.events[number]
                        if found["type"] == kind and all(found.get(k) == v for k, v in fields.items()):
                            self._taken[kind] = number + 1
                            return found
                    if done:
                        break
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        raise PhoneEnded(f"no {kind} {fields or ''} within {timeout:g} s: {self._state()}")

    async def uri(self) -> str:
        """Where it waits to be called."""
        return str((await self.event("listening", timeout=20))["uri"])

    async def answered(self, timeout: float = 10.0) -> Event:
        """Wait for the answer; its event, also if it was given before."""
        return (self.of("answered") or [await self.event("answered", timeout)])[0]

    async def ended(self, timeout: float = 30.0) -> Event:
        """Wait for the end: `status`, `reason`, `reason_header`, `answered`, `by` (phone, peer, network)."""
        return (self.of("ended") or [await self.event("ended", timeout)])[0]

    def of(self, kind: str) -> list[Event]:
        """All events of this type so far."""
        return [event for event in self.events if event["type"] == kind]

    def messages(self) -> list[str]:
        """The SIP messages so far: `> INVITE`, `< 180 Ringing` …"""
        return [f"{'>' if event['dir'] == 'sent' else '<'} {event['what']}" for event in self.of("sip")]

    def digits_heard(self) -> str:
        """The DTMF that came from the other side."""
        return "".join(event["digit"] for event in self.of("dtmf-received"))

    async def wait(self, timeout: float = 15.0) -> int:
        """Wait for the process; its exit code."""
        assert self._process is not None
        try:
            async with asyncio.timeout(timeout):
                self.exit_code = await self._process.wait()
                await asyncio.gather(*self._readers)
        except TimeoutError:
            raise PhoneEnded(f"the phone runs on: {self._state()}") from None
        return self.exit_code

    async def close(self) -> None:
        """Hang up (the end of its orders does that), wait at most 8 s, then kill it."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await self.wait(8.0)
        except PhoneEnded:
            self._process.kill()
            await self.wait(5.0)

    async def _read_events(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.events.append(json.loads(line))
            self._news.set()
        self._news.set()
        asyncio.get_running_loop().call_soon(self._news.set)  # once more when this task counts as done

    async def _read_errors(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self.stderr += line.decode(errors="replace")
        asyncio.get_running_loop().call_soon(self._news.set)

    def _state(self) -> str:
        told = [{key: value for key, value in event.items() if key not in ("at", "pcm")} for event in self.events[-12:]]
        code = self._process.returncode if self._process else None
        return f"exit code {code}; last events: {told}; {self.stderr[-800:]}"
