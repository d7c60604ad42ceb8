"""A child gets its input, is held to its bounds, and is gone afterwards."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.speech.child import run


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    await run(["true"], b"", timeout_s=5, max_output=10)
    before = descriptors()
    yield
    await asyncio.sleep(0.02)
    assert children() == []
    assert descriptors() == before


async def test_input_and_output() -> None:
    big = os.urandom(3 << 20)
    done = await run(["cat"], big, timeout_s=10, max_output=4 << 20)
    assert done.stdout == big
    assert (done.returncode, done.too_long) == (0, False)


async def test_a_child_that_does_not_read_is_no_error() -> None:
    done = await run(["sh", "-c", "echo no >&2; exit 7"], bytes(1 << 20), timeout_s=10, max_output=10)
    assert (done.returncode, done.stderr) == (7, "no\n")


async def test_too_much_output_kills() -> None:
    done = await run(["yes"], b"", timeout_s=10, max_output=1000)
    assert done.too_long


async def test_too_much_time_kills() -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        await run(["sleep", "30"], b"", timeout_s=0.1, max_output=10)
    assert time.monotonic() - start < 2


async def test_cancelling_kills() -> None:
    task = asyncio.create_task(run(["sleep", "30"], b"", timeout_s=60, max_output=10))
    await asyncio.sleep(0.1)
    assert len(children()) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_child_sees_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHHOOK_SECRET", "hush")
    done = await run(["env"], b"", timeout_s=5, max_output=10_000)
    assert b"hush" not in done.stdout
