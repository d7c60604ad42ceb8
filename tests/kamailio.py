"""Kamailio as a registrar and record-routing proxy, from Debian, in memory only; for tests/sip.

async with Kamailio(folder) as proxy:           # at 127.0.0.2; registers `gw` with "open sesame"
    await proxy.knows(1)
"""

import asyncio
import re
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.wire import CARRIER, free_port

EXPIRES_S: Final = 15
"""For how long it registers anybody, so that refreshes come soon."""
_CONFIG: Final = """#!KAMAILIO
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
listen=udp:{address}:{port}
{modules}
modparam("ctl", "binrpc", "unix:{folder}/ctl")
modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", {expires})

request_route {{
  if (has_totag()) {{
    if (loose_route() || (is_method("ACK") && t_check_trans())) t_relay();
    exit;
  }}
  if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
  if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
  if (is_method("REGISTER")) {{
    if (!pv_www_authenticate("acme.example", "{password}", "0") || $au != "gw") {{
      www_challenge("acme.example", "1");
      exit;
    }}
    save("location");
    exit;
  }}
  record_route();
  if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
  t_relay();
}}
"""
_MODULES: Final = ("tm", "sl", "rr", "pv", "auth", "usrloc", "registrar", "siputils", "textops", "ctl")


class Kamailio:
    """One process with its children; it forgets all registrations when it ends."""

    def __init__(self, folder: Path) -> None:
        self.address, self.port = CARRIER, free_port()
        self.password = "open sesame"
        self._folder = folder
        self._noise: list[str] = []

    async def start(self) -> None:
        """Start, and wait until it can be asked."""
        modules = "\n".join(f'loadmodule "{name}.so"' for name in _MODULES)
        config = self._folder / "kamailio.cfg"
        config.write_text(
            _CONFIG.format(
                address=self.address,
                port=self.port,
                modules=modules,
                folder=self._folder,
                expires=EXPIRES_S,
                password=self.password,
            )
        )
        self._process = await asyncio.create_subprocess_exec(
            *("/usr/sbin/kamailio", "-f", str(config), "-DD", "-m", "32", "-M", "4"),
            *("-w", str(self._folder), "-Y", str(self._folder)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        self._reader = asyncio.create_task(self._read())
        async with asyncio.timeout(10):
            while await self._asked("core.uptime") is None:
                assert self._process.returncode is None, "\n".join(self._noise)
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """End it, and its children with it."""
        if self._process.returncode is None:
            self._process.terminate()
        async with asyncio.timeout(10):
            await self._process.wait()
            await self._reader

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def contacts(self) -> list[str]:
        """The contacts in its usrloc."""
        told = await self._asked("ul.dump")
        assert told is not None, "\n".join(self._noise)
        return re.findall(r"^\s*Address: (\S+)", told, re.MULTILINE)

    async def knows(self, count: int, timeout_s: float = 15.0) -> list[str]:
        """Wait until it has so many contacts; they."""
        async with asyncio.timeout(timeout_s):
            while len(found := await self.contacts()) != count:
                await asyncio.sleep(0.1)
        return found

    async def _asked(self, command: str) -> str | None:
        """What it answers over its control socket; None while it does not."""
        asker = await asyncio.create_subprocess_exec(
            *("/usr/sbin/kamcmd", "-s", f"unix:{self._folder}/ctl", command),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        told, _ = await asker.communicate()
        return told.decode() if asker.returncode == 0 else None

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self._noise.append(line.decode(errors="replace").rstrip())
