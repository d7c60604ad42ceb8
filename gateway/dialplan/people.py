"""The models of people, queues, destinations and webhooks in a plan; part of schema.py, all of it not built yet."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.dialplan.base import MediaName, Model, Name, Params, Secret, Text, WebUrl


class PostSession(Model):
    """Where the customer goes when the agent ends the talk."""

    channel: Name
    parameters: Params | None = None


class Queue(Model):
    """Agents, and callers who wait for one."""

    agents: tuple[Name, ...]
    strategy: Literal["longest-idle", "round-robin", "ring-all"] = "longest-idle"
    max_wait_s: int = Field(300, ge=1)
    hold_music: MediaName = "hold/calm"
    announce_position: bool = False
    post_session: PostSession | None = None
    on_empty: Params | None = None


class Agent(Model):
    """A person with a phone."""

    name: Text
    target: str
    trunk: Name
    may: tuple[Literal["consult", "forward", "external"], ...] = ()


class Contact(Model):
    """A saved external destination."""

    phoneNumber: str
    trunk: Name


class DestinationLimits(Model):
    """How much may be dialled."""

    per_call: int = Field(10, ge=1)
    per_minute: int = Field(60, ge=1)
    max_talk_s: int = Field(14_400, ge=1)


class Destinations(Model):
    """Toll-fraud policy for everything that we dial."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    limits: DestinationLimits = DestinationLimits()


class Webhook(Model):
    """Where status events are POSTed."""

    url: WebUrl
    secret: Secret | None = None
    events: tuple[str, ...] = ()
