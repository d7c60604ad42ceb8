"""`switchhook serve` with a journal that drops everything, which no setting can do; a process started by scene.py."""

import asyncio
import dataclasses
import os
import sys

from gateway import app
from gateway.calls.history import Happening
from gateway.engine.ports import JournalState
from gateway.settings import load_plan, load_settings


class Dropped:
    """A Journal that keeps nothing and is always settled."""

    def append(self, happening: Happening) -> None:
        """See Journal."""

    async def settled(self, within_s: float = 0.1) -> bool:
        """See Journal."""
        return True

    def state(self) -> JournalState:
        """See Journal."""
        return JournalState(0, 0, 0, 0.0)

    async def close(self) -> None:
        """See Journal."""


class Unjournaled(app.Gateway):
    """The gateway whose calls tell nobody what happens to them."""

    async def start(self) -> str:
        """See Gateway."""
        line = await super().start()
        engine = self.engine
        engine._world = dataclasses.replace(engine._world, journal=Dropped())
        return line


def main() -> int:
    """Run it until SIGTERM."""
    settings = load_settings(None, os.environ, {"dialplans": sys.argv[1], "log.format": "json"})
    return asyncio.run(
        app.run(settings, lambda: load_plan(settings, os.environ), lambda line: print(line, flush=True), Unjournaled)
    )


if __name__ == "__main__":
    sys.exit(main())
