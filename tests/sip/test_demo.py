"""`switchhook demo`, as a newcomer runs it: it goes as planned, says so if not, and leaves no process behind."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.records import key_lines
from tests import spectrum
from tests.phone import ROOT

COMMAND = ("-m", "gateway", "demo")
CONSULT = (*COMMAND, "consult")
ODD = "import asyncio, sys; from gateway.demo import *; sys.exit(asyncio.run(run_demo({scene})))"
"""The same with a person who behaves otherwise."""
MUSIC, RINGBACK = {"music"}, {"ringback"}
TOGETHER = {"customer": {"lee"}, "lee": {"customer"}}
CONSULTING = {"customer": MUSIC, "lee": {"bob"}, "bob": {"lee"}}
STEPS = [
    ("The customer asks the bot", TOGETHER),
    ("Lee puts the customer on hold", {"customer": MUSIC, "lee": MUSIC}),
    ("and takes the customer back", TOGETHER),
    ("Lee asks Maya, who is busy", TOGETHER),
    ("Lee asks Bob, whose phone rings", {"customer": MUSIC, "lee": RINGBACK}),
    ("Bob answers", CONSULTING),
    ("Lee swaps", {"customer": {"lee"}, "lee": {"customer"}, "bob": MUSIC}),
    ("and swaps back", CONSULTING),
    ("Lee merges", {"customer": {"lee", "bob"}, "lee": {"customer", "bob"}, "bob": {"customer", "lee"}}),
    ("Lee forwards", {"customer": {"bob"}, "bob": {"customer"}}),
]
"""Of the scene `consult`: how its title begins, and who hears whom then (control-api.md, "The agent's flow")."""


@asynccontextmanager
async def demo(*command: str, **env: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *(command or COMMAND), cwd=ROOT, env={**os.environ, "COLUMNS": "80", **env},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's background jobs ignore
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


def matrices(out: str) -> list[tuple[str, dict[str, set[str]]]]:
    """Each table that was printed, and the title above it."""
    found, title, columns = list[tuple[str, dict[str, set[str]]]](), "", list[str]()
    lines = out.splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        words = line.split()
        if not before and line and not line.startswith(" "):
            title = line
        if words[-2:] == ["music", "ringback"]:
            columns = words
            found.append((title, {}))
        elif columns and len(words) == len(columns) + 1:
            cells = dict(zip(columns, words[1:], strict=True))
            assert set(cells.values()) <= {"hears", "–", "·"} and cells[words[0]] == "·", line
            found[-1][1][words[0]] = {name for name, cell in cells.items() if cell == "hears"}
        else:
            columns = []
    return found


async def keys_of_demos() -> list[list[str]]:
    """The keys that demos made here: name, state, scopes."""
    store = f"sqlite+aiosqlite:///{ROOT / 'var' / 'demo' / 'switchhook.db'}"
    return [line.split() for line in await key_lines(store) if line.startswith("demo-")]


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

    keys = await keys_of_demos()
    assert keys and {state for _, state, *_ in keys} == {"revoked"}, "its key is of no use afterwards"


async def test_an_agent_who_does_not_answer_is_not_as_planned() -> None:
    async with demo("-c", ODD.format(scene="Transfer(Agent(answers=False))")) as process:
        out = (await asyncio.wait_for(process.communicate(), 110))[0].decode()
    assert process.returncode == 1
    assert "not as planned: waited for the agent's answer and did not get it\n" in out
    assert out.count("not as planned") == 1, "what follows from it is not told as well"
    assert "Traceback" not in out
    assert not alive(process.pid)


async def test_an_agent_who_is_not_heard_is_not_as_planned() -> None:
    async with demo("-c", ODD.format(scene="Transfer(Agent(speaks=False))")) as process:
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


async def test_a_consult_is_shown_and_heard_at_each_step() -> None:
    async with demo(*CONSULT, COLUMNS="100") as process:
        out = (await asyncio.wait_for(process.communicate(), 115))[0].decode()
    assert process.returncode == 0, out
    assert not alive(process.pid)
    shown = matrices(out)
    assert len(shown) == len(STEPS), out
    for (title, hearing), (begins, expected) in zip(shown, STEPS, strict=True):
        assert title.startswith(begins) and hearing == expected, (title, hearing)
    assert out.count('measured, and just what the API says in "hearing"') == len(STEPS)
    rest = out
    for part in (
        "switch to lee", "bridged: they hear each other", "event: transfer.bridged ", "/hold -H ", "event: leg.held ",
        "/unhold -H ", "event: leg.unheld ", """/consult -H "Authorization: Bearer $KEY" --json '{"agent":"maya"}'\n""",
        "  202: state talking, consultState dialling\n", "486 Busy Here", 'event: consult.failed {"target": "maya"',
        """ --json '{"agent":"bob"}'\n""", "180 Ringing", "event: consult.ringing ", "200 OK",
        "event: consult.answered ",
        "/swap -H ", "  202: state talking, consultState swapped\n", "event: consult.swapped ", "/swap -H ",
        "consultState consulting\n", "/merge -H ", "consultState merged\n", "event: consult.merged ", "/forward -H ",
        "consultState none\n", "─ BYE ─", "event: consult.forwarded ", "event: call.ended ",
        "call ended by the customer, cause completed/normal", "  passed on to bob: SUCCESS\n", "customer-heard.wav",
    ):  # fmt: skip
        assert part in rest, f"{part} is missing, or too late, in:\n{out}"
        rest = rest[rest.index(part) :]
    said = re.search(r"in the ([0-9.]+) s from Lee's answer to the merge there are no 250 ms with Bob", out)
    assert said and float(said[1]) > 8
    assert "\x1b" not in out and "not as planned" not in out and "shk_" not in out
    assert [line for line in out.splitlines() if len(line) > 100 and str(ROOT) not in line] == []
    samples, rate = spectrum.read(ROOT / "var" / "demo" / "customer-heard.wav")
    last, early = samples[-int(0.8 * rate) :], samples[: int(8 * rate)]
    assert spectrum.has_tone(last, 1900, rate) and not spectrum.has_tone(last, 1500, rate)
    assert spectrum.has_tone(early, 1500, rate) and not spectrum.has_tone(early, 1900, rate)
    assert {state for _, state, *_ in await keys_of_demos()} == {"revoked"}


async def test_a_consultant_who_is_not_heard_is_neither_planned_nor_what_the_api_says() -> None:
    async with demo("-c", ODD.format(scene="Consult(silent='bob')")) as process:
        out = (await asyncio.wait_for(process.communicate(), 115))[0].decode()
    assert process.returncode == 1, out
    deaf = [(begins, {name: those - {"bob"} for name, those in hearing.items()}) for begins, hearing in STEPS]
    assert [hearing for _, hearing in matrices(out)] == [hearing for _, hearing in deaf]
    told = re.findall(r"not as planned: (.*): not what (the API|the plan) says: (.*)", out)
    assert [(title.partition(":")[0].partition(",")[0], who) for title, who, _ in told] == [
        (title, who)
        for title in ("Bob answers", "and swaps back", "Lee merges", "Lee forwards")
        for who in ("the API", "the plan")
    ]
    assert told[0][2] == "lee does not hear bob"
    assert told[4][2] == "customer does not hear bob, lee does not hear bob"
    assert not alive(process.pid)


async def test_ctrl_c_in_the_middle_of_a_consult_ends_everything() -> None:
    async with demo(*CONSULT) as process:
        assert process.stdout is not None
        async with asyncio.timeout(100):
            while b"Bob answers" not in await process.stdout.readline():
                pass
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to each of its processes
            out = (await process.stdout.read()).decode()
            assert await process.wait() == 1
    assert "it was interrupted" in out and "Traceback" not in out
    assert not alive(process.pid)
    assert {state for _, state, *_ in await keys_of_demos()} == {"revoked"}


async def test_a_scene_that_is_not_there() -> None:
    async with demo(*COMMAND, "confer") as process:
        out = (await asyncio.wait_for(process.communicate(), 60))[0].decode()
    assert (process.returncode, out) == (2, "no scene 'confer'; there is transfer and consult\n")


def test_make_passes_the_scene_on() -> None:
    for given, command in (([], "switchhook demo"), (["SCENE=consult"], "switchhook demo consult")):
        words = ["make", "--no-print-directory", "-n", "demo", *given]
        told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        assert told.stdout.rstrip().endswith(command)
