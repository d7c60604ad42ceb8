"""The HTTP server: health now, the control API later; built and run by app.py."""

import asyncio
import os
from collections.abc import Callable, Mapping

from aiohttp import web

from gateway import __version__

Counts = Callable[[], Mapping[str, int]]


class HttpServer:
    """Serves /healthz and /readyz.

    `held` says what is held now, `counted` what happened how often so far, `ready` whether calls are taken.
    """

    def __init__(self, bind: str, held: Counts, counted: Counts, ready: Callable[[], bool]) -> None:
        host, _, port = bind.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._held, self._counted, self._ready = held, counted, ready
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen; the URL. Raises OSError when the address cannot be had."""
        app = web.Application(client_max_size=64 * 1024)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError:
            await self.stop()
            raise
        port = self._runner.addresses[0][1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """Close all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _healthz(self, _: web.Request) -> web.Response:
        held = {
            **self._held(),
            "tasks": len(asyncio.all_tasks()),
            "descriptors": len(os.listdir("/proc/self/fd")),
        }
        answer = {"status": "ok", "version": __version__, "held": held, "counted": dict(self._counted())}
        return web.json_response(answer)

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self._ready()
        return web.json_response({"ready": ready}, status=200 if ready else 503)
