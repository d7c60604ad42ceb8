"""A scripted call with the world's own account of it: what an adapter could not do, or would be left with, fails."""

from dataclasses import dataclass, field
from enum import Enum

from gateway.calls.commands import (
    Answer,
    Command,
    Dial,
    EndCall,
    Hangup,
    Note,
    Redirect,
    Reject,
    Ring,
    SendDigits,
)
from gateway.calls.events import Event, LegAnswered, LegEnded, LegOffered, TransferRequested
from gateway.calls.model import JsonObject, LegId
from gateway.calls.refers import (
    AnswerRefer,
    ClaimPeer,
    ClaimRefused,
    HandOver,
    LegTakenOver,
    NotifyRefer,
    PeerClaimed,
    ReferAnswered,
    ReferReceived,
    RefuseClaim,
    SendRefer,
)
from gateway.calls.states import CallState
from tests.scripted_call import ScriptedCall


class Dialog(Enum):
    """Where the adapter has a leg."""

    OFFERED = "offered"
    CALLING = "calling"
    ANSWERING = "answering"
    UP = "up"
    ENDING = "ending"
    GONE = "gone"
    AWAY = "away"
    """Another call has it."""


OPEN = (Dialog.OFFERED, Dialog.CALLING, Dialog.ANSWERING, Dialog.UP)
ALIVE = (*OPEN, Dialog.ENDING)


@dataclass
class Asked:
    """A REFER that came."""

    leg_id: LegId
    answer: int | None = None
    notified: list[int] = field(default_factory=list)


@dataclass
class Started:
    """A transfer, as the event stream tells it. `of` is the one that lasted when somebody passed the customer on."""

    id: str
    hop: bool
    of: str | None
    ended: JsonObject | None = None
    bridged: bool = False


@dataclass
class WatchedCall(ScriptedCall):
    """Every command is checked against the dialogs, REFERs and claims that there are."""

    dialogs: dict[LegId, Dialog] = field(default_factory=dict)
    asked: dict[int, Asked] = field(default_factory=dict)
    """The REFERs of others, by their ids."""
    unanswered: list[LegId] = field(default_factory=list)
    """The legs on which our REFERs have no answer yet."""
    referred: list[LegId] = field(default_factory=list)
    """The legs on which we have sent one."""
    claims: list[LegId] = field(default_factory=list)
    """Those of ours that have no answer yet."""
    transfers: dict[str, Started] = field(default_factory=dict)
    events: int = 0
    turned_away: set[LegId] = field(default_factory=set)
    """Legs that never were the call's."""

    def happens(self, event: Event) -> list[Command]:
        was_over, hop = self.is_over, self._is_hop(event)
        under_way = self.control.call.transfer_id
        self.events += 1
        self._arrives(event)
        commands = super().happens(event)
        for command in commands:
            self._goes(command)
            if isinstance(command, Note):
                self._told(command, under_way if hop else None, hop=hop)
        if not was_over:
            self._is_due(event, commands)
        return commands

    @property
    def is_over(self) -> bool:
        return self.control.call.state is CallState.ENDED

    def legs_that_are(self, *where: Dialog) -> list[LegId]:
        return [leg_id for leg_id, is_ in self.dialogs.items() if is_ in where]

    # ── what comes ──────────────────────────────────────────────────────────────────────────────────

    def _arrives(self, event: Event) -> None:
        match event:
            case LegOffered():
                self.dialogs[event.leg_id] = Dialog.OFFERED
            case LegAnswered():
                if self.dialogs[event.leg_id] is not Dialog.ENDING:
                    self.dialogs[event.leg_id] = Dialog.UP
            case LegEnded():
                assert self.dialogs[event.leg_id] in ALIVE, "each leg ends once"
                self.dialogs[event.leg_id] = Dialog.GONE
            case LegTakenOver():
                self.claims.pop(0)
                self.dialogs[event.leg.id] = Dialog.UP
            case ClaimRefused():
                self.claims.pop(0)
            case ReferReceived():
                self.asked[event.refer_id] = Asked(event.leg_id)
            case ReferAnswered():
                self.unanswered.remove(event.leg_id)
            case _:
                pass

    def _is_hop(self, event: Event) -> bool:
        talking = self.control.call.state is CallState.TALKING
        return isinstance(event, ReferReceived | ClaimRefused) or (isinstance(event, TransferRequested) and talking)

    # ── what goes ───────────────────────────────────────────────────────────────────────────────────

    def _goes(self, command: Command) -> None:
        dialogs = self.dialogs
        match command:
            case Ring():
                assert dialogs[command.leg_id] is Dialog.OFFERED
            case Answer():
                assert dialogs[command.leg_id] is Dialog.OFFERED
                dialogs[command.leg_id] = Dialog.ANSWERING
            case Reject() | Redirect():
                assert dialogs[command.leg_id] is Dialog.OFFERED
                dialogs[command.leg_id] = Dialog.ENDING
                if command.leg_id not in self.control.call.legs:
                    self.turned_away.add(command.leg_id)
            case Dial():
                assert command.leg_id not in dialogs
                dialogs[command.leg_id] = Dialog.CALLING
            case Hangup():
                assert dialogs[command.leg_id] in OPEN, "once, and while there is something to hang up"
                dialogs[command.leg_id] = Dialog.ENDING
            case HandOver():
                assert dialogs[command.leg.id] is Dialog.UP
                dialogs[command.leg.id] = Dialog.AWAY
            case SendDigits():
                assert dialogs[command.leg_id] is Dialog.UP
            case SendRefer():
                assert dialogs[command.leg_id] is Dialog.UP
                self.unanswered.append(command.leg_id)
                self.referred.append(command.leg_id)
            case AnswerRefer():
                refer = self.asked[command.refer_id]
                assert (refer.answer, refer.leg_id) == (None, command.leg_id)
                refer.answer = command.status
            case NotifyRefer():
                self._notified(self.asked[command.refer_id], command.status)
            case ClaimPeer():
                self.claims.append(command.leg_id)
            case EndCall():
                assert not {*self.legs_that_are(*ALIVE)} - self.turned_away, "nobody is left"
            case _:
                pass

    def _notified(self, refer: Asked, status: int) -> None:
        assert refer.answer == 202
        assert refer.notified or status == 100
        assert all(said < 200 and said < status for said in refer.notified), "in order, and nothing after the last"
        refer.notified.append(status)

    def _told(self, note: Note, of: str | None, *, hop: bool) -> None:
        id_ = note.fields.get("transferId")
        if not isinstance(id_, str):
            return
        if note.name == "transfer.started":
            assert id_ not in self.transfers and note.fields.get("hopOf") == of
            self.transfers[id_] = Started(id_, hop, of)
            return
        one = self.transfers[id_]
        assert one.ended is None, "nothing follows the end"
        assert note.fields.get("hopOf") == one.of
        if note.name == "transfer.bridged":
            one.bridged = True
        if note.name == "transfer.ended":
            one.ended = note.fields

    def _is_due(self, event: Event, commands: list[Command]) -> None:
        """What must be answered at once."""
        if isinstance(event, ReferReceived):
            assert self.asked[event.refer_id].answer is not None
        if isinstance(event, PeerClaimed):
            (answer,) = [c for c in commands if isinstance(c, HandOver | RefuseClaim)]
            assert answer.to == event.by
