"""The caches keep what is used, within their limits, and never stand in the way."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.speech.cache import DiskCache, MemoryCache

KEYS = [f"{n:02x}" * 32 for n in range(20)]


def test_memory_forgets_the_least_recently_used() -> None:
    cache: MemoryCache[int] = MemoryCache(100)
    for key in range(4):
        cache.put(key, bytes(25))
    assert cache.get(0) is not None
    cache.put(4, bytes(25))
    assert cache.get(1) is None
    assert cache.get(0) is not None
    cache.put(5, bytes(26))
    assert cache.get(5) is None


def test_memory_forgets_with_time() -> None:
    now = 0.0
    cache: MemoryCache[int] = MemoryCache(100, ttl_s=300, clock=lambda: now)
    cache.put(1, b"ab")
    now = 300.0
    assert cache.get(1) == b"ab"
    now = 301.0
    assert cache.get(1) is None
    assert cache.size == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40))))
def test_memory_size_is_what_is_in_it(puts: list[tuple[int, int]]) -> None:
    cache: MemoryCache[int] = MemoryCache(100)
    for key, size in puts:
        cache.put(key, bytes(size))
        assert cache.size == sum(len(pcm) for pcm, _ in cache._entries.values()) <= 100


def test_disk_keeps_over_restarts_and_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "speech"
    DiskCache(folder).put(KEYS[1], b"pcm!")
    assert DiskCache(folder).get(KEYS[1]) == b"pcm!"
    assert DiskCache(folder).get(KEYS[2]) is None
    assert folder.stat().st_mode & 0o077 == 0


def test_disk_evicts_the_oldest(tmp_path: Path) -> None:
    first = DiskCache(tmp_path, limit=5000)
    for age, key in enumerate(KEYS[:4]):
        first.put(key, bytes(1000))
        os.utime(first._path(key), (age + 1, age + 1))
    again = DiskCache(tmp_path, limit=5000)
    again.put(KEYS[4], bytes(1000))  # 5 x 1048 is too much
    assert [again.get(key) is not None for key in KEYS[:5]] == [False, True, True, True, True]
    again.get(KEYS[1])
    again.put(KEYS[5], bytes(1000))
    assert again.get(KEYS[1]) is not None
    assert again.get(KEYS[2]) is None


def test_a_damaged_file_is_no_file(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.put(KEYS[1], bytes(100))
    path = cache._path(KEYS[1])
    for damage in (b"", b"xx", path.read_bytes()[:-1], path.read_bytes()[:-1] + b"x"):
        path.write_bytes(damage)
        assert cache.get(KEYS[1]) is None
        assert not path.exists()


def test_an_unusable_folder_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = DiskCache(tmp_path / "file" / "cache")
    with capture_logs() as logs:
        for key in KEYS[:3]:
            cache.put(key, b"ab")
            assert cache.get(key) is None
    assert [entry["event"] for entry in logs] == ["speech_cache.unusable"]


def test_half_written_files_of_an_earlier_run_go(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    (tmp_path / "aa").mkdir()
    old, fresh = tmp_path / "aa" / "x.1-2.tmp", tmp_path / "aa" / "y.1-2.tmp"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    cache.put(KEYS[1], b"ab")
    assert (old.exists(), fresh.exists()) == (False, True)


@pytest.mark.parametrize("size", [0, 2, 100_000])
def test_any_size(tmp_path: Path, size: int) -> None:
    cache = DiskCache(tmp_path)
    cache.put(KEYS[0], bytes(size))
    assert cache.get(KEYS[0]) == bytes(size)
