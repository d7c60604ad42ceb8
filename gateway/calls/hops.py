"""How people pass the customer on while a transfer lasts: by REFER or by the API, to somebody who is called, or to
somebody whom they talk to already; a base of control.py.

transfer.md: "How long a transfer lasts", "REFER and Replaces that arrive". Whoever passes on stays until the other one
is there. If they leave before, the customer hears ringback, as when a transfer begins.
"""

from dataclasses import dataclass, replace
from typing import Literal

from gateway.calls import rights
from gateway.calls.causes import NORMAL, TRANSFERRED, EndedBy
from gateway.calls.commands import Command, Note, TurnDown
from gateway.calls.model import JsonObject, Leg, Ringback, Role, Room
from gateway.calls.outbound import NoWay, TransferReason
from gateway.calls.outcome import status_of
from gateway.calls.referral import Referral
from gateway.calls.refers import (
    AnswerRefer,
    ClaimPeer,
    HandOver,
    LegTakenOver,
    NotifyRefer,
    PeerClaimed,
    ReferReceived,
    ReferTarget,
    RefuseClaim,
)
from gateway.calls.replacing import Replacing
from gateway.calls.states import (
    CALL_TRANSITIONS,
    CallState,
    CallTrigger,
    ConsultState,
    LegState,
    TransferState,
    advance,
)
from gateway.calls.switch import Switch
from gateway.calls.transfer import Transfer
from gateway.calls.view import rfc3339


@dataclass(slots=True)
class Hop:
    """Somebody passes the customer on. `referrer` is the leg that goes; `refer_id` names its REFER, None: it was asked
    for through the API."""

    referrer: Leg
    refer_id: int | None
    target: ReferTarget | None = None
    transfer: Transfer | None = None
    """None as long as another call is asked for the one whom the referrer talks to there."""
    rang: bool = False

    def notify(self, status: int) -> list[Command]:
        """Tell whoever sent a REFER."""
        return [NotifyRefer(self.referrer.id, self.refer_id, status)] if self.refer_id is not None else []

    @property
    def kind(self) -> Literal["refer", "transfer"]:
        """How it was asked for, as `hops[]` names it."""
        return "transfer" if self.refer_id is None else "refer"


@dataclass(slots=True)
class Hopping(Replacing):
    """What control knows of hops; at most one at a time."""

    hop: Hop | None = None
    _claiming: bool = False
    """Another call was asked for a leg and has not answered; the hop may be given up by then."""

    # ── A REFER, or the API ─────────────────────────────────────────────────────────────────────────

    def _refer_received(self, event: ReferReceived) -> list[Command]:
        leg = self.call.legs.get(event.leg_id)
        refused = self._refers_in_vain(leg, event.target)
        if refused is not None or leg is None:
            return [AnswerRefer(event.leg_id, event.refer_id, refused or 481)]
        accepted: list[Command] = [AnswerRefer(leg.id, event.refer_id, 202), NotifyRefer(leg.id, event.refer_id, 100)]
        hop = Hop(leg, event.refer_id, event.target)
        if event.target.replaces is not None:
            self._begin_hop(hop)
            self._claiming = True
            on_it = event.refer_id if event.turned_round else None
            return [*accepted, ClaimPeer(event.target.replaces, self.call.id, on_it)]
        switch = rights.referred(self.outbound, self.call, leg, self._trunk_of(leg), event.target)
        if isinstance(switch, NoWay):
            status = 403 if switch.reason is TransferReason.BLOCKED else 404
            refusal = Note("refer.refused", {"legId": leg.id, "detail": switch.detail})
            return [refusal, AnswerRefer(leg.id, event.refer_id, status)]
        return [*accepted, *self._call_for(hop, switch)]

    def _refers_in_vain(self, leg: Leg | None, target: ReferTarget) -> int | None:
        """The status that refuses a REFER on this leg now; None if it is carried out."""
        if leg is None or leg.state is not LegState.CONNECTED:
            return 481
        late = self._claiming and target.replaces is not None  # the answer names no claim: one at a time
        busy = self.hop is not None or self.call.consult is not ConsultState.NONE
        if busy or late or self.call.state is CallState.TRANSFERRING:
            return 491
        if leg is self.call.customer:
            allowed = self.outbound.may_refer(self.call, self._trunk_of(leg)) and target.replaces is None
            return None if allowed else 603
        mine = isinstance(self.transfer, Transfer) and self.transfer.bridged == leg.id
        return None if mine and target.replaces not in self.call.legs else 603

    def _pass_on(self, switch: Switch) -> list[Command]:
        """The API wants the customer passed on by the person who talks to them."""
        leg = self.call.legs.get(self.transfer.bridged) if self.transfer and self.transfer.bridged else None
        if leg is None or leg.state is not LegState.CONNECTED or switch.method != "invite":
            return [TurnDown("transfer")]
        self.call.data |= switch.data
        return self._call_for(Hop(leg, None), switch)

    def _call_for(self, hop: Hop, switch: Switch) -> list[Command]:
        """Call the one whom the customer is to talk to."""
        elsewhere = hop.target.replaces_elsewhere if hop.target else None
        hop_of = self.transfer.id if self.transfer else None
        hop.transfer = self._hunt(self.new_id("xfer"), switch, hop_of=hop_of, is_hop=True, replaces=elsewhere)
        self._begin_hop(hop)
        return hop.transfer.begin(self._now)

    def _begin_hop(self, hop: Hop) -> None:
        self.hop, self.call.passing_on = hop, True

    # ── How it goes on ──────────────────────────────────────────────────────────────────────────────

    def _settle(self) -> list[Command]:
        """What follows from how far hop and transfer are."""
        commands = self._after_hop()
        if self.hop is not None and self.transfer is not None and self.transfer.outcome is not None:
            commands += self._drop_hop(self._now)  # they have talked for as long as they may
        return commands + self._after_transfer()

    def _after_hop(self) -> list[Command]:
        hop = self.hop
        if hop is None or hop.transfer is None:
            return []
        transfer, commands = hop.transfer, list[Command]()
        if not hop.rang and transfer.state not in (TransferState.REQUESTED, TransferState.DIALLING):
            hop.rang = True
            commands += hop.notify(180) if transfer.state is not TransferState.FAILED else []
        bridged = transfer.bridged if transfer.state is TransferState.BRIDGED else None
        if bridged is not None:
            commands += transfer.passed_on(self._now)
        outcome = transfer.outcome
        if outcome is None:
            return commands
        self._no_hop()
        commands += [Note("transfer.ended", outcome.as_json()), *hop.notify(status_of(outcome))]
        told = self._told(hop, transfer.number, outcome.success, outcome.reason, outcome.sip_status, transfer.id)
        if bridged is not None:
            return commands + self._passed_on(hop, self.call.legs[bridged], told)
        return commands + self._not_passed_on(hop, outcome.reason, told)

    def _passed_on(self, hop: Hop, leg: Leg, told: JsonObject) -> list[Command]:
        """The other one is there."""
        if hop.referrer is self.call.customer:
            if isinstance(self.transfer, Transfer):
                self.transfer.hops.append(told)
            return self._take_place(hop.referrer, leg)
        if isinstance(self.transfer, Transfer):
            self.transfer.adopt(leg, told)
        return [*self._reopen(self.call.customer, leg), *self._release(hop.referrer)]

    def _not_passed_on(self, hop: Hop, reason: TransferReason, told: JsonObject) -> list[Command]:
        """Nobody is: both are together again; or the customer is alone, and `onFail` of the transfer holds."""
        if not isinstance(self.transfer, Transfer):
            return []
        self.transfer.hops.append(told)
        return self.transfer.left_alone(reason, self._now) if self._agent() is None else []

    def _referrer_left(self) -> list[Command]:
        """Whoever passes on has hung up: the customer is called through."""
        self.call.ringback = Ringback.TONE
        self.call.state = advance(CALL_TRANSITIONS, self.call.state, CallTrigger.PASSED_ON)
        return []

    def _leaves(self, leg: Leg) -> list[Command]:
        if isinstance(self.transfer, Referral) and leg is self.call.customer:  # nobody else knows of our REFER
            return self.transfer.cancel(self._now)
        passes_on = self.hop is not None and self.hop.referrer is leg
        return self._drop_hop(self._now) if passes_on else []

    def _drop_hop(self, now: float, *, customer_left: bool = False, by_gateway: bool = False) -> list[Command]:
        """There is no customer to pass on any more."""
        hop = self.hop
        if hop is None:
            return []
        self._no_hop()
        commands, transfer = list[Command](), hop.transfer
        if transfer is not None and transfer.outcome is None:
            commands += transfer.customer_left(now, by_gateway=by_gateway) if customer_left else transfer.cancel(now)
        if transfer is not None and transfer.outcome is not None:
            commands.append(Note("transfer.ended", transfer.outcome.as_json()))
        return [*hop.notify(487), *commands]

    def _cancel(self, now: float) -> list[Command]:
        """The API takes a hop back, or the transfer."""
        if self.call.state is not CallState.TRANSFERRING and self.hop is None:
            return [TurnDown("cancel-transfer")]
        if self.hop is not None:
            return self.hop.transfer.cancel(now) if self.hop.transfer else []
        return self.transfer.cancel(now) if self.transfer else []

    # ── Somebody whom the referrer talks to already ─────────────────────────────────────────────────

    def _peer_claimed(self, event: PeerClaimed) -> list[Command]:
        """Another call wants whoever our caller talks to: the caller transfers it there, and goes."""
        call, transfer = self.call, self.transfer
        refused = RefuseClaim(event.by)
        if event.leg_id != call.customer.id or not isinstance(transfer, Transfer) or self.hop is not None:
            return [refused]
        if call.state is CallState.TRANSFERRING:  # it still rings: the other call rings there itself
            return [refused, *self._hang_up(TRANSFERRED, EndedBy.TRANSFERRED)]
        peer = call.legs.get(transfer.bridged) if transfer.bridged else None
        if call.state is not CallState.TALKING or peer is None or peer.state is not LegState.CONNECTED:
            return [refused]
        call.others.remove(peer)
        last_word = [NotifyRefer(event.leg_id, event.refer_id, 200)] if event.refer_id is not None else []
        handed_over: list[Command] = [HandOver(peer, transfer.number, event.by), *last_word]
        handed_over += transfer.passed_on(self._now, "transferred", hangup=True)
        return [*handed_over, *self._settle(), *self._hang_up(TRANSFERRED, EndedBy.TRANSFERRED)]

    def _taken_over(self, event: LegTakenOver) -> list[Command]:
        """The one whom the referrer talked to is here."""
        leg, hop, self._claiming = event.leg, self.hop, False
        leg.role, leg.room = Role.AGENT, Room.MAIN
        self.call.others.append(leg)
        if hop is None or hop.transfer is not None:  # the customer, or the referrer, has thought better of it
            return self._release(leg, NORMAL)
        self._no_hop()
        told = self._told(hop, event.target, True, TransferReason.COMPLETED, 200, None)
        return [*hop.notify(200), *self._passed_on(hop, leg, told)]

    def _claim_refused(self) -> list[Command]:
        """There is nobody to take over: call the target that the REFER names."""
        hop, self._claiming = self.hop, False
        if hop is None or hop.target is None or hop.transfer is not None:
            return []
        target = replace(hop.target, replaces=None)
        switch = rights.referred(self.outbound, self.call, hop.referrer, self._trunk_of(hop.referrer), target)
        if isinstance(switch, NoWay):
            self._no_hop()
            status = 403 if switch.reason is TransferReason.BLOCKED else 404
            told = self._told(hop, target.user, False, switch.reason, status, None)
            return [*hop.notify(status), *self._not_passed_on(hop, switch.reason, told)]
        return self._call_for(hop, switch)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _no_hop(self) -> None:
        self.hop, self.call.passing_on = None, False

    def _told(
        self, hop: Hop, number: str, success: bool, reason: TransferReason, status: int | None, id_: str | None
    ) -> JsonObject:
        """An entry of `hops[]`."""
        return {
            "kind": hop.kind,
            "transferId": id_,
            "number": number,
            "status": "SUCCESS" if success else "FAIL",
            "reason": reason.value,
            "sipStatus": status,
            "at": rfc3339(self._now),
        }
