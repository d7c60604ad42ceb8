"""Happenings of whole calls: what the public learns, and what it does not."""

import json
from dataclasses import dataclass, field

import pytest

from gateway.calls import history
from gateway.calls.causes import NO_ROUTE, NORMAL
from gateway.calls.commands import Command, Dial
from gateway.calls.errors import BotErrorKind
from gateway.calls.events import (
    DtmfReceived,
    Event,
    LegAnswered,
    LegEnded,
    LegHoldChanged,
    LegOffered,
    PlaybackEnded,
    PlaybackStarted,
    SoundFailed,
)
from gateway.calls.history import Happening, Type, of_command, of_event, refused, started
from gateway.calls.model import CallId, ChannelPolicy, Leg, LegId, PeerHold, Role
from gateway.calls.refers import LegTakenOver, PeerClaimed, ReferReceived, ReferTarget
from gateway.calls.states import LegState
from tests.scripted_call import CALLER, HANGUP, LEG, ScriptedCall, collect, text


@dataclass
class ToldCall(ScriptedCall):
    """A call at a desk whose happenings are kept, as the engine makes them."""

    told_all: list[Happening] = field(default_factory=list)
    secret: bool = False
    agent: LegId = LEG

    def __post_init__(self) -> None:
        super().__post_init__()
        self.told_all.append(started(self.control.call))

    def happens(self, event: Event) -> list[Command]:
        call, at = self.control.call, self.now + 0.5
        self.told_all += of_event(event, call, at, secret=self.secret)
        commands = super().happens(event)
        for command in commands:
            self.told_all += of_command(command, call, at)
        return commands

    @property
    def types(self) -> list[str]:
        return [h.type for h in self.told_all]

    def the(self, type_: Type) -> Happening:
        (one,) = [h for h in self.told_all if h.type == type_]
        return one


def whole_call() -> ToldCall:
    call = ToldCall(channels={"sales": ChannelPolicy("sales")})
    call.connected()
    call.bot_replies(text("Welcome to us"), {"type": "tag", "data": {"vip": True}}, collect(1))
    call.happens(PlaybackStarted(1))
    call.played()
    call.presses("7")
    call.bot_replies(text("Goodbye to you"), HANGUP)
    call.played()
    call.is_gone()
    return call


def test_a_call_from_beginning_to_end():
    assert whole_call().types == [
        "call.started",
        "leg.joined",
        "call.answered",
        "bot.asked",
        "bot.replied",
        "playback.started",
        "playback.ended",
        "call.tagged",
        "dtmf.received",
        "bot.asked",
        "bot.replied",
        "playback.ended",
        "leg.left",
        "bot.asked",
        "call.ended",
    ]


def test_all_of_them_name_call_channel_trunk_and_time_and_are_json():
    call = whole_call()
    for each in call.told_all:
        assert (each.call_id, each.channel, each.trunk) == ("call_1", "reception", "acme")
        json.dumps(each.data, allow_nan=False)
    times = [each.at for each in call.told_all]
    assert times == sorted(times)


def test_no_text_that_was_said_is_in_them():
    everything = json.dumps([each.data for each in whole_call().told_all])
    assert "Welcome" not in everything
    assert "Goodbye" not in everything


def test_the_beginning_says_who_called_whom():
    data = whole_call().the(Type.CALL_STARTED).data
    assert data == {
        "direction": "inbound", "from": "+12125550123", "to": "+12125550100", "fromName": None, "diversion": None,
        "sipCallId": "abc@carrier",
    }  # fmt: skip


def test_the_end_says_why():
    call = whole_call()
    assert call.the(Type.LEG_LEFT).data == {
        "role": "customer", "agent": None, "cause": {"result": "completed", "reason": "normal"},
        "sipStatus": 200, "q850": None,
        "by": "gateway", "rtp": None,
    }  # fmt: skip
    assert call.the(Type.CALL_ENDED).data == {
        "cause": {"result": "completed", "reason": "normal"}, "endedBy": "bot", "sipStatus": 200, "q850": None,
        "durationMs": round((call.control.call.ended_at - call.control.call.answered_at) * 1000),
    }  # fmt: skip


def test_replies_are_told_by_their_types_only():
    assert [h.data["replies"] for h in whole_call().told_all if h.type == "bot.replied"] == [
        ["text", "tag", "dtmf"],
        ["text", "hangup"],
    ]


def test_a_tag_says_what_it_put_there():
    assert whole_call().the(Type.CALL_TAGGED).data == {"data": {"vip": True}}


def test_a_secret_digit_is_a_dot():
    call = ToldCall().connected()
    call.secret = True
    call.presses("7")
    assert call.the(Type.DTMF_RECEIVED).data == {"digit": "•"}
    assert "7" not in json.dumps([each.data for each in call.told_all if each.type == "bot.asked"])


def test_hold_and_unhold_of_the_peer():
    call = ToldCall().connected()
    call.holds(PeerHold.INACTIVE)
    call.happens(LegHoldChanged(LEG, PeerHold.NONE))
    assert call.types[-2:] == ["leg.held", "leg.unheld"]
    assert call.the(Type.LEG_HELD).data == {"hold": "inactive"}
    assert call.the(Type.LEG_HELD).leg_id == LEG


def test_a_bot_in_trouble():
    call = ToldCall().connected()
    call.bot_fails(BotErrorKind.TIMEOUT)
    call.bot_fails(BotErrorKind.STATUS)
    assert call.types[-4:] == ["bot.failed", "bot.asked", "bot.failed", "fallback.started"]
    failed = next(h for h in call.told_all if h.type == "bot.failed")
    assert failed.data == {"event": "start", "kind": "timeout", "detail": "no answer in 5 s"}
    assert call.told_all[-3].data == {"seq": 1, "event": "start", "again": True}


def test_a_handoff_changes_the_channel_of_what_follows():
    call = ToldCall(channels={"sales": ChannelPolicy("sales")}).connected()
    call.bot_replies({"type": "handoff", "channel": "sales"})
    handed = call.the(Type.CALL_HANDED_OFF)
    assert handed.data == {"channelBefore": "reception", "channel": "sales"}
    assert handed.channel == "sales"
    assert call.told_all[-1].channel == "sales"


def test_a_sound_that_failed_and_a_playback_that_was_stopped():
    call = ToldCall().connected()
    call.happens(SoundFailed(1, 0, "Hello dear customer: no such voice", by_bot=True))
    call.happens(PlaybackEnded(1, stopped=True, item=0, played_ms=320))
    assert call.the(Type.SOUND_FAILED).data == {"playbackId": 1, "item": 0, "byBot": True}
    assert call.the(Type.PLAYBACK_ENDED).data == {"playbackId": 1, "stopped": True, "playedMs": 320}


def test_a_digit_of_another_leg_names_that_leg():
    call = ToldCall().connected()
    (digit,) = of_event(DtmfReceived(LegId("leg_2"), "1"), call.control.call, 1.0, secret=False)
    assert (digit.leg_id, digit.data) == ("leg_2", {"digit": "1"})


def test_nothing_follows_the_end():
    call = whole_call()
    call.presses("1")
    assert call.types[-1] == "call.ended"


def test_a_refusal_is_a_call_of_its_own():
    why = refused(CallId("call_9"), LEG, CALLER, 1.0, 404, NO_ROUTE, "no route to +12125550100")
    assert (why.type, why.channel, why.trunk) == ("call.refused", None, "acme")
    assert why.data["sipStatus"] == 404
    assert why.data["cause"] == {"result": "gateway", "reason": "no-route"}
    assert why.data["why"] == "no route to +12125550100"


@pytest.mark.parametrize("type_", Type)
def test_every_type_is_in_the_table(type_: Type):
    assert f"`{type_.value}`" in history.__doc__


# ── Legs that come, go and are turned away ──────────────────────────────────────────────────────────

BOB = LegId("leg_bob")
OTHER = CallId("call_2")


def talking() -> ToldCall:
    call = ToldCall().connected()
    call.bot_replies({"type": "switch", "phoneNumber": "+4915"})
    (dial,) = [command for command in call.all if isinstance(command, Dial)]
    call.agent = dial.leg_id
    call.happens(LegAnswered(dial.leg_id, "PCMU"))
    return call


def of_leg(call: ToldCall, leg_id: LegId) -> list[tuple[str, object]]:
    return [(h.type, h.data["role"]) for h in call.told_all if h.leg_id == leg_id and h.type.startswith("leg.")]


def passes_on(call: ToldCall, **target: object) -> None:
    call.happens(ReferReceived(call.agent, 1, ReferTarget("sip:+4916@gw", "+4916", True, **target)))


def test_a_leg_that_is_handed_over_has_left_and_its_end_is_told_by_the_other_call():
    call = talking()
    call.happens(PeerClaimed(LEG, OTHER))
    call.is_gone()
    assert of_leg(call, call.agent) == [("leg.joined", "agent"), ("leg.left", "agent")]
    (left,) = [h for h in call.told_all if h.type == "leg.left" and h.leg_id == call.agent]
    assert left.data["cause"] == {"result": "completed", "reason": "transferred"} and call.types[-1] == "call.ended"


def test_a_leg_that_is_taken_over_has_joined():
    call = talking()
    passes_on(call, replaces=LegId("leg_second"))
    call.happens(LegTakenOver(Leg(BOB, Role.CUSTOMER, LegState.CONNECTED), "bob"))
    call.happens(LegEnded(BOB, NORMAL, 200, None, by_peer=True))
    assert of_leg(call, BOB) == [("leg.joined", "agent"), ("leg.left", "agent")]


def test_an_invite_whose_place_is_not_free_was_never_in_the_call():
    call = talking()
    call.happens(LegOffered(BOB, CALLER, replaces=LegId("nobody")))
    call.happens(LegEnded(BOB, NORMAL, 481, None, by_peer=False))
    assert of_leg(call, BOB) == []
