"""The real SIP legs with one trunk that every caller belongs to; for tests that need no gateway around them."""

from collections.abc import Callable
from typing import Final

from gateway.calls.model import LegId
from gateway.sip.accounts import Accounts
from gateway.sip.endpoint import Endpoint
from gateway.sip.legs import SipLegs
from gateway.sip.media import SipBridge
from gateway.sip.resolver import Resolver, Target
from gateway.sip.trunk import TrunkSpec

TRUNK: Final = TrunkSpec("t")


def sip_legs(
    endpoint: Endpoint,
    bridge: SipBridge,
    new_leg_id: Callable[[], LegId],
    spec: TrunkSpec = TRUNK,
    targets: Callable[[], tuple[Target, ...]] = tuple,
) -> SipLegs:
    """Not started. `targets` are those of the trunk, for dialling."""
    return SipLegs(
        endpoint,
        bridge,
        Accounts(endpoint),
        [spec],
        lambda *_: spec.name,
        lambda trunk: targets() if trunk == spec.name else (),
        Resolver().resolve,
        new_leg_id,
    )
