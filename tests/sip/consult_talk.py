"""A customer who talks to an agent, whose desktop is the API, and a consultant who can be asked; for tests/sip."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.bot_server import BotServer, nothing, replies
from tests.callee import Callee
from tests.caller import Caller
from tests.gateway_process import GatewayProcess
from tests.operators import Operator
from tests.party import matrix, sing
from tests.wire import free_port

BOT_PORT = free_port("127.0.0.1", socket.SOCK_STREAM)
PEOPLE, EXPERTS = "127.0.0.4", "127.0.0.5"
PORT, EXPERT_PORT = free_port(PEOPLE), free_port(EXPERTS)
FLOOR = "127.0.0.8"
"""Whence supervisors listen."""
FLOOR_PORT = free_port(FLOOR)
EXPERT = "16125550100"
PLAN = f"""
trunks:
  carrier: {{host: 127.0.0.2, allow: [127.0.0.2/32]}}
  people: {{host: "{PEOPLE}:{PORT}", allow: ["{PEOPLE}/32"], region: US}}
  experts: {{host: "{EXPERTS}:{EXPERT_PORT}", allow: ["{EXPERTS}/32"], region: US}}
  floor: {{host: "{FLOOR}:{FLOOR_PORT}", allow: ["{FLOOR}/32"], region: US}}
channels:
  reception: {{bot: {{type: webhook, url: "http://127.0.0.1:{BOT_PORT}/bot"}}, trunk: experts}}
routes:
  - {{to: "*", channel: reception}}
agents:
  ann: {{name: Ann, target: "sip:ann@{PEOPLE}:{PORT}", trunk: people, may: [consult, forward, external]}}
  bob: {{name: Bob, target: "sip:bob@{EXPERTS}:{EXPERT_PORT}", trunk: experts}}
  sue: {{name: Sue, target: "sip:sue@{FLOOR}:{FLOOR_PORT}", trunk: floor}}
destinations: {{allow: ["+1612"], limits: {{per_minute: 10000}}}}
"""


@dataclass
class Talk:
    """The customer talks to the agent, `operator` has the agent's hands."""

    operator: Operator
    bot: BotServer
    customer: Caller
    agent: Callee
    consultant: Callee
    id: str

    async def does(self, method: str, word: str, body: Any = None) -> dict[str, Any]:
        """Taken; the call as it is then."""
        status, told = await self.operator.asks(method, f"/v1/calls/{self.id}/{word}", body)
        assert status == 202, told
        return dict(told)

    async def refuses(self, method: str, word: str, body: Any = None) -> dict[str, Any]:
        """409; what it says."""
        status, told = await self.operator.asks(method, f"/v1/calls/{self.id}/{word}", body)
        assert (status, told["code"]) == (409, "illegal-state"), told
        return dict(told)

    async def state(self) -> tuple[str, str]:
        """Where call and consult are."""
        _, call = await self.operator.asks("GET", f"/v1/calls/{self.id}")
        return call["state"], call["consultState"]

    async def consults(self, **fields: Any) -> None:
        """The consultant is called."""
        call = await self.does("POST", "consult", {"phoneNumber": EXPERT, **fields})
        assert (call["state"], call["consultState"]) == ("talking", "dialling")
        people = [leg for leg in call["legs"] if leg["role"] not in ("customer", "supervisor")]
        assert [(leg["role"], leg["state"], leg["room"]) for leg in people] == [
            ("agent", "connected", "consult"),
            ("consult", "dialling", "lobby"),
        ]
        await self.consultant.is_called()
        self.consultant.rings()

    async def reaches(self, state: str, **fields: Any) -> None:
        """From the beginning to this state of a consult."""
        await self.consults(**fields)
        if state == "dialling":
            return
        await self.consultant.answers()
        sing(consultant=self.consultant)
        await self.happens("consult.answered")
        if state != "consulting":
            call = await self.does("POST", {"swapped": "swap", "merged": "merge"}[state])
            assert call["consultState"] == state

    async def everybody_hears(self, expected: dict[str, set[str]]) -> None:
        """Exactly that. What is not named is hung up."""
        people = {"customer": self.customer, "agent": self.agent, "consultant": self.consultant}
        heard = await matrix(**{name: people[name] for name in expected})
        assert heard == expected

    async def history(self, *families: str) -> list[dict[str, Any]]:
        """The events of these families."""
        types = ",".join(f"{family}.*" for family in families)
        _, told = await self.operator.asks("GET", f"/v1/calls/{self.id}/events?types={types}")
        return list(told["items"])

    async def told_of(self, *families: str) -> list[str]:
        """Their types."""
        return [event["type"] for event in await self.history(*families)]

    async def happens(self, type_: str, timeout_s: float = 5.0) -> None:
        """Wait for it in the call's history."""
        async with asyncio.timeout(timeout_s):
            while type_ not in await self.told_of(type_.partition(".")[0]):
                await asyncio.sleep(0.02)

    async def is_over(self) -> dict[str, Any]:
        """Wait for the end; the CDR."""
        await self.customer.end()
        await self.bot.received("hangup")
        assert self.bot.events == ["start", "transfer", "hangup"]
        _, call = await self.operator.asks("GET", f"/v1/calls/{self.id}")
        assert (call["state"], call["consultState"], call["allowed"]) == ("ended", "none", [])
        return dict(call["cdr"])

    async def status(self) -> dict[str, Any]:
        """What the bot was told of the transfer; exactly once."""
        (told,) = await self.bot.received("transfer")
        return dict(told.event["data"])


@asynccontextmanager
async def talking(gateway: GatewayProcess, operator: Operator, bot: BotServer, customer: Caller) -> AsyncIterator[Talk]:
    """It has begun."""
    bot.on("start", replies({"type": "switch", "agent": "ann"}))
    bot.on("transfer", nothing())
    async with Callee(PEOPLE, PORT) as agent, Callee(EXPERTS, EXPERT_PORT) as consultant:
        await customer.calls("+12125550100")
        await agent.is_called()
        await agent.answers()
        sing(customer=customer, agent=agent)
        await gateway.wait_for("transfer.bridged")
        call = await operator.call()
        assert (
            call["allowed"] == ["consult", "transfer", "hold", "legs", "play", "hangup"]
            and call["consultState"] == "none"
        )
        yield Talk(operator, bot, customer, agent, consultant, call["id"])
