"""A table of transfers by REFER: what the customer's side does with it, and what must come of it; for tests/sip.

Rows and cases are those of transfer_rows.py; in place of phones that are called there are steps of the customer's own
phone. tests/refer_play.py plays and judges them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from aiohttp import web

from tests.bot_server import Answer, BotServer, nothing, replies, text
from tests.caller import Caller
from tests.transfer_rows import NUMBER, Case, Row

Step = Callable[[Caller], Awaitable[object]]
OTHER: Final = "16123456780"
REALM, USER, PASSWORD = "carrier.example", "gw", "open sesame"
CARRIER, KNOWN, OVER_TCP = "127.0.0.2", "127.0.0.6", "127.0.0.7"
"""Addresses of the trunks: of no kind, with a password, over TCP."""
SENT: Final = {
    "headers": {"callReason": "a b&c=ü", "X-CRM-Id": "42;x"},
    "userToUser": {"data": "48656c6c6f", "purpose": "isdn-uui"},
}
"""What every switch gives to the INVITE that the customer's side is to send."""
RIDES: Final = (
    "User-to-User=0048656c6c6f%3Bencoding%3Dhex%3Bpurpose%3Disdn-uui&callReason=a%20b%26c%3D%C3%BC&X-CRM-Id=42%3Bx"
)
"""How that stands in the URI of Refer-To (RFC 3261 §19.1.1)."""

# ── What the customer's phone does ──────────────────────────────────────────────────────────────────


def answers(status: str | None = "202 Accepted", *headers: str, count: int = 1) -> Step:
    """The `count`th REFER comes, and gets this answer, or none at all."""
    return lambda phone: phone.is_referred(status, *headers, count=count)


def notifies(
    status: str | None, *headers: str, of: int | None = None, last: bool = False, body: str | None = None
) -> Step:
    """NOTIFY, which must be answered 200; `of`: it names the REFER with this number by its CSeq."""

    async def step(phone: Caller) -> None:
        cseq = (phone.referrals[of - 1].header("CSeq") or "").split(" ")[0] if of is not None else None
        event = "refer" if cseq is None else f"refer;id={cseq}"
        answer = await phone.notifies(status, *headers, last=last, event=event, body=body)
        assert answer.status == 200, answer.text

    return step


def says_last(status: str, of: int | None = None) -> Step:
    """The NOTIFY that ends the subscription."""
    return notifies(status, of=of, last=True)


def pauses(seconds: float) -> Step:
    """Nothing happens for so long."""
    return lambda phone: asyncio.sleep(seconds)


async def hangs_up(phone: Caller) -> None:
    """Its BYE."""
    await phone.hangs_up()


async def is_hung_up(phone: Caller) -> None:
    """The gateway's BYE."""
    await phone.is_hung_up(timeout_s=30)


# ── Rows and cases ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ReferRow(Row):
    """One behaviour of the customer's side."""

    steps: tuple[Step, ...] = ()
    leaves: bool = False
    """It sends BYE itself."""
    assumed: bool = False
    events: tuple[str, ...] = ()
    """Between `transfer.started` and `transfer.ended`."""
    refers_to: tuple[str, ...] = (f"sip:+{NUMBER}@{CARRIER}",)
    """Without what RIDES in it; as many as there are REFERs."""
    warns: tuple[str, ...] = ()
    """The fields that cannot be honoured, beside continueCall."""
    address: str = CARRIER
    """Of the customer's side."""
    legs: int = 0


@dataclass(frozen=True, slots=True)
class ReferCase(Case):
    """A row with continueCall on or off, and with an `onFail` or none."""

    row: ReferRow
    on_fail: Literal["hangup"] | None

    @property
    def name(self) -> str:
        """Of the test."""
        ends = f"-on-fail-{self.on_fail}" if self.on_fail else ""
        return f"{self.row.name}-{'continue' if self.continued else 'once'}{ends}".replace(" ", "-")

    @property
    def returns(self) -> bool:
        """The customer is with the bot again."""
        return not self.hangup and self.on_fail is None

    @property
    def hangup(self) -> bool:
        """The customer is gone when it ends."""
        return self.row.success or self.row.leaves

    @property
    def status(self) -> dict[str, Any]:
        """The status object that the bot must be told, but for ids, times and `detail`."""
        row = self.row
        usual = () if row.success or row.leaves else ((row.number, row.sip_status, row.reason),)
        attempts = usual if row.attempts is None else row.attempts
        given = ("continueCall",) if self.continued else ()
        return {
            "status": "SUCCESS" if row.success else "FAIL",
            "hangup": self.hangup,
            "number": row.number,
            "method": "refer",
            "reason": row.reason,
            "sipStatus": row.sip_status,
            "sipReason": row.sip_reason,
            "assumed": row.assumed,
            "endedBy": "transferred" if row.success else "customer" if row.leaves else "gateway",
            "attempts": [{"target": to, "sipStatus": said, "reason": reason} for to, said, reason in attempts],
            "hops": [],
            "warnings": [f"{name}: cannot be honoured by refer" for name in (*given, *row.warns)],
        }

    @property
    def timed(self) -> tuple[bool, bool]:
        """When they were connected nobody has told us."""
        return self.row.success, False

    @property
    def end(self) -> tuple[str, str]:
        """Cause of the call, and who ended it."""
        if self.row.success:
            return "completed/transferred", "transferred"
        if self.hangup:
            return "completed/normal", "customer"
        return ("completed/normal", "bot") if self.returns else ("gateway/unavailable", "gateway")

    @property
    def leg(self) -> tuple[str, int | None]:
        """Cause and SIP status of the customer's leg, the only one."""
        return ("completed/normal" if self.row.leaves else self.end[0]), 200

    @property
    def progress(self) -> list[str]:
        """The types of its events."""
        return ["transfer.started", *(f"transfer.{name}" for name in self.row.events), "transfer.ended"]

    @property
    def reply(self) -> dict[str, Any]:
        """The switch reply."""
        given = dict(self.row.switch)
        whom = {} if given.keys() & {"targets", "sipUri", "phoneNumber"} else {"phoneNumber": NUMBER}
        fails = {"onFail": self.on_fail} if self.on_fail else {}
        return {"type": "switch", "method": "refer", "continueCall": self.continued, **whom, **fails, **SENT, **given}


def refer_cases(rows: Iterable[ReferRow]) -> tuple[ReferCase, ...]:
    """Each row with continueCall off and on; where the customer is still there after it, with and without onFail."""
    both = (False, True)
    chosen = [
        (row, continued, on_fail)
        for row in rows
        for on_fail in ((None,) if row.success or row.leaves else (None, "hangup"))
        for continued in both
    ]
    return tuple(
        ReferCase(row=row, continued=continued, index=index, address=row.address, ports=(0, 0), on_fail=on_fail)
        for index, (row, continued, on_fail) in enumerate(chosen)
    )


def refer_plan(bot_port: int) -> str:
    """The gateway's plan: a trunk for each address."""
    auth = f"{{username: {USER}, realm: {REALM}, password: {{env: CARRIER_PASSWORD}}}}"
    return f"""
trunks:
  carrier: {{host: {CARRIER}, allow: [{CARRIER}/32]}}
  known: {{host: {KNOWN}, allow: [{KNOWN}/32], auth: {auth}}}
  stream: {{host: {OVER_TCP}, allow: [{OVER_TCP}/32], transport: tcp}}
channels:
  reception: {{bot: {{type: webhook, url: "http://127.0.0.1:{bot_port}/bot"}}}}
routes: [{{to: "*", channel: reception}}]
destinations: {{allow: ["+1612"], hosts: [127.0.9.9], limits: {{per_minute: 1000}}}}
"""


def instruct_for_refer(bot: BotServer, cases: Iterable[ReferCase]) -> None:
    """It says a word, asks for the case's transfer, and ends the call when the customer is back."""
    known = {case.called: case for case in cases}

    def by_case(what: Callable[[ReferCase], Answer]) -> Answer:
        async def answer(request: web.Request) -> web.StreamResponse:
            return await what(known[(await request.json())["call"]["to"]])(request)

        return answer

    back = replies(text("You are back with me."), {"type": "hangup"})
    bot.on("start", by_case(lambda case: replies(text("One moment, please."), case.reply)))
    bot.on("transfer", by_case(lambda case: back if case.returns else nothing()))
