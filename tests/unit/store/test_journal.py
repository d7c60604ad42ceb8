"""The journal's own ways: batches, memory and disk as one, what it says when the disk fails, poison."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from gateway.store.store import Store, open_store
from gateway.store.tail import KEPT
from tests.unit.store.happenings import a_call, happening


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(f"sqlite+aiosqlite:///{tmp_path}/x.db", time.time)
    yield store
    await store.close()


async def test_what_comes_within_20_ms_is_one_transaction_and_no_later(store: Store) -> None:
    for each in a_call("call_1"):
        store.journal.append(each)
    began = time.monotonic()
    assert await store.history.newer_than(0) == 6
    assert time.monotonic() - began < 0.5  # 20 ms and an fsync, on a busy machine
    assert store.journal.state().lag_s == 0


async def test_settled_does_not_wait_for_the_batch_to_be_full(store: Store) -> None:
    took = []
    for each in a_call("call_1"):
        store.journal.append(each)
        began = time.monotonic()
        assert await store.journal.settled(5)
        took.append(time.monotonic() - began)
    assert min(took) < 0.02


async def test_many_who_settle_share_transactions(store: Store) -> None:
    async def one(i: int) -> bool:
        store.journal.append(happening("call.started", f"call_{i}"))
        return await store.journal.settled(5)

    assert all(await asyncio.gather(*(one(i) for i in range(300))))


async def test_with_many_calls_up_those_who_settle_share_a_transaction_each_20_ms(store: Store) -> None:
    batches = 0

    async def count_batches() -> None:
        nonlocal batches
        seq = 0
        while True:
            seq = await store.history.newer_than(seq)
            batches += 1

    async def one(i: int) -> float:
        await asyncio.sleep(i * 0.002)
        began = time.monotonic()
        store.journal.append(happening("call.started", f"call_{i}"))
        assert await store.journal.settled(5)
        return time.monotonic() - began

    counting = asyncio.create_task(count_batches())
    began = time.monotonic()
    waited = await asyncio.gather(*(one(i) for i in range(150)))
    took = time.monotonic() - began
    counting.cancel()
    assert batches <= 9 + took / 0.02 + 1  # the first calls are few
    assert sorted(waited)[75] < 0.2


async def test_who_gives_up_waiting_costs_the_others_nothing(store: Store) -> None:
    store.journal.append(happening("call.started", "call_1"))
    impatient, patient = store.journal.settled(0), store.journal.settled(5)
    assert await asyncio.gather(impatient, patient) == [False, True]


async def test_memory_and_disk_tell_the_same(store: Store) -> None:
    calls = [f"call_{i}" for i in range(900)]
    for call_id in calls:
        for each in a_call(call_id):
            store.journal.append(each)
    assert await store.journal.settled(30)
    everything = await store.history.events(0, limit=10_000)
    count = 6 * len(calls)
    assert [one.seq for one in everything] == list(range(1, count + 1))
    first_in_memory = count - KEPT
    assert first_in_memory > 0
    for after in (0, 1, first_in_memory - 1, first_in_memory, first_in_memory + 1, count - 1, count):
        assert await store.history.events(after, limit=10_000) == everything[after:]
        wanted = [one for one in everything[after:] if one.happening.type.startswith("call.")][:3]
        assert await store.history.events(after, types={"call.*"}, limit=3) == wanted


async def test_the_log_says_it_once_when_the_disk_fails_and_once_when_it_is_over(store: Store) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with structlog.testing.capture_logs() as said:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))
        try:
            for each in a_call("call_1"):
                store.journal.append(each)
                await store.journal.settled(0.2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert await store.journal.settled(5)
    assert [line["event"] for line in said] == ["journal.failing", "journal.recovered"]
    assert "+1" not in str(said)
    assert await store.history.cdr("call_1") is not None


async def test_data_that_are_no_json_lose_themselves_and_nothing_else(store: Store) -> None:
    call = a_call("call_1")
    call[1].data["codec"] = object()  # type: ignore[assignment]
    for each in call:
        store.journal.append(each)
    assert not await store.journal.settled(5)
    assert store.journal.state().lost == 1
    found = [one.happening for one in await store.history.events(0, call_id="call_1")]
    assert len(found) == 6
    assert await store.history.cdr("call_1") is not None
    assert await store.journal.settled(5)


async def test_a_value_that_no_database_takes_loses_its_happening_and_nothing_else(store: Store) -> None:
    for each in a_call("call_1"):
        store.journal.append(each)
    store.journal.append(happening("call.started", "call_2", channel="\ud800"))
    for each in a_call("call_3"):
        store.journal.append(each)
    assert not await store.journal.settled(5)
    assert store.journal.state().lost == 1
    assert await store.history.cdr("call_1") is not None
    assert await store.history.cdr("call_3") is not None


async def test_a_caller_who_is_no_unicode_has_a_cdr(store: Store) -> None:
    for each in a_call("call_1", from_="+1\udce9"):
        store.journal.append(each)
    assert await store.journal.settled(5)
    cdr = await store.history.cdr("call_1")
    assert cdr is not None
    assert cdr.from_ == "+1?"


async def test_a_call_whose_beginning_was_lost_is_recovered_all_the_same(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/y.db"
    store = await open_store(url, time.time)
    store.journal.append(happening("call.started", "call_1", channel="\ud800"))
    await store.journal.settled(5)
    store.journal.append(happening("call.answered", "call_1"))
    assert await store.journal.settled(5)
    await store.close()
    store = await open_store(url, time.time)
    assert [cdr.call_id for cdr in store.recovered] == ["call_1"]
    await store.close()
