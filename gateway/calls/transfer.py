"""One transfer by INVITE: dials, waits, briefs, bridges, and says once how it ended; driven by control (transfer.md).

It owns the legs of the people it calls until the bridge: they are in the lobby, where the customer does not hear them.
What becomes of the customer afterwards is control's.
"""

from dataclasses import dataclass

from gateway.calls.causes import LOST
from gateway.calls.commands import (
    Command,
    Play,
    SendDigits,
    StartTimer,
    StopPlayback,
    StopTimer,
    Timer,
)
from gateway.calls.events import LegEnded, LegRinging
from gateway.calls.hunt import Hunt
from gateway.calls.model import JsonObject, Leg, LegId, Room, Spoken
from gateway.calls.outbound import Callee, TransferReason
from gateway.calls.outcome import Attempt, reason_of
from gateway.calls.states import (
    LEG_TRANSITIONS,
    LegState,
    LegTrigger,
    TransferState,
    TransferTrigger,
    advance,
)

MOST_REDIRECTIONS = 5
NOTICE_MS = 1800
"""How long somebody who answered for nothing hears that the customer is gone (transfer.md: released within 2 s)."""
_DEFAULT_PROMPT = Spoken(prompt="accept")


@dataclass(slots=True)
class Transfer(Hunt):
    """`say` makes a Play of the call's voice that is none of the bot's turn; `new_leg_id` a fresh id."""

    # ── What happens ────────────────────────────────────────────────────────────────────────────────

    def ringing(self, event: LegRinging, now: float) -> list[Command]:
        """A provisional response."""
        leg = self._leg(event.leg_id)
        if leg is None or leg.state not in (LegState.DIALLING, LegState.RINGING):
            return []
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.PROVISIONAL)
        leg.early_media = leg.early_media or event.media
        if self.state is not TransferState.DIALLING:
            return []
        self._go(TransferTrigger.PROVISIONAL)
        return [self._note("ringing", leg)]

    def answered(self, leg_id: LegId, now: float) -> list[Command]:
        """A 200 came, and its ACK went."""
        leg = self._leg(leg_id)
        if leg is None or leg.state not in (LegState.DIALLING, LegState.RINGING):
            return []
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.ANSWERED)
        first = not self._answered
        self._answered[leg_id] = None
        commands: list[Command] = [self._note("answered", leg)]
        if first:
            self._answered_at = now
            self._go(TransferTrigger.ANSWERED)
        if self.switch.accept is None:
            commands += self._release_others(leg_id)
        commands += self._ring_timer(now)
        if self.switch.post_dial_digits is not None:
            return [*commands, SendDigits(leg_id, self.switch.post_dial_digits, 120)]
        return commands + self._brief(leg_id, now)

    def digits_sent(self, leg_id: LegId, now: float) -> list[Command]:
        """The digits for whatever stands behind the answer are out."""
        if leg_id not in self._answered or self.bridged is not None or self._answered[leg_id] is not None:
            return []
        return self._brief(leg_id, now)

    def playback_ended(self, playback_id: int, now: float) -> list[Command]:
        """A briefing has been heard."""
        self._said = [said for said in self._said if said != playback_id]
        heard = [leg_id for leg_id, play in self._answered.items() if play == playback_id]
        if not heard or self.bridged is not None:
            return []
        for leg_id in heard:
            self._answered[leg_id] = None
        if self.switch.accept is None:
            return self._bridge(heard[0], now)
        for leg_id in heard:
            if leg_id in self._asked:
                self._asked[leg_id] = now + self.switch.accept.timeout_ms / 1000
        briefed = [leg_id for leg_id in heard if leg_id not in self._asked]
        return [*self._accept_timer(now), *(self._ask(briefed) if briefed else [])]

    def digit(self, leg_id: LegId, digit: str, now: float) -> list[Command]:
        """A key of somebody in the lobby: it accepts, or it does not."""
        accept = self.switch.accept
        if accept is None or leg_id not in self._answered or self.bridged is not None:
            return []
        if digit != accept.digit:
            return self._drop(leg_id, TransferReason.NOT_ACCEPTED, now)
        leg = self._leg(leg_id)
        return [*([self._note("accepted", leg)] if leg else []), *self._bridge(leg_id, now)]

    def timer(self, timer: Timer, now: float) -> list[Command]:
        """RING, ACCEPT or MAX_TALK ran out."""
        if timer is Timer.MAX_TALK and self.bridged is not None:
            return self._end(TransferReason.MAX_TALK, "gateway", now) + self._hang_up(self._mine())
        if timer is Timer.ACCEPT:
            silent = [leg_id for leg_id, until in self._asked.items() if until is not None and until <= now]
            commands = [c for leg_id in silent for c in self._drop(leg_id, TransferReason.NOT_ACCEPTED, now)]
            return commands or self._accept_timer(now)
        if timer is Timer.RING:
            late = [leg_id for leg_id, one in self._tries.items() if leg_id not in self._answered and one.until <= now]
            commands = [c for leg_id in late for c in self._drop(leg_id, TransferReason.NO_ANSWER, now)]
            return commands or self._ring_timer(now)
        return []

    def leg_ended(self, event: LegEnded, now: float) -> list[Command]:
        """A leg of ours is gone. (Its state is set by control.)"""
        one = self._tries.pop(event.leg_id, None)
        if event.leg_id == self.bridged:
            if event.cause.reason in LOST:
                return self.left_alone(TransferReason.MEDIA_FAILED, now)
            return self._end(TransferReason.COMPLETED, "agent", now)
        if one is None:
            return []
        screened = self._forget(event.leg_id)
        if event.contacts and not screened and self._redirections < MOST_REDIRECTIONS:  # RFC 3261 §8.1.3.4
            self._redirections += 1
            old = one.callee
            new = Callee("sipUri", event.contacts[0], old.headers, old.timeout_s, one.way.trunk)
            return self._dial([new], now) or self._on_failure(now)
        reason = TransferReason.NOT_ACCEPTED if screened else reason_of(event)
        self.attempts.append(Attempt(one.way.shown, event.sip_status if event.by_peer else None, reason))
        return self._on_failure(now)

    def customer_left(self, now: float, *, by_gateway: bool, lost: bool = False, stay: bool = False) -> list[Command]:
        """The customer is gone: nothing is left ringing; who has answered already is told so. `stay`: those who talked
        go on among themselves, for as long as they might have talked."""
        if self.outcome is not None:
            return []
        if self.bridged is not None:
            commands = self._end(TransferReason.COMPLETED, "gateway" if by_gateway else "customer", now, hangup=True)
            if stay:
                return [command for command in commands if command != StopTimer(Timer.MAX_TALK)]
            return commands + self._hang_up(self._mine())
        reason = TransferReason.CANCELLED if by_gateway else TransferReason.CALLER_ABANDONED
        self._go(TransferTrigger.ABANDON)
        commands = self._over(reason, "gateway" if by_gateway else "customer", now, hangup=True)
        waiting = [leg for leg in self._mine() if leg.id in self._answered and not by_gateway]
        if waiting:
            commands += [self.say(Spoken(prompt="caller-left")), StartTimer(Timer.NOTICE, NOTICE_MS)]
        return commands + self._hang_up(leg for leg in self._mine() if leg not in waiting)

    # ── Briefing and bridge ─────────────────────────────────────────────────────────────────────────

    def _brief(self, leg_id: LegId, now: float) -> list[Command]:
        announce = self.switch.announce
        if announce is not None:
            play = self._tell(Spoken(announce.text, announce.prompt))
            self._answered[leg_id] = play.playback_id
            if self.state is TransferState.ANSWERED:
                self._go(TransferTrigger.ANNOUNCE)
            return [play]
        if self.switch.accept is not None:
            return self._ask([leg_id])
        return self._bridge(leg_id, now)

    def _ask(self, leg_ids: list[LegId]) -> list[Command]:
        accept = self.switch.accept
        if accept is None:
            return []
        if self.state is not TransferState.ACCEPTING:
            self._go(TransferTrigger.ASK)
        play = self._tell(Spoken(accept.text, accept.prompt) if accept.text or accept.prompt else _DEFAULT_PROMPT)
        for leg_id in leg_ids:
            self._answered[leg_id], self._asked[leg_id] = play.playback_id, None
        return [play]

    def _accept_timer(self, now: float) -> list[Command]:
        until = [until for until in self._asked.values() if until is not None]
        if not until:
            return [StopTimer(Timer.ACCEPT)]
        return [StartTimer(Timer.ACCEPT, max(1, round((min(until) - now) * 1000)))]

    def _forget(self, leg_id: LegId) -> bool:
        """This one is out of the lobby; whether it had answered."""
        self._asked.pop(leg_id, None)
        answered = leg_id in self._answered
        self._answered.pop(leg_id, None)
        return answered

    def _tell(self, spoken: Spoken) -> Play:
        play = self.say(spoken)
        self._said.append(play.playback_id)
        return play

    def _hush(self) -> list[Command]:
        """Stop what nobody in the lobby waits for any more: the next one to hear the call's voice is somebody else."""
        wanted = set(self._answered.values()) if self.outcome is None and self.bridged is None else set()
        stopped = [said for said in self._said if said not in wanted]
        self._said = [said for said in self._said if said in wanted]
        return [StopPlayback(said) for said in stopped]

    def _bridge(self, leg_id: LegId, now: float) -> list[Command]:
        leg = self._leg(leg_id)
        if leg is None or leg.state is not LegState.CONNECTED:
            return []
        self._go(TransferTrigger.BRIDGE)
        self.bridged, self._bridged_at = leg_id, now
        self._number = self._tries[leg_id].way.shown
        leg.room = self.room
        commands: list[Command] = [self._note("bridged", leg), *self._release_others(leg_id)]
        self._asked.clear()
        commands += [*self._hush(), StopTimer(Timer.RING), StopTimer(Timer.ACCEPT)]
        if self.is_hop:  # the transfer that it is a hop of has its own
            return commands
        limits = [self.switch.max_talk_ms, round(most * 1000) if (most := self._tries[leg_id].way.max_talk_s) else None]
        if any(limits):
            commands.append(StartTimer(Timer.MAX_TALK, min(limit for limit in limits if limit)))
        return commands

    def _release_others(self, but: LegId) -> list[Command]:
        others = [leg for leg in self._mine() if leg.id != but]
        for leg in others:
            self._tries.pop(leg.id, None)
            self._forget(leg.id)
        return self._hang_up(others, elsewhere=True)

    # ── Hops ────────────────────────────────────────────────────────────────────────────────────────

    def adopt(self, leg: Leg, hop: JsonObject) -> None:
        """Somebody else talks to the customer from now on; the transfer goes on."""
        self._called.add(leg.id)
        self._tries.clear()
        self.bridged, leg.room = leg.id, Room.MAIN
        self.hops.append(hop)

    def passed_on(self, now: float, by: str = "agent", *, hangup: bool = False) -> list[Command]:
        """Of a hop: whom it reached talks to the customer, and is the other transfer's. Of a transfer whose people are
        now another call's: it is over."""
        return self._end(TransferReason.COMPLETED, by, now, hangup=hangup)

    def left_alone(self, reason: TransferReason, now: float) -> list[Command]:
        """They talked, and the customer has nobody any more, through no hang-up."""
        return self._end(reason, "agent", now, left_alone=True)

    # ── The end ─────────────────────────────────────────────────────────────────────────────────────

    def _give_up(self, reason: TransferReason, now: float) -> list[Command]:
        self._go(TransferTrigger.FAIL)
        return [*self._over(reason, "gateway", now), *self._hang_up(self._mine())]

    def _end(
        self, reason: TransferReason, by: str, now: float, *, hangup: bool = False, left_alone: bool = False
    ) -> list[Command]:
        self._go(TransferTrigger.END)
        return self._over(reason, by, now, hangup=hangup, left_alone=left_alone)

    def _over(
        self, reason: TransferReason, by: str, now: float, *, hangup: bool = False, left_alone: bool = False
    ) -> list[Command]:
        talked = self._bridged_at is not None
        self._conclude(reason, by, now, success=talked, hangup=hangup, left_alone=left_alone)
        self._tries.clear()
        self._asked.clear()
        timers = [Timer.RING, Timer.ACCEPT] if self.is_hop else [Timer.RING, Timer.ACCEPT, Timer.MAX_TALK]
        return [*self._hush(), *(StopTimer(timer) for timer in timers)]
