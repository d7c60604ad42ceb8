"""Supervisors and others who join a call, over real trunks: what each hears, sample by sample where it matters."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from tests.bot_server import BotServer, nothing
from tests.callee import Callee
from tests.caller import Caller
from tests.ear import PCMU, Packet
from tests.gateway_process import GatewayProcess
from tests.operators import Operator, operator_of
from tests.party import SUPERVISOR_HZ, matrix, sing
from tests.sip.consult_talk import BOT_PORT, EXPERT, FLOOR, FLOOR_PORT, PLAN, Talk, talking
from tests.spectrum import floats, tone_db

__all__ = ["BOT_PORT", "PLAN"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOTHING: set[str] = set()
MUSIC = {"music"}
_LEAST_STEP = 8
"""The smallest values that µ-law has, ±8 of 32768: its two zeros and what rounding makes of nothing."""
_GAP_S = 0.04


@pytest_asyncio.fixture(loop_scope="module")
async def talk(gateway: GatewayProcess, operator: Operator, bot: BotServer, customer: Caller) -> AsyncIterator[Talk]:
    """A customer and an agent."""
    async with talking(gateway, operator, bot, customer) as begun:
        yield begun


@pytest_asyncio.fixture(loop_scope="module")
async def sue() -> AsyncIterator[Callee]:
    """The supervisor's phone."""
    async with Callee(FLOOR, FLOOR_PORT) as phone:
        yield phone


class Floor:
    """The talk, and a supervisor who is in it."""

    def __init__(self, talk: Talk, sue: Callee) -> None:
        self.talk, self.sue, self.leg = talk, sue, ""

    async def joins(self, **fields: Any) -> dict[str, Any]:
        """Sue is called and answers. The call as it was when she was called."""
        call = await self.talk.does("POST", "legs", {"agent": "sue", "role": "supervisor", **fields})
        self.leg = call["legId"]
        (leg,) = [leg for leg in call["legs"] if leg["legId"] == self.leg]
        assert (leg["role"], leg["state"], leg["agent"]) == ("supervisor", "dialling", "sue")
        await self.sue.is_called()
        await self.sue.answers()
        sing(supervisor=self.sue)
        async with asyncio.timeout(5):
            while (await self.sees())["state"] != "connected":
                await asyncio.sleep(0.02)
        return call

    async def sees(self) -> dict[str, Any]:
        """Her leg, as the API shows it."""
        _, call = await self.talk.operator.asks("GET", f"/v1/calls/{self.talk.id}")
        return next(leg for leg in call["legs"] if leg["legId"] == self.leg)

    async def mode(self, **fields: Any) -> None:
        """Changed on the fly."""
        await self.talk.does("PATCH", f"legs/{self.leg}", fields)

    async def hear(self, **expected: set[str]) -> None:
        """Exactly that."""
        people = {
            "customer": self.talk.customer,
            "agent": self.talk.agent,
            "consultant": self.talk.consultant,
            "supervisor": self.sue,
        }
        heard = await matrix(**{name: people[name] for name in expected})
        assert heard == expected


@pytest_asyncio.fixture(loop_scope="module")
async def floor(talk: Talk, sue: Callee) -> Floor:
    """She is not called yet."""
    return Floor(talk, sue)


# ── Who hears whom ──────────────────────────────────────────────────────────────────────────────────


async def test_monitor_whisper_and_barge_changed_on_the_fly(floor: Floor) -> None:
    both = {"customer", "agent"}
    await floor.joins()
    await floor.hear(supervisor=both, customer={"agent"}, agent={"customer"})
    await floor.mode(mode="whisper")
    await floor.hear(supervisor=both, customer={"agent"}, agent={"customer", "supervisor"})
    await floor.mode(mode="barge")
    await floor.hear(supervisor=both, customer={"agent", "supervisor"}, agent={"customer", "supervisor"})
    await floor.mode(muted=True)
    await floor.hear(supervisor=both, customer={"agent"}, agent={"customer"})
    await floor.mode(mode="monitor", muted=False)
    await floor.hear(supervisor=both, customer={"agent"}, agent={"customer"})
    await floor.sue.hangs_up()
    await floor.talk.happens("leg.left")
    await floor.talk.everybody_hears({"customer": {"agent"}, "agent": {"customer"}})
    changed = [event["data"]["mode"] for event in await floor.talk.history("leg") if "modeChanged" in event["type"]]
    assert changed == ["whisper", "barge", "monitor"]
    await floor.talk.agent.hangs_up()
    cdr = await floor.talk.is_over()
    assert [leg["role"] for leg in cdr["legs"]] == ["customer", "agent", "supervisor"]


async def test_a_whisper_follows_the_agent_into_a_consult_and_no_customer_hears_it(floor: Floor) -> None:
    await floor.joins(mode="whisper")
    await floor.talk.reaches("consulting")
    await floor.hear(
        customer=MUSIC,
        agent={"consultant", "supervisor"},
        consultant={"agent"},
        supervisor={"agent", "consultant"},
    )
    await floor.talk.does("POST", "swap")
    await floor.hear(
        customer={"agent"}, agent={"customer", "supervisor"}, consultant=MUSIC, supervisor={"customer", "agent"}
    )
    await floor.talk.does("POST", "forward")
    await floor.talk.agent.is_hung_up(timeout_s=2)
    await floor.hear(
        customer={"consultant"}, consultant={"customer", "supervisor"}, supervisor={"customer", "consultant"}
    )
    await floor.talk.customer.hangs_up()
    await floor.sue.is_hung_up(timeout_s=2)
    await floor.talk.is_over()


async def test_a_supervisor_listens_to_the_bot_and_is_there_when_people_come(
    gateway: GatewayProcess, operator: Operator, bot: BotServer, customer: Caller, sue: Callee
) -> None:
    bot.on("start", nothing())
    bot.on("transfer", nothing())
    await customer.calls("+12125550100")
    await gateway.wait_for("bot.replied")
    call = await operator.call()
    status, told = await operator.asks(
        "POST", f"/v1/calls/{call['id']}/legs", {"agent": "sue", "role": "supervisor", "mode": "barge"}
    )
    assert status == 202, told
    await sue.is_called()
    await sue.answers()
    sing(customer=customer, supervisor=sue)
    assert await matrix(customer=customer, supervisor=sue) == {"customer": {"supervisor"}, "supervisor": {"customer"}}
    status, told = await operator.asks("POST", f"/v1/calls/{call['id']}/legs", {"phoneNumber": EXPERT})
    assert (status, told["state"], told["allowed"]) == (409, "bot", ["transfer", "legs", "hangup"])
    await customer.hangs_up()
    await sue.is_hung_up(timeout_s=2)
    await bot.received("hangup")


# ── What the customer receives ──────────────────────────────────────────────────────────────────────


async def test_in_what_the_customer_receives_there_is_nothing_of_a_supervisor(floor: Floor) -> None:
    """The agent says nothing, so the customer receives pure silence: one sample of the supervisor, a click or a beep
    stands out of it, as does a packet that is missing."""
    floor.talk.agent.ear.is_silent()
    await asyncio.sleep(0.5)
    began = time.monotonic()
    await floor.joins()
    commands: list[float] = []
    for mode in ("whisper", "monitor", "whisper", "monitor"):
        commands.append(time.monotonic())
        await floor.mode(mode=mode)
        if mode == "whisper":
            assert "supervisor" in (await matrix(agent=floor.talk.agent))["agent"], "she really whispers"
        await asyncio.sleep(0.3)
    await floor.sue.hangs_up()
    await floor.talk.happens("leg.left")
    await asyncio.sleep(0.3)
    packets = [p for p in floor.talk.customer.ear.packets if p.at_s >= began and p.payload_type == PCMU]
    loudest = max(int(np.abs(np.frombuffer(p.pcm, np.int16)).max()) for p in packets)
    assert loudest <= _LEAST_STEP, f"a sample of {loudest}"
    without_a_hole(packets)
    no_gap_around(commands, packets)
    await floor.talk.customer.hangs_up()
    await floor.talk.is_over()


async def test_the_customer_hears_the_agent_and_no_click_and_no_trace_of_a_whisper(floor: Floor) -> None:
    """With the agent's tone under it: nothing of the supervisor's frequency in any tenth of a second."""
    began = time.monotonic()
    await floor.joins(mode="whisper")
    for mode in ("monitor", "whisper", "monitor"):
        await floor.mode(mode=mode)
        await asyncio.sleep(0.4)
    heard = floats(floor.talk.customer.ear.sound(began + 0.1))
    tenths = [heard[at : at + 800] for at in range(0, heard.size - 800, 800)]
    assert len(tenths) > 10
    traces = [tone_db(tenth, SUPERVISOR_HZ) for tenth in tenths]
    assert max(traces) < tone_db(np.concatenate(tenths), 1500) - 30, max(traces)
    await floor.talk.customer.hangs_up()
    await floor.talk.is_over()


def without_a_hole(packets: list[Packet]) -> None:
    """Every 20 ms of it was sent: sequence numbers and timestamps go on (RFC 3550 §5.1)."""
    for one, other in pairwise(sorted(packets, key=lambda p: p.at_s)):
        assert (other.sequence - one.sequence) & 0xFFFF == 1 and other.ssrc == one.ssrc
        assert (other.timestamp - one.timestamp) & 0xFFFFFFFF == 160


def no_gap_around(commands: list[float], packets: list[Packet]) -> None:
    """None over 40 ms near a command; or on a busy machine none that is longer than where there is no command."""
    gaps = [(one.at_s, other.at_s - one.at_s) for one, other in pairwise(packets)]
    near = [gap for at, gap in gaps if any(abs(at - command) < 0.15 for command in commands)]
    elsewhere = [gap for at, gap in gaps if all(abs(at - command) >= 0.15 for command in commands)]
    assert max(near) <= max(_GAP_S, *elsewhere)


# ── Others who join ─────────────────────────────────────────────────────────────────────────────────


async def expert_joins(talk: Talk) -> str:
    """A third one, by phone number. The leg."""
    call = await talk.does("POST", "legs", {"phoneNumber": EXPERT, "headers": {"X-Why": "help"}})
    invite = await talk.consultant.is_called()
    assert "\r\nX-Why: help\r\n" in invite.text
    await talk.consultant.answers()
    sing(consultant=talk.consultant)
    return str(call["legId"])


async def test_a_third_one_joins_and_takes_over_when_the_agent_leaves(talk: Talk) -> None:
    leg = await expert_joins(talk)
    await talk.everybody_hears({
        "customer": {"agent", "consultant"}, "agent": {"customer", "consultant"}, "consultant": {"customer", "agent"},
    })  # fmt: skip
    assert await talk.state() == ("talking", "none")
    await talk.agent.hangs_up()
    await talk.everybody_hears({"customer": {"consultant"}, "consultant": {"customer"}})
    call = await talk.does("POST", "consult", {"agent": "ann", "legId": leg})
    assert call["consultState"] == "dialling", "who joined is the agent now"
    await talk.agent.is_called()
    await talk.does("DELETE", "consult")
    await talk.consultant.hangs_up()
    told = await talk.status()
    assert [hop["kind"] for hop in told["hops"]] == ["joined"] and told["endedBy"] == "agent"
    await talk.is_over()


async def test_those_who_joined_talk_on_when_the_customer_leaves(talk: Talk) -> None:
    await expert_joins(talk)
    await talk.customer.hangs_up()
    await talk.happens("customer.left")
    assert await talk.state() == ("agents-only", "none")
    await talk.everybody_hears({"agent": {"consultant"}, "consultant": {"agent"}})
    await talk.consultant.hangs_up()
    await talk.agent.is_hung_up(timeout_s=2)
    await talk.is_over()


async def test_mute_hold_keys_and_release_of_one_leg(talk: Talk) -> None:
    leg = await expert_joins(talk)
    await talk.does("PATCH", f"legs/{leg}", {"muted": True})
    await talk.everybody_hears({"customer": {"agent"}, "agent": {"customer"}, "consultant": {"customer", "agent"}})
    await talk.does("PATCH", f"legs/{leg}", {"muted": False, "held": True})
    await talk.everybody_hears({"customer": {"agent"}, "agent": {"customer"}, "consultant": MUSIC})
    await talk.does("PATCH", f"legs/{leg}", {"held": False})
    await talk.does("POST", f"legs/{leg}/dtmf", {"digits": "12#"})
    assert await talk.consultant.ear.hears_keys(3) == "12#"
    assert talk.agent.ear.keys == "" and talk.customer.ear.keys == ""
    await talk.does("DELETE", f"legs/{leg}")
    await talk.consultant.is_hung_up(timeout_s=2)
    await talk.everybody_hears({"customer": {"agent"}, "agent": {"customer"}})
    names = [event["type"] for event in await talk.history("leg")]
    assert names[-5:] == ["leg.muted", "leg.unmuted", "leg.held", "leg.unheld", "leg.left"] or "leg.left" in names[-2:]
    await talk.agent.hangs_up()
    await talk.is_over()


async def test_an_announcement_is_for_one_or_for_all_and_stops(talk: Talk) -> None:
    _, call = await talk.operator.asks("GET", f"/v1/calls/{talk.id}")
    agent = call["legs"][1]["legId"]
    talk.agent.ear.is_silent()
    talk.customer.ear.is_silent()
    await asyncio.sleep(0.3)
    await talk.does(
        "POST", "play", {"text": "You have talked for an hour. Please come to an end.", "to": agent, "loop": True}
    )
    began = time.monotonic()
    await talk.agent.ear.hears_something(began)
    assert talk.customer.ear.loud_times(began) == []
    await talk.does("POST", "play", {"prompt": "one-moment"})
    await talk.customer.ear.hears_something(began)
    await talk.does("POST", "play", {"prompt": "one-moment", "loop": True})
    await talk.does("DELETE", "play")
    stopped = time.monotonic() + 0.3
    await asyncio.sleep(1.0)
    assert talk.customer.ear.loud_times(stopped) == [] and talk.agent.ear.loud_times(stopped) == []
    await talk.agent.hangs_up()
    await talk.is_over()


# ── Refusals ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"phoneNumber": "+4930123456"}, 403, "blocked", "phoneNumber"),
        ({"agent": "nobody"}, 422, "invalid", "agent"),
        ({"agent": "ann"}, 409, "agent-busy", "ann is on a call"),
        ({"agent": "sue", "mode": "whisper"}, 422, "invalid", "mode"),
        ({"agent": "sue", "role": "supervisor", "mode": "talk"}, 422, "invalid", "mode"),
        (
            {"agent": "sue", "role": "supervisor", "mode": "whisper", "whisperTo": "CUSTOMER"},
            422,
            "invalid",
            "whisperTo",
        ),
        ({"role": "supervisor"}, 422, "invalid", "exactly one"),
        ({"queue": "sales"}, 422, "invalid", "queues"),
    ],
)
async def test_what_is_not_taken_is_said_and_changes_nothing(
    talk: Talk, body: dict[str, Any], status: int, code: str, words: str
) -> None:
    _, before = await talk.operator.asks("GET", f"/v1/calls/{talk.id}")
    given = {key: before["legs"][0]["legId"] if value == "CUSTOMER" else value for key, value in body.items()}
    got, told = await talk.operator.asks("POST", f"/v1/calls/{talk.id}/legs", given)
    assert (got, told["code"]) == (status, code) and words in told["detail"], told
    _, after = await talk.operator.asks("GET", f"/v1/calls/{talk.id}")
    assert after["legs"] == before["legs"]
    await talk.agent.hangs_up()
    await talk.is_over()


async def test_supervision_takes_its_own_scope(gateway: GatewayProcess, floor: Floor) -> None:
    desktop = await operator_of(gateway, gateway.folder, scopes=("calls:read", "calls:control"))
    supervisor = await operator_of(gateway, gateway.folder, scopes=("calls:read", "supervise"))
    legs = f"/v1/calls/{floor.talk.id}/legs"
    listens = {"agent": "sue", "role": "supervisor"}
    status, told = await desktop.asks("POST", legs, listens)
    assert (status, told["scope"]) == (403, "supervise")
    status, told = await supervisor.asks("POST", legs, {"phoneNumber": EXPERT})
    assert (status, told["scope"]) == (403, "calls:control")
    await floor.joins()
    for method, body in (("PATCH", {"mode": "barge"}), ("DELETE", None)):
        status, told = await desktop.asks(method, f"{legs}/{floor.leg}", body)
        assert (status, told["scope"]) == (403, "supervise")
        status, told = await supervisor.asks(method, f"{legs}/{floor.leg}", body)
        assert status == 202, told
    await floor.sue.is_hung_up(timeout_s=2)
    await floor.talk.agent.hangs_up()
    await floor.talk.is_over()
