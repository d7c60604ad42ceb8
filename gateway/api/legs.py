"""/v1/calls/{id}/legs and /play: who joins a call, supervises it, is muted, released, told something; for v1.py."""

from http import HTTPStatus
from typing import Final

from ulid import ULID

from gateway.api.auth import Scope, require
from gateway.api.control import Control, NotNow
from gateway.api.leg_models import Announced, CallWithLeg, Keys, LegChange
from gateway.api.models import CallOut
from gateway.api.operations import Answer, Asked, Operation
from gateway.api.problems import ApiProblem, Code, invalid
from gateway.api.reach import Reach, turned_down
from gateway.api.reading import read_body, read_called
from gateway.api.views import call_out
from gateway.calls.called import Joined
from gateway.calls.commands import PlayUrl
from gateway.calls.model import Call, Leg, LegId, Role, Spoken
from gateway.calls.orders import (
    ChangeLeg,
    Order,
    PlayAnnouncement,
    PressKeys,
    ReleaseLeg,
    StopAnnouncement,
)
from gateway.calls.states import LegState
from gateway.engine.ports import History

_PROBLEMS: Final = (Code.NOT_FOUND, Code.ILLEGAL_STATE, Code.STORE_UNAVAILABLE)
_OF_A_BODY: Final = (*_PROBLEMS, Code.MALFORMED_JSON, Code.TOO_LARGE, Code.INVALID)
_OF_A_CALL: Final = (*_OF_A_BODY, Code.BLOCKED, Code.AGENT_BUSY, Code.OVER_LIMIT)


class LegsApi:
    """The endpoints. Each answers with the call as it is when the order has been carried out."""

    def __init__(self, control: Control, history: History) -> None:
        self._control, self._reach = control, Reach(control, history)

    async def add(self, asked: Asked) -> Answer:
        """POST /v1/calls/{id}/legs"""
        call = await self._reach.commandable(asked)
        wanted = read_called(Joined, asked.body)
        require(asked.caller, Scope.SUPERVISE if wanted.role == "supervisor" else Scope.CALLS_CONTROL)
        leg_id = LegId(f"leg_{ULID()}")
        await self._order(asked, call, wanted.order(leg_id))
        return Answer(HTTPStatus.ACCEPTED, CallWithLeg(**dict(call_out(call)), leg_id=leg_id))

    async def change(self, asked: Asked) -> Answer:
        """PATCH /v1/calls/{id}/legs/{leg}"""
        call, leg = await self._leg(asked)
        wanted = read_body(asked.body, LegChange)
        to = LegId(wanted.whisper_to) if wanted.whisper_to is not None else None
        return await self._order(asked, call, ChangeLeg(leg.id, wanted.muted, wanted.held, wanted.mode, to))

    async def release(self, asked: Asked) -> Answer:
        """DELETE /v1/calls/{id}/legs/{leg}"""
        call, leg = await self._leg(asked)
        if leg is call.customer:
            raise invalid("path", "leg", "is the customer's; DELETE /v1/calls/{id} ends the call")
        return await self._order(asked, call, ReleaseLeg(leg.id))

    async def press(self, asked: Asked) -> Answer:
        """POST /v1/calls/{id}/legs/{leg}/dtmf"""
        call, leg = await self._leg(asked)
        return await self._order(asked, call, PressKeys(leg.id, read_body(asked.body, Keys).digits))

    async def play(self, asked: Asked) -> Answer:
        """POST /v1/calls/{id}/play"""
        call = await self._reach.commandable(asked)
        wanted = read_body(asked.body, Announced)
        to = None if wanted.to == "all" else LegId(wanted.to)
        if to is not None and _live(call, to) is None:
            raise invalid("body", "to", "the call has no such leg; write a leg's id, or all")
        what = PlayUrl(wanted.url) if wanted.url is not None else Spoken(wanted.text, wanted.prompt)
        return await self._order(asked, call, PlayAnnouncement(what, to, wanted.loop))

    async def stop(self, asked: Asked) -> Answer:
        """DELETE /v1/calls/{id}/play"""
        return await self._order(asked, await self._reach.commandable(asked), StopAnnouncement())

    async def _leg(self, asked: Asked) -> tuple[Call, Leg]:
        """The leg in the path. A supervisor's is for those who may supervise."""
        call = await self._reach.commandable(asked)
        leg = _live(call, LegId(asked.request.match_info["leg"]))
        if leg is None:
            raise ApiProblem(Code.NOT_FOUND, "the call has no such leg")
        require(asked.caller, Scope.SUPERVISE if leg.role is Role.SUPERVISOR else Scope.CALLS_CONTROL)
        return call, leg

    async def _order(self, asked: Asked, call: Call, order: Order) -> Answer:
        try:
            await self._control.order(call.id, order, asked.caller.key.agent)
        except NotNow as refusal:
            raise turned_down(call, refusal) from None
        return Answer(HTTPStatus.ACCEPTED, call_out(call))

    # ── What is documented ──────────────────────────────────────────────────────────────────────────

    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        scope, ok = Scope.CALLS_CONTROL, HTTPStatus.ACCEPTED
        legs, leg = "/v1/calls/{id}/legs", "/v1/calls/{id}/legs/{leg}"
        return (
            Operation(
                method="POST", path=legs, name="addLeg", tag="Legs", scope=scope, or_scope=Scope.SUPERVISE, status=ok,
                summary="Call somebody into the call", handler=self.add, body=Joined, answer=CallWithLeg,
                about="An agent joins the talk, and is the agent if the other one leaves. A supervisor (scope "
                "`supervise`) is where the agent is: `monitor` hears all and is heard by nobody, `whisper` is heard by "
                "`whisperTo` only, `barge` by all. Who joins changes no state; `leg.joined` or `leg.left` follows.",
                problems=_OF_A_CALL,
            ),
            Operation(
                method="PATCH", path=leg, name="changeLeg", tag="Legs", scope=scope, or_scope=Scope.SUPERVISE,
                status=ok, summary="Mute, hold, or whisper", handler=self.change, body=LegChange, answer=CallOut,
                about="All that is given, or nothing. Holds and mutes end with the talk that they were for. The mode "
                "is of supervisors, and takes the scope `supervise`; nobody hears it change.",
                problems=_OF_A_BODY,
            ),
            Operation(
                method="DELETE", path=leg, name="releaseLeg", tag="Legs", scope=scope, or_scope=Scope.SUPERVISE,
                status=ok, summary="Hang one leg up", handler=self.release, answer=CallOut,
                about="The others go on as if it had hung up itself. Not the customer's, which ends the call.",
                problems=(*_PROBLEMS, Code.INVALID),
            ),
            Operation(
                method="POST", path=f"{leg}/dtmf", name="pressKeys", tag="Legs", scope=scope,
                or_scope=Scope.SUPERVISE, status=ok,
                summary="Press keys", handler=self.press, body=Keys, answer=CallOut,
                about="The far end of this leg gets the keys (RFC 4733 or INFO, as its trunk has it).",
                problems=_OF_A_BODY,
            ),
            Operation(
                method="POST", path="/v1/calls/{id}/play", name="play", tag="Legs", scope=scope, status=ok,
                summary="Play an announcement to people", handler=self.play, body=Announced, answer=CallOut,
                about="Beside their talk, and in place of the announcement that plays. It ends when the talk does, and "
                "when the customer is passed on. (To a customer who is with the bot, push replies.)",
                problems=_OF_A_BODY,
            ),
            Operation(
                method="DELETE", path="/v1/calls/{id}/play", name="stopPlay", tag="Legs", scope=scope, status=ok,
                summary="Stop it", handler=self.stop, answer=CallOut, about="Nothing, if none plays.",
                problems=_PROBLEMS,
            ),
        )  # fmt: skip


def _live(call: Call, leg_id: LegId) -> Leg | None:
    leg = call.legs.get(leg_id)
    return leg if leg is not None and leg.state is not LegState.ENDED else None
