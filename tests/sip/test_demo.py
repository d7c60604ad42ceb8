"""`switchhook demo`, as a newcomer runs it: it goes as planned, says so if not, and leaves no process behind."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.records import key_lines
from tests import spectrum
from tests.phone import ROOT

COMMAND = ("-m", "gateway", "demo")
ODD = "import asyncio, sys; from gateway.demo import Agent, run_demo; sys.exit(asyncio.run(run_demo({agent})))"
"""The same with a person who behaves otherwise."""


@asynccontextmanager
async def demo(*command: str, **env: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *(command or COMMAND), cwd=ROOT, env={**os.environ, "COLUMNS": "80", **env},
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
        out = (await asyncio.wait_for(process.communicate(), 110))[0].decode()
    assert process.returncode == 0, out
    assert not alive(process.pid)
    rest = out
    for part in (
        "─── INVITE ─", "─ 200 OK ─", "“Welcome to Switchhook.", "presses 1", "stops speaking after", "dtmf 4711",
        "presses 0", "switch to lee", "“I am transferring you", "agent\n", "─── INVITE ─", "◀─── 180 Ringing ─",
        "hears ringback", "◀─── 200 OK ─", "bridged: they hear each other", "“Hello, this is Lee.", "“Hello Lee.",
    ):  # fmt: skip
        assert part in rest, f"{part} is missing, or too late, in:\n{out}"
        rest = rest[rest.index(part) :]
    for part in (
        "hears the agent: a tone of", "hears the caller: a tone of", "◀─── BYE ─", "transfer SUCCESS completed ─",
        "“Welcome back. Please rate", "presses 5", "tag rating=5", "Goodbye.”",
        "call ended by the bot, cause completed/normal", "caller-heard.wav", "the call's record, from GET /v1/cdrs:",
        "  transfer to lee: SUCCESS, completed; rang ", ", ended by the agent", "  leg customer: PCMU, SIP status 200",
        "  leg agent: PCMU, SIP status 200", "  data: customerNumber 4711, rating 5",
    ):  # fmt: skip
        assert part in rest, f"{part} is missing in:\n{out}"
    assert "\x1b" not in out and "not as planned" not in out
    for name, tone in (("caller-heard.wav", 1300), ("agent-heard.wav", 500)):
        samples, rate = spectrum.read(ROOT / "var" / "demo" / name)
        assert 2 < samples.size / rate < 60
        assert spectrum.rms_db(samples) > -40 and spectrum.has_tone(samples, tone, rate)

    store = f"sqlite+aiosqlite:///{ROOT / 'var' / 'demo' / 'switchhook.db'}"
    keys = [line.split() for line in await key_lines(store) if line.startswith("demo-")]
    assert keys and {state for _, state, *_ in keys} == {"revoked"}, "its key is of no use afterwards"


async def test_an_agent_who_does_not_answer_is_not_as_planned() -> None:
    async with demo("-c", ODD.format(agent="Agent(answers=False)")) as process:
        out = (await asyncio.wait_for(process.communicate(), 110))[0].decode()
    assert process.returncode == 1
    assert "not as planned: waited for the agent's answer and did not get it\n" in out
    assert out.count("not as planned") == 1, "what follows from it is not told as well"
    assert "Traceback" not in out
    assert not alive(process.pid)


async def test_an_agent_who_is_not_heard_is_not_as_planned() -> None:
    async with demo("-c", ODD.format(agent="Agent(speaks=False)")) as process:
        out = (await asyncio.wait_for(process.communicate(), 110))[0].decode()
    assert process.returncode == 1
    assert "not as planned: the caller did not hear the agent\n" in out
    assert out.count("not as planned") == 1
    assert not alive(process.pid)


async def test_a_gateway_that_does_not_start_is_explained() -> None:
    async with demo(SWITCHHOOK_MEDIA__CLOCK_RATE="1") as process:
        out = (await asyncio.wait_for(process.communicate(), 60))[0].decode()
    assert process.returncode == 1
    assert "the gateway did not start" in out
    assert "CLOCK_RATE" in out, "its own words are shown"
    assert "Traceback" not in out
    assert not alive(process.pid)


async def test_ending_it_in_the_middle_ends_everything() -> None:
    async with demo() as process:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            while b"presses 1" not in await process.stdout.readline():
                pass
            process.send_signal(signal.SIGTERM)
            out = (await process.stdout.read()).decode()
            assert await process.wait() == 1
    assert "interrupted" in out
    assert "Traceback" not in out
    assert not alive(process.pid)
