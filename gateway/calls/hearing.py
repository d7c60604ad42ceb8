"""WHO HEARS WHOM: a pure function of the call's state, computed by control after every change (house.md, "Hearing").

Nothing else decides it: the SIP adapter makes exactly these edges and takes all others away.
"""

from collections.abc import Iterator

from gateway.calls.model import (
    RINGBACK_TONE,
    BotParty,
    Call,
    Edge,
    Leg,
    LegParty,
    MusicParty,
    Party,
    PeerHold,
    Ringback,
    Role,
    Room,
    SupervisorMode,
)
from gateway.calls.states import CallState, ConsultState, LegState


def hearing(call: Call) -> frozenset[Edge]:
    """All directed edges source -> sink of the call."""
    live = [leg for leg in call.legs.values() if leg.state is LegState.CONNECTED]
    return frozenset(
        Edge(source, LegParty(ear.id))
        for ear in live
        if ear.peer_hold is PeerHold.NONE  # RFC 3264 §8.4: a peer that put us on hold gets silence
        for source in _heard_by(call, ear, live)
    )


def _heard_by(call: Call, ear: Leg, live: list[Leg]) -> Iterator[Party]:
    music = MusicParty(call.channel.hold_music)
    if ear.held:
        yield music
        return
    room = room_of(call, ear)
    if room is Room.LOBBY:
        yield from _in_the_lobby(call)
        return
    if ear.role is Role.CUSTOMER and call.state is CallState.TRANSFERRING:
        yield from _while_it_rings(call)
        return
    if room is Room.CONSULT and call.consult is ConsultState.DIALLING and ear.role is not Role.SUPERVISOR:
        yield RINGBACK_TONE
        yield from (LegParty(one.id) for one in live if one is not ear and _together(call, one, ear))
        return
    told = call.announcement
    if told is not None and told.to in (None, ear.id):
        yield BotParty()
    others = [leg for leg in live if leg is not ear and room_of(call, leg) is room]
    for mouth in others:
        if _audible(mouth, ear):
            yield LegParty(mouth.id)
    bot_is_here = room is Room.MAIN and call.state is CallState.BOT
    if bot_is_here:
        yield BotParty()
    company = [leg for leg in others if leg.role is not Role.SUPERVISOR]
    waiting = all(leg.held or leg.peer_hold is not PeerHold.NONE for leg in company)  # true when alone
    if waiting and not bot_is_here and ear.role is not Role.SUPERVISOR:
        yield music


def _together(call: Call, mouth: Leg, ear: Leg) -> bool:
    return room_of(call, mouth) is room_of(call, ear) and _audible(mouth, ear)


def _in_the_lobby(call: Call) -> Iterator[Party]:
    """The briefing, and none of the others who are there; an agent for whom we call the customer hears it ring."""
    customer = call.customer
    if call.state is not CallState.OFFERED:
        yield BotParty()
    elif customer.early_media and customer.state is LegState.RINGING:
        yield LegParty(customer.id)
    else:
        yield RINGBACK_TONE


def _while_it_rings(call: Call) -> Iterator[Party]:
    """What the customer hears while somebody is called, and while that one is briefed."""
    match call.ringback:
        case Ringback.TONE:
            yield RINGBACK_TONE
        case Ringback.MUSIC:
            yield MusicParty(call.channel.hold_music)
        case Ringback.EARLY_MEDIA:
            calling = (LegState.DIALLING, LegState.RINGING)
            early: list[Party] = [LegParty(leg.id) for leg in call.others if leg.early_media and leg.state in calling]
            yield from early[:1] or [RINGBACK_TONE]
        case Ringback.SILENCE:
            pass


def _audible(mouth: Leg, ear: Leg) -> bool:
    if mouth.held or mouth.muted or mouth.peer_hold is PeerHold.INACTIVE:
        return False
    if mouth.role is not Role.SUPERVISOR or mouth.mode is SupervisorMode.BARGE:
        return True
    if mouth.mode is SupervisorMode.WHISPER:
        return mouth.whisper_to == ear.id and ear.role is not Role.CUSTOMER
    return False


def room_of(call: Call, leg: Leg) -> Room:
    """The room a leg is in: a supervisor follows the leg that it watches."""
    watched = call.legs.get(leg.watches) if leg.watches and leg.role is Role.SUPERVISOR else None
    return watched.room if watched else leg.room
