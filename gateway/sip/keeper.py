"""Keeps one trunk up: looks its host up, registers, asks how it is, and changes to another target when one fails.

One task a trunk, on the event loop; what is sent goes through accounts.py in the PJSIP thread. keepers.py has one for
each. What a trunk is (`TrunkHealth`) follows from three things: whether its host has an address, whether our OPTIONS
are answered, whether we are registered. Calls that are up are never touched.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Final

from gateway.engine.trunks import Registration, TrunkHealth, TrunkState
from gateway.sip.accounts import Accounts
from gateway.sip.endpoint import Endpoint
from gateway.sip.outcome import NO_ANSWER, Outcome, why_not_registered
from gateway.sip.resolver import Resolution, ResolveError, Resolver, Target
from gateway.sip.trunk import TrunkSpec
from gateway.telemetry.log import get_logger

log = get_logger(__name__)

_SILENCE: Final = Outcome(NO_ANSWER)
_keys: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds; random parts are added so that a carrier's customers do not come back all at
    once."""

    answer: float = 5.0
    """For the answer to a REGISTER or an OPTIONS, before the next target is tried. RFC 3261's 32 s are for people."""
    first_retry: float = 4.0
    longest_retry: float = 60.0
    refused_retry: float = 120.0
    """After a refusal that will hardly pass by itself, such as 403."""
    name_retry: float = 10.0


Addresses = Callable[[str, Sequence[str]], None]
"""Takes (trunk, the IP addresses of its host)."""


class Keeper:
    """Looks after one trunk."""

    def __init__(
        self, spec: TrunkSpec, endpoint: Endpoint, accounts: Accounts, resolver: Resolver, patience: Patience
    ) -> None:
        self.spec = spec
        self.health = TrunkHealth(registration=Registration.PENDING if spec.registers else Registration.NONE)
        self._endpoint, self._accounts, self._resolver, self._patience = endpoint, accounts, resolver, patience
        self._order = endpoint.submit
        self._on_addresses: Addresses = lambda trunk, addresses: None
        self._targets: tuple[Target, ...] = ()
        self._current: Target | None = None
        self._moved = asyncio.Event()
        self._log = log.bind(trunk=spec.name)
        self._random = Random()
        self._no_address: str | None = None
        self._closed_until: dict[Target, float] = {}
        """Until when a registrar that refused us is not chosen over another target; time.monotonic()."""
        self._asked = False
        self._unanswered: str | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, on_addresses: Addresses) -> None:
        """Begin, on the running loop."""
        self._on_addresses = on_addresses
        self._task = asyncio.create_task(self._run(), name=f"trunk {self.spec.name}")

    async def stop(self) -> None:
        """End; a registration is taken back."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def in_order(self) -> tuple[Target, ...]:
        """The target that is used now, and then the others."""
        if self._current is None:
            return self._targets
        return (self._current, *(target for target in self._targets if target != self._current))

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._look_up())
                if self.spec.registers:
                    group.create_task(self._register())
                if self.spec.options_interval_s is not None:
                    group.create_task(self._qualify(self.spec.options_interval_s))
        except* Exception:  # noqa: BLE001 - said, and shown as the trunk's state
            self._log.exception("trunk.keeper_failed")
            self._unanswered = "the gateway has a defect here; its log says more"
            self._settle()

    # ── where it is ─────────────────────────────────────────────────────────────────────────────────

    async def _look_up(self) -> None:
        spec = self.spec
        while True:
            try:
                found = await self._resolver.resolve(spec.host.name, spec.host.port, spec.transport)
            except ResolveError as error:
                self._no_address = str(error)
                self._settle()
                await asyncio.sleep(self._spread(self._patience.name_retry))
                continue
            self._no_address = None
            self._found(found)
            await asyncio.sleep(found.ttl_s)

    def _found(self, found: Resolution) -> None:
        if set(found.targets) != set(self._targets):
            self._log.info("trunk.resolved", addresses=[str(target) for target in found.targets])
            self._on_addresses(self.spec.name, [target.ip for target in found.targets])
        if self._current is None or set(found.targets) != set(self._targets):
            self._targets = found.targets  # the order changes at random with each look-up: keep the first one
        if self._current not in self._targets:
            self._go_to(self._targets[0])
        self._settle()

    def _go_to(self, target: Target) -> None:
        if self._current is not None:
            self._log.warning("trunk.target_changed", before=str(self._current), address=str(target))
        self._current = target
        self._unanswered = None  # that was about another one
        self._order(self._accounts.route, self.spec.name, target)
        self.health = replace(self.health, target=str(target))
        self._moved.set()

    async def _target(self) -> Target:
        while self._current is None:
            self._moved.clear()
            await self._moved.wait()
        return self._current

    # ── registering ─────────────────────────────────────────────────────────────────────────────────

    async def _register(self) -> None:
        failures = 0
        while True:
            target = await self._target()
            outcome = await self._stay_registered(target)
            if outcome is None:  # another target is better
                failures = 0
                continue
            failures += 1
            self._registration(Registration.FAILED, why_not_registered(self.spec, target, outcome))
            self._leave_alone(target, outcome)
            others = [one for one in self.in_order() if one != target and self._open(one)]
            if outcome.temporary and others and failures % (len(others) + 1):
                self._go_to(others[(failures - 1) % len(others)])
                continue
            await self._other_than(target, self._pause(outcome, failures))

    async def _stay_registered(self, target: Target) -> Outcome | None:
        """Register, and return when it failed (also later, in a refresh), or with None when the target changed."""
        told: asyncio.Queue[Outcome] = asyncio.Queue()
        key, moved = next(_keys), False
        self._order(self._accounts.register, key, self.spec, target, partial(self._endpoint.emit, told.put_nowait))
        try:
            outcome = await _within(self._patience.answer, told.get())
            while outcome.ok:
                self._registration(Registration.REGISTERED, None)
                news = await self._news(told, target)
                if news is None:
                    moved = True
                    return None
                outcome = news
            return outcome
        finally:  # what is registered at the old target may be at the new one too: it must not be undone
            self._order(partial(self._accounts.give_up, key, take_back=not moved))

    async def _news(self, told: "asyncio.Queue[Outcome]", target: Target) -> Outcome | None:
        """The next answer, or None when the target is another one."""
        while True:
            self._moved.clear()
            if self._current != target:
                return None
            answer, moved = asyncio.ensure_future(told.get()), asyncio.ensure_future(self._moved.wait())
            try:
                await asyncio.wait({answer, moved}, return_when=asyncio.FIRST_COMPLETED)
                if answer.done():
                    return answer.result()
            finally:
                answer.cancel()
                moved.cancel()

    def _leave_alone(self, target: Target, outcome: Outcome) -> None:
        """One that refused is closed for a while, however well it answers OPTIONS; silence is over when it speaks."""
        silent = outcome.status == NO_ANSWER
        seconds = 0.0 if silent else max(self._patience.longest_retry, outcome.retry_after_s)
        self._closed_until[target] = time.monotonic() + seconds

    def _open(self, target: Target) -> bool:
        return self._closed_until.get(target, 0.0) <= time.monotonic()

    async def _other_than(self, target: Target, longest_s: float) -> None:
        """Wait for so long, or until requests go elsewhere: what was refused here may be taken there."""
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                while self._current == target:
                    self._moved.clear()
                    await self._moved.wait()

    def _pause(self, outcome: Outcome, failures: int) -> float:
        """Before the next attempt: our own patience, or the registrar's wish if that is longer (RFC 3261 §21.5.4)."""
        if outcome.temporary:
            own = min(self._patience.longest_retry, self._patience.first_retry * 2.0 ** min(failures - 1, 10))
        else:
            own = self._patience.refused_retry
        return max(self._spread(own), outcome.retry_after_s * self._random.uniform(1.0, 1.1))

    def _registration(self, state: Registration, detail: str | None) -> None:
        before = self.health.registration
        if state is Registration.REGISTERED and before is not state:
            self._log.info("trunk.registered", address=str(self._current))
        elif state is Registration.FAILED and (before is not state or detail != self.health.detail):
            self._log.error("trunk.not_registered", detail=detail)
        self.health = replace(self.health, registration=state)
        self._settle(detail)

    # ── asking ──────────────────────────────────────────────────────────────────────────────────────

    async def _qualify(self, interval_s: float) -> None:
        while True:
            target = await self._target()
            up = await self._answers(target) or await self._answers(target)  # one lost packet is no outage
            if not up:
                up = await self._find_other(target)
            elif target != (first := self._targets[0]) and self._open(first) and await self._answers(first):
                self._go_to(first)
            self._asked = True
            self._settle()
            await asyncio.sleep(self._spread(interval_s if up else min(interval_s, self._patience.name_retry)))

    async def _find_other(self, failed: Target) -> bool:
        for other in self._targets:
            if other != failed and self._open(other) and await self._answers(other):
                self._go_to(other)
                return True
        return False

    async def _answers(self, target: Target) -> bool:
        """Whether it answers OPTIONS: with anything but that it is not there. A 404 or 405 comes from a living peer."""
        told: asyncio.Queue[Outcome] = asyncio.Queue()
        key = next(_keys)
        self._order(self._accounts.ask, key, self.spec, target, partial(self._endpoint.emit, told.put_nowait))
        try:
            outcome = await _within(self._patience.answer, told.get())
        finally:
            self._order(self._accounts.give_up, key)
        alive = outcome.status not in (NO_ANSWER, 503)
        if target == self._current:
            self._unanswered = None if alive else f"{target} does not answer OPTIONS ({outcome})"
        return alive

    # ── what it is ──────────────────────────────────────────────────────────────────────────────────

    def _settle(self, not_registered: str | None = None) -> None:
        """Work out the state, and say so when it changed."""
        spec, before = self.spec, self.health
        detail = self._no_address if not self._targets else self._unanswered
        if before.registration is Registration.FAILED:
            detail = detail or not_registered or before.detail
        wants = spec.registers or spec.options_interval_s is not None
        waits = before.registration is Registration.PENDING or (spec.options_interval_s is not None and not self._asked)
        if detail is not None:
            state = TrunkState.DOWN
        else:
            state = TrunkState.UP if wants and not waits else TrunkState.UNKNOWN
        self.health = replace(before, state=state, detail=detail)
        if state is not before.state:
            self.health = replace(self.health, since=time.time())
            if state is TrunkState.DOWN:
                self._log.error("trunk.down", detail=detail)
            else:
                self._log.info(f"trunk.{state.value}", address=before.target)

    def _spread(self, seconds: float) -> float:
        return seconds * self._random.uniform(0.9, 1.1)


async def _within(seconds: float, answer: Awaitable[Outcome]) -> Outcome:
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        return _SILENCE
