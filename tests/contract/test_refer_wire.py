"""REFER and NOTIFY on PJSIP's legs as they stand on the wire, both ways, and what a peer may do wrong with them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from gateway.calls import causes
from gateway.calls.commands import Dial, ShownCaller
from gateway.calls.events import LegAnswered, LegEnded
from gateway.calls.refers import ReferAnswered, ReferNotified, ReferReceived
from gateway.dialplan.addresses import Host
from gateway.sip.legs import SipLegs
from gateway.sip.resolver import Target
from gateway.sip.trunk import Credentials, TrunkSpec
from tests.callee import Callee
from tests.contract.test_referring import LEG, SALES, RealFarEnd, Referral, called, order, real
from tests.leaks import no_leaks

KNOWN = Credentials("gw", "acme.example", "open sesame")


@pytest.fixture
async def pjsip() -> AsyncIterator[Referral]:
    async with no_leaks(), called() as made:
        yield made


async def test_our_refer_as_bytes(pjsip: Referral) -> None:
    pjsip.legs.refer(order(headers=(("callReason", "a b"),), user_to_user=("00ab;encoding=hex",)))
    refer = await pjsip.phone.is_referred()
    escaped = "User-to-User=00ab%3Bencoding%3Dhex&callReason=a%20b"
    assert refer.headers("Refer-To") == [f"<{SALES}?{escaped}>"]
    contact = (refer.header("Contact") or "").partition("<")[2].partition(";")[0].partition(">")[0]
    host = contact.rpartition("@")[2]
    assert refer.headers("Referred-By") == [f"<sip:+12125550100@{host}>"]
    assert host.startswith("127.0.0.1:")


@pytest.mark.parametrize(("status", "ask", "answer"), [
    ("401 Unauthorized", "WWW-Authenticate", "Authorization"),
    ("407 Proxy Authentication Required", "Proxy-Authenticate", "Proxy-Authorization"),
])  # fmt: skip
@pytest.mark.parametrize("realm", ["acme.example", "evil.example"])
async def test_a_challenge_is_answered_once_if_it_is_the_trunks(status: str, ask: str, answer: str, realm: str) -> None:
    spec = TrunkSpec("t", host=Host("carrier.example"), credentials=KNOWN)
    challenge = f'{ask}: Digest realm="{realm}", nonce="n", qop="auth"'
    async with no_leaks(), called(spec) as world:
        world.legs.refer(order())
        await world.phone.is_referred(status, challenge)
        if realm == KNOWN.realm:
            again = await world.phone.is_referred(status, challenge.replace('"n"', '"m"'), count=2)
            assert 'username="gw", realm="acme.example", nonce="n"' in (again.header(answer) or "")
        told = await world.event(ReferAnswered)
        assert told == ReferAnswered(LEG, int(status[:3]))
        assert len(world.phone.referrals) == (2 if realm == KNOWN.realm else 1)


async def test_a_large_refer_reaches_a_peer_that_has_no_tcp(pjsip: Referral) -> None:
    pjsip.legs.refer(order(headers=tuple((f"X-{n}", "é" * 500) for n in range(3))))  # RFC 3261 §18.1.1: TCP is tried
    refer = await pjsip.phone.is_referred()
    assert len(refer.text) > 9000
    assert await pjsip.event(ReferAnswered) == ReferAnswered(LEG, 202)


async def test_all_of_it_over_tcp() -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(no_leaks())
        callee = await stack.enter_async_context(Callee(tcp=True))
        target = Target(callee.address, callee.port, "tcp")
        spec = TrunkSpec("t", host=Host("carrier.example"), transport="tcp")
        world, _ = await stack.enter_async_context(real((target,), spec))
        world.far = RealFarEnd(callee)
        world.legs.dial(Dial(LEG, "t", "+4912", None, ShownCaller("+12125550100")))
        await callee.is_called()
        await callee.answers()
        await world.event(LegAnswered)
        refer_id = await world.is_referred()
        for status in (100, 180, 200):
            world.legs.notify_refer(LEG, refer_id, status)
        await callee.is_notified(200)
        assert [line[8:11] for line in callee.notified] == ["100", "180", "200"]
        world.legs.refer(order())
        assert await callee.is_referred() in callee.over_tcp
        await world.event(ReferAnswered)
        assert (await callee.notifies("200 OK", last=True)).status == 200
        assert await world.event(ReferNotified) == ReferNotified(LEG, 200)


async def test_notifies_name_their_refer_by_its_cseq_or_not_at_all(pjsip: Referral) -> None:
    for count in (1, 2):
        pjsip.legs.refer(order())
        refer = await pjsip.phone.is_referred(count=count)
        await pjsip.event(ReferAnswered, count)
        cseq = (refer.header("CSeq") or "").split(" ")[0]
        assert (await pjsip.phone.notifies("180 Ringing", event=f"refer;id={cseq}")).status == 200
    assert (await pjsip.phone.notifies("200 OK", event="refer;id=4711")).status == 481
    assert (await pjsip.phone.notifies("200 OK")).status == 200
    await pjsip.event(ReferNotified, 3)


async def test_of_a_refer_that_another_one_has_followed_nothing_is_told(pjsip: Referral) -> None:
    for _ in range(2):
        pjsip.legs.refer(order())
    first = await pjsip.phone.is_referred(None)
    await pjsip.phone.is_referred(count=2)
    await pjsip.event(ReferAnswered)
    pjsip.phone.replies(first, "202 Accepted")
    id_of_first = (first.header("CSeq") or "").split(" ")[0]
    assert (await pjsip.phone.notifies("486 Busy Here", event=f"refer;id={id_of_first}", last=True)).status == 200
    assert (await pjsip.phone.notifies("200 OK")).status == 200
    await pjsip.event(ReferNotified)
    assert pjsip.told == [ReferAnswered(LEG, 202), ReferNotified(LEG, 200)]


async def test_a_notify_without_an_id_is_the_older_ones_until_the_newest_is_answered(pjsip: Referral) -> None:
    pjsip.legs.refer(order())
    await pjsip.phone.is_referred()
    await pjsip.event(ReferAnswered)
    pjsip.legs.refer(order())
    second = await pjsip.phone.is_referred(None, count=2)
    assert (await pjsip.phone.notifies("486 Busy Here")).status == 200
    pjsip.phone.replies(second, "202 Accepted")
    await pjsip.event(ReferAnswered, 2)
    assert (await pjsip.phone.notifies("180 Ringing")).status == 200
    await pjsip.event(ReferNotified)
    assert pjsip.told == [ReferAnswered(LEG, 202)] * 2 + [ReferNotified(LEG, 180)]


async def test_a_notify_may_overtake_the_answer_to_a_second_refer(pjsip: Referral) -> None:
    pjsip.legs.refer(order())
    await pjsip.phone.is_referred()
    assert (await pjsip.phone.notifies("486 Busy Here", last=True)).status == 200
    await pjsip.event(ReferNotified)
    pjsip.legs.refer(order())
    second = await pjsip.phone.is_referred(None, count=2)
    assert (await pjsip.phone.notifies("180 Ringing")).status == 200
    pjsip.phone.replies(second, "202 Accepted")
    await pjsip.event(ReferAnswered, 2)
    assert pjsip.told[2:] == [ReferNotified(LEG, 180), ReferAnswered(LEG, 202)]


async def test_a_notify_of_no_refer_of_ours(pjsip: Referral) -> None:
    assert (await pjsip.phone.notifies("200 OK")).status == 481
    pjsip.legs.refer(order())
    await pjsip.phone.is_referred("603 Decline")
    await pjsip.event(ReferAnswered)
    assert (await pjsip.phone.notifies("200 OK")).status == 481
    assert pjsip.told == [ReferAnswered(LEG, 603)]


@pytest.mark.parametrize("body", [
    "SIP/2.0 20", "SIP/2.0 2000 OK\r\n", "SIP/2.0 abc", "SIP/1.0 200 OK\r\n", "HTTP/1.1 200 OK", "SIP/2.0 999 No\r\n",
    "\0\0\0", "SIP/2.0  200 OK", "SIP/2.0 099 So",
])  # fmt: skip
async def test_a_sipfrag_that_says_nothing(pjsip: Referral, body: str) -> None:
    pjsip.legs.refer(order())
    await pjsip.phone.is_referred()
    await pjsip.event(ReferAnswered)
    assert (await pjsip.phone.notifies(None, body=body)).status == 200
    assert (await pjsip.phone.notifies(None, body="SIP/2.0 200")).status == 200, "without CRLF it is one"
    await pjsip.event(ReferNotified)
    assert pjsip.told[1:] == [ReferNotified(LEG, 200)]


async def test_a_refer_that_comes_is_accepted_with_a_contact(pjsip: Referral) -> None:
    refer_id = await pjsip.is_referred()
    accepted = next(m for m in pjsip.phone.messages if not m.sent and m.method == "REFER")
    assert (accepted.header("Contact") or "").startswith("<sip:")
    assert accepted.header("Refer-Sub") is None
    for status in (100, 200):
        pjsip.legs.notify_refer(LEG, refer_id, status)
    first, last = [await pjsip.phone.is_notified(status) for status in (100, 200)]
    assert (first.header("Event"), last.header("Event")) == ("refer", "refer")
    assert (first.header("Subscription-State") or "").startswith("active;expires=")
    assert last.header("Subscription-State") == "terminated;reason=noresource"
    assert last.header("Content-Type") == "message/sipfrag;version=2.0"
    assert last.body == "SIP/2.0 200 OK\n"
    assert (first.header("Contact") or "").startswith("<sip:")


async def test_the_second_refer_of_a_dialog_has_an_id(pjsip: Referral) -> None:
    await pjsip.is_referred()
    pjsip.far.refers()
    second = await pjsip.event(ReferReceived, 2)
    pjsip.legs.answer_refer(LEG, second.refer_id, 202)
    pjsip.legs.notify_refer(LEG, second.refer_id, 200)
    notify = await pjsip.phone.is_notified(200)
    assert notify.header("Event") == f"refer;id={pjsip.far._cseqs[1]}"


async def test_no_subscription_is_confirmed(pjsip: Referral) -> None:
    pjsip.far.refers(subscribes=False)
    pjsip.legs.answer_refer(LEG, (await pjsip.event(ReferReceived)).refer_id, 202)
    await pjsip.far.is_answered(202)
    accepted = next(m for m in pjsip.phone.messages if not m.sent and m.method == "REFER")
    assert accepted.header("Refer-Sub") == "false"


@pytest.mark.parametrize("answer", ["481 Subscription Does Not Exist", "489 Bad Event"])
async def test_a_notify_that_is_refused_ends_the_subscription_and_not_the_call(pjsip: Referral, answer: str) -> None:
    pjsip.phone.notify_answer = answer
    refer_id = await pjsip.is_referred()
    pjsip.legs.notify_refer(LEG, refer_id, 100)
    await pjsip.phone.is_notified(100)
    pjsip.phone.notify_answer = "200 OK"
    await pjsip.phone.asks("UPDATE")  # its 481 is here
    pjsip.legs.notify_refer(LEG, refer_id, 200)
    assert (await pjsip.phone.asks("UPDATE")).status == 200
    assert pjsip.phone.notified == ["SIP/2.0 100 Trying"]
    assert not [event for event in pjsip.events if isinstance(event, LegEnded)]


async def test_a_notify_waits_for_the_answer_to_the_one_before(pjsip: Referral) -> None:
    pjsip.far.phone.ignores = {"NOTIFY"}
    refer_id = await pjsip.is_referred()
    for status in (100, 180):
        pjsip.legs.notify_refer(LEG, refer_id, status)
    first = await pjsip.phone.is_notified(100)
    await pjsip.phone.asks("UPDATE")
    assert pjsip.phone.notified == ["SIP/2.0 100 Trying"]
    pjsip.far.phone.ignores = set()
    pjsip.phone.replies(first, "200 OK")
    await pjsip.phone.is_notified(180)
    pjsip.legs.notify_refer(LEG, refer_id, 200)
    await pjsip.phone.is_notified(200)
    assert pjsip.phone.notified == ["SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK"]


async def test_the_last_word_is_out_before_our_bye(pjsip: Referral) -> None:
    """A phone that forgets its dialog with the BYE has heard that it worked."""
    pjsip.far.phone.ignores = {"NOTIFY"}
    refer_id = await pjsip.is_referred()
    for status in (100, 180, 200):
        pjsip.legs.notify_refer(LEG, refer_id, status)
    pjsip.legs.hangup(LEG, causes.NORMAL, ())
    await pjsip.far.is_hung_up()
    asked = [m.method for m in pjsip.phone.messages if not (m.sent or m.status) and m.method in ("NOTIFY", "BYE")]
    assert list(dict.fromkeys(asked)) == ["NOTIFY", "BYE"] and asked[:3] == ["NOTIFY"] * 3
    assert pjsip.phone.notified[:3] == ["SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK"]


async def test_a_notify_is_challenged_by_a_stranger_and_the_call_goes_on(pjsip: Referral) -> None:
    pjsip.phone.notify_answer = "401 Unauthorized"
    refer_id = await pjsip.is_referred()
    for status in (100, 200):
        pjsip.legs.notify_refer(LEG, refer_id, status)
    await pjsip.phone.is_notified(200)
    assert (await pjsip.phone.asks("UPDATE")).status == 200


@pytest.mark.parametrize(("headers", "status"), [
    ((), 400), (("Refer-To: ",), 400), (("Refer-To: <>",), 400), (("Refer-To: sales",), 400),
    (("Refer-To: <mailto:sales@acme.example>",), 416), (("Refer-To: <sip:a@b>", "Refer-To: <sip:c@d>"), 400),
    (("Refer-To: <sip:a@b>", "Require: explicitsub"), 420),
])  # fmt: skip
async def test_a_refer_that_cannot_be_read_is_answered_at_once(
    pjsip: Referral, headers: tuple[str, ...], status: int
) -> None:
    assert (await pjsip.phone.asks("REFER", *headers)).status == status
    assert pjsip.told == []
    await pjsip.is_referred()


async def test_a_retransmission_is_one_refer(pjsip: Referral) -> None:
    pjsip.far.refers()
    refer = await pjsip.event(ReferReceived)
    text = next(m.text for m in pjsip.phone.messages if m.sent and m.start.startswith("REFER "))
    phone = pjsip.far.phone
    phone._put(text)
    pjsip.legs.answer_refer(LEG, refer.refer_id, 202)
    await pjsip.far.is_answered(202)
    phone._put(text)
    await phone.comes(lambda: sum(m.status == 202 for m in phone.messages) == 2, "the 202 once more")
    assert len(pjsip.told) == 1


async def test_an_old_cseq_is_refused(pjsip: Referral) -> None:
    await pjsip.is_referred()
    phone = pjsip.far.phone
    refer = next(m.text for m in phone.messages if m.sent and m.start.startswith("REFER "))
    phone._put(refer.replace(";branch=", ";branch=z9hG4bKother"))
    await phone.comes(lambda: any(m.status in (482, 500) for m in phone.messages), "a refusal")
    assert len(pjsip.told) == 1


async def test_nobody_answers_a_refer_and_pjsip_does(pjsip: Referral) -> None:
    pjsip.far.refers()
    refer = await pjsip.event(ReferReceived)
    await pjsip.far.is_answered(500)
    pjsip.legs.answer_refer(LEG, refer.refer_id, 202)
    pjsip.far.refers()
    assert (await pjsip.event(ReferReceived, 2)).refer_id != refer.refer_id


async def test_nothing_is_kept_of_a_refer_that_is_over(pjsip: Referral) -> None:
    assert isinstance(pjsip.legs, SipLegs)
    refer_id = await pjsip.is_referred()
    for status in (100, 603):
        pjsip.legs.notify_refer(LEG, refer_id, status)
    await pjsip.phone.is_notified(603)
    await pjsip.phone.asks("UPDATE")
    endpoint, refers = pjsip.legs._endpoint, pjsip.legs.refers
    assert await endpoint.run(refers.remembered) == 0
