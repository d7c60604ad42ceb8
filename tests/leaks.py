"""Counts what a test must give back: asyncio tasks and file descriptors; a fixture of suites that open sockets."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


def _descriptors() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
        except FileNotFoundError:
            continue  # the one that listdir itself had open
    return found


@asynccontextmanager
async def no_leaks(grace_s: float = 1.0) -> AsyncIterator[None]:
    """Fail unless, within `grace_s` of the end of the block, all tasks and descriptors of the block are gone."""
    tasks, descriptors = asyncio.all_tasks(), _descriptors()
    yield
    deadline = asyncio.get_running_loop().time() + grace_s
    while True:
        leaked = [*(asyncio.all_tasks() - tasks - {asyncio.current_task()}), *(_descriptors() - descriptors)]
        if not leaked:
            return
        assert asyncio.get_running_loop().time() < deadline, f"left behind: {leaked}"
        await asyncio.sleep(0.01)
