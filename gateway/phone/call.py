"""One call of the terminal phone, from dialling or waiting to the exit code: joins SIP phone, speech, ear, output."""

import asyncio
import base64
import contextlib
import functools
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

import numpy as np

from gateway.audio.pcm import pcm_of
from gateway.calls.causes import NORMAL, of_bye, parse_reason
from gateway.calls.commands import SayText
from gateway.calls.errors import SoundError
from gateway.calls.model import JsonObject, VoiceSettings
from gateway.phone.ear import Ear, Recording
from gateway.phone.options import CallOptions, NoRoute, Plan, UsageError, plan
from gateway.phone.output import Output, as_json, as_ladder
from gateway.phone.script import obey, read_lines
from gateway.sip.endpoint import SipSettings
from gateway.sip.headers import split_values
from gateway.sip.phone import CLOCK_RATE, DigitsBy, Direction, PhoneError, PhoneEvent, SipPhone
from gateway.speech.tts import Espeak
from gateway.telemetry.log import configure

DONE, FAILED, BAD_USAGE = 0, 1, 2

_TONE_LEVEL: Final = 10 ** (-12 / 20)
_DIGIT_MS, _DIGIT_GAP_MS = 120, 100
_PAUSES: Final = {"w": 0.5, "W": 1.0}
_GRACE: Final = 5.0
"""Seconds that the peer has to answer our BYE or CANCEL before we leave without."""


async def run_call(options: CallOptions) -> int:
    """Place the call, or take one. 0: it was answered and ended normally, or was refused as asked for; 1: it was not;
    2: what was asked for makes no sense."""
    configure(level="warning")
    try:
        planned = await plan(options)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_USAGE
    except NoRoute as error:
        _output(options, str(error))({"type": "error", "at": time.time(), "detail": str(error)})
        return FAILED
    session = _Session(options, planned, _output(options, planned.host))
    return await session.run()


def _output(options: CallOptions, host: str) -> Output:
    return as_json if options.json or options.script else as_ladder(host)


class _Session:
    def __init__(self, options: CallOptions, planned: Plan, output: Output) -> None:
        self._options, self._plan, self._output = options, planned, output
        self._phone = SipPhone(self._settings(), self._happened, self._heard)
        self._ear = Ear(CLOCK_RATE, self._record, lambda: self._tell("audio-started"))
        self._recording: Recording | None = None
        self._espeak = Espeak()
        self._said = b""
        self._over = asyncio.Event()
        self._in_call = False
        self._ended: JsonObject | None = None
        self._interrupts = 0
        self._pressed: asyncio.Queue[tuple[str, DigitsBy]] = asyncio.Queue()
        self._by = DigitsBy(options.dtmf)
        self._tasks: set[asyncio.Task[None]] = set()

    def _settings(self) -> SipSettings:
        options = self._options
        return SipSettings(
            bind=self._plan.bind,
            udp_port=options.port,
            tcp_port=options.port,
            codecs=self._plan.codecs,
            max_calls=4 if self._plan.dial is not None else 1,  # PJSUA answers a second call with 486
            user_agent="Switchhook-phone",
            trace_file=str(options.trace or ""),
        )

    # ── the course of the call ──────────────────────────────────────────────────────────────────────

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        try:
            if self._options.say:
                self._said = await self._render(self._options.say)
            if self._options.record:
                self._recording = Recording(self._options.record, CLOCK_RATE)
            await self._phone.start()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._interrupted)
            self._keep(self._press_all(), self._let_time_pass(), self._limit(self._options.max_seconds))
            await self._begin()
            if self._options.script:
                self._keep(self._follow_script())
            await self._over.wait()
        except (OSError, SoundError, PhoneError) as error:
            self._error(str(error))
        finally:
            await self._stop()
        return self._verdict()

    async def _begin(self) -> None:
        if self._plan.dial is not None:
            self._in_call = True
            await self._phone.dial(self._plan.dial)
            return
        port = await self._phone.wait()
        self._tell("listening", {"uri": f"sip:{self._plan.bind}:{port}", "port": port})

    def _called(self) -> None:
        answering = self._options.answering
        if answering is None or self._in_call:
            return
        self._in_call = True
        if answering.refuse is not None:
            self._keep(self._phone.refuse(answering.refuse))
        else:
            self._keep(self._phone.ring(), self._ring_on(answering.ring_s))

    async def _ring_on(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.answer()

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._phone.stop()
        self._ear.end()
        if self._recording is not None:
            seconds = self._recording.close()
            self._tell("recorded", {"file": str(self._recording.path), "seconds": round(seconds, 2)})
        self._tell("stopped")
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)

    def _verdict(self) -> int:
        if self._ended is None:
            return FAILED
        if not self._ended["answered"]:
            answering = self._options.answering
            refused = answering is not None and self._ended["status"] == answering.refuse
            return DONE if refused and self._ended["by"] == "phone" else FAILED
        if self._ended["by"] == "phone":
            return DONE if self._ended["status"] == 200 else FAILED
        reasons = [parse_reason(value) for value in split_values(str(self._ended["reason_header"] or ""))]
        cause, _ = of_bye([reason for reason in reasons if reason is not None])
        return DONE if self._ended["by"] == "peer" and cause == NORMAL else FAILED

    def _answered(self) -> None:
        self._ear.begin(time.monotonic())
        options = self._options
        if self._plan.play:
            self.play(self._plan.play)
        if self._said:
            self._speak(str(options.say), self._said)
        if options.tone is not None:
            self._phone.loop(_tone(options.tone))
        if options.digits:
            self._keep(self._after(options.digits_after, lambda: self.digits(options.digits, self._by)))
        if options.hangup_after is not None:
            self._keep(self._limit(options.hangup_after))

    async def _limit(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._leave()

    async def _leave(self) -> None:
        """Hang up, and go even if the peer never says that it noticed."""
        if not self._in_call:
            self._error("nobody called")
            self._over.set()
            return
        await self.hang_up()
        await asyncio.sleep(_GRACE)
        self._error("the peer did not answer our BYE or CANCEL")
        self._over.set()

    def _interrupted(self) -> None:
        self._interrupts += 1
        if self._interrupts == 1:
            self._keep(self._leave())
        else:
            self._over.set()

    async def _let_time_pass(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            self._ear.catch_up(time.monotonic())

    async def _press_all(self) -> None:
        while True:
            digits, by = await self._pressed.get()
            for digit in digits:
                if digit in _PAUSES:
                    await asyncio.sleep(_PAUSES[digit])
                    continue
                try:
                    await self._phone.press(digit, by, _DIGIT_MS)
                except PhoneError as error:
                    self._error(f"digit {digit}: {error}")
                    break
                await asyncio.sleep((_DIGIT_MS + _DIGIT_GAP_MS) / 1000)
            self._pressed.task_done()

    async def _follow_script(self) -> None:
        lines: asyncio.Queue[str | None] = asyncio.Queue()
        read_lines(lines)
        while (line := await lines.get()) is not None:
            if not line.strip():
                continue
            try:
                await obey(line, self, self._by)
            except (UsageError, PhoneError, SoundError) as error:
                self._error(str(error))
        await self._pressed.join()
        await self._leave()

    # ── what a script can do ────────────────────────────────────────────────────────────────────────

    async def answer(self) -> None:
        """Take the call that rings."""
        with contextlib.suppress(PhoneError):  # it was answered already, or the caller gave up at this moment
            await self._phone.answer()

    def digits(self, digits: str, by: DigitsBy) -> None:
        self._pressed.put_nowait((digits, by))

    async def direct(self, direction: Direction) -> None:
        await self._phone.direct(direction)

    async def say(self, text: str) -> None:
        self._speak(text, await self._render(text))

    def play(self, pcm: bytes) -> None:
        self._tell("playing", {"number": self._phone.play(pcm), "ms": len(pcm) // 2 * 1000 // CLOCK_RATE})

    def tone(self, hz: float) -> None:
        self._phone.silence()
        self._phone.loop(_tone(hz))

    def silence(self) -> None:
        self._phone.silence()

    def listen(self, ms: int) -> None:
        self._ear.listen(ms, self._tell_heard)

    async def hang_up(self) -> None:
        with contextlib.suppress(PhoneError):  # it ended at this moment, and `ended` is on its way
            await self._phone.hang_up()

    # ── what happens ────────────────────────────────────────────────────────────────────────────────

    def _happened(self, event: PhoneEvent) -> None:
        self._output(event.as_json())
        if event.type == "incoming":
            self._called()
        elif event.type == "answered":
            self._answered()
        elif event.type == "ended":
            self._ended = event.fields
            self._over.set()

    def _heard(self, pcm: bytes, index: int) -> None:
        self._ear.heard(pcm, index, time.monotonic())

    def _record(self, pcm: bytes) -> None:
        if self._recording is not None:
            self._recording.write(pcm)

    def _tell_heard(self, pcm: bytes) -> None:
        self._tell("heard", {"pcm": base64.b64encode(pcm).decode(), "rate": CLOCK_RATE})

    def _error(self, detail: str) -> None:
        self._tell("error", {"detail": detail})

    def _tell(self, kind: str, fields: JsonObject | None = None) -> None:
        self._output(PhoneEvent(kind, time.time(), fields or {}).as_json())

    async def _render(self, text: str) -> bytes:
        return await self._espeak.render(SayText(text, False, VoiceSettings()), CLOCK_RATE)

    def _speak(self, text: str, pcm: bytes) -> None:
        self._tell("saying", {"number": self._phone.play(pcm), "text": text})

    async def _after(self, seconds: float, fn: Callable[[], None]) -> None:
        await asyncio.sleep(seconds)
        fn()

    def _keep(self, *work: Coroutine[Any, Any, None]) -> None:
        """Run it beside the call; it is cancelled at the call's end."""
        for coroutine in work:
            task = asyncio.ensure_future(coroutine)
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error(f"{type(error).__name__}: {error}")
            self._over.set()


@functools.lru_cache(maxsize=8)
def _tone(hz: float) -> bytes:
    """A loop of a sine that fits its length: the nearest frequency with a whole number of turns in a second."""
    turns = max(1, round(hz))
    at = np.arange(CLOCK_RATE, dtype=np.float64) / CLOCK_RATE
    return pcm_of((_TONE_LEVEL * np.sin(2 * np.pi * turns * at)).astype(np.float32))
