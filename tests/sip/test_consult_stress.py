"""Many calls at once whose agents consult, swap, merge, forward, hold and transfer as chance has it, while anybody
hangs up: nothing is left over, and nobody ever hears whom they should not.

The API is looked at all the time. Where several looks in a row show the same hearing, it must be that of the table, and
each WINDOW_S of what each phone hears meanwhile, SETTLED_S away from any change, must have the voices that belong to it
and no other; whoever should hear somebody, or music, does. In CI it is a small one; by hand, for the whole:

    SWITCHHOOK_STRESS_CALLS=100 SWITCHHOOK_STRESS_SECONDS=300 pytest -s tests/sip/test_consult_stress.py

SWITCHHOOK_STRESS_SEED is the seed, which is printed. What each call does follows from it; how the calls meet does not.
"""

import asyncio
import itertools
import os
import random
import time
from collections import Counter
from typing import Any

import pytest

from tests.gateway_process import GatewayProcess
from tests.sip.choir import WINDOW_S, Choir, Window, heard
from tests.sip.consult_cast import Cast, Desktop, Look, Phone, desktop_of, hearing_of
from tests.sip.consult_table import Where, hearing
from tests.sip.office import office_plan
from tests.sip.transfer_cells import places

CALLS = int(os.environ.get("SWITCHHOOK_STRESS_CALLS", "20"))
SECONDS = float(os.environ.get("SWITCHHOOK_STRESS_SECONDS", "25"))
SEED = os.environ.get("SWITCHHOOK_STRESS_SEED", "11")
SETTLED_S = 0.2
MISSED_S = 3.0
"""A voice may be missed for so long while the machine is busy; nobody is heard for a moment who should not be."""
WORDS = ("consult",) * 4 + ("swap",) * 4 + ("merge",) * 2 + ("forward",) * 2 + (
    "end-consult", "transfer", "cancel-transfer", "hold", "unhold", "unhold",
)  # fmt: skip
PLACES = places(CALLS)
PLAN = office_plan(PLACES)
SETTINGS = {"limits.calls": "1000"}

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(SECONDS + 240)]


class Muddle:
    """One call whose people do what they do when `chance` has it."""

    def __init__(self, cast: Cast, chance: random.Random, did: Counter[str]) -> None:
        self._cast, self._chance, self._did = cast, chance, did
        self._returns = chance.random() < 0.5

    async def runs(self, until_s: float) -> None:
        """To the end of the call (it is made to end then), and the proof."""
        cast = self._cast
        async with cast:
            await cast.begins(continueCall=self._returns, timeout=30)
            people = [self._desktop(), self._customer(), self._phone(cast.ann, 1), self._phone(cast.bob, 0)]
            busy = [asyncio.create_task(one) for one in people]
            try:
                while await cast.seen() is not None:
                    for task in busy:
                        if task.done():
                            task.result()
                    await asyncio.sleep(0.3)
                    if time.monotonic() > until_s:
                        await cast.orders("hangup")
            finally:
                for task in busy:
                    task.cancel()
                await asyncio.wait(busy)
            events, cdr = await cast.proof()
            self._did.update(event["type"] for event in events)
            looks = [look for look in cast.desktop.looks[f"c{cast.place.number}"] if look.call is not None]
            judge = Judge(cast, _named(cdr, cast), self._did)
            for _, same in itertools.groupby(looks, _key):
                judge.hears(list(same))

    async def _after(self, mean_s: float) -> None:
        await asyncio.sleep(0.2 + min(self._chance.expovariate(1 / mean_s), 4 * mean_s))

    async def _desktop(self) -> None:
        """Whose orders do not always fit; now and then there are two at once."""
        cast, chance = self._cast, self._chance
        while True:
            await self._after(1.2)
            words = [chance.choice(WORDS) for _ in range(1 if chance.random() < 0.8 else 2)]
            for status, told in await asyncio.gather(*(cast.orders(word, self._body(word)) for word in words)):
                refused = status == 409 and (told["code"] == "agent-busy" or "allowed" in told)
                assert status == 202 or refused, (words, status, told)
                self._did[f"answered {status}"] += 1

    def _body(self, word: str) -> dict[str, Any] | None:
        """Somebody who is not in a call, if there is one."""
        if word not in ("consult", "transfer"):
            return None
        cast = self._cast
        free = [
            name
            for name, phone in (("ann", cast.ann), ("bob", cast.bob))
            if all(phone.call_is_over(invite) for invite in phone.invites)
        ]
        body = {"agent": f"{self._chance.choice(free or ['ann', 'bob'])}{cast.place.number}", "timeout": 3}
        return body | ({"onAgentHangup": self._chance.choice(("forward", "end"))} if word == "consult" else {})

    async def _customer(self) -> None:
        await self._after(14)
        await self._cast.happens("customer-leaves")

    async def _phone(self, phone: Phone, answered: int) -> None:
        """Who may be busy, may not answer, and does not talk for ever."""
        chance = self._chance
        for number in itertools.count(1):
            invite = await phone.is_called(number, timeout_s=600)
            if number > answered:
                await self._after(0.4)
                if phone.call_is_over(invite) or chance.random() < 0.1:
                    continue
                if chance.random() < 0.15:
                    phone.responds("486 Busy Here")
                    continue
                phone.responds("200 OK", sdp=True)
            await self._after(9)
            if not phone.call_is_over(invite):
                await phone.hangs_up()


# ── What was heard ──────────────────────────────────────────────────────────────────────────────────


def _named(cdr: dict[str, Any], cast: Cast) -> dict[str, str]:
    """Whose phone each leg is."""
    number = cast.place.number
    phones = {None: "customer", f"ann{number}": "agent", f"bob{number}": "consultant"}
    return {leg["legId"]: phones[leg["agent"]] for leg in cdr["legs"]}


def _key(look: Look) -> Any:
    call = look.call or {}
    legs = sorted((leg["legId"], leg["state"], leg["role"], leg["room"], leg["held"]) for leg in call["legs"])
    return call["state"], call["consultState"], call["hearing"], legs


def _told(call: dict[str, Any]) -> str:
    """For a failed assertion."""
    legs = [(leg["role"], leg["state"], leg["room"], leg["held"]) for leg in call["legs"]]
    return f"{call['state']} {call['consultState']} {call['allowed']} {legs} {call['hearing']}"


class Judge:
    """Holds what the phones of a call heard against what the API said and what the table says."""

    def __init__(self, cast: Cast, names: dict[str, str], did: Counter[str]) -> None:
        self._names, self._did, self._ordered = names, did, cast.ordered
        self._ears = {"customer": cast.customer.ear, "agent": cast.ann.ear, "consultant": cast.bob.ear}

    def hears(self, looks: list[Look]) -> None:
        """What was heard while all these looks showed the same."""
        call = looks[0].call
        assert call is not None
        roles = {leg["legId"]: leg["role"].replace("consult", "consultant") for leg in call["legs"]}
        edges = hearing_of(call, roles)
        if call["allowed"] and call["state"] != "offered":
            held = any(leg["held"] for leg in call["legs"] if leg["role"] == "customer")
            at = Where(call["state"], call["consultState"], held=held)
            assert edges == hearing(at), f"{_told(call)}: not {hearing(at)}"
        whose = {roles[leg["legId"]]: self._names[leg["legId"]] for leg in call["legs"] if leg["state"] == "connected"}
        for role, sources in edges.items():
            expected = frozenset(whose[one] for one in sources if one in whose)
            self._hears(whose[role], expected, "music" in sources, "bot" in sources, looks)

    def _hears(self, who: str, expected: frozenset[str], music: bool, bot: bool, looks: list[Look]) -> None:
        since_s, until_s = looks[0].got_s + SETTLED_S, looks[-1].sent_s
        missed_since, call = since_s, looks[0].call or {}
        for window in heard(self._ears[who], since_s, until_s):
            if self._in_doubt(window):
                continue
            self._did["windows"] += 1
            strangers = window.voices - expected
            assert bot or not strangers, (
                f"{who} hears {sorted(strangers)} for {window.at_s - since_s:.2f} s: {_told(call)}"
            )
            if window.voices >= expected and (not music or window.db > -50):
                missed_since = window.at_s
                continue
            self._did["windows with a gap"] += 1
            missed_s = window.at_s - missed_since
            assert missed_s < MISSED_S, (
                f"{who} misses {sorted(expected) or 'music'} for {missed_s:.1f} s: {_told(call)}"
            )

    def _in_doubt(self, window: Window) -> bool:
        """A command was under way, and may have been undone before the next look."""
        return any(began < window.at_s + WINDOW_S and window.at_s < ended + SETTLED_S for began, ended in self._ordered)


async def _slot(
    place: int, gateway: GatewayProcess, desktop: Desktop, choir: Choir, until_s: float, did: Counter[str]
) -> list[str]:
    """One call after the other; what went wrong."""
    wrong = list[str]()
    await asyncio.sleep(place * min(0.1, 5 / CALLS))
    number = 0
    while time.monotonic() < until_s - 3:
        cast = Cast(PLACES[place], gateway, desktop, choir)
        muddle = Muddle(cast, random.Random(f"{SEED} {place} {number}"), did)
        (error,) = await asyncio.gather(muddle.runs(until_s), return_exceptions=True)
        if error is not None:
            wrong.append(f"{place}/{number} {cast.id}: {type(error).__name__} {str(error)[:2500]}")
            desktop.watches(f"c{PLACES[place].number}")
            while await cast.seen() is not None:
                await cast.orders("hangup")
                await asyncio.sleep(0.5)
            desktop.watches(f"c{PLACES[place].number}", on=False)
        number += 1
    return wrong


async def test_many_consults_at_once(gateway: GatewayProcess) -> None:
    did: Counter[str] = Counter()
    print(f"seed {SEED}: {CALLS} calls at once for {SECONDS:g} s")
    async with (
        desktop_of(gateway, keys=2 + CALLS // 20, looks_every_s=0.06 + CALLS * 0.002) as desktop,
        Choir() as choir,
    ):
        until_s = time.monotonic() + SECONDS
        slots = (_slot(place, gateway, desktop, choir, until_s, did) for place in range(CALLS))
        told = await asyncio.gather(*slots)
        wrong = list(itertools.chain.from_iterable(told))
        print(f"the phones' clock was late by {choir.late_s * 1000:.0f} ms at most, {len(choir.stalls)} times")
    print(f"{dict(did.most_common())}")
    assert wrong == [], f"{len(wrong)} calls, seed {SEED}:\n" + "\n".join(wrong)
    assert did["transfer.started"] == did["transfer.ended"] >= CALLS
    assert did["consult.started"] >= CALLS / 2 and did["windows"] > 10 * CALLS
    await gateway.all_given_back(within_s=15.0)
