"""/v1/calls over a real socket: what is seen of a call, and what may be done to it."""

import pytest

from gateway.api.control import NotNow
from gateway.calls.causes import NORMAL, Cause, EndedBy, Reason, Result
from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.history import Type
from gateway.calls.replies import Text
from gateway.calls.states import CallState, LegState
from tests.api.node import Node
from tests.fakes.control import a_call

HELLO = {"replies": [{"type": "text", "text": "Hello"}]}


@pytest.fixture
async def key(gateway: Node) -> str:
    """A key that may do all."""
    return await gateway.key()


# ── Seeing ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_call_in_full(gateway: Node, key: str):
    call = gateway.control.add(a_call(1))
    call.data = {"tier": "gold"}
    await gateway.happens(call, Type.CALL_STARTED, {"direction": "inbound"}, at=1.8e9)
    answer = await gateway.get("/v1/calls/call_0001", key)
    timeline = answer.body.pop("timeline")
    assert answer.body == {
        "id": "call_0001",
        "sipCallId": "sip-1@test",
        "channel": "reception",
        "trunk": "acme",
        "direction": "inbound",
        "state": "bot",
        "consultState": "none",
        "allowed": ["transfer", "legs", "hangup"],
        "from": "+12125550123",
        "fromName": None,
        "to": "+12125550100",
        "diversion": None, "verstat": None,
        "headers": {"X-CRM-Id": "42"},
        "userToUser": [],
        "startedAt": "2027-01-15T08:00:01.000Z",
        "answeredAt": "2027-01-15T08:00:02.000Z",
        "endedAt": None,
        "cause": None,
        "endedBy": None,
        "data": {"tier": "gold"},
        "legs": [
            {
                "legId": "leg_0001", "role": "customer", "agent": None, "state": "connected", "room": "main",
                "muted": False, "held": False, "peerHold": "sendrecv", "watches": None, "mode": None, "whisperTo": None,
            }
        ],
        "rooms": [{"room": "main", "legs": ["leg_0001"], "bot": True}],
        "hearing": [{"source": "bot", "sink": "leg_0001", "level": 1.0}],
        "cdr": None,
    }  # fmt: skip
    assert timeline == {
        "items": [
            {
                "seq": 1, "type": "call.started", "at": "2027-01-15T08:00:00.000Z", "callId": "call_0001",
                "legId": "leg_0001", "data": {"direction": "inbound"},
            }
        ],
        "nextCursor": None,
    }  # fmt: skip


async def test_a_held_caller_hears_music(gateway: Node, key: str):
    gateway.control.add(a_call(1)).customer.held = True
    call = (await gateway.get("/v1/calls/call_0001", key)).body
    assert call["hearing"] == [{"source": "music:hold/calm", "sink": "leg_0001", "level": 1.0}]


async def test_a_call_that_is_over_stays_to_be_seen(gateway: Node, key: str):
    await gateway.over(a_call(1))
    call = (await gateway.get("/v1/calls/call_0001", key)).body
    assert (call["state"], call["allowed"], call["legs"], call["hearing"]) == ("ended", [], [], [])
    assert call["cause"] == {"result": "completed", "reason": "normal"} and call["endedBy"] == "customer"
    assert call["cdr"]["durationMs"] == 4000 and call["endedAt"] == "2027-01-15T08:00:06.000Z"
    assert [e["type"] for e in call["timeline"]["items"]] == ["call.started", "call.answered", "call.ended"]


async def test_lists_are_filtered(gateway: Node, key: str):
    gateway.control.add(a_call(1, "reception", "acme"))
    gateway.control.add(a_call(2, "sales", "other"))
    gateway.control.add(a_call(3, "reception", "other", CallState.OFFERED))

    async def ids(query: str) -> list[str]:
        return [call["id"] for call in (await gateway.get(f"/v1/calls{query}", key)).body["items"]]

    assert await ids("") == ["call_0001", "call_0002", "call_0003"]
    assert await ids("?channel=reception") == ["call_0001", "call_0003"]
    assert await ids("?trunk=other") == ["call_0002", "call_0003"]
    assert await ids("?state=offered") == ["call_0003"]
    assert await ids("?channel=reception&trunk=other&state=bot") == []


async def test_a_list_is_walked_by_its_cursor_though_calls_come_and_go(gateway: Node, key: str):
    for number in range(1, 8):
        gateway.control.add(a_call(number))
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await gateway.get(f"/v1/calls?limit=3{cursor and '&cursor=' + cursor}", key)).body
        seen += [call["id"] for call in page["items"]]
        cursor = page["nextCursor"]
        gateway.control.calls.pop("call_0002", None)
        gateway.control.add(a_call(9))
    assert seen == [f"call_{number:04}" for number in (1, 2, 3, 4, 5, 6, 7, 9)]


async def test_the_events_of_a_call_in_pages_and_by_type(gateway: Node, key: str):
    call = gateway.control.add(a_call(1))
    await gateway.happens(call, Type.CALL_STARTED)
    await gateway.happens(a_call(2), Type.CALL_STARTED)
    for digit in "123":
        await gateway.happens(call, Type.DTMF_RECEIVED, {"digit": digit})
    first = (await gateway.get("/v1/calls/call_0001/events?limit=2", key)).body
    rest = (await gateway.get(f"/v1/calls/call_0001/events?cursor={first['nextCursor']}", key)).body
    assert [e["seq"] for e in first["items"] + rest["items"]] == [1, 3, 4, 5] and rest["nextCursor"] is None
    typed = (await gateway.get("/v1/calls/call_0001/events?types=dtmf.*,call.ended&limit=1", key)).body
    assert [e["data"] for e in typed["items"]] == [{"digit": "1"}]
    assert (await gateway.get("/v1/calls/call_0001/events?cursor=5", key)).body == {"items": [], "nextCursor": None}


# ── Hanging up ──────────────────────────────────────────────────────────────────────────────────────


async def test_delete_hangs_up_and_shows_the_call_as_it_is(gateway: Node, key: str):
    gateway.control.add(a_call(1))
    answer = await gateway.ask("DELETE", "/v1/calls/call_0001", key)
    assert gateway.control.hung_up == [("call_0001", NORMAL, EndedBy.GATEWAY)]
    assert (answer.status, answer.body["legs"][0]["state"], answer.body["allowed"]) == (202, "ending", [])
    assert (await gateway.ask("DELETE", "/v1/calls/call_0001", key)).status == 202
    assert len(gateway.control.hung_up) == 1


async def test_delete_says_why(gateway: Node, key: str):
    gateway.control.add(a_call(1))
    await gateway.ask("DELETE", "/v1/calls/call_0001?reason=busy", key)
    assert gateway.control.hung_up[0][1] == Cause(Result.GATEWAY, Reason.BUSY)


async def test_a_call_that_is_over_cannot_be_ended(gateway: Node, key: str):
    await gateway.over(a_call(1))
    for method, path in (("DELETE", "/v1/calls/call_0001"), ("POST", "/v1/calls/call_0001/replies")):
        answer = await gateway.ask(method, path, key, json={} if method == "POST" else None)
        assert answer.problem == (409, "illegal-state")
        assert (answer.body["state"], answer.body["consultState"], answer.body["allowed"]) == ("ended", "none", [])


# ── Replies ─────────────────────────────────────────────────────────────────────────────────────────


async def test_replies_are_pushed(gateway: Node, key: str):
    gateway.control.add(a_call(1))
    answer = await gateway.ask("POST", "/v1/calls/call_0001/replies", key, json=HELLO)
    assert (answer.status, answer.body["id"]) == (202, "call_0001")
    [(call_id, response)] = gateway.control.pushed
    assert call_id == "call_0001" and response.replies == (Text(type="text", text="Hello"),)


@pytest.mark.parametrize(
    ("replies", "path", "words"),
    [
        ([{"type": "dtmf"}], "replies[0].max", "is missing"),
        ([{"type": "pause", "ms": 1}, {"type": "pause", "ms": 0}], "replies[1].ms", "at least 1"),
        ([{"type": "txt"}], "replies[0]", "did you mean text?"),
        ([{"type": "text", "text": "a", "x: y": 1}], 'replies[0]["x: y"]', "unknown field"),
        ([{"type": "hangup"}, {"type": "hangup"}], "replies[1]", "nothing may follow"),
        ([{"type": "voicemail"}], "replies[0]", "not available yet"),
    ],
)
async def test_a_mistake_in_replies_is_named(gateway: Node, key: str, replies: object, path: str, words: str):
    gateway.control.add(a_call(1))
    answer = await gateway.ask("POST", "/v1/calls/call_0001/replies", key, json={"replies": replies})
    assert answer.problem == (422, "invalid")
    assert answer.body["path"] == path and words in answer.body["detail"]
    assert gateway.control.pushed == []


async def test_what_the_call_says_of_replies(gateway: Node, key: str):
    gateway.control.add(a_call(1))
    gateway.control.refusal = BotError(BotErrorKind.REFUSED, "replies[0]: text needs an answered call")
    answer = await gateway.ask("POST", "/v1/calls/call_0001/replies", key, json=HELLO)
    assert answer.problem == (422, "invalid") and answer.body["path"] == "replies[0]"
    gateway.control.refusal = NotNow()
    answer = await gateway.ask("POST", "/v1/calls/call_0001/replies", key, json=HELLO)
    assert answer.problem == (409, "illegal-state") and answer.body["allowed"] == ["transfer", "legs", "hangup"]


async def test_an_ending_call_takes_no_replies(gateway: Node, key: str):
    gateway.control.add(a_call(1)).customer.state = LegState.ENDING
    answer = await gateway.ask("POST", "/v1/calls/call_0001/replies", key, json=HELLO)
    assert answer.problem == (409, "illegal-state") and answer.body["state"] == "bot"
    assert answer.body["allowed"] == [] and gateway.control.pushed == []


# ── Transfers ───────────────────────────────────────────────────────────────────────────────────────

TRANSFER = "/v1/calls/call_0001/transfer"
PERSON = {"phoneNumber": "16123456789", "timeout": "20", "headers": {"callReason": "support"}}


async def test_a_customer_is_handed_to_a_person(gateway: Node, key: str):
    gateway.control.add(a_call(1))
    answer = await gateway.ask("POST", TRANSFER, key, json=PERSON)
    assert (answer.status, answer.body["id"]) == (202, "call_0001")
    [(call_id, switch)] = gateway.control.transfers
    assert call_id == "call_0001" and switch is not None
    assert (switch.phone_number, switch.timeout_s, switch.headers) == ("16123456789", 20, {"callReason": "support"})


async def test_the_type_of_the_reply_may_stand_in_it(gateway: Node, key: str):
    gateway.control.add(a_call(1))
    answer = await gateway.ask("POST", TRANSFER, key, json={"type": "switch", **PERSON})
    assert answer.status == 202 and len(gateway.control.transfers) == 1


async def test_a_transfer_is_taken_back(gateway: Node, key: str):
    gateway.control.add(a_call(1)).state = CallState.TRANSFERRING
    answer = await gateway.ask("DELETE", TRANSFER, key)
    assert (answer.status, answer.body["allowed"]) == (202, ["cancel-transfer", "legs", "hangup"])
    assert gateway.control.transfers == [("call_0001", None)]


@pytest.mark.parametrize(
    ("method", "state", "allowed"),
    [
        ("POST", CallState.OFFERED, ["hangup"]),
        ("POST", CallState.TRANSFERRING, ["cancel-transfer", "legs", "hangup"]),
        ("DELETE", CallState.BOT, ["transfer", "legs", "hangup"]),
        ("DELETE", CallState.TALKING, ["consult", "transfer", "hold", "legs", "play", "hangup"]),
    ],
)
async def test_a_transfer_in_the_wrong_state(
    gateway: Node, key: str, method: str, state: CallState, allowed: list[str]
):
    gateway.control.add(a_call(1)).state = state
    answer = await gateway.ask(method, TRANSFER, key, json=PERSON if method == "POST" else None)
    assert answer.problem == (409, "illegal-state") and gateway.control.transfers == []
    assert (answer.body["state"], answer.body["consultState"], answer.body["allowed"]) == (state, "none", allowed)


async def test_people_pass_the_customer_on_one_at_a_time(gateway: Node, key: str):
    call = gateway.control.add(a_call(1))
    call.state = CallState.TALKING
    assert (await gateway.ask("POST", TRANSFER, key, json=PERSON)).status == 202
    call.passing_on = True
    again = await gateway.ask("POST", TRANSFER, key, json=PERSON)
    assert again.problem == (409, "illegal-state") and again.body["allowed"] == [
        "cancel-transfer",
        "hold",
        "legs",
        "hangup",
    ]
    assert (await gateway.ask("DELETE", TRANSFER, key)).status == 202


async def test_a_call_that_is_about_to_end_takes_no_transfer(gateway: Node, key: str):
    gateway.control.add(a_call(1)).closing = True
    answer = await gateway.ask("POST", TRANSFER, key, json=PERSON)
    assert answer.problem == (409, "illegal-state") and answer.body["allowed"] == ["hangup"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_transfer_of_a_call_that_is_over(gateway: Node, key: str, method: str):
    await gateway.over(a_call(1))
    answer = await gateway.ask(method, TRANSFER, key, json=PERSON if method == "POST" else None)
    assert answer.problem == (409, "illegal-state") and (answer.body["state"], answer.body["allowed"]) == ("ended", [])


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_another_channels_key_knows_of_no_such_call(gateway: Node, method: str):
    gateway.control.add(a_call(1, "reception")).state = CallState.TRANSFERRING
    foreign = await gateway.key(channels=["sales"])
    answer = await gateway.ask(method, TRANSFER, foreign, json=PERSON if method == "POST" else None)
    assert answer.problem == (404, "not-found") and gateway.control.transfers == []


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        ({}, "switch", "exactly one of phoneNumber"),
        ({**PERSON, "sipUri": "sip:a@b"}, "switch", "exactly one of phoneNumber"),
        ({**PERSON, "timeout": 301}, "timeout", "300"),
        ({**PERSON, "timout": 30}, "timout", "did you mean"),
        ({**PERSON, "accept": {"digit": "12"}}, "accept.digit", ""),
        ({"targets": [{"phoneNumber": "1"}, {"agent": 5}]}, "targets[1].agent", "string"),
    ],
)
async def test_a_mistake_in_a_transfer_is_named(gateway: Node, key: str, body: object, path: str, words: str):
    gateway.control.add(a_call(1))
    answer = await gateway.ask("POST", TRANSFER, key, json=body)
    assert answer.problem == (422, "invalid") and gateway.control.transfers == []
    assert answer.body["path"] == path and words in answer.body["detail"], answer.body
