"""The plan that runs: a dialplan made ready for the engine (policies, bots); made by app.py, replaced as a whole."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from gateway.calls import refusals
from gateway.calls.model import AnswerMode, ChannelPolicy, PostSession, Spoken, VoiceSettings
from gateway.calls.switch import PostSessionReply, Switch, fields_at, parse_switch
from gateway.dialplan.checks import shows_customers
from gateway.dialplan.schema import AnswerAfter, Channel, Dialplan, FallbackThen
from gateway.engine.ports import Bot


@dataclass(frozen=True, slots=True)
class Running:
    """A dialplan and the bots of its channels. `announcer` makes the bot of a route that only plays something,
    `attendant` the one of a route that goes to an agent."""

    plan: Dialplan
    policies: Mapping[str, ChannelPolicy]
    bots: Mapping[str, Bot]
    announcer: Callable[[Spoken], Bot]
    attendant: Callable[[Switch], Bot]

    def call_to(self, agent: str) -> Switch:
        """What the attendant does for this agent of the plan. A phone that dials another one is shown as itself, where
        the agent's trunk may show it (transfer.md, `callerId`)."""
        shown = shows_customers(self.plan.trunks[self.plan.agents[agent].trunk])
        return Switch.model_validate({"agent": agent, "callerId": "customer" if shown else "bot"})

    def bots_and(self, name: str, bot: Bot) -> Callable[[str], Bot]:
        """The bots of a call that began without a channel: it may be handed to one of the plan's."""
        return {**self.bots, name: bot}.__getitem__


def fallback_switch(channel: Channel) -> Switch | None:
    """Whom the channel's fallback hands the customer to. Raises BotError, as for a bot's own `switch` reply."""
    then = channel.fallback.then
    if not isinstance(then, FallbackThen) or then.switch is None:
        return None
    return parse_switch(json.dumps(dict(then.switch), default=str).encode())


def post_session(channel: Channel) -> PostSession | None:
    """Where customers of the channel go when an agent has ended the talk. Raises BotError, as for a bot's own
    `postSession`."""
    planned = channel.post_session
    if planned is None:
        return None
    given = {"channel": planned.channel, "parameters": dict(planned.parameters or {})}
    try:
        read = PostSessionReply.model_validate_json(json.dumps(given, default=str))
    except ValidationError as error:
        raise refusals.refusal(error, fields_at, whole="post_session", example='{"channel": "survey"}') from None
    return PostSession(read.channel, read.parameters)


def policy(name: str, channel: Channel) -> ChannelPolicy:
    """A channel of the plan, in the core's words."""
    after = channel.answer.after_ms if isinstance(channel.answer, AnswerAfter) else 0
    mode = AnswerMode.AFTER if isinstance(channel.answer, AnswerAfter) else AnswerMode(channel.answer)
    filler, fallback, voice = channel.filler, channel.fallback, channel.voice
    # A channel that names a language and no voice means the engine's voice of that language, not the default one.
    spoken_by = voice.voice if "voice" in voice.model_fields_set or "language" not in voice.model_fields_set else ""
    return ChannelPolicy(
        name=name,
        answer=mode,
        answer_after_ms=after,
        voice=VoiceSettings(voice.tts, spoken_by, voice.language, voice.rate),
        hold_music=channel.hold_music,
        filler=Spoken(filler.say, filler.prompt) if filler else None,
        filler_after_ms=filler.after_ms if filler else 0,
        fallback=Spoken(fallback.say, fallback.prompt) if fallback else Spoken(prompt="apology"),
        fallback_after=channel.fallback_after,
        fallback_switch=fallback_switch(channel),
        post_session=post_session(channel),
        on_agent_hangup=channel.on_agent_hangup,
    )
