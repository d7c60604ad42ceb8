"""A command on a terminal of its own (a pseudo terminal that is its controlling one): types keys, reads the screen."""

import asyncio
import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_HOME: Final = "\x1b[H"
_CONTROL: Final = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[()][A-Z0-9])")


class Terminal:
    """`command` in `folder`, on a screen of `columns` and `lines`."""

    def __init__(
        self, command: list[str], folder: Path, env: Mapping[str, str], columns: int = 100, lines: int = 30
    ) -> None:
        self._command, self._folder = command, folder
        self._env, self._size = {"TERM": "xterm-256color", **env}, (lines, columns)
        self.output = ""
        """All that was written to it."""
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", *self._size, 0, 0))
        self.before = termios.tcgetattr(self._slave)
        self._process = await asyncio.create_subprocess_exec(
            *self._command, cwd=self._folder, env=self._env, stdin=self._slave, stdout=self._slave, stderr=self._slave,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        asyncio.get_running_loop().add_reader(self._master, self._read)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)

    def _read(self) -> None:
        self.output += os.read(self._master, 65536).decode(errors="replace")
        self._news.set()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def screen(self) -> str:
        """The newest picture that is complete (as the next one has begun), without colours."""
        pictures = self.output.split(_HOME)
        return _CONTROL.sub("", pictures[-2]).replace("\r", "") if len(pictures) > 2 else ""

    @property
    def modes(self) -> list[object]:
        """How the terminal is set now, as `before`."""
        return termios.tcgetattr(self._slave)

    def types(self, keys: str) -> None:
        """Somebody presses keys."""
        os.write(self._master, keys.encode())

    async def shows(self, wanted: Callable[[str], bool], timeout_s: float = 15.0) -> str:
        """Wait for a picture that is wanted."""
        try:
            async with asyncio.timeout(timeout_s):
                while not wanted(self.screen):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"it was not shown; all of it:\n{_CONTROL.sub('', self.output[-8000:])}") from None
        return self.screen

    async def exit_code(self, timeout_s: float = 10.0) -> int:
        """Wait for its end, and read its last words."""
        async with asyncio.timeout(timeout_s):
            code = await self._process.wait()
        await asyncio.sleep(0)  # a reader that is ready runs before this returns
        return code
