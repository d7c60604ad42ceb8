"""A plan's channels in the core's words, and how the engine calls an agent of it."""

import pytest

from gateway.calls.errors import BotError
from gateway.calls.model import PostSession
from gateway.dialplan.parse import load_text
from gateway.engine.running import policy

PLAN = """
channels:
  hello: {{bot: {{type: builtin, name: echo}}, post_session: {{channel: survey{parameters}}}}}
  survey: {{bot: {{type: builtin, name: echo}}}}
"""


def test_a_channel_says_where_its_customers_go_after_the_agent():
    plan = load_text(PLAN.format(parameters=", parameters: {of: sales, parts: [1, true]}"))
    given = {"of": "sales", "parts": [1, True]}
    assert policy("hello", plan.channels["hello"]).post_session == PostSession("survey", given)
    assert policy("survey", plan.channels["survey"]).post_session is None


def test_parameters_may_be_left_out():
    plan = load_text(PLAN.format(parameters=""))
    assert policy("hello", plan.channels["hello"]).post_session == PostSession("survey", {})


def test_parameters_that_no_bot_could_give_are_refused():
    plan = load_text(PLAN.format(parameters=", parameters: {n: 9223372036854775808}"))
    with pytest.raises(BotError, match=r"parameters\.n: must fit in 64 bits"):
        policy("hello", plan.channels["hello"])
