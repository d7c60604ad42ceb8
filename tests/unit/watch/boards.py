"""A board as it is at a busy moment, and the events that make one; for the tests of board, words and picture."""

from collections.abc import Mapping

from gateway.watch.board import Board
from gateway.watch.rows import CallRow, Doing, EndRow, Happened, Hears, LegRow, TrunkRow

NOW = 1_795_000_000.0
CUSTOMER = LegRow("leg_c", "customer", "connected")
FROM, TO = "+12125550123", "+12125550100"


def event(
    seq: int, what: str, call: str = "call_1", at: float = NOW, leg: str | None = None, **data: object
) -> Happened:
    """One event. `from_` is `from`."""
    return Happened(seq, what, at, call, leg, {name.rstrip("_"): value for name, value in data.items()})


def started(seq: int, call: str = "call_1", at: float = NOW) -> Happened:
    return event(seq, "call.started", call, at, "leg_c", from_=FROM, to=TO)


def ended(seq: int, call: str = "call_1", at: float = NOW, cause: Mapping[str, str] | None = None) -> Happened:
    why = cause or {"result": "completed", "reason": "normal"}
    return event(seq, "call.ended", call, at, cause=dict(why), endedBy="customer", durationMs=12_300)


def a_call(call: str = "call_1", age_s: float = 7.0, **more: object) -> CallRow:
    """One that talks with its bot."""
    row = CallRow(
        call, FROM, TO, NOW - age_s, "reception", "acme", "bot", (CUSTOMER,), (Hears("bot", "leg_c"),),
        Doing("speaks", NOW - 2), codecs={"leg_c": "PCMU"},
    )  # fmt: skip
    for name, value in more.items():
        setattr(row, name, value)
    return row


def a_trunk(name: str = "acme", state: str = "up", registration: str = "registered", **more: object) -> TrunkRow:
    fields = {"since": NOW - 190, "calls": 3, "max_calls": 30, "detail": None, **more}
    return TrunkRow(name, "sip.acme.example", state, registration, **fields)  # type: ignore[arg-type]


def an_end(number: int, result: str = "completed", reason: str = "normal", ago_s: float = 60.0) -> EndRow:
    at = NOW - ago_s
    return EndRow(f"call_e{number}", at, at - 42, FROM, TO, 42_000, result, reason, "customer")


def a_board() -> Board:
    """One that is live, with a trunk and a call."""
    board = Board("http://127.0.0.1:8080")
    board.node(True, {"calls_limit": 500.0, "draining": 0.0})
    board.trunks = [a_trunk()]
    board.calls = {"call_1": a_call()}
    board.ends = [an_end(1)]
    board.live(NOW)
    return board
