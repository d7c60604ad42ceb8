"""What must hold for every call whatever everybody does (house.md, "Properties to prove"); the base of any_call.py."""

from collections import Counter

from hypothesis.stateful import RuleBasedStateMachine, invariant

from gateway.calls.causes import NORMAL
from gateway.calls.commands import (
    Answer,
    EndCall,
    Hangup,
    Play,
    PlayPrompt,
    Redirect,
    Reject,
    SendDigits,
    Timer,
)
from gateway.calls.events import LegEnded
from gateway.calls.hearing import hearing
from gateway.calls.model import BotParty, Call, ChannelPolicy, Edge, Leg, LegId, LegParty, PeerHold, Ringback, Room
from gateway.calls.outbound import NoWay, TransferReason
from gateway.calls.referral import Referral
from gateway.calls.states import CallState, LegState
from gateway.calls.transfer import Transfer
from tests.scripted_call import CALLER, Everywhere
from tests.watched_call import ALIVE as IN_THE_WORLD
from tests.watched_call import Dialog, Started, WatchedCall

CALLING = (LegState.DIALLING, LegState.RINGING)
ALIVE = (*CALLING, LegState.ANSWERING, LegState.CONNECTED, LegState.ENDING)
NOTICE = (PlayPrompt("caller-left"),)
NOWHERE = {
    "+900": NoWay(TransferReason.BLOCKED, "+900 is denied"),
    "999": NoWay(TransferReason.INVALID_NUMBER, "999 is nobody"),
}


class CallInvariants(RuleBasedStateMachine):
    """`begins` makes the call; the rules are any_call.py's."""

    calm = 0
    """For so many events nobody ends anything: else few would get far."""

    def restless(self) -> bool:
        return self.up() and self.call.events > self.calm

    def begins(self, channel: ChannelPolicy) -> None:
        self.sent: dict[LegId, int] = {}
        self.aside: set[int] = set()
        self.looked_at = 0
        self.new_legs = 0
        channels = {"sales": ChannelPolicy("sales")}
        self.call = WatchedCall(channel, channels, ways=Everywhere(NOWHERE, refers={CALLER.trunk}))
        self.call.offered()

    @property
    def desk(self) -> Call:
        return self.call.control.call

    @property
    def customer(self) -> LegId:
        return self.desk.customer.id

    def agents(self, *states: LegState) -> list[Leg]:
        return [leg for leg in self.desk.others if leg.state in states]

    def up(self) -> bool:
        return self.desk.state is not CallState.ENDED

    def leg_is(self, *states: LegState) -> bool:
        return self.desk.customer.state in states

    def digits_to(self, leg: Leg) -> int:
        return sum(isinstance(c, SendDigits) and c.leg_id == leg.id for c in self.call.all)

    def sounding(self) -> list[Play]:
        return [play for play in self.call.playing if play.playback_id not in self.call.stopping]

    # ── The bot ─────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def one_request_at_a_time_and_one_hangup_event(self) -> None:
        asks = [a for a in self.call.asks if not a.again]
        assert len({a.seq for a in asks}) == len(asks)
        pending = [a for a in self.call.open_asks.values() if a.event.value not in ("hangup", "transfer")]
        assert len(pending) <= 1
        assert all(a.event.value != "hangup" for a in asks[:-1])

    @invariant()
    def a_connected_call_always_waits_for_somebody(self) -> None:
        """Never dead air without end: something plays, a key, an answer, a timer or the peer is waited for."""
        control = self.call.control
        if self.leg_is(LegState.CONNECTED):
            assert control.turns.held is (self.desk.customer.peer_hold is not PeerHold.NONE)
            assert control.turns.leg_id == self.customer
            assert (
                self.call.playing
                or self.call.open_asks
                or self.call.timers
                or control.turns.held
                or control.turns._sending  # digits are on their way out
                or self.desk.state is CallState.TALKING
                or (self.desk.state is CallState.TRANSFERRING and self.call.claims)
                or any(self.digits_to(leg) > self.sent.get(leg.id, 0) for leg in self.agents(LegState.CONNECTED))
            )

    # ── Legs ────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def the_legs_are_those_that_there_are(self) -> None:
        """None is forgotten, none is thought to live on (the world's side: watched_call.py)."""
        ours = {leg.id for leg in self.desk.legs.values() if leg.state is not LegState.ENDED}
        assert ours == {*self.call.legs_that_are(*IN_THE_WORLD)} - self.call.turned_away
        for leg in self.desk.legs.values():
            ending = self.call.dialogs[leg.id] is Dialog.ENDING
            assert (leg.state is LegState.ENDING) is ending

    @invariant()
    def an_ended_call_ended_once_and_left_nothing(self) -> None:
        ends = [c for c in self.call.all if isinstance(c, EndCall)]
        assert len(ends) == (0 if self.up() else 1)
        answers = Counter(c.leg_id for c in self.call.all if isinstance(c, Answer))
        assert all(count == 1 for count in answers.values())
        ended = Counter(c.leg_id for c in self.call.all if isinstance(c, Hangup | Reject | Redirect))
        assert all(count == 1 for count in ended.values())
        if not self.up():
            assert not self.call.timers
            assert not self.call.edges
            assert all(leg.state is LegState.ENDED for leg in self.desk.legs.values())
            assert all(a.event.value in ("hangup", "transfer") for a in self.call.open_asks.values())
            assert all(p.items == NOTICE for p in self.sounding())
            assert isinstance(self.call.all[-1], EndCall)

    # ── Transfers ───────────────────────────────────────────────────────────────────────────────────

    def under_way(self, *, hop: bool) -> list[Started]:
        return [one for one in self.call.transfers.values() if one.ended is None and one.hop is hop]

    @invariant()
    def a_transfer_is_told_exactly_once(self) -> None:
        """By watched_call.py nothing follows its end. The bot learns of its own only, in order."""
        control, own = self.call.control, [one for one in self.call.transfers.values() if not one.hop]
        assert [one.id for one in self.under_way(hop=False)] == ([control.transfer.id] if control.transfer else [])
        hop = control.hop.transfer if control.hop else None
        assert [one.id for one in self.under_way(hop=True)] == ([hop.id] if hop else [])
        told = [a.data for a in self.call.asks if a.event.value == "transfer" and not a.again]
        waiting = [t.data for t in control.conversation.waiting if t.event.value == "transfer"]
        over = [one.ended for one in own if one.ended is not None]
        assert over == told + waiting, "the bot is told in order, when it has answered what it was told before"
        assert self.desk.transfer_id == (control.transfer.id if control.transfer else None)
        assert self.desk.passing_on is (control.hop is not None)
        if not self.up():
            assert not waiting and control.transfer is None and control.hop is None

    @invariant()
    def a_status_says_what_was(self) -> None:
        for one in self.call.transfers.values():
            if one.ended is None:
                continue
            success = one.ended["status"] == "SUCCESS"
            assert success is (
                one.bridged if one.ended["method"] == "invite" else one.ended["endedBy"] == "transferred"
            )
            assert one.ended["sipStatus"] == 200 if success else one.ended["reason"] != "completed"

    @invariant()
    def where_the_customer_is(self) -> None:
        """The state of the call is who is with the customer."""
        control, state = self.call.control, self.desk.state
        here = [leg for leg in self.agents(LegState.CONNECTED) if leg.room is Room.MAIN]
        if not self.leg_is(LegState.CONNECTED):
            assert not here
            return
        assert control.turns.parked is (state in (CallState.TRANSFERRING, CallState.TALKING))
        assert (control.transfer is not None) is control.turns.parked
        if state is CallState.TALKING:
            assert isinstance(control.transfer, Transfer) and [leg.id for leg in here] == [control.transfer.bridged]
            self.hear_each_other(self.desk.customer, here[0])
        else:
            assert not here, "nobody but the bot"

    def hear_each_other(self, one: Leg, other: Leg) -> None:
        """Until the next one is there, and from then on."""
        for mouth, ear in ((one, other), (other, one)):
            heard = Edge(LegParty(mouth.id), LegParty(ear.id)) in self.call.edges
            assert heard is (ear.peer_hold is PeerHold.NONE and mouth.peer_hold is not PeerHold.INACTIVE)

    @invariant()
    def whoever_referred_is_told_how_it_went(self) -> None:
        """Exactly one final NOTIFY after a 202, and none while somebody is called (watched_call.py: no second one)."""
        hop = self.call.control.hop
        for refer_id, refer in self.call.asked.items():
            last = refer.notified[-1] if refer.notified else 0
            assert (refer.answer == 202) is bool(refer.notified)
            if refer.answer == 202:
                assert (last < 200) is (hop is not None and hop.refer_id == refer_id)

    @invariant()
    def a_claim_is_open_or_somebody_is_called(self) -> None:
        hop = self.call.control.hop
        if hop is not None and hop.transfer is None:
            assert hop.target is not None and self.call.claims == [hop.target.replaces]
        assert len(self.call.claims) <= 1, "whose answer it is would be anybody's guess"

    # ── Time ────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def a_timer_of_people_runs_only_while_somebody_needs_it(self) -> None:
        timers, gone, transfer = self.call.timers, self.leg_is(LegState.ENDED), self.call.control.transfer
        calls = self.desk.state is CallState.TRANSFERRING or self.desk.passing_on
        in_lobby = [leg for leg in self.agents(LegState.CONNECTED) if leg.room is Room.LOBBY]
        refers = isinstance(transfer, Referral)
        assert (Timer.RING in timers) is bool(self.agents(*CALLING) or refers)
        assert Timer.RING not in timers or refers or (calls and not gone)
        assert Timer.ACCEPT not in timers or (calls and in_lobby and not gone)
        talks = isinstance(transfer, Transfer) and transfer.bridged is not None
        limited = talks and transfer is not None and transfer.switch.max_talk_ms is not None
        assert (Timer.MAX_TALK in timers) is limited
        assert Timer.NOTICE not in timers or (gone and in_lobby)
        assert not gone or timers.keys() <= {Timer.NOTICE, Timer.RING}

    # ── Hearing ─────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def the_edges_are_those_of_the_state(self) -> None:
        assert self.call.edges == hearing(self.desk)

    @invariant()
    def the_lobby_is_closed(self) -> None:
        calling = {LegParty(leg.id) for leg in self.agents(*CALLING)}
        lobby = {LegParty(leg.id) for leg in self.desk.others if leg.room is Room.LOBBY}
        for edge in self.call.edges:
            if edge.source in lobby:
                early = self.desk.ringback is Ringback.EARLY_MEDIA and edge.source in calling
                assert early and edge.sink == LegParty(self.customer) and self.desk.state is CallState.TRANSFERRING
            if edge.sink in lobby:
                assert edge.source == BotParty() and self.desk.state is not CallState.BOT

    @invariant()
    def only_the_lobby_hears_what_is_said_aside(self) -> None:
        customer = LegParty(self.customer)
        if self.desk.state in (CallState.TRANSFERRING, CallState.TALKING):
            self.aside |= {c.playback_id for c in self.call.all[self.looked_at :] if isinstance(c, Play)}
            assert all(play.playback_id in self.aside for play in self.sounding()), "nothing of the bot's"
            assert all(edge.sink != customer for edge in self.call.edges if edge.source == BotParty())
        self.looked_at = len(self.call.all)
        talking = self.desk.state is CallState.TALKING and not self.desk.passing_on and not self.leg_is(LegState.ENDED)
        if self.desk.state is CallState.BOT or talking:
            assert not [play for play in self.sounding() if play.playback_id in self.aside]

    # ── The end ─────────────────────────────────────────────────────────────────────────────────────

    def teardown(self) -> None:
        """The customer hangs up: all the rest follows by itself, and within two seconds, or five after a REFER."""
        if not hasattr(self, "call") or not self.up():
            return
        if not self.leg_is(LegState.ENDED):
            self.call.happens(LegEnded(self.customer, NORMAL, 200, 16, by_peer=True))
        for timer in (Timer.NOTICE, Timer.RING):
            if timer in self.call.timers:
                self.call.time_passes(timer)
        assert not self.agents(*CALLING, LegState.ANSWERING, LegState.CONNECTED), "nobody is left ringing or alone"
        for leg in self.agents(LegState.ENDING):
            self.call.happens(LegEnded(leg.id, NORMAL, 487, None, by_peer=False))
        assert not self.up()
        self.a_transfer_is_told_exactly_once()
        self.whoever_referred_is_told_how_it_went()
        self.an_ended_call_ended_once_and_left_nothing()
