"""Child processes that cannot outlive the benchmark: each is ended by its pid, and by the kernel if we are killed."""

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class BenchError(Exception):
    """Something did not work, as opposed to being slow: the run's exit code is then 1."""


def _prepare() -> None:
    """In the child, before exec: die with the parent, and have all the descriptors that there may be."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Child:
    """A process with its stdout on a pipe and its stderr in a file; a context manager that ends it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        stderr: Path,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        quiet: bool = False,
    ) -> None:
        """`quiet` throws stdout away."""
        self.name, self.stderr = name, stderr
        with stderr.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if quiet else subprocess.PIPE,
                stderr=errors,
                cwd=cwd,
                env=dict(env) if env is not None else None,
                start_new_session=True,  # a Ctrl-C at the terminal is ours alone; we then end the children in order
                preexec_fn=_prepare,
            )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Raises BenchError if it has ended."""
        code = self._process.poll()
        if code is not None:
            raise BenchError(f"{self.name} has ended with code {code}:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of its stderr."""
        return "\n".join(self.stderr.read_text(errors="replace").splitlines()[-8:])

    def line(self, timeout_s: float) -> str:
        """The next line of its stdout. Raises BenchError when none comes."""
        if self._process.stdout is None:
            raise ValueError("stdout is thrown away")
        ready, _, _ = select.select([self._process.stdout], [], [], timeout_s)
        line = self._process.stdout.readline().decode().strip() if ready else ""
        if not line:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5 if ready else 0)
            self.check()
            raise BenchError(f"{self.name} said nothing within {timeout_s:g} s:\n{self.last_words()}")
        return line

    def wait(self, timeout_s: float) -> int:
        """Its exit code, when it ends by itself. Raises BenchError when it does not."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.name} did not end within {timeout_s:.0f} s") from None

    def ask_to_end(self) -> None:
        """Once, without waiting."""
        os.kill(self.pid, signal.SIGTERM)

    def stop(self, patience_s: float = 3.0) -> None:
        """End it: politely, again, then by force."""
        try:
            for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
                if self._process.poll() is not None:
                    return
                os.kill(self.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(patience_s)
        finally:
            if self._process.stdout is not None:
                self._process.stdout.close()


def until(condition: Callable[[], bool], timeout_s: float, every_s: float = 0.25) -> bool:
    """Ask `condition` again and again; whether it came true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True
