"""What the demo's caller and agent do, by telephone, and whether it was as planned; played by run.py."""

import asyncio
import base64
from dataclasses import dataclass
from typing import Any, Final

from gateway.audio.pcm import rms_dbfs, samples_of, tone_dbfs
from gateway.demo.cast import Cast
from gateway.demo.stage import AGENT, CALLER, Stage

NUMBER: Final = "4711"
RATING: Final = 5
_CALLER_HZ, _AGENT_HZ = 500.0, 1300.0
_RINGBACK_HZ: Final = (440.0, 480.0)
_AUDIBLE_DBFS: Final = -40.0
_ORDERED: Final = 0.4
"""Seconds that a tone needs to begin at the other end."""


@dataclass(frozen=True, slots=True)
class Agent:
    """The person: whether the phone is picked up, and whether anything is said into it."""

    answers: bool = True
    speaks: bool = True


class Story:
    """The caller's way: bot, person, bot."""

    def __init__(self, stage: Stage, cast: Cast, agent: Agent) -> None:
        self._stage, self._cast, self._agent = stage, cast, agent
        self._greeting = b""

    async def play(self) -> None:
        """All of it, to the end of the call. Raises DemoFailed when it does not go on."""
        await self._talks_to_the_bot()
        await self._asks_for_a_person()
        await self._talks_to_the_person()
        await self._rates()

    # ── the course ──────────────────────────────────────────────────────────────────────────────────

    async def _talks_to_the_bot(self) -> None:
        """Interrupts the greeting with 1, hears the hours, leaves a number."""
        await self._said("Welcome to Switchhook", "a greeting")
        (self._greeting,) = await self._listen(1500, CALLER)
        await asyncio.sleep(0.5)
        self._cast.tell(CALLER, "digits", digits="1")
        await self._said("We are open", "the answer to 1")
        await asyncio.sleep(2.5)
        self._cast.tell(CALLER, "digits", digits="2")
        await self._said("Please enter", "the question for the customer number", to_its_end=True)
        self._cast.tell(CALLER, "digits", digits=f"{NUMBER}#")
        await self._said("Your number is", "the number, read back")
        await asyncio.sleep(3.0)

    async def _asks_for_a_person(self) -> None:
        """Presses 0, and hears that somebody's phone rings."""
        self._cast.tell(CALLER, "digits", digits="0")
        await self._said("I am transferring you", "the word that it transfers")
        await self._stage.until(lambda: self._stage.count("ringing", AGENT) > 0, "a call at the agent's phone")
        await asyncio.sleep(_ORDERED)
        (ringback,) = await self._listen(1000, CALLER)
        if all(_is_heard(ringback, hz) for hz in _RINGBACK_HZ):
            self._stage.hears(CALLER, "ringback")
        else:
            self._stage.problems.append("the caller heard no ringback while the agent's phone rang")

    async def _talks_to_the_person(self) -> None:
        """Both speak, then both hold a tone into their phones: what is heard at the other end cannot be mistaken."""
        if self._agent.answers:
            self._cast.tell(AGENT, "answer")
        await self._stage.until(lambda: self._stage.count("transfer.bridged") > 0, "the agent's answer")
        if self._agent.speaks:
            await self._says(AGENT, "Hello, this is Lee. How can I help you?")
        await self._says(CALLER, "Hello Lee. I only want to hear you.")
        for phone, hz in ((CALLER, _CALLER_HZ), (AGENT, _AGENT_HZ)):
            if phone == CALLER or self._agent.speaks:
                self._cast.tell(phone, "tone", hz=hz)
        await asyncio.sleep(_ORDERED)
        at_caller, at_agent = await self._listen(800, CALLER, AGENT)
        self._check_tones(CALLER, at_caller, AGENT, _AGENT_HZ, _CALLER_HZ)
        self._check_tones(AGENT, at_agent, CALLER, _CALLER_HZ, _AGENT_HZ)
        self._cast.tell(CALLER, "silence")
        self._cast.tell(AGENT, "hangup")
        await self._stage.until(lambda: self._stage.count("transfer.ended") > 0, "the end of the transfer")

    async def _rates(self) -> None:
        """Is asked by the bot how it was, presses a key, and hears goodbye."""
        await self._said("Please rate", "the bot's question how it was", to_its_end=True)
        self._cast.tell(CALLER, "digits", digits=str(RATING))
        await self._said("Goodbye", "a goodbye")
        await self._stage.until(self._over, "the end of the call", last=True)

    def _over(self) -> bool:
        return self._stage.count("call.ended") > 0 and self._stage.count("ended", CALLER) > 0

    def _check_tones(self, phone: str, heard: bytes, other: str, wanted: float, own: float) -> None:
        if not _is_heard(heard, wanted):
            self._stage.problems.append(f"the {phone} did not hear the {other}")
        elif _is_heard(heard, own):
            self._stage.problems.append(f"the {phone} heard the own voice")
        else:
            self._stage.hears(phone, f"the {other}: a tone of {wanted:g} Hz")

    # ── what they do ────────────────────────────────────────────────────────────────────────────────

    async def _said(self, words: str, what: str, *, to_its_end: bool = False) -> None:
        """Wait until the bot says it."""
        await self._stage.until(lambda: self._playback(words) is not None, what)
        if to_its_end:
            number = self._playback(words)
            await self._stage.until(lambda: self._played(number), f"the end of {what}")

    def _played(self, number: Any) -> bool:
        return any(event.get("playback_id") == number for event in self._stage.all("playback.ended"))

    def _playback(self, words: str) -> Any:
        for event in self._stage.all("playback.started"):
            if any(words in str(item.get("say", "")) for item in event.get("items") or []):
                return event.get("playback_id")
        return None

    async def _says(self, phone: str, text: str) -> None:
        """Speak, to the end."""
        before = self._stage.count("played", phone)
        self._cast.tell(phone, "say", text=text)
        await self._stage.until(lambda: self._stage.count("played", phone) > before, f"what the {phone} says")

    async def _listen(self, ms: int, *phones: str) -> list[bytes]:
        """What they hear in the next `ms`."""
        before = {phone: self._stage.count("heard", phone) for phone in phones}
        for phone in phones:
            self._cast.tell(phone, "listen", ms=ms)
        await self._stage.until(
            lambda: all(self._stage.count("heard", phone) > before[phone] for phone in phones),
            "a sound at the phone of the " + " and the ".join(phones),
        )
        return [base64.b64decode(self._stage.all("heard", phone)[before[phone]]["pcm"]) for phone in phones]

    # ── was it as planned ───────────────────────────────────────────────────────────────────────────

    def check(self) -> list[str]:
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
            (rms_dbfs(samples_of(self._greeting)) > _AUDIBLE_DBFS, "the caller heard no greeting"),
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
        return [problem for fact, problem in facts if not fact]


def _is_heard(pcm: bytes, hz: float) -> bool:
    return tone_dbfs(samples_of(pcm), 8000, hz) > _AUDIBLE_DBFS
