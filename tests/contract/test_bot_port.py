"""What the engine relies on of any Bot: the webhook (with a real server), the built-in ones, and the fake."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.bots.builtin import AnnounceBot, EchoBot, ReceptionBot
from gateway.bots.webhook import WebhookBot
from gateway.calls.commands import BotEventName
from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.model import Spoken
from gateway.calls.replies import BotResponse
from gateway.engine.ports import Bot
from tests import bot_server
from tests.bot_server import BotServer
from tests.fakes.bot import ScriptedBot, Thinks, fails, says
from tests.leaks import no_leaks
from tests.unit.bots.asking import AT, question

GREETING: dict[str, Any] = {"type": "text", "text": "Welcome"}


@dataclass(frozen=True)
class Subject:
    """A bot that greets on `start`."""

    bot: Bot


@dataclass(frozen=True)
class Fallible(Subject):
    """One that can be made to misbehave on `dtmf`."""

    think: Callable[[], None]
    fail: Callable[[], None]
    waiting: Callable[[], Awaitable[object]]
    """Returns when a question has arrived."""


@asynccontextmanager
async def _webhook() -> AsyncIterator[Fallible]:
    async with BotServer(secrets=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]) as server:
        server.on("start", bot_server.replies(GREETING))
        server.on("hangup", bot_server.replies(GREETING))
        bot = WebhookBot(server.url, server.secrets, timeout_s=2)
        yield Fallible(
            bot,
            lambda: server.on("dtmf", bot_server.silent()),
            lambda: server.on("dtmf", bot_server.status(500)),
            lambda: server.received("dtmf"),
        )
        await bot.close()


@asynccontextmanager
async def _scripted() -> AsyncIterator[Fallible]:
    bot = ScriptedBot()
    bot.on(BotEventName.START, says(GREETING))
    bot.on(BotEventName.HANGUP, says(GREETING))
    yield Fallible(
        bot,
        lambda: bot.on(BotEventName.DTMF, Thinks(60, says())),
        lambda: bot.on(BotEventName.DTMF, fails(BotErrorKind.STATUS)),
        lambda: asyncio.sleep(0.01),
    )


@asynccontextmanager
async def _reception() -> AsyncIterator[Subject]:
    yield Subject(ReceptionBot())


@asynccontextmanager
async def _echo() -> AsyncIterator[Subject]:
    yield Subject(EchoBot())


@asynccontextmanager
async def _announce() -> AsyncIterator[Subject]:
    yield Subject(AnnounceBot(Spoken(prompt="closed")))


FALLIBLE = [_webhook, _scripted]
ALL = [*FALLIBLE, _reception, _echo, _announce]


@pytest.fixture(params=ALL, ids=lambda make: make.__name__.strip("_"))
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with no_leaks(), request.param() as subject:
        yield subject


@pytest.fixture(params=FALLIBLE, ids=lambda make: make.__name__.strip("_"))
async def fallible(request: pytest.FixtureRequest) -> AsyncIterator[Fallible]:
    async with no_leaks(), request.param() as subject:
        yield subject


async def test_start_is_answered_with_something_to_hear(subject: Subject) -> None:
    response = await subject.bot.ask(question(BotEventName.START), "evt_1", AT)
    assert response.replies[0].type in ("text", "audio")


@pytest.mark.parametrize("event", BotEventName)
async def test_every_event_is_answered(subject: Subject, event: BotEventName) -> None:
    assert isinstance(await subject.bot.ask(question(event), "evt_1", AT), BotResponse)


async def test_nothing_is_said_after_the_end(subject: Subject) -> None:
    await subject.bot.ask(question(BotEventName.START), "evt_1", AT)
    assert await subject.bot.ask(question(BotEventName.HANGUP), "evt_2", AT) == BotResponse()


async def test_calls_do_not_disturb_each_other(subject: Subject) -> None:
    alone = await subject.bot.ask(question(BotEventName.START, call="call_0"), "evt_0", AT)
    together = await asyncio.gather(
        *(subject.bot.ask(question(BotEventName.START, call=f"call_{i}"), f"evt_{i}", AT) for i in range(1, 100))
    )
    assert all(response == alone for response in together)


async def test_an_abandoned_question_ends_at_once_and_harms_no_other(fallible: Fallible) -> None:
    fallible.think()
    asking = asyncio.create_task(fallible.bot.ask(question(BotEventName.DTMF), "evt_1", AT))
    other = asyncio.create_task(fallible.bot.ask(question(BotEventName.DTMF, call="call_2"), "evt_2", AT))
    await fallible.waiting()
    asking.cancel()
    async with asyncio.timeout(2):
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert (await fallible.bot.ask(question(BotEventName.START), "evt_3", AT)).replies
    assert not other.done()
    other.cancel()
    await asyncio.wait([other])


async def test_failure_is_a_bot_error(fallible: Fallible) -> None:
    fallible.fail()
    with pytest.raises(BotError) as failure:
        await fallible.bot.ask(question(BotEventName.DTMF), "evt_1", AT)
    assert failure.value.kind is BotErrorKind.STATUS


async def test_closing_twice_is_fine(subject: Subject) -> None:
    await subject.bot.ask(question(BotEventName.START), "evt_1", AT)
    await subject.bot.close()
    await subject.bot.close()
