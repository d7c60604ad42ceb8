"""Runs one command of an operator against a gateway: finds the call, orders, prints what is now; for cli_agent.py."""

import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from gateway.watch import told
from gateway.watch.client import READ, Client, Declined, Lost, NotSeen, WatchError
from gateway.watch.connect import connected, enough_said, unless
from gateway.watch.options import Access
from gateway.watch.orders import Order
from gateway.watch.pick import pick_call
from gateway.watch.rows import CallRow
from gateway.watch.wire import Fields, NotOurs, call_of, fit
from gateway.watch.words import Numbers

Say = Callable[[str], None]
_HOW_IT_IS: Final = "switchhook calls shows how the calls are"


async def run_order(access: Access, call: str | None, order: Order, say: Say, *, as_json: bool) -> None:
    """Order it of the call that is meant (`pick.py`). Raises WatchError when it was not done, UsageError."""
    async with connected(access, order.word, order.scopes) as client:
        rows = [call_of(fit(each)) for each in await calls_up(client)]
        call_id = pick_call(call, rows)
        before = next((row for row in rows if row.call_id == call_id), CallRow(call_id, "", "", 0.0))
        answer = await _send(client, call_id, order, before)
    if as_json:
        say(json.dumps(answer))
        return
    fields = fit(answer)
    after, words = call_of(fields), fields.get("allowed")
    allowed = [str(word) for word in words] if isinstance(words, list) else []
    if order.word == "consult" and after.consult == "none":
        raise WatchError(told.failed_at_once(call_id, order.word))
    if order.word == "transfer" and "cancel-transfer" not in allowed:
        raise WatchError(told.failed_at_once(call_id, order.word))
    say(told.now(after, allowed))
    known = {leg.leg_id for leg in before.legs}
    for leg in after.legs:
        if leg.role == "supervisor" and leg.leg_id not in known:
            say("  " + told.called(after, leg.leg_id))


async def _send(client: Client, call_id: str, order: Order, before: CallRow) -> Fields:
    asked = order.ask(before)
    try:
        return await client.send(asked.method, f"/v1/calls/{quote(call_id, safe='')}{asked.path}", asked.body)
    except NotSeen as refusal:
        raise WatchError(f"{call_id}: {refusal}; {_HOW_IT_IS}") from None
    except Declined as refusal:
        if refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise WatchError(f"{call_id}: {refusal}; {_HOW_IT_IS}") from None
        raise WatchError(told.refused(call_id, refusal.problem, Numbers())) from None
    except Lost as lost:
        raise WatchError(f"the gateway did not say whether it does that ({lost}): {_HOW_IT_IS}") from None


async def run_calls(access: Access, say: Say, *, as_json: bool, numbers: Numbers) -> None:
    """List the calls that are up, the oldest first. Raises WatchError."""
    async with connected(access, "calls", READ) as client:
        found = await calls_up(client)
        at = client.now()
    for each in found:
        say(json.dumps(each) if as_json else told.listed(call_of(fit(each)), at, numbers))
    if not found and not as_json:
        say("no calls")


async def calls_up(client: Client) -> list[Fields]:
    """As they came. Raises WatchError."""
    try:
        return await client.live_calls()
    except NotOurs:
        raise client.nobody(Lost("its answers cannot be read")) from None
    except NotSeen:
        raise WatchError(f"the gateway at {client.url} does not show its calls to this key") from None
    except Lost as lost:
        raise client.nobody(lost) from None


async def to_its_end(work: Coroutine[Any, Any, None]) -> int:
    """The exit code: 0, or 1 if a signal ended it before it was done."""
    done = False

    async def whole() -> None:
        nonlocal done
        await work
        done = True

    with enough_said() as enough:
        await unless(enough, whole())
    return 0 if done else 1
