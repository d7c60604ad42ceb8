"""What a stream wants is what the history would select; events on the wire."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.api.auth import Caller
from gateway.api.stream import CALM, FanOut, Rendered, Stream
from gateway.calls.history import Happening
from gateway.calls.model import CallId, Leg, LegId, Role
from gateway.calls.states import LegState
from gateway.engine.ports import Key, Recorded, StoreUnavailable
from tests.fakes.control import a_call
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


def test_an_agents_key_sees_the_calls_in_which_that_agent_is():
    caller = Caller(Key("key_1", "k", frozenset(), frozenset({"reception"}), "ann", 0.0), "")
    call, elsewhere = a_call(1), a_call(2, channel="sales")
    assert caller.bound and not caller.sees(call)
    for one in (call, elsewhere):
        one.others.append(Leg(LegId(f"leg_{one.id}"), Role.AGENT, LegState.CONNECTED, agent="ann"))
    assert caller.sees(call) and not caller.sees(elsewhere), "a key that is bound to both"
    call.others[0].state = LegState.ENDED
    assert not caller.sees(call)


def test_an_event_on_the_wire_is_one_line_of_data():
    rendered = Rendered()
    wire = rendered(Recorded(7, HAPPENINGS[0])).decode()
    [id_, event, data] = wire.removesuffix("\n\n").split("\n")
    assert (id_, event) == ("id: 7", "event: call.started")
    assert json.loads(data.removeprefix("data: "))["data"] == {"n": "ü\n"}


# ── The fan-out ─────────────────────────────────────────────────────────────────────────────────────


class Client:
    """Response and transport of a stream; `unsent` is what it has not read."""

    def __init__(self) -> None:
        self.got = b""
        self.unsent = 0

    async def write(self, data: bytes) -> None:
        self.got += data

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    @property
    def ids(self) -> list[int]:
        return [int(line.removeprefix("id: ")) for line in self.got.decode().splitlines() if line.startswith("id: ")]


class AwayTwice(MemoryJournal):
    """A store that cannot be read the first two times."""

    tries = 0

    async def events(self, *args: Any, **options: Any) -> Sequence[Recorded]:
        self.tries += 1
        if self.tries <= 2:
            raise StoreUnavailable
        return await super().events(*args, **options)


def a_stream(client: Client, beat_in_s: float = 60.0) -> Stream:
    caller = Caller(Key("key_1", "k", frozenset(), None, None, 0.0), "")
    beat_at = asyncio.get_running_loop().time() + beat_in_s
    return Stream(client, client, caller, None, None, 0, beat_at)  # type: ignore[arg-type]


async def test_a_store_that_is_away_for_a_while_loses_nothing():
    journal, client = AwayTwice(), Client()
    fan_out = FanOut(journal, Rendered())
    waiting = asyncio.create_task(fan_out.wait(a_stream(client)))
    await asyncio.sleep(0)
    for happening in HAPPENINGS[:3]:
        journal.append(happening)
    async with asyncio.timeout(5):
        while client.ids != [1, 2, 3]:
            await asyncio.sleep(0.01)
    waiting.cancel()
    await fan_out.close()


async def test_a_client_that_does_not_take_it_at_once_is_woken_and_given_nothing():
    journal, client = MemoryJournal(), Client()
    fan_out, stream = FanOut(journal, Rendered()), a_stream(client)
    client.unsent = CALM
    waiting = asyncio.create_task(fan_out.wait(stream))
    await asyncio.sleep(0)
    journal.append(HAPPENINGS[0])
    await asyncio.wait_for(waiting, 2)
    assert (client.got, stream.after) == (b"", 0)
    await asyncio.wait_for(fan_out.wait(stream), 2)  # something is there that it has not seen
    await fan_out.close()


async def test_a_heartbeat_that_is_due_wakes_it():
    fan_out = FanOut(MemoryJournal(), Rendered())
    await asyncio.wait_for(fan_out.wait(a_stream(Client(), 0.05)), 2)
    await fan_out.close()
