"""The receiver of status webhooks of README.md takes what the gateway sends, once, and nothing that others send."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.bots.status import StatusReceiver
from gateway.bots.webhook import open_session
from gateway.engine.ports import Recorded
from tests.unit.store.happenings import happening

README = Path(__file__).parents[3] / "README.md"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT = Recorded(7, happening("call.ended", "call_1"))


@pytest.fixture
async def url(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (program,) = [block for block in blocks if "CRM_SECRET" in block]
    program, run, _ = program.partition("web.run_app")
    assert run
    monkeypatch.setenv("CRM_SECRET", SECRET)
    names: dict[str, Any] = {}
    exec(compile(program, str(README), "exec"), names)
    runner = web.AppRunner(names["app"], access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/calls"
    await runner.cleanup()


async def test_it_takes_an_event_once(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with open_session() as session:
        receiver = StatusReceiver(url, [SECRET], session)
        assert [await receiver.post(EVENT), await receiver.post(EVENT)] == [None, None]
    assert capsys.readouterr().out == "7 call_1 call.ended\n"


async def test_it_takes_nothing_that_is_signed_by_somebody_else(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with open_session() as session:
        refusal = await StatusReceiver(url, ["another secret"], session).post(EVENT)
    assert refusal is not None and refusal.detail == "it answered 500"
    assert capsys.readouterr().out == ""
