"""Run a program over bytes: input on stdin, bounded output, bounded time, and it never survives us; for tts, fetch."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

_ENV = {
    **{name: os.environ[name] for name in ("PATH", "ESPEAK_DATA_PATH", "LD_LIBRARY_PATH") if name in os.environ},
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
}
"""What a child sees of our environment: no secrets."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a child ended; `too_long` when it was killed because it wrote more than allowed."""

    returncode: int | None
    stdout: bytes
    stderr: str
    too_long: bool


async def run(argv: Sequence[str], stdin: bytes, *, timeout_s: float, max_output: int) -> Finished:
    """Run it to its end. Raises FileNotFoundError and TimeoutError; a cancelled call kills the child and reaps it."""
    loop = asyncio.get_running_loop()
    transport, child = await loop.subprocess_exec(lambda: _Child(loop.create_future(), max_output), *argv, env=_ENV)
    try:
        pipe = transport.get_pipe_transport(0)
        assert isinstance(pipe, asyncio.WriteTransport)
        pipe.write(stdin)
        pipe.write_eof()
        async with asyncio.timeout(timeout_s):
            await asyncio.shield(child.gone)
    finally:
        child.kill()
        await child.gone
        transport.close()
    return Finished(transport.get_returncode(), bytes(child.out), child.err.decode(errors="replace"), child.too_long)


class _Child(asyncio.SubprocessProtocol):
    def __init__(self, gone: asyncio.Future[None], max_output: int) -> None:
        self.gone, self._max_output = gone, max_output
        self.out, self.err = bytearray(), bytearray()
        self.too_long = False
        self._transport: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self.err += data[: 4096 - len(self.err)]
        elif len(self.out) + len(data) > self._max_output:
            self.too_long = True
            self.kill()
        else:
            self.out += data

    def kill(self) -> None:
        """End it if it still runs. Not by asyncio's own `kill` or `close`: they look first whether it is over, which
        takes its end away from asyncio's watcher, and that complains."""
        if self._transport is not None and self._transport.get_returncode() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._transport.get_pid(), signal.SIGKILL)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
