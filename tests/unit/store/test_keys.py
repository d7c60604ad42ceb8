"""API keys and remembered answers."""

import time
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.engine.ports import KeyNameTaken, Remembered
from gateway.store.store import Store, open_store, visit_store

DAY = 24 * 3600.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(f"sqlite+aiosqlite:///{tmp_path}/x.db", time.time)
    yield store
    await store.close()


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


async def test_a_key_is_found_by_its_hash_and_its_text_is_nowhere(store: Store, tmp_path: Path) -> None:
    text, key = await store.keys.add("crm", {"calls:read", "calls:control"}, 5.0, channels={"sales"}, agent="ann")
    assert text.startswith("shk_")
    assert len(text) == 4 + 43
    assert await store.keys.find(digest(text)) == key
    assert (key.scopes, key.channels, key.agent) == ({"calls:read", "calls:control"}, {"sales"}, "ann")
    on_disk = b"".join(f.read_bytes() for f in tmp_path.iterdir())
    assert digest(text).encode() in on_disk
    assert text.encode() not in on_disk


@pytest.mark.parametrize("wrong", ["", "shk_x", "0" * 64, "%"])
async def test_others_are_not_found(store: Store, wrong: str) -> None:
    await store.keys.add("crm", {"admin"}, 5.0)
    assert await store.keys.find(wrong) is None


async def test_bound_to_no_channel_at_all_is_not_unbound(store: Store) -> None:
    text, _ = await store.keys.add("nothing", {"calls:read"}, 5.0, channels=set())
    found = await store.keys.find(digest(text))
    assert found is not None
    assert found.channels == frozenset()


async def test_a_revoked_key_is_listed_and_of_no_use(store: Store, tmp_path: Path) -> None:
    text, key = await store.keys.add("crm", {"admin"}, 5.0)
    command = await visit_store(f"sqlite+aiosqlite:///{tmp_path}/x.db")
    assert await command.keys.revoke("crm", 6.0)
    assert not await command.keys.revoke("crm", 7.0)
    await command.close()
    assert await store.keys.find(digest(text)) is None
    assert [(k.id, k.revoked_at) for k in await store.keys.list()] == [(key.id, 6.0)]


async def test_a_name_is_free_again_after_it_was_revoked(store: Store) -> None:
    first, _ = await store.keys.add("crm", {"admin"}, 5.0)
    with pytest.raises(KeyNameTaken):
        await store.keys.add("crm", {"admin"}, 5.0)
    await store.keys.revoke("crm", 6.0)
    second, _ = await store.keys.add("crm", {"admin"}, 7.0)
    assert first != second
    assert len(await store.keys.list()) == 2


async def test_an_answer_is_remembered_for_its_owner_for_a_day(store: Store) -> None:
    answer = Remembered("abc", 202, '{"id":"call_1"}')
    await store.idempotency.remember("key_1", "k", answer, 0.0)
    await store.idempotency.remember("key_1", "k", Remembered("other", 200, ""), 1.0)
    assert await store.idempotency.lookup("key_1", "k", DAY - 1) == answer
    assert await store.idempotency.lookup("key_2", "k", 1.0) is None
    assert await store.idempotency.lookup("key_1", "k", DAY) is None


async def test_old_answers_are_forgotten(store: Store) -> None:
    await store.idempotency.remember("key_1", "k", Remembered("a", 202, ""), 0.0)
    await store.idempotency.remember("key_1", "other", Remembered("b", 202, ""), DAY + 1)
    await store.idempotency.remember("key_1", "k", Remembered("c", 202, ""), DAY + 2)
    assert await store.idempotency.lookup("key_1", "k", DAY + 3) == Remembered("c", 202, "")
