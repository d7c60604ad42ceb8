"""`switchhook consult`, `swap`, `merge` … as an operator types them, against a real gateway with phones in the call."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from tests.bot_server import BotServer, nothing, replies
from tests.callee import Callee
from tests.caller import Caller
from tests.gateway_process import ROOT, GatewayProcess
from tests.operators import Operator, operator_of
from tests.party import sing
from tests.sip.consult_talk import BOT_PORT, EXPERT, PEOPLE, PLAN, PORT, Talk, talking
from tests.sip.terminal import Terminal

__all__ = ["BOT_PORT", "PLAN"]
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]
"""Each command is a process of its own, which takes seconds where others work too."""
MODULE = (sys.executable, "-m", "gateway")
ENV = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "COLUMNS": "140"}


async def types(folder: Path, *words: str, **env: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of a command that is run in this folder."""
    process = await asyncio.create_subprocess_exec(
        *MODULE, *words, cwd=folder, env=ENV | env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, complaints = await process.communicate()
    assert "Traceback" not in complaints.decode(), complaints.decode()
    assert process.returncode is not None
    return process.returncode, out.decode(), complaints.decode()


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(running: GatewayProcess) -> AsyncIterator[GatewayProcess]:
    """The module's gateway with a fresh log. It notices at its next heartbeat that a watch has gone, so what it holds
    is not counted here."""
    running.forget()
    yield running
    running.check()


@pytest_asyncio.fixture(loop_scope="module")
async def talk(gateway: GatewayProcess, operator: Operator, bot: BotServer, customer: Caller) -> AsyncIterator[Talk]:
    """The customer talks to Ann; whatever became of it is ended."""
    async with talking(gateway, operator, bot, customer) as begun:
        yield begun
        await operator.asks("DELETE", f"/v1/calls/{begun.id}")
        await gateway.wait_for("call.ended", call_id=begun.id)


@pytest.fixture
def home(gateway: GatewayProcess) -> Path:
    """Where the gateway runs: a command that is typed there needs no key."""
    return gateway.folder


async def done(talk: Talk, home: Path, gateway: GatewayProcess, *words: str) -> tuple[str, str]:
    """A command that is carried out: what it says of the call, and who is where."""
    code, out, complaints = await types(home, *words, "--url", gateway.api, SWITCHHOOK_KEY=talk.operator.key)
    assert (code, complaints) == (0, ""), complaints
    first, second = out.splitlines()
    assert first.startswith(f"{talk.id} is ")
    return first.removeprefix(f"{talk.id} is "), second.strip()


# ── what an agent's hands do ────────────────────────────────────────────────────────────────────────


async def test_a_consult_from_its_beginning_to_the_warm_transfer(
    talk: Talk, home: Path, gateway: GatewayProcess
) -> None:
    words = ("consult", talk.id, "--number", EXPERT, "--note", "a refund")
    state, scene = await done(talk, home, gateway, *words)
    assert state == "talking, consult dialling; next: forward, end-consult, monitor, hangup"
    assert scene.endswith("[main: customer; consult: agent; lobby: consult (dialling)]")
    await talk.consultant.is_called()
    await talk.consultant.answers()
    sing(consultant=talk.consultant)
    await talk.happens("consult.answered")
    in_both = "next: swap, merge, forward, end-consult, monitor, hangup"
    state, scene = await done(talk, home, gateway, "swap")
    assert state == f"talking, consult swapped; {in_both}"
    assert scene == "customer <-> agent, consult hears hold/calm [main: customer, agent; consult: consult]"
    state, scene = await done(talk, home, gateway, "swap", "last")
    assert state == f"talking, consult consulting; {in_both}"
    assert scene == "agent <-> consult, customer hears hold/calm [main: customer; consult: agent, consult]"
    state, scene = await done(talk, home, gateway, "merge", talk.id[-6:])
    assert state == "talking, consult merged; next: forward, end-consult, hold, monitor, hangup"
    assert scene == "customer <-> agent <-> consult [main: customer, agent, consult]"
    state, scene = await done(talk, home, gateway, "forward", talk.id.lower())
    assert state.startswith("talking; next: consult, transfer, hold")
    assert "customer <-> agent 2 " in scene and "agent 1 (ending)" in scene
    await talk.agent.is_hung_up(timeout_s=2)
    state, _ = await done(talk, home, gateway, "hangup")
    assert "next: " not in state
    await talk.customer.is_hung_up()


async def test_a_consult_that_is_ended_and_a_customer_on_hold(talk: Talk, home: Path, gateway: GatewayProcess) -> None:
    state, _ = await done(talk, home, gateway, "consult", "--agent", "bob", "--on-agent-hangup", "end")
    await talk.consultant.is_called()
    state, scene = await done(talk, home, gateway, "end-consult")
    assert state.startswith("talking; next: consult, transfer, hold")
    state, scene = await done(talk, home, gateway, "hold")
    assert "unhold" in state and "customer hears hold/calm" in scene and "main: customer (held), agent" in scene
    await done(talk, home, gateway, "unhold")
    state, scene = await done(talk, home, gateway, "hold", "--leg", "agent")
    assert "agent hears hold/calm" in scene and "main: customer, agent (held)" in scene


async def test_a_customer_is_handed_on_and_the_hand_is_taken_back(
    talk: Talk, home: Path, gateway: GatewayProcess
) -> None:
    state, scene = await done(talk, home, gateway, "transfer", "--agent", "bob")
    assert "cancel-transfer" in state and "customer <-> agent 1" in scene, (state, scene)
    await talk.consultant.is_called()
    state, _ = await done(talk, home, gateway, "cancel-transfer")
    assert state.startswith("talking; next: consult, transfer")


async def test_for_programs_it_is_the_call_of_the_api(talk: Talk, home: Path, gateway: GatewayProcess) -> None:
    code, out, _ = await types(home, "hold", "--json", "--url", gateway.api, SWITCHHOOK_KEY=talk.operator.key)
    call = json.loads(out)
    assert (code, call["id"], call["legs"][0]["held"]) == (0, talk.id, True)
    _, told = await talk.operator.asks("GET", f"/v1/calls/{talk.id}")
    assert {name: told[name] for name in call} == call
    _, out, _ = await types(home, "calls", "--json", "--url", gateway.api, SWITCHHOOK_KEY=talk.operator.key)
    assert [json.loads(line) for line in out.splitlines()] == [call]


# ── what is refused ─────────────────────────────────────────────────────────────────────────────────


async def test_a_refusal_says_what_can_be_done_instead(talk: Talk, home: Path, gateway: GatewayProcess) -> None:
    reader = (await switchhook_key(home, "reader", "calls:read"))["SWITCHHOOK_KEY"]
    for words, code, says in (
        (("merge",), 1, rf"{talk.id} is talking \(consult: none\); it takes now: consult, transfer, hold, .*hangup"),
        (("consult", "--agent", "bobb"), 1, rf"{talk.id}: the consult failed at once; .* shows why"),
        (("transfer", "--agent", "bobb"), 1, rf"{talk.id}: the transfer failed at once; .* shows why"),
        (("hold", "--leg", "consult"), 2, r"--leg consult: the call has customer \(leg_.*\), agent \(leg_.*\)"),
        (("swap", "zzz"), 1, rf"no call that is up has an id that begins or ends with zzz: {talk.id} .*"),
        (("swap", "7"), 2, "7 is no call: write an id, its beginning or ending, or last; switchhook calls shows them"),
        (("swap", "call_0Z"), 1, "call_0Z: there is no such call for this key; switchhook calls shows .*"),
        (("swap", "--key", "shk_wrong_wrong"), 1, ".* does not know this key .* --scope calls:control; .*"),
        (("swap", "--key", reader), 1, ".* may not do that: it needs the scope calls:control; .*"),
        (("monitor", "--mode", "barge"), 2, "nobody listens to this call: say who shall, with --agent, .*"),
    ):  # fmt: skip
        ended = await types(home, *words, "--url", gateway.api, SWITCHHOOK_KEY=talk.operator.key)
        assert (ended[0], ended[1]) == (code, ""), ended
        assert re.fullmatch(f"{says}\n", ended[2]), (words, ended[2])
    assert await talk.state() == ("talking", "none"), "and nothing has happened"
    await talk.customer.hangs_up()
    await talk.customer.end()
    ended = await types(home, "swap", talk.id, "--url", gateway.api, SWITCHHOOK_KEY=talk.operator.key)
    assert ended == (1, "", f"{talk.id} is over\n")


async def switchhook_key(home: Path, name: str, *scopes: str) -> dict[str, str]:
    words = ("keys", "add", name, *(word for scope in scopes for word in ("--scope", scope)))
    plan = ("--dialplans", str(home / "plan.yaml"))
    code, out, complaints = await types(home, *words, *plan, SWITCHHOOK_MEDIA__FOLDER=str(ROOT / "media"))
    assert code == 0, complaints
    return {"SWITCHHOOK_KEY": out.strip()}


async def test_which_of_two_calls(talk: Talk, home: Path, gateway: GatewayProcess) -> None:
    async with Caller(gateway, user="+12125550777") as other:
        talk.bot.on("start", nothing())
        await other.calls("+12125550100")
        newest = (await gateway.wait_for("call.started", sip_call_id=other.call_id))["call_id"]
        with_key = {"SWITCHHOOK_KEY": talk.operator.key}
        code, out, complaints = await types(home, "swap", "--url", gateway.api, **with_key)
        assert (code, out) == (2, "") and "2 calls are up: say which" in complaints
        assert newest in complaints and talk.id in complaints and "+1212•••0777 ->" in complaints
        code, out, _ = await types(home, "calls", "--url", gateway.api, **with_key)
        first, scene, second, *_ = out.splitlines()
        assert re.fullmatch(
            rf"{talk.id}  talking  \+1212•••0123 -> \+1212•••0100  since \d\d:\d\d:\d\d \(\d:\d\d\)", first
        )
        assert scene == "  customer <-> agent [main: customer, agent]"
        assert second.startswith(f"{newest}  bot  +1212•••0777 -> ")
        code, out, _ = await types(home, "hangup", "last", "--url", gateway.api, **with_key)
        assert code == 0 and out.startswith(f"{newest} is ")
        await other.is_hung_up()
        assert await talk.state() == ("talking", "none")


async def test_where_no_gateway_is(home: Path) -> None:
    code, out, complaints = await types(home, "swap", "--url", "http://127.0.0.1:9")
    assert (code, out) == (1, "") and complaints.startswith("no gateway answers at http://127.0.0.1:9 (connection")
    code, out, complaints = await types(home, "calls", "--url", "http://gateway.example")
    assert code == 2 and "is not this machine: give a key in SWITCHHOOK_KEY" in complaints


async def test_the_keys_that_commands_made_are_good_no_more(home: Path, gateway: GatewayProcess) -> None:
    code, out, _ = await types(home, "calls", "--url", gateway.api)
    assert (code, out) == (0, "no calls\n")
    plan = ("--dialplans", str(home / "plan.yaml"))
    _, listed, _ = await types(home, "keys", "list", *plan, SWITCHHOOK_MEDIA__FOLDER=str(ROOT / "media"))
    made = [line for line in listed.splitlines() if re.match(r"(calls|swap)-\d+-[0-9a-f]{6} ", line)]
    assert made and all("  revoked  " in line for line in made), listed


# ── watch shows it as it happens ────────────────────────────────────────────────────────────────────


async def test_rooms_and_hearing_on_the_screen(talk: Talk, home: Path, gateway: GatewayProcess) -> None:
    command = [*MODULE, "watch", "--url", gateway.api, "--call", talk.id[-5:]]
    async with Terminal(
        command, home, {name: value for name, value in ENV.items() if name != "COLUMNS"}, 120, 40
    ) as on:
        rooms = await on.shows(lambda text: "ROOM" in text)
        assert re.search(r"main +customer +agent *\n +agent +customer", rooms), rooms
        await done(talk, home, gateway, "consult", "--agent", "bob")
        await talk.consultant.is_called()
        await talk.consultant.answers()
        sing(consultant=talk.consultant)
        await on.shows(
            lambda text: (
                re.search(r"main +customer +hold/calm *\nconsult +agent +consult *\n +consult +agent", text) is not None
            )
        )
        await done(talk, home, gateway, "merge")
        await on.shows(lambda text: re.search(r"main +customer +agent \+ consult *\n", text) is not None)
        await done(talk, home, gateway, "hold")
        held = await on.shows(lambda text: text.count("customer (held)") > 1)  # the table, and the line of the change
        told = [line.split(maxsplit=2)[2].strip() for line in held.splitlines() if "hearing.now" in line]
        assert told[0].startswith("customer <-> agent [main: customer, agent]")
        assert [line for line in told if line.startswith("customer <-> agent <-> consult [")]
        assert told[-1].startswith(
            "agent <-> consult, customer hears hold/calm [main: customer (held), agent, consult]"
        )
        on.types("q")
        assert await on.exit_code() == 0


async def test_rooms_and_hearing_as_lines(
    gateway: GatewayProcess, home: Path, bot: BotServer, customer: Caller
) -> None:
    watch = await asyncio.create_subprocess_exec(
        *MODULE, "watch", "--plain", "--url", gateway.api, cwd=home, env=ENV,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert watch.stdout is not None and watch.stderr is not None
    lines: list[str] = []

    async def reads(until: str) -> None:
        assert watch.stdout is not None
        async with asyncio.timeout(10):
            while not lines or until not in lines[-1]:
                lines.append((await watch.stdout.readline()).decode().rstrip())

    try:
        assert (await asyncio.wait_for(watch.stderr.readline(), 20)).startswith(b"following")
        bot.on("start", replies({"type": "switch", "agent": "ann"}))
        async with Callee(PEOPLE, PORT) as agent:
            await customer.calls("+12125550100")
            await agent.is_called()
            await agent.answers()
            await reads("customer <-> agent [main: customer, agent]")
            await customer.hangs_up()
            await reads(" call.ended ")
    finally:
        watch.terminate()
        await watch.wait()
    hearing = [line.split(maxsplit=3)[2:] for line in lines if " hearing.now " in line]
    assert hearing and all(kind == "hearing.now" for kind, _ in hearing)
    assert all(one != next_ for one, next_ in pairwise(hearing)), "only what is another"


# ── a supervisor: the API's side is played ──────────────────────────────────────────────────────────

CUSTOMER = {"legId": "leg_01C", "role": "customer", "state": "connected", "room": "main"}
AGENT = {"legId": "leg_01A", "role": "agent", "state": "connected", "room": "main"}
SUE = {"legId": "leg_01S", "role": "supervisor", "state": "connected", "room": "main"}
EACH_OTHER = [{"source": "leg_01C", "sink": "leg_01A"}, {"source": "leg_01A", "sink": "leg_01C"}]
HEARS_ALL = [*EACH_OTHER, {"source": "leg_01C", "sink": "leg_01S"}, {"source": "leg_01A", "sink": "leg_01S"}]


class Supervised:
    """An API with one call, that takes supervisors as control-api.md has it."""

    def __init__(self) -> None:
        self.legs: list[dict[str, Any]] = [CUSTOMER, AGENT]
        self.asked: list[tuple[str, str, Any]] = []

    def call(self) -> dict[str, Any]:
        hearing = HEARS_ALL if len(self.legs) > 2 else EACH_OTHER
        if len(self.legs) > 2 and self.legs[2].get("mode") == "whisper":
            hearing = [*hearing, {"source": "leg_01S", "sink": "leg_01A"}]
        return {
            "id": "call_01KAJ", "state": "talking", "consultState": "none", "from": "+12125550123",
            "to": "+12125550100", "startedAt": "2026-11-21T10:00:00.000Z", "legs": self.legs, "hearing": hearing,
            "allowed": ["consult", "legs", "play", "hangup"],
        }  # fmt: skip

    async def live(self, _: web.Request) -> web.Response:
        return web.json_response({"items": [self.call()], "nextCursor": None})

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.path, body))
        if request.method == "POST":
            self.legs = [CUSTOMER, AGENT, SUE | {"state": "dialling", "mode": body["mode"]}]
        elif request.method == "PATCH":
            self.legs = [CUSTOMER, AGENT, SUE | {"mode": body["mode"], "whisperTo": "leg_01A"}]
        else:
            self.legs = [CUSTOMER, AGENT]
        return web.json_response(self.call(), status=202)


@asynccontextmanager
async def supervised() -> AsyncIterator[tuple[Supervised, str]]:
    api, app = Supervised(), web.Application()
    app.router.add_get("/v1/calls", api.live)
    app.router.add_post("/v1/calls/call_01KAJ/legs", api.take)
    app.router.add_route("*", "/v1/calls/call_01KAJ/legs/leg_01S", api.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield api, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_supervisor_comes_whispers_and_goes(tmp_path: Path) -> None:
    async with supervised() as (api, url):

        async def monitor(*words: str) -> list[str]:
            code, out, complaints = await types(
                tmp_path, "monitor", *words, "--url", url, SWITCHHOOK_KEY="shk_test_test"
            )
            assert (code, complaints) == (0, "")
            return out.splitlines()

        said = await monitor("--agent", "sue")
        assert said == [
            "call_01KAJ is talking; next: consult, monitor, hangup",
            "  customer <-> agent, supervisor hears customer + agent "
            "[main: customer, agent, supervisor (dialling, monitor)]",
            "  supervisor is called; then: switchhook monitor call_01KAJ --leg leg_01S --mode whisper, or --end",
        ]
        said = await monitor("KAJ", "--leg", "supervisor", "--mode", "whisper", "--whisper-to", "agent")
        assert said[1:] == [
            "  customer <-> agent, agent <-> supervisor, supervisor hears customer "
            "[main: customer, agent, supervisor (whisper to agent)]"
        ]
        await monitor("--mode", "barge")
        said = await monitor("01KAJ", "--end", "--leg", "01S")
        assert said[1:] == ["  customer <-> agent [main: customer, agent]"]
        await monitor("--sip-uri", "sip:sue@pbx.example", "--mode", "whisper", "--whisper-to", "leg_01A")
    leg, legs = "/v1/calls/call_01KAJ/legs/leg_01S", "/v1/calls/call_01KAJ/legs"
    assert api.asked == [
        ("POST", legs, {"agent": "sue", "role": "supervisor", "mode": "monitor"}),
        ("PATCH", leg, {"mode": "whisper", "whisperTo": "leg_01A"}),
        ("PATCH", leg, {"mode": "barge"}),
        ("DELETE", leg, None),
        ("POST", legs, {"sipUri": "sip:sue@pbx.example", "role": "supervisor", "mode": "whisper",
                        "whisperTo": "leg_01A"}),
    ]  # fmt: skip


async def test_a_supervisor_in_a_real_call(talk: Talk, home: Path, gateway: GatewayProcess) -> None:
    code, out, complaints = await types(home, "monitor", "--agent", "bob", "--url", gateway.api)
    assert (code, complaints) == (0, "")
    assert "supervisor (dialling, monitor)" in out and f"switchhook monitor {talk.id} --leg leg_" in out
    await talk.consultant.is_called()
    await talk.consultant.answers()
    sing(consultant=talk.consultant)
    async with asyncio.timeout(10):
        while [leg["state"] for leg in (await talk.operator.call())["legs"]] != ["connected"] * 3:
            await asyncio.sleep(0.05)
    code, out, complaints = await types(home, "monitor", "--mode", "whisper", "--url", gateway.api)
    assert (code, complaints) == (0, "")
    assert "customer <-> agent, agent <-> supervisor, supervisor hears customer [" in out, out
    assert "supervisor (whisper" in out
    code, out, complaints = await types(home, "monitor", "--end", "--leg", "supervisor", "--url", gateway.api)
    assert (code, complaints) == (0, "")
    await talk.consultant.is_hung_up()
    desktop = await operator_of(gateway, gateway.folder, scopes=("calls:read", "calls:control"))
    code, _, complaints = await types(
        home, "monitor", "--agent", "bob", "--url", gateway.api, SWITCHHOOK_KEY=desktop.key
    )
    assert code == 1 and "it needs the scope supervise" in complaints
