"""What a plan says, mostly about outbound calls, that cannot hold together, with file and line; called by parse.py."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.dialplan.destinations import denied_by
from gateway.dialplan.document import Document
from gateway.dialplan.numbers import is_extension, normalise
from gateway.dialplan.problems import KeyPath, Problem, problem
from gateway.dialplan.routing import NO_CHANNELS
from gateway.dialplan.schema import Dialplan, Trunk
from gateway.dialplan.sip_uris import parse_sip_uri

MAY_NOT_SHOW_CUSTOMERS = (
    "it has auth or register: true, and a carrier that knows us by an account shows no other number"
)


def dialling_problems(plan: Dialplan, document: Document) -> Iterator[Problem]:
    """Trunks that could not write a number or show a caller as they say; contacts and agents that are denied; channels
    that could be taken for a call without one; a webhook's url that stands there twice."""
    for path, message in _found(plan):
        yield problem(document.place(path), path, message)
    first: dict[str, int] = {}
    for index, webhook in enumerate(plan.webhooks):
        path = ("webhooks", index, "url")
        if first.setdefault(webhook.url, index) != index:
            place = document.place(("webhooks", first[webhook.url], "url"))
            yield problem(
                document.place(path), path, f"is the url of another webhook already, at {place}; make them one"
            )


def shows_customers(trunk: Trunk) -> bool:
    """Whether a customer's number may be shown on it (design: transfer.md, `callerId`)."""
    return not trunk.register_ and trunk.auth is None


def _found(plan: Dialplan) -> Iterator[tuple[KeyPath, str]]:
    for name in NO_CHANNELS & plan.channels.keys():
        yield ("channels", name), "is the name that calls without a channel are shown by; write another one"
    for name, trunk in plan.trunks.items():
        for key, message in _of_trunk(trunk):
            yield ("trunks", name, key), message
    for name, contact in plan.contacts.items():
        path: KeyPath = ("contacts", name, "phoneNumber")
        used = plan.trunks.get(contact.trunk)
        if is_extension(contact.phoneNumber) and used is not None and not used.extensions:
            yield path, f'is an extension; write extensions: true at trunk "{contact.trunk}", or the number in E.164'
        yield from _denied(plan, path, contact.phoneNumber, None)
    for name, agent in plan.agents.items():
        used = plan.trunks.get(agent.trunk)
        region = used.region if used is not None else None
        yield from _denied(plan, ("agents", name, "target"), parse_sip_uri(agent.target).number, region)


def _of_trunk(trunk: Trunk) -> Iterator[tuple[str, str]]:
    if trunk.caller_id == "customer" and not shows_customers(trunk):
        yield "caller_id", f"cannot be customer: {MAY_NOT_SHOW_CUSTOMERS}; write bot or {{number: …}}"
    if trunk.number_format == "national" and trunk.region is None:
        yield "number_format", "national needs a country; write region: US, or your own"
    for key, value in (("prefix", trunk.prefix), ("strip", trunk.strip)):
        if value and trunk.number_format == "e164":
            yield key, "does not go with number_format: e164, where + and the country code come first; write digits"


def _denied(plan: Dialplan, path: KeyPath, written: str | None, region: str | None) -> Iterator[tuple[KeyPath, str]]:
    number = normalise(written, region) if written is not None else None
    prefix = denied_by(plan.destinations, number) if number is not None else None
    if prefix is not None:
        yield path, f'destinations.deny has "{prefix}", which nothing may be dialled against; remove one of the two'
