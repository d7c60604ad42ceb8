"""The scene `transfer`: caller, bot, person, bot again; whether it was as planned; played by run.py."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from gateway.api.auth import Scope
from gateway.audio.pcm import rms_dbfs, samples_of
from gateway.demo import record
from gateway.demo.cast import Cast
from gateway.demo.desk import open_desk
from gateway.demo.hearing import AUDIBLE_DBFS, RINGBACK_HZ, is_heard
from gateway.demo.stage import GATEWAY

CALLER, AGENT = "caller", "agent"
NUMBER: Final = "4711"
RATING: Final = 5
_CALLER_HZ, _AGENT_HZ = 500.0, 1300.0
_ORDERED: Final = 0.4
"""Seconds that a tone needs to begin at the other end."""


@dataclass(frozen=True, slots=True)
class Agent:
    """The person: whether the phone is picked up, and whether anything is said into it."""

    answers: bool = True
    speaks: bool = True


class Transfer:
    """The caller's way: bot, person, bot."""

    parties = (CALLER, GATEWAY, "bot", AGENT)
    intro = "starting the gateway, calling its reception bot, and asking that for a person"
    last_words = (
        "try it yourself: make run, then call it with your softphone or `switchhook call`;",
        "you are the person if you press 0: `switchhook answer`",
    )

    def __init__(self, agent: Agent | None = None) -> None:
        """`agent`: how the person behaves, if not as planned."""
        self._agent = agent or Agent()
        self._greeting = b""

    async def play(self, cast: Cast) -> record.Record:
        """All of it; the record of the call. Raises DemoFailed when it does not go on."""
        self._cast, self._stage = cast, cast.stage
        async with cast.waiting(AGENT), cast.gateway({"lee": await cast.port(AGENT)}) as node:
            async with cast.calling(CALLER, node):
                await self._talks_to_the_bot()
                await self._asks_for_a_person()
                await self._talks_to_the_person()
                await self._rates()
            async with open_desk(node.api, Scope.CALLS_READ) as desk:
                return await record.fetch(desk, str(self._stage.all("call.started")[0].get("call_id")))

    # ── the course ──────────────────────────────────────────────────────────────────────────────────

    async def _talks_to_the_bot(self) -> None:
        """Interrupts the greeting with 1, hears the hours, leaves a number."""
        await self._stage.bot_said("Welcome to Switchhook", "a greeting")
        (self._greeting,) = await self._cast.listen(1500, CALLER)
        await asyncio.sleep(0.5)
        self._cast.tell(CALLER, "digits", digits="1")
        await self._stage.bot_said("We are open", "the answer to 1")
        await asyncio.sleep(2.5)
        self._cast.tell(CALLER, "digits", digits="2")
        await self._stage.bot_said("Please enter", "the question for the customer number", to_its_end=True)
        self._cast.tell(CALLER, "digits", digits=f"{NUMBER}#")
        await self._stage.bot_said("Your number is", "the number, read back")
        await asyncio.sleep(3.0)

    async def _asks_for_a_person(self) -> None:
        """Presses 0, and hears that somebody's phone rings."""
        self._cast.tell(CALLER, "digits", digits="0")
        await self._stage.bot_said("I am transferring you", "the word that it transfers")
        await self._stage.until(lambda: self._stage.count("ringing", AGENT) > 0, "a call at the agent's phone")
        await asyncio.sleep(_ORDERED)
        (ringback,) = await self._cast.listen(1000, CALLER)
        if all(is_heard(ringback, hz) for hz in RINGBACK_HZ):
            self._stage.hears(CALLER, "ringback")
        else:
            self._stage.problems.append("the caller heard no ringback while the agent's phone rang")

    async def _talks_to_the_person(self) -> None:
        """Both speak, then both hold a tone into their phones: what is heard at the other end cannot be mistaken."""
        if self._agent.answers:
            self._cast.tell(AGENT, "answer")
        await self._stage.until(lambda: self._stage.count("transfer.bridged") > 0, "the agent's answer")
        if self._agent.speaks:
            await self._cast.says(AGENT, "Hello, this is Lee. How can I help you?")
        await self._cast.says(CALLER, "Hello Lee. I only want to hear you.")
        for phone, hz in ((CALLER, _CALLER_HZ), (AGENT, _AGENT_HZ)):
            if phone == CALLER or self._agent.speaks:
                self._cast.tell(phone, "tone", hz=hz)
        await asyncio.sleep(_ORDERED)
        at_caller, at_agent = await self._cast.listen(800, CALLER, AGENT)
        self._check_tones(CALLER, at_caller, AGENT, _AGENT_HZ, _CALLER_HZ)
        self._check_tones(AGENT, at_agent, CALLER, _CALLER_HZ, _AGENT_HZ)
        self._cast.tell(CALLER, "silence")
        self._cast.tell(AGENT, "hangup")
        await self._stage.until(lambda: self._stage.count("transfer.ended") > 0, "the end of the transfer")

    async def _rates(self) -> None:
        """Is asked by the bot how it was, presses a key, and hears goodbye."""
        await self._stage.bot_said("Please rate", "the bot's question how it was", to_its_end=True)
        self._cast.tell(CALLER, "digits", digits=str(RATING))
        await self._stage.bot_said("Goodbye", "a goodbye")
        await self._stage.until(self._stage.over, "the end of the call", last=True)

    def _check_tones(self, phone: str, heard: bytes, other: str, wanted: float, own: float) -> None:
        if not is_heard(heard, wanted):
            self._stage.problems.append(f"the {phone} did not hear the {other}")
        elif is_heard(heard, own):
            self._stage.problems.append(f"the {phone} heard the own voice")
        else:
            self._stage.hears(phone, f"the {other}: a tone of {wanted:g} Hz")

    # ── was it as planned ───────────────────────────────────────────────────────────────────────────

    def check(self, cdr: record.Record) -> list[str]:
        """What was not as planned, beside the problems that the stage has."""
        stage = self._stage
        digits = "".join(str(event.get("digit")) for event in stage.all("dtmf.received"))
        wanted = f"12{NUMBER}#0{RATING}"
        asked = [event.get("data") or {} for event in stage.all("bot.asked")]
        interrupted = next(iter(stage.all("playback.ended")), {})
        ended_by = next((event.get("ended_by") for event in stage.all("call.ended")), "nobody")
        recorded = [float(event.get("seconds") or 0) for event in stage.all("recorded")]
        told = [event.get("data") or {} for event in stage.all("bot.asked") if event.get("bot_event") == "transfer"]
        facts: list[tuple[Any, str]] = [
            (rms_dbfs(samples_of(self._greeting)) > AUDIBLE_DBFS, "the caller heard no greeting"),
            (interrupted.get("stopped"), "pressing 1 did not interrupt the greeting"),
            (digits == wanted, f"the gateway understood the digits {digits or 'none'}, not {wanted}"),
            (any(data.get("digits") == NUMBER for data in asked), "the bot was not given the customer number"),
            (
                [one.get("status") for one in told] == ["SUCCESS"],
                f"the bot was told of the transfer: {told or 'nothing'}",
            ),
            (ended_by == "bot", f"the call was ended by {ended_by}, not by the bot"),
            (len(recorded) == 2 and min(recorded) > 2, "there is no recording of what each heard"),
        ]
        transfers = [(one["status"], one["endedBy"], one["hangup"]) for one in cdr["transfers"]]
        facts += [
            (transfers == [("SUCCESS", "agent", False)], f"the CDR tells of the transfers {transfers}"),
            (sorted(leg["role"] for leg in cdr["legs"]) == ["agent", "customer"], "the CDR has not both legs"),
            (cdr["data"] == {"customerNumber": NUMBER, "rating": RATING}, f"the CDR has the data {cdr['data']}"),
        ]
        return [problem for fact, problem in facts if not fact]
