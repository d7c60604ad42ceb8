"""What the bot was told and has not answered yet: one event at a time, in order, failures counted; used by control."""

from collections import deque
from dataclasses import dataclass, field, replace

from gateway.calls.commands import AbandonBot, AskBot, BotEventName, Command
from gateway.calls.model import Call, JsonObject
from gateway.calls.view import bot_view


@dataclass(frozen=True, slots=True)
class Tell:
    """Something that the bot should learn."""

    event: BotEventName
    data: JsonObject


@dataclass(slots=True)
class Conversation:
    """The requests of one call (bot-protocol.md: "Events of one call reach the bot one at a time and in order")."""

    call: Call
    waiting: deque[Tell] = field(default_factory=deque)
    pending: AskBot | None = None
    failures: int = 0
    closed: bool = False
    told: bool = False
    _seq: int = 0
    _overtaken: int = 0
    """What is answered to this request, or to one before it, is for nobody: the customer has gone to people since."""

    def tell(self, tell: Tell) -> list[Command]:
        """Send it, now or when those before it are answered."""
        if self.closed:
            return []
        self.waiting.append(tell)
        return self._next()

    def replied(self, seq: int) -> AskBot | None:
        """The request that this answers; None for an answer that nobody waits for any more."""
        asked = self.pending
        if asked is None or asked.seq != seq:
            return None
        self.pending, self.failures = None, 0
        return asked

    def failed(self, seq: int) -> AskBot | None:
        """The request that failed, now counted; None for one that nobody waits for."""
        asked = self.pending
        if asked is None or asked.seq != seq:
            return None
        self.failures += 1
        self.pending = None
        return asked

    def is_overtaken(self, seq: int) -> bool:
        """The request is from before a transfer: its answer was meant for another situation."""
        return seq <= self._overtaken

    def settled(self, seq: int) -> bool:
        """This overtaken request is answered, or failed. Whether it was the pending one."""
        if self.pending is None or self.pending.seq != seq:
            return False
        self.pending = None
        return True

    def again(self, asked: AskBot) -> list[Command]:
        """Send a failed event once more, before all others, under the id it had."""
        self.pending = replace(asked, call=bot_view(self.call), again=True)
        return [self.pending]

    def proceed(self) -> list[Command]:
        """Send what waits, if nothing is pending."""
        return self._next()

    def hand_over(self) -> list[Command]:
        """The call is about to go to another bot: what the first one has not been told or answered is for
        nobody."""
        self.failures = 0
        return self._let_go()

    def give_way(self, *, by_bot: bool) -> list[Command]:
        """The customer is taken from the bot for a while: what it has not been told is too late, but for the end of an
        earlier transfer. What it was asked is given up; not if it wanted the transfer itself (it learns what happened
        before), nor the end of a transfer: those are answered for nobody."""
        self.waiting = deque(tell for tell in self.waiting if tell.event is BotEventName.TRANSFER)
        commands: list[Command] = []
        if self.pending is not None and not by_bot and self.pending.event is not BotEventName.TRANSFER:
            commands = [*self.abandon(), *self._next()]
        self._overtaken = self._seq
        return commands

    def abandon(self) -> list[Command]:
        """What is pending came too late."""
        pending, self.pending = self.pending, None
        return [AbandonBot(pending.seq)] if pending else []

    def give_up(self) -> list[Command]:
        """No more events for this bot but `hangup`, and the end of a transfer, which it is always told before."""
        commands = self._let_go()
        self.closed = self.call.closing = True
        return commands

    def farewell(self, data: JsonObject) -> list[Command]:
        """The call ended: `hangup` overtakes what waits and abandons what is pending; a bot that was never asked
        anything is not told."""
        commands = self.give_up()
        if self.told:
            commands.append(self._ask(Tell(BotEventName.HANGUP, data)))
            self.told = False  # once, though people may talk on
        return commands

    def _let_go(self) -> list[Command]:
        """Nothing is awaited any more. The ends of transfers are told all the same: one that is on its way stays so."""
        last = [tell for tell in self.waiting if tell.event is BotEventName.TRANSFER]
        self.waiting.clear()
        if self.pending is not None and self.pending.event is BotEventName.TRANSFER:
            self.pending = None
        commands = self.abandon()
        return commands if self.closed else [*commands, *(self._ask(tell) for tell in last)]

    def _next(self) -> list[Command]:
        if self.pending or not self.waiting or self.closed:
            return []
        self.pending = self._ask(self.waiting.popleft())
        return [self.pending]

    def _ask(self, tell: Tell) -> AskBot:
        self._seq += 1
        self.told = True
        return AskBot(self._seq, self.call.channel.name, tell.event, tell.data, bot_view(self.call))
