"""An agent's talk with a customer whom we call for them: a transfer that begins with the call; driven by placing.py.

Manual outbound (control-api.md, `POST /v1/calls` with `agent`): the agent is called first, waits while the customer is
called, and is bridged when the customer answers. From the bridge on it is a transfer like any other.
"""

from dataclasses import dataclass

from gateway.calls.causes import CANCELLED, LOST, NORMAL, NOT_ANSWERED, OVER_LIMIT, TRANSFER_FAILED, Cause, EndedBy
from gateway.calls.commands import Command
from gateway.calls.events import LegEnded
from gateway.calls.model import LegId
from gateway.calls.outbound import TransferReason
from gateway.calls.outcome import Attempt
from gateway.calls.states import TransferTrigger
from gateway.calls.transfer import Transfer

_CAUSES = {
    TransferReason.NO_ANSWER: NOT_ANSWERED,
    TransferReason.CALLER_ABANDONED: CANCELLED,
    TransferReason.UNREACHABLE: OVER_LIMIT,
}
"""Of a call for whose agent no leg was ever ended by somebody else."""


@dataclass(slots=True)
class Manual(Transfer):
    """Until the bridge: whatever goes wrong, it fails, and there is no customer to go back to (`hangup`)."""

    waiting: LegId | None = None
    """The leg of the agent, who has answered and waits for the customer."""
    gone: LegEnded | None = None
    """How the last leg of the agent ended by itself."""

    def meet(self, now: float) -> list[Command]:
        """The customer has answered."""
        agent, self.waiting = self.waiting, None
        return self._bridge(agent, now) if agent is not None else []

    def unmet(
        self, reason: TransferReason, by: str, now: float, *, customer: Attempt | None = None, cause: Cause = NORMAL
    ) -> list[Command]:
        """They will not meet; the agent is released for this `cause`. `customer`: what became of the call to them."""
        if self.outcome is not None:
            return []
        self.waiting = None
        if customer is not None:
            self.attempts.append(customer)
        self._go(TransferTrigger.FAIL)
        return [*self._over(reason, by, now, hangup=True), *self._hang_up(self._mine(), cause)]

    def why(self) -> tuple[Cause, EndedBy]:
        """Why the call ends, as its agent is not there, or not any more."""
        reason, gone = self._last_reason() if self.outcome is None else self.outcome.reason, self.gone
        if reason is TransferReason.CALLER_ABANDONED:
            return CANCELLED, EndedBy.AGENT
        if gone is None or (reason is TransferReason.NO_ANSWER and self.attempts[-1].sip_status is None):
            return _CAUSES.get(reason, TRANSFER_FAILED), EndedBy.GATEWAY
        return gone.cause, EndedBy.AGENT if gone.by_peer else EndedBy.GATEWAY

    def leg_ended(self, event: LegEnded, now: float) -> list[Command]:
        """The agent's leg is gone."""
        self.gone = event
        if event.leg_id != self.waiting:
            return super(Manual, self).leg_ended(event, now)  # slots=True makes another class: no bare super()
        lost = event.cause.reason in LOST
        return self.unmet(TransferReason.MEDIA_FAILED if lost else TransferReason.CALLER_ABANDONED, "agent", now)

    def _brief(self, leg_id: LegId, now: float) -> list[Command]:
        self.waiting = leg_id
        return []

    def _give_up(self, reason: TransferReason, now: float) -> list[Command]:
        return self.unmet(reason, "gateway", now)
