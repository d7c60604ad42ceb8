"""One call, summed up: the CDR, folded from the call's own history; made by the store at every end, crashes too.

`fold` is the one way to make a CDR. It believes whatever history it is given: what is missing in it (a disk was full)
is missing in the CDR, and nothing makes it fail.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gateway.calls.causes import Cause, EndedBy, Reason, Result
from gateway.calls.history import Happening, Type, cause_json
from gateway.calls.model import CallId, Direction, Json, JsonObject, LegId
from gateway.calls.view import rfc3339

CRASHED = Cause(Result.GATEWAY, Reason.CRASHED)
_UNKNOWN = Cause(Result.UNKNOWN, Reason.PROTOCOL_ERROR)


@dataclass(frozen=True, slots=True)
class CdrLeg:
    """One leg of the call. `joined_at` is None if it was never answered; `by` is `peer` or `gateway`."""

    leg_id: LegId
    role: str
    joined_at: float | None = None
    left_at: float | None = None
    codec: str | None = None
    cause: Cause | None = None
    sip_status: int | None = None
    q850: int | None = None
    by: str | None = None
    agent: str | None = None
    """The agent of the plan whose phone it was."""


@dataclass(frozen=True, slots=True)
class Cdr:
    """A call detail record (control-api.md). `duration_ms` counts from the answer; 0 for a call that had none."""

    call_id: CallId
    sip_call_id: str | None
    channel: str | None
    trunk: str | None
    direction: str
    from_: str | None
    to: str | None
    started_at: float
    answered_at: float | None
    ended_at: float
    duration_ms: int
    cause: Cause
    sip_status: int | None
    q850: int | None
    ended_by: str
    legs: tuple[CdrLeg, ...] = ()
    transfers: tuple[JsonObject, ...] = ()
    recordings: tuple[JsonObject, ...] = ()
    rtp: tuple[JsonObject, ...] = ()
    data: JsonObject = field(default_factory=dict)
    agents: tuple[str, ...] = ()
    """All agents of the plan who ever had a leg in it, answered or not: a key that is bound to one of them sees it."""


# ── Folding ─────────────────────────────────────────────────────────────────────────────────────────


def fold(history: Sequence[Happening]) -> Cdr:
    """The CDR of a call that is over, from its happenings in order; ValueError only if there are none."""
    if not history:
        raise ValueError("no history")
    tally = Tally(history[0])
    for happening in history:
        tally.add(happening)
    return tally.cdr()


class Tally:
    """A fold under way: a call's history so far, of which only what the CDR needs is kept."""

    def __init__(self, first: Happening) -> None:
        self.last = first
        """The newest happening."""
        self._first = first
        self._legs: dict[LegId, _LegTally] = {}
        self._data: JsonObject = {}
        self._offer: JsonObject = {}
        self._end: Happening | None = None
        self._under_way: dict[str, Happening] = {}
        self._bridged: dict[str, float] = {}
        self._transfers: list[JsonObject] = []
        self._answered_at: float | None = None
        self._agents = set(first.agents)

    @property
    def over(self) -> bool:
        """The end of the call is in its history."""
        return self._end is not None

    def add(self, happening: Happening) -> None:
        """The next happening; what comes after the end changes nothing."""
        if self._end is not None:
            return
        self.last = happening
        self._agents.update(happening.agents)
        data = happening.data
        match happening.type:
            case Type.CALL_STARTED:
                self._offer = data
                if happening.leg_id is not None:
                    self._leg(happening.leg_id).role = "customer"
            case Type.CALL_REFUSED:
                self._offer, self._end = data, happening
            case Type.CALL_ANSWERED:
                self._answered_at = happening.at
            case Type.CALL_TAGGED:
                tagged = data.get("data")
                self._data |= tagged if isinstance(tagged, dict) else {}
            case Type.TRANSFER_STARTED:
                self._under_way[_id_of(data)] = happening
            case Type.TRANSFER_BRIDGED:
                self._bridged[_id_of(data)] = happening.at
            case Type.TRANSFER_ENDED:
                self._under_way.pop(_id_of(data), None)
                self._transfers.append(data)
            case Type.LEG_JOINED | Type.LEG_LEFT if happening.leg_id is not None:
                self._leg(happening.leg_id).add(happening)
            case Type.CALL_ENDED:
                self._end = happening

    def _leg(self, leg_id: LegId) -> "_LegTally":
        return self._legs.setdefault(leg_id, _LegTally())

    def rest(self, now: float) -> list[Happening]:
        """The happenings that are missing if the call was cut off at `now`: its legs left, it ended."""
        if self._end is not None:
            return []
        last, at, here = self.last, max(self.last.at, now), self._still_here()
        end: JsonObject = {"cause": cause_json(CRASHED), "sipStatus": self._final_status(), "q850": None}
        cut: JsonObject = {"cause": end["cause"], "q850": None, "by": "gateway"}
        missing = [
            Happening(
                Type.LEG_LEFT, at, last.call_id, leg_id, last.channel, last.trunk,
                {"role": leg.role, "agent": leg.agent, **cut, "sipStatus": 200 if leg.joined else None},
                here,
            )
            for leg_id, leg in self._legs.items() if leg.left is None
        ]  # fmt: skip
        missing += [_cut_off(one, self._bridged.get(id_), at, here) for id_, one in self._under_way.items()]
        end |= {
            "endedBy": EndedBy.GATEWAY.value,
            "durationMs": _milliseconds(self._answered_at, self._customer_until(at)),
        }
        ever = tuple(sorted(self._agents))
        return [*missing, Happening(Type.CALL_ENDED, at, last.call_id, None, last.channel, last.trunk, end, ever)]

    def _still_here(self) -> tuple[str, ...]:
        """The agents who were in the call when it was cut off: with the last happening, and not the one who left."""
        staying = {leg.agent for leg in self._legs.values() if leg.left is None}
        gone = {leg.agent for leg in self._legs.values()} - staying
        return tuple(agent for agent in self.last.agents if agent not in gone)

    def _customer_until(self, at: float) -> float:
        """When the customer left, if that was before the call was cut off `at`: people may have talked on."""
        ends = (leg.left.at if leg.left else at for leg in self._legs.values() if leg.role == "customer")
        return max(ends, default=at)

    def _final_status(self) -> int | None:
        return 200 if self._answered_at is not None else None

    def cdr(self) -> Cdr:
        """What it comes to; of a call that is not over, as if it ended with the newest happening."""
        offer, end = self._offer, self._end.data if self._end is not None else {}
        ended_at, duration = self.last.at, _number(end.get("durationMs"))
        return Cdr(
            call_id=self._first.call_id,
            sip_call_id=_text(offer.get("sipCallId")),
            channel=self.last.channel,
            trunk=self.last.trunk,
            direction=_text(offer.get("direction")) or Direction.INBOUND.value,
            from_=_text(offer.get("from")),
            to=_text(offer.get("to")),
            started_at=self._first.at,
            answered_at=self._answered_at,
            ended_at=ended_at,
            duration_ms=_milliseconds(self._answered_at, ended_at) if duration is None else duration,
            cause=_cause(end.get("cause")) or _UNKNOWN,
            sip_status=_number(end.get("sipStatus")),
            q850=_number(end.get("q850")),
            ended_by=_text(end.get("endedBy")) or EndedBy.GATEWAY.value,
            legs=tuple(leg.cdr(leg_id) for leg_id, leg in self._legs.items()),
            transfers=tuple(self._transfers),
            rtp=tuple({"legId": leg_id, **leg.rtp} for leg_id, leg in self._legs.items() if leg.rtp),
            data=dict(self._data),
            agents=tuple(sorted(self._agents)),
        )


def _id_of(data: JsonObject) -> str:
    return _text(data.get("transferId")) or ""


def _cut_off(started: Happening, bridged_at: float | None, at: float, agents: tuple[str, ...]) -> Happening:
    """The end of a transfer that a crash cut off (transfer.md: exactly one for each, and SUCCESS if they talked)."""
    targets = started.data.get("targets")
    number = targets[0] if isinstance(targets, list) and targets else ""
    status: JsonObject = {
        "status": "FAIL" if bridged_at is None else "SUCCESS",
        "hangup": True,
        "number": number,
        "transferId": started.data.get("transferId"),
        "method": started.data.get("method"),
        "reason": "gateway-error",
        "sipStatus": None,
        "sipReason": None,
        "assumed": False,
        "endedBy": EndedBy.GATEWAY.value,
        "ringMs": 0,
        "talkMs": _milliseconds(bridged_at, at),
        "answeredAt": _time(bridged_at),
        "humanConnectedAt": _time(bridged_at),
        "attempts": [],
        "hops": [],
        "warnings": [],
        **({"hopOf": started.data["hopOf"]} if "hopOf" in started.data else {}),
    }
    return replace(started, type=Type.TRANSFER_ENDED, at=at, data=status, agents=agents)


@dataclass(slots=True)
class _LegTally:
    role: str = "unknown"
    agent: str | None = None
    joined: Happening | None = None
    left: Happening | None = None

    def add(self, happening: Happening) -> None:
        self.role = _text(happening.data.get("role")) or self.role
        self.agent = _text(happening.data.get("agent")) or self.agent
        if happening.type == Type.LEG_JOINED:
            self.joined = self.joined or happening
        else:
            self.left = self.left or happening

    @property
    def rtp(self) -> JsonObject:
        """What the adapter measured, if it is with the end of the leg."""
        rtp = self.left.data.get("rtp") if self.left else None
        return rtp if isinstance(rtp, dict) else {}

    def cdr(self, leg_id: LegId) -> CdrLeg:
        end = self.left.data if self.left else {}
        return CdrLeg(
            leg_id,
            self.role,
            self.joined.at if self.joined else None,
            self.left.at if self.left else None,
            _text(self.joined.data.get("codec")) if self.joined else None,
            _cause(end.get("cause")),
            _number(end.get("sipStatus")),
            _number(end.get("q850")),
            _text(end.get("by")),
            self.agent,
        )


def crashed(history: Sequence[Happening], now: float) -> list[Happening]:
    """What to append to the history of a call that was cut off at `now`; nothing to one that is over."""
    if not history:
        return []
    tally = Tally(history[0])
    for happening in history:
        tally.add(happening)
    return tally.rest(now)


# ── As JSON ─────────────────────────────────────────────────────────────────────────────────────────


def as_json(cdr: Cdr) -> JsonObject:
    """As it stands in the API (control-api.md)."""
    return {
        "callId": cdr.call_id,
        "sipCallId": cdr.sip_call_id,
        "channel": cdr.channel,
        "trunk": cdr.trunk,
        "direction": cdr.direction,
        "from": cdr.from_,
        "to": cdr.to,
        "startedAt": rfc3339(cdr.started_at),
        "answeredAt": _time(cdr.answered_at),
        "endedAt": rfc3339(cdr.ended_at),
        "durationMs": cdr.duration_ms,
        "cause": cause_json(cdr.cause),
        "sipStatus": cdr.sip_status,
        "q850": cdr.q850,
        "endedBy": cdr.ended_by,
        "legs": [_leg_json(leg) for leg in cdr.legs],
        "transfers": [*cdr.transfers],
        "recordings": [*cdr.recordings],
        "rtp": [*cdr.rtp],
        "data": dict(cdr.data),
    }


def _leg_json(leg: CdrLeg) -> JsonObject:
    return {
        "legId": leg.leg_id,
        "role": leg.role,
        "agent": leg.agent,
        "joinedAt": _time(leg.joined_at),
        "leftAt": _time(leg.left_at),
        "codec": leg.codec,
        "cause": cause_json(leg.cause) if leg.cause else None,
        "sipStatus": leg.sip_status,
        "q850": leg.q850,
        "by": leg.by,
    }


def _time(at: float | None) -> str | None:
    return rfc3339(at) if at is not None else None


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _cause(value: Json) -> Cause | None:
    if not isinstance(value, dict):
        return None
    try:
        return Cause(Result(_text(value.get("result")) or ""), Reason(_text(value.get("reason")) or ""))
    except ValueError:
        return _UNKNOWN


def _milliseconds(since: float | None, until: float) -> int:
    return max(0, round((until - since) * 1000)) if since is not None else 0
