"""What a stream wants is what the history would select; events on the wire."""

import json

import pytest

from gateway.api.auth import Caller
from gateway.api.stream import Rendered, Stream
from gateway.calls.history import Happening
from gateway.calls.model import CallId
from gateway.engine.ports import Key, Recorded
from tests.fakes.journal import MemoryJournal

HAPPENINGS = [
    Happening(type_, 1.8e9, CallId(call), None, channel, "acme", {"n": "ü\n"})
    for type_ in ("call.started", "call.ended", "leg.left", "call.refused")
    for call in ("call_1", "call_2")
    for channel in ("reception", "sales", None)
]


@pytest.mark.parametrize("call", [None, "call_1"])
@pytest.mark.parametrize("types", [None, {"call.ended"}, {"call.*"}, {"leg.*", "call.started"}, set()])
@pytest.mark.parametrize("channels", [None, {"reception"}, set()])
async def test_the_fan_out_selects_as_the_history_does(
    call: str | None, types: set[str] | None, channels: set[str] | None
):
    journal = MemoryJournal()
    for happening in HAPPENINGS:
        journal.append(happening)
    bound = frozenset(channels) if channels is not None else None
    caller = Caller(Key("key_1", "k", frozenset(), bound, None, 0.0), "")
    stream = Stream(None, None, caller, call, frozenset(types) if types is not None else None, 0, 0.0)  # type: ignore[arg-type]
    selected = await journal.events(0, call_id=call, types=types, channels=caller.channels)
    assert [one.happening for one in selected] == [h for h in HAPPENINGS if stream.wants(h)]


def test_an_agents_key_sees_no_call_yet():
    caller = Caller(Key("key_1", "k", frozenset(), frozenset({"reception"}), "ann", 0.0), "")
    assert caller.bound and not caller.sees("reception") and not caller.sees(None)


def test_an_event_on_the_wire_is_one_line_of_data():
    rendered = Rendered()
    wire = rendered(Recorded(7, HAPPENINGS[0])).decode()
    [id_, event, data] = wire.removesuffix("\n\n").split("\n")
    assert (id_, event) == ("id: 7", "event: call.started")
    assert json.loads(data.removeprefix("data: "))["data"] == {"n": "ü\n"}
