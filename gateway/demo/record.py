"""The demo's last look: the call's CDR, asked for at the gateway's API, and told for people; for scenes, run.py."""

import asyncio
from typing import Any, Final, TypeAlias

from gateway.demo.desk import Desk
from gateway.demo.stage import DemoFailed
from gateway.telemetry.ladder_events import clean

Record: TypeAlias = dict[str, Any]
"""A CDR, as control-api.md has it."""

_WITHIN_S: Final = 5.0
_AGAIN_S: Final = 0.2


async def fetch(desk: Desk, call_id: str) -> Record:
    """The CDR of a call that has just ended. Raises DemoFailed."""
    try:
        async with asyncio.timeout(_WITHIN_S):
            while True:  # it is written a moment after the call's end
                page = await desk.get("/v1/cdrs?limit=5")
                for cdr in page["items"]:
                    if cdr["callId"] == call_id:
                        return dict(cdr)
                await asyncio.sleep(_AGAIN_S)
    except TimeoutError:
        raise DemoFailed("the call has no record in GET /v1/cdrs") from None


def lines(cdr: Record) -> list[str]:
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
    told += [
        f"leg {leg['role']}: {leg['codec'] or 'not answered'}, SIP status {leg['sipStatus']}" for leg in cdr["legs"]
    ]
    told += [f"passed on to {hop['number']}: {hop['status']}" for one in cdr["transfers"] for hop in one["hops"]]
    if cdr["data"]:
        told.append("data: " + ", ".join(f"{name} {value}" for name, value in cdr["data"].items()))
    return [clean(line) for line in told]


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.1f} s"
