"""A gateway to be killed: journals calls without pause and prints what `settled` confirmed; run by test_crash.py.

`python -m tests.unit.store.killed_writer FILE NAME` prints one JSON line per call.
"""

import asyncio
import json
import sys
import time

from gateway.store.store import Store, open_store
from tests.unit.store.happenings import a_call


async def one_call(store: Store, call_id: str, settle: bool) -> None:
    for i, each in enumerate(a_call(call_id, at=time.time())):
        store.journal.append(each)
        if settle and await store.journal.settled(5):
            print(json.dumps([call_id, i + 1]), flush=True)
        else:
            await asyncio.sleep(0.003)


async def main(file: str, name: str) -> None:
    store = await open_store(f"sqlite+aiosqlite:///{file}", time.time)
    print(json.dumps(["ready", 0]), flush=True)
    number = 0
    while True:
        some = [one_call(store, f"call_{name}_{number + i}", settle=i % 2 == 0) for i in range(10)]
        number += 10
        await asyncio.gather(*some)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
