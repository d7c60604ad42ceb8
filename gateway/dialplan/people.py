"""The models of people, queues, destinations and webhooks in a plan; part of schema.py."""

from __future__ import annotations

import base64
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.dialplan.base import (
    BareHost,
    DialledNumber,
    DialledPrefix,
    DisplayName,
    MediaName,
    Model,
    Name,
    Params,
    Secret,
    SipTarget,
    WebUrl,
)
from gateway.dialplan.event_names import event_name


def _signs(secret: Secret) -> Secret:
    try:
        text = secret.reveal()
    except LookupError:
        return secret  # the plan is read without its secrets
    if text.startswith("whsec_"):
        key = text.removeprefix("whsec_").rstrip("=")
        try:
            usable = bool(base64.b64decode(key + "=" * (-len(key) % 4), validate=True))
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("its value cannot sign: what follows whsec_ must be base64")
    return secret


SigningSecret = Annotated[Secret, AfterValidator(_signs)]
EventName = Annotated[str, AfterValidator(event_name)]
"""The type of an event, such as `call.ended`, or a family of them, such as `transfer.*`."""


class PostSession(Model):
    """Where the customer goes when the agent ends the talk."""

    channel: Name
    """the channel whose bot takes the customer, such as a survey"""
    parameters: Params | None = None
    """What its bot is told at `start`."""


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

    name: DisplayName
    """how others see this person, such as Ann"""
    target: SipTarget
    """the phone: a SIP URI such as "sip:ann@10.0.0.5", called whatever `destinations.allow` says"""
    trunk: Name
    """the trunk that calls to the phone use"""
    may: tuple[Literal["consult", "forward", "external"], ...] = ("consult", "forward")
    """What this person may do with a customer on the phone: ask somebody (`consult`), leave the customer with whoever
    was asked (`forward`), reach phone numbers, SIP URIs and contacts, by a REFER of the phone too (`external`)."""


class Contact(Model):
    """A saved external destination; being named here it may be dialled, whatever `destinations.allow` says."""

    phoneNumber: DialledNumber
    """the number in E.164, or an extension if the trunk says `extensions: true`"""
    trunk: Name
    """the trunk that calls to it use"""


class DestinationLimits(Model):
    """How much may be dialled."""

    per_call: int = Field(10, ge=1)
    """Most legs that are dialled for one call."""
    per_minute: int = Field(60, ge=1, le=100_000)
    """Most legs that the whole node dials within any 60 seconds."""
    max_talk_s: int = Field(14_400, ge=1)
    """Seconds after which the talk with somebody whom we called ends."""


class Destinations(Model):
    """Toll-fraud policy for everything that we dial. By default only the plan's agents and contacts may be dialled."""

    allow: tuple[DialledPrefix, ...] = ()
    """Beginnings of E.164 numbers that may be dialled, such as "+1"."""
    deny: tuple[DialledPrefix, ...] = ()
    """Beginnings that may not, such as "+1900"; each one wins over every `allow`, over contacts and agents too."""
    hosts: tuple[BareHost, ...] = ()
    """Hosts that a SIP URI may name; the trunk's own host and those of agents need not stand here."""
    limits: DestinationLimits = DestinationLimits()
    """How much may be dialled."""


class Webhook(Model):
    """Where status events are POSTed: the same that `GET /v1/events` streams (design: control-api.md)."""

    url: WebUrl
    """the address that takes them, such as "https://crm.example/calls"; each address once in a plan"""
    secret: SigningSecret | None = None
    """Key of the signature (Standard Webhooks): `whsec_` + base64, or any text. Without it requests are unsigned."""
    events: tuple[EventName, ...] = ()
    """Which events: types such as "call.ended", or families such as "transfer.*". Default: all."""
    channels: tuple[Name, ...] = ()
    """Of the calls of which channels. Default: of all, also of those that no channel took."""
