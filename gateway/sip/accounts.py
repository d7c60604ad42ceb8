"""PJSUA's accounts: one for the calls of each trunk, and those that register or ask; in the PJSIP thread, for legs.py
and keeper.py.

Registering and asking have accounts of their own, so that an attempt can be given up, or a peer be changed, without a
call noticing. PJSIP is only ever given addresses: names are looked up in asyncio (pjsip.md).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import pjsua2 as pj

from gateway.sip.endpoint import Endpoint, callback, reason_of
from gateway.sip.outcome import NO_ANSWER, Outcome, outcome_of
from gateway.sip.resolver import Target
from gateway.sip.trunk import TrunkSpec
from gateway.sip.udp_only import UdpOnly
from gateway.telemetry.log import get_logger

log = get_logger(__name__)

REGISTER_FOR_S: Final = 300
_REFRESH_BEFORE_S: Final = 10

Incoming = Callable[["TrunkAccount", int, str, str], None]
"""Takes (account, PJSUA's call id, the message, its source) of an INVITE outside of any dialog."""


class Accounts:
    """All accounts of one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._incoming: Incoming = lambda account, call_id, text, source: None
        self._trunks: dict[str, TrunkAccount] = {}
        self._guests: dict[str, TrunkAccount] = {}
        self._retired: list[TrunkAccount] = []
        self._strangers: TrunkAccount | None = None
        self._clients: dict[int, _Client] = {}
        self.udp_only = UdpOnly()
        """Targets to which calls go over UDP however large they are."""

    def open(self, incoming: Incoming) -> None:
        """Make the account for whatever belongs to no trunk; from now on `incoming` is told of INVITEs."""
        self._incoming = incoming
        self._strangers = TrunkAccount(TrunkSpec(""), incoming)
        self._strangers.create(self._endpoint.account("sip:switchhook@localhost"), True)

    def apply(self, specs: Sequence[TrunkSpec]) -> None:
        """From now on these trunks. A trunk that is gone keeps its account as long as it has calls."""
        names = {spec.name for spec in specs}
        for kept in (self._trunks, self._guests):
            for name in [name for name in kept if name not in names]:
                self._retired.append(kept.pop(name))
        for spec in specs:
            account = self._trunks.get(spec.name)
            if account is None:
                account = self._trunks[spec.name] = TrunkAccount(spec, self._incoming)
                account.create(self._config(account), False)
            elif account.spec != spec:
                account.spec = spec
                account.modify(self._config(account))
        self._bury_retired()

    def route(self, trunk: str, target: Target) -> None:
        """Where the requests of this trunk go from now on; calls that are up keep their way."""
        account = self._trunks.get(trunk)
        if account is not None and account.target != target:
            account.target = target
            account.modify(self._config(account))

    @contextmanager
    def via(self, account: "TrunkAccount", target: Target) -> Iterator[None]:
        """Within it, what is sent on this account goes to this target; a dialog that begins there keeps its way."""
        usual, account.target = account.target, target
        bound = target in self.udp_only
        if usual != target or bound:
            account.modify(self._config(account, bound=bound))
        try:
            yield
        finally:
            account.target = usual
            if usual != target or bound:
                account.modify(self._config(account))

    def of(self, trunk: str) -> "TrunkAccount | None":
        """The account for the calls of a trunk, or for those of strangers."""
        return self._trunks.get(trunk, self._strangers)

    def guest(self, trunk: str) -> "TrunkAccount | None":
        """The account for calls of a trunk to hosts that are not its own: without its credentials."""
        known, guest = self._trunks.get(trunk), self._guests.get(trunk)
        if known is None:
            return None
        spec = replace(known.spec, credentials=None, registers=False)
        if guest is None or guest.spec != spec:
            if guest is not None:
                self._retired.append(guest)
            guest = self._guests[trunk] = TrunkAccount(spec, self._incoming)
            guest.create(self._config(guest), False)
        return guest

    def left(self, account: "TrunkAccount") -> None:
        """A call of this account is over."""
        account.calls -= 1
        if self._retired:
            self._bury_retired()

    def register(self, key: int, spec: TrunkSpec, target: Target, done: Callable[[Outcome], object]) -> None:
        """Register there, and keep it up until `give_up(key)`; `done` is told of each answer, refreshes too."""
        self._begin(key, _Registrar(spec, target, done))

    def ask(self, key: int, spec: TrunkSpec, target: Target, done: Callable[[Outcome], object]) -> None:
        """Send OPTIONS (RFC 3261 §11) there; `done` is told once, unless `give_up(key)` comes before."""
        self._begin(key, _Prober(spec, target, done))

    def give_up(self, key: int, *, take_back: bool = False) -> None:
        """What was begun under this key concerns nobody any more. `take_back`: a registration is undone, too."""
        client = self._clients.get(key)
        if client is not None:
            client.tell = None
            if not (take_back and client.take_back()):
                self._end(key)

    def take_back(self) -> None:
        """Undo all registrations (RFC 3261 §10.2.2): the end is near."""
        for key in list(self._clients):
            self.give_up(key, take_back=True)

    def settled(self) -> bool:
        """No registration is being undone."""
        return not any(client.going for client in self._clients.values())

    def close(self) -> None:
        """Release all accounts."""
        for account in [
            *self._clients.values(),
            *self._trunks.values(),
            *self._guests.values(),
            *self._retired,
            self._strangers,
        ]:
            if account is not None:
                _shut(account)
        self._clients.clear()
        self._trunks.clear()
        self._guests.clear()
        self._retired.clear()
        self._strangers = None

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _base(self, spec: TrunkSpec) -> Any:
        """What the configurations of all accounts of a trunk have in common."""
        config = self._endpoint.account(f"sip:{spec.user}@{spec.host_in_uri}")
        if spec.credentials is not None:
            known = spec.credentials
            config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", known.realm, known.username, 0, known.password))
        return config

    def _config(self, account: "TrunkAccount", *, bound: bool = False) -> Any:
        """`bound`: to our UDP socket, so that PJSIP cannot move a large request to TCP."""
        spec = account.spec
        config = self._base(spec)
        if bound:
            config.sipConfig.transportId = self._endpoint.udp_transport
        if account.target is not None:
            config.sipConfig.proxies.append(_route(account.target))
        if spec.session_timer_s is not None:
            config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_ALWAYS
            config.callConfig.timerSessExpiresSec = spec.session_timer_s
        return config

    def _begin(self, key: int, client: "_Client") -> None:
        self._clients[key] = client
        try:
            client.begin(self._base(client.spec), lambda: self._endpoint.later(0, lambda: self._end(key)))
        except pj.Error as error:  # no transport to get there, an unusable URI
            client.told(Outcome(NO_ANSWER, reason_of(error)))

    def _end(self, key: int) -> None:
        client = self._clients.get(key)
        if client is not None and not client.going:
            del self._clients[key]
            client.forget()
            self._retire(client)

    def _bury_retired(self) -> None:
        for account in [account for account in self._retired if account.calls <= 0]:
            self._retired.remove(account)
            self._retire(account)

    def _retire(self, account: Any) -> None:
        """PJSUA's account ends with its object, in a moment. Shut at once, its number would be free for the next
        account, and that one is what the late destructor would end."""
        self._endpoint.bury(account)


class TrunkAccount(pj.Account):  # type: ignore[misc]
    """Has the calls of one trunk, in and out."""

    def __init__(self, spec: TrunkSpec, incoming: Incoming) -> None:
        super().__init__()
        self.spec = spec
        self.target: Target | None = None
        self.calls = 0
        """How many of its calls are up; legs.py counts."""
        self._incoming = incoming

    @callback
    def onIncomingCall(self, prm: Any) -> None:
        self._incoming(self, prm.callId, prm.rdata.wholeMsg, prm.rdata.srcAddress)

    @callback
    def onIncomingSubscribe(self, prm: Any) -> None:
        prm.code, prm.reason = pj.PJSIP_SC_METHOD_NOT_ALLOWED, "Method Not Allowed"


class _Client(pj.Account):  # type: ignore[misc]
    """An account that only asks something of a trunk."""

    def __init__(self, spec: TrunkSpec, target: Target, tell: Callable[[Outcome], object]) -> None:
        super().__init__()
        self.spec, self.target = spec, target
        self.tell: Callable[[Outcome], object] | None = tell
        self.going = False
        """PJSIP will call back yet: until then the account must not go, as another may get its number."""
        self._gone: Callable[[], object] = lambda: None

    def begin(self, config: Any, gone: Callable[[], object]) -> None:
        """Send it. `gone` is called when nothing comes back any more and nobody wants to know. Raises pj.Error."""
        self._gone = gone

    def take_back(self) -> bool:
        """Undo what it did at the other end; False if there is nothing."""
        return False

    def forget(self) -> None:
        """The end of the account is no news for the other end."""

    def told(self, outcome: Outcome) -> None:
        """An answer is here."""
        if self.tell is not None:
            self.tell(outcome)
        else:
            self._gone()


class _Registrar(_Client):
    """One registration at one address. PJSIP refreshes it in time, answers challenges of the plan's realm, takes a new
    nonce when the old one is stale, and asks for longer when told so by a 423 (RFC 3261 §10.2.8)."""

    _registered = False

    def begin(self, config: Any, gone: Callable[[], object]) -> None:
        super().begin(config, gone)
        reg = config.regConfig
        reg.registrarUri = f"sip:{self.spec.authority}{_transport(self.target)}"
        reg.registerOnAdd = True
        reg.timeoutSec = REGISTER_FOR_S
        reg.delayBeforeRefreshSec = _REFRESH_BEFORE_S
        reg.retryIntervalSec = 0  # when to try again, and where, is for the keeper
        reg.disableRegOnModify = True
        config.sipConfig.proxies.append(_route(self.target))
        self._config = config
        self.create(config, False)

    def forget(self) -> None:
        """Without this PJSUA would send an unauthorized `Expires: 0`, to a target that may share its registrations with
        the next one."""
        self._config.regConfig.registrarUri = ""
        try:
            self.modify(self._config)
        except pj.Error as error:
            log.info("trunk.not_forgotten", trunk=self.spec.name, detail=reason_of(error))

    def take_back(self) -> bool:
        if not self._registered:
            return False
        self._registered = False
        try:
            self.setRegistration(False)
        except pj.Error as error:  # a refresh is under way
            log.info("trunk.not_unregistered", trunk=self.spec.name, detail=reason_of(error))
            return False
        self.going = True
        return True

    @callback
    def onRegState(self, prm: Any) -> None:
        self.going = False
        status, expires_s = prm.code, prm.expiration
        if prm.status != 0 and status < 300:
            status = NO_ANSWER
        self._registered = 200 <= status <= 299 and expires_s > 0
        self.told(outcome_of(status, prm.reason, expires_s, prm.rdata.wholeMsg))


class _Prober(_Client):
    """One OPTIONS."""

    def begin(self, config: Any, gone: Callable[[], object]) -> None:
        super().begin(config, gone)
        self.create(config, False)
        request = pj.SendRequestParam()
        request.method = "OPTIONS"
        request.txOption.targetUri = f"sip:{_authority(self.target)}{_transport(self.target)}"
        self.sendRequest(request)
        self.going = True

    @callback
    def onSendRequest(self, prm: Any) -> None:
        self.going = False
        change = prm.e.body.tsxState
        self.told(Outcome(change.tsx.statusCode, change.tsx.statusText))


def _route(target: Target) -> str:
    """A route that decides where a request goes and is not written into it."""
    return f"<sip:{_authority(target)}{_transport(target)};lr;hide>"


def _authority(target: Target) -> str:
    return f"[{target.ip}]:{target.port}" if ":" in target.ip else f"{target.ip}:{target.port}"


def _transport(target: Target) -> str:
    return "" if target.transport == "udp" else f";transport={target.transport}"


def _shut(account: Any) -> None:
    try:
        account.shutdown()
    except pj.Error as error:
        log.warning("sip.stop_error", where="account", detail=reason_of(error))
