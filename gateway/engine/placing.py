"""Places a call: says at once why it cannot be, or makes the call that is to be begun; used by engine.py."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from gateway.calls.commands import Dial, Why
from gateway.calls.events import CallPlaced
from gateway.calls.handing import encoded_uui
from gateway.calls.model import Call, Caller, CallId, ChannelPolicy, Direction, Leg, LegId, Role
from gateway.calls.outbound import NoWay, TransferReason, Way, callees
from gateway.calls.outgoing import Outgoing
from gateway.calls.states import LegState
from gateway.calls.switch import Switch
from gateway.dialplan.numbers import dialled
from gateway.dialplan.routing import TO_AGENT
from gateway.engine.intake import Intake
from gateway.engine.live import Live
from gateway.engine.ports import Bot
from gateway.engine.running import Running
from gateway.engine.ways import Ways

NO_SUCH_CHANNEL: Final = "channel: there is no such channel for this key"
"""Also what a key is told that may not use the channel: it does not learn whether there is one."""
_SOON_S: Final = 5
_LISTED: Final = 20
_WHY: Final[dict[TransferReason, Why]] = {
    TransferReason.BLOCKED: "blocked",
    TransferReason.UNREACHABLE: "unreachable",
}


class NotPlaced(Exception):
    """No call was placed. `detail` begins with the field that is wrong if `why` is `invalid`; `retry_after_s` is when
    to ask again if it is `unreachable`: a limit is reached, or the node takes no calls."""

    def __init__(self, why: Why, detail: str, retry_after_s: int = _SOON_S) -> None:
        super().__init__(f"{why}: {detail}")
        self.why, self.detail, self.retry_after_s = why, detail, retry_after_s


@dataclass(frozen=True, slots=True)
class Planned:
    """A call that is to be begun at once: its leg has been counted as dialled."""

    call: Call
    bot_of: Callable[[str], Bot]
    event: CallPlaced


class Placing:
    """What POST /v1/calls asks for, by the plan, the policy and the limits that hold now."""

    def __init__(self, live: Live, intake: Intake, ways: Ways, new_id: Callable[[str], str]) -> None:
        self._live, self._intake, self._ways, self._new_id = live, intake, ways, new_id

    def plan(self, wanted: Outgoing, running: Running, now: float, by_agent: str | None) -> Planned:
        """The call, if it may be placed. `by_agent` is the agent who asks, whose rights count. Raises NotPlaced."""
        shut = self._intake.look(now)
        if shut is not None:
            raise NotPlaced("unreachable", str(shut), self._intake.retry_after_s)
        policy, bot_of, agent = _for_whom(wanted, running, self._live, by_agent)
        engaged = self._ways.engaged(wanted.agent) if wanted.agent is not None else None
        if engaged is not None:
            raise NotPlaced("agent-busy", f"agent: {wanted.agent} {engaged}")
        switch = wanted.customer()
        call = self._call(policy, switch, _trunk_for(switch, policy.name, running), now)
        try:
            uui = encoded_uui(switch)
        except ValueError as error:
            raise NotPlaced("invalid", str(error)) from None
        beside = running.plan.agents[wanted.agent].trunk if wanted.agent is not None else None
        way = self._ways.first_way(call, switch, beside, now)
        if isinstance(way, NoWay):
            raise NotPlaced(_WHY.get(way.reason, "invalid"), _in_our_words(way.detail))
        call.caller = Caller("", way.trunk, way.caller.number, _dialled(switch, way, running))
        headers = tuple(callees(switch)[0].headers.items())
        invite = Dial(call.customer.id, way.trunk, way.number, way.uri, way.caller, None, headers, uui)
        return Planned(call, bot_of, CallPlaced(invite, wanted.timeout_s, way.max_talk_s, agent))

    def _call(self, policy: ChannelPolicy, switch: Switch, trunk: str, now: float) -> Call:
        return Call(
            id=CallId(self._new_id("call")),
            caller=Caller("", trunk, "", switch.phone_number or switch.sip_uri or ""),
            channel=policy,
            customer=Leg(LegId(self._new_id("leg")), Role.CUSTOMER, LegState.PLANNED),
            started_at=now,
            direction=Direction.OUTBOUND,
            data=dict(switch.data),
        )


def _for_whom(
    wanted: Outgoing, running: Running, live: Live, by_agent: str | None
) -> tuple[ChannelPolicy, Callable[[str], Bot], Switch | None]:
    """The channel, its bots, and how to call the agent, if it is for one."""
    plan = running.plan
    if wanted.agent is None:
        name = wanted.channel or ""
        channel = plan.channels.get(name)
        if channel is None:
            raise NotPlaced("invalid", NO_SUCH_CHANNEL)
        if channel.limits and channel.limits.calls and live.per_channel[name] >= channel.limits.calls:
            raise NotPlaced("unreachable", f"channel {name} is full")
        return running.policies[name], running.bots.__getitem__, None
    if wanted.agent not in plan.agents:
        raise NotPlaced("invalid", _no_such("agent", wanted.agent, plan.agents))
    if by_agent is not None and "external" not in plan.agents[wanted.agent].may:
        raise NotPlaced("forbidden", f"agent {by_agent} may not call anybody outside: agents.{by_agent}.may says so")
    to_agent = running.call_to(wanted.agent)
    agent = to_agent.model_copy(update={"timeout_s": wanted.timeout_s})
    return ChannelPolicy(TO_AGENT), running.bots_and(TO_AGENT, running.attendant(to_agent)), agent


def _no_such(kind: str, name: str, known: Iterable[str]) -> str:
    """A sentence that says what to write instead."""
    some = ", ".join(sorted(known)[:_LISTED])
    return f'{kind}: there is no {kind} "{name}"; ' + (f"write one of {some}" if some else f"the plan has no {kind}s")


def _trunk_for(switch: Switch, channel: str, running: Running) -> str:
    """The trunk that is named, if only by the contact or the channel; that there is one of this name is `Ways`' to say.
    Raises NotPlaced."""
    if switch.contact is not None:
        contact = running.plan.contacts.get(switch.contact)
        if contact is None:
            raise NotPlaced("invalid", _no_such("contact", switch.contact, running.plan.contacts))
        return contact.trunk
    planned = running.plan.channels.get(channel)
    trunk = switch.trunk or (planned.trunk if planned is not None else None)
    if trunk is None:
        raise NotPlaced("invalid", "trunk: is missing, and no channel says which one; name a trunk of the plan")
    return trunk


def _dialled(switch: Switch, way: Way, running: Running) -> str:
    """The customer, as the records have it: a number in E.164, or a URI as it was asked for."""
    if switch.contact is not None:
        return running.plan.contacts[switch.contact].phoneNumber
    if switch.sip_uri is not None:
        return switch.sip_uri
    return dialled(way.shown, running.plan.trunks[way.trunk].region) or way.shown


def _in_our_words(detail: str) -> str:
    """A switch calls it `phoneNumber` what is `to` here."""
    return detail.replace("phoneNumber: ", "to: ", 1) if detail.startswith("phoneNumber: ") else detail
