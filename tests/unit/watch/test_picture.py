"""The picture: what an operator reads at 60, 80 and 140 cells, what gives way; it never outgrows the screen."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from gateway.watch.board import Board
from gateway.watch.picture import Look, picture
from gateway.watch.rows import Hears, LegRow
from gateway.watch.words import Numbers, clock
from tests.unit.watch.boards import CUSTOMER, NOW, a_board, a_call, a_trunk, an_end, event, started

WIDTHS = (60, 80, 140)


def drawn(board: Board, width: int = 80, height: int | None = None, now: float = NOW, shown: bool = False) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height or 500, highlight=False)
    console.print(picture(board, now, Look(width, height, Numbers(shown))))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_all_is_well() -> None:
    assert drawn(a_board()) == [
        f" READY   http://127.0.0.1:8080                                  updated {clock(NOW)}",
        "nothing is wrong",
        "1 of 500 calls up, 0 in the last minute",
        "",
        "TRUNK             STATE           CALLS      WHAT IS WRONG",
        "acme              up 3:10         3/30",
        "",
        "AGE      FROM -> TO                    BOT               WHO HEARS WHOM",
        "0:07     +1212•••0123 -> +1212•••0100  speaks            customer <-> bot",
        "         customer connected, PCMU; reception on acme",
        "",
        "ENDED     FROM -> TO                    TOOK     WHY                    BY",
        f"{clock(NOW - 60)}  +1212•••0123 -> +1212•••0100  0:42     completed/normal       customer",
    ]


def test_a_wide_terminal_has_everything() -> None:
    text = "\n".join(drawn(a_board(), 140))
    for title in ("REGISTRATION", "HOST", "STATE", "CHANNEL", "TRUNK"):
        assert title in text
    for part in ("registered", "sip.acme.example", "reception", "customer connected, PCMU"):
        assert part in text


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_wrong_stands_in_the_second_line(width: int) -> None:
    board = a_board()
    board.trunks = [a_trunk(), a_trunk("backup", "down", detail="no answer to OPTIONS")]
    board.happened(event(9, "bot.failed", kind="timeout"))
    lines = drawn(board, width)
    assert lines[1] == "look at: trunk backup down; bot fails in 1 call"
    assert lines[5].startswith("backup") and "no answer" in lines[5], "what is down is on top"
    assert any("failed: t" in line for line in lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_numbers_are_masked_unless_asked_for(width: int) -> None:
    masked, shown = "\n".join(drawn(a_board(), width)), "\n".join(drawn(a_board(), width, shown=True))
    assert "5550123" not in masked and "+1212•••0123" in masked
    assert "+12125550123" in shown and "•" not in shown


def test_a_gateway_that_is_gone_is_never_taken_for_live() -> None:
    board = a_board()
    board.gone(NOW + 3, "connection refused", NOW + 9)
    lines = drawn(board, now=NOW + 5)
    assert lines[:3] == [
        f" GONE   gateway gone since {clock(NOW + 3)}, trying again in 4 s",
        "http://127.0.0.1:8080: connection refused",
        f"what follows is of {clock(NOW)}, not of now",
    ]
    assert any(line.startswith("0:07 ") for line in lines), "ages stand still"
    out = picture(board, NOW + 5, Look(80, None, Numbers()))
    assert any(span.style == "dim" and span.end - span.start > 40 for span in out.spans)


def test_a_silent_gateway_is_doubted_before_it_is_given_up() -> None:
    assert drawn(a_board(), now=NOW + 6)[1] == "no answer for 6 s: this may be old"


@pytest.mark.parametrize(("draining", "badge"), [(1.0, " DRAINING "), (0.0, " NOT READY ")])
def test_a_gateway_that_takes_no_calls(draining: float, badge: str) -> None:
    board = a_board()
    board.node(False, {"draining": draining})
    assert drawn(board)[0].startswith(f"{badge}  http://127.0.0.1:8080 takes no new calls")


def test_a_slow_bot_is_on_top() -> None:
    board = a_board()
    board.calls["call_0"] = a_call("call_0", age_s=500)
    board.happened(event(9, "bot.asked", "call_0", NOW - 7, event="dtmf"))
    lines = drawn(board, 140)
    assert lines[1] == "look at: bot slow in 1 call"
    assert "8:20" in lines[8] and "slow 0:07, dtmf" in lines[8]


def test_everyone_in_a_call_has_a_line() -> None:
    board = a_board()
    agent = LegRow("leg_a", "agent", "connected", muted=True)
    board.calls["call_1"] = a_call(
        legs=(CUSTOMER, agent), hearing=(Hears("leg_c", "leg_a"),), state="talking", doing=None
    )
    lines = drawn(board)
    assert lines[8].split()[4:] == ["talking", "agent", "hears", "customer"]
    assert drawn(board, 60)[11] == "         agent hears customer", "in full where its column is too narrow"
    assert lines[9:11] == ["         customer connected, PCMU; reception on acme", "         agent connected, muted"]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_screen_full_of_calls_keeps_trunks_and_ends(width: int) -> None:
    board = a_board()
    board.calls = {f"call_{age}": a_call(f"call_{age}", age_s=age) for age in range(1, 301)}
    board.ends = [an_end(number, "gateway", "crashed") for number in range(5)]
    lines = drawn(board, width, 24)
    assert len(lines) == 24
    assert lines[5].startswith("acme") and lines[8].startswith("0:01 ")
    assert "and 292 more calls" in lines[16] and not lines[17]
    assert "gateway/crashed" in lines[-1]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_key_that_sees_no_trunks_and_a_gateway_without_calls(width: int) -> None:
    board = a_board()
    board.trunks, board.calls = None, {}
    text = "\n".join(drawn(board, width))
    assert "this key does not see trunks" in text and "no calls" in text


def test_one_call_with_all_that_happened() -> None:
    board = Board("http://127.0.0.1:8080", "call_1")
    board.node(True, None)
    board.live(NOW)
    board.calls = {"call_1": a_call()}
    board.recall(
        "call_1", [started(1), event(2, "bot.asked", event="start"), event(3, "bot.failed", detail="+12125550123")]
    )
    lines = drawn(board)
    assert lines[2] == "watching call_1"
    assert lines[-3:] == [
        f"{clock(NOW)}  call.started       +1212•••0123 -> +1212•••0100",
        f"{clock(NOW)}  bot.asked          start",
        f"{clock(NOW)}  bot.failed         detail=+1212•••0123",
    ]
    assert drawn(board, height=11)[-1].split()[1] == "bot.failed", "the newest stays"


def test_one_call_shows_its_rooms_each_named_once() -> None:
    board = Board("http://127.0.0.1:8080", "call_1")
    board.live(NOW)
    agent, expert = LegRow("leg_a", "agent", "connected", "consult"), LegRow("leg_e", "consult", "connected", "consult")
    edges = (Hears("leg_a", "leg_e"), Hears("leg_e", "leg_a"), Hears("music:hold/calm", "leg_c"))
    board.calls = {"call_1": a_call(legs=(CUSTOMER, agent, expert), hearing=edges, state="talking")}
    lines = drawn(board)
    at = next(number for number, line in enumerate(lines) if line.split() == ["ROOM", "WHO", "HEARS"])
    assert [line.split() for line in lines[at + 1 : at + 5]] == [
        ["main", "customer", "hold/calm"], ["consult", "agent", "consult"], ["consult", "agent"], [],
    ]  # fmt: skip
    assert lines[at + 3].startswith(" " * 9 + "consult"), "under who, not under room"
    assert not any(line.startswith("ROOM") for line in drawn(board, height=14)), "what happened needs the lines more"


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 200), height=st.integers(1, 60), calls=st.integers(0, 30), trunks=st.integers(0, 12),
    gone=st.booleans(), name=st.text(max_size=40).map(lambda text: "".join(c for c in text if c.isprintable())),
)  # fmt: skip
def test_it_never_outgrows_the_screen(width: int, height: int, calls: int, trunks: int, gone: bool, name: str) -> None:
    board = a_board()
    board.calls = {f"call_{n}": a_call(f"call_{n}", from_=name, trouble=name or None) for n in range(calls)}
    board.trunks = [a_trunk(f"{name}{n}", "down", detail=name) for n in range(trunks)]
    if gone:
        board.gone(NOW, name, NOW)
    lines = picture(board, NOW, Look(width, height, Numbers(True))).plain.split("\n")
    assert len(lines) <= height
    assert all(cell_len(line) <= max(width, 40) for line in lines)
