"""A key for a command on the gateway's machine: made at the start, useless after the end; for connect.py."""

import os
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gateway.dialplan.schema import Dialplan
from gateway.records import RecordsError, add_key, revoke_key
from gateway.store.database import path_of
from gateway.watch.client import WatchError


@asynccontextmanager
async def own_key(store_url: str, command: str, scopes: Sequence[str]) -> AsyncIterator[str]:
    """The text of a key of this `command` with these scopes, until the block ends, however it ends. Raises WatchError.

    The store must be there: one that is made here would be of no gateway.
    """
    path = path_of(store_url)
    instead = (
        "run it where the gateway runs, with its --settings; or write there: switchhook keys add NAME "
        f"{' '.join(f'--scope {scope}' for scope in scopes)}, and give the key in SWITCHHOOK_KEY or with --key"
    )
    if not path.is_file():
        raise WatchError(f"no key was given, and there is no store at {path} to make one in: {instead}")
    name = f"{command}-{os.getpid()}-{secrets.token_hex(3)}"
    try:
        text = await add_key(store_url, Dialplan(), name, scopes, [], None)
    except RecordsError as error:
        raise WatchError(f"no key was given, and none can be made in {path} ({error}): {instead}") from None
    try:
        yield text
    finally:
        try:
            await revoke_key(store_url, name)
        except RecordsError as error:
            sys.stderr.write(f"the key {name} could not be revoked ({error}); see switchhook keys list\n")
