"""A DNS server on loopback, UDP and TCP on one port, whose records and faults a test may change while it runs.

`async with DnsServer({"acme.example A": "127.0.0.1", "_sip._udp.acme.example SRV": ["0 1 5060 a.example."]}) as dns:`
and a gateway with SWITCHHOOK_SIP__NAMESERVERS=127.0.0.1:{dns.port} sees these names and no others.
"""

import asyncio
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.zonefile

Hook = Callable[[dns.message.Message], Sequence[dns.message.Message | bytes] | None]
"""A query -> the answers to send instead of the right one; None: send the right one."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question that came in."""

    name: str
    kind: str
    tcp: bool
    id: int
    port: int


class DnsServer:
    """`zone` is text in zone-file form with absolute names, or a mapping of `name TYPE` to one or more values."""

    def __init__(self, zone: str | Mapping[str, str | Sequence[str]] = "") -> None:
        self.queries: list[Query] = []
        """All questions, in the order they came."""
        self.truncate = False
        """Answers over UDP are cut off: TC and nothing else."""
        self.hook: Hook | None = None
        """Makes hostile answers."""
        self.port = 0
        self.negative_ttl = 10
        """What the SOA record says for how long a name may be believed not to exist."""
        self._faults: dict[str, str] = {}
        self._open = asyncio.Event()
        self._open.set()
        self._came = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._records: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], dns.rrset.RRset] = {}
        if isinstance(zone, str):
            for rrset in dns.zonefile.read_rrsets(zone, default_ttl=60, relativize=False):
                self._records[rrset.name, rrset.rdtype] = rrset
        else:
            for where, values in zone.items():
                name, kind = where.split()
                self.set(name, kind, *([values] if isinstance(values, str) else values))

    # ── what a test may change ───────────────────────────────────────────────────────────────────────────────────────

    def set(self, name: str, kind: str, *values: str, ttl: int = 60) -> None:
        """These are now all the records of this name and type; without values there are none."""
        key = (dns.name.from_text(name), dns.rdatatype.from_text(kind))
        self._records.pop(key, None)
        if values:
            self._records[key] = dns.rrset.from_text(key[0], ttl, "IN", kind, *values)

    def silent(self, *kinds: str) -> None:
        """Answer nothing, or not to these types of question."""
        self._faults |= dict.fromkeys(kinds or ("*",), "silent")

    def servfail(self, *kinds: str) -> None:
        """Answer SERVFAIL, or to these types of question."""
        self._faults |= dict.fromkeys(kinds or ("*",), "SERVFAIL")

    def well(self) -> None:
        """Answer rightly again."""
        self._faults.clear()

    def hold(self) -> None:
        """Keep answers back until `release`; questions are seen."""
        self._open.clear()

    def release(self) -> None:
        """Send the answers that were kept back."""
        self._open.set()

    async def asked(self, count: int) -> None:
        """Wait until `count` questions have come."""
        async with self._came:
            await self._came.wait_for(lambda: len(self.queries) >= count)

    def kinds(self) -> list[str]:
        """`TYPE name` of each question so far."""
        return [f"{query.kind} {query.name}" for query in self.queries]

    # ── serving ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        while True:  # a free TCP port may be taken on UDP
            self._tcp = await asyncio.start_server(self._connection, "127.0.0.1", self.port)
            port = self._tcp.sockets[0].getsockname()[1]
            try:
                self._udp, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self), local_addr=("127.0.0.1", port)
                )
            except OSError:
                self._tcp.close()
                continue
            self.port = port
            return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._udp.close()
        self._tcp.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def datagram(self, wire: bytes, peer: tuple[str, int]) -> None:
        """A question over UDP."""
        task = asyncio.create_task(self._answer_datagram(wire, peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_datagram(self, wire: bytes, peer: tuple[str, int]) -> None:
        for answer in await self._answers(wire, peer[1], tcp=False):
            self._udp.sendto(answer, peer)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("peername")[1]
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                for answer in await self._answers(await reader.readexactly(length), port, tcp=True):
                    writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answers(self, wire: bytes, port: int, *, tcp: bool) -> list[bytes]:
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return []
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        fault = self._faults.get(kind) or self._faults.get("*")
        async with self._came:
            self.queries.append(Query(question.name.to_text(omit_final_dot=True), kind, tcp, query.id, port))
            self._came.notify_all()
        await self._open.wait()
        if fault == "silent":
            return []
        hostile = self.hook(query) if self.hook else None
        answers = [self._answer(query, fault)] if hostile is None else hostile
        return [one if isinstance(one, bytes) else self._wire(one, tcp) for one in answers]

    def _wire(self, answer: dns.message.Message, tcp: bool) -> bytes:
        if not tcp and self.truncate:
            answer.flags |= dns.flags.TC
            answer.answer.clear()
        try:
            return answer.to_wire(max_size=65535 if tcp else 512)
        except dns.exception.TooBig:
            answer.flags |= dns.flags.TC
            answer.answer.clear()
            return answer.to_wire()

    def _answer(self, query: dns.message.Message, fault: str | None) -> dns.message.Message:
        answer = dns.message.make_response(query, recursion_available=True)
        if fault:
            answer.set_rcode(dns.rcode.from_text(fault))
            return answer
        name, kind = query.question[0].name, query.question[0].rdtype
        for _ in range(8):
            rrset = self._records.get((name, kind))
            alias = self._records.get((name, dns.rdatatype.CNAME))
            if rrset is not None or alias is None:
                break
            answer.answer.append(alias)
            name = alias[0].target
        if rrset is not None:
            # One at a time, since dnspython shuffles the records of a set.
            answer.answer += [dns.rrset.from_rdata(rrset.name, rrset.ttl, record) for record in rrset]
            return answer
        if not any(known.is_subdomain(name) for known, _ in self._records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        soa = f"ns.invalid. hostmaster.invalid. 1 3600 600 86400 {self.negative_ttl}"
        answer.authority.append(dns.rrset.from_text(".", 3600, "IN", "SOA", soa))
        return answer


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.datagram(data, addr)
