"""One keeper for each trunk of the running plan; made by app.py."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.engine.trunks import TrunkHealth
from gateway.sip.accounts import Accounts
from gateway.sip.endpoint import Endpoint
from gateway.sip.keeper import Addresses, Keeper, Patience
from gateway.sip.resolver import Resolver, Target
from gateway.sip.trunk import TrunkSpec

_PATIENCE: Final = Patience()


class Keepers:
    """One keeper for each trunk; `engine.trunks.Trunks`."""

    def __init__(
        self,
        endpoint: Endpoint,
        accounts: Accounts,
        resolver: Resolver,
        on_addresses: Addresses,
        patience: Patience = _PATIENCE,
    ) -> None:
        """`on_addresses` is told when the host of a trunk has other addresses than before."""
        self._endpoint, self._accounts, self._resolver = endpoint, accounts, resolver
        self._on_addresses, self._patience = on_addresses, patience
        self._keepers: dict[str, Keeper] = {}

    def health(self) -> Mapping[str, TrunkHealth]:
        """How they are now."""
        return {name: keeper.health for name, keeper in self._keepers.items()}

    def targets(self, trunk: str) -> tuple[Target, ...]:
        """Where a request on this trunk may go, the best first; none while its host has no address."""
        keeper = self._keepers.get(trunk)
        return keeper.in_order() if keeper is not None else ()

    async def apply(self, specs: Sequence[TrunkSpec]) -> None:
        """From now on these trunks. One that did not change is left alone; one that is gone is taken back."""
        wanted = {spec.name: spec for spec in specs}
        ended = [keeper for name, keeper in self._keepers.items() if wanted.get(name) != keeper.spec]
        await asyncio.gather(*(keeper.stop() for keeper in ended))
        for keeper in ended:
            del self._keepers[keeper.spec.name]
        for name, spec in wanted.items():
            if name not in self._keepers:
                self._keepers[name] = Keeper(spec, self._endpoint, self._accounts, self._resolver, self._patience)
                self._keepers[name].start(self._on_addresses)
        self._keepers = {name: self._keepers[name] for name in wanted}

    async def stop(self) -> None:
        """Look after none any more. Registrations are taken back by `Accounts.take_back`."""
        await asyncio.gather(*(keeper.stop() for keeper in self._keepers.values()))
        self._keepers.clear()
