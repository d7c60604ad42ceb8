"""What a bot may say, and the sentence it gets for what it may not: replies.py, refusals.py and headers.py."""

import json
import math
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.headers import IDENTITY, RESERVED, check_header
from gateway.calls.replies import (
    MAX_BODY,
    AnswerReply,
    Audio,
    BargeIn,
    BotResponse,
    Config,
    Dtmf,
    Handoff,
    HangupReply,
    Pause,
    RedirectReply,
    RejectReply,
    RingingReply,
    SendDtmf,
    Tag,
    Text,
    TtsConfig,
    parse_response,
    response,
)

GOOD: list[tuple[dict[str, Any], Any]] = [
    ({"type": "text", "text": "Hi"}, Text(type="text", text="Hi")),
    (
        {"type": "text", "ssml": "<speak/>", "voice": "en-us+f3", "language": "en-US", "bargeIn": False},
        Text(type="text", ssml="<speak/>", voice="en-us+f3", language="en-US", bargeIn=False),
    ),
    ({"type": "audio", "prompt": "closed"}, Audio(type="audio", prompt="closed")),
    (
        {"type": "audio", "url": "https://x.example/a.wav", "bargeIn": {"mode": "sentence"}},
        Audio(type="audio", url="https://x.example/a.wav", bargeIn=BargeIn(mode="sentence")),
    ),
    ({"type": "pause", "ms": 500}, Pause(type="pause", ms=500)),
    ({"type": "dtmf", "max": 4}, Dtmf(type="dtmf", max=4, min=1, timeout=5000, finishOn="#", secure=False)),
    ({"type": "gather", "max": 4, "finishOn": ""}, Dtmf(type="gather", max=4, finishOn="")),
    ({"type": "sendDtmf", "digits": "1w2W#"}, SendDtmf(type="sendDtmf", digits="1w2W#", durationMs=120, to="customer")),
    ({"type": "tag", "data": {"a": [1, None, "é"]}}, Tag(type="tag", data={"a": [1, None, "é"]})),
    ({"type": "handoff", "channel": "sales"}, Handoff(type="handoff", channel="sales", parameters={})),
    ({"type": "hangup"}, HangupReply(type="hangup", reason="", headers={})),
    ({"type": "answer"}, AnswerReply(type="answer")),
    ({"type": "ringing"}, RingingReply(type="ringing")),
    ({"type": "reject"}, RejectReply(type="reject", status=486, reason="", headers={})),
    (
        {"type": "redirect", "contacts": ["sip:a@b.example;transport=tcp", "tel:+1"]},
        RedirectReply(type="redirect", contacts=["sip:a@b.example;transport=tcp", "tel:+1"]),
    ),
]


def parse(*replies: Any, **more: Any) -> BotResponse:
    return parse_response(json.dumps({"replies": list(replies), **more}).encode())


def refused(body: bytes) -> str:
    with pytest.raises(BotError) as caught:
        parse_response(body)
    return str(caught.value)


def refusal(reply: Any, *, at: int = 1) -> str:
    """What a bot is told that sends this reply after a good one."""
    message = refused(json.dumps({"replies": [{"type": "pause", "ms": 1}] * at + [reply]}).encode())
    assert message.startswith(f"refused: replies[{at}]"), message
    return message.removeprefix(f"refused: replies[{at}]").removeprefix(".")


# ── What is right ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("reply", "model"), GOOD, ids=lambda value: value["type"] if isinstance(value, dict) else "")
def test_every_reply_of_the_protocol(reply: dict[str, Any], model: object) -> None:
    assert parse(reply).replies == (model,)
    assert response([reply]).replies == (model,)


def test_settings() -> None:
    config = {
        "bargeIn": {"mode": "off", "trigger": "final", "minMs": 200},
        "noInputTimeoutMs": 0,
        "language": "de",
        "tts": {"engine": "espeak", "voice": "de", "rate": 1},
        "asr": {"engine": "none", "hints": ["Switchhook"]},
        "input": ["dtmf"],
    }
    parsed = parse(config=config).config
    assert parsed is not None
    assert parsed.barge_in == BargeIn(mode="off", trigger="final", minMs=200)
    assert parsed.tts == TtsConfig(engine="espeak", voice="de", rate=1.0)
    assert (parsed.no_input_timeout_ms, parsed.language, parsed.input) == (0, "de", ["dtmf"])


def test_nothing_at_all() -> None:
    assert parse_response(b"{}") == BotResponse(replies=(), config=None)
    assert parse_response(b' {"replies": [], "config": {}}\n') == BotResponse(config=Config())


def test_what_is_said_stays_said() -> None:
    reply = parse({"type": "pause", "ms": 1}).replies[0]
    with pytest.raises(ValueError, match="frozen"):
        reply.ms = 2  # type: ignore[union-attr, misc]


# ── What is wrong: the sentence names the path ──────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (5, ": a reply is an object with a type"),
        ([], ": a reply is an object with a type"),
        ({}, ": a reply is an object with a type"),
        ({"type": 5}, ": unknown reply type '5'"),
        ({"type": "say"}, ": unknown reply type 'say'"),
        ({"type": "txt"}, ": unknown reply type 'txt'; did you mean text?"),
        ({"type": "hang_up"}, ": unknown reply type 'hang_up'; did you mean hangup?"),
        ({"type": "transfer"}, ": unknown reply type 'transfer'"),
        ({"type": "x" * 60_000}, f": unknown reply type '{'x' * 40}'"),
        ({"type": "queue", "queue": "1"}, ": queue is not available yet"),
        ({"type": "queue"}, ": queue is not available yet"),
        ({"type": "voicemail"}, ": voicemail is not available yet"),
        ({"type": "record"}, ": record is not available yet"),
        ({"type": "text"}, ": give exactly one of text and ssml"),
        ({"type": "text", "text": "a", "ssml": "b"}, ": give exactly one of text and ssml"),
        ({"type": "text", "text": 5}, "text: must be a string"),
        ({"type": "text", "text": ""}, "text: must not be empty"),
        ({"type": "text", "text": "x" * 8193}, "text: must have at most 8192 characters"),
        ({"type": "text", "txt": "Hi"}, "txt: unknown field; did you mean text?"),
        ({"type": "text", "text": "a", "bool": 1}, "bool: unknown field"),
        ({"type": "text", "text": "a", "barge_in": True}, "barge_in: unknown field; did you mean bargeIn?"),
        ({"type": "text", "text": "a", "bargeIn": "off"}, "bargeIn: must be true, false or an object"),
        (
            {"type": "text", "text": "a", "bargeIn": {"mode": "never"}},
            "bargeIn.mode: must be one of off, immediate, sentence",
        ),
        (
            {"type": "text", "text": "a", "bargeIn": {"min": 3}},
            "bargeIn.min: unknown field; did you mean minMs?",
        ),
        ({"type": "text", "text": "a", "bargeIn": {"minMs": "3"}}, "bargeIn.minMs: must be a whole number"),
        ({"type": "text", "text": "a", "voice": "../x"}, "voice: may hold letters, digits and _ + - only"),
        ({"type": "text", "text": "a", "language": "english please"}, "language: must be a language tag such as en-US"),
        ({"type": "audio"}, ": give exactly one of url and prompt"),
        ({"type": "audio", "url": "file:///etc/passwd"}, "url: must start with http:// or https:// and hold no white"),
        ({"type": "audio", "prompt": "../x"}, "prompt: must be the name of a prompt: letters, digits, _ and -"),
        ({"type": "pause"}, "ms: is missing"),
        ({"type": "pause", "ms": 0}, "ms: must be at least 1"),
        ({"type": "pause", "ms": 60_001}, "ms: must be at most 60000"),
        ({"type": "pause", "ms": 1.5}, "ms: must be a whole number"),
        ({"type": "pause", "ms": True}, "ms: must be a whole number"),
        ({"type": "pause", "ms": 10**4000}, "ms: must be at most 60000"),
        ({"type": "pause", "ms": math.nan}, "ms: must be a whole number"),
        ({"type": "dtmf", "max": "4"}, "max: must be a whole number"),
        ({"type": "dtmf", "max": 65}, "max: must be at most 64"),
        ({"type": "dtmf", "max": 1, "min": 2}, ": min 2 is more than max 1"),
        ({"type": "dtmf", "max": 1, "finish_on": "#"}, "finish_on: unknown field; did you mean finishOn?"),
        ({"type": "dtmf", "max": 1, "finishOn": "##"}, 'finishOn: must be one of 0-9 * # A-D, or ""'),
        ({"type": "dtmf", "max": 1, "secure": "no"}, "secure: must be true or false"),
        ({"type": "gather", "max": 1, "timeout": "5"}, "timeout: must be a whole number"),
        ({"type": "sendDtmf", "digits": "1-2"}, "digits: must be 1 to 64 of 0-9 * # A-D, w and W"),
        ({"type": "sendDtmf", "digits": "1", "to": "agent"}, "to: must be customer"),
        ({"type": "tag"}, "data: is missing"),
        ({"type": "tag", "data": []}, "data: must be an object"),
        ({"type": "tag", "data": {"a": {"b c": [1, math.nan]}}}, 'data.a["b c"][1]: must be a finite number'),
        ({"type": "tag", "data": {"n": 2**63}}, "data.n: must fit in 64 bits"),
        ({"type": "tag", "data": {"a": "x" * 16384}}, "data: is larger than 16 KiB"),
        ({"type": "handoff", "channel": ""}, "channel: must not be empty"),
        ({"type": "handoff", "channel": "a", "parameters": {"x": math.inf}}, "parameters.x: must be a finite number"),
        ({"type": "hangup", "reason": "a\r\nVia: b"}, "reason: holds a line break or another control character"),
        ({"type": "hangup", "headers": {"X-A": 1}}, "headers.X-A: must be a string"),
        ({"type": "hangup", "headers": {"bool": 1}}, "headers.bool: must be a string"),
        ({"type": "hangup", "headers": {"Via": "x"}}, "headers: Via is set by the gateway and cannot be given"),
        ({"type": "hangup", "headers": {f"X-{i}": "" for i in range(33)}}, "headers: 33 headers; at most 32"),
        (
            {"type": "hangup", "headers": {"X-A": "é" * 2047, "X-B": "é" * 2047}},
            "headers: more than 8 KiB of headers together",
        ),
        ({"type": "reject", "status": 200}, "status: must be at least 400"),
        ({"type": "reject", "status": 700}, "status: must be at most 699"),
        ({"type": "redirect", "contacts": []}, "contacts: must not be empty"),
        ({"type": "redirect", "contacts": ["sip:a"] * 9}, "contacts: must have at most 8 items"),
        ({"type": "redirect", "contacts": ["sip:a", "http://b"]}, "contacts[1]: must be a sip:, sips: or tel: URI"),
        ({"type": "redirect", "contacts": ["sip:a@b?Via=x"]}, "contacts[0]: must be a sip:, sips: or tel: URI without"),
    ],
)
def test_a_wrong_reply(reply: Any, sentence: str) -> None:
    assert refusal(reply).startswith(sentence)
    if sentence.endswith(("type", "number", "string", "only", "finite number", "field")):
        assert refusal(reply) == sentence


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (5, "config: must be an object"),
        ({"volume": 3}, "config.volume: unknown field"),
        ({"barge_in": True}, "config.barge_in: unknown field; did you mean bargeIn?"),
        ({"bargeIn": {"mode": "x"}}, "config.bargeIn.mode: must be one of off, immediate, sentence"),
        ({"noInputTimeoutMs": "5000"}, "config.noInputTimeoutMs: must be a whole number"),
        ({"noInputTimeoutMs": 600_001}, "config.noInputTimeoutMs: must be at most 600000"),
        ({"tts": {"rate": "fast"}}, "config.tts.rate: must be a number"),
        ({"tts": {"rate": math.nan}}, "config.tts.rate: must be a number"),
        ({"tts": {"rate": 3}}, "config.tts.rate: must be at most 2"),
        ({"tts": {"engine": "piper"}}, "config.tts.engine: must be espeak"),
        ({"tts": {"name": "x"}}, "config.tts.name: unknown field"),
        ({"asr": {"hint": []}}, "config.asr.hint: unknown field; did you mean hints?"),
        ({"asr": {"hints": [1]}}, "config.asr.hints[0]: must be a string"),
        ({"input": "dtmf"}, "config.input: must be a list"),
        ({"input": ["fax"]}, "config.input[0]: must be one of speech, dtmf"),
    ],
)
def test_a_wrong_setting(config: Any, sentence: str) -> None:
    assert refused(json.dumps({"config": config}).encode()) == f"refused: {sentence}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "malformed: not JSON: "),
        (b"\xff", "malformed: not JSON: "),
        (b"null", 'malformed: not a JSON object such as {"replies": []}'),
        (b"[]", 'malformed: not a JSON object such as {"replies": []}'),
        (b'{"replies": 5}', "refused: replies: must be a list"),
        (b'{"replies": null}', "refused: replies: must be a list"),
        (b'{"reply": []}', "refused: reply: unknown field; did you mean replies?"),
        (b'{"a\\nb": 1}', 'refused: ["a\\nb"]: unknown field'),
        (b"[" * 60_000, "malformed: not JSON: nested too deeply at line 1"),
        (b'{"a":' * 10_000, "malformed: not JSON: nested too deeply at line 1"),
        (b'{"config": ' + b"9" * 5000 + b"}", "malformed: not JSON: number out of range at line 1"),
        (b"{}".ljust(MAX_BODY + 1), "too-large: the answer has more than 64 KiB"),
    ],
)
def test_a_wrong_body(body: bytes, message: str) -> None:
    assert refused(body).startswith(message)


def test_at_most_32_replies() -> None:
    assert len(parse(*[{"type": "ringing"}] * 32).replies) == 32
    message = refused(json.dumps({"replies": [{"type": "ringing"}] * 33}).encode())
    assert message == "refused: replies: must have at most 32 items"


@pytest.mark.parametrize("last", [{"type": "hangup"}, {"type": "handoff", "channel": "sales"}])
def test_nothing_follows_what_ends_the_list(last: dict[str, Any]) -> None:
    assert parse({"type": "answer"}, last).replies[1].type == last["type"]
    with pytest.raises(BotError) as caught:
        parse(last, {"type": "answer"})
    assert caught.value.detail == f"replies[1]: nothing may follow {last['type']}, which ends the list"


def test_data_may_be_32_deep() -> None:
    def nested(depth: int) -> dict[str, Any]:
        return {"a": nested(depth - 1)} if depth else {}

    assert parse({"type": "tag", "data": nested(32)}).replies
    assert refusal({"type": "tag", "data": nested(33)}) == "data: is nested more than 32 deep"


def test_the_first_of_many_faults_is_named() -> None:
    message = refused(json.dumps({"replies": [{"type": "pause", "ms": 0}, {"type": "x"}], "x": 1}).encode())
    assert message == "refused: replies[0].ms: must be at least 1"


@pytest.mark.parametrize(
    "body",
    [
        b'{"replies":[' + b"0," * 32_000 + b"0]}",
        b'{"replies":[{"type":"hangup","headers":{' + b",".join(b'"k%d":1' % i for i in range(6000)) + b"}}]}",
        b"{" + b",".join(b'"k%d":1' % i for i in range(6000)) + b"}",
        b'{"config":{"asr":{"hints":[' + b"1," * 30_000 + b"1]}}}",
    ],
    ids=["replies", "headers", "fields", "hints"],
)
def test_many_faults_do_not_hold_up_the_loop(body: bytes) -> None:
    took = []
    for _ in range(3):
        began = time.process_time()
        refused(body)
        took.append(time.process_time() - began)
    assert min(took) < 0.05


# ── Whatever comes ──────────────────────────────────────────────────────────────────────────────────

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(min_value=2**60) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)
_FIELDS = sorted({name for reply, _ in GOOD for name in reply} | {"ssml", "headers", "parameters", "min", "secure"})
_TYPES = sorted({reply["type"] for reply, _ in GOOD} | {"switch", "queue"})
_ALMOST = st.fixed_dictionaries(
    {"type": st.sampled_from(_TYPES) | _JSON}, optional={name: _JSON for name in _FIELDS if name != "type"}
) | st.builds(
    lambda good, name, value: good | {name: value},
    st.sampled_from([reply for reply, _ in GOOD]),
    st.sampled_from(_FIELDS),
    _JSON,
)
_CONFIG = st.dictionaries(
    st.sampled_from(["bargeIn", "noInputTimeoutMs", "language", "tts", "asr", "input"]),
    _JSON | st.dictionaries(st.sampled_from(["mode", "minMs", "rate", "voice", "engine", "hints"]), _JSON),
)


def _survives(body: bytes) -> None:
    try:
        parsed = parse_response(body)
    except BotError as error:
        assert "\n" not in error.detail and len(error.detail) <= 300
        assert error.kind in (BotErrorKind.MALFORMED, BotErrorKind.REFUSED, BotErrorKind.TOO_LARGE)
        if error.kind is BotErrorKind.REFUSED:
            path, _, sentence = error.detail.partition(": ")
            assert path and sentence
            for jargon in ("Input", "valid", "pydantic", "Value error", "match pattern", "\\x"):
                assert jargon not in sentence.split("'")[0]
    else:
        for reply in parsed.replies:
            if isinstance(reply, Tag):
                json.dumps(reply.data, allow_nan=False).encode()


@given(st.binary(max_size=200))
@example(b'{"replies":[{"type":"tag","data":{"a":"\\ud800"}}]}')
@example(b'{"replies":[{"type":"tag","data":{"a":1e999}}]}')
@example(b'{"replies":[{"type":"tag","data":{"a":' + b"9" * 4000 + b"}}]}")
@example(b'{"replies":[{"type":' + b"9" * 4000 + b"}]}")
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    _survives(body)


@given(_JSON)
def test_any_json_is_read_or_refused(value: Any) -> None:
    _survives(json.dumps(value).encode())


@given(st.lists(_ALMOST, max_size=4), _CONFIG)
def test_anything_that_is_almost_right_is_read_or_refused(replies: list[Any], config: dict[str, Any]) -> None:
    _survives(json.dumps({"replies": replies}).encode())
    _survives(json.dumps({"config": config}).encode())


@given(st.lists(_ALMOST, max_size=3))
def test_python_values_are_read_or_refused_too(replies: list[Any]) -> None:
    try:
        response(replies)
    except BotError as error:
        assert error.kind is BotErrorKind.REFUSED


# ── Headers ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["X-CRM-Id", "User-to-User", "P-Charge-Info", "Subject", "x!%*_+`'~.-9"])
def test_a_header_that_may_be_given(name: str) -> None:
    check_header(name, "a value\twith a tab, “quotes” and ünïcode")


@pytest.mark.parametrize("name", ["", " X", "X ", "X:", "X-Ä", "X\r\nVia", 'X"', "X@Y", "X\x00"])
def test_a_name_that_is_no_token(name: str) -> None:
    with pytest.raises(ValueError, match=r"is not a header name$"):
        check_header(name, "x")


@pytest.mark.parametrize("name", [*sorted(RESERVED), "Content-Type", "content-length", "Proxy-Authorization"])
def test_a_header_that_is_the_stacks_own(name: str) -> None:
    for spelt in (name, name.upper(), name.title()):
        with pytest.raises(ValueError, match=f"^{spelt} is set by the gateway and cannot be given$"):
            check_header(spelt, "x")


@pytest.mark.parametrize("name", sorted(IDENTITY))
def test_a_header_that_tells_a_network_who_somebody_is(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} tells a network who somebody is and cannot be given$"):
        check_header(name, "x")


@pytest.mark.parametrize("value", ["a\r\nVia: b", "a\nb", "a\rb", "a\x00b", "\x7f", "\x1b[31m"])
def test_a_value_that_would_break_the_line(value: str) -> None:
    with pytest.raises(ValueError, match=r"^X-A holds a line break or another control character$"):
        check_header("X-A", value)


def test_a_value_of_4_kib_counts_bytes() -> None:
    check_header("X-A", "x" * 4096)
    with pytest.raises(ValueError, match=r"^X-A is longer than 4 KiB$"):
        check_header("X-A", "é" * 2049)


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_header_is_one_line_or_refused(name: str, value: str) -> None:
    try:
        check_header(name, value)
    except ValueError:
        return
    line = f"{name}: {value}"
    assert not {"\r", "\n", "\0"} & set(line) and ":" not in name
    assert name.lower() not in RESERVED
