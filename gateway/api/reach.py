"""The call that a request names, if its key may see it, or the problem that says why not; for calls and consult."""

from typing import assert_never

from gateway.api.auth import Caller
from gateway.api.control import Control, NotNow
from gateway.api.operations import Asked
from gateway.api.problems import ApiProblem, Code, invalid
from gateway.calls.allowed import allowed
from gateway.calls.model import Call, Json, JsonObject
from gateway.calls.states import CallState, ConsultState
from gateway.engine.ports import History


class Reach:
    """Finds calls."""

    def __init__(self, control: Control, history: History) -> None:
        self._control, self._history = control, history

    def live(self, caller: Caller, call_id: str) -> Call | None:
        """The call, if it is live and there for this key."""
        call = self._control.call(call_id)
        return call if call is not None and caller.sees(call) else None

    async def commandable(self, asked: Asked) -> Call:
        """The live call in the path. Raises 409 for one that is over, 404 for one that is not there for this key."""
        call = self.live(asked.caller, asked.call_id)
        if call is not None:
            return call
        cdr = await self._history.cdr(asked.call_id)
        if cdr is None or not asked.caller.saw(cdr):
            raise not_found()
        raise illegal(None)


def not_found() -> ApiProblem:
    """404."""
    return ApiProblem(Code.NOT_FOUND, "there is no such call for this key")


def turned_down(call: Call, refusal: NotNow) -> ApiProblem:
    """Why the call did not take a command."""
    match refusal.why:
        case "state":
            return illegal(call)
        case "agent-busy":
            return ApiProblem(Code.AGENT_BUSY, refusal.detail)
        case "forbidden":
            return ApiProblem(Code.FORBIDDEN, refusal.detail)
        case "blocked":
            return ApiProblem(Code.BLOCKED, refusal.detail)
        case "unreachable":
            return ApiProblem(Code.OVER_LIMIT, refusal.detail)
        case "invalid":
            path, _, sentence = refusal.detail.partition(": ")
            return invalid("body", path, sentence)
        case _:
            assert_never(refusal.why)


def illegal(call: Call | None) -> ApiProblem:
    """409 with the state, and what the call takes instead; None: it is over."""
    state, consult, words = CallState.ENDED, ConsultState.NONE, list[Json]()
    if call is not None:
        state, consult, words = call.state, call.consult, [*allowed(call)]
    if state is CallState.ENDED:
        detail = "the call is over"
    else:
        asks = f", its consult in {consult.value}" if consult is not ConsultState.NONE else ""
        detail = f"the call is in state {state.value}{asks}" + ("" if words else " and ending")
    members: JsonObject = {"state": state.value, "consultState": consult.value, "allowed": words}
    return ApiProblem(Code.ILLEGAL_STATE, detail, members)
