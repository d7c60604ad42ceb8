"""What happened, in public words: the happenings of a call, made from the core's events and commands for journal and API.

| type | when | data |
|---|---|---|
| `call.started` | an INVITE was taken, or we place a call; the first of a call, with the customer's leg | `direction` `from` `to` `fromName` `diversion` `sipCallId` |
| `call.refused` | an INVITE was refused; first and last of its call | the same, and `sipStatus` `cause` `why` |
| `call.answered` | the customer's ACK is here; or our ACK went, to a customer whom we called | – |
| `call.tagged` | the bot put something into `call.data` | `data`: what it put there |
| `call.handedOff` | another channel's bot took over; the call's channel is the new one from here on | `channelBefore` `channel` |
| `call.ended` | the last leg is gone; the last of a call, always | `cause` `endedBy` `sipStatus` `q850` `durationMs` |
| `leg.joined` | a leg was answered, its media flows; or it came over from another call | `role` `codec` |
| `leg.held` `leg.unheld` | the peer put us on hold, or took us back; or we hold the leg (`by`: `gateway`) | `hold`: `sendonly` or `inactive`; – |
| `leg.dialling` | somebody is called to join the talk, or to supervise it | `role` `target`; `mode` of a supervisor |
| `leg.muted` `leg.unmuted` | the leg is heard by nobody; it is heard again | – |
| `leg.modeChanged` | a supervisor is heard by others from now on, or not | `mode` `whisperTo` |
| `leg.left` | a leg's dialog is gone, or went over to another call | `role` `cause` `sipStatus` `q850` `by`: whose BYE, CANCEL or silence, `peer` or `gateway`; `rtp`: quality.py `as_json`, null without media |
| `dtmf.received` | a key was pressed | `digit`; `•` while it may belong to a `secure` collection |
| `transfer.started` | the customer is to be handed to people | `transferId` `method` `targets`; `hopOf`: the transfer that lasts meanwhile, if people pass the customer on; `note` |
| `transfer.ringing` `transfer.answered` `transfer.accepted` `transfer.bridged` | how far it is | `transferId` `legId` `target` |
| `transfer.ended` | how it ended; exactly one for each that started | the status object of transfer.md |
| `consult.started` | the agent asks somebody, the customer hears music | `consultId` `hopOf` `method` `targets`; `note` |
| `consult.ringing` `consult.answered` | how far it is | `consultId` `hopOf` `legId` `target` |
| `consult.failed` | nobody was reached: agent and customer are together again | `consultId` `target` `reason` `sipStatus`; `detail`: the field that is wrong |
| `consult.swapped` `consult.merged` | the agent changed rooms; all three are in one | `consultId` `target`; `state` |
| `consult.forwarded` | the agent left, the consultant is the agent now | `consultId` `target` `legId` |
| `consult.ended` | the consultant is gone | `consultId` `target` `by` |
| `customer.left` | the customer is gone, agent and consultant talk on | `by` |
| `bot.asked` | an event went to the bot | `seq` `event` `again` |
| `bot.replied` | its answer is here (a `bot.failed` of kind `refused` may follow) | `seq` (null: pushed, nobody asked) `replies`: their types |
| `bot.failed` | there was none that could be used | `event` `kind` `detail` |
| `fallback.started` | the bot was given up, the apology plays | `channel` |
| `playback.started` `playback.ended` | the first, the last audio of a Play | `playbackId`; `stopped` `playedMs` too |
| `sound.failed` | one item of a Play could not be made | `playbackId` `item` `byBot` |

Numbers are in clear: who may see them is for the API to say. Texts that were said are never in here. `cause` is
`{"result": …, "reason": …}` (control-api.md), times are seconds since the epoch, durations milliseconds.
"""  # noqa: E501

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from gateway.calls import quality
from gateway.calls.causes import TRANSFERRED, Cause
from gateway.calls.commands import (
    AbandonBot,
    Answer,
    AskBot,
    Command,
    Dial,
    EndCall,
    Hangup,
    Note,
    Play,
    Redirect,
    Reject,
    Ring,
    SendDigits,
    SetHearing,
    StartTimer,
    StopPlayback,
    StopTimer,
    TurnDown,
)
from gateway.calls.events import (
    BotFailed,
    BotReplied,
    CallPlaced,
    DigitsSent,
    DtmfReceived,
    Event,
    HangupRequested,
    LegAnswered,
    LegEnded,
    LegHoldChanged,
    LegOffered,
    LegRinging,
    PlaybackEnded,
    PlaybackStarted,
    RepliesPushed,
    SoundFailed,
    TimerFired,
    TransferCancelled,
    TransferRequested,
)
from gateway.calls.model import Call, Caller, CallId, Direction, JsonObject, LegId, PeerHold, Role
from gateway.calls.orders import Ordered
from gateway.calls.refers import (
    AnswerRefer,
    ClaimPeer,
    ClaimRefused,
    HandOver,
    LegTakenOver,
    NotifyRefer,
    PeerClaimed,
    ReferAnswered,
    ReferNotified,
    ReferReceived,
    RefuseClaim,
    SendRefer,
)
from gateway.calls.states import CallState


class Type(StrEnum):
    """The types of happenings that are built; see the table above."""

    CALL_STARTED = "call.started"
    CALL_REFUSED = "call.refused"
    CALL_ANSWERED = "call.answered"
    CALL_TAGGED = "call.tagged"
    CALL_HANDED_OFF = "call.handedOff"
    CALL_ENDED = "call.ended"
    LEG_JOINED = "leg.joined"
    LEG_HELD = "leg.held"
    LEG_UNHELD = "leg.unheld"
    LEG_DIALLING = "leg.dialling"
    LEG_MUTED = "leg.muted"
    LEG_UNMUTED = "leg.unmuted"
    LEG_MODE_CHANGED = "leg.modeChanged"
    LEG_LEFT = "leg.left"
    DTMF_RECEIVED = "dtmf.received"
    TRANSFER_STARTED = "transfer.started"
    TRANSFER_RINGING = "transfer.ringing"
    TRANSFER_ANSWERED = "transfer.answered"
    TRANSFER_ACCEPTED = "transfer.accepted"
    TRANSFER_BRIDGED = "transfer.bridged"
    TRANSFER_ENDED = "transfer.ended"
    CONSULT_STARTED = "consult.started"
    CONSULT_RINGING = "consult.ringing"
    CONSULT_ANSWERED = "consult.answered"
    CONSULT_FAILED = "consult.failed"
    CONSULT_SWAPPED = "consult.swapped"
    CONSULT_MERGED = "consult.merged"
    CONSULT_FORWARDED = "consult.forwarded"
    CONSULT_ENDED = "consult.ended"
    CUSTOMER_LEFT = "customer.left"
    BOT_ASKED = "bot.asked"
    BOT_REPLIED = "bot.replied"
    BOT_FAILED = "bot.failed"
    FALLBACK_STARTED = "fallback.started"
    PLAYBACK_STARTED = "playback.started"
    PLAYBACK_ENDED = "playback.ended"
    SOUND_FAILED = "sound.failed"


_AS_NOTED = frozenset(
    type_.value
    for type_ in Type
    if type_.value.startswith(("transfer.", "consult.", "customer."))
    or type_
    in (
        Type.LEG_DIALLING,
        Type.LEG_HELD,
        Type.LEG_LEFT,
        Type.LEG_UNHELD,
        Type.LEG_MUTED,
        Type.LEG_UNMUTED,
        Type.LEG_MODE_CHANGED,
    )
)
"""Notes of these names stand in the history as they are."""
LAST = frozenset({Type.CALL_ENDED.value, Type.CALL_REFUSED.value})
"""Nothing follows these in a call's history, and with them comes its CDR."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One fact of one call, as journal, SSE and webhooks tell it. `type` is a text: a store may know more than we."""

    type: str
    at: float
    call_id: CallId
    leg_id: LegId | None
    channel: str | None
    trunk: str | None
    data: JsonObject
    agents: tuple[str, ...] = ()
    """Agents of the plan who were in the call then, of its end: ever (witnesses.py); a key that is bound to one of them
    sees it."""


# ── Before there is a call ──────────────────────────────────────────────────────────────────────────


def started(call: Call) -> Happening:
    """The call was taken."""
    data = _offer(call.caller, call.direction)
    return Happening(
        Type.CALL_STARTED, call.started_at, call.id, call.customer.id, call.channel.name, call.caller.trunk, data
    )


def refused(
    call_id: CallId, leg_id: LegId, caller: Caller, at: float, status: int, cause: Cause, why: str
) -> Happening:
    """An INVITE was refused before it became a call; the id is one that no call has."""
    data = _offer(caller, Direction.INBOUND) | {"sipStatus": status, "cause": cause_json(cause), "why": why}
    return Happening(Type.CALL_REFUSED, at, call_id, leg_id, None, caller.trunk, data)


def _offer(caller: Caller, direction: Direction) -> JsonObject:
    return {
        "direction": direction.value,
        "from": caller.from_,
        "to": caller.to,
        "fromName": caller.from_name,
        "diversion": caller.diversion,
        "sipCallId": caller.sip_call_id or None,
    }


# ── Of a call ───────────────────────────────────────────────────────────────────────────────────────


def of_event(event: Event, call: Call, at: float, *, secret: bool) -> list[Happening]:
    """What an event means to the public; to be asked before control has handled it. Nothing, once the call is over.

    `secret`: a key that is pressed now may belong to a `secure` collection (gateway/calls/turns.py knows).
    """
    if call.state is CallState.ENDED:
        return []
    match event:
        case LegAnswered():
            joined = _of_leg(Type.LEG_JOINED, call, event.leg_id, at, {"codec": event.codec})
            if event.leg_id != call.customer.id:
                return [joined]
            return [joined, _of(Type.CALL_ANSWERED, call, at, {})]
        case LegHoldChanged(hold=PeerHold.NONE):
            return [_of(Type.LEG_UNHELD, call, at, {}, event.leg_id)]
        case LegHoldChanged():
            return [_of(Type.LEG_HELD, call, at, {"hold": event.hold.value}, event.leg_id)]
        case LegEnded():
            return [_left(event, call, at)] if event.leg_id in call.legs else []  # one that was turned away never came
        case LegTakenOver():
            came: JsonObject = {"role": Role.AGENT.value, "agent": event.leg.agent, "codec": None}
            return [_of(Type.LEG_JOINED, call, at, came, event.leg.id)]
        case DtmfReceived():
            return [_of(Type.DTMF_RECEIVED, call, at, {"digit": "•" if secret else event.digit}, event.leg_id)]
        case BotReplied():
            replies = [reply.type for reply in event.response.replies]
            return [_of(Type.BOT_REPLIED, call, at, {"seq": event.seq, "replies": [*replies]})]
        case RepliesPushed():
            replies = [reply.type for reply in event.response.replies]
            return [_of(Type.BOT_REPLIED, call, at, {"seq": None, "replies": [*replies]})]
        case PlaybackStarted():
            return [_of(Type.PLAYBACK_STARTED, call, at, {"playbackId": event.playback_id})]
        case PlaybackEnded():
            data: JsonObject = {
                "playbackId": event.playback_id,
                "stopped": event.stopped,
                "playedMs": event.played_ms,
            }
            return [_of(Type.PLAYBACK_ENDED, call, at, data)]
        case SoundFailed():  # its detail may hold what was to be said
            data = {"playbackId": event.playback_id, "item": event.item, "byBot": event.by_bot}
            return [_of(Type.SOUND_FAILED, call, at, data)]
        case (
            LegOffered() | CallPlaced() | LegRinging() | DigitsSent() | BotFailed() | TimerFired() | HangupRequested()
            | TransferRequested() | TransferCancelled() | Ordered()
            | ReferAnswered() | ReferNotified() | ReferReceived() | PeerClaimed() | ClaimRefused()
        ):  # fmt: skip
            return []  # call.started, bot.failed (a Note) and what follows say it
        case _:
            assert_never(event)


def of_command(command: Command, call: Call, at: float) -> list[Happening]:
    """What a command means to the public; to be asked when control has made it."""
    match command:
        case AskBot():
            data: JsonObject = {"seq": command.seq, "event": command.event.value, "again": command.again}
            return [_of(Type.BOT_ASKED, call, at, data)]
        case Note():
            return _of_note(command, call, at)
        case EndCall():
            data = {
                "cause": cause_json(command.cause),
                "endedBy": command.ended_by.value,
                "sipStatus": command.sip_status,
                "q850": command.q850,
                "durationMs": command.duration_ms,
            }
            return [_of(Type.CALL_ENDED, call, at, data)]
        case HandOver():
            data = {
                "role": command.leg.role.value,
                "agent": command.leg.agent,
                "cause": cause_json(TRANSFERRED),
                "sipStatus": 200,
                "q850": None,
                "by": "gateway",
                "rtp": None,
            }
            return [_of(Type.LEG_LEFT, call, at, data, command.leg.id)]
        case (
            Ring() | Answer() | Reject() | Redirect() | Dial() | Hangup() | SendDigits() | SetHearing() | Play()
            | StopPlayback() | AbandonBot() | StartTimer() | StopTimer() | TurnDown()
            | SendRefer() | AnswerRefer() | NotifyRefer() | ClaimPeer() | RefuseClaim()
        ):  # fmt: skip
            return []
        case _:
            assert_never(command)


def _of_note(note: Note, call: Call, at: float) -> list[Happening]:
    fields = note.fields
    match note.name:
        case "bot.failed":
            return [_of(Type.BOT_FAILED, call, at, dict(fields))]
        case "fallback.started":
            return [_of(Type.FALLBACK_STARTED, call, at, dict(fields))]
        case "call.tagged":
            keys = fields.get("keys")
            tagged: JsonObject = {k: v for k, v in call.data.items() if isinstance(keys, list) and k in keys}
            return [_of(Type.CALL_TAGGED, call, at, {"data": tagged})]
        case "call.handed_off":
            data: JsonObject = {"channelBefore": fields.get("channel_before"), "channel": fields.get("channel")}
            return [_of(Type.CALL_HANDED_OFF, call, at, data)]
        case name if name in _AS_NOTED:
            leg = fields.get("legId")
            leg_id = LegId(leg) if isinstance(leg, str) else None
            return [_of(Type(name), call, at, {k: v for k, v in fields.items() if k != "legId"}, leg_id)]
        case _:
            return []  # for the log only


def _left(event: LegEnded, call: Call, at: float) -> Happening:
    data: JsonObject = {
        "cause": cause_json(event.cause),
        "sipStatus": event.sip_status,
        "q850": event.q850,
        "by": "peer" if event.by_peer else "gateway",
        "rtp": quality.as_json(event.rtp) if event.rtp else None,
    }
    return _of_leg(Type.LEG_LEFT, call, event.leg_id, at, data)


def _of_leg(type_: Type, call: Call, leg_id: LegId, at: float, data: JsonObject) -> Happening:
    leg = call.legs.get(leg_id)
    who: JsonObject = {"role": leg.role.value if leg else None, "agent": leg.agent if leg else None}
    return _of(type_, call, at, who | data, leg_id)


def _of(type_: Type, call: Call, at: float, data: JsonObject, leg_id: LegId | None = None) -> Happening:
    return Happening(type_, at, call.id, leg_id, call.channel.name, call.caller.trunk, data)


def cause_json(cause: Cause) -> JsonObject:
    """A cause as it stands in JSON (control-api.md)."""
    return {"result": cause.result.value, "reason": cause.reason.value}
