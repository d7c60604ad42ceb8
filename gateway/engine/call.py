"""One live call: its queue, task, timers and requests to the bot; made by engine.py for each INVITE that is taken."""

import asyncio
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Protocol, assert_never

from ulid import ULID

from gateway.calls.causes import NORMAL, PROTOCOL_ERROR, Cause, EndedBy
from gateway.calls.commands import (
    AbandonBot,
    Answer,
    AskBot,
    BotEventName,
    Command,
    Dial,
    EndCall,
    Hangup,
    Note,
    Play,
    Redirect,
    Reject,
    Ring,
    SendDigits,
    SetHearing,
    StartTimer,
    StopPlayback,
    StopTimer,
    Timer,
    TurnDown,
)
from gateway.calls.control import CallControl
from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.events import (
    BotFailed,
    BotReplied,
    CallPlaced,
    Event,
    LegAnswered,
    LegEnded,
    LegEvent,
    LegOffered,
    TimerFired,
)
from gateway.calls.history import Type, of_command, of_event
from gateway.calls.model import Call, CallId, Leg, LegId
from gateway.calls.refers import (
    AnswerRefer,
    ClaimPeer,
    HandOver,
    LegTakenOver,
    NotifyRefer,
    PeerClaimed,
    RefuseClaim,
    SendRefer,
)
from gateway.calls.states import CallState, LegState
from gateway.calls.view import rfc3339
from gateway.calls.witnesses import Witnesses
from gateway.engine.call_log import log_command, log_event
from gateway.engine.ports import Bot, Bridge, Journal, Legs, Sounds
from gateway.engine.queued import OVER, Queued
from gateway.engine.voice import Voice
from gateway.telemetry.log import Logger
from gateway.telemetry.observer import NOBODY, CallObserver


@dataclass(frozen=True, slots=True)
class World:
    """The ports, as one call needs them. `clock` gives seconds since the epoch and never goes back."""

    legs: Legs
    bridge: Bridge
    sounds: Sounds
    clock: Callable[[], float]
    journal: Journal
    observer: CallObserver = NOBODY


class Roster(Protocol):
    """Whose legs are whose: live.Live."""

    def add_leg(self, call: "LiveCall", leg_id: LegId, trunk: str) -> None:
        """The call has one more leg, on this trunk."""

    def remove_leg(self, call: "LiveCall", leg_id: LegId) -> None:
        """It is gone."""

    def forward(self, call: "LiveCall", event: LegEvent) -> bool:
        """Give the event to the call that its leg went to, if it did."""

    def claim(self, call: "LiveCall", claim: ClaimPeer) -> None:
        """The call wants whoever talks to a leg of another call."""

    def hand_over(self, call: "LiveCall", leg: Leg, target: str, to: CallId) -> None:
        """A leg of the call belongs to another one from now on."""

    def moved(self, call: "LiveCall", agents: Set[str], now: float) -> None:
        """These agents of the plan have come into the call, or out of it."""

    def refuse_claim(self, to: CallId) -> None:
        """That other call does not get it."""


class LiveCall:
    """Runs one CallControl: events in through `post`, commands out to the ports."""

    def __init__(
        self,
        control: CallControl,
        world: World,
        bot_of: Callable[[str], Bot],
        over: Callable[["LiveCall"], None],
        log: Logger,
        roster: Roster,
    ) -> None:
        call = control.call
        self.id: CallId = call.id
        self.channel, self.trunk = call.channel.name, call.caller.trunk
        self.log = log.bind(call_id=call.id)
        self._control, self._world, self._bot_of, self._over = control, world, bot_of, over
        self._roster = roster
        self._voice = Voice(call.id, world.bridge, world.sounds, self.post)
        self._queue: asyncio.Queue[Queued] = asyncio.Queue()
        self._timers: dict[Timer, asyncio.TimerHandle] = {}
        self._asks: dict[int, asyncio.Task[None]] = {}
        self._event_id = ""
        self._ended = self._released = False
        self._witnesses = Witnesses()
        world.bridge.open_voice(call.id)
        self.task = asyncio.create_task(self._run(), name=call.id)

    def post(self, event: Event) -> None:
        """Something happened to this call."""
        self._queue.put_nowait(Queued(event))

    async def take(self, event: Event) -> TurnDown | None:
        """The same, of something that is asked for: returns when it has had its turn and all that follows from it at
        once is ordered. None: the call took it; else why it did not (also when it has ended before)."""
        if self._released:
            return OVER
        answer: asyncio.Future[TurnDown | None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(Queued(event, answer=answer))
        return await answer

    def hang_up_stray(self, leg_id: LegId, cause: Cause) -> None:
        """A leg that was ours ends, as the call that it was for is over."""
        self._world.legs.hangup(leg_id, cause, ())

    def on_mark(self, mark: int, samples: int, flushed: bool) -> None:
        """A buffer of this call's voice was heard to its end, or dropped."""
        self._voice.on_mark(mark, samples, flushed)

    @property
    def call(self) -> Call:
        """The call as it is now."""
        return self._control.call

    @property
    def customer_leg(self) -> LegId:
        """The leg that the customer speaks through now."""
        return self.call.customer.id

    @property
    def ending(self) -> bool:
        """It is over, or we have hung up."""
        return self.call.state is CallState.ENDED or self.call.customer.state is LegState.ENDING

    @property
    def timers(self) -> int:
        """How many timers run."""
        return len(self._timers)

    async def _run(self) -> None:
        try:
            while not self._ended:
                queued = await self._queue.get()
                event = queued.event
                if isinstance(event, TimerFired):
                    if self._timers.get(event.timer) is not queued.handle:
                        continue  # stopped, or started anew, while its event waited here
                    del self._timers[event.timer]
                if isinstance(event, LegEvent) and self._roster.forward(self, event):
                    continue  # it waited here while its leg went to another call
                if isinstance(event, LegEnded):
                    self._roster.remove_leg(self, event.leg_id)
                with queued.answering():
                    log_event(self.log, event)
                    commands = await self._decide(event)
                    for command in commands:
                        self._do(command)
                    queued.refusal = next((command for command in commands if isinstance(command, TurnDown)), None)
        except Exception:
            self.log.exception("call.failed")
            for leg_id in self._control.call.legs:
                self._world.legs.hangup(leg_id, PROTOCOL_ERROR, ())
            self._write_off()
        finally:
            self._release()
        # What is left is the `hangup` event: the bot is told before the task ends.
        await asyncio.gather(*self._asks.values(), return_exceptions=True)

    async def _decide(self, event: Event) -> list[Command]:
        """What the core makes of an event, once it is in the journal: what shows outside must survive a crash."""
        world, call, now = self._world, self._control.call, self._world.clock()
        facts = of_event(event, call, now, secret=self._control.turns.secret)
        commands = self._control.handle(event, now)
        answers = [one for command in commands for one in of_command(command, call, now)]
        before = self._witnesses.here
        happened = self._witnesses.turn(call, facts, answers)
        if moved := before ^ self._witnesses.here:
            self._roster.moved(self, moved, now)
        world.observer.handled(call, event, commands, now)
        for happening in happened:
            world.journal.append(happening)
        # Start, dialog and end are awaited (hostile-world.md, "Crash-only"), though no disk keeps a caller waiting.
        weighty = isinstance(event, LegOffered | CallPlaced | LegAnswered | LegTakenOver)
        weighty = weighty or call.state is CallState.ENDED
        # Not the beginning of a transfer: after a crash one without a beginning has no end either.
        weighty = weighty or any(happening.type == Type.TRANSFER_ENDED for happening in happened)
        if weighty and not await world.journal.settled():
            self.log.warning("journal.late")
        return commands

    def _write_off(self) -> None:
        """The end of a call that a defect of ours took from its control: it gets its last lines all the same."""
        call, now, journal = self._control.call, self._world.clock(), self._world.journal
        if call.state is CallState.ENDED:
            return
        left = LegEnded(self.customer_leg, PROTOCOL_ERROR, 500, None, by_peer=False)
        duration_ms = round((now - call.answered_at) * 1000) if call.answered_at is not None else 0
        end = EndCall(call.id, PROTOCOL_ERROR, EndedBy.GATEWAY, 500, None, duration_ms)
        facts, answers = of_event(left, call, now, secret=False), of_command(end, call, now)
        for happening in self._witnesses.turn(call, facts, answers):
            journal.append(happening)

    def _release(self) -> None:
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        self._released = True
        self._turn_away()
        self._voice.close()
        self._world.bridge.close_voice(self.id)
        self._world.observer.released(self._control.call)
        self._over(self)

    def _turn_away(self) -> None:
        """Whoever asked something of the call while it ended gets an answer all the same."""
        while not self._queue.empty():
            queued = self._queue.get_nowait()
            event = queued.event
            with queued.answering():
                pass
            if isinstance(event, PeerClaimed):
                self._roster.refuse_claim(event.by)
            elif isinstance(event, LegOffered):
                self._world.legs.reject(event.leg_id, 481, "", NORMAL, ())
            elif isinstance(event, LegEvent):  # its leg may have gone to another call
                self._roster.forward(self, event)

    # ── Commands ────────────────────────────────────────────────────────────────────────────────────

    def _do(self, command: Command) -> None:
        legs = self._world.legs
        log_command(self.log, command)
        match command:
            case Ring():
                legs.ring(command.leg_id)
            case Answer():
                legs.answer(command.leg_id)
            case Reject():
                legs.reject(command.leg_id, command.status, command.phrase, command.cause, command.headers)
            case Redirect():
                legs.redirect(command.leg_id, command.contacts)
            case Dial():
                self._dialled(command)
            case Hangup():
                legs.hangup(command.leg_id, command.cause, command.headers, elsewhere=command.elsewhere)
            case SendDigits():
                legs.send_digits(command.leg_id, command.digits, command.duration_ms)
            case SendRefer():
                legs.refer(command)
            case AnswerRefer():
                legs.answer_refer(command.leg_id, command.refer_id, command.status)
            case NotifyRefer():
                legs.notify_refer(command.leg_id, command.refer_id, command.status)
            case ClaimPeer():
                self._roster.claim(self, command)
            case HandOver():
                self._roster.hand_over(self, command.leg, command.target, command.to)
            case RefuseClaim():
                self._roster.refuse_claim(command.to)
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
            case Note() | TurnDown():
                pass
            case EndCall():
                self._ended = True
            case _:
                assert_never(command)

    def _dialled(self, order: Dial) -> None:
        if order.leg_id != self.customer_leg:  # that one is there since the call began
            self._roster.add_leg(self, order.leg_id, order.trunk)
        self._world.legs.dial(order)

    def _start_timer(self, timer: Timer, after_ms: int) -> None:
        if timer in self._timers:
            self._timers[timer].cancel()
        loop = asyncio.get_running_loop()
        self._timers[timer] = loop.call_later(after_ms / 1000, self._fire, timer)

    def _fire(self, timer: Timer) -> None:
        self._queue.put_nowait(Queued(TimerFired(timer), self._timers[timer]))

    async def _ask(self, ask: AskBot) -> None:
        if ask.event is BotEventName.HANGUP:  # what was sent before it, the end of a transfer, arrives before it
            await asyncio.gather(*(task for seq, task in self._asks.items() if seq != ask.seq), return_exceptions=True)
        if not ask.again:
            self._event_id = f"evt_{ULID()}"
        clock, observer = asyncio.get_running_loop().time, self._world.observer
        began = clock()
        try:
            response = await self._bot_of(ask.channel).ask(ask, self._event_id, rfc3339(self._world.clock()))
        except asyncio.CancelledError:
            observer.bot_abandoned(ask.channel)
            raise
        except BotError as error:
            observer.bot_failed(ask.channel, error.kind, clock() - began)
            self.post(BotFailed(ask.seq, error.kind, error.detail))
        except Exception as error:
            self.log.exception("bot.broke")
            observer.bot_failed(ask.channel, BotErrorKind.UNREACHABLE, clock() - began)
            self.post(BotFailed(ask.seq, BotErrorKind.UNREACHABLE, f"internal error: {type(error).__name__}"))
        else:
            took = clock() - began
            observer.bot_answered(ask.channel, took)
            ms = round(took * 1000)
            replies = [
                {"type": reply.type, **reply.model_dump(mode="json", exclude_defaults=True, by_alias=True)}
                for reply in response.replies
            ]
            self.log.info("bot.replied", seq=ask.seq, replies=replies, ms=ms)
            self.post(BotReplied(ask.seq, response))
        finally:
            self._asks.pop(ask.seq, None)
