"""Which leg has a dialog, and whether an INVITE may take its place (RFC 3891); legs.py asks, in the PJSIP thread."""

from collections.abc import Mapping
from dataclasses import replace

import pjsua2 as pj

from gateway.calls.model import LegId
from gateway.sip.headers import Message
from gateway.sip.leg import Leg
from gateway.sip.outbound import OutboundLeg
from gateway.sip.replaces import ReplacedLeg, ReplacesError, refusal_of, replaces_of
from gateway.telemetry.log import get_logger

log = get_logger(__name__)


class Dialogs:
    """The dialogs of `legs`, and of those that ended a moment ago: PJSIP knows them until their BYE is done with."""

    def __init__(self, legs: Mapping[LegId, Leg]) -> None:
        self._legs = legs
        self._over: dict[int, ReplacedLeg] = {}
        """By PJSUA's number of the call, of which there are only so many; the next call that ends takes the place."""

    def ended(self, leg: Leg) -> None:
        """This leg goes from `legs`."""
        number = leg.getId()
        if number >= 0:
            self._over[number] = replace(_seen(leg), over=True)

    def leg_of(self, call_id: str, own_tag: str, peer_tag: str) -> LegId | None:
        """The leg that has this dialog and is not about to end."""
        found = self._find(call_id, own_tag, peer_tag)
        return found.leg_id if found is not None and not found.over else None

    def replaced_by(self, invite: Message, trunk: str, source: str) -> tuple[LegId | None, int]:
        """The leg whose place an INVITE from this IP address may take, None if it does not ask to, and 0; or the status
        that refuses it."""
        try:
            wanted = replaces_of(invite.values("replaces"))
        except ReplacesError as error:
            log.info("invite.replaces_malformed", trunk=trunk, detail=str(error))
            return None, 400
        if wanted is None:
            return None, 0
        found = self._find(wanted.call_id, wanted.to_tag, wanted.from_tag)
        status = refusal_of(wanted, found, trunk, source)
        leg_id = found.leg_id if found is not None else None
        if status != 0:
            log.info("invite.replaces_refused", trunk=trunk, leg_id=leg_id, status=status)
            return None, status
        return leg_id, 0

    def _find(self, call_id: str, own_tag: str, peer_tag: str) -> ReplacedLeg | None:
        number = pj.callOfDialog(call_id, own_tag, peer_tag)
        if number < 0:
            return None
        live = next((leg for leg in self._legs.values() if leg.getId() == number), None)
        return _seen(live) if live is not None else self._over.get(number)


def _seen(leg: Leg) -> ReplacedLeg:
    we_called = isinstance(leg, OutboundLeg)
    return ReplacedLeg(leg.leg_id, leg.trunk.name, leg.peer, we_called, leg.answered, leg.over)
