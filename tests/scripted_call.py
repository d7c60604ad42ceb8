"""A call at a desk: drives one CallControl with events, plays the engine's part in time and bookkeeping."""

import itertools
from dataclasses import KW_ONLY, dataclass, field

from gateway.calls.causes import NORMAL, Cause, EndedBy
from gateway.calls.commands import (
    AbandonBot,
    AskBot,
    BotEventName,
    Command,
    EndCall,
    Hangup,
    Play,
    Redirect,
    Reject,
    SetHearing,
    ShownCaller,
    StartTimer,
    StopPlayback,
    StopTimer,
    Timer,
)
from gateway.calls.control import CallControl
from gateway.calls.errors import BotErrorKind
from gateway.calls.events import (
    BotFailed,
    BotReplied,
    DigitsSent,
    DtmfReceived,
    Event,
    HangupRequested,
    LegAnswered,
    LegEnded,
    LegHoldChanged,
    LegOffered,
    PlaybackEnded,
    TimerFired,
)
from gateway.calls.model import Call, Caller, CallId, ChannelPolicy, Edge, Leg, LegId, PeerHold, Role
from gateway.calls.outbound import Callee, NoWay, Right, Way
from gateway.calls.refers import ReferTarget
from gateway.calls.replies import response
from gateway.calls.switch import Switch

LEG = LegId("leg_1")
CALLER = Caller(
    sip_call_id="abc@carrier", trunk="acme", from_="+12125550123", to="+12125550100", headers=(("X-CRM-Id", "42"),)
)


@dataclass
class Everywhere:
    """An Outbound that lets everything through but what the test names in `no`."""

    no: dict[str, NoWay] = field(default_factory=dict)
    _: KW_ONLY
    busy: dict[str, str] = field(default_factory=dict)
    """Agents who cannot be asked, and why."""
    rights: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What agents may do; others may all."""
    refers: set[str] = field(default_factory=set)
    """Trunks on which a REFER from the customer's side is honoured."""
    most_s: float | None = None
    """How long anybody may talk."""

    def way_to(self, call: Call, switch: Switch, callee: Callee, now: float) -> Way | NoWay:
        if callee.value in self.no:
            return self.no[callee.value]
        return Way("acme", callee.value, None, callee.value, ShownCaller(call.caller.to), max_talk_s=self.most_s)

    def engaged(self, agent: str) -> str | None:
        return self.busy.get(agent)

    def may(self, agent: str, right: Right) -> bool:
        return right in self.rights.get(agent, ("consult", "forward", "external"))

    def may_refer(self, call: Call, trunk: str) -> bool:
        return trunk in self.refers

    def referred(self, call: Call, trunk: str, target: ReferTarget) -> Switch | NoWay:
        if target.user in self.no:
            return self.no[target.user]
        asked = {"phoneNumber": target.user} if target.own else {"sipUri": target.uri, "trunk": trunk}
        return Switch.model_validate(asked | {"userToUser": target.user_to_user})


@dataclass
class ScriptedCall:
    """Verbs are what happens; `commands` are those of the last verb, `all` of the whole call."""

    channel: ChannelPolicy = field(default_factory=lambda: ChannelPolicy("reception"))
    channels: dict[str, ChannelPolicy] = field(default_factory=dict)
    now: float = 1_700_000_000.0
    commands: list[Command] = field(default_factory=list)
    all: list[Command] = field(default_factory=list)
    timers: dict[Timer, int] = field(default_factory=dict)
    asks: list[AskBot] = field(default_factory=list)
    open_asks: dict[int, AskBot] = field(default_factory=dict)
    playing: list[Play] = field(default_factory=list)
    stopping: set[int] = field(default_factory=set)
    edges: frozenset[Edge] = frozenset()
    ways: "Everywhere" = field(default_factory=lambda: Everywhere())

    def __post_init__(self) -> None:
        call = Call(CallId("call_1"), CALLER, self.channel, Leg(LEG, Role.CUSTOMER), self.now)
        ids = itertools.count(2)
        channels = {self.channel.name: self.channel} | self.channels
        self.control = CallControl(call, channels, self.ways, lambda prefix: f"{prefix}_{next(ids)}")

    # ── what happens ────────────────────────────────────────────────────────────────────────────────

    def happens(self, event: Event) -> list[Command]:
        self.now += 0.5
        self.commands = self.control.handle(event, self.now)
        self.all += self.commands
        for command in self.commands:
            self._note(command)
        return self.commands

    def _note(self, command: Command) -> None:
        match command:
            case StartTimer():
                self.timers[command.timer] = command.after_ms
            case StopTimer():
                del self.timers[command.timer]  # a stop of a timer that does not run is a defect
            case AskBot():
                self.asks.append(command)
                self.open_asks[command.seq] = command
            case AbandonBot():
                del self.open_asks[command.seq]
            case Play():
                self.playing.append(command)
            case StopPlayback():
                assert command.playback_id in [p.playback_id for p in self.playing]
                self.stopping.add(command.playback_id)
            case SetHearing():
                self.edges = command.edges
            case _:
                pass

    def offered(self) -> "ScriptedCall":
        self.happens(LegOffered(LEG, CALLER))
        return self

    def acked(self) -> "ScriptedCall":
        self.happens(LegAnswered(LEG, "PCMU"))
        return self

    def connected(self) -> "ScriptedCall":
        return self.offered().acked()

    def bot_replies(self, *replies: dict, config: dict | None = None) -> None:
        made = response(list(replies))
        if config is not None:
            import json

            from gateway.calls.replies import parse_response

            made = made.model_copy(update={"config": parse_response(json.dumps({"config": config}).encode()).config})
        seq = max(self.open_asks)
        del self.open_asks[seq]
        self.happens(BotReplied(seq, made))

    def bot_fails(self, kind: BotErrorKind = BotErrorKind.TIMEOUT) -> None:
        seq = max(self.open_asks)
        del self.open_asks[seq]
        self.happens(BotFailed(seq, kind, "no answer in 5 s"))

    def presses(self, digits: str) -> None:
        for digit in digits:
            self.happens(DtmfReceived(LEG, digit))

    def played(self) -> None:
        """What plays is heard to its end."""
        play = self.playing.pop(0)
        self.stopping.discard(play.playback_id)
        self.happens(PlaybackEnded(play.playback_id, stopped=False, item=len(play.items) - 1, played_ms=1000))

    def stopped(self, item: int = 0, played_ms: int = 320) -> None:
        """What was told to stop has stopped."""
        play = self.playing.pop(0)
        assert play.playback_id in self.stopping
        self.stopping.discard(play.playback_id)
        self.happens(PlaybackEnded(play.playback_id, stopped=True, item=item, played_ms=played_ms))

    def digits_are_out(self) -> None:
        self.happens(DigitsSent(LEG))

    def time_passes(self, timer: Timer) -> None:
        """This timer runs out."""
        del self.timers[timer]
        self.happens(TimerFired(timer))

    def holds(self, hold: PeerHold = PeerHold.SENDONLY) -> None:
        self.happens(LegHoldChanged(LEG, hold))

    def hangs_up(self) -> None:
        self.happens(LegEnded(LEG, NORMAL, 200, 16, by_peer=True))

    def is_gone(self, status: int = 200) -> None:
        """The dialog that we ended is gone."""
        self.happens(LegEnded(LEG, NORMAL, status, None, by_peer=False))

    def operator_hangs_up(self, cause: Cause) -> None:
        self.happens(HangupRequested(cause, EndedBy.GATEWAY))

    # ── what is seen ────────────────────────────────────────────────────────────────────────────────

    def did(self, kind: type) -> list:
        return [c for c in self.commands if isinstance(c, kind)]

    @property
    def told(self) -> list[tuple[str, dict]]:
        """What the bot was told by the last verb."""
        return [(a.event.value, dict(a.data)) for a in self.did(AskBot)]

    @property
    def end(self) -> EndCall:
        (end,) = [c for c in self.all if isinstance(c, EndCall)]
        return end

    @property
    def hangup(self) -> Hangup:
        (hangup,) = [c for c in self.all if isinstance(c, Hangup)]
        return hangup

    @property
    def refusals(self) -> list[Reject | Redirect]:
        return [c for c in self.all if isinstance(c, Reject | Redirect)]

    @property
    def farewell(self) -> dict:
        (last,) = [a for a in self.asks if a.event is BotEventName.HANGUP]
        return dict(last.data)


def text(text_: str, **more: object) -> dict:
    return {"type": "text", "text": text_, **more}


def collect(max_: int = 4, **more: object) -> dict:
    return {"type": "dtmf", "max": max_, **more}


HANGUP = {"type": "hangup"}
