"""What `switchhook watch` is asked to do, and whether that can be done; made by cli.py, read by watch.py."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.api.base import CALL_ID
from gateway.settings import Settings, load_settings

KEY_VARIABLE: Final = "SWITCHHOOK_KEY"
"""Not SWITCHHOOK_API_KEY: settings.py takes what begins like a setting (`api`) for one."""
_HERE: Final = re.compile(r"https?://(127\.[0-9.]+|localhost|\[::1\])(:[0-9]+)?/*$")
_URL: Final = re.compile(r"https?://[^\s/?#@]+/*")


class UsageError(ValueError):
    """The command line makes no sense; the text says what to write."""


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
    """This call only."""
    show_numbers: bool = False


def read_options(given: WatchOptions, url: str | None, settings: Path | None, env: Mapping[str, str]) -> WatchOptions:
    """The same with the address and the store of the settings where none was given; these are not read if they are not
    needed, as far from the gateway they are another one's. Raises UsageError or SettingsError."""
    if given.once and given.plain:
        raise UsageError("--once prints one picture, --plain a line per event: choose one")
    if given.call is not None and not re.fullmatch(CALL_ID, given.call):
        raise UsageError(f"--call {given.call}: write an id such as call_01KAJ…; switchhook watch --plain shows them")
    if url is not None and not _URL.fullmatch(url):
        raise UsageError(f"--url {url}: write the address of the gateway's API, such as http://127.0.0.1:8080")
    if url is not None and not given.key and not _HERE.match(url):
        raise UsageError(f"--url {url} is not this machine: give a key in {KEY_VARIABLE} or with --key")
    loaded = Settings() if url and given.key else load_settings(settings, env)
    if url is None and loaded.api.bind.port == 0:
        raise UsageError("api.bind of the settings has port 0: give the address that `serve` printed with --url")
    return WatchOptions(
        url=url.rstrip("/") if url else f"http://{loaded.api.bind}",
        key=given.key or None,
        store_url=loaded.store.url,
        once=given.once,
        plain=given.plain,
        call=given.call,
        show_numbers=given.show_numbers,
    )
