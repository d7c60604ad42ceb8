"""People who pass the customer on, REFERs both ways, places that are taken, calls that want each other's legs: the rest
of any_call.py."""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from gateway.calls.causes import MEDIA_TIMEOUT, NORMAL
from gateway.calls.events import LegAnswered, LegEnded, LegOffered
from gateway.calls.model import CallId, Leg, LegId, Role
from gateway.calls.refers import (
    ClaimRefused,
    HandOver,
    LegTakenOver,
    PeerClaimed,
    ReferAnswered,
    ReferNotified,
    ReferReceived,
    ReferTarget,
)
from gateway.calls.states import LegState
from tests.any_call import AnyCall
from tests.call_invariants import CALLING
from tests.scripted_call import CALLER
from tests.watched_call import Dialog

OTHER = CallId("call_2")
ELSEWHERE = LegId("leg_of_another_call")
final = st.sampled_from([200, 202, 302, 404, 405, 486, 503, 603])
NAMED = ("ours", "elsewhere", "inside")
"""Whose dialog a Replaces names: another call's, nobody's here, this call's."""
users = st.sampled_from(["+4915", "+4916", "+900", "999"])


class AnyHop(AnyCall):
    """`leg_id` of a rule is drawn from all legs that there are or were."""

    def draw_leg(self, data: st.DataObject, *where: Dialog) -> LegId:
        return data.draw(st.sampled_from(sorted(self.call.legs_that_are(*where))))

    def new_leg(self) -> LegId:
        self.new_legs += 1
        return LegId(f"leg_new_{self.new_legs}")

    # ── REFER ───────────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.up() and self.call.legs_that_are(Dialog.UP, Dialog.ENDING))
    @rule(
        data=st.data(), user=users, own=st.booleans(), replaces=st.sampled_from([None, "ours", "elsewhere", "inside"])
    )
    def a_refer_comes(self, data: st.DataObject, user: str, own: bool, replaces: str | None) -> None:
        target = ReferTarget(f"sip:{user}@gw", user, own)
        if replaces == "elsewhere":
            target = replace(target, replaces_elsewhere="abc;to-tag=1;from-tag=2")
        if replaces == "ours":
            target = replace(target, replaces=ELSEWHERE)
        if replaces == "inside":
            target = replace(target, replaces=self.draw_leg(data, *Dialog))
        leg_id = self.draw_leg(data, Dialog.UP, Dialog.ENDING)
        self.call.happens(ReferReceived(leg_id, len(self.call.asked) + 1, target))

    @precondition(lambda self: self.call.unanswered)
    @rule(data=st.data(), status=final, by_peer=st.booleans(), notifies=st.booleans())
    def our_refer_is_answered(self, data: st.DataObject, status: int, by_peer: bool, notifies: bool) -> None:
        leg_id = data.draw(st.sampled_from(self.call.unanswered))
        if not by_peer:
            status = data.draw(st.sampled_from([408, 503]))
        self.call.happens(ReferAnswered(leg_id, status, by_peer=by_peer, notifies=notifies))

    @precondition(lambda self: self.call.referred)
    @rule(data=st.data(), status=st.sampled_from([100, 180, 183]) | final)
    def a_notify_comes(self, data: st.DataObject, status: int) -> None:
        """At any time: before the answer, after the leg's end, after its last one."""
        self.call.happens(ReferNotified(data.draw(st.sampled_from(self.call.referred)), status))

    # ── Calls that want each other's legs ───────────────────────────────────────────────────────────

    @precondition(lambda self: self.call.claims)
    @rule()
    def the_other_call_hands_over(self) -> None:
        leg = Leg(self.new_leg(), Role.AGENT, LegState.CONNECTED, trunk="office")
        was_over = self.call.is_over
        self.call.happens(LegTakenOver(leg, "+4920"))
        if was_over:  # live.py: hung up, as the call that it was for is over
            self.call.dialogs[leg.id] = Dialog.GONE

    @precondition(lambda self: self.call.claims)
    @rule()
    def the_other_call_refuses(self) -> None:
        self.call.happens(ClaimRefused())

    @precondition(lambda self: self.restless())
    @rule(data=st.data(), unknown=st.booleans())
    def another_call_wants_a_peer(self, data: st.DataObject, unknown: bool) -> None:
        leg_id = LegId("nobody") if unknown else data.draw(st.sampled_from([*self.desk.legs]))
        talked = {leg.id for leg in self.agents(LegState.CONNECTED)}
        self.call.happens(PeerClaimed(leg_id, OTHER))
        handed = [c.leg.id for c in self.call.commands if isinstance(c, HandOver)]
        assert {*handed} <= talked and not {*handed} & {*self.desk.legs}

    # ── INVITE with Replaces ────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.up())
    @rule(data=st.data())
    def somebody_calls_to_take_a_place(self, data: st.DataObject) -> None:
        taken = data.draw(st.sampled_from([*self.desk.legs]))
        self.call.happens(LegOffered(self.new_leg(), replace(CALLER, trunk="office"), taken))

    @precondition(lambda self: self.agents(LegState.ANSWERING))
    @rule(data=st.data())
    def whoever_takes_a_place_is_connected(self, data: st.DataObject) -> None:
        leg = data.draw(st.sampled_from(self.agents(LegState.ANSWERING)))
        self.call.happens(LegAnswered(leg.id, "PCMU"))

    @precondition(lambda self: self.call.legs_that_are(Dialog.ENDING))
    @rule(data=st.data())
    def a_leg_that_we_released_is_gone(self, data: st.DataObject) -> None:
        self.call.happens(LegEnded(self.draw_leg(data, Dialog.ENDING), NORMAL, 200, None, by_peer=False))

    # ── Oftener than chance would have it ───────────────────────────────────────────────────────────

    def people_answer(self) -> None:
        for leg in self.agents(*CALLING):
            self.call.happens(LegAnswered(leg.id, "PCMU"))

    @precondition(lambda self: self.up() and self.call.control.hop)
    @rule(lost=st.booleans())
    def whoever_passes_on_leaves(self, lost: bool) -> None:
        hop = self.call.control.hop
        assert hop is not None
        if hop.referrer.state is LegState.CONNECTED:
            cause = MEDIA_TIMEOUT if lost else NORMAL
            self.call.happens(LegEnded(hop.referrer.id, cause, 200, None, by_peer=not lost))

    @precondition(lambda self: self.up() and self.call.control.hop and self.agents(*CALLING))
    @rule()
    def whom_it_is_passed_on_to_answers(self) -> None:
        self.people_answer()

    @precondition(lambda self: self.up() and self.call.control.transfer is not None and not self.call.control.hop)
    @rule(user=users, replaces=st.none() | st.just(ELSEWHERE))
    def who_talks_refers(self, user: str, replaces: LegId | None) -> None:
        talks = self.call.control.transfer.bridged if self.call.control.transfer else None
        if talks is not None:
            target = ReferTarget(f"sip:{user}@gw", user, True, replaces)
            self.call.happens(ReferReceived(talks, len(self.call.asked) + 1, target))
