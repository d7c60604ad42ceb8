"""The store as a file: its URL, mode, lock, schema, and what a start finds in it."""

import asyncio
import stat
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from gateway.calls.cdr import CRASHED
from gateway.engine.ports import CdrFilter, StoreUnavailable
from gateway.store import migrations
from gateway.store.database import VERSION, Database, StoreInUse, StoreUrlError
from gateway.store.store import open_store, visit_store
from gateway.store.tables import metadata
from tests.leaks import no_leaks
from tests.unit.store.happenings import a_call, happening


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/var/switchhook.db"


@pytest.mark.parametrize(
    "wrong",
    [
        "postgresql+asyncpg://me:secret@db/x", "sqlite:///x.db", "x.db", "sqlite+aiosqlite://",
        "sqlite+aiosqlite:///:memory:", "sqlite+aiosqlite:///file:x?uri=true", "",
    ],
)  # fmt: skip
async def test_other_databases_are_refused_by_name_and_without_their_password(wrong: str) -> None:
    with pytest.raises(StoreUrlError, match=r"write sqlite\+aiosqlite:///var/switchhook\.db") as refusal:
        await open_store(wrong, time.time)
    assert "secret" not in str(refusal.value)


async def test_the_file_is_the_owners_only_and_the_folder_is_made(url: str, tmp_path: Path) -> None:
    async with no_leaks():
        store = await open_store(url, time.time)
        store.journal.append(happening("call.started", "call_1"))
        await store.journal.settled(5)
        files = list((tmp_path / "var").iterdir())
        assert {f.name for f in files} >= {"switchhook.db", "switchhook.db-wal"}
        assert {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o600}
        await store.close()


async def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="file"):
        await open_store(f"sqlite+aiosqlite:///{tmp_path}/file/x.db", time.time)


async def test_a_file_that_is_no_database_is_said_and_let_go(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("not a database at all, but long enough to be looked at" * 100)
    async with no_leaks():
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="not a database"):
                await open_store(f"sqlite+aiosqlite:///{tmp_path}/x.db", time.time)


async def test_the_migrations_make_the_tables_and_a_second_start_changes_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.db")
    for _ in range(2):
        await database.migrate()
    async with database.read() as connection:
        differences = await connection.run_sync(
            lambda c: compare_metadata(MigrationContext.configure(c, opts={"compare_type": True}), metadata)
        )
    await database.close()
    assert [d for d in differences if "sqlite_sequence" not in str(d)] == []


def test_the_version_is_that_of_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == VERSION


async def test_one_gateway_at_a_time(url: str) -> None:
    store = await open_store(url, time.time)
    with pytest.raises(StoreInUse, match="another gateway"):
        await open_store(url, time.time)
    await store.close()
    await (await open_store(url, time.time)).close()


async def test_a_gateway_waits_for_a_command_to_have_made_the_store(url: str) -> None:
    visit, store = await asyncio.gather(visit_store(url), open_store(url, time.time))
    await visit.close()
    await store.close()


async def test_a_command_beside_a_gateway_sees_and_ends_nothing(url: str) -> None:
    async with no_leaks():
        store = await open_store(url, time.time)
        for each in [*a_call("call_1"), *a_call("call_2")[:3]]:
            store.journal.append(each)
        await store.journal.settled(5)
        visit = await visit_store(url)
        assert [cdr.call_id for cdr in (await visit.history.cdrs(CdrFilter())).items] == ["call_1"]
        assert len(await visit.history.events(0)) == 9
        store.journal.append(happening("call.answered", "call_2"))
        await store.journal.settled(5)
        assert len(await visit.history.events(9)) == 1
        await visit.close()
        await store.close()


async def test_a_start_ends_what_was_open_when_it_was_last_alive(url: str) -> None:
    clock = iter([1000.0])
    store = await open_store(url, lambda: next(clock, 1100.0))  # the first beat is at 1100
    for each in a_call("call_1", at=1000.0)[:3]:
        store.journal.append(each)
    await store.journal.settled(5)
    await store.close()

    store = await open_store(url, lambda: 90_000.0)
    (cdr,) = store.recovered
    assert cdr == await store.history.cdr("call_1")
    assert (cdr.cause, cdr.ended_at, cdr.duration_ms) == (CRASHED, 1100.0, 99_800)
    assert [r.happening.type for r in await store.history.events(3)] == ["leg.left", "call.ended"]
    store.journal.append(happening("call.started", "call_2"))
    await store.journal.settled(5)
    assert [r.seq for r in await store.history.events(5)] == [6]
    await store.close()


async def test_a_clean_stop_leaves_nothing_to_recover(url: str) -> None:
    store = await open_store(url, time.time)
    for each in a_call("call_1"):
        store.journal.append(each)
    await store.close()
    store = await open_store(url, time.time)
    assert store.recovered == []
    assert store.history.last_seq == 6
    await store.close()


async def test_what_comes_after_the_end_opens_no_call(url: str) -> None:
    store = await open_store(url, time.time)
    for each in [*a_call("call_1"), happening("bot.replied", "call_1")]:
        store.journal.append(each)
    await store.close()
    store = await open_store(url, time.time)
    assert store.recovered == []
    await store.close()
