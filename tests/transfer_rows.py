"""A table of transfers: what a row and a case are, and the plan and the bot that go with them; for tests/sip.

A row is one behaviour of the phones that are called; a case is a row with continueCall on or off. Cases do not disturb
each other: each has phones at an address of its own, a trunk, and a number that its customer calls, by which the bot
knows what to say. tests/transfer_play.py plays and judges them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from aiohttp import web

from tests.bot_server import Answer, BotServer, nothing, replies, text
from tests.sipp_agent import REALM, USER
from tests.wire import free_port

NUMBER: Final = "16123456789"
COLLEAGUE: Final = "@colleague@"
"""In a scenario: where the second phone of the row is."""


class Sound(Enum):
    """What somebody hears."""

    RINGBACK = "440 + 480 Hz and nothing of the agent"
    AGENT = "the agent's tone and no other"
    CUSTOMER = "the customer's tone and no other"
    BOTH = "the agent's tone, and music"
    MUSIC = "something that is none of the tones"
    SPEECH = "somebody who talks"
    SILENCE = "nothing"


@dataclass(frozen=True, slots=True)
class Span:
    """What is heard between two moments: a message of the first phone (`SippAgent.at`), `told` (the bot is told how the
    transfer ended), `end` (the customer is gone). `phone`: another one."""

    since: str
    until: str
    customer: Sound | None
    agent: Sound | None = None
    phone: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One behaviour of who is called, and what must come of it, whatever continueCall says."""

    name: str
    phones: tuple[tuple[str, ...], ...]
    """The steps of each phone; the first one is where the trunk leads. Without any, nobody listens there."""
    reason: str
    sip_status: int | None
    sip_reason: str | None
    spans: tuple[Span, ...] = ()
    success: bool = False
    ended_by: str = "gateway"
    rings: bool = True
    """A provisional response comes."""
    answers: bool = False
    """A final 200 comes in time, to whatever end."""
    ring_s: float = 0.0
    talk_s: float = 0.0
    leg: tuple[str, int | None] = ("completed/normal", 200)
    """Cause and SIP status of the (last) agent's leg in the CDR."""
    attempts: tuple[tuple[str, int | None, str], ...] | None = None
    """(target, sipStatus, reason); None: of success none, else the one that the rest of the row tells of."""
    number: str = NUMBER
    """Whom the status names."""
    detail: str = ""
    """What its `detail` has to contain; "": there is none."""
    legs: int = 1
    """How many legs of agents the CDR has."""
    leaves_after: str | None = None
    """The customer hangs up soon after this event."""
    switch: tuple[tuple[str, Any], ...] = ()
    """More fields of the switch reply."""
    method: str = "invite"
    transport: str = "udp"
    password: str | None = None
    """Name of the variable with the trunk's password."""


@dataclass(frozen=True, slots=True)
class Case:
    """A row with continueCall on or off, and where it takes place."""

    row: Row
    continued: bool
    index: int
    address: str
    ports: tuple[int, int]

    @property
    def name(self) -> str:
        """Of the trunk and of the test."""
        return f"{self.row.name}-{'continue' if self.continued else 'once'}".replace(" ", "-")

    @property
    def called(self) -> str:
        """What its customer dials."""
        return f"+1212555{self.index:04}"

    @property
    def hangup(self) -> bool:
        """The customer is gone when it ends."""
        return self.row.leaves_after is not None

    def placed(self, words: str) -> str:
        """With the second phone's address in its place."""
        return words.replace(COLLEAGUE, f"{self.address}:{self.ports[1]}")

    @property
    def status(self) -> dict[str, Any]:
        """The status object that the bot must be told, but for ids, times and `detail`."""
        row = self.row
        usual = () if row.success or self.hangup else ((row.number, row.sip_status, row.reason),)
        attempts = usual if row.attempts is None else row.attempts
        return {
            "status": "SUCCESS" if row.success else "FAIL",
            "hangup": self.hangup,
            "number": self.placed(row.number),
            "method": row.method,
            "reason": row.reason,
            "sipStatus": row.sip_status,
            "sipReason": row.sip_reason,
            "assumed": False,
            "endedBy": row.ended_by,
            "attempts": [
                {"target": self.placed(target), "sipStatus": status, "reason": reason}
                for target, status, reason in attempts
            ],
            "hops": [],
            "warnings": [],
        }

    @property
    def timed(self) -> tuple[bool, bool]:
        """Whether the status says when it was answered, and when they were connected."""
        return self.row.answers, self.row.success

    @property
    def leg(self) -> tuple[str, int | None]:
        """Cause and SIP status of the last leg in the CDR."""
        return self.row.leg

    @property
    def end(self) -> tuple[str, str]:
        """Cause of the call, and who ended it."""
        if self.hangup:
            return "completed/normal", "customer"
        if self.continued:
            return "completed/normal", "bot"
        return ("completed/normal", "agent") if self.row.success else ("gateway/unavailable", "gateway")

    @property
    def progress(self) -> list[str]:
        """The types of its events."""
        row = self.row
        some = {"ringing": row.rings, "answered": row.answers, "bridged": row.success}
        return ["transfer.started", *(f"transfer.{name}" for name, so in some.items() if so), "transfer.ended"]

    @property
    def trunk(self) -> str:
        """Its line in the plan."""
        auth = f", auth: {{username: {USER}, realm: {REALM}, password: {{env: {self.row.password}}}}}"
        more = f", transport: {self.row.transport}" + (auth if self.row.password else "")
        return f'  "{self.name}": {{host: "{self.address}:{self.ports[0]}", region: US{more}}}'

    @property
    def reply(self) -> dict[str, Any]:
        """The switch reply."""
        fields = {"phoneNumber": NUMBER, "trunk": self.name, "continueCall": self.continued, "method": self.row.method}
        return {"type": "switch", **fields, **dict(self.row.switch)}


def cases_of(rows: Iterable[Row]) -> tuple[Case, ...]:
    """Each row twice; with addresses and ports that are free now."""
    cases = []
    for index, (row, continued) in enumerate((row, continued) for row in rows for continued in (False, True)):
        address = f"127.0.{20 + continued}.{index // 2 + 1}"
        cases.append(Case(row, continued, index, address, (free_port(address), free_port(address))))
    return tuple(cases)


def plan_of(cases: Iterable[Case], bot_port: int) -> str:
    """The gateway's plan for them."""
    trunks = "\n".join(case.trunk for case in cases)
    return f"""
trunks:
  carrier: {{host: 127.0.0.2, allow: [127.0.0.2/32]}}
{trunks}
channels:
  reception: {{bot: {{type: webhook, url: "http://127.0.0.1:{bot_port}/bot"}}}}
routes: [{{to: "*", channel: reception}}]
destinations: {{allow: ["+1612"], limits: {{per_minute: 1000}}}}
"""


def instruct(bot: BotServer, cases: Iterable[Case]) -> None:
    """It says a word, asks for the case's transfer, and ends the call when the customer is back."""
    known = {case.called: case for case in cases}

    def by_case(what: dict[bool, Any]) -> Answer:
        async def answer(request: web.Request) -> web.StreamResponse:
            case = known[(await request.json())["call"]["to"]]
            chosen: Answer = what[case.continued](case)
            return await chosen(request)

        return answer

    start = lambda case: replies(text("One moment, please."), case.reply)  # noqa: E731
    back = lambda case: replies(text("You are back with me."), {"type": "hangup"})  # noqa: E731
    bot.on("start", by_case({False: start, True: start}))
    bot.on("transfer", by_case({False: lambda case: nothing(), True: back}))
