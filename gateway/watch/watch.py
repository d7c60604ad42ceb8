"""Runs a watch to its end: the terminal, what is drawn and when; called by cli_agent.py."""

import asyncio
import contextlib
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from typing import Final

from rich.console import Console
from rich.live import Live

from gateway.watch.board import Board, Link
from gateway.watch.client import READ, Client
from gateway.watch.command import calls_up
from gateway.watch.connect import connected, enough_said, unless
from gateway.watch.follow import Follower, both
from gateway.watch.options import Access, WatchOptions
from gateway.watch.pick import pick_call
from gateway.watch.picture import Look, picture
from gateway.watch.rows import Happened
from gateway.watch.wire import call_of, fit
from gateway.watch.words import Numbers, event_line

DONE: Final = 0
_TICK_S: Final = 0.5
"""So often at least the ages are drawn anew."""
_REST_S: Final = 0.1
"""So long at least a picture stands."""


async def run_watch(options: WatchOptions) -> int:
    """Watch until the operator has seen enough; the exit code. Raises WatchError, UsageError."""
    access = Access(options.url, options.key, options.store_url)
    with enough_said() as enough:
        async with connected(access, "watch", READ) as client:
            await unless(enough, _watch(options, client, enough))
    return DONE


async def _watch(options: WatchOptions, client: Client, enough: asyncio.Event) -> None:
    board = Board(options.url, await _focus(options.call, client))
    numbers = Numbers(options.show_numbers)
    if options.once:
        await Follower(client, board).once()
        console = Console(highlight=False, no_color=options.plain or None)
        console.print(picture(board, client.now(), Look(console.width, None, numbers)), no_wrap=True, crop=False)
    elif options.plain or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        await _lines(board, client, numbers)
    else:
        await _screen(board, client, numbers, enough)


async def _focus(call: str | None, client: Client) -> str | None:
    """The id of the one call that is meant."""
    return None if call is None else pick_call(call, [call_of(fit(each)) for each in await calls_up(client)])


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

    follower = Follower(client, board, tell, tell)

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

    await unless(over, both(follower.follow(), notes()))


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
