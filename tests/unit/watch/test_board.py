"""The board: what answers and events come to, in whatever order they overlap."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.watch.board import Board, Link
from gateway.watch.rows import CallRow, Happened, Hears, LegRow
from tests.unit.watch.boards import FROM, NOW, TO, a_board, a_call, a_trunk, an_end, ended, event, started


def board() -> Board:
    return Board("http://127.0.0.1:8080")


def test_a_call_from_its_start_to_its_end() -> None:
    it = board()
    assert it.happened(started(1)), "the calls must be asked for: an event has neither channel nor hearing"
    assert (it.calls["call_1"].from_, it.calls["call_1"].to) == (FROM, TO)
    it.snapshot([a_call()], asked=it.mark)
    assert it.calls["call_1"].channel == "reception" and it.calls["call_1"].hearing
    assert it.happened(ended(2, at=NOW + 5))
    assert not it.calls
    (end,) = it.ends
    assert (end.from_, end.result, end.reason, end.ended_by, end.duration_ms) == (
        FROM, "completed", "normal", "customer", 12_300,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("events", "what", "waits", "trouble"),
    [
        ([event(2, "bot.asked", seq_=1, event="start")], "asked: start", True, None),
        ([event(2, "bot.replied", replies=["text", "dtmf"])], "said: text, dtmf", False, None),
        ([event(2, "bot.replied", replies=[])], "said nothing", False, None),
        ([event(2, "playback.started")], "speaks", False, None),
        ([event(2, "playback.started"), event(3, "playback.ended")], "listens", False, None),
        (
            [event(2, "playback.started"), event(3, "bot.asked", event="dtmf"), event(4, "playback.ended")],
            "asked: dtmf", True, None,
        ),
        ([event(2, "bot.failed", kind="timeout")], "failed: timeout", False, "failed: timeout"),
        ([event(2, "fallback.started"), event(3, "playback.started")], "speaks", False, "given up, apologised"),
        ([event(2, "bot.failed", kind="timeout"), event(3, "bot.replied", replies=["a"])], "said: a", False, None),
        ([event(2, "bot.failed", kind="x"), event(2, "bot.replied", replies=[])], "failed: x", False, "failed: x"),
    ],
)  # fmt: skip
def test_what_the_bot_is_doing(events: list[Happened], what: str, waits: bool, trouble: str | None) -> None:
    it = board()
    it.happened(started(1))
    for one in events:
        it.happened(one)
    row = it.calls["call_1"]
    assert row.doing is not None
    assert (row.doing.what, row.doing.waits, row.trouble) == (what, waits, trouble)


@pytest.mark.parametrize("kind", ["dtmf.received", "bot.asked", "playback.started", "sound.failed", "call.refused"])
def test_what_changes_no_leg_asks_for_nothing(kind: str) -> None:
    assert not board().happened(event(1, kind, cause={"result": "gateway", "reason": "no-route"}))


@pytest.mark.parametrize("kind", ["leg.joined", "leg.held", "call.handedOff", "consult.swapped", "what.ever"])
def test_what_may_change_who_hears_whom_asks_for_the_calls(kind: str) -> None:
    assert board().happened(event(1, kind))


def test_an_old_answer_neither_loses_a_new_call_nor_brings_back_one_that_is_over() -> None:
    it = board()
    it.happened(started(1, "call_1"))
    asked = it.mark
    it.happened(started(2, "call_2"))
    it.happened(ended(3, "call_1"))
    it.snapshot([a_call("call_1")], asked)
    assert list(it.calls) == ["call_2"]
    it.snapshot([], it.mark)
    assert not it.calls, "an answer that is newer than all events is believed"


def test_history_and_events_overlap_without_harm() -> None:
    it = board()
    it.snapshot([a_call(doing=None, codecs={})], it.mark)
    past = [event(1, "leg.joined", leg="leg_c", codec="PCMA"), event(2, "bot.asked", event="start")]
    it.happened(event(3, "playback.started"))
    it.recall("call_1", past)
    assert it.calls["call_1"].recalled
    it.happened(event(2, "bot.asked", event="start"))
    doing = it.calls["call_1"].doing
    assert doing is not None and doing.what == "speaks"


def test_an_end_is_told_once_with_the_newest_first() -> None:
    it = board()
    it.ended([an_end(number, ago_s=10.0 * number) for number in range(1, 9)], complete=True)
    it.happened(ended(1, "call_e1"))
    it.happened(ended(2, "call_x", at=NOW))
    assert [end.call_id for end in it.ends] == ["call_x", "call_e1", "call_e2", "call_e3", "call_e4"]


def test_a_refused_call_is_an_end_of_its_own() -> None:
    it = board()
    it.happened(event(1, "call.refused", from_=FROM, to=TO, cause={"result": "gateway", "reason": "no-route"}))
    (end,) = it.ends
    assert (end.from_, end.reason, end.ended_by, it.calls) == (FROM, "no-route", "gateway", {})


def test_calls_of_the_last_minute_are_counted_once() -> None:
    it = board()
    it.ended([an_end(1, ago_s=200.0)], complete=True)
    it.snapshot([a_call("call_1", age_s=59), a_call("call_2", age_s=61)], 0)
    it.happened(started(1, "call_1", NOW - 59))
    it.happened(started(2, "call_3"))
    assert it.last_minute(NOW) == (2, True)
    it.ended([an_end(2, ago_s=5.0)], complete=False)
    assert it.last_minute(NOW) == (3, False), "calls before that one are not known"
    assert it.last_minute(NOW + 60)[1]


def test_gone_since_the_first_failure_and_live_again() -> None:
    it = a_board()
    it.gone(NOW + 5, "connection refused", NOW + 6)
    it.gone(NOW + 6, "connection refused", NOW + 8)
    assert (it.link, it.gone_at, it.retry_at, it.heard_at) == (Link.GONE, NOW + 5, NOW + 8, NOW)
    it.live(NOW + 9)
    assert (it.link, it.heard_at) == (Link.LIVE, NOW + 9)


def test_missed_events_are_not_believed_any_more() -> None:
    it = a_board()
    it.happened(ended(5))
    it.forget()
    it.snapshot([a_call()], it.mark)
    assert list(it.calls) == ["call_1"] and not it.ends


def _slow(it: Board) -> None:
    it.happened(event(9, "bot.asked", at=NOW - 4, event="dtmf"))


def _failing(it: Board) -> None:
    it.happened(event(9, "bot.failed", kind="timeout"))


def _down(it: Board) -> None:
    it.trunks = [a_trunk("acme"), a_trunk("backup", "down", "failed"), a_trunk("lab", "up", "failed")]


def _full(it: Board) -> None:
    it.node(True, {"calls_limit": 1.0})


@pytest.mark.parametrize(
    ("makes", "says"),
    [
        (_down, ["trunk backup down", "trunk lab not registered"]),
        (_failing, ["bot fails in 1 call"]),
        (_slow, ["bot slow in 1 call"]),
        (_full, ["no room for another call"]),
        (lambda _: None, []),
    ],
)
def test_what_an_operator_should_look_at(makes: Callable[[Board], None], says: list[str]) -> None:
    it = a_board()
    makes(it)
    assert it.troubles(NOW) == says


def test_the_call_in_focus_keeps_its_events() -> None:
    it = Board("http://127.0.0.1:8080", "call_1")
    it.recall("call_1", [started(1), event(2, "bot.asked", event="start")])
    it.happened(event(2, "bot.asked", event="start"))
    it.happened(event(3, "playback.started"))
    assert [one.seq for one in it.timeline] == [1, 2, 3]


KINDS = [
    "call.started",
    "call.ended",
    "call.answered",
    "leg.joined",
    "bot.asked",
    "bot.failed",
    "playback.ended",
    "a.b",
]
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(["call_1", "call_2"]), st.booleans()), max_size=30)


@given(STEPS)
def test_no_order_of_events_and_answers_breaks_it_and_what_is_over_stays_over(
    steps: list[tuple[str, str, bool]],
) -> None:
    it, over = board(), set()
    for seq, (kind, call, ask) in enumerate(steps, 1):
        it.happened(event(seq, kind, call))
        if kind == "call.ended":
            over.add(call)
        if ask:
            rows: list[CallRow] = [a_call("call_1"), a_call("call_2")]
            it.snapshot(rows, it.mark - 1)
        assert not over & set(it.calls)
        assert len({end.call_id for end in it.ends}) == len(it.ends)


def test_only_another_hearing_is_told_and_the_call_in_focus_keeps_it() -> None:
    it = Board("http://127.0.0.1:8080", "call_1")
    it.snapshot([a_call()], 0)
    it.recall("call_1", [event(3, "call.started")])
    it.answered(NOW)
    (first,) = it.heard_anew()
    assert (first.type, first.at, first.call_id) == ("hearing.now", NOW, "call_1")
    assert first.data == {"scene": "customer <-> bot [main: customer, bot]"}
    assert it.heard_anew() == []
    held = LegRow("leg_c", "customer", "connected", held=True)
    it.snapshot([a_call(legs=(held,), hearing=(Hears("music:hold/calm", "leg_c"),))], it.mark)
    (second,) = it.heard_anew()
    assert second.data == {"scene": "customer hears hold/calm [main: customer (held)]"}
    it.happened(event(4, "leg.held"))
    it.recall("call_1", [event(3, "call.started"), event(4, "leg.held")])
    assert [one.type for one in it.timeline] == ["call.started", "hearing.now", "hearing.now", "leg.held"]


def test_a_call_without_legs_has_no_hearing_to_tell() -> None:
    it = Board("http://127.0.0.1:8080")
    it.happened(started(1))
    assert it.heard_anew() == []
