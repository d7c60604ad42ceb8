"""`switchhook demo`, as a newcomer runs it: it goes as planned, says so if not, and leaves no process behind."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests import spectrum
from tests.phone import ROOT


@asynccontextmanager
async def demo(**env: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "demo", cwd=ROOT, env={**os.environ, "COLUMNS": "80", **env},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


async def test_it_goes_as_planned() -> None:
    async with demo() as process:
        out = (await asyncio.wait_for(process.communicate(), 60))[0].decode()
    assert process.returncode == 0, out
    assert not alive(process.pid)
    for part in (
        "─── INVITE ─", "─ 200 OK ─", "“Welcome to Switchhook.", "presses 1", "stops speaking after", "dtmf 4711",
        "“Goodbye.”", "◀─── BYE ─", "call ended by the bot, cause completed/normal", "caller-heard.wav",
    ):  # fmt: skip
        assert part in out
    assert "\x1b" not in out
    samples, rate = spectrum.read(ROOT / "var" / "demo" / "caller-heard.wav")
    assert 8 < samples.size / rate < 30
    assert spectrum.rms_db(samples) > -40


async def test_a_gateway_that_does_not_start_is_explained() -> None:
    async with demo(SWITCHHOOK_MEDIA__CLOCK_RATE="1") as process:
        out = (await asyncio.wait_for(process.communicate(), 40))[0].decode()
    assert process.returncode == 1
    assert "the gateway did not start" in out
    assert "CLOCK_RATE" in out, "its own words are shown"
    assert "Traceback" not in out
    assert not alive(process.pid)


async def test_ending_it_in_the_middle_ends_everything() -> None:
    async with demo() as process:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            while b"presses 1" not in await process.stdout.readline():
                pass
            process.send_signal(signal.SIGTERM)
            out = (await process.stdout.read()).decode()
            assert await process.wait() == 1
    assert "interrupted" in out
    assert "Traceback" not in out
    assert not alive(process.pid)
