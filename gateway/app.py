"""The composition root: settings and plan in, a running gateway out; the one file that knows all. For cli.py."""

import asyncio
import gc
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from errno import EADDRINUSE
from functools import partial
from ipaddress import ip_address

import aiohttp
from aiohttp import web
from ulid import ULID

from gateway import carriers
from gateway.api.http import HttpServer
from gateway.api.v1 import ControlApi
from gateway.bots.builtin import AnnounceBot, AttendantBot, EchoBot, ReceptionBot
from gateway.bots.status import StatusReceiver
from gateway.bots.webhook import WebhookBot, open_session
from gateway.calls.errors import SoundError
from gateway.calls.model import RINGBACK_TONE, LegId
from gateway.dialplan.addresses import AnyAddress
from gateway.dialplan.people import Webhook
from gateway.dialplan.problems import ProblemsError
from gateway.dialplan.routing import NO_CHANNELS
from gateway.dialplan.schema import BuiltinBot, Channel, Dialplan
from gateway.dialplan.schema import WebhookBot as WebhookPlan
from gateway.engine.call import World
from gateway.engine.deliveries import Deliveries, jitter
from gateway.engine.delivery import Pace
from gateway.engine.engine import Engine
from gateway.engine.ports import Bot, StoreUnavailable
from gateway.engine.running import Running, policy
from gateway.engine.trunks import TrunkState
from gateway.node import Node
from gateway.settings import Settings
from gateway.sip.accounts import Accounts
from gateway.sip.endpoint import Endpoint, SipSettings
from gateway.sip.keepers import Keepers
from gateway.sip.legs import SipLegs
from gateway.sip.media import SipBridge
from gateway.sip.resolver import Resolver
from gateway.speech.sounds import SoundLibrary
from gateway.store.database import StoreUrlError
from gateway.store.store import Store, open_store
from gateway.telemetry import log as logging
from gateway.telemetry.lag import Lag
from gateway.telemetry.log import get_logger
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.readings import Sources

log = get_logger(__name__)

_WORKERS = 8
_REQUESTS_PER_CALL = 4
"""Requests outside of dialogs that one address may send for each call of `limits.cps`: INVITEs, a few of them refused
and sent again, and OPTIONS."""
_FEWEST_REQUESTS = 100
"""A second, whatever `limits.cps` is: a carrier that sends too many calls is told to come back, not cut off."""


def wall_clock() -> Callable[[], float]:
    """Seconds since the epoch that never go back: an NTP step during a call changes no duration."""
    offset = time.time() - time.monotonic()
    return lambda: time.monotonic() + offset


class Gateway:
    """One node: made from settings and a plan, started once, stopped once."""

    def __init__(self, settings: Settings, plan: Dialplan, load: Callable[[], Dialplan]) -> None:
        """`load` reads the plan's files again, for a reload; it raises ProblemsError."""
        self._settings, self._plan, self._load = settings, plan, load
        self._metrics = Metrics()
        self._metrics.know(plan.trunks, NO_CHANNELS | plan.channels.keys())
        self._sounds = SoundLibrary(
            media=settings.media.folder,
            clock_rate=settings.media.clock_rate,
            cache=settings.cache,
            fetch_allow=settings.security.fetch_allow,
            observer=self._metrics,
        )
        self._endpoint = Endpoint(_sip_settings(settings, plan))
        self._bridge = SipBridge(self._endpoint, self._sounds.music)
        accounts = Accounts(self._endpoint)
        self._resolver = Resolver(settings.sip.nameservers)
        self._keepers = Keepers(self._endpoint, accounts, self._resolver, self._resolved)
        self._legs = SipLegs(
            self._endpoint,
            self._bridge,
            accounts,
            carriers.specs(plan),
            carriers.trunk_lookup(plan, {}),
            self._keepers.targets,
            self._resolver.resolve,
            _new_leg_id,
        )
        self.stopping = asyncio.Event()
        """Somebody wants it drained and ended."""
        self._addresses: dict[str, tuple[AnyAddress, ...]] = {}
        self._clock = wall_clock()
        self._store: Store | None = None
        self._session: aiohttp.ClientSession | None = None
        self._engine: Engine | None = None
        self._node: Node | None = None
        self._http: HttpServer | None = None
        self._deliveries: Deliveries | None = None
        ping = partial(self._endpoint.run, lambda: None)
        self._lag = Lag(
            self._metrics.instruments,
            ping,
            self._bridge.longest_gap_s,
            told=lambda clock, late_s: self.engine.late(clock, late_s),
        )

    async def start(self) -> str:
        """Take calls; the line that says so. Raises OSError (an address is taken) or SoundError (media is missing)."""
        music = {RINGBACK_TONE.name, *(channel.hold_music for channel in self._plan.channels.values())}
        await self._sounds.preload(sorted(music))
        self._session = open_session()
        self._store = await open_store(self._settings.store.url, self._clock)
        journal = self._store.journal
        world = World(self._legs, self._bridge, self._sounds, self._clock, journal, self._metrics)
        running = _running(self._plan, self._session, self._metrics)
        limits, store = self._settings.limits, self._store
        self._engine = Engine(running, world, limits.calls, limits.lag_ms / 1000)
        receiver, pace = partial(_receiver, self._session), Pace(self._clock, jitter)
        self._deliveries = Deliveries(store.outbox, store.history, receiver, pace, self._metrics.webhook_attempt)
        self._node = Node(
            self._engine, self._keepers, self._load, self._run_plan, self.stopping.set, self._deliveries.statuses
        )
        api = ControlApi(self._node, store.keys, store.history, store.idempotency, self._clock)
        self._http = HttpServer(
            str(self._settings.api.bind),
            self._held,
            self._counted,
            lambda: self.engine.taking,
            api,
            extra=[web.get("/metrics", self._scrape)],
        )
        await self._deliveries.start(self._plan.webhooks)
        await self._engine.start()
        await self._keepers.apply(carriers.specs(self._plan))
        self._metrics.read(self._sources(self._store))
        url = await self._http.start()
        self._lag.start()  # last: while it starts, the loop is late, and that is no overload
        bind = self._settings.sip.bind
        return f"ready sip=udp:{bind}:{self._endpoint.udp_port},tcp:{bind}:{self._endpoint.tcp_port} api={url}"

    @property
    def engine(self) -> Engine:
        """The engine of a started gateway."""
        if self._engine is None:
            raise RuntimeError("the gateway is not started")
        return self._engine

    async def stop(self) -> None:
        """End what is left and release everything; safe after a start that failed half-way."""
        await self._lag.stop()
        await self._keepers.stop()
        await self._resolver.close()
        if self._engine is not None:
            await self._engine.stop()
        else:
            await self._sounds.close()
        if self._deliveries is not None:
            await self._deliveries.stop()
        if self._http is not None:
            await self._http.stop()
        if self._session is not None:
            await self._session.close()
        if self._store is not None:
            await self._store.close()

    async def reload(self) -> None:
        """SIGHUP: run what the plan's files say now; a bad file changes nothing and is told in the log."""
        if self._node is None:
            return
        try:
            await self._node.reload()
        except ProblemsError as error:
            log.error("dialplan.refused", problems=[str(problem) for problem in error.problems])

    async def _run_plan(self, plan: Dialplan) -> None:
        if self._session is None or self._deliveries is None:
            raise RuntimeError("the gateway is not started")
        running = _running(plan, self._session, self._metrics)
        self._metrics.know(plan.trunks, NO_CHANNELS | plan.channels.keys())
        self._addresses = carriers.still_valid(self._addresses, self._plan, plan)
        self.engine.running, self._plan = running, plan
        self.engine.agents.replanned()
        self._open_to_trunks()
        await self._keepers.apply(carriers.specs(plan))
        await self._deliveries.apply(plan.webhooks)

    def _resolved(self, trunk: str, addresses: Sequence[str]) -> None:
        """The host of a trunk has these addresses now: its calls come from there, unless `allow` says otherwise."""
        self._addresses[trunk] = tuple(ip_address(address) for address in addresses)
        self._open_to_trunks()

    def _open_to_trunks(self) -> None:
        plan, found = self._plan, self._addresses
        self._legs.replace_trunks(
            carriers.specs(plan), carriers.trunk_lookup(plan, found), carriers.admitted(plan, found)
        )

    def _sources(self, store: Store) -> Sources:
        engine, live = self.engine, self.engine.live
        return Sources(
            ready=lambda: engine.taking,
            draining=lambda: live.draining,
            overloaded=lambda: engine.overload.on,
            overloads=lambda: engine.overload.times,
            calls=lambda: len(live.calls),
            calls_limit=lambda: live.limit,
            calls_by_channel=lambda: live.per_channel,
            legs=lambda: self._legs.counts()["legs"],
            pjsip_orders=lambda: self._endpoint.thread.queued,
            underruns=lambda: self._bridge.underruns,
            decisions=self._endpoint.decisions,
            journal=store.journal.state,
            calls_crashed=lambda: len(store.recovered),
            trunks_up=self._trunks_up,
            webhook_lag_s=lambda: self._deliveries.lag_s() if self._deliveries is not None else 0.0,
        )

    def _trunks_up(self) -> Mapping[str, bool]:
        known = {name: health.state for name, health in self._keepers.health().items()}
        return {name: state is TrunkState.UP for name, state in known.items() if state is not TrunkState.UNKNOWN}

    async def _scrape(self, _: web.Request) -> web.Response:
        body, content_type = await self._metrics.scrape()
        return web.Response(body=body, headers={"Content-Type": content_type})

    def _counted(self) -> Mapping[str, int]:
        return {"underruns": self._bridge.underruns, **self._endpoint.decisions()}

    def _held(self) -> Mapping[str, int]:
        live = self.engine.live
        return {
            "calls": len(live.calls),
            "finishing": len(live.finishing),
            "timers": sum(call.timers for call in live.calls.values()),
            **self._legs.counts(),
        }


async def run(
    settings: Settings,
    load: Callable[[], Dialplan],
    say: Callable[[str], None],
    make: Callable[[Settings, Dialplan, Callable[[], Dialplan]], Gateway] = Gateway,
) -> int:
    """Run a gateway until SIGTERM or Ctrl-C; `say` takes the one line for stdout. Returns the exit code.

    The first signal drains, as `POST /v1/drain` does: live calls go on, new ones get 503. A second one ends the live
    calls too. SIGHUP loads the plan again. `make` is for tests that compose another gateway.
    """
    logging.configure(settings.log.format, settings.log.level, mask=settings.log.mask)
    gateway = make(settings, load(), load)
    stop, signalled, now = gateway.stopping, asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def signal_came() -> None:
        (now if signalled.is_set() else signalled).set()  # one that follows a drain by the API is the first
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signal_came)
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.create_task(gateway.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    await _hire(_WORKERS)
    try:
        say(await gateway.start())
        # The event loop and the PJSIP thread hand the interpreter to each other all the time; the one that waits for it
        # waits for at most this long (default 5 ms) before it asks.
        sys.setswitchinterval(0.001)
        gc.collect()
        gc.freeze()  # what is here now stays: no collection needs to look at it again
        await stop.wait()
        log.info("gateway.draining", calls=len(gateway.engine.live.calls))
        drain = asyncio.create_task(gateway.engine.drain(settings.drain_timeout_s))
        hurry = asyncio.create_task(now.wait())
        await asyncio.wait({drain, hurry}, return_when=asyncio.FIRST_COMPLETED)
        for task in (drain, hurry):
            task.cancel()
    except (OSError, SoundError, StoreUrlError, StoreUnavailable) as error:
        detail = (error.strerror if isinstance(error, OSError) else None) or str(error)
        if isinstance(error, OSError) and error.errno == EADDRINUSE:
            detail += "; end what listens there, or set another port (0 is any free one)"
        log.error("gateway.cannot_start", detail=detail)
        return 1
    finally:
        await gateway.stop()
    log.info("gateway.stopped")
    return 0


async def _hire(workers: int) -> None:
    """Have all threads for work that blocks (files, names) from the start: none is made in the midst of calls."""
    loop, all_here = asyncio.get_running_loop(), threading.Barrier(workers)
    loop.set_default_executor(ThreadPoolExecutor(workers, "worker"))
    await asyncio.gather(*(loop.run_in_executor(None, all_here.wait) for _ in range(workers)))


def _new_leg_id() -> LegId:
    return LegId(f"leg_{ULID()}")


# ── The plan, made ready ────────────────────────────────────────────────────────────────────────────


def _running(plan: Dialplan, session: aiohttp.ClientSession, metrics: Metrics) -> Running:
    policies = {name: policy(name, channel) for name, channel in plan.channels.items()}
    bots = {name: _bot(channel, session, metrics.http_retry(name)) for name, channel in plan.channels.items()}
    return Running(plan, policies, bots, AnnounceBot, AttendantBot)


def _bot(channel: Channel, session: aiohttp.ClientSession, retried: Callable[[], None]) -> Bot:
    match channel.bot:
        case WebhookPlan():
            secrets = [channel.bot.secret.reveal()] if channel.bot.secret else []
            return WebhookBot(channel.bot.url, secrets, channel.bot.timeout_s, session, retried)
        case BuiltinBot():
            return ReceptionBot() if channel.bot.name == "reception" else EchoBot()
        case _:
            raise NotImplementedError(f"bot type {channel.bot.type}")  # refused when the plan was read


def _receiver(session: aiohttp.ClientSession, webhook: Webhook) -> StatusReceiver:
    return StatusReceiver(webhook.url, [webhook.secret.reveal()] if webhook.secret else [], session)


def _sip_settings(settings: Settings, plan: Dialplan) -> SipSettings:
    sip = settings.sip
    return SipSettings(
        bind=sip.bind,
        udp_port=sip.udp_port,
        tcp_port=sip.tcp_port,
        clock_rate=settings.media.clock_rate,
        rtp_ports=(sip.rtp_ports.first, sip.rtp_ports.last),
        admit=carriers.admitted(plan, {}),
        call_rate=settings.limits.cps,
        source_rate=max(_FEWEST_REQUESTS, _REQUESTS_PER_CALL * settings.limits.cps),
    )
