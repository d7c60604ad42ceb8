"""`switchhook watch`, as an operator runs it beside a real gateway with calls up: once, as lines, and on a terminal."""

import asyncio
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.caller import Caller
from tests.gateway_process import ROOT, GatewayProcess
from tests.sip.terminal import Terminal

PLAN = """
trunks: {carrier: {host: 127.0.0.2, allow: [127.0.0.2/32]}}
channels:
  echo: {bot: {type: builtin, name: echo}}
  broken: {bot: {type: webhook, url: "http://127.0.0.1:9/"}}
routes:
  - {to: "100", channel: echo}
  - {to: "200", channel: broken}
"""
pytestmark = pytest.mark.asyncio(loop_scope="module")
MODULE = (sys.executable, "-m", "gateway")
ENV = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "COLUMNS": "140"}


async def switchhook(folder: Path, *words: str, **env: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        *MODULE, *words, cwd=folder, env=ENV | env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, complaints = await process.communicate()
    assert "Traceback" not in complaints.decode(), complaints.decode()
    assert process.returncode is not None
    return process.returncode, out.decode(), complaints.decode()


async def keys(folder: Path) -> list[str]:
    """`switchhook keys list`."""
    code, out, complaints = await switchhook(folder, "keys", "list", "--dialplans", str(folder / "plan.yaml"),
                                             SWITCHHOOK_MEDIA__FOLDER=str(ROOT / "media"))  # fmt: skip
    assert code == 0, complaints
    return out.splitlines()


async def all_revoked(folder: Path) -> None:
    """Watches made keys, and none of them is good any more."""
    lines = await keys(folder)
    assert lines
    for line in lines:
        assert re.fullmatch(r"watch-\d+-[0-9a-f]{6}  revoked  calls:read", line), lines


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(running: GatewayProcess) -> AsyncIterator[GatewayProcess]:
    """The module's gateway with a fresh log. It notices at its next heartbeat that a watch has gone, so what it holds
    is not counted here."""
    running.forget()
    yield running
    running.check()


@pytest.fixture
def home(gateway: GatewayProcess) -> Path:
    """Where the gateway runs: its store is there."""
    return gateway.folder


# ── one picture ─────────────────────────────────────────────────────────────────────────────────────


async def test_one_picture_of_a_call_that_is_up(gateway: GatewayProcess, home: Path) -> None:
    async with Caller(gateway) as customer:
        await customer.calls("100")
        await gateway.wait_for("playback.started")
        code, out, complaints = await switchhook(home, "watch", "--once", "--url", gateway.api)
    assert (code, complaints) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f" READY   {gateway.api}") and lines[1] == "nothing is wrong"
    assert re.fullmatch(r"1 of 500 calls up, \d+ in the last minute", lines[2])
    assert lines[5].split() == ["carrier", "unknown", "1", "-", "127.0.0.2"]
    assert re.fullmatch(
        r"0:\d\d +\+1212•••0123 -> 100 +bot +(speaks|said: .*|listens) +customer <-> bot +echo +carrier", lines[8]
    ), lines[8]
    assert lines[9].strip() == "customer connected, PCMU"
    assert "\x1b" not in out and "5550123" not in out
    await all_revoked(home)


async def test_what_the_last_calls_died_of(gateway: GatewayProcess, home: Path) -> None:
    async with Caller(gateway) as customer:
        customer.invites("999")
        assert (await customer.is_told_finally()).status == 404
    async with Caller(gateway) as customer:
        await customer.calls("100")
        await customer.hangs_up()
        await customer.end()
    code, out, _ = await switchhook(home, "watch", "--once", "--show-numbers", "--url", gateway.api)
    assert code == 0
    ends = out[out.index("ENDED") :].splitlines()[1:]
    assert ends[0].split()[1:] == ["+12125550123", "->", "100", "0:00", "completed/normal", "customer"]
    assert ends[1].split()[1:] == ["+12125550123", "->", "999", "0:00", "gateway/no-route", "gateway"]


async def test_one_call_and_all_that_happened_in_it(gateway: GatewayProcess, home: Path) -> None:
    async with Caller(gateway) as customer:
        await customer.calls("100")
        call_id = (await gateway.wait_for("call.started"))["call_id"]
        await gateway.wait_for("playback.started")
        _, live, _ = await switchhook(home, "watch", "--once", "--call", call_id, "--url", gateway.api)
        await customer.hangs_up()
        await customer.end()
    _, over, _ = await switchhook(home, "watch", "--once", "--call", call_id, "--url", gateway.api)
    for part in (f"watching {call_id}", "customer <-> bot", "customer connected, PCMU", "call.started", "bot.asked"):
        assert part in live, live
    for part in ("completed/normal", "leg.left", "call.ended", "by customer: completed/normal"):
        assert part in over, over
    code, _, complaints = await switchhook(home, "watch", "--once", "--call", "call_0", "--url", gateway.api)
    assert code == 1 and complaints.startswith("there is no call call_0, or not for this key")


# ── a line per event ────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def lines_of(folder: Path, *words: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[str]]]:
    """A watch that prints lines, once it says that it follows; what it printed when the block has ended."""
    process = await asyncio.create_subprocess_exec(
        *MODULE, "watch", *words, cwd=folder, env=ENV,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    told: list[str] = []
    try:
        assert process.stderr is not None and process.stdout is not None
        async with asyncio.timeout(20):
            first = (await process.stderr.readline()).decode()
        assert first.startswith("following http://"), first + (await process.stderr.read()).decode()
        yield process, told
        told += (await process.stdout.read()).decode().splitlines()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()


async def test_a_call_from_start_to_end_as_lines(gateway: GatewayProcess, home: Path) -> None:
    async with lines_of(home, "--url", gateway.api) as (process, told):  # stdout is no terminal
        async with Caller(gateway) as customer:
            await customer.calls("100")
            await customer.ear.presses("7")
            await gateway.wait_for("dtmf.received")
            await customer.hangs_up()
            call_id = (await customer.end())["call_id"]
        await asyncio.wait_for(_reads(process, told, "call.ended"), 10)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert all(re.match(rf"20\S+Z  {call_id}  \w+\.\w+", line) for line in told), told
    types = [line.split()[2] for line in told]
    assert types[0] == "call.started" and types[-1] == "call.ended" and types.count("leg.joined") == 1
    assert told[0].endswith("+1212•••0123 -> 100") and "by customer: completed/normal" in told[-1]
    (digit,) = (line for line in told if "dtmf.received" in line)
    assert digit.endswith("•")
    await all_revoked(home)


async def _reads(process: asyncio.subprocess.Process, told: list[str], until: str) -> None:
    assert process.stdout is not None
    while not told or until not in told[-1]:
        told.append((await process.stdout.readline()).decode().rstrip())


async def test_lines_of_one_call_end_with_it(gateway: GatewayProcess, home: Path) -> None:
    async with Caller(gateway) as customer, Caller(gateway) as other:
        await customer.calls("100")
        call_id = (await gateway.wait_for("call.started"))["call_id"]
        async with lines_of(home, "--plain", "--call", call_id, "--url", gateway.api) as (process, told):
            await other.calls("100")
            await customer.hangs_up()
            assert await asyncio.wait_for(process.wait(), 10) == 0
        assert told and all(call_id in line for line in told) and " call.ended " in told[-1]


async def test_whoever_has_read_enough_ends_it(gateway: GatewayProcess, home: Path) -> None:
    command = f"{' '.join(MODULE)} watch --url {gateway.api} | head -n 1"
    reader = await asyncio.create_subprocess_shell(
        command, cwd=home, env=ENV, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert reader.stderr is not None
    assert (await asyncio.wait_for(reader.stderr.readline(), 20)).startswith(b"following")
    async with Caller(gateway) as customer:
        await customer.calls("100")
        await customer.hangs_up()
        await customer.end()
    out, complaints = await asyncio.wait_for(reader.communicate(), 10)
    assert out.count(b"\n") == 1 and b"call.started" in out and not complaints
    await all_revoked(home)


# ── the screen ──────────────────────────────────────────────────────────────────────────────────────


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def screen(folder: Path, url: str, *words: str) -> Terminal:
    return Terminal([*MODULE, "watch", "--url", url, *words], folder, {k: v for k, v in ENV.items() if k != "COLUMNS"})


def is_as_before(terminal: Terminal) -> bool:
    """No alternate screen, a cursor, and keys as they were."""
    last = {mode: terminal.output.rfind(mode) for mode in ("\x1b[?1049h", "\x1b[?1049l", "\x1b[?25l", "\x1b[?25h")}
    return (
        terminal.modes == terminal.before
        and 0 <= last["\x1b[?1049h"] < last["\x1b[?1049l"]
        and 0 <= last["\x1b[?25l"] < last["\x1b[?25h"]
    )


async def test_a_call_comes_and_goes_on_the_screen(gateway: GatewayProcess, home: Path) -> None:
    async with screen(home, gateway.api) as terminal:
        await terminal.shows(lambda text: "READY" in text and "no calls" in text)
        assert terminal.modes != terminal.before, "keys are read one by one"
        async with Caller(gateway, user="+12125550777") as customer:
            await customer.calls("100")
            await terminal.shows(lambda text: "customer <-> bot" in text and "customer connected, PCMU" in text)
            await customer.reinvites("sendonly")
            await terminal.shows(lambda text: "holds us" in text and "customer hears nothing" in text)
            await customer.hangs_up()
        await terminal.shows(lambda text: "no calls" in text and re.search("0777.*completed/normal", text) is not None)
        terminal.types("xq")
        assert await terminal.exit_code() == 0
        assert is_as_before(terminal)
    await all_revoked(home)


async def test_a_bot_that_fails_is_said_in_the_second_line(gateway: GatewayProcess, home: Path) -> None:
    async with screen(home, gateway.api) as terminal:
        await terminal.shows(lambda text: "READY" in text)
        async with Caller(gateway) as customer:
            await customer.calls("200")
            await terminal.shows(lambda text: text.split("\n")[1:2] == [f"{'look at: bot fails in 1 call':<100}"])
            await customer.is_hung_up()
        terminal.types("q")
        assert await terminal.exit_code() == 0


@pytest.mark.parametrize("end", ["\x03", signal.SIGTERM, signal.SIGHUP])
async def test_however_it_is_ended_it_leaves_no_key_and_a_good_terminal(
    gateway: GatewayProcess, home: Path, end: str | signal.Signals
) -> None:
    async with screen(home, gateway.api) as terminal:
        await terminal.shows(lambda text: "READY" in text)
        if isinstance(end, str):
            terminal.types(end)
        else:
            terminal._process.send_signal(end)
        assert await terminal.exit_code() == 0
        assert is_as_before(terminal)
        assert "Traceback" not in terminal.output
    await all_revoked(home)


async def test_a_gateway_that_is_killed_is_said_to_be_gone_and_found_again(tmp_path: Path) -> None:
    settings = {"api.bind": f"127.0.0.1:{a_free_port()}"}
    first = GatewayProcess(PLAN, tmp_path, settings)
    await first.start()
    async with screen(tmp_path, first.api) as terminal:
        async with Caller(first) as customer:
            await customer.calls("100")
            await terminal.shows(lambda text: "customer <-> bot" in text)
            customer._live = False  # nobody will answer a BYE any more
            first.terminate(signal.SIGKILL)
            await first.exit_code()
        gone = await terminal.shows(lambda text: "GONE" in text and "connection refused" in text)
        assert "gateway gone since" in gone and "trying again" in gone and "not of now" in gone
        assert "READY" not in gone and "customer <-> bot" in gone
        async with GatewayProcess(PLAN, tmp_path, settings) as second:
            found = await terminal.shows(lambda text: "READY" in text and "gateway/crashed" in text)
            assert "no calls" in found, "the call died with the gateway"
            async with Caller(second) as customer:
                await customer.calls("100")
                await terminal.shows(lambda text: "customer <-> bot" in text)
        terminal.types("q")
        assert await terminal.exit_code() == 0
    await all_revoked(tmp_path)


async def test_a_gateway_that_drains_is_said_to_take_no_calls(tmp_path: Path) -> None:
    async with (
        GatewayProcess(PLAN, tmp_path) as gateway,
        screen(tmp_path, gateway.api) as terminal,
        Caller(gateway) as customer,
    ):
        await customer.calls("100")
        await terminal.shows(lambda text: "READY" in text and "customer <-> bot" in text)
        gateway.terminate()
        await terminal.shows(lambda text: "DRAINING" in text and "takes no new calls" in text)


# ── what cannot be done ─────────────────────────────────────────────────────────────────────────────


async def test_each_refusal_is_one_line_that_says_what_to_do(gateway: GatewayProcess, home: Path) -> None:
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    nobody = f"http://127.0.0.1:{a_free_port()}"
    for folder, words, env, code, says in (
        (home, ("--url", nobody), {}, 1, f"no gateway answers at {nobody} (connection refused): start it with"),
        (home, ("--url", gateway.api), {"SWITCHHOOK_KEY": "shk_wrong_wrong"}, 1, "does not know this key"),
        (elsewhere, ("--url", gateway.api), {}, 1, "no key was given, and there is no store at var/switchhook.db"),
        (home, ("--once", "--plain"), {}, 2, "choose one"),
        (home, ("--call", "7"), {}, 2, "--call 7: write an id"),
    ):
        ended = await switchhook(folder, "watch", *words, **env)
        assert (ended[0], ended[1]) == (code, ""), ended
        assert says in ended[2] and ended[2].count("\n") == 1, ended[2]
    assert not (elsewhere / "var").exists(), "no store was made by the way"
    await all_revoked(home)
