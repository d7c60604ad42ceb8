"""A plan's trunks as the SIP adapter needs them: their specs, who is let in, which trunk a call is of; for app.py."""

from functools import lru_cache

from gateway.dialplan.addresses import AnyAddress
from gateway.dialplan.routing import Resolved, networks_of, trunk_of
from gateway.dialplan.schema import Dialplan, DigestAuth, Trunk
from gateway.sip.endpoint import Admitted
from gateway.sip.trunk import Credentials, DtmfMode, TrunkLookup, TrunkSpec

_HEARD_OVER = {"udp": ("udp", "tcp"), "tcp": ("tcp",), "tls": ("tls",)}
"""A UDP trunk is heard over TCP too (`routing.trunk_of` says why)."""


def specs(plan: Dialplan) -> tuple[TrunkSpec, ...]:
    """All trunks, in the plan's order."""
    return tuple(_spec(name, trunk) for name, trunk in plan.trunks.items())


def admitted(plan: Dialplan, resolved: Resolved) -> Admitted:
    """Whose requests are heard, over which transports."""
    return tuple(
        (str(network), _HEARD_OVER[trunk.transport])
        for name, trunk in plan.trunks.items()
        for network in networks_of(name, trunk, resolved)
    )


def trunk_lookup(plan: Dialplan, resolved: Resolved) -> TrunkLookup:
    """Which trunk a call is of, by where it comes from."""

    @lru_cache(maxsize=4096)  # a carrier calls from few addresses, many times a second
    def lookup(address: str, transport: str, port: int, user: str) -> str | None:
        return trunk_of(plan, address, transport, port, user, resolved)

    users = {trunk.contact_user for trunk in plan.trunks.values() if trunk.contact_user}
    return lambda address, transport, port, user: lookup(address, transport, port, user if user in users else "")


def still_valid(resolved: Resolved, before: Dialplan, plan: Dialplan) -> dict[str, tuple[AnyAddress, ...]]:
    """Of the addresses found for the trunks of the plan `before`, those that hold for `plan`: whoever has the old host
    of a trunk is not that trunk any more, also while DNS is down and does not say where the new one is."""
    return {
        name: tuple(found)
        for name, found in resolved.items()
        if name in plan.trunks and name in before.trunks and plan.trunks[name].host == before.trunks[name].host
    }


def _spec(name: str, trunk: Trunk) -> TrunkSpec:
    return TrunkSpec(
        name,
        codecs=trunk.codecs,
        dtmf=DtmfMode(trunk.dtmf),
        to_bot=trunk.headers.to_bot,
        trust_identity=trunk.trust_identity,
        host=trunk.host,
        transport=trunk.transport,
        credentials=_credentials(trunk.auth),
        registers=trunk.register_,
        session_timer_s=trunk.session_timer,
        options_interval_s=trunk.options_interval,
        show_in=trunk.show_in or ("from",),
        privacy=trunk.privacy,
    )


def _credentials(auth: DigestAuth | None) -> Credentials | None:
    return Credentials(auth.username, auth.realm, auth.password.reveal()) if auth is not None else None
