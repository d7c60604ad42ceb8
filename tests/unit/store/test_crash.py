"""kill -9 while calls are journaled and while they are recovered: one end, one CDR each, nothing settled is lost."""

import asyncio
import json
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from gateway.calls.cdr import CRASHED
from gateway.engine.ports import CdrFilter
from gateway.store.store import Store, open_store
from tests.unit.store.happenings import a_call

KILLS = 4
RECOVER = "import asyncio, sys, time; from gateway.store.store import open_store; print('go', flush=True); {}"
RECOVER = RECOVER.format("asyncio.run(open_store(sys.argv[1], time.time))")


def url(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder}/journal.db"


async def ends_and_records(store: Store) -> None:
    """Every call that started ended once, as the last of its happenings, and has one CDR."""
    histories: dict[str, list[str]] = {}
    for one in await store.history.events(0, limit=1_000_000):
        histories.setdefault(one.happening.call_id, []).append(one.happening.type)
    assert histories
    assert all(types.count("call.ended") == 1 and types[-1] == "call.ended" for types in histories.values())
    page = await store.history.cdrs(CdrFilter(), limit=1_000_000)
    assert Counter(cdr.call_id for cdr in page.items) == Counter(list(histories))


async def test_killed_while_writing(tmp_path: Path) -> None:
    luck = random.Random(7)
    for round_ in range(KILLS):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.unit.store.killed_writer", str(tmp_path / "journal.db"), str(round_),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdout is not None
        assert await process.stdout.readline()
        await asyncio.sleep(luck.uniform(0.02, 0.4))
        process.send_signal(signal.SIGKILL)
        confirmed = Counter[str]()
        for line in (await process.stdout.read()).splitlines():
            call_id, happenings = json.loads(line)
            confirmed[call_id] = max(confirmed[call_id], happenings)
        await process.wait()
        store = await open_store(url(tmp_path), time.time)
        await ends_and_records(store)
        for call_id, happenings in confirmed.items():
            found = [one.happening.type for one in await store.history.events(0, call_id=call_id)]
            assert found[:happenings] == [h.type for h in a_call("any")][:happenings]
        assert all(cdr.cause == CRASHED for cdr in store.recovered)
        await store.close()


async def test_killed_while_recovering(tmp_path: Path) -> None:
    store = await open_store(url(tmp_path), time.time)
    calls = [f"call_{i}" for i in range(400)]
    for call_id in calls:
        for each in a_call(call_id)[:4]:
            store.journal.append(each)
    assert await store.journal.settled(10)
    await store.close()
    luck = random.Random(8)
    for _ in range(KILLS):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", RECOVER, url(tmp_path), stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdout is not None
        await process.stdout.readline()
        await asyncio.sleep(luck.uniform(0.1, 0.35))
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
    store = await open_store(url(tmp_path), time.time)
    await ends_and_records(store)
    assert len((await store.history.cdrs(CdrFilter(), limit=1000)).items) == len(calls)
    await store.close()
