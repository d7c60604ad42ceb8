"""Outbox in memory, for tests of the engine: keeps all, can fail like a disk; passes the contract."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from gateway.engine.ports import Progress, Retry, StoreUnavailable


@dataclass
class MemoryOutbox:
    """What is kept, by URL. While `broken` it takes and gives nothing."""

    kept: dict[str, Progress] = field(default_factory=dict)
    broken: bool = False

    async def load(self) -> Mapping[str, Progress]:
        self._look()
        return dict(self.kept)

    async def save(self, progress: Sequence[Progress], forget: Set[str] = frozenset()) -> None:
        self._look()
        for url in forget:
            self.kept.pop(url, None)
        for one in progress:
            before = self.kept[one.url].retries if one.url in self.kept else ()
            retries: dict[int, Retry] = {retry.seq: retry for retry in before if retry.seq not in one.done}
            retries |= {retry.seq: retry for retry in one.retries}
            self.kept[one.url] = replace(one, retries=tuple(retries[seq] for seq in sorted(retries)), done=())

    def _look(self) -> None:
        if self.broken:
            raise StoreUnavailable("the disk is broken")
