"""/v1/calls: live calls to see, to end, to send replies to, and what happened in them; mounted by v1.py."""

from http import HTTPStatus
from typing import Final

from gateway.api.auth import Caller, Scope
from gateway.api.control import Control, NotNow
from gateway.api.event_types import types_of
from gateway.api.models import CallDetail, CallOut, Calls, CallsQuery, Events, EventsQuery, HangUpQuery
from gateway.api.operations import Answer, Asked, Operation
from gateway.api.problems import ApiProblem, Code
from gateway.api.reach import Reach, illegal, not_found, turned_down
from gateway.api.reading import read_query, read_replies, read_switch, refused
from gateway.api.views import call_detail, call_out, events_page, over_detail
from gateway.calls.allowed import allowed
from gateway.calls.causes import NORMAL, Cause, EndedBy, Reason, Result
from gateway.calls.errors import BotError
from gateway.calls.replies import BotResponse
from gateway.calls.switch import Switch
from gateway.calls.witnesses import leg_of
from gateway.engine.ports import History, Recorded

_TIMELINE: Final = 500


class CallsApi:
    """The endpoints."""

    def __init__(self, control: Control, history: History) -> None:
        self._control, self._history = control, history
        self._reach = Reach(control, history)

    # ── Seeing ──────────────────────────────────────────────────────────────────────────────────────

    async def live(self, asked: Asked) -> Answer:
        """GET /v1/calls"""
        query = read_query(asked.request, CallsQuery)
        found = [
            call
            for call in self._control.live_calls()
            if asked.caller.sees(call)
            and query.state in (None, call.state)
            and query.channel in (None, call.channel.name)
            and query.trunk in (None, call.caller.trunk)
            and (query.agent is None or leg_of(call, query.agent) is not None)
            and (query.cursor is None or call.id > query.cursor)
        ]
        found.sort(key=lambda call: call.id)  # ids are ULIDs: in the order of time
        page = found[: query.limit]
        more = page[-1].id if len(found) > len(page) else None
        return Answer(HTTPStatus.OK, Calls(items=[call_out(call) for call in page], next_cursor=more))

    async def get(self, asked: Asked) -> Answer:
        """GET /v1/calls/{id}"""
        caller, call_id = asked.caller, asked.call_id
        timeline = events_page(await self._events(caller, call_id, limit=_TIMELINE), _TIMELINE)
        call = self._reach.live(caller, call_id)
        if call is not None:
            return Answer(HTTPStatus.OK, call_detail(call, timeline))
        cdr = await self._history.cdr(call_id)
        if cdr is None or not caller.saw(cdr):
            raise not_found()
        return Answer(HTTPStatus.OK, over_detail(cdr, timeline))

    async def events(self, asked: Asked) -> Answer:
        """GET /v1/calls/{id}/events"""
        query = read_query(asked.request, EventsQuery)
        caller, call_id, types = asked.caller, asked.call_id, types_of(query.types)
        found = await self._events(caller, call_id, query.cursor, types, query.limit)
        if not found and not await self._known(caller, call_id):
            raise not_found()
        return Answer(HTTPStatus.OK, events_page(found, query.limit))

    async def _events(
        self, caller: Caller, call_id: str, after: int = 0, types: frozenset[str] | None = None, limit: int = 1
    ) -> list[Recorded]:
        found = await self._history.events(
            after, call_id=call_id, types=types, channels=caller.channels, agent=caller.agent, limit=limit + 1
        )
        return list(found)

    async def _known(self, caller: Caller, call_id: str) -> bool:
        """Whether the call is, or was, there for this key."""
        return self._reach.live(caller, call_id) is not None or bool(await self._events(caller, call_id))

    # ── Commands ────────────────────────────────────────────────────────────────────────────────────

    async def hang_up(self, asked: Asked) -> Answer:
        """DELETE /v1/calls/{id}"""
        query = read_query(asked.request, HangUpQuery)
        call = await self._reach.commandable(asked)
        reason = Reason(query.reason)
        cause = NORMAL if reason is Reason.NORMAL else Cause(Result.GATEWAY, reason)
        if allowed(call):  # a second DELETE finds it ending, which is what was asked for
            try:
                await self._control.hang_up(call.id, cause, EndedBy.GATEWAY, asked.caller.agent)
            except NotNow as refusal:
                raise turned_down(call, refusal) from None
        return Answer(HTTPStatus.ACCEPTED, call_out(call))

    async def push_replies(self, asked: Asked) -> Answer:
        """POST /v1/calls/{id}/replies"""
        call = await self._reach.commandable(asked)
        if asked.caller.key.agent is not None:
            raise ApiProblem(Code.FORBIDDEN, "replies are a bot's; the key is bound to an agent")
        response = read_replies(asked.body)
        if not allowed(call):
            raise illegal(call)
        try:
            await self._control.push_replies(call.id, response)
        except BotError as error:
            raise refused(error) from None
        except NotNow as refusal:
            raise turned_down(call, refusal) from None
        return Answer(HTTPStatus.ACCEPTED, call_out(call))

    async def transfer(self, asked: Asked) -> Answer:
        """POST /v1/calls/{id}/transfer"""
        call = await self._reach.commandable(asked)
        switch = read_switch(asked.body)
        try:
            await self._control.transfer(call.id, switch, asked.caller.agent)
        except BotError as error:
            raise refused(error) from None
        except NotNow as refusal:
            raise turned_down(call, refusal) from None
        return Answer(HTTPStatus.ACCEPTED, call_out(call))

    async def cancel_transfer(self, asked: Asked) -> Answer:
        """DELETE /v1/calls/{id}/transfer"""
        call = await self._reach.commandable(asked)
        try:
            await self._control.cancel_transfer(call.id, asked.caller.agent)
        except NotNow as refusal:
            raise turned_down(call, refusal) from None
        return Answer(HTTPStatus.ACCEPTED, call_out(call))

    # ── What is documented ──────────────────────────────────────────────────────────────────────────

    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        return (
            Operation(
                method="GET", path="/v1/calls", name="listCalls", tag="Calls", scope=Scope.CALLS_READ,
                summary="Live calls", about="Those that the key sees, the oldest first.",
                handler=self.live, query=CallsQuery, answer=Calls, problems=(Code.INVALID,),
            ),
            Operation(
                method="GET", path="/v1/calls/{id}", name="getCall", tag="Calls", scope=Scope.CALLS_READ,
                summary="One call", handler=self.get, answer=CallDetail,
                about="Its legs, rooms, who hears whom, and what happened so far. A call that is over stays to be "
                "seen here, with its CDR.",
                problems=(Code.NOT_FOUND, Code.STORE_UNAVAILABLE),
            ),
            Operation(
                method="DELETE", path="/v1/calls/{id}", name="hangUp", tag="Calls", scope=Scope.CALLS_CONTROL,
                summary="Hang up everything", handler=self.hang_up, query=HangUpQuery, answer=CallOut,
                status=HTTPStatus.ACCEPTED,
                about="All legs of the call are ended. The answer is the call as it is now; `call.ended` follows in "
                "the events. Asking again while it ends is fine.",
                problems=(Code.NOT_FOUND, Code.ILLEGAL_STATE, Code.INVALID, Code.STORE_UNAVAILABLE),
            ),
            Operation(
                method="POST", path="/v1/calls/{id}/replies", name="pushReplies", tag="Calls", scope=Scope.BOT_REPLY,
                summary="Push a bot's replies", handler=self.push_replies, body=BotResponse, answer=CallOut,
                status=HTTPStatus.ACCEPTED,
                about="The same object as the answer to a webhook, at any time. It is carried out after what is under "
                "way. A list with a mistake is refused as a whole, with the path of the first one.",
                problems=(Code.MALFORMED_JSON, Code.NOT_FOUND, Code.ILLEGAL_STATE, Code.TOO_LARGE, Code.INVALID),
            ),
            Operation(
                method="POST", path="/v1/calls/{id}/transfer", name="transfer", tag="Calls",
                scope=Scope.CALLS_CONTROL, summary="Hand the customer to a person", handler=self.transfer, body=Switch,
                answer=CallOut, status=HTTPStatus.ACCEPTED,
                about="The same object as a bot's `switch` reply. What follows is in the events: `transfer.started`, "
                "`transfer.ringing`, `transfer.answered`, `transfer.bridged`, and exactly one `transfer.ended`. While "
                "the customer talks to people, the person stays until the next one is there.",
                problems=(Code.MALFORMED_JSON, Code.NOT_FOUND, Code.ILLEGAL_STATE, Code.TOO_LARGE, Code.INVALID),
            ),
            Operation(
                method="DELETE", path="/v1/calls/{id}/transfer", name="cancelTransfer", tag="Calls",
                scope=Scope.CALLS_CONTROL, summary="Take a transfer back", handler=self.cancel_transfer,
                answer=CallOut, status=HTTPStatus.ACCEPTED,
                about="Until somebody is bridged. Nothing is left ringing; the customer goes on as after a failure.",
                problems=(Code.NOT_FOUND, Code.ILLEGAL_STATE, Code.STORE_UNAVAILABLE),
            ),
            Operation(
                method="GET", path="/v1/calls/{id}/events", name="listCallEvents", tag="Calls",
                scope=Scope.CALLS_READ, summary="What happened in a call", handler=self.events, query=EventsQuery,
                answer=Events, about="The oldest first; also of calls that are over.",
                problems=(Code.NOT_FOUND, Code.INVALID, Code.STORE_UNAVAILABLE),
            ),
        )  # fmt: skip
