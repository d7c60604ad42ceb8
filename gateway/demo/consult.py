"""The scene `consult`: an agent asks, swaps, merges, leaves by API; who hears whom, by ear; played by run.py."""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Final

from gateway.api.auth import Scope
from gateway.audio.pcm import pcm_of
from gateway.audio.wav import read_wav
from gateway.demo import record
from gateway.demo.cast import Cast, recording
from gateway.demo.desk import Desk, Fields, curl, open_desk
from gateway.demo.hearing import MUSIC, RATE, RINGBACK, Hearing, differences, sources, table, told, when_heard
from gateway.demo.stage import GATEWAY
from gateway.telemetry.ladder import Event
from gateway.telemetry.ladder_events import clean

CUSTOMER, LEE, BOB, MAYA = "customer", "lee", "bob", "maya"
PEOPLE: Final = (CUSTOMER, LEE, BOB, MAYA)
VOICES: Final = {CUSTOMER: 1100.0, LEE: 1500.0, BOB: 1900.0, MAYA: 2300.0}
"""Each phone's own tone in Hz; none is in the hold music or in ringback."""

_SETTLED_S, _LISTEN_MS = 0.5, 1000
_RINGS_MS: Final = 6500
"""More than a turn of the ringback tone."""
_PIECE_MS, _MARGIN_S = 250, 0.1
_HESITATES_S: Final = 0.8
"""Before a key is pressed, or a phone picked up."""
_DESK: Final = "desk"
_FOLLOWED: Final = "transfer.bridged,consult.*,leg.*,customer.left,call.ended"
_LEFT_OUT: Final = ("consultId", "transferId", "hopOf")
_WIDEST: Final = 98


def _hearing(**heard: tuple[str, ...]) -> Hearing:
    return {name: frozenset(those) for name, those in heard.items()}


_TOGETHER: Final = _hearing(customer=(LEE,), lee=(CUSTOMER,))
_HELD: Final = _hearing(customer=(MUSIC,), lee=(MUSIC,))
_RINGING: Final = _hearing(customer=(MUSIC,), lee=(RINGBACK,))
_CONSULTING: Final = _hearing(customer=(MUSIC,), lee=(BOB,), bob=(LEE,))
_SWAPPED: Final = _hearing(customer=(LEE,), lee=(CUSTOMER,), bob=(MUSIC,))
_MERGED: Final = _hearing(customer=(LEE, BOB), lee=(CUSTOMER, BOB), bob=(CUSTOMER, LEE))
_FORWARDED: Final = _hearing(customer=(BOB,), bob=(CUSTOMER,))


class Consult:
    """Customer and Lee; Maya, who is busy; Bob, who is asked, joins them, and stays with the customer."""

    parties = (CUSTOMER, GATEWAY, "bot", LEE, BOB, MAYA)
    intro = "starting the gateway and four phones; the bot hands a customer to Lee, who asks colleagues by API"
    last_words = ("try it yourself: make run, and a key as above; every command is explained at /docs of the API",)

    def __init__(self, silent: str | None = None) -> None:
        """`silent`: whose phone says nothing, which is not as planned."""
        self._silent = silent
        self._names: dict[str, str] = {}
        self._newcomer = LEE
        self._merged_at = 0.0

    async def play(self, cast: Cast) -> record.Record:
        """All of it; the record of the call. Raises DemoFailed when it does not go on."""
        self._cast, self._stage = cast, cast.stage
        async with AsyncExitStack() as stack:
            for name, options in ((LEE, ()), (BOB, ()), (MAYA, ("--refuse", "486"))):
                await stack.enter_async_context(cast.waiting(name, *options))
            ports = {name: await cast.port(name) for name in (LEE, BOB, MAYA)}
            node = await stack.enter_async_context(cast.gateway(ports))
            desk = await stack.enter_async_context(open_desk(node.api, Scope.CALLS_READ, Scope.CALLS_CONTROL))
            self._desk: Desk = desk
            async with cast.calling(CUSTOMER, node):
                await self._is_handed_to_lee()
                async with desk.following(self._call, _FOLLOWED, self._tell):
                    await self._talks_to_lee()
                    await self._is_on_hold()
                    await self._waits_while_lee_asks()
                    await self._meets_bob()
                    await self._stays_with_bob()
            return await record.fetch(desk, self._call)

    # ── the course ──────────────────────────────────────────────────────────────────────────────────

    async def _is_handed_to_lee(self) -> None:
        tones = ", ".join(f"{name} {hz:g} Hz" for name, hz in VOICES.items())
        self._stage.say(f"each phone plays a tone of its own: {tones}", "who hears whom is found in the sound at each")
        self._begin("The customer asks the bot for a person, and Lee answers")
        await self._stage.bot_said("Welcome to Switchhook", "a greeting")
        await asyncio.sleep(_HESITATES_S)
        self._cast.tell(CUSTOMER, "digits", digits="0")
        await self._picks_up(LEE)
        await self._stage.until(lambda: self._stage.count("transfer.bridged") > 0, "Lee's answer")
        self._call = str((await self._desk.get("/v1/calls"))["items"][0]["id"])

    async def _talks_to_lee(self) -> None:
        for phone in (CUSTOMER, LEE):
            self._speaks(phone)
        await self._follows("transfer.bridged")
        self._stage.say(
            "Lee's desktop is a shell:",
            f"  API={self._desk.api}",
            "  KEY=$(switchhook keys add lee --scope calls:read --scope calls:control)",
            f"  CALL={self._call}",
            f"$ {curl('GET', '/v1/calls/$CALL')}",
        )
        await self._compare(_TOGETHER)

    async def _is_on_hold(self) -> None:
        self._begin("Lee puts the customer on hold: both hear music")
        await self._order("POST", "hold", follows="leg.held")
        await self._compare(_HELD)
        self._begin("and takes the customer back")
        await self._order("POST", "unhold", follows="leg.unheld")
        await self._compare(_TOGETHER)

    async def _waits_while_lee_asks(self) -> None:
        self._begin("Lee asks Maya, who is busy: Lee and customer are together again, in one step")
        self._newcomer = MAYA
        await self._order("POST", "consult", {"agent": MAYA}, follows="consult.failed")
        await self._compare(_TOGETHER)
        self._begin("Lee asks Bob, whose phone rings: the customer hears music")
        self._newcomer = BOB
        await self._order("POST", "consult", {"agent": BOB}, follows="consult.ringing")
        await self._compare(_RINGING)
        self._begin("Bob answers: the customer hears music, and not a word of theirs")
        await self._picks_up(BOB)
        await self._follows("consult.answered")
        self._speaks(BOB)
        await self._compare(_CONSULTING)

    async def _meets_bob(self) -> None:
        self._begin("Lee swaps: with the customer again, while Bob hears music")
        await self._order("POST", "swap", follows="consult.swapped")
        await self._compare(_SWAPPED)
        self._begin("and swaps back")
        await self._order("POST", "swap", follows="consult.swapped")
        await self._compare(_CONSULTING)
        self._begin("Lee merges: all three hear each other")
        self._merged_at = time.time()
        await self._order("POST", "merge", follows="consult.merged")
        await self._compare(_MERGED)

    async def _stays_with_bob(self) -> None:
        self._begin("Lee forwards, and is gone: customer and Bob stay")
        await self._order("POST", "forward", follows="consult.forwarded")
        await self._stage.until(lambda: self._stage.count("ended", LEE) > 0, "the end of Lee's call")
        await self._compare(_FORWARDED)
        self._begin("The customer hangs up, and that is the end")
        self._cast.tell(CUSTOMER, "hangup")
        await self._stage.until(self._stage.over, "the end of the call", last=True)
        await self._follows("call.ended", last=True)
        self._stage.say(*self._news())

    # ── what they do ────────────────────────────────────────────────────────────────────────────────

    def _begin(self, title: str) -> None:
        self._title = title
        self._stage.act(title)
        self._before = len(self._stage.seen)

    async def _order(self, method: str, word: str, body: Fields | None = None, *, follows: str) -> None:
        """What Lee's desktop asks for, and the event that comes of it."""
        self._stage.say(f"$ {curl(method, f'/v1/calls/$CALL/{word}', body)}")
        call = await self._desk.ask(method, f"/v1/calls/{self._call}/{word}", HTTPStatus.ACCEPTED, body)
        self._learn(call)
        answer = f"  202: state {call['state']}, consultState {call['consultState']}"
        self._stage.say(answer, style="dim", below=False)
        await self._follows(follows)

    async def _picks_up(self, phone: str) -> None:
        await self._stage.until(lambda: self._stage.count("ringing", phone) > 0, f"a call at {phone}'s phone")
        await asyncio.sleep(_HESITATES_S)
        self._cast.tell(phone, "answer")

    def _speaks(self, phone: str) -> None:
        if phone != self._silent:
            self._cast.tell(phone, "tone", hz=VOICES[phone])

    # ── what follows, and what is heard then ────────────────────────────────────────────────────────

    def _tell(self, event: Fields) -> None:
        """An event of the API's stream."""
        self._stage.happened({"type": f"told {event['type']}", "at": time.time(), "data": event["data"]}, _DESK)

    def _told(self) -> list[Event]:
        """By the API, since this step began."""
        return [event for event in self._stage.seen[self._before :] if event["phone"] == _DESK]

    async def _follows(self, type_: str, *, last: bool = False) -> None:
        name = f"told {type_}"
        await self._stage.until(lambda: any(event["type"] == name for event in self._told()), type_, last=last)

    def _news(self) -> list[str]:
        """What the API told, without ids and what is null."""
        lines = []
        for event in self._told():
            data = {key: value for key, value in event["data"].items() if key not in _LEFT_OUT and value is not None}
            line = clean(f"  event: {event['type'].removeprefix('told ')} {json.dumps(data)}")
            lines.append(line if len(line) <= _WIDEST else line[: _WIDEST - 1] + "…")
        return lines

    def _learn(self, call: Fields) -> None:
        """Whose phone each leg is: the API knows roles, and we know whom we called last."""
        for leg in call["legs"]:
            self._names.setdefault(leg["legId"], CUSTOMER if leg["role"] == "customer" else self._newcomer)

    async def _compare(self, planned: Hearing) -> None:
        """Listen at every phone, ask the API, and show both."""
        await asyncio.sleep(_SETTLED_S)
        phones = [name for name in PEOPLE if name in planned]
        sounds = await self._cast.listen(_LISTEN_MS, *phones)
        found = {name: sources(sound, VOICES) for name, sound in zip(phones, sounds, strict=True)}
        for name in phones:
            if RINGBACK in planned[name] - found[name]:  # between two rings
                found[name] |= sources((await self._cast.listen(_RINGS_MS, name))[0], VOICES)
        call = await self._desk.get(f"/v1/calls/{self._call}")
        self._learn(call)
        self._stage.say(*self._news())
        self._stage.say(*table(found, PEOPLE), style="green")
        self._judge("the API", differences(found, told(call, self._names)))
        self._judge("the plan", differences(found, planned))

    def _judge(self, whose: str, wrong: list[str]) -> None:
        if wrong:
            self._stage.problems.append(f"{self._title}: not what {whose} says: {', '.join(wrong)}")
            self._stage.say(f"  not what {whose} says: {', '.join(wrong)}", style="bold red")
        elif whose == "the API":
            self._stage.say('  measured, and just what the API says in "hearing"', style="dim")

    # ── was it as planned ───────────────────────────────────────────────────────────────────────────

    def check(self, cdr: record.Record) -> list[str]:
        """What was not as planned, beside the problems that the stage has."""
        transfers = [(one["status"], [hop["kind"] for hop in one["hops"]]) for one in cdr["transfers"]]
        roles = sorted(leg["role"] for leg in cdr["legs"])
        before_s, when = self._overheard()
        facts = [
            (transfers == [("SUCCESS", ["forward"])], f"the CDR tells of the transfers {transfers}"),
            (roles.count("customer") == 1, f"the CDR has the legs {roles}"),
            (cdr["endedBy"] == CUSTOMER, f"the call was ended by the {cdr['endedBy']}, not by the customer"),
            (before_s > 1, "there is no recording of what the customer heard before the merge"),
            (not when, f"the customer heard Bob before the merge, first after {min(when, default=0):.1f} s"),
        ]
        if before_s > 1 and not when:
            self._stage.say(
                f"in the {before_s:.1f} s from Lee's answer to the merge there are no {_PIECE_MS} ms with Bob "
                "in what the customer heard"
            )
        return [problem for fact, problem in facts if not fact]

    def _overheard(self) -> tuple[float, list[float]]:
        """How long the customer's recording is from Lee's answer to the merge, and after how many seconds of it Bob is
        heard."""
        begun, lees = (float(self._stage.all("answered", phone)[0]["at"]) for phone in (CUSTOMER, LEE))
        wav = read_wav(recording(CUSTOMER).read_bytes())
        first, last = (int((at - begun) * RATE) for at in (lees + _MARGIN_S, self._merged_at - _MARGIN_S))
        samples = wav.mono()[max(0, first) : max(0, last)]
        return samples.size / RATE, when_heard(pcm_of(samples), VOICES[BOB], _PIECE_MS)
