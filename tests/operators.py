"""Somebody with a key of the gateway's API, and the `switchhook` command as its users run it; for tests/sip."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp

from tests.gateway_process import ROOT, GatewayProcess


class Operator:
    """Somebody with a key."""

    def __init__(self, gateway: GatewayProcess, key: str) -> None:
        self.key = key
        self._url, self.headers = gateway.api, {"Authorization": f"Bearer {key}"}

    async def asks(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the JSON of the answer. One who asks too often waits for as long as the API says."""
        async with aiohttp.ClientSession(headers=self.headers) as session:
            while True:
                async with session.request(method, self._url + path, json=body) as answer:
                    text = await answer.text()
                if answer.status != 429:
                    return answer.status, json.loads(text) if text else None
                await asyncio.sleep(float(answer.headers["Retry-After"]))

    async def call(self) -> dict[str, Any]:
        """The one live call."""
        _, told = await self.asks("GET", "/v1/calls")
        (call,) = told["items"]
        return call

    async def cdrs(self) -> list[dict[str, Any]]:
        """All of them, the newest first."""
        _, told = await self.asks("GET", "/v1/cdrs")
        return list(told["items"])

    async def trunk(self, name: str) -> dict[str, Any]:
        """A trunk as the API shows it."""
        _, told = await self.asks("GET", "/v1/trunks")
        return next(item for item in told["items"] if item["name"] == name)


async def switchhook(folder: Path, *words: str, env: Mapping[str, str] = MappingProxyType({})) -> str:
    """What the command prints, in the folder of a GatewayProcess; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *words, "--dialplans", str(folder / "plan.yaml")),
        cwd=folder,
        env={**env, "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "SWITCHHOOK_MEDIA__FOLDER": str(ROOT / "media")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return out.decode().strip()


_ALL = ("calls:read", "calls:control", "bot:reply", "agents", "supervise", "admin")


async def operator_of(gateway: GatewayProcess, folder: Path, *more: str, scopes: Sequence[str] = _ALL) -> Operator:
    """One who may do everything, or with `more` (`--channel`, `echo`) or other scopes less."""
    words = [word for scope in scopes for word in ("--scope", scope)]
    name = "-".join(("key", *more, *(scopes if scopes is not _ALL else ()))).replace(":", "-")
    return Operator(gateway, await switchhook(folder, "keys", "add", name, *words, *more, env=gateway.env))
