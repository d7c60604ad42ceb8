"""The API's answers as rows: of this gateway, of another version, of something else; nothing moves the cursor."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.views import call_out, trunk_out
from gateway.watch.rows import Happened
from gateway.watch.wire import (
    Frames,
    NotOurs,
    call_of,
    document,
    end_of_cdr,
    event_of,
    items,
    metrics_of,
    trunk_of,
)
from tests.fakes.control import MemoryControl, a_call

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_a_call_as_the_api_gives_it() -> None:
    row = call_of(document(call_out(a_call(1)).model_dump_json(by_alias=True)))
    assert (row.call_id, row.from_, row.to, row.channel, row.trunk, row.state) == (
        "call_0001", "+12125550123", "+12125550100", "reception", "acme", "bot",
    )  # fmt: skip
    assert (row.started_at, row.consult) == (1.8e9 + 1, "none")
    assert [(leg.role, leg.state, leg.peer_hold) for leg in row.legs] == [("customer", "connected", "sendrecv")]
    assert [(edge.source, edge.sink) for edge in row.hearing] == [("bot", "leg_0001")]


def test_a_trunk_as_the_api_gives_it() -> None:
    row = trunk_of(document(trunk_out(MemoryControl().trunks()[0]).model_dump_json(by_alias=True)))
    assert (row.name, row.host, row.state, row.registration, row.since) == (
        "acme",
        "192.0.2.1",
        "up",
        "none",
        1.8e9,
    )
    assert (row.calls, row.max_calls, row.down) == (0, None, False)


@pytest.mark.parametrize("evil", ["\x1b[2J", "\x07", "\r\n", "\u202e", "\x9b31m", "\x00"])
def test_nothing_from_the_wire_moves_the_cursor(evil: str) -> None:
    row = call_of(document(json.dumps({"id": "call_1", "from": f"a{evil}b", "legs": [{"role": evil}]})))
    assert row.from_.isprintable() and row.legs[0].role.isprintable()
    event = event_of(document(json.dumps({"seq": 1, "data": {"why": {evil: [evil]}}})))
    assert str(event.data["why"]).isprintable()


@pytest.mark.parametrize("body", ["", "[]", "null", "<html>", '"a"', b"\xff\xfe", "[" * 100_000])
def test_what_is_no_object_is_not_ours(body: str | bytes) -> None:
    with pytest.raises(NotOurs):
        document(body)


def test_a_list_without_items_is_not_ours() -> None:
    with pytest.raises(NotOurs):
        items({"status": "ok"})


@given(
    st.dictionaries(st.sampled_from(["id", "from", "legs", "hearing", "startedAt", "cause", "calls", "since"]), JSON)
)
def test_no_answer_breaks_it(fields: dict[str, object]) -> None:
    for read in (call_of, trunk_of, end_of_cdr):
        read(fields)


def test_the_event_stream() -> None:
    frames = Frames()
    lines = [": after 6", "retry: 2000", "", "id: 7", "event: leg.joined",
             'data: {"seq":7,"type":"leg.joined","at":"2026-11-18T11:06:40.000Z","callId":"call_1","legId":"leg_1",'
             '"data":{"codec":"PCMU"}}', "", ": heartbeat", ""]  # fmt: skip
    found = [each for line in lines for each in frames.take(line)]
    assert found == [
        "after 6",
        Happened(7, "leg.joined", 1_795_000_000.0, "call_1", "leg_1", {"codec": "PCMU"}),
        "heartbeat",
    ]


@pytest.mark.parametrize("data", ["data: {}", "data: no", 'data: {"seq": "7"}'])
def test_an_event_that_is_none(data: str) -> None:
    frames = Frames()
    assert not list(frames.take(data))
    with pytest.raises(NotOurs):
        list(frames.take(""))


def test_the_metrics_that_are_shown() -> None:
    text = "# HELP switchhook_draining x\nswitchhook_draining 1.0\nswitchhook_calls_limit 500.0\nswitchhook_ready 1.0\n"
    assert metrics_of(text + 'switchhook_calls_limit{a="b"} 3\n') == {"draining": 1.0, "calls_limit": 500.0}
