"""What `switchhook keys` and `switchhook cdrs` do in the store, whether a gateway runs or not; called by cli.py."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from json import dumps

from gateway.api.auth import Scope
from gateway.calls.cdr import Cdr
from gateway.calls.cdr import as_json as cdr_json
from gateway.calls.view import rfc3339
from gateway.dialplan.schema import Dialplan
from gateway.engine.ports import CdrFilter, Key, KeyNameTaken, StoreUnavailable
from gateway.store.database import StoreUrlError
from gateway.store.store import Visit, visit_store


class RecordsError(Exception):
    """It could not be done; the text says why and what to do instead."""


@asynccontextmanager
async def _visit(url: str) -> AsyncIterator[Visit]:
    try:
        visit = await visit_store(url)
        try:
            yield visit
        finally:
            await visit.close()
    except (StoreUrlError, StoreUnavailable, KeyNameTaken) as error:
        raise RecordsError(str(error)) from None


async def add_key(
    url: str, plan: Dialplan, name: str, scopes: Sequence[str], channels: Sequence[str], agent: str | None
) -> str:
    """Make a key; its text. Raises RecordsError."""
    unknown = next((scope for scope in scopes if scope not in [*Scope]), None)
    if unknown is not None:
        raise RecordsError(f"--scope {unknown}: write one of {' '.join(Scope)}")
    stranger = next((channel for channel in channels if channel not in plan.channels), None)
    if stranger is not None:
        raise RecordsError(_elsewhere("channel", stranger, list(plan.channels)))
    if agent is not None and agent not in plan.agents:
        raise RecordsError(_elsewhere("agent", agent, list(plan.agents)))
    bound = frozenset(channels) if channels else None
    async with _visit(url) as visit:
        text, _ = await visit.keys.add(name, frozenset(scopes), time.time(), channels=bound, agent=agent)
    return text


def _elsewhere(kind: str, name: str, known: Sequence[str]) -> str:
    """This plan does not have it; the plan that is meant may be another."""
    has = f"write one of {', '.join(known)}" if known else f"the dialplan has no {kind}s"
    return f"--{kind} {name}: {has}, or name the dialplan that has it with --dialplans"


async def revoke_key(url: str, name: str) -> None:
    """Raises RecordsError."""
    async with _visit(url) as visit:
        if not await visit.keys.revoke(name, time.time()):
            raise RecordsError(f"there is no key {name!r} in use; see switchhook keys list")


async def key_lines(url: str) -> list[str]:
    """All keys, a line each. Raises RecordsError."""
    async with _visit(url) as visit:
        return [_key_line(key) for key in await visit.keys.list()]


def _key_line(key: Key) -> str:
    bound = [f"channel={channel}" for channel in sorted(key.channels or ())] + (
        [f"agent={key.agent}"] * bool(key.agent)
    )
    state = "active" if key.revoked_at is None else "revoked"
    return "  ".join(filter(None, (key.name, state, " ".join(sorted(key.scopes)), " ".join(bound))))


async def cdr_lines(url: str, limit: int, channel: str | None, *, as_json: bool) -> list[str]:
    """CDRs, the newest first, a line each. Raises RecordsError."""
    async with _visit(url) as visit:
        page = await visit.history.cdrs(CdrFilter(frozenset({channel}) if channel else None), limit=limit)
    return [dumps(cdr_json(cdr), ensure_ascii=False) if as_json else _cdr_line(cdr) for cdr in page.items]


def _cdr_line(cdr: Cdr) -> str:
    seconds = f"{cdr.duration_ms / 1000:.1f} s"
    return (
        f"{rfc3339(cdr.started_at)}  {cdr.from_:>14} -> {cdr.to:<14} {cdr.channel or '-':<14} {seconds:>9}  {cdr.cause}"
    )
