"""The terminal phone that is called: `switchhook answer`, by the one that calls and by a caller that gives up."""

import asyncio

from tests import spectrum
from tests.phone import Phone


async def test_it_rings_answers_and_both_hear_each_other() -> None:
    async with Phone(None, port=0, ring=0.3, tone=1300) as agent:
        async with Phone(await agent.uri(), tone=500, header="X-Reason: support") as caller:
            incoming = await agent.event("incoming")
            assert incoming["headers"] == ["X-Reason: support"] and "phone@127.0.0.1" in incoming["from"]
            await asyncio.gather(caller.answered(), agent.answered())
            await asyncio.gather(caller.event("audio-started"), agent.event("audio-started"))
            at_caller, at_agent = await asyncio.gather(caller.listen(500), agent.listen(500))
            assert spectrum.has_tone(at_caller, 1300) and not spectrum.has_tone(at_caller, 500)
            assert spectrum.has_tone(at_agent, 500) and not spectrum.has_tone(at_agent, 1300)
            await agent.hang_up()
            assert (await caller.ended())["by"] == "peer"
            assert (await caller.wait(), await agent.wait()) == (0, 0)
        assert agent.messages() == ["< INVITE", "> 180 Ringing", "> 200 OK", "< ACK", "> BYE"]
        assert agent.stderr == ""


async def test_an_order_answers_before_it_has_rung_for_long_and_the_caller_hangs_up() -> None:
    async with Phone(None, port=0, ring=60) as agent, Phone(await agent.uri()) as caller:
        await caller.event("ringing", status=180)
        await agent.send("answer")
        await agent.answered(timeout=5)
        await caller.answered()
        await caller.hang_up()
        assert (await agent.ended())["by"] == "peer"
        assert await agent.wait() == 0


async def test_it_refuses_as_it_was_told() -> None:
    async with Phone(None, port=0, refuse=486) as agent, Phone(await agent.uri()) as caller:
        ended = await caller.ended()
        assert (ended["status"], ended["by"], ended["answered"]) == (486, "peer", False)
        assert (await caller.wait(), await agent.wait()) == (1, 0)
        assert agent.messages() == ["< INVITE", "> 486 Busy Here"]


async def test_a_caller_who_gives_up_is_told_and_is_no_call() -> None:
    async with Phone(None, port=0, ring=60) as agent, Phone(await agent.uri()) as caller:
        await caller.event("ringing", status=180)
        await caller.send("cancel")
        ended = await agent.ended()
        assert (ended["by"], ended["status"], ended["answered"]) == ("peer", 487, False)
        assert agent.messages()[-2:] == ["< CANCEL", "> 487 Request Terminated"]
        assert await agent.wait() == 1


async def test_a_second_caller_finds_it_busy() -> None:
    async with Phone(None, port=0, ring=60) as agent, Phone(uri := await agent.uri()) as caller:
        await caller.event("ringing", status=180)
        async with Phone(uri) as second:
            assert (await second.ended())["status"] == 486
        await agent.send("answer")
        await caller.answered()


async def test_nobody_calls() -> None:
    async with Phone(None, port=0, max_seconds=0.2) as agent:
        assert (await agent.event("error"))["detail"] == "nobody called"
        assert await agent.wait() == 1
