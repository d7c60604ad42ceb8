"""Where people are called: the plan, its destination policy and the limits, as a transfer asks (`calls.Outbound`)."""

from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import ValidationError

from gateway.calls.commands import ShownCaller
from gateway.calls.model import Call, CallId, Direction
from gateway.calls.outbound import Callee, NoWay, TransferReason, Way, callees
from gateway.calls.refers import ReferTarget
from gateway.calls.refusals import refusal
from gateway.calls.switch import GivenCallerId, Switch, fields_at
from gateway.dialplan import outbound, referred, shown
from gateway.dialplan.schema import CallerId, Dialplan
from gateway.dialplan.sip_uris import parse_sip_uri
from gateway.engine.agents import Agents
from gateway.engine.dialling import Dialling
from gateway.engine.limits import Admission


class Ways:
    """`calls.outbound.Outbound`, for all calls of an engine; the plan is the one that runs now."""

    def __init__(
        self,
        plan: Callable[[], Dialplan],
        admission: Admission,
        promise: Callable[[CallId, str], None],
        agents: Agents,
    ) -> None:
        """`promise` is told of each way that is given: (call, trunk) (`Live.promise`)."""
        self._plan, self._admission, self._promise = plan, admission, promise
        self.engaged, self.may = agents.engaged, agents.may
        self._away = agents.away
        self._dialling = Dialling(lambda: plan().destinations.limits)

    def first_way(self, call: Call, switch: Switch, beside: str | None, now: float) -> Way | NoWay:
        """How to call the customer of this call, which is not live yet: its leg takes its channel of the trunk when the
        call goes live (`Live.add`). A way that is given counts as dialled. `beside` is the trunk of an agent who is
        called as well, and for whom there must be room too. Who is shown has no number of ours to fall back on: nobody
        has called one."""
        plan, callee = self._plan(), callees(switch)[0]
        way = outbound.way_out(plan, _wanted(switch, callee, call), _asked(switch), _from(call))
        if isinstance(way, outbound.NoWay):
            return NoWay(TransferReason(way.reason), way.detail)
        trunk = plan.trunks[way.trunk]
        if switch.caller_id == "bot" and not isinstance(trunk.caller_id, CallerId):
            detail = f'callerId: trunk "{way.trunk}" fixes no number to be shown; write {{"number": "+12125550100"}}'
            return NoWay(TransferReason.INVALID_REQUEST, detail)
        refused = self._refused(way, callee)
        if refused is not None:
            return refused
        over = self._dialling.may(call.id, now)
        if over is not None:  # it may be dialled, but not now
            return NoWay(TransferReason.UNREACHABLE, over.detail)
        full = self._admission.full(beside, 1 if beside == way.trunk else 0) if beside is not None else None
        full = full or self._admission.admit_out(way.trunk, now)
        if full is not None:
            return NoWay(TransferReason.UNREACHABLE, full.why)
        self._dialling.dialled(call.id, now)
        caller = ShownCaller(way.caller_number, way.caller_name, way.withheld)
        most = plan.destinations.limits.max_talk_s
        return Way(way.trunk, way.number, way.uri, way.shown, caller, max_talk_s=most)

    def _refused(self, way: outbound.Way, callee: Callee) -> NoWay | None:
        refused = outbound.refused_header(self._plan().trunks[way.trunk], callee.headers)
        if refused is None:
            return None
        detail = f"headers: trunk {way.trunk} lets no bot set {refused}; name it in headers.from_bot"
        return NoWay(TransferReason.INVALID_REQUEST, detail)

    def way_to(self, call: Call, switch: Switch, callee: Callee, now: float) -> Way | NoWay:
        """Whether and how to call this one now; a way that is given counts as dialled."""
        plan, by_peer = self._plan(), switch.method == "refer"
        way = outbound.way_out(plan, _wanted(switch, callee, call), None if by_peer else _asked(switch), _from(call))
        if isinstance(way, outbound.NoWay):
            return NoWay(TransferReason(way.reason), way.detail)
        refused = self._refused(way, callee)
        if refused is not None:
            return refused
        if callee.kind == "agent" and self._away(callee.value):
            return NoWay(TransferReason.NO_AGENTS, f"agent: {callee.value} is away")
        over = self._dialling.may(call.id, now)
        if over is not None:
            return NoWay(TransferReason(over.reason), over.detail)
        if not by_peer:
            full = self._admission.admit_out(way.trunk, now)
            if full is not None:
                return NoWay(TransferReason.UNREACHABLE, full.why)
            self._promise(call.id, way.trunk)
        self._dialling.dialled(call.id, now)
        caller = ShownCaller(way.caller_number, way.caller_name, way.withheld)
        return Way(
            way.trunk, way.number, way.uri, way.shown, caller, way.diverting, plan.destinations.limits.max_talk_s
        )

    def may_refer(self, call: Call, trunk: str) -> bool:
        """Whether this trunk says `accept_refer`."""
        planned = self._plan().trunks.get(trunk)
        return planned is not None and planned.accept_refer

    def referred(self, call: Call, trunk: str, target: ReferTarget) -> Switch | NoWay:
        """What a Refer-To asks for, by the routes that run now."""
        if target.own:
            at = datetime.now(UTC)
            asked = referred.dialled_here(self._plan(), trunk, target.user, call.caller.from_, at)
        else:
            asked = referred.elsewhere(trunk, target.uri)
        if isinstance(asked, outbound.NoWay):
            return NoWay(TransferReason(asked.reason), asked.detail)
        given = {
            "phoneNumber": asked.phone_number,
            "sipUri": asked.sip_uri,
            "agent": asked.agent,
            "trunk": asked.trunk,
            "userToUser": target.user_to_user or None,
        }
        try:
            return Switch.model_validate(given)
        except ValidationError as error:
            return NoWay(TransferReason.INVALID_REQUEST, refusal(error, fields_at, whole="Refer-To").detail)

    def over(self, call_id: CallId) -> None:
        """The call has ended: what was dialled for it is forgotten."""
        self._dialling.over(call_id)


def _wanted(switch: Switch, callee: Callee, call: Call) -> outbound.Wanted:
    # A peer that is to dial knows the numbers of its own trunk, not of the one that the channel calls people on.
    own = call.caller.trunk if switch.method == "refer" and switch.transfer_channel is None else None
    return outbound.Wanted(
        phone_number=callee.value if callee.kind == "phoneNumber" else None,
        sip_uri=callee.value if callee.kind == "sipUri" else None,
        agent=callee.value if callee.kind == "agent" else None,
        contact=callee.value if callee.kind == "contact" else None,
        channel=switch.transfer_channel if callee.trunk is None else None,
        trunk=callee.trunk or switch.trunk or own,
    )


def _asked(switch: Switch) -> shown.AskedCaller:
    given = switch.caller_id
    if isinstance(given, GivenCallerId):
        return shown.AskedCaller("given", given.number, given.name, given.privacy)
    return shown.AskedCaller(given)


def _from(call: Call) -> shown.From:
    """Our number and the customer's, whoever called whom."""
    caller = call.caller
    if call.direction is Direction.OUTBOUND:
        return shown.From(call.channel.name, caller.trunk, called=caller.from_, caller=_user(caller.to))
    withheld = caller.from_ == "anonymous"  # sip/identity.py: what a trusted trunk says of a withheld caller
    return shown.From(call.channel.name, caller.trunk, caller.to, caller.from_, caller.from_name, withheld)


def _user(customer: str) -> str:
    """Whom we called, without the host of a URI."""
    try:
        return (parse_sip_uri(customer).user or customer) if "@" in customer else customer
    except ValueError:
        return customer
