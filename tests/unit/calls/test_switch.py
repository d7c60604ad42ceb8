"""The switch reply as it may be written, and the sentence for what may not: switch.py and switch_parts.py."""

import json
import math
import time
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.fields import MAX_BODY, Model
from gateway.calls.refusals import SHAPES, SIP_URI, refusal
from gateway.calls.replies import Pause
from gateway.calls.switch import (
    Accept,
    Announce,
    GivenCallerId,
    HandoffTo,
    OnFailHandoff,
    PostSessionReply,
    Switch,
    SwitchTarget,
    SwitchUui,
    fields_at,
    parse_switch,
)


class Answer(Model):
    """A bot's answer with switch among its replies, as replies.py will hold it."""

    replies: tuple[Annotated[Pause | Switch, Field(discriminator="type")], ...]


ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)


def parse(**fields: Any) -> Switch:
    return parse_switch(json.dumps(fields).encode())


def to(**fields: Any) -> Switch:
    """A switch to somebody, the same by both ways in."""
    switch = parse(phoneNumber="5015", **fields)
    replies = [{"type": "pause", "ms": 1}, {"type": "switch", "phoneNumber": "5015", **fields}]
    assert ANSWER.validate_json(json.dumps({"replies": replies})).replies[1] == switch
    assert ANSWER.validate_python({"replies": tuple(replies)}).replies[1] == switch
    return switch


def refused(body: bytes) -> str:
    with pytest.raises(BotError) as caught:
        parse_switch(body)
    return str(caught.value)


def wrong(fields: Any) -> str:
    """What is said of these fields; the same by both ways in, but for the path's beginning."""
    alone = refused(json.dumps(fields).encode())
    assert alone.startswith("refused: "), alone
    alone = alone.removeprefix("refused: ")
    reply = {"type": "switch", **fields}
    with pytest.raises(ValidationError) as caught:
        ANSWER.validate_json(json.dumps({"replies": [{"type": "pause", "ms": 1}, reply]}))
    listed = refusal(caught.value, fields_at).detail
    if alone.startswith("switch: "):
        assert listed == "replies[1]" + alone.removeprefix("switch")
    else:
        assert listed == f"replies[1].{alone}"
    return alone


# ── What is right ───────────────────────────────────────────────────────────────────────────────────


def test_a_number_is_enough() -> None:
    switch = to()
    assert switch == Switch(type="switch", phoneNumber="5015")
    assert (switch.strategy, switch.method, switch.timeout_s, switch.ringback) == ("sequential", "invite", 30.0, "tone")
    assert (switch.headers, switch.user_to_user, switch.caller_id, switch.data) == ({}, (), "bot", {})
    assert (switch.continue_call, switch.continue_recording, switch.warnings) == (False, False, ())
    nothing = (switch.targets, switch.transfer_channel, switch.trunk, switch.announce, switch.accept, switch.note)
    assert nothing == (None,) * 6
    assert (switch.post_dial_digits, switch.on_fail, switch.post_session, switch.max_talk_ms) == (None,) * 4


@pytest.mark.parametrize(
    ("field", "value", "attribute", "expected"),
    [
        ("strategy", "parallel", "strategy", "parallel"),
        ("method", "invite", "method", "invite"),
        ("timeout", 1, "timeout_s", 1.0),
        ("timeout", 300, "timeout_s", 300.0),
        ("timeout", 12.5, "timeout_s", 12.5),
        ("timeout", "30", "timeout_s", 30.0),
        ("timeout", "4.5", "timeout_s", 4.5),
        ("headers", {"callReason": "support", "x-lower": "é"}, "headers", {"callReason": "support", "x-lower": "é"}),
        ("userToUser", [], "user_to_user", ()),
        ("userToUser", "00C8;encoding=hex", "user_to_user", ("00C8;encoding=hex",)),
        ("userToUser", {"data": "c8"}, "user_to_user", (SwitchUui(data="c8"),)),
        ("userToUser", ["a", {"data": "c8"}], "user_to_user", ("a", SwitchUui(data="c8"))),
        ("transferChannel", "sales", "transfer_channel", "sales"),
        ("transferBotId", "sales", "transfer_channel", "sales"),
        ("transferCall", "sales", "transfer_channel", "sales"),
        ("trunk", "acme", "trunk", "acme"),
        ("callerId", "customer", "caller_id", "customer"),
        ("callerId", {"number": "+12125550100"}, "caller_id", GivenCallerId(number="+12125550100", privacy=False)),
        (
            "callerId",
            {"number": "5", "name": "Ada “A”", "privacy": True},
            "caller_id",
            GivenCallerId(number="5", name="Ada “A”", privacy=True),
        ),
        ("continueCall", True, "continue_call", True),
        ("ringback", "earlyMedia", "ringback", "earlyMedia"),
        ("announce", "A customer for you.", "announce", Announce(text="A customer for you.")),
        ("announce", {"text": "Hi"}, "announce", Announce(text="Hi")),
        ("announce", {"prompt": "briefing"}, "announce", Announce(prompt="briefing")),
        ("accept", True, "accept", Accept(prompt=None, text=None, digit="1", timeoutMs=10_000)),
        ("accept", False, "accept", None),
        ("accept", {}, "accept", Accept()),
        ("accept", {"prompt": "press-5", "digit": "#", "timeoutMs": 1000}, "accept",
         Accept(prompt="press-5", digit="#", timeoutMs=1000)),
        ("accept", {"text": "Press one."}, "accept", Accept(text="Press one.")),
        ("postDialDigits", "ww1234#", "post_dial_digits", "ww1234#"),
        ("onFail", "return", "on_fail", "return"),
        ("onFail", "hangup", "on_fail", "hangup"),
        ("onFail", {"handoff": {"channel": "sales", "parameters": {"a": [1]}}}, "on_fail",
         OnFailHandoff(handoff=HandoffTo(channel="sales", parameters={"a": [1]}))),
        ("postSession", {"channel": "survey"}, "post_session", PostSessionReply(channel="survey", parameters={})),
        ("maxTalkMs", 86_400_000, "max_talk_ms", 86_400_000),
        ("note", "asked twice\nabout the bill", "note", "asked twice\nabout the bill"),
        ("data", {"case": {"id": 7}}, "data", {"case": {"id": 7}}),
    ],
)  # fmt: skip
def test_every_field(field: str, value: Any, attribute: str, expected: Any) -> None:
    assert getattr(to(**{field: value}), attribute) == expected


@pytest.mark.parametrize(
    ("fields", "attribute"),
    [
        ({"phoneNumber": "16123456789"}, "phone_number"),
        ({"phoneNumber": "+16123456789"}, "phone_number"),
        ({"sipUri": "agent@pbx.example"}, "sip_uri"),
        ({"sipUri": "sip:agent@pbx.example:5070;transport=tcp"}, "sip_uri"),
        ({"agent": "ada"}, "agent"),
        ({"contact": "Billing desk"}, "contact"),
    ],
)
def test_whoever_is_called(fields: dict[str, str], attribute: str) -> None:
    assert getattr(parse(**fields), attribute) == next(iter(fields.values()))


def test_several_targets() -> None:
    targets = [{"phoneNumber": "1", "timeout": "5"}, {"sipUri": "a@b.example", "headers": {"X-A": "1"}}, {"agent": "a"}]
    switch = parse(targets=targets, strategy="parallel")
    assert switch.targets == (
        SwitchTarget(phoneNumber="1", timeout=5.0),
        SwitchTarget(sipUri="a@b.example", headers={"X-A": "1"}),
        SwitchTarget(agent="a"),
    )
    assert [target.timeout_s for target in switch.targets] == [5.0, None, None]
    assert ANSWER.validate_python({"replies": ({"type": "switch", "targets": targets},)}).replies[0].type == "switch"


def test_every_field_of_a_user_to_user_value() -> None:
    plain = SwitchUui(data="c8")
    assert (plain.encoding, plain.purpose, plain.content) == ("hex", None, None)
    assert (plain.protocol_discriminator, plain.discriminator_mode) == ("00", "prefix")
    (full,) = to(userToUser={
        "data": "order 7", "encoding": "ascii", "purpose": "isdn-uui", "content": "isdn-uui",
        "protocolDiscriminator": "04", "discriminatorMode": "parameter",
    }).user_to_user  # fmt: skip
    assert full == SwitchUui(
        data="order 7", encoding="ascii", purpose="isdn-uui", content="isdn-uui", protocolDiscriminator="04",
        discriminatorMode="parameter",
    )  # fmt: skip


def test_what_is_asked_stays_asked() -> None:
    with pytest.raises(ValueError, match="frozen"):
        to().note = "other"  # type: ignore[misc]


# ── What other platforms' bots send ─────────────────────────────────────────────────────────────────


def test_jaicp_with_all_that_its_documentation_shows() -> None:
    switch = to(
        timeout="25", headers={"callReason": "billing", "clientRef": "77"}, transferChannel="118-shop-118-kQz-9",
        continueCall=True, continueRecording=True,
    )  # fmt: skip
    assert (switch.timeout_s, switch.continue_call, switch.continue_recording) == (25.0, True, True)
    assert switch.warnings == ("continueRecording: recording is not available yet",)


def test_jaicp_to_a_sip_uri_without_scheme() -> None:
    reply = {"type": "switch", "sipUri": "4606@198.51.100.7", "transferBotId": "118-shop", "continueCall": False}
    assert parse(**reply).sip_uri == "4606@198.51.100.7"


def test_jaicp_as_its_library_writes_what_is_not_set() -> None:
    nulls = ["headers", "transferChannel", "transferCall", "continueCall", "continueRecording", "timeout", "queue"]
    switch = to(**dict.fromkeys(nulls), state="/Operator")
    assert switch == to(state="/Operator")
    assert switch.warnings == ("state: has no effect on a phone call",)


def test_jaicp_fields_of_live_chats_are_named() -> None:
    switch = to(
        closeChatPhrases=["/stop"], firstMessage="Hello", ignoreOffline=False, oneTimeMessage=True, destination="",
        lastMessage=None, attributes={"a": 1}, hiddenAttributes={}, sendMessagesToOperator=True,
        sendMessageHistoryAmount=5, appendCloseChatButton=True, customData=[1], theme="/", continueRecording=True,
    )  # fmt: skip
    named = [warning.split(": ")[0] for warning in switch.warnings]
    assert named == [
        "firstMessage", "closeChatPhrases", "appendCloseChatButton", "ignoreOffline", "oneTimeMessage", "destination",
        "attributes", "hiddenAttributes", "sendMessagesToOperator", "sendMessageHistoryAmount", "customData", "theme",
        "continueRecording",
    ]  # fmt: skip
    assert "firstMessage" not in switch.model_dump_json(by_alias=True)
    assert "warnings" not in switch.model_dump_json(by_alias=True)


def test_jaicp_method_transfer_is_refer() -> None:
    for method in ("transfer", "refer"):
        switch = Switch.model_validate({"phoneNumber": "1", "method": method, "announce": "Hi", "continueCall": True})
        assert switch.method == "refer"
        assert switch.warnings == (
            "continueCall: cannot be honoured by refer",
            "announce: cannot be honoured by refer",
        )
        assert to(method=method).warnings == ()


def test_a_kore_invite_said_as_a_switch() -> None:
    """A message before, caller id, target and headers: `voiceUtils.invite` of Kore's voice gateway."""
    switch = parse(
        sipUri="sip:queue.example:5060", callerId={"number": "+12125550100"}, headers={"X-Session": "s-9"},
        continueCall=True,
    )  # fmt: skip
    assert switch.sip_uri == "sip:queue.example:5060" and switch.headers == {"X-Session": "s-9"}


def test_an_audiocodes_transfer_said_as_a_switch() -> None:
    """transferTarget, transferSipHeaders and handoverReason of VoiceAI Connect."""
    switch = parse(phoneNumber="tel:+12125550123", headers={"Order-Id": "7", "UUID": "u-1"}, note="asked for a human")
    assert switch.headers == {"Order-Id": "7", "UUID": "u-1"} and switch.note == "asked for a human"


def test_a_header_of_an_own_name_is_byte_exact() -> None:
    assert list(to(headers={"crmClientId": "1", "CRMCLIENT-id": "2"}).headers) == ["crmClientId", "CRMCLIENT-id"]


# ── What is wrong: the sentence names the path ──────────────────────────────────────────────────────

ONE_OF = "switch: give exactly one of phoneNumber, sipUri, agent, contact and targets"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, ONE_OF),
        ({"firstMessage": "a live chat"}, ONE_OF),
        ({"phoneNumber": None}, ONE_OF),
        ({"phoneNumber": "1", "agent": "a"}, ONE_OF),
        ({"phoneNumber": "1", "targets": [{"agent": "a"}]}, ONE_OF),
        ({"queue": "support"}, "queue: queues are not available yet"),
        ({"phoneNumber": "1", "queue": "support"}, "queue: queues are not available yet"),
        ({"phoneNumber": 5015}, "phoneNumber: must be a string"),
        ({"phoneNumber": ""}, "phoneNumber: must not be empty"),
        ({"phoneNumber": "1" * 65}, "phoneNumber: must have at most 64 characters"),
        ({"phoneNumber": "1\r\nVia: x"}, "phoneNumber: holds a line break or another control character"),
        ({"phoneNumbr": "1"}, "phoneNumbr: unknown field; did you mean phoneNumber?"),
        ({"phone_number": "1"}, "phone_number: unknown field; did you mean phoneNumber?"),
        (
            {"sipUri": "a@b?Via=x"},
            f"sipUri: {SHAPES[SIP_URI]}",
        ),
        (
            {"sipUri": "a b"},
            f"sipUri: {SHAPES[SIP_URI]}",
        ),
        ({"sipUri": "x" * 513}, "sipUri: must have at most 512 characters"),
        ({"agent": ""}, "agent: must not be empty"),
        ({"contact": "a\x00"}, "contact: holds a line break or another control character"),
        ({"contact": "x" * 129}, "contact: must have at most 128 characters"),
        ({"targets": []}, "targets: must not be empty"),
        ({"targets": {"agent": "a"}}, "targets: must be a list"),
        ({"targets": ["1"]}, "targets[0]: must be an object"),
        ({"targets": [{"agent": "a"}] * 11}, "targets: must have at most 10 items"),
        ({"targets": [{}]}, "targets[0]: give exactly one of phoneNumber, sipUri and agent"),
        (
            {"targets": [{"agent": "a"}, {"agent": "a", "sipUri": "a@b"}]},
            "targets[1]: give exactly one of phoneNumber, sipUri and agent",
        ),
        ({"targets": [{"contact": "a"}]}, "targets[0].contact: unknown field"),
        ({"targets": [{"agent": "a", "timeOut": 3}]}, "targets[0].timeOut: unknown field; did you mean timeout?"),
        ({"targets": [{"agent": "a", "timeout": 0}]}, "targets[0].timeout: must be at least 1"),
        (
            {"targets": [{"agent": "a", "headers": {"Via": "x"}}]},
            "targets[0].headers: Via is set by the gateway and cannot be given",
        ),
    ],
)
def test_a_wrong_target(fields: dict[str, Any], sentence: str) -> None:
    assert wrong(fields) == sentence


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("type", "transfer", "type: must be switch"),
        ("strategy", "all", "strategy: must be one of sequential, parallel"),
        ("method", "bye", "method: must be one of invite, refer"),
        ("method", ["refer"], "method: must be one of invite, refer"),
        ("timeout", "abc", 'timeout: must be a number of seconds, such as 30 or "30"'),
        ("timeout", "", 'timeout: must be a number of seconds, such as 30 or "30"'),
        ("timeout", "30s", 'timeout: must be a number of seconds, such as 30 or "30"'),
        ("timeout", "1e2", 'timeout: must be a number of seconds, such as 30 or "30"'),
        ("timeout", "٣", 'timeout: must be a number of seconds, such as 30 or "30"'),
        ("timeout", "9" * 5000, 'timeout: must be a number of seconds, such as 30 or "30"'),
        ("timeout", True, "timeout: must be a number"),
        ("timeout", [30], "timeout: must be a number"),
        ("timeout", math.nan, "timeout: must be a number"),
        ("timeout", math.inf, "timeout: must be a number"),
        ("timeout", 0, "timeout: must be at least 1"),
        ("timeout", "-5", "timeout: must be at least 1"),
        ("timeout", "0.9", "timeout: must be at least 1"),
        ("timeout", 300.5, "timeout: must be at most 300"),
        ("timeout", "30000", "timeout: must be at most 300"),
        ("timeout", 10**4000, "timeout: must be at most 300"),
        ("timeout", -(10**4000), "timeout: must be at least 1"),
        ("timeoutS", 3, "timeoutS: unknown field; did you mean timeout?"),
        ("headers", [], "headers: must be an object"),
        ("headers", {"X-A": 1}, "headers.X-A: must be a string"),
        ("headers", {"From": "x"}, "headers: From is set by the gateway and cannot be given"),
        (
            "headers",
            {"P-Asserted-Identity": "x"},
            "headers: P-Asserted-Identity tells a network who somebody is and cannot be given",
        ),
        ("headers", {"X A": "x"}, "headers: 'X A' is not a header name"),
        ("headers", {"X-A": "a\r\nVia: b"}, "headers: X-A holds a line break or another control character"),
        ("headers", {"X-A": "x" * 4097}, "headers: X-A is longer than 4 KiB"),
        ("headers", {f"X-{i}": "" for i in range(33)}, "headers: 33 headers; at most 32"),
        ("headers", {f"X-{i}": "x" * 4000 for i in range(3)}, "headers: more than 8 KiB of headers together"),
        ("userToUser", 5, "userToUser: must be a list"),
        ("userToUser", "", "userToUser: must not be empty"),
        ("userToUser", "a\r\nVia: b", "userToUser: User-to-User holds a line break or another control character"),
        ("userToUser", ["x" * 4097], "userToUser[0]: User-to-User is longer than 4 KiB"),
        ("userToUser", ["a", 5], "userToUser[1]: must be an object or a string"),
        ("userToUser", ["a"] * 9, "userToUser: must have at most 8 items"),
        ("userToUser", {}, "userToUser.data: is missing"),
        ("userToUser", [{"dat": "c8"}], "userToUser[0].data: is missing"),
        ("userToUser", {"data": "c8", "pd": "00"}, "userToUser.pd: unknown field"),
        (
            "userToUser",
            [{"data": "c8", "discriminator": "00"}],
            "userToUser[0].discriminator: unknown field; did you mean discriminatorMode?",
        ),
        ("userToUser", {"data": ""}, "userToUser.data: must not be empty"),
        ("userToUser", {"data": "c"}, "userToUser.data: must be pairs of hex digits, as encoding is hex"),
        ("userToUser", [{"data": "c8\n"}], "userToUser[0].data: must be pairs of hex digits, as encoding is hex"),
        ("userToUser", {"data": "é", "encoding": "ascii"}, "userToUser.data: must be ASCII, as encoding is ascii"),
        (
            "userToUser",
            {"data": "a\nb", "encoding": "raw"},
            "userToUser.data: User-to-User holds a line break or another control character",
        ),
        ("userToUser", {"data": "c8", "encoding": "b64"}, "userToUser.encoding: must be one of hex, ascii, raw"),
        (
            "userToUser",
            {"data": "c8", "purpose": "a;b"},
            "userToUser.purpose: may hold letters, digits and - . ! % * _ + ` ' ~ only",
        ),
        (
            "userToUser",
            {"data": "c8", "content": ""},
            "userToUser.content: may hold letters, digits and - . ! % * _ + ` ' ~ only",
        ),
        ("userToUser", {"data": "c8", "protocolDiscriminator": "4"},
         "userToUser.protocolDiscriminator: must be two hex digits"),
        ("userToUser", {"data": "c8", "discriminatorMode": "none"},
         "userToUser.discriminatorMode: must be one of prefix, parameter"),
        ("transferChannel", 5, "transferChannel: must be a string"),
        ("transferBotId", 5, "transferBotId: must be a string"),
        ("transferCall", "", "transferCall: must not be empty"),
        ("trunk", "", "trunk: must not be empty"),
        ("callerId", "agent", "callerId: must be bot, customer or an object with a number"),
        ("callerId", ["bot"], "callerId: must be bot, customer or an object with a number"),
        ("callerId", {}, "callerId.number: is missing"),
        ("callerId", {"number": "1", "privat": True}, "callerId.privat: unknown field; did you mean privacy?"),
        ("callerId", {"number": "1", "privacy": "id"}, "callerId.privacy: must be true or false"),
        (
            "callerId",
            {"number": "1", "name": "a\rb"},
            "callerId.name: holds a line break or another control character",
        ),
        ("continueCall", "true", "continueCall: must be true or false"),
        ("continueRecording", 1, "continueRecording: must be true or false"),
        ("ringback", "early", "ringback: must be one of tone, music, earlyMedia, silence"),
        ("announce", 5, "announce: must be a text or an object"),
        ("announce", "", "announce: must not be empty"),
        ("announce", "x" * 8193, "announce: must have at most 8192 characters"),
        ("announce", {}, "announce: give exactly one of text and prompt"),
        ("announce", {"text": "a", "prompt": "b"}, "announce: give exactly one of text and prompt"),
        ("announce", {"txt": "a"}, "announce.txt: unknown field; did you mean text?"),
        ("announce", {"prompt": "../x"}, "announce.prompt: must be the name of a prompt: letters, digits, _ and -"),
        ("accept", "yes", "accept: must be true, false or an object"),
        ("accept", 1, "accept: must be true, false or an object"),
        ("accept", {"digit": ""}, "accept.digit: must be one of 0-9 * # A-D"),
        ("accept", {"digit": "12"}, "accept.digit: must be one of 0-9 * # A-D"),
        ("accept", {"digit": 1}, "accept.digit: must be a string"),
        ("accept", {"timeout": 5}, "accept.timeout: unknown field; did you mean timeoutMs?"),
        ("accept", {"timeoutMs": 999}, "accept.timeoutMs: must be at least 1000"),
        ("accept", {"timeoutMs": 60_001}, "accept.timeoutMs: must be at most 60000"),
        ("accept", {"prompt": "a", "text": "b"}, "accept: give one of prompt and text, not both"),
        ("accept", {"prompt": "Press one"}, "accept.prompt: must be the name of a prompt: letters, digits, _ and -"),
        ("postDialDigits", "1-2", "postDialDigits: must be 1 to 64 of 0-9 * # A-D, w and W"),
        ("onFail", "retry", "onFail: must be return, hangup or an object with a handoff"),
        ("onFail", 5, "onFail: must be return, hangup or an object with a handoff"),
        ("onFail", {"voicemail": {}}, "onFail.voicemail: voicemail is not available yet"),
        ("onFail", {"queue": "support"}, "onFail.queue: queues are not available yet"),
        ("onFail", {}, "onFail.handoff: is missing"),
        ("onFail", {"handof": {}, "handoff": {"channel": "a"}}, "onFail.handof: unknown field; did you mean handoff?"),
        (
            "onFail",
            {"handoff": {"channel": "a", "params": {}}},
            "onFail.handoff.params: unknown field; did you mean parameters?",
        ),
        ("onFail", {"handoff": {"channel": ""}}, "onFail.handoff.channel: must not be empty"),
        (
            "onFail",
            {"handoff": {"channel": "a", "parameters": {"x": math.inf}}},
            "onFail.handoff.parameters.x: must be a finite number",
        ),
        ("postSession", "survey", "postSession: must be an object"),
        ("postSession", {}, "postSession.channel: is missing"),
        ("postSession", {"channel": "a", "chanel": "b"}, "postSession.chanel: unknown field; did you mean channel?"),
        ("maxTalkMs", 999, "maxTalkMs: must be at least 1000"),
        ("maxTalkMs", 86_400_001, "maxTalkMs: must be at most 86400000"),
        ("maxTalkMs", "60000", "maxTalkMs: must be a whole number"),
        ("note", "x" * 2001, "note: must have at most 2000 characters"),
        ("data", [], "data: must be an object"),
        ("data", {"a": "x" * 16_384}, "data: is larger than 16 KiB"),
        ("data", {"a": {"b c": math.nan}}, 'data.a["b c"]: must be a finite number'),
        ("warnings", [], "warnings: unknown field"),
        ("_idle", [], "_idle: unknown field"),
        ("firstMesage", "Hi", "firstMesage: unknown field"),
    ],
)  # fmt: skip
def test_a_wrong_field(field: str, value: Any, sentence: str) -> None:
    if field == "type":  # in a list it picks the reply
        assert refused(json.dumps({"phoneNumber": "5015", "type": value}).encode()) == f"refused: {sentence}"
    else:
        assert wrong({"phoneNumber": "5015", field: value}) == sentence


def test_a_channel_is_named_once() -> None:
    fields = {"phoneNumber": "1", "transferChannel": "a", "transferCall": "a"}
    assert wrong(fields) == "transferCall: is another name of transferChannel; give one"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "malformed: not JSON: "),
        (b"\xff", "malformed: not JSON: "),
        (b'{"note":"\\ud800"}', "malformed: not JSON: "),
        (b"[" * 60_000, "malformed: not JSON: nested too deeply at line 1"),
        (b"null", 'malformed: not a JSON object such as {"phoneNumber": "+12125550123"}'),
        (b"[]", 'malformed: not a JSON object such as {"phoneNumber": "+12125550123"}'),
        (b'"5015"', 'malformed: not a JSON object such as {"phoneNumber": "+12125550123"}'),
        (b"{}".ljust(MAX_BODY + 1), "too-large: the switch has more than 64 KiB"),
    ],
)
def test_a_wrong_body(body: bytes, message: str) -> None:
    assert refused(body).startswith(message)


def test_64_kib_10_targets_and_32_headers_are_not_too_many() -> None:
    headers = {f"X-{i}": "x" for i in range(32)}
    targets = [{"phoneNumber": "1", "headers": headers}] * 10
    body = json.dumps({"targets": targets, "headers": headers}).encode().ljust(MAX_BODY)
    switch = parse_switch(body)
    assert switch.targets is not None and len(switch.targets) == 10 and len(switch.headers) == 32


@pytest.mark.parametrize(
    "body",
    [
        b'{"targets":[' + b"0," * 32_000 + b"0]}",
        b'{"phoneNumber":"1","userToUser":[' + b"0," * 32_000 + b"0]}",
        b'{"phoneNumber":"1","headers":{' + b",".join(b'"k%d":1' % i for i in range(6000)) + b"}}",
        b"{" + b",".join(b'"k%d":1' % i for i in range(6000)) + b"}",
    ],
    ids=["targets", "userToUser", "headers", "fields"],
)
def test_many_faults_do_not_hold_up_the_loop(body: bytes) -> None:
    took = []
    for _ in range(3):
        began = time.process_time()
        refused(body)
        took.append(time.process_time() - began)
    assert min(took) < 0.05


# ── What is published ───────────────────────────────────────────────────────────────────────────────


def test_the_schema_holds_what_may_be_written() -> None:
    schema = Switch.model_json_schema()
    properties = schema["properties"]
    for name in ("timeout", "targets", "transferChannel", "transferBotId", "transferCall", "firstMessage", "state"):
        assert name in properties
    assert "warnings" not in properties and "_idle" not in properties and "queue" not in properties
    assert {"type": "string"} in properties["announce"]["anyOf"]
    assert {"type": "boolean"} in properties["accept"]["anyOf"]
    assert properties["method"]["enum"] == ["invite", "refer", "transfer"]
    assert properties["timeout"]["anyOf"] == [{"type": "number", "minimum": 1, "maximum": 300}, {"type": "string"}]
    assert (properties["targets"]["anyOf"][0]["minItems"], properties["targets"]["anyOf"][0]["maxItems"]) == (1, 10)
    assert properties["userToUser"]["anyOf"][2]["maxItems"] == 8
    assert schema["additionalProperties"] is False


# ── Whatever comes ──────────────────────────────────────────────────────────────────────────────────

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(min_value=2**60) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)
_NAMES = [*sorted(Switch.model_json_schema()["properties"]), "queue", "warnings"]
_INSIDE = [
    "phoneNumber", "sipUri", "agent", "headers", "timeout", "data", "encoding", "purpose", "number", "name", "privacy",
    "text", "prompt", "digit", "timeoutMs", "handoff", "channel", "parameters", "voicemail", "discriminatorMode",
]  # fmt: skip
_WORDS = st.sampled_from(["1", "c8", "bot", "return", "refer", "transfer", "raw", "ascii", "30", "a@b.example", "\x7f"])
_PART = st.dictionaries(st.sampled_from(_INSIDE), _JSON | _WORDS | st.dictionaries(st.sampled_from(_INSIDE), _WORDS))
_ALMOST = st.dictionaries(st.sampled_from(_NAMES), _JSON | _WORDS | _PART | st.lists(_PART | _WORDS, max_size=4))


def _survives(body: bytes) -> None:
    try:
        switch = parse_switch(body)
    except BotError as error:
        assert "\n" not in error.detail and len(error.detail) <= 300
        assert error.kind in (BotErrorKind.MALFORMED, BotErrorKind.REFUSED)
        if error.kind is BotErrorKind.REFUSED:
            path, _, sentence = error.detail.partition(": ")
            assert sentence
            beginnings = [*_NAMES, "switch", "["]
            assert any(path.startswith(beginning) for beginning in beginnings) or sentence.startswith("unknown field")
            for jargon in ("Input", "valid", "pydantic", "Value error", "match pattern", "\\x"):
                assert jargon not in sentence.split("'")[0]
    else:
        given = (switch.phone_number, switch.sip_uri, switch.agent, switch.contact, switch.targets)
        assert sum(target is not None for target in given) == 1
        assert 1 <= switch.timeout_s <= 300 and switch.method == "invite"
        assert all(isinstance(value, (str, SwitchUui)) for value in switch.user_to_user)
        assert isinstance(switch.warnings, tuple)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    _survives(body)


@given(st.dictionaries(st.text(max_size=12), _JSON, max_size=5))
def test_any_object_is_read_or_refused(fields: dict[str, Any]) -> None:
    _survives(json.dumps(fields).encode())


@given(_ALMOST, st.booleans())
def test_anything_that_is_almost_right_is_read_or_refused(fields: dict[str, Any], called: bool) -> None:
    _survives(json.dumps(fields | ({"phoneNumber": "1"} if called else {})).encode())


@given(_ALMOST)
def test_python_values_are_read_or_refused_too(fields: dict[str, Any]) -> None:
    try:
        Switch.model_validate(fields)
    except ValidationError as error:
        assert refusal(error, fields_at, whole="switch").detail
