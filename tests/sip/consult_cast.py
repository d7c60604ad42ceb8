"""A customer, two agents and their desktop, many times over in one gateway; for races and stress of consults."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from tests.bot_server import BotServer, nothing, replies
from tests.callee import Callee
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.operators import Operator, switchhook
from tests.party import AGENT_HZ, CONSULTANT_HZ, CUSTOMER_HZ
from tests.sip.choir import Choir
from tests.sip.consult_table import Where
from tests.sip.office import Office
from tests.sip.transfer_cells import ANN, BOB, Place
from tests.wire import CARRIER, Wire, ladder

PATHS: Final[Mapping[str, tuple[str, str]]] = {
    "consult": ("POST", "/consult"), "swap": ("POST", "/swap"), "merge": ("POST", "/merge"),
    "forward": ("POST", "/forward"), "end-consult": ("DELETE", "/consult"), "transfer": ("POST", "/transfer"),
    "cancel-transfer": ("DELETE", "/transfer"), "hold": ("POST", "/hold"), "unhold": ("POST", "/unhold"),
    "hangup": ("DELETE", ""),
}  # fmt: skip
_OVER: Final = ("consult.ended", "consult.failed", "consult.forwarded")
_READS_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Look:
    """What the API said of a call (None: it is not live); asked at `sent_s`, known at `got_s` (time.monotonic())."""

    sent_s: float
    got_s: float
    call: dict[str, Any] | None


class Desktop:
    """Everybody's browser, with several keys, as each may ask 50 things a second; it looks at all calls all the time.

    What reads the history waits its turn: the gateway keeps the connections to its database that many at once make it
    open.
    """

    def __init__(self, operators: Sequence[Operator], url: str, looks_every_s: float) -> None:
        self.operators, self._url, self._looks_every_s = operators, url, looks_every_s
        self.looks: dict[str, list[Look]] = {}
        """By channel, since it is watched."""
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
        self._headers = itertools.cycle([one.headers for one in operators])
        self._reads = asyncio.Semaphore(_READS_AT_ONCE)
        self._looked, self._wanted = asyncio.Condition(), asyncio.Event()
        self._last = Look(0.0, 0.0, None)

    async def __aenter__(self) -> Self:
        self._looking = asyncio.create_task(self._look(), name="desktop")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._looking.cancel()
        await asyncio.wait({self._looking})
        await self._session.close()

    async def _look(self) -> None:
        while True:
            await self._wanted.wait()
            sent_s = time.monotonic()
            _, told = await self.asks("GET", "/v1/calls?limit=500")
            calls, got_s = {call["channel"]: call for call in told["items"]}, time.monotonic()
            for channel, looks in self.looks.items():
                looks.append(Look(sent_s, got_s, calls.get(channel)))
            async with self._looked:
                self._last = Look(sent_s, got_s, None)
                self._looked.notify_all()
            await asyncio.sleep(max(0.02, sent_s + self._looks_every_s - time.monotonic()))

    def watches(self, channel: str, on: bool = True) -> None:
        """Look at the calls of this channel, or no more."""
        if on:
            self.looks[channel] = []
            self._wanted.set()
        else:
            self.looks.pop(channel, None)
            if not self.looks:
                self._wanted.clear()

    async def sees(self, channel: str) -> dict[str, Any] | None:
        """The call of this channel as it is now; None when it is over."""
        now, looks = time.monotonic(), self.looks[channel]
        async with self._looked, asyncio.timeout(20):
            await self._looked.wait_for(lambda: self._looking.done() or (self._last.sent_s >= now and looks != []))
        if self._looking.done():
            self._looking.result()
        return looks[-1].call

    async def asks(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the JSON of the answer. One who asks too often asks again with another key."""
        while True:
            headers = next(self._headers)
            async with self._session.request(method, self._url + path, json=body, headers=headers) as answer:
                told = await answer.json(content_type=None)
            if answer.status != 429:
                return answer.status, told
            await asyncio.sleep(0.05)

    async def reads(self, path: str) -> Any:
        """What is there."""
        async with self._reads:
            status, told = await self.asks("GET", path)
        assert status == 200, (path, status, told)
        return told


@asynccontextmanager
async def desktop_of(gateway: GatewayProcess, keys: int, looks_every_s: float = 0.06) -> AsyncIterator[Desktop]:
    """One with so many keys. It has asked for several things at once already: the store keeps the connections that it
    opened for that."""
    scopes = ("--scope", "calls:read", "--scope", "calls:control")
    names = [f"desktop-{number}" for number in range(keys)]
    texts = [await switchhook(gateway.folder, "keys", "add", name, *scopes, env=gateway.env) for name in names]
    async with Desktop([Operator(gateway, text) for text in texts], gateway.api, looks_every_s) as desktop:
        asked = ("cdrs", "calls/call_0", "calls", "calls/call_0/events")
        await asyncio.gather(*(desktop.asks("GET", f"/v1/{asked[n % 4]}") for n in range(40)))
        gateway.idle = await _settled(gateway)
        yield desktop


async def _settled(gateway: GatewayProcess, within_s: float = 10.0) -> dict[str, int]:
    """What it holds, once that has not changed for half a second."""
    deadline, before = time.monotonic() + within_s, await gateway.held()
    while True:
        await asyncio.sleep(0.5)
        if (now := await gateway.held()) == before:
            return now
        assert time.monotonic() < deadline, f"still {before}, {now}"
        before = now


class Phone(Callee):
    """One that rings at once, or is busy with another call unless it has `two_lines`; gives each INVITE one final
    answer, whatever crosses it (RFC 3261 §9.2); and sends nothing when it is hung up."""

    two_lines = False

    def __init__(self, address: str, port: int) -> None:
        super().__init__(address, port)
        self.rung: list[Wire] = []
        """The INVITEs that it rang for."""
        self._final: set[str] = set()

    async def is_called(self, count: int = 1, timeout_s: float = 10.0) -> Wire:
        """Of Callee; the `count`th that it rings for."""
        await self.comes(lambda: len(self.rung) >= count, f"INVITE {count}", timeout_s)
        self._invite = self.rung[count - 1]
        self.ear.peer = None if self.call_is_over(self._invite) else self._invite.media  # the port is another's by now
        return self._invite

    def take(self, data: bytes, reply: Callable[[bytes], object], *, tcp: bool = False) -> None:
        """Of Callee."""
        came, present = Wire(False, data.decode(errors="replace")), self._invite
        called = came.start.startswith("INVITE ")
        known = len(self.invites) if called else 0
        if came.start.startswith("CANCEL "):
            branch = came.header("Via")
            self._invite = next((one for one in self.invites if one.header("Via") == branch), present)
        super().take(data, reply, tcp=tcp)
        self._invite = present
        if came.start.startswith("BYE ") and present and came.header("Call-ID") == present.header("Call-ID"):
            self.ear.peer = None
        if called and len(invites := self.invites) > known:
            free = self.two_lines or all(map(self.call_is_over, invites[:-1]))
            self._respond(invites[-1], "180 Ringing" if free else "486 Busy Here")
            self.rung += invites[-1:] if free else []
            self._news.set()

    async def hangs_up(self, *headers: str) -> Wire:
        """Of Callee."""
        self.ear.peer = None
        return await super().hangs_up(*headers)

    def _respond(self, request: Wire, status: str, headers: tuple[str, ...] = (), body: str = "") -> None:
        branch = request.header("Via") or ""
        if request.method == "INVITE" and status >= "2":
            if branch in self._final:
                return
            self._final.add(branch)
            if status >= "3" and request is self._invite:
                self.ear.peer = None
        super()._respond(request, status, headers, body)

    def call_is_over(self, invite: Wire) -> bool:
        """It was refused (or cancelled, which is answered so), or somebody has said BYE."""
        mine = [m for m in self.messages if m.header("Call-ID") == invite.header("Call-ID")]
        refused = any(m.sent and m.status >= 300 and m.method == "INVITE" for m in mine)
        return refused or any(m.start.startswith("BYE ") for m in mine)


class Customer(Caller):
    """One who sends nothing when they are hung up: the gateway's port is soon another call's."""

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Of asyncio."""
        if data.startswith(b"BYE "):
            self.ear.is_silent()
        super().datagram_received(data, addr)


class Cast:
    """One call of a place: `async with` opens the phones and the bot; at its end all are released."""

    def __init__(self, place: Place, gateway: GatewayProcess, desktop: Desktop, choir: Choir) -> None:
        self.place, self.desktop = place, desktop
        self.bot = BotServer(port=place.bot_port)
        self.office = Office(gateway, self.bot, desktop.operators[0], place)
        self.customer, self.ann, self.bob = Customer(gateway), Phone(ANN, place.ann_port), Phone(BOB, place.bob_port)
        self.office.customer, self.office.ann, self.office.bob = self.customer, self.ann, self.bob
        for phone, address, hz in (
            (self.customer, CARRIER, CUSTOMER_HZ), (self.ann, ANN, AGENT_HZ), (self.bob, BOB, CONSULTANT_HZ),
        ):  # fmt: skip
            phone.ear = choir.singer(address)
            phone.ear.sings(hz)
        self.id = ""
        self.ordered: list[tuple[float, float]] = []
        """From when to when (time.monotonic()) commands were under way."""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.desktop.watches(f"c{self.place.number}")
        self._stack.callback(self.desktop.watches, f"c{self.place.number}", on=False)
        for one in (self.bot, self.customer, self.ann, self.bob):
            await self._stack.enter_async_context(one)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    # ── what is done ────────────────────────────────────────────────────────────────────────────────

    async def begins(self, **switch: Any) -> None:
        """The customer talks to Ann."""
        self.bot.on("start", replies({"type": "switch", "agent": f"ann{self.place.number}", **switch}))
        self.bot.on("*", nothing())
        await self.customer.calls(self.place.number)
        await self.ann.is_called()
        await self.ann.answers()
        await self.is_seen(lambda call: call["state"] == "talking", "that they talk")

    async def orders(self, word: str, body: Any = None) -> tuple[int, Any]:
        """A command of the API."""
        method, path = PATHS[word]
        began_s = time.monotonic()
        if body is None and word in ("consult", "transfer"):
            body = {"agent": f"bob{self.place.number}"}
        told = await self.desktop.asks(method, f"/v1/calls/{self.id}{path}", body)
        self.ordered.append((began_s, time.monotonic()))
        return told

    async def happens(self, step: str) -> None:
        """Somebody does something at their phone, who may not be in the call any more."""
        match step:
            case "customer-leaves":
                if not any(message.start.startswith("BYE ") for message in self.customer.messages):
                    self.customer.ear.is_silent()
                    await self.customer.hangs_up()
            case "agent-leaves":
                if not self.ann.call_is_over(self.ann.invites[-1]):
                    await self.ann.hangs_up()
            case "consultant-leaves":
                if self.bob.invites and not self.bob.call_is_over(self.bob.invites[-1]):
                    await self.bob.hangs_up()
            case "busy":
                self.bob.responds("486 Busy Here")
            case "answer":
                self.bob.responds("200 OK", sdp=True)

    # ── what is seen ────────────────────────────────────────────────────────────────────────────────

    async def seen(self) -> dict[str, Any] | None:
        """The call as the API shows it; None when it is over."""
        call = await self.desktop.sees(f"c{self.place.number}")
        if call is not None:
            self.id = call["id"]
        return call

    async def is_seen(self, so: Callable[[dict[str, Any]], bool], what: str, timeout_s: float = 20.0) -> None:
        """Wait until the API shows it."""
        deadline = time.monotonic() + timeout_s
        while (call := await self.seen()) is None or not so(call):
            assert time.monotonic() < deadline, f"{what} was not seen: {call}"

    async def proof(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The history and the CDR of a call that is over: what began has ended once, the CDR is there and says the
        same, nobody is left at a phone."""
        path = f"/v1/calls/{self.id}"
        async with asyncio.timeout(15):  # the record is written a moment after the end
            while (cdr := (await self.desktop.reads(path))["cdr"]) is None:
                await asyncio.sleep(0.1)
        events = list((await self.desktop.reads(f"{path}/events?limit=500"))["items"])
        types = [event["type"] for event in events]
        assert (types.count("call.ended"), types.count("call.started")) == (1, 1), types
        for noun, ends in (("transfer", ("transfer.ended",)), ("consult", _OVER)):
            began = [event["data"][f"{noun}Id"] for event in events if event["type"] == f"{noun}.started"]
            ended = [event["data"][f"{noun}Id"] for event in events if event["type"] in ends]
            assert sorted(began) == sorted(ended) and len(set(began)) == len(began), (noun, types)
        assert cdr["transfers"] == [event["data"] for event in events if event["type"] == "transfer.ended"]
        assert [leg for leg in cdr["legs"] if leg["leftAt"] is None] == []
        for phone in (self.ann, self.bob):
            left = [invite.header("Call-ID") for invite in phone.invites if not phone.call_is_over(invite)]
            assert left == [], f"{left} is not over:\n{ladder(phone.messages)}"
        return events, cdr


def shown(call: dict[str, Any] | None) -> tuple[str, str, bool, bool]:
    """As `Where.shown`."""
    if call is None or not call["allowed"]:
        return Where(state="ended").shown
    held = any(leg["held"] for leg in call["legs"] if leg["role"] == "customer")
    consult = call["consultState"] if call["state"] == "talking" else "-"
    return call["state"], consult, held, "cancel-transfer" in call["allowed"]


def hearing_of(call: dict[str, Any], phones: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """Who hears whom as the API has it; `phones` names the legs."""
    names = {**phones, "music:tones/ringback": "ringback", "music:hold/calm": "music"}
    heard: dict[str, set[str]] = {}
    for leg in call["legs"]:
        if leg["state"] == "connected":
            heard[phones[leg["legId"]]] = set()
    for edge in call["hearing"]:
        heard[phones[edge["sink"]]].add(names.get(edge["source"], edge["source"]))
    return {who: frozenset(sources) for who, sources in heard.items()}
