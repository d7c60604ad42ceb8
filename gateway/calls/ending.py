"""How a call ends, whoever hangs up when; a base of control.py."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.calls import rights
from gateway.calls.allowed import allowed
from gateway.calls.causes import LOST, NORMAL, Cause, EndedBy
from gateway.calls.commands import Command, EndCall, Hangup, Note, Reject, StopTimer, Timer, TurnDown
from gateway.calls.events import (
    Event,
    HangupRequested,
    LegEnded,
    LegOffered,
    TimerFired,
    TransferCancelled,
    TransferRequested,
)
from gateway.calls.handing import Handing
from gateway.calls.model import Leg, Role, Room
from gateway.calls.ordering import Ordering, word_of
from gateway.calls.orders import Ordered
from gateway.calls.refers import (
    AnswerRefer,
    LegTakenOver,
    PeerClaimed,
    ReferAnswered,
    ReferNotified,
    ReferReceived,
    RefuseClaim,
)
from gateway.calls.states import (
    CALL_TRANSITIONS,
    LEG_TRANSITIONS,
    CallState,
    CallTrigger,
    LegState,
    LegTrigger,
    advance,
)
from gateway.calls.transfer import Transfer
from gateway.calls.view import farewell


@dataclass(slots=True)
class Ending(Ordering):
    """The end is the customer's leg; those of others are waited for."""

    def _is_late(self, event: Event) -> bool:
        """We have hung up, or the customer has: nothing that still comes matters, but for the ends of legs, the notice
        to those who have answered, what the peer of a REFER still says, and whoever will not wait for that."""
        if isinstance(event, LegEnded):
            return False
        if self._ending is not None:
            return True
        if self._gone is None or self.call.state is CallState.AGENTS_ONLY:
            return False
        awaited = (Timer.NOTICE, Timer.RING) if self.transfer is not None else (Timer.NOTICE,)
        if isinstance(event, TimerFired):
            return event.timer not in awaited
        return self.transfer is None or not isinstance(event, ReferAnswered | ReferNotified | HangupRequested)

    def _is_theirs(self, event: Event) -> bool:
        """Whether an agent who asks for this is the one who acts."""
        return rights.is_theirs(event, self._acting(), self.call.legs)

    def _acting(self) -> Leg | None:
        """Whose consult it is, or who talks to the customer; once that one has left, the first of those who talk on."""
        if self.consult is not None:
            return self.consult.agent
        talk_on = self._people() if self.call.state is CallState.AGENTS_ONLY else []
        return talk_on[0] if talk_on else self._agent()

    def _turned_away(self, event: Event) -> list[Command]:
        """What comes too late, or from somebody else, and would be left hanging."""
        match event:
            case LegOffered():
                return [Reject(event.leg_id, 481, NORMAL)]
            case LegTakenOver():
                self.call.others.append(event.leg)
                return self._release(event.leg, NORMAL)
            case PeerClaimed():
                return [RefuseClaim(event.by)]
            case ReferReceived():
                return [AnswerRefer(event.leg_id, event.refer_id, 481)]
            case Ordered():
                return [TurnDown(word_of(event.order))]
            case TransferRequested():
                return [TurnDown("transfer")]
            case TransferCancelled():
                return [TurnDown("cancel-transfer")]
            case HangupRequested(agent=str()) if "hangup" in allowed(self.call):
                return [TurnDown("hangup")]
            case _:
                return []

    def _hang_up(self, cause: Cause, by: EndedBy, headers: Mapping[str, str] | None = None) -> list[Command]:
        if self.call.state is CallState.AGENTS_ONLY:
            return self._part()
        if self._gone is not None:  # the last NOTIFY after the peer's BYE, which is waited for no longer
            return self.transfer.timer(Timer.RING, self._now) if self.transfer is not None else []
        leg = self.call.customer
        commands = [*self._end_consult(), *self._drop_hop(self._now, customer_left=True, by_gateway=True)]
        commands += self.transfer.customer_left(self._now, by_gateway=True) if self.transfer else []
        commands += [*self._after_transfer(), *self._release_replacements(), *self._release_joined(supervisors=True)]
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.RELEASE)
        return [*commands, *self._closing(cause, by), Hangup(leg.id, cause, tuple((headers or {}).items()))]

    def _closing(self, cause: Cause, by: EndedBy) -> list[Command]:
        self._ending = (cause, by)
        return [*self._stop_all(), *self.conversation.give_up()]

    def _ended(self, event: LegEnded, now: float) -> list[Command]:
        leg = self.call.legs.get(event.leg_id)
        if leg is None:
            return []
        leg.state = advance(LEG_TRANSITIONS, leg.state, LegTrigger.GONE)
        commands = self._stays_no_more(leg.id)
        if leg is self.call.customer:
            self._gone = (event, now)
            commands += self._customer_left(by_gateway=not event.by_peer, lost=event.cause.reason in LOST)
        elif self._is_last():
            commands.append(StopTimer(Timer.NOTICE))  # whoever heard it has hung up
        elif leg.id not in self._let_go:
            self._replacing.pop(leg.id, None)
            commands += self._one_left(leg, event)
        return commands

    def _is_last(self) -> bool:
        """Of those who waited for the end after the customer; who talks on without them has something to leave."""
        if self._gone is None or self.call.state is CallState.AGENTS_ONLY:
            return False
        return not any(one.state is LegState.CONNECTED for one in self.call.others)

    def _customer_left(self, *, by_gateway: bool, lost: bool) -> list[Command]:
        if isinstance(self.transfer, Transfer) and self._people_stay():
            return self._people_go_on(self.transfer, by_gateway=by_gateway)
        commands = [*self._end_consult(), *self._drop_hop(self._now, customer_left=True, by_gateway=by_gateway)]
        if self.transfer is not None:
            commands += self.transfer.customer_left(self._now, by_gateway=by_gateway, lost=lost)
            commands += self._after_transfer()
        commands += [*self._release_replacements(), *self._release_joined(supervisors=True)]
        if self.transfer is not None:  # the peer took a REFER: it may say what became of it
            return [*commands, *self._stop_all(Timer.NOTICE, Timer.RING)]
        return [*commands, *self._stop_all(Timer.NOTICE), *self.conversation.give_up()]

    def _people_go_on(self, transfer: Transfer, *, by_gateway: bool) -> list[Command]:
        """Agent and consultant talk on; for the bot the call is over."""
        commands: list[Command] = [Note("customer.left", {"by": "gateway" if by_gateway else "customer"})]
        commands += self._drop_hop(self._now, customer_left=True, by_gateway=by_gateway)
        commands += transfer.customer_left(self._now, by_gateway=by_gateway, stay=True)
        commands += [*self._after_transfer(), *self._release_replacements()]
        self.call.state = advance(CALL_TRANSITIONS, self.call.state, CallTrigger.CUSTOMER_LEFT)
        commands += [
            *self._reopen(*self.call.legs.values()),
            *self._stop_all(Timer.RING, Timer.ACCEPT, Timer.MAX_TALK, Timer.JOIN, Timer.NOTICE),
        ]
        return [*commands, *self.conversation.farewell(farewell(self._last_words()))]

    def _notice_is_over(self) -> list[Command]:
        """Whoever answered for nobody has heard it; those who talk on are not meant."""
        if self.call.state is not CallState.AGENTS_ONLY:
            return self._release_others()
        waiting = [leg for leg in self.call.others if leg.role is Role.AGENT and leg.room is Room.LOBBY]
        return [command for leg in waiting for command in self._release(leg, NORMAL)]

    def _part(self) -> list[Command]:
        """Those who talk on after the customer are released, and whoever is called."""
        return [*self._end_consult(), *self._release_others()]

    def _one_of_people_left(self, leg: Leg, event: LegEnded) -> list[Command]:
        """Of those who talk on after the customer; the others stay as long as there are two of them."""
        consult = self.consult
        if consult is None:
            return []
        if leg is consult.agent:
            return self._end_consult()
        if leg is consult.peer:
            return self._consult_over("consultant")
        return consult.hunt.leg_ended(event, self._now) if consult.peer is None and consult.hunt.calls(leg.id) else []

    def _one_left(self, leg: Leg, event: LegEnded) -> list[Command]:
        """Of the people, not the customer."""
        if self._joins(leg.id):
            return self._joiner_left(leg.id)
        if self.call.state is CallState.AGENTS_ONLY:
            return self._one_of_people_left(leg, event)
        of_consult = self._one_of_consult_left(leg, event)
        if of_consult is not None:
            return of_consult
        hop = self.hop
        heir = self._heir() if self.transfer is not None and leg.id == self.transfer.bridged else None
        if heir is not None:
            return self._pass_to(heir)
        last = self.transfer is not None and leg.id == self.transfer.bridged
        if hop is not None and (leg is hop.referrer or (last and hop.referrer.state is not LegState.CONNECTED)):
            return self._referrer_left()
        if hop is not None and hop.transfer is not None and hop.transfer.calls(leg.id):
            return hop.transfer.leg_ended(event, self._now)
        return self.transfer.leg_ended(event, self._now) if self.transfer is not None else []

    def _end_if_over(self) -> list[Command]:
        """The customer is gone, and so is everybody else."""
        if self._gone is None or self.transfer is not None or self.call.state is CallState.ENDED:
            return []
        if any(one.state is not LegState.ENDED for one in self.call.legs.values()):
            return []
        return self._end()

    def _end(self) -> list[Command]:
        """The last leg is gone; the call is over since the customer's was."""
        call, end = self.call, self._last_words()
        call.state = advance(CALL_TRANSITIONS, call.state, CallTrigger.LEFT)
        call.ended_at, call.cause, call.ended_by = self._gone[1] if self._gone else self._now, end.cause, end.ended_by
        return [*self._stop_all(), *self._stop_announcement(), *self.conversation.farewell(farewell(end)), end]

    def _last_words(self) -> EndCall:
        """How the customer's part of the call ended."""
        event, at = self._gone or (None, self._now)
        by_peer = event is not None and event.by_peer
        heard = (event.cause if event else NORMAL, EndedBy.CUSTOMER if by_peer else EndedBy.GATEWAY)
        cause, by = self._ending or heard
        answered_at = self.call.answered_at
        duration_ms = round((at - answered_at) * 1000) if answered_at is not None else 0
        status, q850 = (event.sip_status, event.q850) if event else (200, None)
        return EndCall(self.call.id, cause, by, status, q850, duration_ms)

    @property
    def _dialling(self) -> Handing | None:
        """What calls people now: a hop, or the transfer."""
        if self.consult is not None and self.consult.peer is None:
            return self.consult.hunt
        return self.hop.transfer if self.hop is not None and self.hop.transfer is not None else self.transfer
