"""Status webhooks: order, retries, what waits, 410, Retry-After, reload, restart; receivers say what the test wants."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from gateway.dialplan.people import Webhook
from gateway.engine.deliveries import Deliveries, jitter
from gateway.engine.delivery import (
    AT_ONCE,
    LONGEST_WAIT_S,
    MOST_WAITING,
    SCHEDULE_S,
    Outcome,
    Pace,
    WebhookState,
    WebhookStatus,
)
from gateway.engine.ports import NotTaken, Progress, Recorded, Retry
from tests.fakes.journal import MemoryJournal
from tests.fakes.outbox import MemoryOutbox
from tests.leaks import no_leaks
from tests.unit.store.happenings import a_call, happening

URL = "https://crm.example/status"
NO = NotTaken("it answered 500")
GONE = NotTaken("it answered 410", gone=True)
NEVER = (1000.0,)


@dataclass
class Town:
    """A journal, an outbox, and receivers that say what `answer` says to an event."""

    journal: MemoryJournal = field(default_factory=MemoryJournal)
    outbox: MemoryOutbox = field(default_factory=MemoryOutbox)
    schedule_s: tuple[float, ...] = NEVER
    answer: Callable[[Recorded], NotTaken | None] = lambda event: None
    begun: list[int] = field(default_factory=list)
    """The seqs of all attempts, as they began."""
    taken: list[int] = field(default_factory=list)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Receivers answer while it is set."""
    now: float = 2000.0
    """What the gateway's clock says beyond the time that passes."""

    def __post_init__(self) -> None:
        self.gate.set()
        self.news = asyncio.Event()
        self._began = time.monotonic()

    def clock(self) -> float:
        return self.now + time.monotonic() - self._began

    async def post(self, event: Recorded) -> NotTaken | None:
        self.begun.append(event.seq)
        self.news.set()
        await self.gate.wait()
        refusal = self.answer(event)
        if refusal is None:
            self.taken.append(event.seq)
        self.news.set()
        return refusal

    def _count(self, outcome: Outcome) -> None:
        self.outcomes[outcome] += 1
        self.news.set()

    def deliveries(self) -> Deliveries:
        pace = Pace(self.clock, lambda: 1.0, self.schedule_s)
        return Deliveries(self.outbox, self.journal, lambda webhook: self, pace, self._count, save_every_s=0.01)

    @asynccontextmanager
    async def running(self, *webhooks: Webhook) -> AsyncIterator[Deliveries]:
        deliveries = self.deliveries()
        async with no_leaks():
            await deliveries.start(webhooks or (Webhook(url=URL),))
            try:
                yield deliveries
            finally:
                self.gate.set()
                await deliveries.stop()

    def happen(self, *calls: str) -> None:
        for call in calls:
            for each in a_call(call):
                self.journal.append(each)

    async def until(self, reached: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not reached():
                self.news.clear()
                await self.news.wait()


def the(deliveries: Deliveries) -> WebhookStatus:
    (status,) = deliveries.statuses()
    return status


async def kept(town: Town, reached: Callable[[Progress], bool]) -> Progress:
    async with asyncio.timeout(5):
        while URL not in town.outbox.kept or not reached(town.outbox.kept[URL]):
            await asyncio.sleep(0.005)
    return town.outbox.kept[URL]


# ── All is well ─────────────────────────────────────────────────────────────────────────────────────


async def test_the_events_of_a_call_come_in_order_and_the_cursor_follows() -> None:
    town = Town()
    async with town.running() as deliveries:
        town.happen("call_1")
        await town.until(lambda: len(town.taken) == 6)
        assert town.taken == [1, 2, 3, 4, 5, 6]
        await kept(town, lambda progress: progress.after_seq == 6)
        status = the(deliveries)
        assert (status.state, status.delivered, status.pending) == (WebhookState.DELIVERING, 6, 0)
        assert (status.lag_s, status.behind_seq, status.last_error) == (0.0, 0, None)
    assert town.outcomes == {Outcome.DELIVERED: 6}


async def test_a_slow_receiver_has_some_calls_side_by_side_and_one_event_of_each() -> None:
    town = Town()
    town.gate.clear()
    async with town.running() as deliveries:
        calls = [f"call_{number}" for number in range(10)]
        town.happen(*calls)
        await town.until(lambda: len(town.begun) == AT_ONCE)
        assert town.begun == [1 + 6 * number for number in range(AT_ONCE)]  # the first of each call
        assert the(deliveries).pending == 60
        town.gate.set()
        await town.until(lambda: len(town.taken) == 60)
        of_call = [[seq for seq in town.taken if (seq - 1) // 6 == number] for number in range(10)]
        assert of_call == [sorted(seqs) for seqs in of_call]


async def test_a_new_webhook_begins_with_what_happens_from_now_on() -> None:
    town = Town()
    town.happen("call_1")
    async with town.running():
        town.happen("call_2")
        await town.until(lambda: len(town.taken) == 6)
    assert town.taken == [7, 8, 9, 10, 11, 12]


async def test_only_what_it_asks_for() -> None:
    town = Town()
    async with town.running(Webhook(url=URL, events=("call.ended", "leg.*"), channels=("sales",))):
        town.happen("call_1")
        for each in a_call("call_2", "sales"):
            town.journal.append(each)
        await kept(town, lambda progress: progress.after_seq == 12)
    assert [town.journal.recorded[seq - 1].happening.type for seq in town.taken] == [
        "leg.joined",
        "leg.left",
        "call.ended",
    ]


async def test_what_happens_last_goes_out_before_the_stop() -> None:
    town = Town()
    async with town.running():
        town.happen("call_1")
    assert town.taken == [1, 2, 3, 4, 5, 6] and town.outbox.kept[URL].after_seq == 6


# ── Failures ────────────────────────────────────────────────────────────────────────────────────────


def test_the_schedule_is_that_of_the_design() -> None:
    assert SCHEDULE_S == (5, 30, 120, 600, 3600, 4 * 3600, 12 * 3600, 24 * 3600) and LONGEST_WAIT_S == 24 * 3600
    drawn = [jitter() for _ in range(1000)]
    assert 0.9 <= min(drawn) < 0.95 and 1.05 < max(drawn) <= 1.1


async def test_one_that_is_not_taken_is_tried_again_by_the_schedule_and_holds_up_nothing() -> None:
    town = Town(schedule_s=(0.05, 0.2, 1000.0))
    times: list[float] = []

    def poison(event: Recorded) -> NotTaken | None:
        if event.seq == 2:
            times.append(time.monotonic())
            return NO
        return None

    town.answer = poison
    async with town.running() as deliveries:
        town.happen("call_1")
        await town.until(lambda: len(town.taken) == 5)
        assert town.taken == [1, 3, 4, 5, 6]
        await town.until(lambda: town.outcomes[Outcome.FAILED] == 3)
        assert times[1] - times[0] >= 0.05 and times[2] - times[1] >= 0.2
        progress = await kept(town, lambda one: one.retries != () and one.retries[0].attempts == 3)
        assert (progress.after_seq, progress.last_error) == (6, "it answered 500")
        (retry,) = progress.retries
        assert (retry.seq, retry.at) == (2, 1000.2) and retry.due_at == pytest.approx(town.clock() + 1000, abs=5)
        status = the(deliveries)
        assert (status.pending, status.behind_seq) == (1, 5)
        assert status.lag_s == pytest.approx(town.clock() - 1000.2, abs=1)
        assert deliveries.lag_s() == pytest.approx(status.lag_s, abs=1)


async def test_after_the_last_retry_it_is_given_up_once() -> None:
    town = Town(schedule_s=(0.01, 0.01), answer=lambda event: NO if event.seq == 1 else None)
    async with town.running() as deliveries:
        town.happen("call_1")
        await town.until(lambda: town.outcomes[Outcome.GIVEN_UP])
        await kept(town, lambda progress: progress.after_seq == 6 and not progress.retries)
        assert the(deliveries).pending == 0
    assert town.begun.count(1) == 3
    assert town.outcomes == {Outcome.FAILED: 2, Outcome.GIVEN_UP: 1, Outcome.DELIVERED: 5}


async def test_when_many_wait_nothing_new_is_begun_and_nothing_is_lost() -> None:
    town = Town(schedule_s=(0.5, 0.01, 0.01, 1000.0), answer=lambda event: NO)
    async with town.running() as deliveries:
        calls = [f"call_{number}" for number in range(40)]
        town.happen(*calls)
        await town.until(lambda: town.outcomes[Outcome.FAILED] >= MOST_WAITING)
        assert len(set(town.begun)) == MOST_WAITING
        assert the(deliveries).state is WebhookState.FAILING
        progress = await kept(town, lambda one: len(one.retries) == MOST_WAITING)
        assert progress.after_seq < min(set(range(1, 241)) - set(town.begun))
        town.answer = lambda event: None
        await town.until(lambda: len(town.taken) == 240)
        assert sorted(town.taken) == list(range(1, 241))
        assert the(deliveries).state is WebhookState.DELIVERING
        await kept(town, lambda one: one.after_seq == 240 and not one.retries)


async def test_a_receiver_that_never_answers_retries_leaves_room_for_what_is_new() -> None:
    town = Town(schedule_s=(0.01, 1000.0), answer=lambda event: NO)
    async with town.running():
        town.happen("call_1", "call_2")
        await town.until(lambda: town.outcomes[Outcome.FAILED] == 24)  # all twelve, twice
        retries = [Retry(seq, 1000.0, 1, 0.0) for seq in range(1, 13)]
    town.outbox.kept[URL] = Progress(URL, 12, retries=tuple(retries))
    town.gate.clear()
    town.begun.clear()
    async with town.running():
        await town.until(lambda: len(town.begun) == 4)
        town.happen("call_3")
        await town.until(lambda: len(town.begun) == 5)
        assert town.begun[-1] == 13


async def test_retry_after_leaves_the_receiver_alone() -> None:
    town = Town(schedule_s=(0.01, 0.01), answer=lambda event: NotTaken("it answered 503", 0.4))
    async with town.running():
        town.happen("call_1")
        await town.until(lambda: town.begun)
        began = time.monotonic()
        town.answer = lambda event: None
        town.happen("call_2")
        await town.until(lambda: len(town.begun) > 1)
        assert time.monotonic() - began >= 0.35
        await town.until(lambda: len(town.taken) == 12)
    assert sorted(town.taken) == list(range(1, 13))


async def test_retry_after_is_at_most_a_day_and_never_shorter_than_the_schedule() -> None:
    asked = itertools.chain([1.0, 1e9], itertools.repeat(0.0))
    town = Town(answer=lambda event: NotTaken("it answered 429", next(asked)))
    async with town.running():
        town.journal.append(happening("call.started", "call_1"))
        first = await kept(town, lambda one: len(one.retries) == 1)
        assert first.retries[0].due_at == pytest.approx(town.clock() + 1000, abs=5)
        town.now += 5.0
        town.journal.append(happening("call.started", "call_2"))
        second = await kept(town, lambda one: len(one.retries) == 2)
        assert second.retries[1].due_at == pytest.approx(town.clock() + LONGEST_WAIT_S, abs=5)
        assert second.not_before == pytest.approx(town.clock() + LONGEST_WAIT_S, abs=5)


# ── 410, reload ─────────────────────────────────────────────────────────────────────────────────────


async def test_410_disables_it_until_a_reload_and_it_goes_on_from_where_it_was() -> None:
    town = Town(answer=lambda event: GONE if event.seq == 3 else None)
    async with town.running() as deliveries:
        town.happen("call_1")
        await town.until(lambda: town.outcomes[Outcome.GONE])
        await kept(town, lambda progress: progress.disabled)
        assert the(deliveries).state is WebhookState.DISABLED
    town.answer = lambda event: None
    async with town.running() as deliveries:  # a restart
        town.happen("call_2")
        await town.journal.newer_than(11)
        assert town.taken == [1, 2] and the(deliveries).state is WebhookState.DISABLED
        assert the(deliveries).behind_seq == 10
        await deliveries.apply([Webhook(url=URL)])
        await town.until(lambda: len(town.taken) == 12)
        assert sorted(town.taken) == list(range(1, 13))
        await kept(town, lambda progress: not progress.disabled and not progress.retries)


async def test_a_reload_ends_begins_and_goes_on() -> None:
    other = Webhook(url="https://other.example/")
    town = Town(answer=lambda event: NO if event.seq == 6 else None)
    async with town.running() as deliveries:
        town.happen("call_1")
        await kept(town, lambda progress: len(progress.retries) == 1)
        await deliveries.apply([Webhook(url=URL), other])
        assert town.outbox.kept[other.url].after_seq == 6
        town.happen("call_2")
        await town.until(lambda: len(town.taken) == 17)
        await deliveries.apply([other])
        assert list(town.outbox.kept) == [other.url]
        await deliveries.apply([Webhook(url=URL), other])
        assert (await kept(town, lambda progress: True)) == Progress(URL, 12)


async def test_a_plan_that_has_one_no_more_at_the_start_forgets_it() -> None:
    town = Town()
    town.outbox.kept["https://old.example/"] = Progress("https://old.example/", 3)
    async with town.running():
        assert list(town.outbox.kept) == [URL]


# ── Crashes, and a store in trouble ─────────────────────────────────────────────────────────────────


async def test_what_was_not_delivered_is_after_a_restart_and_the_retries_keep_their_count() -> None:
    town = Town(answer=lambda event: NO if event.seq in (2, 5) else None)
    async with town.running():
        town.happen("call_1")
        await kept(town, lambda progress: len(progress.retries) == 2 and progress.after_seq == 6)
    town.happen("call_2")  # the start writes the ends of calls that a crash cut off
    town.now += 2000
    town.answer = lambda event: None
    async with town.running():
        await town.until(lambda: len(town.taken) == 12)
    assert sorted(town.taken) == list(range(1, 13))
    assert town.outcomes[Outcome.GIVEN_UP] == 0


async def test_an_event_that_waits_is_not_begun_anew_when_the_cursor_has_not_passed_it() -> None:
    town = Town()
    town.happen("call_1")
    town.outbox.kept[URL] = Progress(URL, 1, retries=(Retry(3, 1000.0, 1, 9e9),))
    async with town.running():
        await kept(town, lambda progress: progress.after_seq == 6)
        assert [retry.seq for retry in town.outbox.kept[URL].retries] == [3]
    assert town.begun == [2, 4, 5, 6]


async def test_an_attempt_that_is_left_off_counts_as_none() -> None:
    town = Town(schedule_s=(0.01,))
    deliveries = town.deliveries()
    async with no_leaks():
        await deliveries.start([Webhook(url=URL)])
        town.happen("call_1")
        await town.until(lambda: len(town.taken) == 6)
        town.gate.clear()
        town.happen("call_2")
        await town.until(lambda: len(town.begun) == 7)
        await deliveries.stop()
    assert town.outbox.kept[URL] == Progress(URL, 6)


async def test_a_store_that_takes_nothing_loses_nothing() -> None:
    town = Town(answer=lambda event: NO if event.seq == 1 else None)
    async with town.running():
        town.outbox.broken = True
        town.happen("call_1")
        await town.until(lambda: len(town.taken) == 5)
        await asyncio.sleep(0.05)  # saves fail
        assert town.outbox.kept[URL].after_seq == 0
        town.outbox.broken = False
        progress = await kept(town, lambda one: one.after_seq == 6)
        assert [retry.seq for retry in progress.retries] == [1]


async def test_a_receiver_with_a_defect_is_one_that_did_not_take_it() -> None:
    def broken(event: Recorded) -> NotTaken | None:
        raise ZeroDivisionError

    town = Town(answer=broken)
    async with town.running() as deliveries:
        town.journal.append(happening("call.started", "call_1"))
        await town.until(lambda: town.outcomes[Outcome.FAILED] == 1)
        assert "defect" in str(the(deliveries).last_error)


async def test_an_event_that_is_in_no_journal_any_more_is_given_up() -> None:
    town = Town()
    town.outbox.kept[URL] = Progress(URL, 0, retries=(Retry(99, 1000.0, 1, 0.0),))
    async with town.running():
        await town.until(lambda: town.outcomes[Outcome.GIVEN_UP])
        await kept(town, lambda progress: not progress.retries)
