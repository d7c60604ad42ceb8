"""The log of one call: events and commands that a reader would want, as noun.verb with fields; for call.py."""

from typing import assert_never

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
    Playable,
    PlayPrompt,
    PlayUrl,
    Redirect,
    Reject,
    Ring,
    SayText,
    SendDigits,
    SetHearing,
    Silence,
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
from gateway.calls.model import JsonObject
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
from gateway.telemetry.log import Logger


def log_event(log: Logger, event: Event) -> None:
    """What happened."""
    match event:
        case LegRinging():
            log.info("leg.ringing", leg_id=event.leg_id, status=event.status, media=event.media)
        case LegAnswered():
            log.info("leg.answered", leg_id=event.leg_id, codec=event.codec)
        case LegHoldChanged():
            log.info("leg.hold_changed", leg_id=event.leg_id, hold=event.hold.value)
        case LegEnded():
            log.info(
                "leg.ended",
                leg_id=event.leg_id,
                cause=str(event.cause),
                sip_status=event.sip_status,
                q850=event.q850,
                by_peer=event.by_peer,
            )
        case DtmfReceived():
            log.info("dtmf.received", leg_id=event.leg_id, digit=event.digit)
        case PlaybackEnded():
            log.info(
                "playback.ended",
                playback_id=event.playback_id,
                stopped=event.stopped,
                played_ms=event.played_ms,
            )
        case SoundFailed():
            log.warning("sound.failed", playback_id=event.playback_id, item=event.item, detail=event.detail)
        case RepliesPushed():
            log.info("bot.pushed", replies=[reply.type for reply in event.response.replies])
        case TimerFired():
            log.debug("timer.fired", timer=event.timer.value)
        case HangupRequested():
            log.info("call.hangup_requested", cause=str(event.cause), by=event.by.value)
        case TransferRequested() | TransferCancelled():
            log.info("transfer.commanded", start=isinstance(event, TransferRequested))
        case ReferAnswered():
            log.info("refer.answered", leg_id=event.leg_id, status=event.status, notifies=event.notifies)
        case ReferNotified():
            log.info("refer.notified", leg_id=event.leg_id, status=event.status)
        case ReferReceived():
            log.info("refer.received", leg_id=event.leg_id, to=event.target.user, own=event.target.own)
        case Ordered():
            log.info("order.taken", order=type(event.order).__name__.lower())
        case LegTakenOver():
            log.info("leg.taken_over", leg_id=event.leg.id)
        case PeerClaimed() | ClaimRefused():
            log.info("leg.claimed", refused=isinstance(event, ClaimRefused))
        case LegOffered() | CallPlaced() | DigitsSent() | PlaybackStarted() | BotReplied() | BotFailed():
            pass  # call.started, digits.sending, playback.started and bot.… say it
        case _:
            assert_never(event)


def log_command(log: Logger, command: Command) -> None:
    """What is done about it."""
    match command:
        case Ring():
            log.info("leg.rang", leg_id=command.leg_id)
        case Answer():
            log.info("leg.answering", leg_id=command.leg_id)
        case Reject():
            log.info("leg.rejecting", leg_id=command.leg_id, status=command.status)
        case Redirect():
            log.info("leg.redirecting", leg_id=command.leg_id)
        case Dial():
            to, caller = command.number or command.uri, command.caller.number
            log.info("leg.dialling", leg_id=command.leg_id, trunk=command.trunk, to=to, **{"from": caller})
        case SendRefer():
            log.info("refer.sending", leg_id=command.leg_id, to=command.number or command.uri)
        case AnswerRefer():
            log.info("refer.answering", leg_id=command.leg_id, status=command.status)
        case NotifyRefer():
            log.info("refer.notifying", leg_id=command.leg_id, status=command.status)
        case HandOver():
            log.info("leg.handed_over", leg_id=command.leg.id, to_call=command.to)
        case Hangup():
            log.info("leg.hanging_up", leg_id=command.leg_id, cause=str(command.cause))
        case SendDigits():
            log.info("digits.sending", leg_id=command.leg_id, digits=command.digits)
        case Play():
            items = [_describe(item) for item in command.items]
            log.info("playback.started", playback_id=command.playback_id, items=items)
        case AskBot():
            log.info("bot.asked", bot_event=command.event.value, seq=command.seq, data=command.data)
        case Note():
            log.info(command.name, **{("bot_event" if k == "event" else k): v for k, v in command.fields.items()})
        case TurnDown():
            log.info("order.refused", order=command.what, why=command.why)
        case EndCall():
            log.info(
                "call.ended",
                cause=str(command.cause),
                ended_by=command.ended_by.value,
                sip_status=command.sip_status,
                q850=command.q850,
                duration_ms=command.duration_ms,
            )
        case StartTimer() | StopTimer():
            log.debug("timer.set", timer=command.timer.value, running=isinstance(command, StartTimer))
        case SetHearing() | StopPlayback() | AbandonBot() | ClaimPeer() | RefuseClaim():
            pass
        case _:
            assert_never(command)


def _describe(item: Playable) -> JsonObject:
    match item:
        case SayText():
            return {"say": item.text}
        case PlayPrompt():
            return {"prompt": item.name}
        case PlayUrl():
            return {"url": item.url.split("?")[0]}
        case Silence():
            return {"silence": item.ms}
        case _:
            assert_never(item)
