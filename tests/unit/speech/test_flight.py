"""Work for the same key is done once, and lives exactly as long as somebody waits for it."""

import asyncio

import pytest

from gateway.speech.flight import Closed, SingleFlight


class Work:
    def __init__(self) -> None:
        self.runs = 0
        self.cancelled = 0
        self.gate = asyncio.Event()

    async def __call__(self) -> str:
        self.runs += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "done"


async def test_once_for_all() -> None:
    flight: SingleFlight[str, str] = SingleFlight()
    work = Work()
    waiters = [asyncio.create_task(flight.run("k", work)) for _ in range(5)]
    await asyncio.sleep(0)
    work.gate.set()
    assert await asyncio.gather(*waiters) == ["done"] * 5
    assert work.runs == 1
    assert await flight.run("k", work) == "done"
    assert work.runs == 2


async def test_a_cancelled_waiter_does_not_take_the_others_with_it() -> None:
    flight: SingleFlight[str, str] = SingleFlight()
    work = Work()
    first, second = (asyncio.create_task(flight.run("k", work)) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0.01)
    work.gate.set()
    assert await second == "done"
    assert first.cancelled()
    assert work.runs == 1


async def test_the_last_waiter_takes_the_work_along_and_the_next_starts_anew() -> None:
    flight: SingleFlight[str, str] = SingleFlight()
    work = Work()
    only = asyncio.create_task(flight.run("k", work))
    await asyncio.sleep(0.01)
    only.cancel()
    await asyncio.sleep(0)
    next_one = asyncio.create_task(flight.run("k", work))
    await asyncio.sleep(0.01)
    assert work.cancelled == 1
    work.gate.set()
    assert await next_one == "done"


async def test_failure_reaches_everybody_and_is_not_kept() -> None:
    flight: SingleFlight[str, str] = SingleFlight()

    async def fail() -> str:
        await asyncio.sleep(0)
        raise ValueError("no")

    results = await asyncio.gather(*(flight.run("k", fail) for _ in range(3)), return_exceptions=True)
    assert [str(result) for result in results] == ["no"] * 3


async def test_closing_ends_all_work() -> None:
    flight: SingleFlight[str, str] = SingleFlight()
    work = Work()
    waiter = asyncio.create_task(flight.run("k", work))
    await asyncio.sleep(0.01)
    await flight.close()
    with pytest.raises(Closed):
        await waiter
