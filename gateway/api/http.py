"""The HTTP server: health, the control API, and what else app.py mounts; built and run by app.py."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence

from aiohttp import web

from gateway import __version__
from gateway.api.operations import MAX_BODY
from gateway.api.problems import ApiProblem, Code, shape_errors
from gateway.api.v1 import ControlApi
from gateway.telemetry.log import get_logger

Counts = Callable[[], Mapping[str, int]]
SHUTDOWN_S = 3.0
_SILENT = logging.Logger("http", logging.CRITICAL)

log = get_logger(__name__)


class HttpServer:
    """Serves /healthz and /readyz, the control API, and `extra` routes (such as /metrics), which need no key.

    `held` says what is held now, `counted` what happened how often so far, `ready` whether calls are taken.
    """

    def __init__(
        self,
        bind: str,
        held: Counts,
        counted: Counts,
        ready: Callable[[], bool],
        api: ControlApi | None = None,
        extra: Sequence[web.RouteDef] = (),
    ) -> None:
        host, _, port = bind.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._held, self._counted, self._ready = held, counted, ready
        self._api, self._extra = api, extra
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None

    async def start(self) -> str:
        """Listen; the URL. Raises OSError when the address cannot be had."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[shape_errors])
        app.on_response_prepare.append(_headers)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.add_routes(self._extra)
        if self._api is not None:
            self._api.install(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        try:
            self._listening = await self._listen(self._runner)
        except OSError:
            await self.stop()
            raise
        port = self._listening.sockets[0].getsockname()[1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{port}"

    async def _listen(self, runner: web.AppRunner) -> asyncio.Server:
        server, loop = runner.server, asyncio.get_running_loop()
        assert server is not None
        return await loop.create_server(
            lambda: _Connection(server, loop=loop, access_log=_SILENT), self._host, self._port, backlog=128
        )

    async def stop(self) -> None:
        """End event streams with a word, let requests finish for at most 3 s, close all connections."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
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


class _Connection(web.RequestHandler):
    """What is no HTTP is answered as all errors are, and is not worth a traceback in the log."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Called by aiohttp for what its parser refuses, and for what no middleware caught."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way")
        if status >= 500:
            log.error("api.broke", exc_info=exc)
        code = Code.MALFORMED_REQUEST if status < 500 else Code.INTERNAL
        detail = "it is not HTTP/1.1 as we read it" if status < 500 else "it is in the log"
        response = ApiProblem(code, detail).response()
        response.force_close()
        _own_headers(response)
        return response


async def _headers(_: web.Request, response: web.StreamResponse) -> None:
    _own_headers(response)


def _own_headers(response: web.StreamResponse) -> None:
    """What every answer carries: nothing is kept, nothing is guessed, and no version is told."""
    response.headers["Server"] = "Switchhook"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
