"""The core's calls, events, CDRs and trunks in the API's words: pure functions, used by the endpoints."""

from collections.abc import Iterator, Sequence

from gateway.api.control import TrunkStatus
from gateway.api.models import (
    CallDetail,
    CallOut,
    CauseOut,
    CdrOut,
    EdgeOut,
    EventOut,
    Events,
    LegOut,
    RoomOut,
)
from gateway.api.node_models import TrunkOut
from gateway.calls.allowed import allowed
from gateway.calls.cdr import Cdr, as_json
from gateway.calls.hearing import hearing, room_of
from gateway.calls.model import (
    BotParty,
    Call,
    Direction,
    Edge,
    Leg,
    LegParty,
    MusicParty,
    Party,
    Role,
    Room,
)
from gateway.calls.states import CallState, ConsultState, LegState
from gateway.calls.view import bot_view, rfc3339
from gateway.engine.ports import Recorded

# ── A live call ─────────────────────────────────────────────────────────────────────────────────────


def call_out(call: Call) -> CallOut:
    """A live call as it is now."""
    return CallOut.model_validate(_of_call(call))


def call_detail(call: Call, timeline: Events) -> CallDetail:
    """The same with what happened so far."""
    return CallDetail.model_validate(_of_call(call) | {"timeline": timeline, "cdr": None})


def _of_call(call: Call) -> dict[str, object]:
    legs = [leg for leg in call.legs.values() if leg.state is not LegState.ENDED]
    return {
        **bot_view(call),
        "consultState": call.consult,
        "allowed": allowed(call),
        "endedAt": _time(call.ended_at),
        "cause": CauseOut(result=call.cause.result, reason=call.cause.reason) if call.cause else None,
        "endedBy": call.ended_by.value if call.ended_by else None,
        "legs": [_leg_out(call, leg) for leg in legs],
        "rooms": list(_rooms(call, legs)),
        "hearing": sorted((_edge_out(edge) for edge in hearing(call)), key=lambda edge: (edge.sink, edge.source)),
    }


def _leg_out(call: Call, leg: Leg) -> LegOut:
    supervises = leg.role is Role.SUPERVISOR
    return LegOut(
        leg_id=leg.id,
        role=leg.role.value,
        agent=leg.agent,
        state=leg.state,
        room=room_of(call, leg),
        muted=leg.muted,
        held=leg.held,
        peer_hold=leg.peer_hold,
        watches=leg.watches,
        mode=leg.mode if supervises else None,
        whisper_to=leg.whisper_to,
    )


def _rooms(call: Call, legs: list[Leg]) -> Iterator[RoomOut]:
    for room in Room:
        inside = [leg.id for leg in legs if room_of(call, leg) is room]
        bot = room is Room.MAIN and call.state is CallState.BOT
        if inside or bot:
            yield RoomOut(room=room, legs=[*inside], bot=bot)


def _edge_out(edge: Edge) -> EdgeOut:
    return EdgeOut(source=_party(edge.source), sink=_party(edge.sink), level=edge.level)


def _party(party: Party) -> str:
    match party:
        case LegParty():
            return party.leg_id
        case BotParty():
            return "bot"
        case MusicParty():
            return f"music:{party.name}"


# ── A call that is over ─────────────────────────────────────────────────────────────────────────────


def over_detail(cdr: Cdr, timeline: Events) -> CallDetail:
    """A call that is over, as its CDR has it."""
    return CallDetail(
        id=cdr.call_id,
        sip_call_id=cdr.sip_call_id,
        channel=cdr.channel,
        trunk=cdr.trunk,
        direction=Direction(cdr.direction),
        state=CallState.ENDED,
        consult_state=ConsultState.NONE,
        allowed=[],
        from_=cdr.from_,
        from_name=None,
        to=cdr.to,
        diversion=None,
        verstat=None,
        headers={},
        user_to_user=[],
        started_at=rfc3339(cdr.started_at),
        answered_at=_time(cdr.answered_at),
        ended_at=rfc3339(cdr.ended_at),
        cause=CauseOut(result=cdr.cause.result, reason=cdr.cause.reason),
        ended_by=cdr.ended_by,
        data=dict(cdr.data),
        legs=[],
        rooms=[],
        hearing=[],
        timeline=timeline,
        cdr=cdr_out(cdr),
    )


def cdr_out(cdr: Cdr) -> CdrOut:
    """A CDR."""
    return CdrOut.model_validate(as_json(cdr))


# ── Events ──────────────────────────────────────────────────────────────────────────────────────────


def events_page(found: Sequence[Recorded], limit: int) -> Events:
    """A page of at most `limit`, of `limit` + 1 that were asked for."""
    items = [EventOut.model_validate(one.as_json()) for one in found[:limit]]
    return Events(items=items, next_cursor=str(items[-1].seq) if len(found) > limit else None)


# ── Trunks ──────────────────────────────────────────────────────────────────────────────────────────


def trunk_out(trunk: TrunkStatus) -> TrunkOut:
    """A trunk."""
    return TrunkOut(
        name=trunk.name,
        host=trunk.host,
        transport=trunk.transport,
        state=trunk.health.state,
        registration=trunk.health.registration,
        since=_time(trunk.health.since),
        target=trunk.health.target,
        detail=trunk.health.detail,
        calls=trunk.calls,
        max_calls=trunk.max_calls,
    )


def _time(at: float | None) -> str | None:
    return rfc3339(at) if at is not None else None
