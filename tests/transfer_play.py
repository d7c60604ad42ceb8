"""Plays the cases of transfer_rows.py over real trunks, keeps what is seen and heard, and judges it; for tests/sip."""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.bot_server import BotServer
from tests.caller import Caller
from tests.ear import Ear
from tests.gateway_process import GatewayProcess
from tests.operators import Operator
from tests.registrar import is_right
from tests.sipp_agent import PASSWORD, REALM, USER, SippAgent
from tests.spectrum import has_tone, rms_db, tone_db
from tests.transfer_rows import Case, Sound, Span

CUSTOMER_HZ, AGENT_HZ = 750, 1300
_SETTLED_S: Final = 0.4
"""What changes at a message is heard so much later at most: the bridge within 120 ms (transfer.md), the jitter buffer,
and a busy machine."""
_LOOK_S: Final = 1.5
"""A tone that is broken off and on again, such as ringback, is looked for in so much of its beginning."""
_DEAD_S: Final = 2.0
_RINGBACK_PAUSE_S: Final = 4.0
"""The tone's own silence (ITU-T E.180, North America: 2 s on, 4 s off): no dead air, callers know it."""


# ── Playing ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Seen:
    """What came of a case."""

    call_id: str
    ear: Ear
    phones: tuple[SippAgent, ...]
    told: list[dict[str, Any]] = field(default_factory=list)
    """The bot's `transfer` events."""
    moments: dict[str, float] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    """The `transfer.*` of the event stream."""
    cdr: dict[str, Any] = field(default_factory=dict)

    def at(self, moment: str, phone: int = 0) -> float:
        """time.monotonic() of it."""
        at = self.moments.get(moment)
        if at is None and self.phones:
            at = self.phones[phone].at(moment)
        assert at is not None, f"there was no {moment}"
        return at


async def play(case: Case, gateway: GatewayProcess, folder: Path) -> Seen:
    """Make the call; what was told of it is still to be looked up."""
    async with AsyncExitStack() as stack:
        phones = []
        for port, steps in zip(case.ports, case.row.phones, strict=False):
            words = tuple(case.placed(step) for step in steps)
            tcp = case.row.transport == "tcp"
            phone = SippAgent(folder, case.address, port, words, hz=AGENT_HZ, tcp=tcp)
            phones.append(await stack.enter_async_context(phone))
        customer = await stack.enter_async_context(Caller(gateway))
        await customer.calls(case.called)
        customer.ear.sings(CUSTOMER_HZ)
        call_id = (await gateway.wait_for("call.started", sip_call_id=customer.call_id))["call_id"]
        seen = Seen(call_id, customer.ear, tuple(phones))
        if case.row.leaves_after is not None:
            await gateway.wait_for(case.row.leaves_after, call_id=call_id)
            await customer.ear.listens(1.0)
            seen.moments["end"] = (await customer.hangs_up()).at_s
        else:
            seen.moments["end"] = (await customer.is_hung_up(timeout_s=60)).at_s
        await customer.end()
        for phone in phones:
            await phone.is_through()
    return seen


async def look_up(played: Iterable[Seen], bot: BotServer, operator: Operator) -> None:
    """What the bot was told, the event stream, and the record of each."""
    for seen in played:
        requests = [one for one in bot.requests if (one.event["call"]["id"], one.name) == (seen.call_id, "transfer")]
        seen.told = [dict(request.event["data"]) for request in requests]
        if requests:
            seen.moments["told"] = requests[0].at_s
        status, events = await operator.asks("GET", f"/v1/calls/{seen.call_id}/events?types=transfer.*")
        assert status == 200, events
        seen.events = list(events["items"])
        async with asyncio.timeout(5):  # the record is written a moment after the end
            while (cdr := (await operator.asks("GET", f"/v1/calls/{seen.call_id}"))[1].get("cdr")) is None:
                await asyncio.sleep(0.05)
        seen.cdr = cdr


# ── Judging ─────────────────────────────────────────────────────────────────────────────────────────


def judge(case: Case, seen: Seen) -> None:
    """All that must be so."""
    assert len(seen.told) == 1, f"the bot is told {len(seen.told)} times"
    told = seen.told[0]
    _judge_status(case, told)
    _same([event["type"] for event in seen.events], case.progress)
    _same(seen.events[-1]["data"], told)
    _judge_cdr(case, seen, told)
    if case.row.password is not None:
        _judge_password(case, seen.phones[0])
    spans = [*case.row.spans]
    if not case.hangup and (case.continued or not case.row.success):  # the bot, or the apology
        spans.append(Span("told", "end", Sound.SPEECH))
    for span in spans:
        _judge_span(seen, span)
    _judge_dead_air(case, seen)


def _judge_status(case: Case, told: dict[str, Any]) -> None:
    times = {key: told[key] for key in ("ringMs", "talkMs", "answeredAt", "humanConnectedAt")}
    ids = {"transferId": told["transferId"]}
    detail = {key: told[key] for key in ("detail",) if key in told}
    attempts = [{key: value for key, value in one.items() if key != "detail"} for one in told["attempts"]]
    _same(told | {"attempts": attempts}, case.status | times | ids | detail)
    assert str(told["transferId"]).startswith("xfer_"), told
    assert case.row.detail in detail.get("detail", "") and bool(detail) == bool(case.row.detail), detail
    _judge_time(told["ringMs"], case.row.ring_s)
    _judge_time(told["talkMs"], case.row.talk_s)
    _same((times["answeredAt"] is not None, times["humanConnectedAt"] is not None), case.timed)


def _same(found: Any, wanted: Any) -> None:
    """Equal; of two objects only the difference is shown."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = [key for key in {**found, **wanted} if found.get(key) != wanted.get(key)]
        found, wanted = {key: found.get(key) for key in keys}, {key: wanted.get(key) for key in keys}
    assert found == wanted, f"{found}, and not {wanted}"


def _judge_time(told_ms: int, wanted_s: float) -> None:
    assert wanted_s - 0.2 <= told_ms / 1000 <= wanted_s + 1.0, f"{told_ms} ms, not about {wanted_s} s"


def _judge_cdr(case: Case, seen: Seen, told: dict[str, Any]) -> None:
    cdr = seen.cdr
    _same(cdr["transfers"], [told])
    _same((_words(cdr["cause"]), cdr["endedBy"]), case.end)
    _same([leg["role"] for leg in cdr["legs"]], ["customer", *["agent"] * case.row.legs])
    last = cdr["legs"][-1]
    _same((_words(last["cause"]), last["sipStatus"]), case.leg)
    assert all(leg["leftAt"] is not None for leg in cdr["legs"]), cdr["legs"]


def _judge_password(case: Case, phone: SippAgent) -> None:
    """SIPp itself can only look at Authorization."""
    *_, invite = [one for one in phone.messages if not one.sent and one.method == "INVITE" and not one.status]
    proof = invite.header("Authorization") or invite.header("Proxy-Authorization") or ""
    assert is_right(proof, "INVITE", USER, REALM, PASSWORD) == case.row.success, proof


def _words(cause: dict[str, str]) -> str:
    return f"{cause['result']}/{cause['reason']}"


def _judge_span(seen: Seen, span: Span) -> None:
    since, until = seen.at(span.since, span.phone) + _SETTLED_S, seen.at(span.until, span.phone)
    assert until - since > 0.2, f"{span}: too short, {until - since:.2f} s"
    for ear, wanted in ((seen.ear, span.customer), (seen.phones[span.phone].ear if seen.phones else None, span.agent)):
        if ear is None or wanted is None:
            continue
        heard = ear.sound(since, min(until, since + _LOOK_S) if wanted is Sound.RINGBACK else until)
        assert is_heard(heard, wanted), f"{span}: {_described(heard)}"


def is_heard(pcm: bytes, wanted: Sound) -> bool:
    """Whether this, and none of what must not be there, is in it."""
    match wanted:
        case Sound.RINGBACK:
            return _tones(pcm) == {440, 480}
        case Sound.AGENT:
            return _tones(pcm) == {AGENT_HZ}
        case Sound.CUSTOMER:
            return _tones(pcm) == {CUSTOMER_HZ}
        case Sound.BOTH:
            return AGENT_HZ in _tones(pcm) and rms_db(pcm) > _TONE_DB + 0.5
        case Sound.MUSIC:
            return rms_db(pcm) > _SOMETHING_DB and AGENT_HZ not in _tones(pcm)
        case Sound.SPEECH:  # ringback has all its power at two frequencies, words have it everywhere
            return rms_db(pcm) > _SOMETHING_DB and tone_db(pcm, 440) < rms_db(pcm) - 6 and AGENT_HZ not in _tones(pcm)
        case Sound.SILENCE:
            return rms_db(pcm) < -60


_SOMETHING_DB: Final = -45.0
_TONE_DB: Final = -15.0
"""Of a tone of an ear alone: -12 dBFS at its peak."""


def _tones(pcm: bytes) -> set[int]:
    return {hz for hz in (440, 480, CUSTOMER_HZ, AGENT_HZ) if has_tone(pcm, hz)}


def _described(pcm: bytes) -> str:
    return f"{_tones(pcm)} Hz, {rms_db(pcm):.0f} dB, {len(pcm) / 16000:.1f} s"


def _judge_dead_air(case: Case, seen: Seen) -> None:
    """From the first word to the end nobody takes the line for dead."""
    ear, end = seen.ear, seen.at("end")
    first, over = ear.loud_times()[0], seen.moments["told"]
    answered = max([at for phone in seen.phones if (at := phone.at("> 200")) is not None], default=over)
    rang = min(answered, over, end)  # after its BYE nobody listens
    pause = _RINGBACK_PAUSE_S if dict(case.row.switch).get("ringback", "tone") in {"tone", "earlyMedia"} else 0.0
    dead = [ear.dead_air(first, rang), ear.dead_air(rang, end) if rang < end else 0.0]
    assert dead[0] < max(_DEAD_S, pause + 0.2) and dead[1] < _DEAD_S, f"dead for {dead} s as it rang, and then"
