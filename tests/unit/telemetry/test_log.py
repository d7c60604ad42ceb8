"""The log: one event a line, personal data masked, lines of one turn of the loop written together."""

import asyncio
import io
import json
import re
from collections.abc import Iterator

import pytest
import structlog

from gateway.telemetry import log


class Stream(io.StringIO):
    """Counts the writes."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def stream() -> Iterator[Stream]:
    stream = Stream()
    log.configure("json", "info", stream=stream)
    yield stream
    structlog.reset_defaults()


def test_an_event_is_a_line_of_json(stream: Stream):
    log.get_logger("x").info("call.started", call_id="call_1", seconds=1.5)
    (line,) = stream.lines()
    assert (line["event"], line["call_id"], line["seconds"], line["level"]) == ("call.started", "call_1", 1.5, "info")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", str(line["timestamp"]))


def test_numbers_digits_and_texts_are_masked_wherever_they_stand(stream: Stream):
    log.get_logger("x").info(
        "x.y",
        **{"from": "+12125550123", "digits": "4711", "data": {"digits": "99", "n": 1}, "items": [{"say": "PIN 1"}]},
    )
    text = stream.getvalue()
    assert not re.search(r"5550123|4711|99|PIN", text)
    (line,) = stream.lines()
    assert (line["digits"], line["data"]) == ("••••", {"digits": "••", "n": 1})


def test_masking_can_be_switched_off():
    stream = Stream()
    log.configure("json", mask=False, stream=stream)
    log.get_logger("x").info("x.y", digits="4711")
    structlog.reset_defaults()
    assert stream.lines()[0]["digits"] == "4711"


def test_what_is_below_the_level_is_not_written(stream: Stream):
    log.get_logger("x").debug("x.y")
    assert stream.getvalue() == ""


async def test_the_lines_of_one_turn_of_the_loop_are_one_write(stream: Stream):
    logger = log.get_logger("x")
    for number in range(10):
        logger.info("x.y", number=number)
    assert stream.writes == 0
    await asyncio.sleep(0)
    assert stream.writes == 1
    assert [line["number"] for line in stream.lines()] == list(range(10))


async def test_a_line_of_another_thread_is_written_at_once_and_in_order(stream: Stream):
    logger = log.get_logger("x")
    logger.info("x.first")
    await asyncio.to_thread(logger.info, "x.second")
    assert [line["event"] for line in stream.lines()] == ["x.first", "x.second"]


def test_an_exception_is_told_with_its_traceback(stream: Stream):
    try:
        raise ValueError("no")
    except ValueError:
        log.get_logger("x").exception("x.failed")
    assert "ValueError: no" in str(stream.lines()[0]["exception"])


def test_text_is_for_people():
    stream = Stream()
    log.configure("text", stream=stream)
    log.get_logger("x").warning("call.started", call_id="call_1")
    structlog.reset_defaults()
    assert "warning" in stream.getvalue() and "call.started" in stream.getvalue() and "\x1b" not in stream.getvalue()
