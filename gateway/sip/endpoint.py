"""The process's one PJSIP endpoint: settings, transports, codecs, orderly end; used by legs.py, media.py, phone.py."""

import functools
import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar

import pjsua2 as pj

from gateway.sip.thread import EndpointStopped, PjThread
from gateway.telemetry.log import get_logger

__all__ = ["Endpoint", "EndpointStopped", "SipSettings", "callback", "reason_of"]

log = get_logger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

_SYSTEM_ERRORS: Final = 120_000  # PJ_ERRNO_START_SYS: PJSIP's status for errno + this
_GATE_BITS: Final = {"udp": pj.GATE_UDP, "tcp": pj.GATE_TCP, "tls": pj.GATE_TLS}
_DECISIONS: Final = (
    "passed", "stranger", "method", "rate", "cps", "draining", "overloaded", "malformed", "malformed_response",
)  # fmt: skip
_LONGEST_GOODBYE: Final = 2.0
_SMALLEST_BURST: Final = 10.0  # a slow rate's: calls and probes come in groups
_RTCP_PORTS: Final = 2  # RTP on the even port, RTCP on the odd one

_the_only_one: Final = threading.Lock()


Admitted: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]
"""Networks, each with the transports ("udp", "tcp", "tls") over which it is heard."""


Select: TypeAlias = Callable[[str, str], int]
"""Gives PJSUA's number of the account that a request outside of any dialog is for, from its text and source."""


@dataclass(frozen=True, slots=True)
class SipSettings:
    """What the endpoint is told at the start. A port of 0 is any free one, None is no such transport."""

    bind: str = "0.0.0.0"
    udp_port: int | None = 5060
    tcp_port: int | None = 5060
    public_address: str = ""
    """The address that peers see, if it is another than `bind` (NAT with fixed forwarding)."""
    clock_rate: int = 8000
    rtp_ports: tuple[int, int] = (10_000, 30_000)
    codecs: tuple[str, ...] = ("PCMU", "PCMA", "G722", "opus", "G729")
    """Best first; what is not named is switched off."""
    max_calls: int = 1200
    user_agent: str = "Switchhook/0.1.0"
    trace_file: str = ""
    """Every SIP message is written here when it is not empty."""
    admit: Admitted | None = None
    """Whose requests are heard at all; None: everybody's, and none of the limits below."""
    source_rate: float = 0.0
    """How many requests a second outside of dialogs an address may send; a second's worth or 10 at once. 0: any."""
    call_rate: float = 0.0
    """How many new calls a second the node takes (dialplan.md, limits.cps), likewise. 0: any."""


def callback(fn: Callable[P, T]) -> Callable[P, T | None]:
    """Decorate a method that PJSIP calls: whatever it raises is logged and goes no further.

    An exception that reaches SWIG's director code is printed and lost at best, and ends the process at worst
    (pjsip.md, What bites).
    """

    @functools.wraps(fn)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return fn(*args, **kwargs)
        except BaseException as error:
            log.error("sip.callback_error", where=fn.__qualname__, detail=reason_of(error), exc_info=error)
            return None

    return guarded


def reason_of(error: BaseException) -> str:
    """What a PJSIP error says; its text is not in str(error)."""
    if isinstance(error, pj.Error):
        return str(error.info())
    return f"{type(error).__name__}: {error}"


class _Complaints(pj.LogWriter):  # type: ignore[misc]
    """PJSIP's warnings and errors, at most 10 a second: what comes off the wire can cause them at will."""

    def __init__(self) -> None:
        super().__init__()
        self._second = 0
        self._count = 0

    def write(self, entry: Any) -> None:
        try:
            second = int(time.monotonic())
            if second != self._second:
                self._second, self._count = second, 0
            self._count += 1
            if self._count <= 10:
                log.info("pjsip.complaint", severity=entry.level, detail=entry.msg.strip()[:300])
        except BaseException:  # noqa: BLE001, S110 - called from C++, and there is no log left to tell
            pass


class _Library(pj.Endpoint):  # type: ignore[misc]
    """PJSUA's own endpoint, with a say in which account a request is for."""

    select: Select | None = None

    @callback
    def onSelectAccount(self, prm: Any) -> None:
        if self.select is not None:
            prm.accountIndex = self.select(prm.rdata.wholeMsg, prm.rdata.srcAddress)


class Endpoint:
    """Start it, hand it work with `submit` or `run`, stop it. One per process at a time: PJSIP has global state."""

    def __init__(self, settings: SipSettings) -> None:
        self.settings = settings
        self.udp_port: int | None = None
        self.udp_transport: int = pj.PJSUA_INVALID_ID
        """PJSUA's number of the UDP socket, for an account that is to use nothing else."""
        self.tcp_port: int | None = None
        self.thread = PjThread()
        self.submit = self.thread.submit
        self.run = self.thread.run
        self.emit = self.thread.emit
        self.later = self.thread.later
        self.bury = self.thread.bury
        self._pj: Any = None
        self._gate: Any = None
        self._cancels: Any = None
        self.select: Select | None = None
        """Asked for each request that may begin a dialog, in the PJSIP thread."""
        self._farewells: list[tuple[Callable[[], object], Callable[[], bool], Callable[[], object]]] = []

    async def start(self) -> None:
        """Listen. Raises OSError when an address cannot be had."""
        await self.thread.start(self._set_up, self._tear_down)

    def decisions(self) -> dict[str, int]:
        """How often the gatekeeper let a request pass or stopped it, or a response, by what it found (GateCounts in
        gatekeeper.hpp says what each name means); empty without one."""
        if self._gate is None:
            return {}
        counts = self._gate.counts()
        return {name: getattr(counts, name) for name in _DECISIONS}

    async def stop(self) -> None:
        """End everything in order (at most some 2 s); safe to call twice."""
        await self.thread.stop()

    def at_stop(self, hang_up: Callable[[], object], gone: Callable[[], bool], release: Callable[[], object]) -> None:
        """What to do when the end comes, in the PJSIP thread: `hang_up`, wait for `gone`, `release` all pj objects."""
        self._farewells.append((hang_up, gone, release))

    def account(self, id_uri: str) -> Any:
        """An AccountConfig with our media settings, for the PJSIP thread."""
        low, high = self.settings.rtp_ports
        config = pj.AccountConfig()
        config.idUri = id_uri
        config.regConfig.registerOnAdd = False
        config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL
        config.callConfig.prackUse = pj.PJSUA_100REL_NOT_USED
        config.mwiConfig.enabled = False
        config.presConfig.publishEnabled = False
        config.natConfig.sipOutboundUse = 0
        config.natConfig.contactRewriteUse = 0
        config.natConfig.viaRewriteUse = 0
        config.natConfig.sdpNatRewriteUse = 0
        media = config.mediaConfig
        media.ipv6Use = pj.PJSUA_IPV6_DISABLED
        media.lockCodecEnabled = False  # no re-INVITE of ours to narrow the codecs down: the first one counts
        media.streamKaEnabled = False
        transport = media.transportConfig
        transport.port = low
        transport.portRange = max(_RTCP_PORTS, high - low)
        transport.randomizePort = True  # in order, PJSUA gives up after 100 busy ports
        transport.boundAddress = "" if self.settings.bind == "0.0.0.0" else self.settings.bind
        transport.publicAddress = self.settings.public_address
        return config

    # ── in the PJSIP thread ─────────────────────────────────────────────────────────────────────────

    def _set_up(self) -> tuple[int, Callable[[], object]]:
        if not _the_only_one.acquire(blocking=False):  # a second constructor would abort the process
            raise RuntimeError("one PJSIP endpoint per process at a time")
        self._pj = _Library()  # no local name for it: the traceback of a failed start would keep it alive
        self._pj.libCreate()
        pj.tuneEndpoint()
        self._pj.libInit(self._config())
        pj.guardMediaStart()
        self._stand_guard()
        self._cancels = pj.LateCancel()
        self._cancels.install()
        self.udp_port = self._listen("udp", pj.PJSIP_TRANSPORT_UDP, self.settings.udp_port)
        self.tcp_port = self._listen("tcp", pj.PJSIP_TRANSPORT_TCP, self.settings.tcp_port)
        self._pj.libStart()
        self._pj.audDevManager().setNullDev()  # its clock thread drives the bridge
        self._rank_codecs()
        self._pj.select = self._select
        return pj.sipPollFd(), functools.partial(self._pj.libHandleEvents, 0)

    def _select(self, text: str, source: str) -> int:
        return self.select(text, source) if self.select is not None else 0

    def _stand_guard(self) -> None:
        if self.settings.admit is None:
            return
        self._gate = pj.Gatekeeper()
        self.admit(self.settings.admit)
        source, calls = self.settings.source_rate, self.settings.call_rate
        self._gate.setSourceRate(source, max(source, _SMALLEST_BURST))
        self._gate.setCallRate(calls, max(calls, _SMALLEST_BURST))
        self._gate.install()

    def admit(self, networks: Admitted) -> None:
        """From now on hear these, and nobody else; in the PJSIP thread, on an endpoint that was told whom to admit."""
        for network, transports in networks:
            self._gate.admit(network, sum(_GATE_BITS[name] for name in transports))
        self._gate.swap()

    def reason_of_cancel(self, call_id: int, value: str) -> None:
        """A CANCEL of this PJSUA call that PJSIP sends later, by itself, gets this Reason; in the PJSIP thread."""
        self._cancels.reason(call_id, value)

    def turn_away(self, retry_after_s: int | None, draining: bool = True) -> None:
        """Answer new INVITEs, and OPTIONS outside of dialogs, with 503 and this Retry-After; None: take calls again.

        Draining or overloaded (hostile-world.md, Overload and Crash-only) makes a difference to `decisions` only. In
        the PJSIP thread, on an endpoint that was told whom to admit. Raises ValueError for seconds below 0.
        """
        if retry_after_s is None:
            self._gate.takeCalls()
        else:
            self._gate.turnAway(retry_after_s, pj.GATE_DRAINING if draining else pj.GATE_OVERLOADED)

    def _config(self) -> Any:
        settings = self.settings
        config = pj.EpConfig()
        ua, media, logs = config.uaConfig, config.medConfig, config.logConfig
        ua.threadCnt = 0
        ua.mainThreadOnly = True
        ua.maxCalls = settings.max_calls
        ua.userAgent = settings.user_agent
        ua.natTypeInSdp = 0
        ua.mwiUnsolicitedEnabled = False
        ua.noRefersub = False
        media.clockRate = media.sndClockRate = settings.clock_rate
        media.channelCount = 1
        media.audioFramePtime = 20
        media.quality = 4  # above: large resampling filters, five times the CPU of a whole leg
        media.maxMediaPorts = 2 * settings.max_calls + 64  # each port holds 8 bytes for each other one
        media.hasIoqueue = True
        media.threadCnt = 1
        media.noVad = True
        media.ecTailLen = 0
        media.jbMax = 200
        media.sndAutoCloseTime = -1
        logs.level = 4 if settings.trace_file else 2
        logs.msgLogging = int(bool(settings.trace_file))
        logs.filename = settings.trace_file
        logs.consoleLevel = 2  # = what reaches the writer; level 3 and more would crowd digits out of the job queue
        writer = _Complaints()
        logs.writer = writer.__disown__()  # libDestroy deletes it
        return config

    def _listen(self, name: str, kind: int, port: int | None) -> int | None:
        if port is None:
            return None
        transport = pj.TransportConfig()
        transport.port = port
        if self.settings.bind != "0.0.0.0":
            transport.boundAddress = self.settings.bind
        transport.publicAddress = self.settings.public_address
        try:
            number = self._pj.transportCreate(kind, transport)
        except pj.Error as error:
            errno = error.status - _SYSTEM_ERRORS
            where = f"{name} {self.settings.bind}:{port}"
            raise OSError(errno if 0 < errno < 1000 else 0, f"SIP cannot listen on {where}: {error.reason}") from None
        if kind == pj.PJSIP_TRANSPORT_UDP:
            self.udp_transport = number
        address: str = self._pj.transportGetInfo(number).localAddress
        return int(address.rpartition(":")[2])

    def _rank_codecs(self) -> None:
        wanted = [name.lower() for name in self.settings.codecs]
        for codec in self._pj.codecEnum2():
            name = codec.codecId.partition("/")[0].lower()
            self._pj.codecSetPriority(codec.codecId, 255 - wanted.index(name) if name in wanted else 0)

    def _tear_down(self) -> None:
        if self._pj is None:
            return
        for hang_up, _, _ in self._farewells:
            self._quietly(hang_up)
        deadline = time.monotonic() + _LONGEST_GOODBYE
        while time.monotonic() < deadline and not all(gone() for _, gone, _ in self._farewells):
            self.thread.turn()
        for _, _, release in self._farewells:
            self._quietly(release)
        self.thread.turn(0.0)
        self.thread.turn(0.0)
        self._pj.select = None
        gc.collect()  # pj objects that are left must die before the library, in this thread
        if self._gate is not None:
            self._quietly(self._gate.remove)
        if self._cancels is not None:
            self._quietly(self._cancels.remove)
        self._quietly(lambda: self._pj.libDestroy(pj.PJSUA_DESTROY_NO_RX_MSG))  # else it sleeps for a second
        self._pj = self._gate = self._cancels = None
        gc.collect()
        _the_only_one.release()

    @staticmethod
    def _quietly(fn: Callable[[], object]) -> None:
        try:
            fn()
        except BaseException as error:  # noqa: BLE001 - the end goes on
            log.warning("sip.stop_error", where=getattr(fn, "__qualname__", repr(fn)), detail=reason_of(error))
