"""Runs a watch to its end: the key, the signals, the terminal, what is drawn and when; called by cli.py.

The signals are ours before a key is made and until it is revoked: nothing but SIGKILL leaves one behind.
"""

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final

import aiohttp
from rich.console import Console
from rich.live import Live

from gateway.watch.board import Board, Link
from gateway.watch.client import Client
from gateway.watch.follow import Follower, both
from gateway.watch.key import own_key
from gateway.watch.options import WatchOptions
from gateway.watch.picture import Look, picture
from gateway.watch.rows import Happened
from gateway.watch.words import Numbers, event_line

DONE: Final = 0
_TICK_S: Final = 0.5
"""So often at least the ages are drawn anew."""
_REST_S: Final = 0.1
"""So long at least a picture stands."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def run_watch(options: WatchOptions) -> int:
    """Watch until the operator has seen enough; the exit code. Raises WatchError."""
    loop, enough = asyncio.get_running_loop(), asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, enough.set)
    try:
        async with _client(options) as client:
            await _unless(enough, _watch(options, client, enough))
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
    return DONE


@contextlib.asynccontextmanager
async def _client(options: WatchOptions) -> AsyncIterator[Client]:
    async with contextlib.AsyncExitStack() as stack:
        key = options.key
        if key is None:
            key = await stack.enter_async_context(own_key(options.store_url))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Client(session, options.url, key)


async def _unless(enough: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
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


async def _watch(options: WatchOptions, client: Client, enough: asyncio.Event) -> None:
    board = Board(options.url, options.call)
    numbers = Numbers(options.show_numbers)
    if options.once:
        await Follower(client, board).once()
        console = Console(highlight=False, no_color=options.plain or None)
        console.print(picture(board, client.now(), Look(console.width, None, numbers)), no_wrap=True, crop=False)
    elif options.plain or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        await _lines(board, client, numbers)
    else:
        await _screen(board, client, numbers, enough)


# ── one line per event ──────────────────────────────────────────────────────────────────────────────


async def _lines(board: Board, client: Client, numbers: Numbers) -> None:
    """Events on stdout; what concerns the watching itself on stderr. Of one call: until it is over."""
    over = asyncio.Event()

    def tell(event: Happened) -> None:
        try:
            sys.stdout.write(event_line(event, numbers) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:  # whoever read it has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            over.set()
        if event.call_id == board.focus and event.type == "call.ended":
            over.set()

    follower = Follower(client, board, tell)

    async def notes() -> None:
        told, gaps = Link.CONNECTING, 0
        while True:
            await follower.changed.wait()
            follower.changed.clear()
            if follower.gaps != gaps:
                gaps = follower.gaps
                sys.stderr.write("events were missed: the gateway has another store than before\n")
            if board.link is not told:
                told = board.link
                sys.stderr.write(_note(board) + "\n")
                if board.focus and not board.calls:
                    over.set()

    await _unless(over, both(follower.follow(), notes()))


def _note(board: Board) -> str:
    if board.link is Link.GONE:
        return f"gateway gone ({board.why_gone}), trying again"
    if board.focus and not board.calls:
        return f"{board.focus} is over; switchhook watch --once --call {board.focus} shows what happened"
    return f"following {board.address}"


# ── the screen ──────────────────────────────────────────────────────────────────────────────────────


async def _screen(board: Board, client: Client, numbers: Numbers, enough: asyncio.Event) -> None:
    follower = Follower(client, board)
    console = Console(highlight=False)

    async def draw(show: Callable[[], None]) -> None:
        while True:
            show()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await follower.changed.wait()
            follower.changed.clear()
            await asyncio.sleep(_REST_S)

    with _keys(enough), Live(console=console, screen=True, auto_refresh=False, redirect_stderr=False) as live:

        def show() -> None:
            size = console.size
            live.update(picture(board, client.now(), Look(size.width, size.height, numbers)), refresh=True)

        await both(follower.follow(), draw(show))


@contextlib.contextmanager
def _keys(enough: asyncio.Event) -> Iterator[None]:
    """Without waiting for a line feed or showing what is typed: q ends it. Afterwards the terminal is as it was."""
    if not sys.stdin.isatty():
        yield
        return
    loop, keyboard = asyncio.get_running_loop(), sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)

    def typed() -> None:
        pressed = os.read(keyboard, 64)
        if not pressed or b"q" in pressed.lower():  # several keys may come at once
            enough.set()

    tty.setcbreak(keyboard)
    loop.add_reader(keyboard, typed)
    try:
        yield
    finally:
        loop.remove_reader(keyboard)
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
