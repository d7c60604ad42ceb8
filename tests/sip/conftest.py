"""What every test of a real gateway over real SIP has: one gateway for its module's PLAN, and proof that nothing leaks.

A module says `PLAN = …` (a dialplan's text), perhaps `SETTINGS = {…}` and `ENV = {…}`, and marks its
tests to share one event loop.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.bot_server import BotServer
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.operators import Operator, operator_of
from tests.sip.office import Office
from tests.tone_server import ToneServer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[GatewayProcess]:
    """The module's gateway; it must end with exit code 0."""
    module = request.module
    folder = tmp_path_factory.mktemp(module.__name__.rpartition(".")[2])
    async with GatewayProcess(
        module.PLAN, folder, getattr(module, "SETTINGS", {}), getattr(module, "ENV", {})
    ) as gateway:
        yield gateway


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(running: GatewayProcess) -> AsyncIterator[GatewayProcess]:
    """The module's gateway with a fresh log. After the test it holds what it held before, and it broke nowhere."""
    running.forget()
    yield running
    await running.all_given_back()
    running.check()


@pytest_asyncio.fixture(loop_scope="module")
async def customer(gateway: GatewayProcess) -> AsyncIterator[Caller]:
    """Somebody who has not called yet."""
    async with Caller(gateway) as caller:
        yield caller


@pytest_asyncio.fixture(loop_scope="module")
async def bot(request: pytest.FixtureRequest, gateway: GatewayProcess) -> AsyncIterator[BotServer]:
    """The bot at the BOT_PORT of the module's plan; it wants the module's SECRET to sign, if it has one."""
    secret = getattr(request.module, "SECRET", None)
    async with BotServer(secrets=[secret] if secret else [], port=request.module.BOT_PORT) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(running: GatewayProcess) -> Operator:
    """Who may do everything."""
    return await operator_of(running, running.folder)


@pytest_asyncio.fixture(loop_scope="module")
async def office(
    request: pytest.FixtureRequest, gateway: GatewayProcess, bot: BotServer, operator: Operator
) -> AsyncIterator[Office]:
    """The people at the PLACE of the module's plan; nobody has called yet."""
    async with Office(gateway, bot, operator, request.module.PLACE) as there:
        yield there


@pytest_asyncio.fixture(loop_scope="module")
async def tones(gateway: GatewayProcess) -> AsyncIterator[ToneServer]:
    """A web server with a WAV file of every tone."""
    async with ToneServer() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where SIPp leaves its traces."""
    return tmp_path
