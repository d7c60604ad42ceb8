"""The stage of a figure: a gateway of its own, the bot, the callers' RTP, in a temporary folder; for every figure."""

import itertools
import json
import os
import re
import shutil
import sys
import time
import urllib.request
import wave
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from tests.bench.agents import RING_S
from tests.bench.bot import AGENTS_NUMBER, LONG_PROMPT
from tests.bench.children import BenchError, Child, until
from tests.bench.sipp import Calls, Sipp
from tests.bench.tones import AGENT_HZ, CONSULTANT_HZ, CUSTOMER_HZ

ROOT = Path(__file__).resolve().parents[2]
RATE = 8000
LONG_PROMPT_S = 60
BUILTIN, LONG, SHORT, CHURN, CACHED, FRESH, ASKED, SWITCHED = "100", "200", "201", "300", "400", "500", "600", "700"
"""Numbers: the built-in echo bot; prompts without end, of 60 s and of 3 s; one short prompt; a prompt at once; a
sentence that nobody has said yet; a bot that is asked before the call is answered; one that switches to an agent, where
the scene has `agents`."""

_WEBHOOKS = {LONG: "long", SHORT: "short", CHURN: "churn", CACHED: "cached", FRESH: "fresh", ASKED: "asked"}
CONSULTANT = "expert"
"""The contact whom the agents can consult, where the scene has `consultants`."""
_AGENTS_HOST, _CONSULTANTS_HOST = "127.0.0.2", "127.0.0.3"
_CONSULTANTS_NUMBER = "+16125550199"
_MOST_CALLS = 1150
_SENT = 0.9
_READY = re.compile(r"udp:[^ ,]*:(\d+).* api=(\S+)")

Say = Callable[[str], None]


class Scene:
    """`with Scene(name, say) as scene:` has everything running; leaving it ends everything."""

    def __init__(
        self,
        name: str,
        folder: Path,
        say: Say,
        *,
        mute: bool = False,
        journal: bool = True,
        agents: bool = False,
        consultants: bool = False,
    ) -> None:
        """`folder` must exist; the scene makes one of its own in it. `mute` callers send no RTP.
        Without `journal` the gateway is told of its calls, but keeps nothing (composed.py). With `agents` there is
        somebody to switch to, and callers and agents send their tones; with `consultants` the agents have somebody to
        ask as well."""
        self.say, self._mute, self._journal = say, mute, journal
        self._with_agents, self._with_consultants = agents or consultants, consultants
        self.folder = folder / name
        self._stack = ExitStack()
        self._number = itertools.count(1)
        self.bot_port = self.rtp_port = self.sip_port = self.agents_sip_port = self.agents_rtp_port = 0
        self.consultants_sip_port = self.consultants_rtp_port = 0
        self.api = ""
        self._callers: Child | None = None
        self._agents: Child | None = None
        self._consultants: Child | None = None
        self._gateway: Child | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir()
        _copy_media(self.folder / "media")
        try:
            self.bot_port = int(self._start("bot").line(15))
            tone = [str(CUSTOMER_HZ)] if self._with_agents else []
            self._callers = self._start("callers", *(["mute"] if self._mute else tone))
            self.rtp_port = int(self._callers.line(15))
            if self._with_agents:
                self._agents, self.agents_sip_port, self.agents_rtp_port = self._people(_AGENTS_HOST, AGENT_HZ)
            if self._with_consultants:
                people = self._people(_CONSULTANTS_HOST, CONSULTANT_HZ)
                self._consultants, self.consultants_sip_port, self.consultants_rtp_port = people
            self._start_gateway()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if error is None:
                self.gateway.check()

    @property
    def store_url(self) -> str:
        """Of the gateway's store."""
        return f"sqlite+aiosqlite:///{self.folder}/switchhook.db"

    @property
    def gateway(self) -> Child:
        """The process under test."""
        if self._gateway is None:
            raise RuntimeError("the scene has not begun")
        return self._gateway

    def call(self, calls: Calls) -> Sipp:
        """Have calls placed, from now on."""
        self.gateway.check()
        return Sipp(self.folder, str(next(self._number)), self.sip_port, self.rtp_port, calls)

    def held(self) -> dict[str, int]:
        """What the gateway says it holds."""
        self.gateway.check()
        with urllib.request.urlopen(f"{self.api}/healthz", timeout=10) as answer:
            told: dict[str, dict[str, int]] = json.load(answer)
        return told["held"] | {"underruns": told["counted"]["underruns"]}

    def wait_calls(self, count: int, timeout_s: float) -> None:
        """Return when so many calls are up. Raises BenchError when they are not in time."""
        if not until(lambda: self.held()["calls"] == count, timeout_s):
            raise BenchError(f"{self.held()['calls']} calls are up, not {count}, after {timeout_s:.0f} s")

    def wait_bridged(self, count: int, timeout_s: float) -> None:
        """Return when so many calls are up and each has its agent. Raises BenchError when they are not in time."""
        if not until(lambda: self.held()["calls"] == count and self.held()["legs"] == 2 * count, timeout_s):
            held = self.held()
            raise BenchError(f"{held['calls']} calls with {held['legs']} legs are up, not {count} bridged ones")
        time.sleep(RING_S + 0.2)

    def answered_at(self) -> dict[str, list[float]]:
        """When the bot answered each `start`, by path."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.bot_port}/times", timeout=10) as answer:
            times: dict[str, list[float]] = json.load(answer)
        return times

    def stop_callers(self) -> dict[str, float]:
        """End the callers' RTP: what they did. Raises BenchError if they did not send about as much as they heard."""
        return _stop(self._callers)

    def stop_agents(self) -> dict[str, float]:
        """The same of the agents."""
        return _stop(self._agents)

    def stop_consultants(self) -> dict[str, float]:
        """The same of the consultants."""
        return _stop(self._consultants)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _start(self, name: str, *arguments: str) -> Child:
        command = [sys.executable, "-m", f"tests.bench.{name}", *arguments]
        return self._stack.enter_context(Child(name, command, self.folder / f"{name}.err", cwd=ROOT))

    def _people(self, host: str, hz: int) -> tuple[Child, int, int]:
        """Those of agents.py at this address, with their SIP and RTP ports."""
        people = self._start("agents", host, str(hz))
        sip_port, rtp_port = map(int, people.line(15).split())
        return people, sip_port, rtp_port

    def _start_gateway(self) -> None:
        plan = self.folder / "plan.yaml"
        plan.write_text(_plan(self.bot_port, self.agents_sip_port, self.consultants_sip_port))
        serve = ["gateway", "serve", "--log", "json", "--dialplans"] if self._journal else ["tests.bench.composed"]
        command = [sys.executable, "-m", *serve, str(plan)]
        env = _environment(self.folder, self.store_url)
        gateway = Child("the gateway", command, self.folder / "gateway.log", cwd=ROOT, env=env)
        self._gateway = self._stack.enter_context(gateway)
        ready = _READY.search(line := gateway.line(30))
        if ready is None:
            raise BenchError(f"the gateway says {line!r}, not where it listens")
        self.sip_port, self.api = int(ready[1]), ready[2]


def _stop(child: Child | None) -> dict[str, float]:
    if child is None:
        raise RuntimeError("it has not begun")
    child.ask_to_end()
    told: dict[str, float] = json.loads(child.line(5))
    if told["sent"] < _SENT * told["received"]:
        raise BenchError(f"{child.name} sent {told['sent']} packets of RTP and received {told['received']}")
    return told


def _environment(folder: Path, store_url: str) -> dict[str, str]:
    """The caller's, without settings of a gateway but ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SWITCHHOOK_")}
    return kept | {
        "SWITCHHOOK_SIP__UDP_PORT": "0",
        "SWITCHHOOK_SIP__TCP_PORT": "0",
        "SWITCHHOOK_SIP__RTP_PORTS": "10000-19999",
        "SWITCHHOOK_API__BIND": "127.0.0.1:0",
        "SWITCHHOOK_STORE__URL": store_url,
        "SWITCHHOOK_LIMITS__CALLS": str(_MOST_CALLS),
        "SWITCHHOOK_LIMITS__CPS": str(_MOST_CALLS),
        "SWITCHHOOK_LIMITS__LAG_MS": "60000",  # how much the node can do is what is measured
        "SWITCHHOOK_MEDIA__FOLDER": str(folder / "media"),
        "SWITCHHOOK_MEDIA__CLOCK_RATE": str(RATE),
        "SWITCHHOOK_CACHE": str(folder / "cache"),
        "BENCH_SECRET": "a secret that signs what the bot is asked",
    }


def _plan(bot_port: int, agents_port: int, consultants_port: int) -> str:
    trunk = "trunks:\n  loopback: {host: 127.0.0.1, allow: [127.0.0.0/8], codecs: [PCMU]}\n"
    channels = ["channels:", "  builtin: {bot: {type: builtin, name: echo}}"]
    routes = ["routes:", f'  - {{to: "{BUILTIN}", trunk: loopback, channel: builtin}}']
    for number, name in _WEBHOOKS.items():
        bot = f'{{type: webhook, url: "http://127.0.0.1:{bot_port}/{name}", secret: {{env: BENCH_SECRET}}}}'
        channels.append(f"  {name}: {{bot: {bot}, answer: {'bot' if number == ASKED else 'immediately'}}}")
        routes.append(f'  - {{to: "{number}", trunk: loopback, channel: {name}}}')
    if agents_port:
        trunk += f'  people: {{host: "{_AGENTS_HOST}:{agents_port}", allow: [{_AGENTS_HOST}/32], codecs: [PCMU]}}\n'
        bot = f'{{type: webhook, url: "http://127.0.0.1:{bot_port}/switch", secret: {{env: BENCH_SECRET}}}}'
        channels.append(f"  switch: {{bot: {bot}, trunk: people}}")
        routes.append(f'  - {{to: "{SWITCHED}", trunk: loopback, channel: switch}}')
        routes.append(f'destinations: {{allow: ["{AGENTS_NUMBER}"], limits: {{per_minute: {_MOST_CALLS * 60}}}}}')
    if consultants_port:
        where = f'host: "{_CONSULTANTS_HOST}:{consultants_port}", allow: [{_CONSULTANTS_HOST}/32]'
        trunk += f"  experts: {{{where}, codecs: [PCMU]}}\n"
        routes.append(f'contacts: {{{CONSULTANT}: {{phoneNumber: "{_CONSULTANTS_NUMBER}", trunk: experts}}}}')
    return trunk + "\n".join([*channels, *routes, ""])


def _copy_media(folder: Path) -> None:
    """The gateway's own media, and a prompt of a minute in which no sample pair is silent: two tones."""
    shutil.copytree(ROOT / "media", folder)
    at = np.arange(LONG_PROMPT_S * RATE) / RATE
    tones = 6000 * np.sin(2 * np.pi * 440 * at) + 4000 * np.sin(2 * np.pi * 617 * at)
    with wave.open(str(folder / "prompts" / f"{LONG_PROMPT}.wav"), "wb") as prompt:
        prompt.setnchannels(1)
        prompt.setsampwidth(2)
        prompt.setframerate(RATE)
        prompt.writeframes(tones.astype("<i2").tobytes())
