"""A web server with tones: `tones.url(440, seconds=5)` is a WAV file that a bot may have played; for tests."""

import io
import wave
from types import TracebackType
from typing import Self

import numpy as np
from aiohttp import web

_RATE = 8000


class ToneServer:
    """Serves on loopback; `fetched` counts the requests."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self._port = 0

    def url(self, hz: int, seconds: float = 10.0) -> str:
        """A tone of -12 dBFS."""
        return f"http://127.0.0.1:{self._port}/tone-{hz}-{seconds}.wav"

    async def _tone(self, request: web.Request) -> web.Response:
        self.fetched.append(request.path)
        _, hz, seconds = request.match_info["name"].split("-")
        at = np.arange(round(float(seconds) * _RATE)) / _RATE
        pcm = (0.25 * 32767 * np.sin(2 * np.pi * int(hz) * at)).astype("<i2").tobytes()
        file = io.BytesIO()
        with wave.open(file, "wb") as wav:
            wav.setparams((1, 2, _RATE, 0, "NONE", ""))
            wav.writeframes(pcm)
        return web.Response(body=file.getvalue(), content_type="audio/wav")

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{name}.wav", self._tone)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
