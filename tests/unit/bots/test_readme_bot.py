"""The first bot of README.md, run as a newcomer runs it: a server of its own that is sent signed events."""

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.bots.webhook import WebhookBot
from gateway.calls.commands import BotEventName
from tests.unit.bots.asking import AT, question

README = Path(__file__).parents[3] / "README.md"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def first_program() -> str:
    assert README.exists(), "README.md is missing"
    block = re.search(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert block, "README.md has no ```python block: the first bot belongs there"
    return block[1]


@contextmanager
def running(program: str, folder: Path) -> Iterator[str]:
    """Start it on a free port instead of 9000, and yield its URL when it listens."""
    assert "9000" in program, "the first bot of README.md must listen on port 9000"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = folder / "bot.py"
    path.write_text(program.replace("9000", str(port)), encoding="utf-8")
    log = folder / "bot.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(path)],
            cwd=folder,
            env=os.environ | {"BOT_SECRET": SECRET},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        for _ in range(500):
            with socket.socket() as probe:
                probe.settimeout(0.02)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, f"the first bot of README.md ended:\n{log.read_text()}"
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
        else:
            pytest.fail(f"the first bot of README.md does not listen:\n{log.read_text()}")
        route = re.search(r"""["'](/[\w/-]*)["']""", program)
        yield f"http://127.0.0.1:{port}{route[1] if route else '/'}"
    finally:
        process.kill()
        process.wait()


def test_has_ten_lines() -> None:
    lines = [line for line in first_program().splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(lines) <= 10, "README.md promises a first bot in ten lines of Python"


async def test_answers_a_whole_call(tmp_path: Path) -> None:
    with running(first_program(), tmp_path) as url:
        bot = WebhookBot(url, [SECRET])
        try:
            async with asyncio.timeout(10):
                answers = [
                    await bot.ask(question(event, seq=i), f"evt_{i}", AT)
                    for i, event in enumerate((BotEventName.START, BotEventName.DTMF, BotEventName.HANGUP))
                ]
        finally:
            await bot.close()
    assert answers[0].replies, "the first bot of README.md says nothing to a caller"
