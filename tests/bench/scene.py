"""The stage of a figure: a gateway of its own, the bot, the callers' RTP, in a temporary folder; for every figure."""

import itertools
import json
import os
import re
import shutil
import sys
import urllib.request
import wave
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from tests.bench.bot import LONG_PROMPT
from tests.bench.children import BenchError, Child, until
from tests.bench.sipp import Calls, Sipp

ROOT = Path(__file__).resolve().parents[2]
RATE = 8000
LONG_PROMPT_S = 60
BUILTIN, LONG, SHORT, CHURN, CACHED, FRESH, ASKED = "100", "200", "201", "300", "400", "500", "600"
"""Numbers: the built-in echo bot; prompts without end, of 60 s and of 3 s; one short prompt; a prompt at once; a
sentence that nobody has said yet; a bot that is asked before the call is answered."""

_WEBHOOKS = {LONG: "long", SHORT: "short", CHURN: "churn", CACHED: "cached", FRESH: "fresh", ASKED: "asked"}
_MOST_CALLS = 1150
_SENT = 0.9
_READY = re.compile(r"udp:[^ ,]*:(\d+).* api=(\S+)")

Say = Callable[[str], None]


class Scene:
    """`with Scene(name, say) as scene:` has everything running; leaving it ends everything."""

    def __init__(self, name: str, folder: Path, say: Say, *, mute: bool = False, journal: bool = True) -> None:
        """`folder` must exist; the scene makes one of its own in it. `mute` callers send no RTP.
        Without `journal` the gateway is told of its calls, but keeps nothing (composed.py)."""
        self.say, self._mute, self._journal = say, mute, journal
        self.folder = folder / name
        self._stack = ExitStack()
        self._number = itertools.count(1)
        self._bot_port = self.rtp_port = self.sip_port = 0
        self.api = ""
        self._callers: Child | None = None
        self._gateway: Child | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir()
        _copy_media(self.folder / "media")
        try:
            self._bot_port = int(self._start("bot.py").line(15))
            self._callers = self._start("callers.py", *(["mute"] if self._mute else []))
            self.rtp_port = int(self._callers.line(15))
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

    def answered_at(self) -> dict[str, list[float]]:
        """When the bot answered each `start`, by path."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._bot_port}/times", timeout=10) as answer:
            times: dict[str, list[float]] = json.load(answer)
        return times

    def stop_callers(self) -> dict[str, float]:
        """End the callers' RTP: what they did. Raises BenchError if they did not send about as much as they heard."""
        if self._callers is None:
            raise RuntimeError("the scene has not begun")
        self._callers.ask_to_end()
        told: dict[str, float] = json.loads(self._callers.line(5))
        if told["sent"] < _SENT * told["received"]:
            raise BenchError(f"the callers sent {told['sent']} packets of RTP and received {told['received']}")
        return told

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _start(self, script: str, *arguments: str) -> Child:
        command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
        return self._stack.enter_context(Child(script, command, self.folder / f"{script}.err", cwd=ROOT))

    def _start_gateway(self) -> None:
        plan = self.folder / "plan.yaml"
        plan.write_text(_plan(self._bot_port))
        serve = ["gateway", "serve", "--log", "json", "--dialplans"] if self._journal else ["tests.bench.composed"]
        command = [sys.executable, "-m", *serve, str(plan)]
        env = _environment(self.folder, self.store_url)
        gateway = Child("the gateway", command, self.folder / "gateway.log", cwd=ROOT, env=env)
        self._gateway = self._stack.enter_context(gateway)
        ready = _READY.search(line := gateway.line(30))
        if ready is None:
            raise BenchError(f"the gateway says {line!r}, not where it listens")
        self.sip_port, self.api = int(ready[1]), ready[2]


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


def _plan(bot_port: int) -> str:
    trunk = "trunks:\n  loopback: {host: 127.0.0.1, allow: [127.0.0.0/8], codecs: [PCMU]}\n"
    channels = ["channels:", "  builtin: {bot: {type: builtin, name: echo}}"]
    routes = ["routes:", f'  - {{to: "{BUILTIN}", trunk: loopback, channel: builtin}}']
    for number, name in _WEBHOOKS.items():
        bot = f'{{type: webhook, url: "http://127.0.0.1:{bot_port}/{name}", secret: {{env: BENCH_SECRET}}}}'
        channels.append(f"  {name}: {{bot: {bot}, answer: {'bot' if number == ASKED else 'immediately'}}}")
        routes.append(f'  - {{to: "{number}", trunk: loopback, channel: {name}}}')
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
