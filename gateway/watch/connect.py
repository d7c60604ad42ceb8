"""A client of the gateway with its key, and the signals that end a command; for watch.py and command.py.

The signals are ours before a key is made and until it is revoked: nothing but SIGKILL leaves one behind.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any, Final

import aiohttp

from gateway.watch.client import ANSWER_S, Client
from gateway.watch.options import Access

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def enough_said() -> Iterator[asyncio.Event]:
    """Set when the operator has seen enough: by a signal, or by who holds it."""
    loop, enough = asyncio.get_running_loop(), asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, enough.set)
    try:
        yield enough
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


@contextlib.asynccontextmanager
async def connected(access: Access, command: str, scopes: Sequence[str]) -> AsyncIterator[Client]:
    """A client with a key of these scopes: that which was given, or one of its own. Raises WatchError."""
    async with contextlib.AsyncExitStack() as stack:
        key = access.key
        if key is None:
            from gateway.watch.key import own_key  # imports SQLAlchemy, which takes longer than a command with a key

            key = await stack.enter_async_context(own_key(access.store_url, command, scopes))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Client(session, access.url, key, ANSWER_S, scopes)


async def unless(enough: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do it until it is done or we have been told that it is enough; what it raises is raised."""
    waiting, working = asyncio.create_task(enough.wait()), asyncio.create_task(work)
    try:
        await asyncio.wait({waiting, working}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (waiting, working):
            task.cancel()
        await asyncio.gather(waiting, working, return_exceptions=True)
