"""Two things at once in every state of a consult: what comes out is what one after the other would have made of it.

Each pair of commands that the table of control-api.md knows, and each hang-up, refusal and answer while a command is
under way, a few milliseconds apart, in an order that the seed has (SWITCHHOOK_RACES_SEED). What the API then says of
the call is what the table says for one of the two orders, each command got the answer that belongs to it, and everybody
hears that, on the audio. The gateway gives back all that it held, and each call has one end and each transfer one.
"""

import asyncio
import itertools
import os
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.gateway_process import GatewayProcess
from tests.sip.choir import Choir, Window, heard
from tests.sip.consult_cast import Cast, Desktop, desktop_of, hearing_of, shown
from tests.sip.consult_table import COMMANDS, HAPPENINGS, Where, after, hearing, in_turn
from tests.sip.office import office_plan
from tests.sip.transfer_cells import places

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

SEED = os.environ.get("SWITCHHOOK_RACES_SEED", "7")
AT_ONCE = 16
SETTLED_S, LISTENS_S = 0.3, 0.65
"""After what was done everybody hears what they should; so long each looks at it."""
MISSED_S = 8.0
"""A voice may be missed for so long while the machine is busy, but nobody is ever heard who should not be."""
PLACES = places(AT_ONCE)
PLAN = office_plan(PLACES)
OTHERS = float(os.environ.get("SWITCHHOOK_RACES_OTHERS", "0.15"))
"""How many of the pairs of which one is refused in any order."""
STATES = ("none", "held", "passing-on", "dialling", "consulting", "swapped", "merged", "agents-only", "agents-dialling")


@dataclass(frozen=True, slots=True)
class Race:
    """From `state`, `one` and `other`, `apart_s` later (before, if negative)."""

    state: str
    one: str
    other: str
    apart_s: float
    on_agent_hangup: str
    returns: bool

    def __str__(self) -> str:
        return (
            f"{self.state}: {self.one} {self.apart_s * 1000:+.1f} ms {self.other} "
            f"({self.on_agent_hangup}{', returns' if self.returns else ''})"
        )

    @property
    def begins(self) -> Where:
        """As the table has it."""
        at = Where(on_agent_hangup=self.on_agent_hangup, returns=self.returns)  # type: ignore[arg-type]
        return in_turn(at, *way_to(self.state))[1]


def way_to(state: str) -> tuple[str, ...]:
    """From where customer and agent talk."""
    return {
        "none": (), "held": ("hold",), "passing-on": ("transfer",), "dialling": ("consult",),
        "consulting": ("consult", "answer"), "swapped": ("consult", "answer", "swap"),
        "merged": ("consult", "answer", "merge"), "agents-only": ("consult", "answer", "customer-leaves"),
        "agents-dialling": ("consult", "customer-leaves"),
    }[state]  # fmt: skip


def _meet(at: Where, one: str, other: str) -> bool:
    """Whether it matters to one of them that the other was there before, or both are taken."""
    first, second = in_turn(at, one, other), in_turn(at, other, one)
    return first[0] == (True, True) or first[0] != second[0][::-1]


def races(others: tuple[str, ...]) -> list[Race]:
    """Each command that its state takes with each of `others` that can come of it there, and some that it refuses."""
    chance, found = random.Random(f"{SEED} {others}"), list[Race]()
    for state in STATES:
        at, refused = Race(state, "", "", 0, "forward", True).begins, set[str]()
        for one, other in itertools.product(COMMANDS, others):
            if other in HAPPENINGS and after(at, other) == at:
                continue
            if other in HAPPENINGS and after(at, one) is None:  # one command that changes nothing is enough
                if other in refused:
                    continue
                refused.add(other)
            if other in COMMANDS:
                twice = COMMANDS.index(one) > COMMANDS.index(other)
                if twice or not (after(at, one) or after(at, other)):
                    continue
                if not _meet(at, one, other) and chance.random() > OTHERS:
                    continue
            apart_s = chance.choice((0.0, chance.uniform(-0.004, 0.004)))
            on_agent_hangup = chance.choice(("forward", "end")) if other == "agent-leaves" else "forward"
            found.append(Race(state, one, other, apart_s, on_agent_hangup, chance.random() < 0.7))
    chance.shuffle(found)
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desktop(running: GatewayProcess) -> AsyncIterator[Desktop]:
    """Whose orders they are."""
    async with desktop_of(running, keys=2) as one:
        yield one


async def _does(cast: Cast, step: str, body: Any = None) -> tuple[int, Any]:
    if step in COMMANDS:
        return await cast.orders(step, body)
    await cast.happens(step)
    return 202, None


async def _reaches(cast: Cast, race: Race) -> None:
    cast.bob.two_lines = True
    await cast.begins(continueCall=race.returns, timeout=60)
    at = Where()
    for step in way_to(race.state):
        body = {"agent": f"bob{cast.place.number}"}
        if step == "consult":
            body["onAgentHangup"] = race.on_agent_hangup
        status, told = await _does(cast, step, body if step in ("consult", "transfer") else None)
        assert status == 202, (step, told)
        if step in ("consult", "transfer"):
            await cast.bob.is_called()
        at = in_turn(at, step)[1]
        wanted = at.shown
        await cast.is_seen(lambda call, wanted=wanted: shown(call) == wanted, step)  # type: ignore[misc]


async def _late(cast: Cast, step: str, delay_s: float) -> tuple[int, Any]:
    await asyncio.sleep(delay_s)
    return await _does(cast, step)


def _fits(step: str, taken: bool, told: tuple[int, Any]) -> bool:
    """Whether this answer is that of a command that was taken, or was not."""
    status, body = told
    if step == "hangup" or step in HAPPENINGS:  # a second one finds it ending, which is what was asked for
        return status in (202, 409)
    if taken:
        return status == 202
    return status == 409 and (body["code"] == "agent-busy" or (body["code"] == "illegal-state" and "allowed" in body))


async def _comes_out(cast: Cast, race: Race, told: list[tuple[int, Any]]) -> list[Where]:
    """The ends that the table has for these answers and that the API shows; at least one."""
    orders = ((0, 1), (1, 0))
    steps, ends = (race.one, race.other), list[Where]()
    for order in orders:
        taken, at = in_turn(race.begins, *(steps[n] for n in order))
        if all(_fits(steps[n], taken[place], told[n]) for place, n in enumerate(order)) and at not in ends:
            ends.append(at)
    assert ends, f"no order of the two gives {told}"
    deadline = time.monotonic() + 20.0
    while True:
        call = await cast.seen()
        going = [leg for leg in call["legs"] if leg["state"] == "ending"] if call else []
        if not going and (found := [at for at in ends if at.shown == shown(call)]):
            return found
        assert time.monotonic() < deadline, f"{shown(call)} is none of {ends}; {told}"


def _names(call: dict[str, Any], at: Where) -> dict[str, str]:
    """Whose each leg is."""
    parts = {"customer": "customer", "agent": at.agent, "consult": "consultant"}
    return {leg["legId"]: parts[leg["role"]] for leg in call["legs"]}


async def _is_heard(cast: Cast, ends: list[Where]) -> None:
    """What the table says, in the API's words and on the audio."""
    phones = {"customer": cast.customer, "agent": cast.ann, "consultant": cast.bob}
    call = await cast.seen()
    if call is None:
        assert ends[0].state == "ended"
        return
    told = [at for at in ends if hearing_of(call, _names(call, at)) == hearing(at)]
    if not told:
        assert shown(call) == Where(state="ended").shown, (call["hearing"], [hearing(at) for at in ends])
        return
    began_s = time.monotonic() + SETTLED_S
    while True:
        await asyncio.sleep(LISTENS_S)
        until_s = time.monotonic()
        found = {name: heard(phone.ear, max(began_s, until_s - LISTENS_S), until_s) for name, phone in phones.items()}
        judged = [_judged(hearing(at), found) for at in told]
        if ("", "") in judged:
            return
        assert any(not strangers for strangers, _ in judged), judged
        assert until_s < began_s + MISSED_S, judged


def _judged(expected: dict[str, frozenset[str]], found: dict[str, list[Window]]) -> tuple[str, str]:
    """Who hears somebody whom they should not, and who misses somebody whom they should hear."""
    strangers, missed = list[str](), list[str]()
    for who, sources in expected.items():
        voices, windows = sources & set(found), found[who]
        strangers += [f"{who} hears {sorted(w.voices)}, not {sorted(sources)}" for w in windows if w.voices - voices]
        if not windows or any(w.voices != voices for w in windows):
            missed.append(f"{who} should hear {sorted(sources)}: {windows}")
        elif "music" in sources and not any(w.db > -50 for w in windows):
            missed.append(f"{who} should hear music: {windows}")
    return "; ".join(strangers), "; ".join(missed)


async def _runs(cast: Cast, race: Race) -> None:
    async with cast:
        await _reaches(cast, race)
        delays = (max(0.0, -race.apart_s), max(0.0, race.apart_s))
        told = await asyncio.gather(_late(cast, race.one, delays[0]), _late(cast, race.other, delays[1]))
        ends = await _comes_out(cast, race, list(told))
        await _is_heard(cast, ends)
        if await cast.seen() is not None:
            await cast.orders("hangup")
        await cast.proof()


async def _clears(cast: Cast) -> None:
    """What went wrong is over before the next one comes to this place."""
    cast.desktop.watches(f"c{cast.place.number}")
    while await cast.seen() is not None:
        await cast.orders("hangup")
        await asyncio.sleep(0.5)
    cast.desktop.watches(f"c{cast.place.number}", on=False)


async def _run_all(gateway: GatewayProcess, desktop: Desktop, all_: list[Race]) -> None:
    """So many at once as there are places."""
    waiting, wrong = list(all_), list[str]()

    async def runs_at(place: int, choir: Choir) -> None:
        while waiting:
            race = waiting.pop()
            cast = Cast(PLACES[place], gateway, desktop, choir)
            (error,) = await asyncio.gather(asyncio.wait_for(_runs(cast, race), 60), return_exceptions=True)
            if error is not None:
                await _clears(cast)
                wrong.append(f"{race}\n    call {cast.id}: {type(error).__name__} {str(error)[:1500]}")

    async with Choir() as choir:
        await asyncio.gather(*(runs_at(place, choir) for place in range(AT_ONCE)))
    print(f"{len(all_)} races, seed {SEED}, clock late by {choir.late_s * 1000:.0f} ms at most")
    assert wrong == [], f"{len(wrong)} of {len(all_)}, seed {SEED}:\n" + "\n".join(wrong)
    await gateway.all_given_back(within_s=10.0)


async def test_two_commands_at_once(gateway: GatewayProcess, desktop: Desktop) -> None:
    await _run_all(gateway, desktop, races(COMMANDS))


async def test_somebody_leaves_or_answers_during_a_command(gateway: GatewayProcess, desktop: Desktop) -> None:
    await _run_all(gateway, desktop, races(HAPPENINGS))
