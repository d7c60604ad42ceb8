"""Who asks, what that key may do and see, and how often; the middleware before every path under /v1.

A key is bound to channels, to an agent, or to nothing. What a bound key does not see is not there for it (404, never
403): it cannot find out whether a call of somebody else exists.
"""

import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aiohttp import web

from gateway.api.problems import ApiProblem, Code, Handler
from gateway.api.rates import Rates
from gateway.calls.cdr import Cdr
from gateway.calls.history import Happening
from gateway.calls.model import Call
from gateway.calls.witnesses import leg_of
from gateway.engine.ports import Key, Keys

PREFIX: Final = "/v1"
_REALM: Final = 'Bearer realm="switchhook"'
_BEARER: Final = re.compile(r"Bearer +([A-Za-z0-9._~+/-]{8,256}=*)", re.IGNORECASE)  # RFC 6750 §2.1


class Scope(StrEnum):
    """What a key may be allowed to do."""

    CALLS_READ = "calls:read"
    CALLS_CONTROL = "calls:control"
    BOT_REPLY = "bot:reply"
    AGENTS = "agents"
    SUPERVISE = "supervise"
    RECORDINGS_READ = "recordings:read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: a key, and the SHA-256 of its text, by which it can be looked up again."""

    key: Key
    sha256: str

    @property
    def channels(self) -> frozenset[str] | None:
        """The channels whose calls it sees; None: of all."""
        return self.key.channels

    @property
    def agent(self) -> str | None:
        """The agent of the plan whose calls it sees, and for whom it commands; None: of all, for nobody in
        particular."""
        return self.key.agent

    @property
    def bound(self) -> bool:
        """It sees some calls only, and nothing of the node itself."""
        return self.channels is not None or self.agent is not None

    def sees(self, call: Call) -> bool:
        """Whether this live call is there for it."""
        mine = self.agent is None or leg_of(call, self.agent) is not None
        return mine and (self.channels is None or call.channel.name in self.channels)

    def saw(self, past: Happening | Cdr) -> bool:
        """Whether this happening, or call that is over, is."""
        mine = self.agent is None or self.agent in past.agents
        return mine and (self.channels is None or past.channel in self.channels)


CALLER: Final = web.RequestKey("caller", Caller)


class Gate:
    """Lets requests with a key through, each key at its rate. A source that guesses keys is slowed down too."""

    def __init__(self, keys: Keys, per_s: float, burst: int, guesses: int, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._per_key = Rates(per_s, burst, clock)
        self._failures = Rates(1.0, guesses, clock)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Before every path under /v1, those that are not there too."""
        if request.path == PREFIX or request.path.startswith(PREFIX + "/"):
            request[CALLER] = await self._authenticate(request)
        return await handler(request)

    async def _authenticate(self, request: web.Request) -> Caller:
        given = request.headers.getall("Authorization", [])
        caller = await self._known(given[0]) if len(given) == 1 else None
        if caller is None:  # a good key goes through all the same: others may sit behind the same proxy
            self._not_too_many(self._failures.take(request.remote or ""))
            raise _unauthenticated(bool(given))
        self._not_too_many(self._per_key.take(caller.key.id))
        return caller

    async def _known(self, given: str) -> Caller | None:
        found = _BEARER.fullmatch(given)
        if found is None:
            return None
        sha256 = hashlib.sha256(found[1].encode()).hexdigest()
        key = await self._keys.find(sha256)
        return Caller(key, sha256) if key is not None else None

    async def still_good(self, caller: Caller) -> bool:
        """Whether the key has not been revoked since. Raises StoreUnavailable."""
        return await self._keys.find(caller.sha256) is not None

    def _not_too_many(self, wait_s: float) -> None:
        if wait_s:
            after = str(math.ceil(wait_s))
            raise ApiProblem(Code.RATE_LIMITED, f"try again in {after} s", headers={"Retry-After": after})


def require(caller: Caller, scope: Scope, or_scope: Scope | None = None, *, of_node: bool = False) -> None:
    """Raise 403 unless the key has one of the scopes and, for what concerns the whole node, is bound to nothing."""
    if caller.key.scopes.isdisjoint({scope.value, or_scope.value if or_scope else scope.value}):
        header = f'{_REALM}, error="insufficient_scope", scope="{scope.value}"'  # RFC 6750 §3.1
        raise ApiProblem(
            Code.FORBIDDEN, f"it needs the scope {scope.value}", {"scope": scope.value}, {"WWW-Authenticate": header}
        )
    if of_node and caller.bound:
        raise ApiProblem(Code.FORBIDDEN, "it concerns the whole node, and the key is bound to some of its calls")


def _unauthenticated(given: bool) -> ApiProblem:
    if given:
        header, detail = f'{_REALM}, error="invalid_token"', "the key is unknown or revoked"
    else:
        header, detail = _REALM, "send Authorization: Bearer with a key made by `switchhook keys add`"
    return ApiProblem(Code.UNAUTHENTICATED, detail, headers={"WWW-Authenticate": header})
