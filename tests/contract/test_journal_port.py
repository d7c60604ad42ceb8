"""What engine and API rely on of any Journal and History: the one on SQLite, and the fake."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.calls.cdr import fold
from gateway.calls.history import Happening
from gateway.engine.ports import CdrFilter, History, Journal, TransferFilter
from gateway.store.database import Database
from gateway.store.history import SqlHistory
from gateway.store.journal import SqlJournal
from gateway.store.tail import Tail
from tests.fakes.journal import MemoryJournal
from tests.leaks import no_leaks
from tests.unit.store.happenings import a_call, happening

ROOM = 50


@dataclass(frozen=True)
class Subject:
    """A journal with room for 50 happenings while its disk is broken."""

    journal: Journal
    history: History
    break_disk: Callable[[], None]
    mend_disk: Callable[[], None]


@asynccontextmanager
async def _sqlite(folder: Path) -> AsyncIterator[Subject]:
    database = Database(folder / "journal.db")
    await database.migrate()
    tail = Tail(0)
    journal = SqlJournal(database, tail, time.time, ROOM)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield Subject(
        journal,
        SqlHistory(database, tail),
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1])),  # every write to a file fails from here on
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits),
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    await journal.close()
    await database.close()


@asynccontextmanager
async def _memory(_: Path) -> AsyncIterator[Subject]:
    journal = MemoryJournal(room=ROOM)
    yield Subject(journal, journal, journal.fail, journal.mend)


@pytest.fixture(params=[_sqlite, _memory], ids=lambda make: make.__name__.strip("_"))
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    async with no_leaks(), request.param(tmp_path) as subject:
        yield subject


@contextmanager
def broken(subject: Subject) -> Iterator[None]:
    subject.break_disk()
    try:
        yield
    finally:
        subject.mend_disk()


async def write(subject: Subject, *happenings: Happening) -> None:
    for each in happenings:
        subject.journal.append(each)
    assert await subject.journal.settled(5)


async def read(subject: Subject, after: int = 0, **which: object) -> list[Happening]:
    return [one.happening for one in await subject.history.events(after, **which)]  # type: ignore[arg-type]


async def test_what_was_appended_is_read_in_order_with_rising_seqs(subject: Subject) -> None:
    call = a_call("call_1")
    await write(subject, *call)
    recorded = await subject.history.events()
    assert [one.happening for one in recorded] == call
    assert [one.seq for one in recorded] == sorted({one.seq for one in recorded})
    assert subject.history.last_seq == recorded[-1].seq


async def test_it_is_written_without_being_asked_to(subject: Subject) -> None:
    subject.journal.append(happening("call.started", "call_1"))
    async with asyncio.timeout(2):
        assert await subject.history.newer_than(0) == 1
    assert subject.journal.state().written == 1


async def test_nothing_to_wait_for_is_settled(subject: Subject) -> None:
    assert await subject.journal.settled()


async def test_a_calls_end_brings_its_cdr(subject: Subject) -> None:
    call = a_call("call_1")
    await write(subject, *call[:-1])
    assert await subject.history.cdr("call_1") is None
    await write(subject, call[-1])
    assert await subject.history.cdr("call_1") == fold(call)


async def test_calls_are_told_apart(subject: Subject) -> None:
    one, two = a_call("call_1"), a_call("call_2", channel="sales")
    await write(subject, *(each for pair in zip(one, two, strict=True) for each in pair))
    assert await read(subject, call_id="call_2") == two
    assert await read(subject, channels={"sales"}) == two
    assert await read(subject, channels=set()) == []
    assert await subject.history.cdr("call_1") == fold(one)


async def test_types_and_families_of_types(subject: Subject) -> None:
    await write(subject, *a_call("call_1"))
    assert {h.type for h in await read(subject, types={"call.*"})} == {"call.started", "call.answered", "call.ended"}
    assert [h.type for h in await read(subject, types={"leg.left", "no.such"})] == ["leg.left"]
    assert await read(subject, types=set()) == []


async def test_a_limit_gives_the_oldest(subject: Subject) -> None:
    call = a_call("call_1")
    await write(subject, *call)
    assert await read(subject, 1, limit=2) == call[1:3]
    assert await read(subject, len(call)) == []


async def test_who_waits_for_news_gets_them_and_may_give_up(subject: Subject) -> None:
    waiting = [asyncio.create_task(subject.history.newer_than(0)) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await write(subject, happening("call.started", "call_1"))
    assert set(await asyncio.gather(*waiting[1:])) == {1}
    assert waiting[0].cancelled()


async def test_a_second_end_changes_nothing(subject: Subject) -> None:
    call = a_call("call_1")
    await write(subject, *call)
    await write(subject, replace(call[-1], at=call[-1].at + 60))
    assert await subject.history.cdr("call_1") == fold(call)


async def test_pages_of_cdrs_newest_first(subject: Subject) -> None:
    for i in range(5):
        await write(subject, *a_call(f"call_{i}", at=1000.0 + i))
    page = await subject.history.cdrs(CdrFilter(), limit=2)
    assert [cdr.call_id for cdr in page.items] == ["call_4", "call_3"]
    page = await subject.history.cdrs(CdrFilter(), limit=2, cursor=page.next_cursor)
    assert [cdr.call_id for cdr in page.items] == ["call_2", "call_1"]
    page = await subject.history.cdrs(CdrFilter(), limit=2, cursor=page.next_cursor)
    assert [cdr.call_id for cdr in page.items] == ["call_0"]
    assert page.next_cursor is None
    with pytest.raises(ValueError, match="cursor"):
        await subject.history.cdrs(CdrFilter(), cursor="x")


@pytest.mark.parametrize(
    ("which", "found"),
    [
        (CdrFilter(), ["call_2", "call_1"]),
        (CdrFilter(channels={"sales", "none"}), ["call_2"]),
        (CdrFilter(channels=frozenset()), []),
        (CdrFilter(trunk="acme"), ["call_2", "call_1"]),
        (CdrFilter(trunk="other"), []),
        (CdrFilter(from_="+1"), ["call_1"]),
        (CdrFilter(to="+9", from_="+2"), ["call_2"]),
        (CdrFilter(since=2000.0), ["call_2"]),
        (CdrFilter(until=2000.0), ["call_1"]),
    ],
)
async def test_filters_of_cdrs(subject: Subject, which: CdrFilter, found: list[str]) -> None:
    await write(subject, *a_call("call_1", at=1000.0, from_="+1"), *a_call("call_2", "sales", 2000.0, from_="+2"))
    page = await subject.history.cdrs(which)
    assert [cdr.call_id for cdr in page.items] == found


async def test_what_is_for_an_agent_is_found_by_the_whole_name(subject: Subject) -> None:
    one, two, *_, end = a_call("call_1")
    seen = [replace(one, agents=("ann", "bob")), two, replace(end, agents=("hannah",))]
    await write(subject, *seen)
    for agent, found in (("ann", seen[:1]), ("bob", seen[:1]), ("hannah", seen[2:]), ("hann", []), ("b", [])):
        assert await read(subject, agent=agent) == found
        cdrs = (await subject.history.cdrs(CdrFilter(agent=agent))).items
        assert [cdr.call_id for cdr in cdrs] == (["call_1"] if found else [])


async def test_transfers_that_ended_newest_first(subject: Subject) -> None:
    ends = [
        replace(happening("transfer.ended", f"call_{n}", at=1000.0 + n, data={"status": status, "reason": "busy"}),
                agents=(agent,))
        for n, status, agent in ((1, "FAIL", "ann"), (2, "SUCCESS", "bob"), (3, "FAIL", "ann"))
    ]  # fmt: skip
    await write(subject, happening("transfer.started", "call_1"), *ends)

    async def found(cursor: str | None = None, limit: int = 9, **which: object) -> tuple[list[str], str | None]:
        page = await subject.history.transfers(TransferFilter(**which), cursor=cursor, limit=limit)  # type: ignore[arg-type]
        return [one.happening.call_id for one in page.items], page.next_cursor

    assert (await found())[0] == ["call_3", "call_2", "call_1"]
    assert (await found(agent="ann"))[0] == ["call_3", "call_1"] and (await found(status="SUCCESS"))[0] == ["call_2"]
    assert (await found(since=1002.0, until=1003.0))[0] == ["call_2"] and (await found(call_id="call_1"))[0] == [
        "call_1"
    ]
    assert (await found(channels=frozenset()))[0] == [] and (await found(reason="declined"))[0] == []
    first, cursor = await found(limit=2)
    assert first == ["call_3", "call_2"] and await found(cursor) == (["call_1"], None)
    with pytest.raises(ValueError):
        await found("x")


# ── Trouble ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_broken_disk_holds_nobody_up_and_gets_it_all_later(subject: Subject) -> None:
    call = a_call("call_1")
    await write(subject, call[0])
    with broken(subject):
        for each in call[1:]:
            subject.journal.append(each)
        began = time.monotonic()
        assert not await subject.journal.settled(0.1)
        assert time.monotonic() - began < 1
        assert subject.journal.state().lag_s > 0
    assert await subject.journal.settled(5)
    assert await read(subject) == call
    assert await subject.history.cdr("call_1") == fold(call)
    assert subject.journal.state().lost == 0


async def test_too_much_for_the_memory_is_counted_and_the_newest_stays(subject: Subject) -> None:
    with broken(subject):
        for i in range(ROOM + 20):
            subject.journal.append(happening("dtmf.received", "call_1", data={"digit": str(i)}))
        await subject.journal.settled(0.2)
    await subject.journal.settled(5)
    state = subject.journal.state()
    assert state.lost == 20
    assert state.appended == state.written + state.lost
    assert (await read(subject))[-1].data == {"digit": str(ROOM + 19)}


async def test_closing_writes_what_waits_and_later_ones_are_lost(subject: Subject) -> None:
    call = a_call("call_1")
    for each in call:
        subject.journal.append(each)
    await subject.journal.close()
    await subject.journal.close()
    subject.journal.append(happening("call.started", "call_2"))
    assert subject.journal.state().lost == 1
    assert await read(subject) == call
