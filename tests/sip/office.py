"""An office behind the gateway: Ann and Bob at their phones, a customer, a bot; for tests of phones that transfer.

Each place (transfer_cells.py) has a bot, Ann at extension 7…, Bob at 8…, and a number for customers.
"""

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from tests.bot_server import BotServer, replies
from tests.callee import Callee
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.operators import Operator
from tests.sip.transfer_cells import ANN, BOB, Place
from tests.spectrum import has_tone
from tests.wire import CARRIER

OUTSIDE, PASSING = "127.0.0.6", "127.0.0.7"
"""Where outside numbers are called; whence customers come who may pass the call on."""
ALLOWED, DENIED = "+16125550111", "+16129005555"


def office_plan(places: list[Place], outside_port: int = 5060, ann: str | None = None) -> str:
    """A dialplan with all of them. `ann`: the SIP URI of another phone of theirs."""
    lines = [
        "trunks:",
        f"  carrier: {{host: {CARRIER}}}",
        f"  passing: {{host: {PASSING}, accept_refer: true}}",
        f'  office: {{host: {ANN}, allow: ["{ANN}/32", "{BOB}/32", 127.0.0.1/32]}}',
        f'  outside: {{host: "{OUTSIDE}:{outside_port}"}}',
        "channels:",
    ]
    for at in places:
        bot = f'bot: {{type: webhook, url: "http://127.0.0.1:{at.bot_port}/bot", timeout_s: 2}}'
        lines.append(f"  c{at.number}: {{{bot}, trunk: outside, fallback: {{prompt: goodbye}}}}")
    lines.append("agents:")
    for at in places:
        for prefix, name, address, port in (("7", "Ann", ANN, at.ann_port), ("8", "Bob", BOB, at.bob_port)):
            usual = f"sip:{prefix}{at.number}@{address}:{port}"
            target = f'target: "{ann if ann and name == "Ann" else usual}"'
            may = "may: [consult, forward, external]"
            lines.append(f"  {name.lower()}{at.number}: {{name: {name}, {target}, trunk: office, {may}}}")
    lines.append("routes:")
    for at in places:
        for prefix, name in (("7", "ann"), ("8", "bob")):
            lines.append(f'  - {{to: "{prefix}{at.number}", trunk: office, agent: {name}{at.number}}}')
        lines.append(f'  - {{to: "{at.number}", channel: c{at.number}}}')
    lines.append(f'destinations: {{allow: ["+1612"], deny: ["{DENIED[:8]}"], limits: {{per_minute: 100000}}}}')
    return "\n".join(lines) + "\n"


class Office:
    """Everybody at one place. `async with` opens the phones; the bot is somebody else's."""

    def __init__(
        self, gateway: GatewayProcess, bot: BotServer, operator: Operator, place: Place, customers: str = CARRIER
    ) -> None:
        self.gateway, self.bot, self.operator, self.place = gateway, bot, operator, place
        self.customer = Caller(gateway, customers)
        self.ann, self.bob = Callee(ANN, place.ann_port), Callee(BOB, place.bob_port)
        self.anns_call = Caller(gateway, ANN, f"7{place.number}")
        """The second line of Ann's phone."""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for phone in (self.customer, self.ann, self.bob, self.anns_call):
            await self._stack.enter_async_context(phone)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def gw(self, user: str) -> str:
        """A Refer-To: what dialling `user` here would mean."""
        return f"<sip:{user}@127.0.0.1:{self.gateway.udp_port}>"

    @property
    def bobs_number(self) -> str:
        """His extension."""
        return f"8{self.place.number}"

    @property
    def to_bob(self) -> str:
        """A Refer-To: him."""
        return self.gw(self.bobs_number)

    def replacing(self, phone: Caller | Callee, user: str | None = None) -> str:
        """A Refer-To: whoever is in this phone's dialog with us (RFC 3891: the tags as we have them)."""
        call_id, our_tag, their_tag = phone.dialog
        replaces = f"{call_id}%3Bto-tag%3D{our_tag}%3Bfrom-tag%3D{their_tag}".replace("@", "%40")
        return f"<sip:{user or self.bobs_number}@127.0.0.1:{self.gateway.udp_port}?Replaces={replaces}>"

    # ── what happens ────────────────────────────────────────────────────────────────────────────────

    async def is_switched_to_ann(self, **switch: Any) -> None:
        """A customer calls, and the bot switches to Ann."""
        self.bot.on("start", replies({"type": "switch", "agent": f"ann{self.place.number}", **switch}))
        await self.customer.calls(self.place.number)

    async def ann_talks(self, **switch: Any) -> None:
        """She answers, and they talk."""
        await self.is_switched_to_ann(**switch)
        await self.ann.is_called()
        self.ann.rings()
        await self.ann.answers()
        await self.notes("transfer.bridged")

    async def ann_holds(self) -> None:
        """Her phone's hold key."""
        await self.ann.reinvites("sendonly")

    async def ann_resumes(self) -> None:
        """And once more."""
        await self.ann.reinvites("sendrecv")

    async def bob_rings_for_ann(self) -> None:
        """Who has called him on her second line, and hears ringback."""
        await self.anns_call.calls(self.bobs_number)
        await self.bob.is_called()
        self.bob.rings()
        await self.notes("transfer.ringing", of=self.anns_call)

    async def ann_calls_bob(self) -> None:
        """On her second line; they talk."""
        await self.bob_rings_for_ann()
        await self.bob.answers()
        await self.notes("transfer.bridged", of=self.anns_call)

    async def call_id(self, of: Caller | None = None) -> str:
        """The gateway's name for the customer's call, or another one."""
        sip_call_id = (of or self.customer).call_id
        return str((await self.gateway.wait_for("call.started", sip_call_id=sip_call_id))["call_id"])

    async def notes(self, event: str, count: int = 1, of: Caller | None = None, **fields: Any) -> dict[str, Any]:
        """Wait for an event of the customer's call, or another one, in the log."""
        return await self.gateway.wait_for(event, count=count, call_id=await self.call_id(of), **fields)

    # ── what is proved ──────────────────────────────────────────────────────────────────────────────

    async def hear_each_other(self, *two: Caller | Callee) -> None:
        """Each of the two hears the other's tone, and none but that."""
        everybody = {self.customer: 500, self.ann: 1300, self.bob: 900, self.anns_call: 1700}
        everybody |= {phone: 2300 for phone in two if phone not in everybody}
        for phone, hz in everybody.items():
            phone.ear.sings(hz)
        await asyncio.sleep(0.3)
        heard = await asyncio.gather(*(phone.ear.listens(0.5) for phone in two))
        for phone, sound, other in zip(two, heard, reversed(two), strict=True):
            tones = {hz for hz in everybody.values() if has_tone(sound, hz)}
            assert tones == {everybody[other]}, f"{phone.address} hears {tones} and not {everybody[other]}"

    async def told(self) -> dict[str, Any]:
        """What the bot is told of the transfer, once the call is over: exactly once, and then of the hangup."""
        await self.bot.received("hangup", timeout_s=15)
        (told,) = await self.bot.received("transfer")
        assert self.bot.events[-1] == "hangup" and self.bot.events.count("hangup") == 1
        return dict(told.event["data"])

    async def history(self, of: Caller | None = None) -> list[dict[str, Any]]:
        """All that happened in a call that is over; every transfer in it that began has ended once, and the record
        says the same."""
        call_id = await self.call_id(of)
        await self.gateway.wait_for("call.ended", call_id=call_id, timeout_s=15)
        async with asyncio.timeout(5):  # the record is written a moment after the end
            while (cdr := (await self.operator.asks("GET", f"/v1/calls/{call_id}"))[1].get("cdr")) is None:
                await asyncio.sleep(0.05)
        _, told = await self.operator.asks("GET", f"/v1/calls/{call_id}/events?limit=500")
        events = list(told["items"])
        began = [event["data"]["transferId"] for event in events if event["type"] == "transfer.started"]
        ended = [event["data"]["transferId"] for event in events if event["type"] == "transfer.ended"]
        assert sorted(began) == sorted(ended) and len(set(began)) == len(began), (began, ended)
        assert cdr["transfers"] == [event["data"] for event in events if event["type"] == "transfer.ended"]
        assert [leg for leg in cdr["legs"] if leg["leftAt"] is None] == []
        return events

    async def cdr(self, of: Caller | None = None) -> dict[str, Any]:
        """The record of a call that is over."""
        _, detail = await self.operator.asks("GET", f"/v1/calls/{await self.call_id(of)}")
        return dict(detail["cdr"])
