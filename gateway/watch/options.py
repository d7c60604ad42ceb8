"""Which gateway is asked, with which key, and what to watch of it; made by cli_agent.py for connect.py, watch.py."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gateway.api.base import CALL_ID
from gateway.settings import Settings, load_settings

KEY_VARIABLE: Final = "SWITCHHOOK_KEY"
"""Not SWITCHHOOK_API_KEY: settings.py takes what begins like a setting (`api`) for one."""
_HERE: Final = re.compile(r"https?://(127\.[0-9.]+|localhost|\[::1\])(:[0-9]+)?/*$")
_URL: Final = re.compile(r"https?://[^\s/?#@]+/*")


LAST: Final = "last"
_PART: Final = re.compile(r"[0-9A-Za-z]{3,64}")


class UsageError(ValueError):
    """The command line makes no sense; the text says what to write."""


def names_a_call(given: str) -> bool:
    """Whether it can be: an id, the beginning or ending of one (three characters at least), or `last`."""
    return re.fullmatch(CALL_ID, given) is not None or _PART.fullmatch(given) is not None


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API is (without a slash at the end), and the key; None: one is made in the store at `store_url`."""

    url: str
    key: str | None
    store_url: str


def read_access(url: str | None, key: str | None, settings: Path | None, env: Mapping[str, str]) -> Access:
    """Address and store are those of the settings where no address was given; the settings are not read if they are not
    needed, as far from the gateway they are another one's. Raises UsageError or SettingsError."""
    if url is not None and not _URL.fullmatch(url):
        raise UsageError(f"--url {url}: write the address of the gateway's API, such as http://127.0.0.1:8080")
    if url is not None and not key and not _HERE.match(url):
        raise UsageError(f"--url {url} is not this machine: give a key in {KEY_VARIABLE} or with --key")
    loaded = Settings() if url and key else load_settings(settings, env)
    if url is None and loaded.api.bind.port == 0:
        raise UsageError("api.bind of the settings has port 0: give the address that `serve` printed with --url")
    return Access(url.rstrip("/") if url else f"http://{loaded.api.bind}", key or None, loaded.store.url)


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What to watch, and how. `key` None: one is made in the store at `store_url`."""

    url: str
    key: str | None
    store_url: str
    once: bool = False
    """One picture, then the end."""
    plain: bool = False
    """A line per event instead of a screen."""
    call: str | None = None
    """This call only: as `pick.py` has it."""
    show_numbers: bool = False


def read_options(given: WatchOptions, url: str | None, settings: Path | None, env: Mapping[str, str]) -> WatchOptions:
    """The same with the access completed as `read_access` does. Raises UsageError or SettingsError."""
    if given.once and given.plain:
        raise UsageError("--once prints one picture, --plain a line per event: choose one")
    if given.call is not None and not names_a_call(given.call):
        raise UsageError(
            f"--call {given.call}: write an id such as call_01KAJ…, its beginning or ending, or last; switchhook calls "
            "shows them"
        )
    access = read_access(url, given.key, settings, env)
    return replace(given, url=access.url, key=access.key, store_url=access.store_url)
