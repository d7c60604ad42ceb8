"""The agent's flow, cell by cell of control-api.md's table: who is in which room, who hears whom, who is hung up."""

from typing import Any

import pytest

from gateway.calls.allowed import allowed
from gateway.calls.causes import MEDIA_TIMEOUT, NORMAL, EndedBy
from gateway.calls.commands import EndCall, Hangup, Note, Play, Timer, TurnDown
from gateway.calls.events import (
    HangupRequested,
    LegAnswered,
    LegEnded,
    LegOffered,
    RepliesPushed,
    TransferCancelled,
    TransferRequested,
)
from gateway.calls.model import BotParty, LegId, LegParty, MusicParty, Party, Role, Room
from gateway.calls.ordering import word_of
from gateway.calls.orders import Consult, EndConsult, Forward, Hold, Merge, Order, Ordered, Swap
from gateway.calls.refers import AnswerRefer, ReferReceived, ReferTarget
from gateway.calls.replies import parse_response
from gateway.calls.states import CallState, ConsultState
from gateway.calls.switch import Switch
from tests.scripted_call import CALLER, LEG
from tests.unit.calls.test_transfer import BUSY, CUSTOMER, Desk

MUSIC, RINGBACK = MusicParty("hold/calm"), MusicParty("tones/ringback")
BOB = Switch.model_validate({"phoneNumber": "+4916"})


class Agent(Desk):
    """An agent who talks to the customer. Leg 0 is the agent's, leg 1 the consultant's."""

    def orders(self, order: Order) -> "Agent":
        self.happens(Ordered(order))
        return self

    def consults(self, **fields: Any) -> "Agent":
        self.bridged(continueCall=True)
        return self.orders(Consult(BOB, **fields))

    def consulting(self, **fields: Any) -> "Agent":
        self.consults(**fields)
        self.answers(1)
        return self

    def swapped(self) -> "Agent":
        return self.consulting().orders(Swap())

    def merged(self) -> "Agent":
        return self.consulting().orders(Merge())

    @property
    def ann(self) -> LegParty:
        return LegParty(self.leg(0))

    @property
    def bob(self) -> LegParty:
        return LegParty(self.leg(1))

    @property
    def consult_state(self) -> ConsultState:
        return self.control.call.consult

    @property
    def state(self) -> CallState:
        return self.control.call.state

    @property
    def hangups(self) -> list[LegId]:
        return [command.leg_id for command in self.all if isinstance(command, Hangup)]

    @property
    def told_of(self) -> list[str]:
        """The consult's events, and what else is in the history of people."""
        names = [command.name for command in self.all if isinstance(command, Note)]
        told = [name for name in names if name.startswith(("consult.", "customer."))]
        return [name for name in told if name != "consult.bridged"]  # not in the history

    def talk(self, *parties: LegParty) -> bool:
        """These hear one another, and nobody else."""
        pairs = {(a, b) for a in parties for b in parties if a != b}
        return {(a, b) for a, b in self.heard() if a in parties or b in parties} == pairs

    def hears(self, ear: LegParty, source: Party) -> bool:
        """It hears this, and nothing else."""
        return {a for a, b in self.heard() if b == ear} == {source}

    def agent_leaves(self) -> None:
        self.leaves(0)

    def bob_leaves(self) -> None:
        self.leaves(1)

    @property
    def transfers_told(self) -> list[dict[str, Any]]:
        return [dict(ask.data) for ask in self.asks if ask.event.value == "transfer"]


def with_customer(desk: Agent, who: LegParty) -> None:
    assert desk.talk(CUSTOMER, who) and desk.consult_state is ConsultState.NONE and desk.state is CallState.TALKING


# ── none ──────────────────────────────────────────────────────────────────────────────────────────


def test_none_consult() -> None:
    desk = Agent().consults()
    assert desk.consult_state is ConsultState.DIALLING and desk.dials[1].number == "+4916"
    assert desk.hears(CUSTOMER, MUSIC) and desk.hears(desk.ann, RINGBACK)
    assert allowed(desk.control.call) == ["forward", "end-consult", "legs", "play", "hangup"]
    assert desk.told_of == ["consult.started"]


@pytest.mark.parametrize("order", [Swap(), Merge(), Forward(), EndConsult()])
def test_none_takes_nothing_else(order: Order) -> None:
    desk = Agent().bridged()
    desk.orders(order)  # type: ignore[attr-defined]
    with_customer(desk, desk.ann)  # type: ignore[arg-type]
    assert desk.commands == [TurnDown(word_of(order))]


def test_without_an_agent_there_is_no_consult() -> None:
    desk = Agent()
    desk.connected()
    desk.orders(Consult(BOB))
    assert not desk.dials and desk.consult_state is ConsultState.NONE


# ── dialling ──────────────────────────────────────────────────────────────────────────────────────


def test_dialling_answered() -> None:
    desk = Agent().consulting()
    assert desk.consult_state is ConsultState.CONSULTING
    assert desk.talk(desk.ann, desk.bob) and desk.hears(CUSTOMER, MUSIC)
    assert desk.told_of == ["consult.started", "consult.answered"]
    assert allowed(desk.control.call) == ["swap", "merge", "forward", "end-consult", "legs", "play", "hangup"]


@pytest.mark.parametrize("order", [Consult(BOB), Swap(), Merge()])
def test_dialling_takes_no(order: Order) -> None:
    desk = Agent().consults().orders(order)
    assert desk.consult_state is ConsultState.DIALLING and len(desk.dials) == 2


def test_dialling_forward_on_answer() -> None:
    desk = Agent().consults().orders(Forward())
    assert desk.consult_state is ConsultState.DIALLING and not desk.hangups
    desk.answers(1)
    with_customer(desk, desk.bob)
    assert desk.hangups == [desk.leg(0)] and desk.told_of[-1] == "consult.forwarded"
    assert desk.control.call.legs[desk.leg(1)].role is Role.AGENT


def test_dialling_forward_and_nobody_answers() -> None:
    desk = Agent().consults().orders(Forward())
    desk.fails(486, BUSY, number=1)
    with_customer(desk, desk.ann)
    assert not desk.hangups and desk.told_of[-1] == "consult.failed"


def test_dialling_end() -> None:
    desk = Agent().consults().orders(EndConsult())
    with_customer(desk, desk.ann)
    assert desk.hangups == [desk.leg(1)] and desk.told_of[-1] == "consult.ended"


@pytest.mark.parametrize("status", [486, 404, 603])
def test_dialling_failed(status: int) -> None:
    desk = Agent().consults()
    desk.fails(status, BUSY, number=1)
    with_customer(desk, desk.ann)
    (failed,) = [c for c in desk.all if isinstance(c, Note) and c.name == "consult.failed"]
    assert failed.fields["sipStatus"] == status


def test_dialling_not_answered_in_time() -> None:
    desk = Agent().consults()
    desk.now += 31
    desk.time_passes(Timer.RING)
    with_customer(desk, desk.ann)
    assert desk.hangups == [desk.leg(1)]


def test_dialling_agent_leaves_forward() -> None:
    desk = Agent().consults()
    desk.agent_leaves()
    assert desk.state is CallState.TRANSFERRING and desk.hears(CUSTOMER, RINGBACK)
    desk.answers(1)
    with_customer(desk, desk.bob)
    desk.bob_leaves()
    (told,) = desk.transfers_told
    assert told["status"] == "SUCCESS" and [hop["kind"] for hop in told["hops"]] == ["forward"]


def test_dialling_agent_leaves_forward_and_nobody_answers() -> None:
    desk = Agent().consults()
    desk.agent_leaves()
    desk.fails(486, BUSY, number=1)
    (told,) = desk.transfers_told
    assert (told["status"], told["reason"]) == ("SUCCESS", "busy") and desk.state is CallState.BOT


def test_dialling_agent_leaves_end() -> None:
    desk = Agent().consults(on_agent_hangup="end")
    desk.agent_leaves()
    assert desk.hangups == [desk.leg(1)] and desk.state is CallState.BOT
    assert [told["reason"] for told in desk.transfers_told] == ["completed"]


def test_dialling_customer_leaves() -> None:
    desk = Agent().consults()
    desk.customer_leaves()
    assert desk.state is CallState.AGENTS_ONLY and not desk.hangups and desk.hears(desk.ann, RINGBACK)
    assert [ask.event.value for ask in desk.asks] == ["start", "transfer", "hangup"]
    assert "customer.left" in desk.told_of and allowed(desk.control.call) == ["end-consult", "legs", "play", "hangup"]
    desk.answers(1)
    assert desk.talk(desk.ann, desk.bob)
    desk.agent_leaves()
    assert desk.hangups == [desk.leg(1)]
    desk.released(1)
    assert desk.end.ended_by is EndedBy.CUSTOMER and not desk.timers
    assert [ask.event.value for ask in desk.asks] == ["start", "transfer", "hangup"]


def test_dialling_customer_leaves_and_nobody_answers() -> None:
    desk = Agent().consults()
    desk.customer_leaves()
    desk.fails(486, BUSY, number=1)
    assert desk.hangups == [desk.leg(0)]
    desk.released(0)
    assert desk.end and not desk.timers


# ── consulting ────────────────────────────────────────────────────────────────────────────────────


def test_consulting_swap() -> None:
    desk = Agent().swapped()
    assert desk.consult_state is ConsultState.SWAPPED
    assert desk.talk(CUSTOMER, desk.ann) and desk.hears(desk.bob, MUSIC)


def test_consulting_merge() -> None:
    desk = Agent().merged()
    assert desk.consult_state is ConsultState.MERGED and desk.talk(CUSTOMER, desk.ann, desk.bob)
    assert allowed(desk.control.call) == ["forward", "end-consult", "hold", "legs", "play", "hangup"]


@pytest.mark.parametrize("start", ["consulting", "swapped", "merged"])
def test_forward(start: str) -> None:
    desk = getattr(Agent(), start)().orders(Forward())
    with_customer(desk, desk.bob)
    assert desk.hangups == [desk.leg(0)]
    desk.released(0)
    desk.bob_leaves()
    (told,) = desk.transfers_told
    assert [(hop["kind"], hop["number"]) for hop in told["hops"]] == [("forward", "+4916")]
    assert desk.state is CallState.BOT


@pytest.mark.parametrize("start", ["consulting", "swapped", "merged"])
def test_end_consult(start: str) -> None:
    desk = getattr(Agent(), start)().orders(EndConsult())
    with_customer(desk, desk.ann)
    assert desk.hangups == [desk.leg(1)]


@pytest.mark.parametrize("start", ["consulting", "swapped", "merged"])
def test_the_consultant_leaves(start: str) -> None:
    desk = getattr(Agent(), start)()
    desk.bob_leaves()
    with_customer(desk, desk.ann)
    assert not desk.hangups and desk.told_of[-1] == "consult.ended"


@pytest.mark.parametrize("start", ["consulting", "swapped", "merged"])
def test_the_agent_leaves_forward(start: str) -> None:
    desk = getattr(Agent(), start)()
    desk.agent_leaves()
    with_customer(desk, desk.bob)
    assert not desk.hangups and not desk.transfers_told


@pytest.mark.parametrize("swap", [False, True])
def test_the_agent_leaves_end(swap: bool) -> None:
    desk = Agent().consulting(on_agent_hangup="end")
    if swap:
        desk.orders(Swap())
    desk.agent_leaves()
    assert desk.hangups == [desk.leg(1)] and desk.state is CallState.BOT and len(desk.transfers_told) == 1


@pytest.mark.parametrize("start", ["consulting", "swapped", "merged"])
def test_the_customer_leaves(start: str) -> None:
    desk = getattr(Agent(), start)()
    desk.customer_leaves()
    assert desk.state is CallState.AGENTS_ONLY and desk.talk(desk.ann, desk.bob) and not desk.hangups
    assert [ask.event.value for ask in desk.asks] == ["start", "transfer", "hangup"]


@pytest.mark.parametrize("start", ["consulting", "swapped"])
@pytest.mark.parametrize("order", [Consult(BOB)])
def test_one_consult_at_a_time(start: str, order: Order) -> None:
    desk = getattr(Agent(), start)().orders(order)
    assert len(desk.dials) == 2


def test_swapped_swap() -> None:
    desk = Agent().swapped().orders(Swap())
    assert desk.consult_state is ConsultState.CONSULTING and desk.talk(desk.ann, desk.bob)
    assert desk.hears(CUSTOMER, MUSIC)


def test_swapped_merge() -> None:
    desk = Agent().swapped().orders(Merge())
    assert desk.consult_state is ConsultState.MERGED and desk.talk(CUSTOMER, desk.ann, desk.bob)


@pytest.mark.parametrize("order", [Consult(BOB), Swap(), Merge()])
def test_merged_takes_no(order: Order) -> None:
    desk = Agent().merged().orders(order)
    assert desk.consult_state is ConsultState.MERGED and desk.talk(CUSTOMER, desk.ann, desk.bob)


# ── agents-only ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("order", [Consult(BOB), Swap(), Merge(), Forward(), Hold(on=True)])
def test_agents_only_takes_no(order: Order) -> None:
    desk = Agent().consulting()
    desk.customer_leaves()
    desk.orders(order)
    assert desk.state is CallState.AGENTS_ONLY and desk.talk(desk.ann, desk.bob)


def test_agents_only_the_agent_leaves_before_the_answer() -> None:
    """Nobody goes on ringing, and nobody answers a call that nobody is in."""
    desk = Agent().consults()
    desk.customer_leaves()
    desk.agent_leaves()
    assert desk.hangups == [desk.leg(1)] and desk.consult_state is ConsultState.NONE
    assert desk.told_of.count("consult.ended") == 1


@pytest.mark.parametrize("ends", ["end", "hangup"])
def test_agents_only_is_ended_once(ends: str) -> None:
    desk = Agent().consulting()
    desk.customer_leaves()
    desk.happens(Ordered(EndConsult()) if ends == "end" else HangupRequested(NORMAL, EndedBy.GATEWAY))
    assert allowed(desk.control.call) == []
    assert desk.happens(Ordered(EndConsult())) == [TurnDown("end-consult")]


@pytest.mark.parametrize("how", ["end", "agent", "consultant", "limit"])
def test_agents_only_ends(how: str) -> None:
    desk = Agent()
    desk.bridged(maxTalkMs=60_000)
    desk.orders(Consult(BOB))
    desk.answers(1)
    desk.customer_leaves()
    match how:
        case "end":
            desk.orders(EndConsult())
        case "agent":
            desk.agent_leaves()
        case "consultant":
            desk.bob_leaves()
        case "limit":
            desk.time_passes(Timer.MAX_TALK)
    for number, leaver in ((0, "agent"), (1, "consultant")):
        if how != leaver:
            assert desk.leg(number) in desk.hangups
            desk.released(number)
    assert isinstance(desk.all[-1], EndCall) and not desk.timers and not desk.edges


# ── hold, and what does not go together with a consult ────────────────────────────────────────────


def test_hold_is_music_both_ways() -> None:
    desk = Agent()
    desk.bridged()
    desk.orders(Hold(on=True))
    assert desk.hears(CUSTOMER, MUSIC) and desk.hears(desk.ann, MUSIC)
    assert "unhold" in allowed(desk.control.call)
    desk.orders(Hold(on=False))
    with_customer(desk, desk.ann)


def test_the_agent_is_held() -> None:
    desk = Agent()
    desk.bridged()
    desk.orders(Hold(on=True, leg=desk.leg(0)))
    assert desk.hears(desk.ann, MUSIC) and desk.hears(CUSTOMER, MUSIC)


@pytest.mark.parametrize("start", ["consults", "consulting", "swapped"])
def test_no_hold_of_the_customer_during_a_consult(start: str) -> None:
    desk = getattr(Agent(), start)()
    before = desk.heard()
    desk.orders(Hold(on=True))
    assert desk.heard() == before and desk.commands == [TurnDown("hold")]


@pytest.mark.parametrize("leg", ["strange", "gone", "held"])
def test_a_leg_that_cannot_be_held(leg: str) -> None:
    desk = Agent().consulting()
    ids = {"strange": LegId("leg_none"), "gone": desk.leg(1), "held": desk.leg(0)}
    desk.orders(Hold(on=True, leg=desk.leg(0))).orders(EndConsult())
    desk.orders(Hold(on=True, leg=ids[leg]))
    assert desk.commands == [TurnDown("hold")]


def test_a_consult_is_its_agents_alone() -> None:
    desk = Agent()
    desk.bridged()
    desk.orders(Consult(BOB, agent=LEG))
    assert desk.commands == [TurnDown("consult")] and desk.consult_state is ConsultState.NONE
    desk.orders(Consult(BOB, agent=desk.leg(0)))
    assert desk.consult_state is ConsultState.DIALLING


def test_a_consult_begins_with_nobody_on_hold() -> None:
    desk = Agent()
    desk.bridged()
    desk.orders(Hold(on=True)).orders(Consult(BOB))
    desk.answers(1)
    desk.orders(Swap())
    assert desk.talk(CUSTOMER, desk.ann)


@pytest.mark.parametrize("how", [Forward(), None])
def test_who_stays_with_the_customer_finds_them_off_hold(how: Order | None) -> None:
    desk = Agent().merged().orders(Hold(on=True))
    assert desk.talk(desk.ann, desk.bob) and desk.hears(CUSTOMER, MUSIC)
    if how is None:
        desk.agent_leaves()
    else:
        desk.orders(how)
    with_customer(desk, desk.bob)


def test_a_customer_on_hold_comes_back_to_the_bot_without() -> None:
    desk = Agent()
    desk.bridged(continueCall=True)
    desk.orders(Hold(on=True))
    desk.agent_leaves()
    assert desk.state is CallState.BOT and desk.hears(CUSTOMER, BotParty())


def test_a_customer_on_hold_is_passed_on_without() -> None:
    desk = Agent()
    desk.bridged()
    desk.orders(Hold(on=True))
    desk.happens(TransferRequested(BOB))
    desk.answers(1)
    assert desk.talk(CUSTOMER, desk.bob)


def test_nothing_is_left_on_hold_when_the_customer_leaves() -> None:
    desk = Agent().consulting()
    desk.orders(Hold(on=True, leg=desk.leg(0)))
    assert desk.hears(desk.ann, MUSIC) and desk.hears(desk.bob, MUSIC)
    desk.customer_leaves()
    assert desk.talk(desk.ann, desk.bob)


@pytest.mark.parametrize("start", ["consulting", "swapped"])
def test_the_agent_goes_on_at_another_phone(start: str) -> None:
    desk, new = getattr(Agent(), start)(), LegId("leg_new")
    desk.happens(LegOffered(new, CALLER, desk.leg(0)))
    desk.happens(LegAnswered(new, "PCMU"))
    desk.leaves(0)
    assert desk.talk(LegParty(new), desk.bob if start == "consulting" else CUSTOMER)
    desk.orders(Merge())
    assert desk.talk(LegParty(new), desk.bob, CUSTOMER)


def test_the_call_to_a_consultant_whose_agent_is_gone_is_taken_back() -> None:
    desk = Agent().consults()
    desk.agent_leaves()
    assert allowed(desk.control.call) == ["cancel-transfer", "legs", "hangup"]
    desk.happens(TransferCancelled())
    assert desk.hangups == [desk.leg(1)] and desk.state is CallState.BOT
    assert [told["reason"] for told in desk.transfers_told] == ["cancelled"]
    desk.happens(TransferCancelled())
    assert desk.commands == [TurnDown("cancel-transfer")]


def test_a_bot_has_no_say_among_agents_only() -> None:
    desk = Agent().consulting()
    desk.customer_leaves()
    desk.happens(RepliesPushed(parse_response(b'{"replies": [{"type": "text", "text": "Hi"}, {"type": "hangup"}]}')))
    assert not desk.did(Play) and desk.talk(desk.ann, desk.bob) and not desk.hangups


@pytest.mark.parametrize("event", [Ordered(Swap()), TransferRequested(BOB), TransferCancelled()])
def test_what_comes_after_the_hang_up_is_turned_down(event: Ordered | TransferRequested | TransferCancelled) -> None:
    desk = Agent().consulting()
    desk.operator_hangs_up(NORMAL)
    desk.happens(event)
    assert [type(command) for command in desk.commands] == [TurnDown]


def test_neither_transfer_nor_refer_during_a_consult() -> None:
    desk = Agent().consulting()
    desk.happens(TransferRequested(BOB))
    desk.happens(ReferReceived(desk.leg(0), 1, ReferTarget("sip:803@gw", "803", True)))
    assert len(desk.dials) == 2 and [c.status for c in desk.did(AnswerRefer)] == [491]


def test_the_longest_talk_ends_a_consult_too() -> None:
    desk = Agent()
    desk.bridged(maxTalkMs=60_000)
    desk.orders(Consult(BOB))
    desk.answers(1)
    desk.time_passes(Timer.MAX_TALK)
    assert set(desk.hangups) == {desk.leg(0), desk.leg(1), LEG} and desk.transfers_told[0]["reason"] == "max-talk"


def test_a_lost_agent_is_an_agent_who_left() -> None:
    desk = Agent().consulting()
    desk.happens(LegEnded(desk.leg(0), MEDIA_TIMEOUT, 200, None, by_peer=False))
    with_customer(desk, desk.bob)


def test_the_call_is_hung_up_during_a_consult() -> None:
    desk = Agent().consulting()
    desk.operator_hangs_up(NORMAL)
    assert set(desk.hangups) == {desk.leg(0), desk.leg(1), LEG}
    assert desk.control.call.customer.room is Room.MAIN
