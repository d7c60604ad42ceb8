"""The demo's last look: the call's CDR, asked for at the gateway's API with a key for this one question; for run.py."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

from gateway.api.auth import Scope
from gateway.demo.cast import STORE_URL
from gateway.demo.stage import DemoFailed
from gateway.demo.story import NUMBER, RATING
from gateway.dialplan.schema import Dialplan
from gateway.records import RecordsError, add_key, revoke_key
from gateway.telemetry.ladder_events import clean

_WITHIN_S: Final = 5.0
_AGAIN_S: Final = 0.2


async def fetch(api: str, call_id: str) -> dict[str, Any]:
    """The CDR of a call that has just ended. Raises DemoFailed."""
    try:
        async with _key() as key, aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
            async with asyncio.timeout(_WITHIN_S):
                while True:  # it is written a moment after the call's end
                    async with session.get(f"{api}/v1/cdrs", params={"limit": "5"}) as answer:
                        page = await answer.json()
                        if answer.status != 200:
                            raise DemoFailed(f"GET /v1/cdrs gave {answer.status}: {page}")
                    for cdr in page["items"]:
                        if cdr["callId"] == call_id:
                            return dict(cdr)
                    await asyncio.sleep(_AGAIN_S)
    except TimeoutError:
        raise DemoFailed("the call has no record in GET /v1/cdrs") from None
    except (aiohttp.ClientError, RecordsError) as error:
        raise DemoFailed(f"the call's record could not be had: {error}") from None


@asynccontextmanager
async def _key() -> AsyncIterator[str]:
    name = f"demo-{os.getpid()}-{secrets.token_hex(3)}"
    text = await add_key(STORE_URL, Dialplan(), name, [Scope.CALLS_READ.value], [], None)
    try:
        yield text
    finally:
        await revoke_key(STORE_URL, name)


def lines(cdr: dict[str, Any]) -> list[str]:
    """What stands in it, for people."""
    cause = cdr["cause"]
    told = [
        f"{cdr['from']} called {cdr['to']} on {cdr['trunk']}: {_seconds(cdr['durationMs'])}, "
        f"{cause['result']}/{cause['reason']}, ended by the {cdr['endedBy']}"
    ]
    told += [
        f"transfer to {one['number']}: {one['status']}, {one['reason']}; rang {_seconds(one['ringMs'])}, "
        f"talked {_seconds(one['talkMs'])}, ended by the {one['endedBy']}"
        for one in cdr["transfers"]
    ]
    told += [f"leg {leg['role']}: {leg['codec']}, SIP status {leg['sipStatus']}" for leg in cdr["legs"]]
    told.append("data: " + ", ".join(f"{name} {value}" for name, value in cdr["data"].items()))
    return [clean(line) for line in told]


def check(cdr: dict[str, Any]) -> list[str]:
    """What is not in it as it should be."""
    transfers = [(one["status"], one["endedBy"], one["hangup"]) for one in cdr["transfers"]]
    facts = [
        (transfers == [("SUCCESS", "agent", False)], f"the CDR tells of the transfers {transfers}"),
        (sorted(leg["role"] for leg in cdr["legs"]) == ["agent", "customer"], "the CDR has not both legs"),
        (cdr["data"] == {"customerNumber": NUMBER, "rating": RATING}, f"the CDR has the data {cdr['data']}"),
    ]
    return [problem for fact, problem in facts if not fact]


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.1f} s"
