"""Two caches of PCM, a small one in memory and a large one on disk; used by speech/sounds.py and speech/fetch.py."""

import contextlib
import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)

K = TypeVar("K", bound=Hashable)
_MAGIC = b"switchhook-pcm-1"
_HEADER = len(_MAGIC) + 32


class MemoryCache(Generic[K]):
    """The most recently used sounds, up to `limit` bytes and no older than `ttl_s`; for the event loop only."""

    def __init__(self, limit: int, ttl_s: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._ttl_s, self._clock = limit, ttl_s, clock
        self._entries: OrderedDict[K, tuple[bytes, float]] = OrderedDict()
        self.size = 0

    def get(self, key: K) -> bytes | None:
        """The sound, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        pcm, born = entry
        if self._ttl_s is not None and self._clock() - born > self._ttl_s:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return pcm

    def put(self, key: K, pcm: bytes) -> None:
        """Keep it, unless it would drive out more than a quarter of all others."""
        self._drop(key)
        if len(pcm) > self._limit // 4:
            return
        self._entries[key] = (pcm, self._clock())
        self.size += len(pcm)
        while self.size > self._limit:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: K) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= len(entry[0])


class DiskCache:
    """Sounds in a folder, least recently used out first; for worker threads (it blocks). Never fails, only forgets.

    A file is a magic word, the SHA-256 of what follows, and PCM; it appears whole (written aside, then renamed) or not
    at all. Speech is what callers were told: the folder is for its owner alone.
    """

    def __init__(self, folder: Path, limit: int = 256 << 20) -> None:
        self._folder, self._limit = folder, limit
        self._sizes: OrderedDict[str, int] | None = None
        self._total = 0
        self._lock = threading.Lock()
        self._warned = False

    def get(self, key: str) -> bytes | None:
        """The sound, or None; a damaged file is removed."""
        path = self._path(key)
        try:
            data = path.read_bytes()
            body = data[_HEADER:]
            if data[:_HEADER] != _MAGIC + hashlib.sha256(body).digest():
                log.warning("speech_cache.corrupt", file=path.name)
                self._remove(key)
                return None
            with contextlib.suppress(OSError):
                os.utime(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn(error)
            return None
        with self._lock:
            if self._sizes is not None and key in self._sizes:
                self._sizes.move_to_end(key)
        return body

    def put(self, key: str, pcm: bytes) -> None:
        """Keep it, and drop the oldest until all fit."""
        path = self._path(key)
        aside = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            aside.write_bytes(_MAGIC + hashlib.sha256(pcm).digest() + pcm)
            aside.replace(path)
            self._account(key, len(pcm) + _HEADER)
        except OSError as error:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
            self._warn(error)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.pcm"

    def _account(self, key: str, size: int) -> None:
        with self._lock:
            if self._sizes is None:
                self._sizes = self._scan()
                self._total = sum(self._sizes.values())
            self._total += size - self._sizes.pop(key, 0)
            self._sizes[key] = size
            while self._total > self._limit and self._sizes:
                oldest, freed = self._sizes.popitem(last=False)
                self._total -= freed
                self._path(oldest).unlink(missing_ok=True)

    def _scan(self) -> "OrderedDict[str, int]":
        """What an earlier run left, oldest first; its half-written files go."""
        found: list[tuple[float, str, int]] = []
        for path in self._folder.glob("??/*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                if path.suffix == ".pcm":
                    found.append((status.st_mtime, path.stem, status.st_size))
                elif path.suffix == ".tmp" and time.time() - status.st_mtime > 3600:
                    path.unlink()
        return OrderedDict((key, size) for _, key, size in sorted(found))

    def _remove(self, key: str) -> None:
        with self._lock:
            if self._sizes is not None:
                self._total -= self._sizes.pop(key, 0)
        self._path(key).unlink(missing_ok=True)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            log.warning("speech_cache.unusable", folder=str(self._folder), error=str(error))
