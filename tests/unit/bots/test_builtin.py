"""The built-in bots, told what happens and asked what they say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bots.builtin import BUILTIN, AnnounceBot, AttendantBot, EchoBot, ReceptionBot
from gateway.calls.commands import BotEventName
from gateway.calls.errors import BotError
from gateway.calls.model import Spoken
from gateway.calls.replies import Audio, BotResponse, Dtmf, HangupReply, Tag, Text
from gateway.calls.switch import Switch
from tests.unit.bots.asking import tell

START, DTMF, NO_INPUT, HANGUP = BotEventName.START, BotEventName.DTMF, BotEventName.NO_INPUT, BotEventName.HANGUP
TRANSFER = BotEventName.TRANSFER


def words(response: BotResponse) -> str:
    return " ".join(reply.text or "" for reply in response.replies if isinstance(reply, Text))


def hangs_up(response: BotResponse) -> bool:
    return isinstance(response.replies[-1], HangupReply)


def collects(response: BotResponse) -> Dtmf:
    last = response.replies[-1]
    assert isinstance(last, Dtmf)
    return last


class TestReception:
    async def test_greets_and_takes_one_key(self) -> None:
        response = await tell(ReceptionBot(), START)
        assert words(response).startswith("Welcome to Switchhook. For opening hours press 1")
        assert (collects(response).max, collects(response).finish_on) == (1, "")

    async def test_tells_the_hours_and_offers_the_menu_again(self) -> None:
        response = await tell(ReceptionBot(), DTMF, digits="1")
        assert words(response).startswith("We are open Monday to Friday") and "press 2" in words(response)
        assert collects(response).max == 1

    async def test_takes_the_number_reads_it_back_and_tags_the_call(self) -> None:
        bot = ReceptionBot()
        asked = await tell(bot, DTMF, digits="2")
        assert "four digit" in words(asked) and collects(asked).finish_on == "#"
        response = await tell(bot, DTMF, digits="4711", complete="finish")
        assert "Your number is 4 7 1 1." in words(response)
        assert response.replies[0] == Tag(type="tag", data={"customerNumber": "4711"})
        assert bot.calls == 0

    async def test_the_hash_after_the_number_belongs_to_the_number(self) -> None:
        bot = ReceptionBot()
        assert collects(await tell(bot, DTMF, digits="2")).max > 4

    @pytest.mark.parametrize("digits", ["", "12", "12345", "12*4"])
    async def test_asks_again_for_a_number_that_is_none(self, digits: str) -> None:
        bot = ReceptionBot()
        await tell(bot, DTMF, digits="2")
        assert words(await tell(bot, DTMF, digits=digits)).startswith("Sorry, that is not a customer number.")
        assert "4 7 1 1" in words(await tell(bot, DTMF, digits="4711"))

    async def test_repeats_the_menu(self) -> None:
        assert words(await tell(ReceptionBot(), DTMF, digits="3")).startswith("For opening hours press 1")

    @pytest.mark.parametrize("key", ["9", "#"])
    async def test_says_goodbye(self, key: str) -> None:
        response = await tell(ReceptionBot(), DTMF, digits=key)
        assert words(response) == "Goodbye." and hangs_up(response)

    @pytest.mark.parametrize(("key", "said"), [("7", "Sorry, 7 is"), ("*", "Sorry, star is"), ("12", "Sorry, 1 2 is")])
    async def test_names_a_key_that_is_not_on_the_menu(self, key: str, said: str) -> None:
        response = await tell(ReceptionBot(), DTMF, digits=key)
        assert words(response).startswith(said) and collects(response).max == 1

    async def test_asks_a_silent_customer_twice_and_then_gives_up(self) -> None:
        bot = ReceptionBot()
        assert [hangs_up(await tell(bot, NO_INPUT, count=count)) for count in (1, 2, 3)] == [False, False, True]

    async def test_a_silent_customer_is_asked_for_the_number_again(self) -> None:
        bot = ReceptionBot()
        await tell(bot, DTMF, digits="2")
        assert "four digit" in words(await tell(bot, NO_INPUT))

    async def test_hands_the_caller_to_lee_and_wants_it_back(self) -> None:
        response = await tell(ReceptionBot(), DTMF, digits="0")
        assert "transferring you" in words(response)
        switch = response.replies[-1]
        assert isinstance(switch, Switch) and (switch.agent, switch.continue_call) == ("lee", True)

    @pytest.mark.parametrize("rating", ["1", "5"])
    async def test_asks_after_the_talk_how_it_was_and_tags_the_call(self, rating: str) -> None:
        bot = ReceptionBot()
        asked = await tell(bot, TRANSFER, status="SUCCESS", hangup=False)
        assert "rate your talk from 1 to 5" in words(asked) and collects(asked).max == 1
        response = await tell(bot, DTMF, digits=rating)
        assert response.replies[0] == Tag(type="tag", data={"rating": int(rating)})
        assert words(response) == "Thank you. Goodbye." and hangs_up(response)
        assert bot.calls == 0

    @pytest.mark.parametrize("key", ["0", "6", "#", ""])
    async def test_asks_again_for_a_rating_that_is_none(self, key: str) -> None:
        bot = ReceptionBot()
        await tell(bot, TRANSFER, status="SUCCESS", hangup=False)
        assert words(await tell(bot, DTMF, digits=key)).startswith("Sorry, that is no rating. Please rate")
        assert "rate your talk" in words(await tell(bot, NO_INPUT, count=1))
        assert hangs_up(await tell(bot, DTMF, digits="3"))

    async def test_offers_the_menu_when_nobody_could_be_reached(self) -> None:
        response = await tell(ReceptionBot(), TRANSFER, status="FAIL", hangup=False, reason="busy")
        assert words(response).startswith("Sorry, nobody can take your call now. For opening hours")

    async def test_has_nothing_to_say_to_a_caller_who_is_gone(self) -> None:
        bot = ReceptionBot()
        assert await tell(bot, TRANSFER, status="SUCCESS", hangup=True) == BotResponse()
        assert bot.calls == 0

    async def test_keeps_calls_apart_and_forgets_them(self) -> None:
        bot = ReceptionBot()
        await tell(bot, DTMF, "call_a", digits="2")
        assert "open Monday" in words(await tell(bot, DTMF, "call_b", digits="1"))
        await tell(bot, HANGUP, "call_a")
        assert bot.calls == 0


class TestEcho:
    async def test_says_each_key_and_collects_none(self) -> None:
        assert words(await tell(EchoBot(), DTMF, digits="5", complete="single")) == "You pressed 5."
        assert words(await tell(EchoBot(), DTMF, digits="#", complete="single")) == "You pressed hash."
        assert len((await tell(EchoBot(), START)).replies) == 1

    async def test_star_ends_the_call(self) -> None:
        assert hangs_up(await tell(EchoBot(), DTMF, digits="*"))

    async def test_asks_a_silent_customer_twice_and_then_gives_up(self) -> None:
        assert [hangs_up(await tell(EchoBot(), NO_INPUT, count=count)) for count in (1, 2, 3)] == [False, False, True]


class TestAnnounce:
    async def test_plays_a_prompt_to_its_end_and_hangs_up(self) -> None:
        prompt, hangup = (await tell(AnnounceBot(Spoken(prompt="closed")), START)).replies
        assert isinstance(prompt, Audio) and (prompt.prompt, prompt.barge_in) == ("closed", False)
        assert isinstance(hangup, HangupReply)

    async def test_says_a_text(self) -> None:
        assert words(await tell(AnnounceBot(Spoken(text="We are closed.")), START)) == "We are closed."

    def test_refuses_what_no_bot_may_say(self) -> None:
        with pytest.raises(BotError, match=r"^refused: replies\[0\].prompt: must be the name of a prompt"):
            AnnounceBot(Spoken(prompt="../../etc/passwd"))


class TestAttendant:
    async def test_connects_at_the_start_and_does_no_more(self) -> None:
        switch = Switch(agent="ann")
        bot = AttendantBot(switch)
        assert (await tell(bot, START)).replies == (switch,)
        for event in (DTMF, NO_INPUT, BotEventName.TRANSFER, HANGUP):
            assert await tell(bot, event) == BotResponse()


@pytest.mark.parametrize(
    "bot", [ReceptionBot(), EchoBot(), AnnounceBot(Spoken(text="closed")), AttendantBot(Switch(agent="ann"))]
)
async def test_lets_a_call_in(bot: ReceptionBot | EchoBot | AnnounceBot | AttendantBot) -> None:
    assert [reply.type for reply in (await tell(bot, BotEventName.OFFERED)).replies] == ["answer"]
    assert await tell(bot, BotEventName.BARGE_IN) == BotResponse()


@given(
    st.sampled_from(sorted(BUILTIN)),
    st.lists(
        st.tuples(st.just(DTMF), st.fixed_dictionaries({"digits": st.text("0123456789*#ABCD", max_size=6)}))
        | st.tuples(st.just(NO_INPUT), st.fixed_dictionaries({"count": st.integers(1, 2)})),
        max_size=12,
    ),
)
async def test_a_caller_is_never_left_in_silence(name: str, story: list[tuple[BotEventName, dict[str, Any]]]) -> None:
    bot = BUILTIN[name]()
    assert words(await tell(bot, START))
    for event, data in story:
        assert words(await tell(bot, event, **data))
