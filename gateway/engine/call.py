"""One live call: its queue, task, timers and requests to the bot; made by engine.py for each INVITE that is taken."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from ulid import ULID

from gateway.calls.causes import PROTOCOL_ERROR
from gateway.calls.commands import (
    AbandonBot,
    Answer,
    AskBot,
    Command,
    EndCall,
    Hangup,
    Note,
    Play,
    Playable,
    PlayPrompt,
    PlayUrl,
    Redirect,
    Reject,
    Ring,
    SayText,
    SendDigits,
    SetHearing,
    Silence,
    StartTimer,
    StopPlayback,
    StopTimer,
    Timer,
)
from gateway.calls.control import CallControl
from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.events import (
    BotFailed,
    BotReplied,
    DigitsSent,
    DtmfReceived,
    Event,
    HangupRequested,
    LegAnswered,
    LegEnded,
    LegHoldChanged,
    LegOffered,
    PlaybackEnded,
    PlaybackStarted,
    SoundFailed,
    TimerFired,
)
from gateway.calls.model import CallId, JsonObject, LegId
from gateway.calls.view import rfc3339
from gateway.engine.ports import Bot, Bridge, Legs, Sounds
from gateway.engine.voice import Voice
from gateway.telemetry.log import Logger


@dataclass(frozen=True, slots=True)
class World:
    """The ports, as one call needs them. `clock` gives seconds since the epoch and never goes back."""

    legs: Legs
    bridge: Bridge
    sounds: Sounds
    clock: Callable[[], float]


class LiveCall:
    """Runs one CallControl: events in through `post`, commands out to the ports."""

    def __init__(
        self,
        control: CallControl,
        world: World,
        bot_of: Callable[[str], Bot],
        over: Callable[["LiveCall"], None],
        log: Logger,
    ) -> None:
        call = control.call
        self.id: CallId = call.id
        self.customer_leg: LegId = call.customer.id
        self.channel = call.channel.name
        self.log = log.bind(call_id=call.id)
        self._control, self._world, self._bot_of, self._over = control, world, bot_of, over
        self._voice = Voice(call.id, world.bridge, world.sounds, self.post)
        self._queue: asyncio.Queue[tuple[Event, asyncio.TimerHandle | None]] = asyncio.Queue()
        self._timers: dict[Timer, asyncio.TimerHandle] = {}
        self._asks: dict[int, asyncio.Task[None]] = {}
        self._event_id = ""
        self._ended = False
        world.bridge.open_voice(call.id)
        self.task = asyncio.create_task(self._run(), name=call.id)

    def post(self, event: Event) -> None:
        """Something happened to this call."""
        self._queue.put_nowait((event, None))

    def on_mark(self, mark: int, samples: int, flushed: bool) -> None:
        """A buffer of this call's voice was heard to its end, or dropped."""
        self._voice.on_mark(mark, samples, flushed)

    @property
    def timers(self) -> int:
        """How many timers run."""
        return len(self._timers)

    async def _run(self) -> None:
        try:
            while not self._ended:
                event, handle = await self._queue.get()
                if isinstance(event, TimerFired):
                    if self._timers.get(event.timer) is not handle:
                        continue  # stopped, or started anew, while its event waited here
                    del self._timers[event.timer]
                self._log_event(event)
                for command in self._control.handle(event, self._world.clock()):
                    self._do(command)
        except Exception:
            self.log.exception("call.failed")
            self._world.legs.hangup(self.customer_leg, PROTOCOL_ERROR, ())
        finally:
            self._release()
        # What is left is the `hangup` event: the bot is told before the task ends.
        await asyncio.gather(*self._asks.values(), return_exceptions=True)

    def _release(self) -> None:
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        self._voice.close()
        self._world.bridge.close_voice(self.id)
        self._over(self)

    # ── Commands ────────────────────────────────────────────────────────────────────────────────────

    def _do(self, command: Command) -> None:
        legs = self._world.legs
        self._log_command(command)
        match command:
            case Ring():
                legs.ring(command.leg_id)
            case Answer():
                legs.answer(command.leg_id)
            case Reject():
                legs.reject(command.leg_id, command.status, command.phrase, command.cause, command.headers)
            case Redirect():
                legs.redirect(command.leg_id, command.contacts)
            case Hangup():
                legs.hangup(command.leg_id, command.cause, command.headers)
            case SendDigits():
                legs.send_digits(command.leg_id, command.digits, command.duration_ms)
            case SetHearing():
                self._world.bridge.set_hearing(self.id, command.edges)
            case Play():
                self._voice.play(command)
            case StopPlayback():
                self._voice.stop(command)
            case AskBot():
                self._asks[command.seq] = asyncio.create_task(self._ask(command))
            case AbandonBot():
                if command.seq in self._asks:  # its answer may wait in the queue already
                    self._asks[command.seq].cancel()
            case StartTimer():
                self._start_timer(command.timer, command.after_ms)
            case StopTimer():
                self._timers.pop(command.timer).cancel()
            case Note():
                pass
            case EndCall():
                self._ended = True
            case _:
                assert_never(command)

    def _start_timer(self, timer: Timer, after_ms: int) -> None:
        if timer in self._timers:
            self._timers[timer].cancel()
        loop = asyncio.get_running_loop()
        self._timers[timer] = loop.call_later(after_ms / 1000, self._fire, timer)

    def _fire(self, timer: Timer) -> None:
        self._queue.put_nowait((TimerFired(timer), self._timers[timer]))

    async def _ask(self, ask: AskBot) -> None:
        if not ask.again:
            self._event_id = f"evt_{ULID()}"
        began = asyncio.get_running_loop().time()
        try:
            response = await self._bot_of(ask.channel).ask(ask, self._event_id, rfc3339(self._world.clock()))
        except BotError as error:
            self.post(BotFailed(ask.seq, error.kind, error.detail))
        except Exception as error:
            self.log.exception("bot.broke")
            self.post(BotFailed(ask.seq, BotErrorKind.UNREACHABLE, f"internal error: {type(error).__name__}"))
        else:
            ms = round((asyncio.get_running_loop().time() - began) * 1000)
            replies = [
                reply.model_dump(mode="json", exclude_defaults=True, by_alias=True) for reply in response.replies
            ]
            self.log.info("bot.replied", seq=ask.seq, replies=replies, ms=ms)
            self.post(BotReplied(ask.seq, response))
        finally:
            self._asks.pop(ask.seq, None)

    # ── The log: every event and command that a reader would want, as noun.verb ─────────────────────

    def _log_event(self, event: Event) -> None:
        log = self.log
        match event:
            case LegAnswered():
                log.info("leg.answered", leg_id=event.leg_id, codec=event.codec)
            case LegHoldChanged():
                log.info("leg.hold_changed", leg_id=event.leg_id, hold=event.hold.value)
            case LegEnded():
                log.info(
                    "leg.ended",
                    leg_id=event.leg_id,
                    cause=str(event.cause),
                    sip_status=event.sip_status,
                    q850=event.q850,
                    by_peer=event.by_peer,
                )
            case DtmfReceived():
                log.info("dtmf.received", leg_id=event.leg_id, digit=event.digit)
            case PlaybackEnded():
                log.info(
                    "playback.ended",
                    playback_id=event.playback_id,
                    stopped=event.stopped,
                    played_ms=event.played_ms,
                )
            case SoundFailed():
                log.warning("sound.failed", playback_id=event.playback_id, item=event.item, detail=event.detail)
            case TimerFired():
                log.debug("timer.fired", timer=event.timer.value)
            case HangupRequested():
                log.info("call.hangup_requested", cause=str(event.cause), by=event.by.value)
            case LegOffered() | DigitsSent() | PlaybackStarted() | BotReplied() | BotFailed():
                pass  # call.started, digits.sending, playback.started and bot.… say it
            case _:
                assert_never(event)

    def _log_command(self, command: Command) -> None:
        log = self.log
        match command:
            case Ring():
                log.info("leg.rang", leg_id=command.leg_id)
            case Answer():
                log.info("leg.answering", leg_id=command.leg_id)
            case Reject():
                log.info("leg.rejecting", leg_id=command.leg_id, status=command.status)
            case Redirect():
                log.info("leg.redirecting", leg_id=command.leg_id)
            case Hangup():
                log.info("leg.hanging_up", leg_id=command.leg_id, cause=str(command.cause))
            case SendDigits():
                log.info("digits.sending", leg_id=command.leg_id, digits=command.digits)
            case Play():
                items = [_describe(item) for item in command.items]
                log.info("playback.started", playback_id=command.playback_id, items=items)
            case AskBot():
                log.info("bot.asked", bot_event=command.event.value, seq=command.seq, data=command.data)
            case Note():
                log.info(command.name, **{("bot_event" if k == "event" else k): v for k, v in command.fields.items()})
            case EndCall():
                log.info(
                    "call.ended",
                    cause=str(command.cause),
                    ended_by=command.ended_by.value,
                    sip_status=command.sip_status,
                    q850=command.q850,
                    duration_ms=command.duration_ms,
                )
            case StartTimer() | StopTimer():
                log.debug("timer.set", timer=command.timer.value, running=isinstance(command, StartTimer))
            case SetHearing() | StopPlayback() | AbandonBot():
                pass
            case _:
                assert_never(command)


def _describe(item: Playable) -> JsonObject:
    match item:
        case SayText():
            return {"say": item.text}
        case PlayPrompt():
            return {"prompt": item.name}
        case PlayUrl():
            return {"url": item.url.split("?")[0]}
        case Silence():
            return {"silence": item.ms}
        case _:
            assert_never(item)
