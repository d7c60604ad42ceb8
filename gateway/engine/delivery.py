"""One status webhook at work: what it has sent, is sending, and tries again, and when; for deliveries.py.

The journal is the outbox. The webhook reads it in pages and sends up to `AT_ONCE` events at a time: those of one call
one after the other, those of different calls side by side, so that a slow receiver does not fall behind. An event that
was not taken waits for its next attempt on its own and holds up nothing, until `MOST_WAITING` of them wait: then none
that is new is begun. `after_seq`, which is what is kept, never passes an event that is not taken, waiting or given up.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from gateway.dialplan.people import Webhook
from gateway.engine.ports import History, NotTaken, Progress, Receiver, Recorded, Retry, StoreUnavailable
from gateway.telemetry.log import get_logger

log = get_logger(__name__)

SCHEDULE_S: Final = (5.0, 30.0, 120.0, 600.0, 3600.0, 4 * 3600.0, 12 * 3600.0, 24 * 3600.0)
"""How long to wait after the first failure, the second, … (control-api.md); after the last retry it is given up."""
LONGEST_WAIT_S: Final = 24 * 3600.0
"""What a receiver may ask for with Retry-After."""
AT_ONCE: Final = 8
_RETRIES_AT_ONCE: Final = 4
"""So that retries which each take 10 s to fail leave room for what is new."""
MOST_WAITING: Final = 100
_PAGE: Final = 64
_ENOUGH: Final = 32
"""Events in hand, among which those of several calls are likely to be."""
_UNREADABLE_S: Final = 5.0
_LOST: Final = NotTaken("it is not in the journal any more")
_DEFECT: Final = NotTaken("a defect of the gateway; the log has it")


class Outcome(StrEnum):
    """What came of an attempt; these are metric labels."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """It is tried again."""
    GIVEN_UP = "given-up"
    GONE = "gone"
    """410: the webhook is disabled."""


class WebhookState(StrEnum):
    """How a webhook is."""

    DELIVERING = "delivering"
    FAILING = "failing"
    """The last attempt failed, or something waits since before the start."""
    DISABLED = "disabled"
    """It answered 410. A reload of the dialplan enables it again."""


@dataclass(frozen=True, slots=True)
class WebhookStatus:
    """A webhook as operators see it. `url` without its query, which may be a secret; `delivered` since the start;
    `pending`: read from the journal and not delivered; `lag_s`: how old the oldest of them is; `behind_seq`: how far
    it is behind the newest event of all."""

    url: str
    events: tuple[str, ...]
    channels: tuple[str, ...]
    state: WebhookState
    delivered: int
    pending: int
    lag_s: float
    behind_seq: int
    last_error: str | None
    last_error_at: float | None


@dataclass(frozen=True, slots=True)
class Pace:
    """Time, for tests to choose. `clock` gives seconds since the epoch; `jitter` what each wait is multiplied by."""

    clock: Callable[[], float]
    jitter: Callable[[], float]
    schedule_s: tuple[float, ...] = SCHEDULE_S


def shown(url: str) -> str:
    """The URL as the log may have it: its query may be a secret."""
    return url.partition("#")[0].partition("?")[0]


class Delivery:
    """One webhook. `changed` is called when there is something to save, `count` for each attempt."""

    def __init__(
        self,
        webhook: Webhook,
        receiver: Receiver,
        progress: Progress,
        history: History,
        pace: Pace,
        changed: Callable[[], None],
        count: Callable[[Outcome], None],
    ) -> None:
        self.webhook, self._receiver = webhook, receiver
        self._history, self._pace, self._changed, self._count = history, pace, changed, count
        self._kept = progress
        self._read = progress.after_seq
        self._in_hand: list[Recorded] = []
        self._waiting = {retry.seq: retry for retry in progress.retries}
        self._flying: dict[int, Recorded | None] = {}
        """Events on their way; None: one of `_waiting`."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsaved: set[int] = set()
        self._failing = bool(self._waiting)
        self._shown = shown(webhook.url)
        self._delivered = 0
        self._unreadable = False
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._runner = asyncio.create_task(self._run(), name="status webhook")

    # ── For deliveries.py ───────────────────────────────────────────────────────────────────────────

    def renew(self, webhook: Webhook, receiver: Receiver) -> None:
        """The plan says this of it now; one that was disabled goes on from where it was."""
        self.webhook, self._receiver = webhook, receiver
        if self._kept.disabled:
            self._kept = replace(self._kept, disabled=False)
            self._changed()
            log.info("webhook.enabled", url=self._shown)
        self.wake()

    def wake(self) -> None:
        """There may be something to do."""
        self._idle.clear()
        self._wake.set()

    async def idle(self) -> None:
        """Return when nothing is left that could be done now."""
        await self._idle.wait()

    async def stop(self) -> None:
        """Begin nothing more and leave off what is on its way: it counts as not delivered."""
        for task in (self._runner, *self._tasks):
            task.cancel()
        await asyncio.wait({self._runner, *self._tasks})

    def progress(self) -> Progress:
        """What changed since it was asked last, to be saved."""
        unsaved, self._unsaved = self._unsaved, set()
        return replace(
            self._kept,
            after_seq=self._after_seq(),
            retries=tuple(self._waiting[seq] for seq in sorted(unsaved) if seq in self._waiting),
            done=tuple(seq for seq in sorted(unsaved) if seq not in self._waiting),
        )

    def unsaved(self, progress: Progress) -> None:
        """Saving this failed."""
        self._unsaved |= {retry.seq for retry in progress.retries} | set(progress.done)

    def status(self) -> WebhookStatus:
        """How it is."""
        fresh = [*self._in_hand, *(one for one in self._flying.values() if one is not None)]
        times = [one.happening.at for one in fresh] + [retry.at for retry in self._waiting.values()]
        oldest = min([self._after_seq(), *(seq - 1 for seq in self._waiting)])
        state = WebhookState.FAILING if self._failing else WebhookState.DELIVERING
        return WebhookStatus(
            self._shown,
            self.webhook.events,
            self.webhook.channels,
            WebhookState.DISABLED if self._kept.disabled else state,
            self._delivered,
            len(times),
            max(0.0, self._pace.clock() - min(times)) if times else 0.0,
            max(0, self._history.last_seq - oldest),
            self._kept.last_error,
            self._kept.last_error_at,
        )

    # ── What to send next ───────────────────────────────────────────────────────────────────────────

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            again_at: float | None
            try:
                await self._fill()
                again_at, self._unreadable = self._begin(), False
            except StoreUnavailable as error:
                if not self._unreadable:  # said once, until it works again
                    log.warning("webhook.journal_unreadable", url=self._shown, detail=str(error))
                self._unreadable = True
                again_at = self._pace.clock() + _UNREADABLE_S
            except Exception:
                log.exception("webhook.defect", url=self._shown)
                again_at = self._pace.clock() + _UNREADABLE_S
            if not self._flying and not self._wake.is_set():
                self._idle.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if again_at is None else again_at - self._pace.clock()):
                    await self._wake.wait()

    async def _fill(self) -> None:
        """Have the oldest events in hand that were not begun, also while none may be sent: the lag is theirs."""
        while len(self._in_hand) < _ENOUGH and self._read < (newest := self._history.last_seq):
            found = await self._history.events(
                self._read,
                types=frozenset(self.webhook.events) or None,
                channels=frozenset(self.webhook.channels) or None,
                limit=_PAGE,
            )
            self._in_hand += [one for one in found if one.seq not in self._waiting]
            last = found[-1].seq if found else 0
            self._read = last if len(found) == _PAGE else max(newest, last)
            self._changed()

    def _begin(self) -> float | None:
        """Send what may be sent now; when there may be more to send without anybody saying so."""
        now, kept = self._pace.clock(), self._kept
        if kept.disabled:
            return None
        if kept.not_before is not None and now < kept.not_before:
            return kept.not_before
        resting = sorted((r.due_at, r.seq) for r in self._waiting.values() if r.seq not in self._flying)
        retrying = len(self._flying) - self._fresh_flying()
        for due_at, seq in resting:
            if due_at > now or retrying >= _RETRIES_AT_ONCE or len(self._flying) >= AT_ONCE:
                break
            retrying += 1
            self._send(seq, None)
        while len(self._flying) < AT_ONCE and len(self._waiting) + self._fresh_flying() < MOST_WAITING:
            busy = {one.happening.call_id for one in self._flying.values() if one is not None}
            following = next((one for one in self._in_hand if one.happening.call_id not in busy), None)
            if following is None:
                break
            self._in_hand.remove(following)
            self._send(following.seq, following)
        later = [due_at for due_at, seq in resting if seq not in self._flying]
        return max(later[0], now) if later and len(self._flying) < AT_ONCE and retrying < _RETRIES_AT_ONCE else None

    def _fresh_flying(self) -> int:
        return sum(one is not None for one in self._flying.values())

    def _after_seq(self) -> int:
        fresh = [one.seq for one in self._in_hand] + [seq for seq, one in self._flying.items() if one is not None]
        return min(fresh) - 1 if fresh else self._read

    # ── One attempt ─────────────────────────────────────────────────────────────────────────────────

    def _send(self, seq: int, fresh: Recorded | None) -> None:
        self._flying[seq] = fresh
        task = asyncio.create_task(self._attempt(seq, fresh), name="status event")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attempt(self, seq: int, fresh: Recorded | None) -> None:
        """Left off half-way (`stop`), it leaves everything as if it had not begun."""
        try:
            event = fresh or await self._recorded(seq)
            refusal = await self._receiver.post(event) if event is not None else _LOST
        except StoreUnavailable:
            self._wait(replace(self._waiting[seq], due_at=self._pace.clock() + _UNREADABLE_S))
        except Exception:  # a defect of ours is this event's, not the whole webhook's
            log.exception("webhook.defect", url=self._shown, seq=seq)
            self._not_taken(seq, fresh, _DEFECT)
        else:
            if refusal is None:
                self._taken(seq)
            else:
                self._not_taken(seq, fresh, refusal)
        del self._flying[seq]
        self._changed()
        self.wake()

    async def _recorded(self, seq: int) -> Recorded | None:
        found = await self._history.events(seq - 1, limit=1)
        return found[0] if found and found[0].seq == seq else None

    def _taken(self, seq: int) -> None:
        self._delivered += 1
        self._drop(seq)
        self._count(Outcome.DELIVERED)
        if self._failing:
            log.info("webhook.delivers_again", url=self._shown)
        self._failing = False

    def _not_taken(self, seq: int, fresh: Recorded | None, why: NotTaken) -> None:
        now, schedule = self._pace.clock(), self._pace.schedule_s
        retry = Retry(seq, fresh.happening.at, 0, now) if fresh is not None else self._waiting[seq]
        if not self._failing:
            log.warning("webhook.fails", url=self._shown, detail=why.detail)
        self._failing = True
        self._kept = replace(self._kept, last_error=why.detail, last_error_at=now)
        if why.gone:
            self._count(Outcome.GONE)
            self._wait(replace(retry, due_at=now))
            if not self._kept.disabled:
                log.error("webhook.disabled", url=self._shown, detail=f"{why.detail}; a reload enables it again")
            self._kept = replace(self._kept, disabled=True)
        elif why is _LOST or retry.attempts >= len(schedule):
            self._count(Outcome.GIVEN_UP)
            self._drop(seq)
            log.error("webhook.given_up", url=self._shown, seq=seq, attempts=retry.attempts + 1, detail=why.detail)
        else:
            self._count(Outcome.FAILED)
            rest_s = schedule[retry.attempts] * self._pace.jitter()
            if why.retry_after_s is not None:
                asked_s = min(why.retry_after_s, LONGEST_WAIT_S)
                rest_s = max(rest_s, asked_s)
                self._kept = replace(self._kept, not_before=max(self._kept.not_before or 0.0, now + asked_s))
            self._wait(replace(retry, attempts=retry.attempts + 1, due_at=now + rest_s))

    def _wait(self, retry: Retry) -> None:
        self._waiting[retry.seq] = retry
        self._unsaved.add(retry.seq)

    def _drop(self, seq: int) -> None:
        if self._waiting.pop(seq, None) is not None:
            self._unsaved.add(seq)
