"""An agent's desktop: asks the gateway's API with a key of its own, and follows a call's events; for the scenes."""

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import aiohttp

from gateway.api.auth import Scope
from gateway.demo.cast import STORE_URL
from gateway.demo.stage import DemoFailed
from gateway.dialplan.schema import Dialplan
from gateway.records import RecordsError, add_key, revoke_key

Fields: TypeAlias = dict[str, Any]
"""A JSON object of the API."""

_ANSWER: Final = aiohttp.ClientTimeout(total=5.0)
_ENDLESS: Final = aiohttp.ClientTimeout(total=None)
_DATA: Final = "data: "


def curl(method: str, path: str, body: Fields | None = None) -> str:
    """The same request from a shell, where $API is the gateway's address and $KEY a key; one with a body is a POST."""
    what = "" if method == "GET" or body is not None else f"-X {method} "
    told = "" if body is None else f" --json '{json.dumps(body, separators=(',', ':'))}'"  # which is a POST
    return f'curl {what}$API{path} -H "Authorization: Bearer $KEY"{told}'


class Desk:
    """One key's view of the gateway; see open_desk."""

    def __init__(self, session: aiohttp.ClientSession, api: str) -> None:
        self._session, self.api = session, api

    async def get(self, path: str) -> Fields:
        """What is there. Raises DemoFailed."""
        return await self.ask("GET", path, HTTPStatus.OK)

    async def ask(self, method: str, path: str, status: HTTPStatus, body: Fields | None = None) -> Fields:
        """The answer, if it has this status. Raises DemoFailed."""
        try:
            async with self._session.request(method, self.api + path, json=body, timeout=_ANSWER) as answer:
                told = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise DemoFailed(f"{method} {path}: {str(error) or 'no answer'}") from None
        if answer.status != status:
            raise DemoFailed(f"{method} {path} gave {answer.status}: {told}")
        return dict(told)

    @asynccontextmanager
    async def following(self, call_id: str, types: str, tell: Callable[[Fields], None]) -> AsyncIterator[None]:
        """Tell every event of these types of a call, from its beginning, while the block lasts (GET /v1/events)."""
        following = asyncio.create_task(self._follow({"call": call_id, "types": types, "after": "0"}, tell))
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError, aiohttp.ClientError):  # what it did not tell was waited for in vain
                await following

    async def _follow(self, query: dict[str, str], tell: Callable[[Fields], None]) -> None:
        async with self._session.get(f"{self.api}/v1/events", params=query, timeout=_ENDLESS) as answer:
            async for raw in answer.content:
                line = raw.decode().rstrip()
                if line.startswith(_DATA):
                    tell(json.loads(line.removeprefix(_DATA)))


@asynccontextmanager
async def open_desk(api: str, *scopes: Scope) -> AsyncIterator[Desk]:
    """With a key that is made for it, and is of no use afterwards. Raises DemoFailed."""
    name = f"demo-{os.getpid()}-{secrets.token_hex(3)}"
    try:
        key = await add_key(STORE_URL, Dialplan(), name, [scope.value for scope in scopes], [], None)
        try:
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
                yield Desk(session, api)
        finally:
            await revoke_key(STORE_URL, name)
    except RecordsError as error:
        raise DemoFailed(f"the key for the API: {error}") from None
