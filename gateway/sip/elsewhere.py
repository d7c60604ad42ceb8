"""Legs to a SIP URI whose host is not their trunk's: looked up first, then called without the trunk's credentials.

Used by legs.py, on the event loop. transfer.md: a `sipUri` goes to its own host over the trunk's transport, and
credentials go to the trunk's own host only.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from gateway.calls.commands import Dial
from gateway.calls.model import LegId
from gateway.dialplan.addresses import Host
from gateway.dialplan.sip_uris import SipUri, parse_sip_uri
from gateway.sip.resolver import Resolution, ResolveError, Target
from gateway.sip.trunk import TrunkSpec
from gateway.telemetry.log import get_logger

log = get_logger(__name__)

Resolve: TypeAlias = Callable[[str, int | None, str], Awaitable[Resolution]]
"""Gives the targets of (host, port, transport); raises ResolveError. `Resolver.resolve`."""
Found: TypeAlias = Callable[[Dial, tuple[Target, ...]], object]
"""Takes the order and its targets, none if there are none."""


def leads_elsewhere(order: Dial, spec: TrunkSpec) -> SipUri | None:
    """The URI of an order that is not for the trunk's own host; None for one that is."""
    if order.uri is None:
        return None
    try:
        uri = parse_sip_uri(order.uri)
    except ValueError:  # the dialplan lets none through
        return SipUri(None, Host("invalid"))
    own = uri.host.name == spec.host.name and uri.host.port in (None, spec.host.port)
    return None if own else uri


class Searches:
    """Those that are under way, by leg."""

    def __init__(self, resolve: Resolve, found: Found) -> None:
        self._resolve, self._found = resolve, found
        self._tasks: dict[LegId, asyncio.Task[None]] = {}

    def begin(self, order: Dial, uri: SipUri, transport: str) -> None:
        """Look the host up; `found` is called once, unless it is given up before."""
        task = asyncio.create_task(self._search(order, uri, transport), name=f"host of {order.leg_id}")
        self._tasks[order.leg_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(order.leg_id, None))

    def give_up(self, leg_id: LegId) -> bool:
        """Whether this leg was still being looked for; now it is not."""
        task = self._tasks.pop(leg_id, None)
        return task is not None and task.cancel()

    @property
    def legs(self) -> tuple[LegId, ...]:
        """Whose host is being looked for."""
        return tuple(self._tasks)

    async def _search(self, order: Dial, uri: SipUri, transport: str) -> None:
        try:
            found = await self._resolve(uri.host.name, uri.host.port, uri.transport or transport)
        except ResolveError as error:
            log.warning("leg.no_address", leg_id=order.leg_id, detail=str(error))
            self._found(order, ())
        else:
            self._found(order, found.targets)
