"""The one thread that may touch PJSIP: a poll loop with a queue in, a queue out and timers; owned by endpoint.py."""

import asyncio
import gc
import heapq
import itertools
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from gateway.telemetry.log import get_logger

log = get_logger(__name__)
T = TypeVar("T")

_LONGEST_WAIT: Final = 0.02
"""PJSIP's own timers (retransmission 500 ms) and digits from the media thread wait at most so long."""
_GRAVE_SECONDS: Final = 0.2
"""How long dead PJSIP objects are kept: jobs of the media thread may still name them (pjsip.md, What bites)."""


class EndpointStopped(Exception):
    """Raised by `run` when the thread is not there (any more)."""


class PjThread:
    """Runs callables in the PJSIP thread and brings events out of it; knows nothing of SIP.

    `pump` is called after each wake-up and handles what is due in PJSIP; `fd` makes the thread wake up.
    """

    def __init__(self) -> None:
        self._inbox: deque[tuple[Callable[..., Any], tuple[Any, ...], asyncio.Future[Any] | None]] = deque()
        self._outbox: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._graves: deque[tuple[float, object]] = deque()
        self._signalled = False
        self._open = False
        self._wake_fd = -1
        self._poll = select.poll()
        self._pump: Callable[[], object] = lambda: None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._finished: asyncio.Future[None] | None = None
        self._stopping = False

    # ── from the event loop ─────────────────────────────────────────────────────────────────────────

    async def start(
        self, set_up: Callable[[], tuple[int, Callable[[], object]]], tear_down: Callable[[], object]
    ) -> None:
        """Start the thread; `set_up` runs first in it and gives (fd, pump), `tear_down` runs last in it."""
        if self._thread is not None:
            raise RuntimeError("the PJSIP thread runs already")
        self._loop = asyncio.get_running_loop()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._finished = self._loop.create_future()
        ready: asyncio.Future[None] = self._loop.create_future()
        self._stopping = False
        self._thread = threading.Thread(target=self._main, args=(set_up, tear_down, ready), name="pjsip", daemon=True)
        self._thread.start()
        try:
            await ready
        except BaseException:
            await self._join()
            raise

    async def stop(self) -> None:
        """Run `tear_down` in the thread, and wait until the thread is gone."""
        if self._thread is None:
            return
        self._stopping = True
        self._wake()
        await self._join()

    def submit(self, fn: Callable[..., object], *args: object) -> None:
        """Have `fn` called in the PJSIP thread, in order; returns at once; nothing happens when the thread is gone."""
        if self._open:
            self._inbox.append((fn, args, None))
            self._wake()

    async def run(self, fn: Callable[..., T], *args: Any) -> T:
        """Call `fn` in the PJSIP thread and wait for what it returns or raises."""
        if not self._open or self._loop is None:
            raise EndpointStopped
        future: asyncio.Future[T] = self._loop.create_future()
        self._inbox.append((fn, args, future))
        self._wake()
        return await future

    # ── from the PJSIP thread ───────────────────────────────────────────────────────────────────────

    def emit(self, callback: Callable[..., object], *args: object) -> None:
        """Have `callback` called on the event loop, in order; all of one round cost one wake-up."""
        self._outbox.append((callback, args))

    def later(self, seconds: float, fn: Callable[[], object]) -> None:
        """Call `fn` in the PJSIP thread after so long. It cannot be taken back: `fn` looks whether it still matters."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), fn))

    def bury(self, dead: object) -> None:
        """Keep a dead PJSIP object alive a little longer."""
        self._graves.append((time.monotonic() + _GRAVE_SECONDS, dead))

    def turn(self, longest: float = _LONGEST_WAIT) -> None:
        """One round of the loop; `tear_down` uses it to let PJSIP finish."""
        wait = longest
        if self._inbox:
            wait = 0.0
        elif self._timers:
            wait = min(wait, max(0.0, self._timers[0][0] - time.monotonic()))
        for fd, _ in self._poll.poll(wait * 1000):
            if fd == self._wake_fd:
                os.eventfd_read(fd)
        self._signalled = False
        self._guarded(self._pump)
        self._run_inbox()
        self._run_timers()
        self._send_out()

    @property
    def queued(self) -> int:
        """Callables that wait for the PJSIP thread."""
        return len(self._inbox)

    @property
    def is_current(self) -> bool:
        """Whether the caller is the PJSIP thread."""
        return threading.current_thread() is self._thread

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _wake(self) -> None:
        if not self._signalled:  # one write per round: the reader clears the flag before it looks into the inbox
            self._signalled = True
            os.eventfd_write(self._wake_fd, 1)

    async def _join(self) -> None:
        if self._finished is None or self._thread is None:
            return
        await self._finished
        self._thread.join()  # has nothing left to do but return
        self._thread = None
        os.close(self._wake_fd)
        self._wake_fd = -1

    def _main(
        self,
        set_up: Callable[[], tuple[int, Callable[[], object]]],
        tear_down: Callable[[], object],
        ready: asyncio.Future[None],
    ) -> None:
        self._poll = select.poll()
        self._poll.register(self._wake_fd, select.POLLIN)
        try:
            fd, self._pump = set_up()
            self._poll.register(fd, select.POLLIN)
        except BaseException as error:  # noqa: BLE001 - handed to `start`, which raises it
            self._guarded(tear_down)
            self._tell(_settle, ready, None, error)
        else:
            self._open = True
            self._tell(_settle, ready, None, None)
            while not self._stopping:
                self.turn()
            self._guarded(tear_down)
        self._close()

    def _close(self) -> None:
        self._open = False
        self._run_inbox(refuse=True)
        self._timers.clear()
        self._graves.clear()
        self._pump = lambda: None
        self._send_out()
        gc.collect()
        if self._finished is not None:
            self._tell(_settle, self._finished, None, None)

    def _run_inbox(self, *, refuse: bool = False) -> None:
        for _ in range(len(self._inbox)):  # what arrives meanwhile waits for the next round, so SIP gets its turn
            fn, args, future = self._inbox.popleft()
            if future is None:
                if not refuse:
                    self._guarded(fn, *args)
                continue
            try:
                if refuse:
                    raise EndpointStopped
                result = fn(*args)
            except BaseException as error:  # noqa: BLE001 - handed to `run`, which raises it
                self.emit(_settle, future, None, error)
            else:
                self.emit(_settle, future, result, None)

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            self._guarded(heapq.heappop(self._timers)[2])
        while self._graves and self._graves[0][0] <= now:
            self._graves.popleft()

    def _send_out(self) -> None:
        if self._outbox:
            batch, self._outbox = self._outbox, []
            self._tell(self._deliver, batch)

    def _tell(self, fn: Callable[..., object], *args: object) -> None:
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(fn, *args)
        except RuntimeError:  # the loop was closed under us: nobody is left to hear it
            log.warning("sip.loop_gone")

    @staticmethod
    def _guarded(fn: Callable[..., object], *args: object) -> None:
        try:
            fn(*args)
        except BaseException:
            log.exception("sip.thread_error", where=getattr(fn, "__qualname__", repr(fn)))

    @staticmethod
    def _deliver(batch: list[tuple[Callable[..., object], tuple[object, ...]]]) -> None:
        for callback, args in batch:
            try:
                callback(*args)
            except Exception:
                log.exception("sip.listener_error", where=getattr(callback, "__qualname__", repr(callback)))


def _settle(future: "asyncio.Future[T]", result: T, error: BaseException | None) -> None:
    if future.done():  # its waiter was cancelled
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
