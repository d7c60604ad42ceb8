"""baresip, a SIP phone that nobody here wrote, as its own process without a sound card; for tests/sip.

    async with Baresip(folder, tone=440) as phone:
        await phone.dial(f"sip:100@127.0.0.1:{gateway.udp_port}")
        await phone.event("CALL_ESTABLISHED")
        await phone.press("12#")
        await phone.hang_up()
    heard, rate = phone.heard()

Told what to do, and telling what happens, over its ctrl_tcp module (JSON in netstrings). Works with what Debian 12 has
(1.0), and keeps to what later versions have too.
"""

import asyncio
import json
import os
import socket
import wave
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from tests.spectrum import Floats, read
from tests.wire import free_port

ADDRESS: Final = "127.0.0.1"
"""Where it calls from: later versions of it take no address that no interface has, as 127.0.0.2."""
_MODULES: Final = Path("/usr/lib/baresip/modules")
_CONFIG: Final = """\
sip_listen {address}:{port}
net_interface {address}
call_max_calls 2
audio_source aufile,{folder}/says.wav
audio_player aubridge,nowhere
audio_alert aubridge,nowhere
snd_path {folder}
statmode_default off
ringback_disabled yes
module_path {modules}
module g711.so
module g722.so
module aufile.so
module aubridge.so
module sndfile.so
module_app account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {address}:{control}
"""

Event = dict[str, Any]


class Baresip:
    """One phone; its user is ann. `tone` is what it says all the time, `rate` that of its codec, 8,000 Hz unless G722.

    Leaving the block ends it, and a call with it; only then its recording is whole.
    """

    def __init__(self, folder: Path, tone: int = 0, rate: int = 8000, port: int = 0) -> None:
        """At this port it can be called, and takes a call at once."""
        self._folder, self._tone, self._rate, self._port = folder, tone, rate, port
        self.events: list[Event] = []
        """What it told so far: events, and answers to orders."""
        self.output = ""
        self._tokens = 0
        self._taken: dict[str, int] = {}
        self._news = asyncio.Event()
        self._readers: list[asyncio.Task[None]] = []

    # ── orders ──────────────────────────────────────────────────────────────────────────────────────

    async def dial(self, uri: str) -> None:
        """Call somebody."""
        await self._do("dial", uri)

    async def press(self, keys: str) -> None:
        """Keys, as RFC 4733 events."""
        await self._do("sndcode", keys)

    async def hold(self) -> None:
        """A re-INVITE with sendonly."""
        await self._do("hold")

    async def resume(self) -> None:
        """A re-INVITE with sendrecv."""
        await self._do("resume")

    async def transfer(self, uri: str) -> None:
        """REFER in the present call, which it holds."""
        await self._do("transfer", uri)

    async def takes_line(self, line: int) -> None:
        """Orders are for this one of its calls from now on."""
        await self._do("line", str(line))

    async def hang_up(self) -> Event:
        """BYE; its CALL_CLOSED."""
        await self._do("hangup")
        return await self.event("CALL_CLOSED")

    # ── what happens ────────────────────────────────────────────────────────────────────────────────

    async def event(self, kind: str, timeout_s: float = 10.0) -> Event:
        """The next event of this type: CALL_ESTABLISHED, CALL_CLOSED (`param` says why) …"""
        return await self._next("type", kind, timeout_s)

    def heard(self) -> tuple[Floats, int]:
        """What it heard in its call, and the rate; while there was no RTP, no time passes."""
        sounds = [read(path) for path in sorted(self._folder.glob("dump-*dec.wav"))]
        assert sounds, f"it heard nothing\n{self.output}"
        return np.concatenate([sound for sound, _ in sounds]), sounds[0][1]

    async def _do(self, command: str, params: str = "") -> None:
        self._tokens += 1
        token = f"order-{self._tokens}"
        body = json.dumps({"command": command, "params": params, "token": token}).encode()
        self._writer.write(b"%d:%s," % (len(body), body))
        answer = await self._next("token", token, 5.0)
        assert answer["ok"], f"{command}: {answer}"

    async def _next(self, key: str, value: str, timeout_s: float) -> Event:
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    for number in range(self._taken.get(value, 0), len(self.events)):
                        if self.events[number].get(key) == value:
                            self._taken[value] = number + 1
                            return self.events[number]
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no {value}: {self.events}\n{self.output}") from None

    # ── its life ────────────────────────────────────────────────────────────────────────────────────

    async def __aenter__(self) -> Self:
        control = free_port(ADDRESS, socket.SOCK_STREAM)
        config = _CONFIG.format(
            address=ADDRESS, port=self._port, folder=self._folder, modules=_MODULES, control=control
        )
        (self._folder / "config").write_text(config)
        (self._folder / "accounts").write_text(
            f"<sip:ann@{ADDRESS}>;regint=0{';answermode=auto' if self._port else ''}\n"
        )
        (self._folder / "contacts").write_text("")
        self._write_tone(self._folder / "says.wav")
        self._process = await asyncio.create_subprocess_exec(
            "baresip", "-s", "-f", str(self._folder),
            cwd=self._folder, env={**os.environ, "HOME": str(self._folder)},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        self._readers = [asyncio.create_task(self._read_output())]
        try:
            reader, self._writer = await self._connect(control)
        except BaseException:
            self._process.kill()
            raise
        self._readers.append(asyncio.create_task(self._read_events(reader)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()  # it hangs up first
        try:
            async with asyncio.timeout(8):
                code = await self._process.wait()
        except TimeoutError:
            self._process.kill()
            code = await self._process.wait()
        self._writer.close()
        await asyncio.gather(*self._readers)
        if error is None:
            assert code == 0, f"exit code {code}\n{self.output}"

    async def _connect(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(10):
            while True:
                try:
                    return await asyncio.open_connection(ADDRESS, port)
                except ConnectionError:
                    assert self._process.returncode is None, self.output
                    await asyncio.sleep(0.05)

    def _write_tone(self, path: Path, seconds: int = 60) -> None:
        at = np.arange(seconds * self._rate) / self._rate
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, self._rate, 0, "NONE", ""))
            file.writeframes((0.25 * 32767 * np.sin(2 * np.pi * self._tone * at)).astype("<i2").tobytes())

    async def _read_events(self, reader: asyncio.StreamReader) -> None:
        try:
            while length := await reader.readuntil(b":"):
                body = await reader.readexactly(int(length[:-1]) + 1)
                self.events.append(json.loads(body[:-1]))
                self._news.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            self._news.set()

    async def _read_output(self) -> None:
        assert self._process.stdout is not None
        while part := await self._process.stdout.read(65536):
            self.output += part.decode(errors="replace")
