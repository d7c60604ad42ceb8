"""The cells of the transfers' matrix: who disappears when, and what stands in the plan for it; for tests/sip."""

import contextlib
import random
import socket
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple


class Moment(StrEnum):
    """Where the transfer is when the party disappears."""

    PLAYING_OUT = "playing-out"
    UNHEARD = "unheard"
    """The INVITE is out, and nothing came back at all."""
    UNHEARD_200 = "unheard-200"
    """The same, and the first thing that comes, too late, is a 200."""
    DIALLING = "dialling"
    RINGING = "ringing"
    EARLY_MEDIA = "early-media"
    EARLY_SILENCE = "early-silence"
    """A 183 promises media, and none come."""
    DIGITS = "digits"
    ANNOUNCING = "announcing"
    ACCEPTING = "accepting"
    PARALLEL = "parallel"
    """Bob's phone rings while Ann is being briefed."""
    BRIDGED = "bridged"
    ENDED = "ended"
    """Ann has hung up, and the bot thinks about what it was told."""
    SURVEY = "survey"
    """Ann has hung up, and the survey's bot thinks about its `start`."""


class Party(StrEnum):
    """Who disappears, and how."""

    CUSTOMER = "customer-hangs-up"
    CUSTOMER_DEAD = "customer-dead"
    ANN = "agent-hangs-up"
    ANN_DEAD = "agent-dead"
    BOB = "other-agent-declines"
    BOT_CLOSED = "bot-closed"
    BOT_500 = "bot-500"
    BOT_SILENT = "bot-silent"


M, P = Moment, Party
ANN, BOB = "127.0.0.4", "127.0.0.5"
"""Where the agents' phones are."""
BEFORE_ANSWER: Final = (M.UNHEARD, M.DIALLING, M.RINGING, M.EARLY_MEDIA, M.EARLY_SILENCE)
SCREENING: Final = (M.DIGITS, M.ANNOUNCING, M.ACCEPTING, M.PARALLEL)
AFTERWARDS: Final = (M.ENDED, M.SURVEY)
BOTS: Final = (P.BOT_CLOSED, P.BOT_500, P.BOT_SILENT)
MORE: Final[dict[Moment, dict[str, Any]]] = {
    M.EARLY_MEDIA: {"ringback": "earlyMedia"},
    M.EARLY_SILENCE: {"ringback": "earlyMedia"},
    M.DIGITS: {"postDialDigits": "1WW2", "accept": {"prompt": "goodbye", "timeoutMs": 1000}},
    M.ANNOUNCING: {"announce": {"prompt": "accept"}, "accept": {"prompt": "goodbye", "timeoutMs": 1000}},
    M.ACCEPTING: {"accept": {"prompt": "goodbye", "timeoutMs": 1000}},
    M.PARALLEL: {"strategy": "parallel", "accept": {"prompt": "goodbye", "timeoutMs": 1000}},
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One of the matrix."""

    moment: Moment
    party: Party
    returns: bool
    """`continueCall`."""

    def __str__(self) -> str:
        return f"{self.moment}/{self.party}/{'returns' if self.returns else 'ends'}"

    @property
    def slow(self) -> bool:
        """Only the RTP watchdog (30 s) sees that this party is gone."""
        return self.party is P.CUSTOMER_DEAD or (self.party is P.ANN_DEAD and self.moment is M.BRIDGED)


@dataclass(frozen=True, slots=True)
class Place:
    """What a story has in the plan."""

    number: str
    bot_port: int
    ann_port: int
    bob_port: int


def plan_of(places: list[Place]) -> str:
    """A dialplan with all of them."""
    lines = ["trunks:", "  carrier: {host: 127.0.0.2, allow: [127.0.0.2/32]}"]
    lines += [f'  {name}: {{host: {at}, allow: ["{at}/32"]}}' for name, at in (("people", ANN), ("others", BOB))]
    lines.append("channels:")
    for at in places:
        for name, path in ((f"c{at.number}", "bot"), (f"s{at.number}", "bot?survey")):
            bot = f'bot: {{type: webhook, url: "http://127.0.0.1:{at.bot_port}/{path}", timeout_s: 1}}'
            lines.append(f"  {name}: {{{bot}, trunk: people, fallback: {{prompt: goodbye}}}}")
    lines.append("routes:")
    lines += [f'  - {{to: "{at.number}", channel: c{at.number}}}' for at in places]
    lines.append("agents:")
    for at in places:
        for name, address, port, trunk in (("a", ANN, at.ann_port, "people"), ("b", BOB, at.bob_port, "others")):
            target = f'target: "sip:{name}{at.number}@{address}:{port}"'
            lines.append(f"  {name}{at.number}: {{name: Somebody, {target}, trunk: {trunk}}}")
    lines.append("destinations: {limits: {per_minute: 100000}}")
    return "\n".join(lines) + "\n"


def places(count: int) -> list[Place]:
    """So many, with numbers from 1000 on and ports that nobody has at this moment."""
    ports = (
        _free_ports("127.0.0.1", socket.SOCK_STREAM, count),
        _free_ports(ANN, socket.SOCK_DGRAM, count),
        _free_ports(BOB, socket.SOCK_DGRAM, count),
    )
    return [Place(str(1000 + index), *three) for index, three in enumerate(zip(*ports, strict=True))]


def _free_ports(address: str, kind: int, count: int) -> list[int]:
    """So many ports that nobody has at this moment, none of those that the system gives to who asks for any."""
    ports: list[int] = []
    for port in random.sample(range(10_000, 20_000), 10_000):
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind((address, port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise OSError(f"{address} has no {count} free ports")


class Told(NamedTuple):
    """What the bot is told of the transfer, and who ended the call."""

    status: str
    hangup: bool
    reason: str
    ended_by: str


def expected(cell: Cell) -> Told | None:
    """transfer.md, "The status event"; None where no transfer begins."""
    moment, party = cell.moment, cell.party
    by_bot = "gateway" if party in BOTS else "bot"  # who takes the customer back, and then says goodbye
    if party in (P.CUSTOMER, P.CUSTOMER_DEAD) and moment not in AFTERWARDS:
        if moment is M.PLAYING_OUT:
            return None
        if moment is M.BRIDGED:
            return Told("SUCCESS", True, "completed", "customer")
        return Told("FAIL", True, "caller-abandoned", "customer")
    if party in (P.ANN, P.ANN_DEAD) and moment in (*BEFORE_ANSWER, *SCREENING) and moment is not M.PARALLEL:
        reason = "not-accepted" if moment in SCREENING else "busy" if party is P.ANN else "no-answer"
        return Told("FAIL", False, reason, "bot" if cell.returns else "gateway")
    if party is P.ANN_DEAD and moment is M.BRIDGED:
        return Told("SUCCESS", False, "media-failed", "bot" if cell.returns else "gateway")
    if moment in AFTERWARDS:
        return Told("SUCCESS", False, "completed", "customer" if party is P.CUSTOMER else by_bot)
    return Told("SUCCESS", False, "completed", by_bot if cell.returns else "agent")
