"""What the engine relies on of any Outbox: the one on SQLite, and the fake."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.engine.ports import Outbox, Progress, Retry
from gateway.store.database import Database
from gateway.store.outbox import SqlOutbox
from tests.fakes.outbox import MemoryOutbox
from tests.leaks import no_leaks

A, B = "https://a.example/status", "https://b.example/status?key=1"


@asynccontextmanager
async def _sqlite(folder: Path) -> AsyncIterator[Outbox]:
    database = Database(folder / "store.db")
    await database.migrate()
    yield SqlOutbox(database)
    await database.close()


@asynccontextmanager
async def _memory(_: Path) -> AsyncIterator[Outbox]:
    yield MemoryOutbox()


@pytest.fixture(params=[_sqlite, _memory], ids=lambda make: make.__name__.strip("_"))
async def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Outbox]:
    async with no_leaks(), request.param(tmp_path) as outbox:
        yield outbox


async def test_at_first_there_is_nothing(outbox: Outbox) -> None:
    assert await outbox.load() == {}


async def test_all_of_a_webhook_comes_back(outbox: Outbox) -> None:
    retries = (Retry(3, 1000.25, 1, 1005.0), Retry(7, 1001.0, 8, 2000.5))
    first = Progress(A, 9, True, 1234.5, "it answered 503", 1002.5, retries)
    second = Progress(B, 2)
    await outbox.save([first, second])
    assert await outbox.load() == {A: first, B: second}


async def test_retries_are_added_replaced_and_done_each_on_its_own(outbox: Outbox) -> None:
    first, second, third = Retry(3, 1.0, 1, 6.0), Retry(4, 1.5, 1, 6.5), Retry(5, 2.0, 1, 7.0)
    await outbox.save([Progress(A, 4, retries=(first, second)), Progress(B, 4, retries=(first,))])
    again = replace(second, attempts=2, due_at=36.0)
    await outbox.save([Progress(A, 5, retries=(again, third), done=(3, 99))])
    kept = await outbox.load()
    assert kept[A] == Progress(A, 5, retries=(again, third))
    assert kept[B].retries == (first,)


async def test_an_error_that_is_over_is_over(outbox: Outbox) -> None:
    await outbox.save([Progress(A, 1, True, 5.0, "it answered 410", 4.0)])
    await outbox.save([Progress(A, 1)])
    assert await outbox.load() == {A: Progress(A, 1)}


async def test_what_is_forgotten_is_gone_and_may_begin_anew(outbox: Outbox) -> None:
    await outbox.save([Progress(A, 4, retries=(Retry(3, 1.0, 1, 6.0),)), Progress(B, 1)])
    await outbox.save([Progress(A, 9)], forget={A, B})
    assert await outbox.load() == {A: Progress(A, 9)}
