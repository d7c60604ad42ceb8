"""The CDR: of a normal call, of a crashed one, and of any history whatever."""

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.causes import NO_ROUTE, NORMAL, EndedBy
from gateway.calls.cdr import CRASHED, CdrLeg, as_json, crashed, fold
from gateway.calls.events import LegAnswered, LegEnded
from gateway.calls.history import Happening, Type, refused
from gateway.calls.model import CallId, ChannelPolicy, LegId
from gateway.calls.quality import RtpFlow, RtpQuality
from gateway.calls.quality import as_json as quality_json
from gateway.calls.refers import PeerClaimed
from tests.scripted_call import CALLER, LEG
from tests.unit.calls.test_history import ToldCall, passes_on, talking, whole_call

NOW = 1_700_000_100.0


def test_a_normal_call():
    call = whole_call()
    cdr, truth = fold(call.told_all), call.control.call
    assert (cdr.call_id, cdr.sip_call_id, cdr.channel, cdr.trunk) == ("call_1", "abc@carrier", "reception", "acme")
    assert (cdr.direction, cdr.from_, cdr.to) == ("inbound", "+12125550123", "+12125550100")
    assert (cdr.started_at, cdr.answered_at, cdr.ended_at) == (truth.started_at, truth.answered_at, truth.ended_at)
    assert cdr.duration_ms == round((truth.ended_at - truth.answered_at) * 1000)
    assert (cdr.cause, cdr.sip_status, cdr.q850, cdr.ended_by) == (NORMAL, 200, None, EndedBy.BOT)
    assert cdr.legs == (
        CdrLeg(LEG, "customer", truth.answered_at, truth.ended_at, "PCMU", NORMAL, 200, None, "gateway"),
    )
    assert cdr.data == truth.data == {"vip": True}


def test_the_rtp_of_a_leg_is_in_it():
    call = ToldCall().connected()
    quality = RtpQuality("PCMU", RtpFlow(150, 15, 7.2, 12.9), 160)
    call.happens(LegEnded(LEG, NORMAL, 200, 16, by_peer=True, rtp=quality))
    assert fold(call.told_all).rtp == ({"legId": LEG, **quality_json(quality)},)


def test_a_crash_ends_leg_and_call_by_the_gateway():
    cut = [h for h in whole_call().told_all if h.type not in ("leg.left", "call.ended")]
    rest = crashed(cut, NOW)
    assert [h.type for h in rest] == ["leg.left", "call.ended"]
    cdr = fold([*cut, *rest])
    assert (cdr.cause, cdr.ended_by, cdr.sip_status) == (CRASHED, EndedBy.GATEWAY, 200)
    assert cdr.ended_at == NOW
    assert cdr.duration_ms == round((NOW - cdr.answered_at) * 1000)
    assert cdr.legs[0].cause == CRASHED


def test_a_crash_after_the_leg_left_ends_the_call_only():
    cut = [h for h in whole_call().told_all if h.type != "call.ended"]
    assert [h.type for h in crashed(cut, NOW)] == ["call.ended"]


def test_a_crash_before_the_answer_has_no_duration_and_no_status():
    cdr = fold([*(cut := ToldCall().offered().told_all), *crashed(cut, NOW)])
    assert (cdr.answered_at, cdr.duration_ms, cdr.sip_status) == (None, 0, None)


def test_a_clock_that_went_back_makes_no_negative_time():
    cut = [h for h in whole_call().told_all if h.type != "call.ended"]
    cdr = fold([*cut, *crashed(cut, 0.0)])
    assert cdr.ended_at == cut[-1].at
    assert cdr.duration_ms >= 0


def test_a_call_that_is_over_needs_nothing():
    assert crashed(whole_call().told_all, NOW) == []
    assert crashed([], NOW) == []


def test_a_refused_call_has_a_cdr_too():
    cdr = fold([refused(CallId("call_9"), LEG, CALLER, NOW, 404, NO_ROUTE, "no route")])
    assert (cdr.cause, cdr.sip_status, cdr.duration_ms, cdr.from_) == (NO_ROUTE, 404, 0, "+12125550123")
    assert cdr.started_at == cdr.ended_at == NOW


def test_a_handed_off_call_is_its_last_channels():
    call = ToldCall(channels={"sales": ChannelPolicy("sales")}).connected()
    call.bot_replies({"type": "handoff", "channel": "sales"})
    call.hangs_up()
    assert fold(call.told_all).channel == "sales"


def test_as_json():
    shown = as_json(fold(whole_call().told_all))
    assert set(shown) == {
        "callId", "sipCallId", "channel", "trunk", "direction", "from", "to", "startedAt", "answeredAt", "endedAt",
        "durationMs", "cause", "sipStatus", "q850", "endedBy", "legs", "transfers", "recordings", "rtp", "data",
    }  # fmt: skip
    assert shown["startedAt"] == "2023-11-14T22:13:20.000Z"
    assert shown["cause"] == {"result": "completed", "reason": "normal"}
    json.dumps(shown)


# ── Whatever the history is ─────────────────────────────────────────────────────────────────────────

values = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
keys = st.sampled_from(["cause", "endedBy", "sipStatus", "q850", "durationMs", "role", "codec", "by", "data", "from"])
data = st.dictionaries(keys, values | st.dictionaries(st.sampled_from(["result", "reason"]), values, max_size=2))
anything = st.builds(
    Happening,
    type=st.sampled_from([*(t.value for t in Type), "transfer.started"]),
    at=st.floats(0, 2e9),
    call_id=st.just(CallId("call_1")),
    leg_id=st.none() | st.sampled_from([LegId("leg_1"), LegId("leg_2")]),
    channel=st.none() | st.just("reception"),
    trunk=st.none() | st.just("acme"),
    data=data,
)
LAST = (Type.CALL_ENDED, Type.CALL_REFUSED)


@given(st.lists(anything, min_size=1, max_size=12), st.floats(0, 2e9))
def test_any_history_that_is_cut_off_is_closed_once_and_folds(history: list[Happening], now: float):
    over = any(h.type in LAST for h in history)
    rest = crashed(history, now)
    closed = [*history, *rest]
    assert bool(rest) is not over
    assert over or [h.type for h in rest].count("call.ended") == 1
    assert over or rest[-1].type == "call.ended"
    assert crashed(closed, now + 1) == []
    cdr = fold(closed)
    assert fold(closed) == cdr
    assert cdr.duration_ms >= 0 or over
    assert over or all(leg.left_at is not None for leg in cdr.legs)
    json.dumps(as_json(cdr))


steps = st.lists(
    st.sampled_from(["ack", "reply", "fail", "digit", "played", "hold", "hangup", "gone", "tag"]), max_size=20
)


@given(steps, st.integers(0, 100))
def test_every_prefix_of_a_real_call_closes(moves: list[str], cut: int):
    call = ToldCall().offered()
    for move in moves:
        _move(call, move)
    history = call.told_all[: 1 + cut % len(call.told_all)]
    closed = [*history, *crashed(history, NOW)]
    assert [h.type for h in closed].count("call.ended") == 1
    assert closed[-1].type == "call.ended"
    assert fold(closed).call_id == "call_1"


def _move(call: ToldCall, move: str) -> None:
    up = call.control.call.ended_at is None
    match move:
        case "ack" if call.control.call.customer.state.value == "answering":
            call.acked()
        case "reply" if call.open_asks and up and call.control.turns.connected:
            call.bot_replies({"type": "text", "text": "Hello"})
        case "tag" if call.open_asks and up and call.control.turns.connected:
            call.bot_replies({"type": "tag", "data": {"a": 1}}, {"type": "hangup"})
        case "fail" if call.open_asks and up:
            call.bot_fails()
        case "digit":
            call.presses("1")
        case "played" if call.playing:
            call.played()
        case "hold" if call.control.call.customer.state.value == "connected":
            call.holds()
        case "hangup" if up:
            call.hangs_up()
        case "gone" if call.control.call.customer.state.value == "ending":
            call.is_gone()
        case _:
            pass


def test_a_crash_while_the_customer_is_passed_on_ends_both_transfers_once():
    call = talking()
    passes_on(call)
    rest = crashed(call.told_all, NOW)
    first, second = [h.data for h in rest if h.type == "transfer.ended"]
    assert (first["status"], second["status"]) == ("SUCCESS", "FAIL")
    assert "hopOf" not in first and second["hopOf"] == first["transferId"]
    cdr = fold([*call.told_all, *rest])
    assert [one["transferId"] for one in cdr.transfers] == [first["transferId"], second["transferId"]]
    assert crashed([*call.told_all, *rest], NOW) == []


def test_a_hop_that_is_over_is_not_ended_again():
    call = talking()
    passes_on(call)
    (hop,) = [leg for leg in call.control.call.others if leg.id != call.agent]
    call.happens(LegAnswered(hop.id, "PCMU"))
    rest = crashed(call.told_all, NOW)
    assert ["hopOf" in h.data for h in rest if h.type == "transfer.ended"] == [False]
    assert [one["hopOf"] for one in fold([*call.told_all, *rest]).transfers if "hopOf" in one] != []


def test_a_leg_that_went_to_another_call_is_not_left_over_by_a_crash():
    call = talking()
    call.happens(PeerClaimed(LEG, CallId("call_2")))
    assert call.agent not in {h.leg_id for h in crashed(call.told_all, NOW) if h.type == "leg.left"}


def test_a_crash_after_the_customer_left_does_not_lengthen_the_call():
    def told(type_: Type, at: float, leg: str | None = None, **data: str) -> Happening:
        return Happening(type_, at, CallId("call_1"), LegId(leg) if leg else None, "reception", "acme", data)

    cut = [
        told(Type.CALL_STARTED, 0.0, "leg_1", direction="inbound"),
        told(Type.LEG_JOINED, 1.0, "leg_1", role="customer"),
        told(Type.CALL_ANSWERED, 1.0),
        told(Type.LEG_JOINED, 2.0, "leg_2", role="agent"),
        told(Type.LEG_LEFT, 10.0, "leg_1", role="customer"),
    ]
    assert fold([*cut, *crashed(cut, 500.0)]).duration_ms == 9000
