"""Single flight: whoever asks for the same thing at the same time shares one piece of work; for sounds and fetch."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Closed(Exception):
    """The work was given up because its owner is closing."""


class _Work(Generic[V]):
    def __init__(self, task: asyncio.Task[V]) -> None:
        self.task, self.waiters = task, 0


class SingleFlight(Generic[K, V]):
    """Work by key. A waiter that is cancelled leaves the others their work; the last one's leaving cancels it."""

    def __init__(self) -> None:
        self._works: dict[K, _Work[V]] = {}
        self._tasks: set[asyncio.Task[V]] = set()

    async def run(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        """The result of the work under way for `key`, or of `make()`. Raises what that raises, or Closed."""
        work = self._works.get(key)
        if work is None:
            work = self._works[key] = _Work(asyncio.ensure_future(_await(make)))
            self._tasks.add(work.task)
            work.task.add_done_callback(lambda task, key=key: self._done(key, task))  # type: ignore[misc]
        work.waiters += 1
        try:
            return await asyncio.shield(work.task)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if work.task.cancelled() and not (current and current.cancelling()):
                raise Closed from None
            raise
        finally:
            work.waiters -= 1
            if not work.waiters and not work.task.done():
                self._forget(key, work.task)
                work.task.cancel()

    async def close(self) -> None:
        """Cancel all work and wait for its end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, key: K, task: asyncio.Task[V]) -> None:
        self._tasks.discard(task)
        self._forget(key, task)
        if not task.cancelled():
            task.exception()  # seen: nobody may be waiting any more

    def _forget(self, key: K, task: asyncio.Task[V]) -> None:
        work = self._works.get(key)
        if work is not None and work.task is task:
            del self._works[key]


async def _await(make: Callable[[], Awaitable[V]]) -> V:
    return await make()
