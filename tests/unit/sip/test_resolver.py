"""Names to addresses by a real DNS server: RFC 3263's steps, RFC 2782's order, caching, and life without DNS."""

import asyncio
import io
import json
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest
import structlog

from gateway.dialplan.addresses import Address
from gateway.sip.resolver import Resolution, ResolveError, Resolver, Target
from gateway.telemetry import log
from tests.dns_server import DnsServer, Hook

ACME = "acme.example"


class Clock:
    """Seconds that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def dns_server() -> AsyncIterator[DnsServer]:
    async with DnsServer() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """An empty hosts file and an empty resolv.conf, so that this machine's own play no part."""
    hosts, resolv_conf = tmp_path / "hosts", tmp_path / "resolv.conf"
    hosts.write_text("")
    resolv_conf.write_text("")
    return hosts, resolv_conf


@pytest.fixture
def resolver(dns_server: DnsServer, clock: Clock, files: tuple[Path, Path]) -> Resolver:
    return made(dns_server, clock, files)


def made(
    server: DnsServer,
    clock: Clock,
    files: tuple[Path, Path],
    *,
    ipv6: bool = False,
    query_s: float = 2.0,
    total_s: float = 5.0,
) -> Resolver:
    return Resolver(
        [Address("127.0.0.1", server.port)],
        random.Random(1),
        clock=clock,
        hosts=files[0],
        resolv_conf=files[1],
        ipv6=ipv6,
        query_s=query_s,
        total_s=total_s,
    )


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    log.configure("json", "info", stream=stream)
    yield stream
    structlog.reset_defaults()


def texts(resolution: Resolution) -> list[str]:
    return [str(target) for target in resolution.targets]


async def events(lines: io.StringIO) -> list[tuple[str, object]]:
    await asyncio.sleep(0)  # lines of one turn of the loop are written together
    found = [json.loads(line) for line in lines.getvalue().splitlines()]
    return [(event["event"], event.get("stale")) for event in found]


# ── where to ask (RFC 3263 §4) ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("host", "port", "transport", "target"),
    [
        ("192.0.2.1", None, "udp", "udp:192.0.2.1:5060"),
        ("192.0.2.1", None, "tls", "tls:192.0.2.1:5061"),
        ("192.0.2.1", 5070, "tcp", "tcp:192.0.2.1:5070"),
        ("2001:db8::1", None, "udp", "udp:[2001:db8::1]:5060"),
        ("[2001:DB8::1]", 5061, "tls", "tls:[2001:db8::1]:5061"),
    ],
)
async def test_an_address_is_its_own_target(
    host: str, port: int | None, transport: str, target: str, resolver: Resolver, dns_server: DnsServer
) -> None:
    resolution = await resolver.resolve(host, port, transport)
    assert (texts(resolution), resolution.ttl_s, dns_server.queries) == ([target], 3600, [])


async def test_with_a_port_only_addresses_are_asked_for(resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(ACME, "A", "10.0.0.2", "10.0.0.1", ttl=120)
    dns_server.set(f"_sip._udp.{ACME}", "SRV", f"0 0 7000 {ACME}.")
    resolution = await resolver.resolve("Acme.Example.", 5080, "udp")
    assert texts(resolution) == ["udp:10.0.0.2:5080", "udp:10.0.0.1:5080"]
    assert resolution.ttl_s == 120
    assert dns_server.kinds() == ["A acme.example"]


@pytest.mark.parametrize(
    ("transport", "service", "port"),
    [("udp", "_sip._udp", 5060), ("tcp", "_sip._tcp", 5060), ("tls", "_sips._tcp", 5061)],
)
async def test_without_naptr_and_srv_it_is_the_address_at_the_default_port(
    transport: str, service: str, port: int, resolver: Resolver, dns_server: DnsServer
) -> None:
    dns_server.set(ACME, "A", "10.0.0.1")
    assert texts(await resolver.resolve(ACME, None, transport)) == [f"{transport}:10.0.0.1:{port}"]
    assert dns_server.kinds() == [f"NAPTR {ACME}", f"SRV {service}.{ACME}", f"A {ACME}"]


async def test_srv_names_hosts_and_ports_by_priority(resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(f"_sip._tcp.{ACME}", "SRV", "20 0 5071 b.example.", "10 0 5070 a.example.", ttl=300)
    dns_server.set("a.example", "A", "10.0.0.1", "10.0.0.2", ttl=200)
    dns_server.set("b.example", "A", "10.0.0.3", ttl=100)
    resolution = await resolver.resolve(ACME, None, "tcp")
    assert texts(resolution) == ["tcp:10.0.0.1:5070", "tcp:10.0.0.2:5070", "tcp:10.0.0.3:5071"]
    assert resolution.ttl_s == 100


async def test_naptr_of_the_own_transport_leads_to_its_srv(resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(
        ACME,
        "NAPTR",
        '10 10 "s" "SIP+D2U" "" _sip._udp.wrong.example.',
        '50 20 "s" "SIPS+D2T" "" second.example.',
        '50 10 "S" "sips+d2t" "" _sips._tcp.core.example.',
        ttl=900,
    )
    dns_server.set("_sips._tcp.core.example", "SRV", "0 0 5066 a.example.", ttl=800)
    dns_server.set("a.example", "A", "10.0.0.1", ttl=700)
    resolution = await resolver.resolve(ACME, None, "tls")
    assert (texts(resolution), resolution.ttl_s) == (["tls:10.0.0.1:5066"], 700)
    assert dns_server.kinds() == [f"NAPTR {ACME}", "SRV _sips._tcp.core.example", "A a.example"]


@pytest.mark.parametrize(
    "naptr",
    [
        '10 10 "s" "SIP+D2T" "" other.example.',
        '10 10 "s" "SIP+D2U" "!^.*$!sip:x@evil.example!" other.example.',
        '10 10 "a" "SIP+D2U" "" other.example.',
    ],
)
async def test_naptr_of_another_kind_is_passed_over(naptr: str, resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(ACME, "NAPTR", naptr)
    dns_server.set("other.example", "SRV", "0 0 6666 a.example.")
    dns_server.set(f"_sip._udp.{ACME}", "SRV", "0 0 5070 a.example.")
    dns_server.set("a.example", "A", "10.0.0.1")
    assert texts(await resolver.resolve(ACME, None, "udp")) == ["udp:10.0.0.1:5070"]


@pytest.mark.parametrize("srv", ["0 0 0 .", "0 0 5060 .", "0 0 0 acme.example."])
async def test_the_service_may_be_declared_absent(srv: str, resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(f"_sip._udp.{ACME}", "SRV", srv)
    dns_server.set(ACME, "A", "10.0.0.1")
    with pytest.raises(ResolveError, match=r"SRV _sip\._udp\.acme\.example: service not available"):
        await resolver.resolve(ACME, None, "udp")
    assert "A" not in {query.kind for query in dns_server.queries}


async def test_a_host_of_srv_without_address_is_left_out(resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(f"_sip._udp.{ACME}", "SRV", "0 0 5060 gone.example.", "1 0 5060 a.example.")
    dns_server.set("a.example", "A", "10.0.0.1")
    assert texts(await resolver.resolve(ACME, None, "udp")) == ["udp:10.0.0.1:5060"]


async def test_ipv6_only_when_wanted_and_after_ipv4(
    resolver: Resolver, dns_server: DnsServer, clock: Clock, files: tuple[Path, Path]
) -> None:
    dns_server.set(ACME, "A", "10.0.0.1")
    dns_server.set(ACME, "AAAA", "fd00::1")
    assert texts(await resolver.resolve(ACME, 5060, "udp")) == ["udp:10.0.0.1:5060"]
    both = await made(dns_server, clock, files, ipv6=True).resolve(ACME, 5060, "udp")
    assert texts(both) == ["udp:10.0.0.1:5060", "udp:[fd00::1]:5060"]


async def test_the_error_names_the_host_and_every_question(
    dns_server: DnsServer, clock: Clock, files: tuple[Path, Path]
) -> None:
    dns_server.set(f"_x.{ACME}", "A", "10.0.0.1")
    dns_server.silent("A")
    resolver = made(dns_server, clock, files, query_s=0.2)
    with pytest.raises(ResolveError) as caught:
        await resolver.resolve(ACME, None, "udp")
    assert str(caught.value) == (
        "no address for acme.example (NAPTR acme.example: no record; "
        "SRV _sip._udp.acme.example: NXDOMAIN; A acme.example: timeout)"
    )


@pytest.mark.parametrize("host", ["a..example", "x" * 64 + ".example", "", "\udcff.example", "a\0b.example"])
async def test_what_is_no_name_is_an_error_too(host: str, resolver: Resolver) -> None:
    with pytest.raises(ResolveError, match=r"^no address for "):
        await resolver.resolve(host, None, "udp")


# ── in which order (RFC 2782) ────────────────────────────────────────────────────────────────────────────────────────


async def test_weights_share_the_calls(resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(
        f"_sip._udp.{ACME}",
        "SRV",
        "1 60 5060 a.example.",
        "1 30 5060 b.example.",
        "1 10 5060 c.example.",
        "2 999 5060 d.example.",
    )
    for number, name in enumerate("abcd"):
        dns_server.set(f"{name}.example", "A", f"10.0.0.{number}")
    drawn = [(await resolver.resolve(ACME, None, "udp")).targets for _ in range(4000)]
    first = Counter(targets[0].ip for targets in drawn)
    assert {ip: round(count / 4000, 1) for ip, count in first.items()} == {
        "10.0.0.0": 0.6,
        "10.0.0.1": 0.3,
        "10.0.0.2": 0.1,
    }
    second = Counter(targets[1].ip for targets in drawn if targets[0].ip == "10.0.0.0")
    assert second["10.0.0.1"] / second.total() == pytest.approx(0.75, abs=0.04)
    assert {targets[3].ip for targets in drawn} == {"10.0.0.3"}
    assert len(dns_server.queries) == 6


async def test_equal_hosts_without_weight_take_turns(resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(f"_sip._udp.{ACME}", "SRV", "1 0 5060 a.example.", "1 0 5060 b.example.")
    dns_server.set("a.example", "A", "10.0.0.1")
    dns_server.set("b.example", "A", "10.0.0.2")
    first = Counter([(await resolver.resolve(ACME, None, "udp")).targets[0].ip for _ in range(1000)])
    assert first["10.0.0.1"] == pytest.approx(500, abs=80)
    dns_server.set(f"_sip._tcp.{ACME}", "SRV", "1 0 5060 a.example.", "1 99 5060 b.example.")
    first = Counter([(await resolver.resolve(ACME, None, "tcp")).targets[0].ip for _ in range(1000)])
    assert 0 < first["10.0.0.1"] < 50, "weight 0 is chosen seldom, but it is"


# ── for how long ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("ttl", "held"), [(0, 5), (120, 120), (86400 * 7, 3600), (2**31 - 1, 3600)])
async def test_it_holds_for_its_ttl_within_bounds(
    ttl: int, held: float, resolver: Resolver, dns_server: DnsServer, clock: Clock
) -> None:
    dns_server.set(ACME, "A", "10.0.0.1", ttl=ttl)
    assert (await resolver.resolve(ACME, 5060, "udp")).ttl_s == held
    dns_server.set(ACME, "A", "10.0.0.2", ttl=ttl)
    clock.now += held - 0.1
    again = await resolver.resolve(ACME, 5060, "udp")
    assert (texts(again), again.ttl_s, len(dns_server.queries)) == (["udp:10.0.0.1:5060"], 5, 1)
    clock.now += 0.1
    assert texts(await resolver.resolve(ACME, 5060, "udp")) == ["udp:10.0.0.2:5060"]


@pytest.mark.parametrize(("ttl", "held"), [(1, 5), (20, 20), (900, 30)])
async def test_that_there_is_nothing_holds_a_short_time(
    ttl: int, held: float, resolver: Resolver, dns_server: DnsServer, clock: Clock
) -> None:
    dns_server.negative_ttl = ttl
    for passed, asked in ((0, 1), (held - 0.1, 1), (0.1, 2)):
        clock.now += passed
        with pytest.raises(ResolveError, match="NXDOMAIN"):
            await resolver.resolve(ACME, 5060, "udp")
        assert len(dns_server.queries) == asked


async def test_callers_at_the_same_time_share_one_search(resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(ACME, "A", "10.0.0.1")
    dns_server.hold()
    callers = [asyncio.create_task(resolver.resolve(host, 5060, "udp")) for host in [ACME, "ACME.example", ACME] * 30]
    await dns_server.asked(1)
    callers.pop(0).cancel()  # the one that began it does not take it along
    dns_server.release()
    assert {str(one.targets[0]) for one in await asyncio.gather(*callers)} == {"udp:10.0.0.1:5060"}
    assert dns_server.kinds() == [f"A {ACME}"]


async def test_closing_gives_up_what_is_under_way(resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.hold()
    caller = asyncio.create_task(resolver.resolve(ACME, 5060, "udp"))
    await dns_server.asked(1)
    await resolver.close()
    with pytest.raises(ResolveError, match="given up"):
        await caller


# ── without DNS ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_without_dns_the_last_resolution_serves_for_an_hour(
    resolver: Resolver, dns_server: DnsServer, clock: Clock, lines: io.StringIO
) -> None:
    dns_server.set(ACME, "A", "10.0.0.1", ttl=60)
    await resolver.resolve(ACME, 5060, "udp")
    dns_server.servfail()
    clock.now += 60
    stale = await resolver.resolve(ACME, 5060, "udp")
    assert (texts(stale), stale.ttl_s) == (["udp:10.0.0.1:5060"], 5)
    await resolver.resolve(ACME, 5060, "udp")
    assert len(dns_server.queries) == 2, "no question per call while DNS is down"
    clock.now += 3599
    assert texts(await resolver.resolve(ACME, 5060, "udp")) == ["udp:10.0.0.1:5060"]
    assert await events(lines) == [("dns.failed", True)]
    clock.now += 5
    with pytest.raises(ResolveError, match=r"^no address for acme\.example \(A acme\.example: SERVFAIL\)$"):
        await resolver.resolve(ACME, 5060, "udp")
    dns_server.well()
    clock.now += 5
    await resolver.resolve(ACME, 5060, "udp")
    assert await events(lines) == [("dns.failed", True), ("dns.recovered", None)]


async def test_a_call_does_not_wait_for_silent_dns(resolver: Resolver, dns_server: DnsServer, clock: Clock) -> None:
    dns_server.set(ACME, "A", "10.0.0.1")
    await resolver.resolve(ACME, 5060, "udp")
    dns_server.silent()
    clock.now += 60
    began = time.monotonic()
    assert texts(await resolver.resolve(ACME, 5060, "udp")) == ["udp:10.0.0.1:5060"]
    assert time.monotonic() - began < 1.5, "0.5 s, not the 2 s of a query"
    await resolver.close()


async def test_that_a_name_is_gone_is_an_answer_and_believed(
    resolver: Resolver, dns_server: DnsServer, clock: Clock
) -> None:
    dns_server.set(ACME, "A", "10.0.0.1")
    await resolver.resolve(ACME, 5060, "udp")
    dns_server.set(ACME, "A")
    clock.now += 60
    with pytest.raises(ResolveError, match="NXDOMAIN"):
        await resolver.resolve(ACME, 5060, "udp")


async def test_half_an_answer_does_not_replace_a_whole_one(
    resolver: Resolver, dns_server: DnsServer, clock: Clock
) -> None:
    dns_server.set(f"_sip._udp.{ACME}", "SRV", "0 0 5070 a.example.")
    dns_server.set("a.example", "A", "10.0.0.1")
    dns_server.set(ACME, "A", "10.9.9.9")
    assert texts(await resolver.resolve(ACME, None, "udp")) == ["udp:10.0.0.1:5070"]
    dns_server.servfail("SRV")
    clock.now += 60
    assert texts(await resolver.resolve(ACME, None, "udp")) == ["udp:10.0.0.1:5070"]
    dns_server.set(f"_sip._udp.{ACME}", "SRV", "0 0 5071 a.example.")
    dns_server.well()
    clock.now += 60
    assert texts(await resolver.resolve(ACME, None, "udp")) == ["udp:10.0.0.1:5071"]


async def test_half_an_answer_is_better_than_none(resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(ACME, "A", "10.0.0.1", ttl=600)
    dns_server.servfail("NAPTR", "SRV")
    resolution = await resolver.resolve(ACME, None, "udp")
    assert (texts(resolution), resolution.ttl_s) == (["udp:10.0.0.1:5060"], 30)


async def test_a_search_takes_five_seconds_at_most(resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.silent()
    began = time.monotonic()
    with pytest.raises(ResolveError, match=r"NAPTR .*: timeout; SRV .*: timeout; A .*: timeout"):
        await resolver.resolve(ACME, None, "udp")
    assert 4.5 < time.monotonic() - began < 5.8


async def test_a_lost_datagram_is_sent_again(resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(ACME, "A", "10.0.0.1")
    dns_server.hook = lambda query: [] if len(dns_server.queries) == 1 else None
    assert texts(await resolver.resolve(ACME, 5060, "udp")) == ["udp:10.0.0.1:5060"]


async def test_the_next_nameserver_is_asked_when_one_fails(dns_server: DnsServer, files: tuple[Path, Path]) -> None:
    dns_server.set(ACME, "A", "10.0.0.1")
    async with DnsServer() as broken:
        broken.servfail()
        addresses = [Address("127.0.0.1", server.port) for server in (broken, dns_server)]
        assert texts(await Resolver(addresses, hosts=files[0]).resolve(ACME, 5060, "udp")) == ["udp:10.0.0.1:5060"]
        assert len(broken.queries) == 1


async def test_no_thread_is_used(resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(f"_sip._udp.{ACME}", "SRV", "0 0 5070 a.example.")
    dns_server.set("a.example", "A", "10.0.0.1")
    dns_server.truncate = True
    before = threading.active_count()
    await resolver.resolve(ACME, None, "udp")
    assert threading.active_count() == before


# ── the machine's own files ──────────────────────────────────────────────────────────────────────────────────────────


async def test_the_hosts_file_comes_first_and_is_enough(
    resolver: Resolver, dns_server: DnsServer, files: tuple[Path, Path]
) -> None:
    files[0].write_text(
        "# carriers\nnonsense acme.example\n10.1.1.1\tACME.example alias # acme\nfd00::1 acme.example\n"
    )
    dns_server.set(ACME, "A", "10.0.0.1")
    resolution = await resolver.resolve(ACME, None, "tls")
    assert (texts(resolution), resolution.ttl_s) == (["tls:10.1.1.1:5061"], 30)
    assert texts(await resolver.resolve("alias", 5080, "udp")) == ["udp:10.1.1.1:5080"]
    assert dns_server.queries == []


@pytest.mark.parametrize("text", ["", "10.1.1.1 localhost\n", "::1 localhost\n", "127.0.0.1 localhost\n"])
async def test_localhost_is_always_this_machine(text: str, resolver: Resolver, files: tuple[Path, Path]) -> None:
    files[0].write_text(text)
    assert texts(await resolver.resolve("localhost", None, "udp")) == ["udp:127.0.0.1:5060"]


async def test_srv_may_name_a_host_of_the_hosts_file(
    resolver: Resolver, dns_server: DnsServer, files: tuple[Path, Path]
) -> None:
    files[0].write_text("10.1.1.1 a.example\n")
    dns_server.set(f"_sip._udp.{ACME}", "SRV", "0 0 5070 a.example.")
    assert texts(await resolver.resolve(ACME, None, "udp")) == ["udp:10.1.1.1:5070"]


async def test_without_a_nameserver_the_hosts_file_still_works(files: tuple[Path, Path], clock: Clock) -> None:
    resolver = Resolver(hosts=files[0], resolv_conf=files[1], clock=clock)
    with pytest.raises(ResolveError, match=r"^no address for pbx \(A pbx: no nameserver\)$"):
        await resolver.resolve("pbx", 5060, "udp")
    files[0].write_text("10.1.1.1 pbx\n")
    clock.now += 5
    assert texts(await resolver.resolve("pbx", 5060, "udp")) == ["udp:10.1.1.1:5060"]


# ── hostile answers ──────────────────────────────────────────────────────────────────────────────────────────────────


def forged(query: dns.message.Message, change: str) -> dns.message.Message:
    """An answer of 6.6.6.6 that is not for this query, or not about its name."""
    answer = dns.message.make_response(query)
    name = query.question[0].name
    if change == "id":
        answer.id = query.id ^ 1
    elif change == "question":
        answer.question[0] = dns.rrset.RRset(dns.name.from_text("evil.example"), 1, 1)
    elif change == "no response":
        answer.flags &= ~dns.flags.QR
    elif change == "name":
        name = dns.name.from_text("evil.example")
    answer.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "6.6.6.6"))
    return answer


@pytest.mark.parametrize("change", ["id", "question", "no response"])
async def test_a_forged_answer_is_not_heard_and_the_true_one_is(
    change: str, resolver: Resolver, dns_server: DnsServer
) -> None:
    def both(query: dns.message.Message) -> Sequence[dns.message.Message | bytes]:
        true = dns.message.make_response(query)
        true.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "10.0.0.1"))
        return [b"", b"\xff" * 40, forged(query, change), true]

    dns_server.hook = both
    assert texts(await resolver.resolve(ACME, 5060, "udp")) == ["udp:10.0.0.1:5060"]
    assert len(dns_server.queries) == 1


async def test_an_answer_from_another_port_is_not_heard(resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(ACME, "A", "10.0.0.1")
    dns_server.hold()
    caller = asyncio.create_task(resolver.resolve(ACME, 5060, "udp"))
    await dns_server.asked(1)
    seen = dns_server.queries[0]
    query = dns.message.make_query(ACME, "A", id=seen.id)
    forger, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=("127.0.0.1", seen.port)
    )
    forger.sendto(forged(query, "").to_wire())
    forger.close()
    dns_server.release()
    assert texts(await caller) == ["udp:10.0.0.1:5060"]


def loop_of_names(query: dns.message.Message) -> Sequence[dns.message.Message]:
    answer = dns.message.make_response(query)
    for name, target in ((ACME, "b.example."), ("b.example", f"{ACME}.")):
        answer.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "CNAME", target))
    return [answer]


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        (lambda query: [forged(query, "name")], "no record"),
        (loop_of_names, "chain is too long"),
        (lambda query: [b"\0"], "timeout"),
    ],
)
async def test_an_answer_that_leads_nowhere_is_an_error(
    hook: Hook, reason: str, dns_server: DnsServer, clock: Clock, files: tuple[Path, Path]
) -> None:
    dns_server.hook = hook
    resolver = made(dns_server, clock, files, query_s=0.3)
    with pytest.raises(ResolveError, match=reason):
        await resolver.resolve(ACME, 5060, "udp")


async def test_an_alias_is_followed_and_its_ttl_counts(resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(ACME, "CNAME", "real.example.", ttl=40)
    dns_server.set("real.example", "A", "10.0.0.1", ttl=90)
    resolution = await resolver.resolve(ACME, 5060, "udp")
    assert (texts(resolution), resolution.ttl_s) == (["udp:10.0.0.1:5060"], 40)


@pytest.mark.parametrize("ip", ["0.0.0.0", "224.0.0.1", "255.255.255.255"])
async def test_what_no_host_can_have_is_no_target(ip: str, resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(ACME, "A", ip)
    with pytest.raises(ResolveError, match=f"{ip} is not a host's address"):
        await resolver.resolve(ACME, 5060, "udp")
    dns_server.set("b.example", "A", ip, "127.0.0.1", "10.0.0.1")
    assert len((await resolver.resolve("b.example", 5060, "udp")).targets) == 2


async def test_a_thousand_records_cost_eight_queries_and_give_sixteen_targets(
    resolver: Resolver, dns_server: DnsServer
) -> None:
    dns_server.set(f"_sip._udp.{ACME}", "SRV", *(f"{1 - n // 500} 1 5060 h{n}.example." for n in range(1000)))
    for number in range(1000):
        dns_server.set(f"h{number}.example", "A", *(f"10.{number // 250}.{number % 250}.{n}" for n in range(5)))
    targets = (await resolver.resolve(ACME, None, "udp")).targets
    assert len(set(targets)) == len(targets) == 16
    asked = {query.name for query in dns_server.queries if query.kind == "A"}
    assert len(asked) == 8
    assert Counter(target.ip.rpartition(".")[0] for target in targets).most_common(1)[0][1] == 4
    assert min(int(name[1:].split(".")[0]) for name in asked) >= 500, "of the first priority"


async def test_of_a_thousand_addresses_four_are_used(resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(ACME, "A", *(f"10.0.{n // 250}.{n % 250}" for n in range(1000)))
    assert [target.ip for target in (await resolver.resolve(ACME, 5060, "udp")).targets] == [
        "10.0.0.0",
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.3",
    ]


async def test_the_same_place_is_named_once(resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(f"_sip._udp.{ACME}", "SRV", "0 0 5060 a.example.", "1 0 5060 b.example.", "2 0 5061 a.example.")
    dns_server.set("a.example", "A", "10.0.0.1")
    dns_server.set("b.example", "A", "10.0.0.1")
    targets = (await resolver.resolve(ACME, None, "udp")).targets
    assert targets == (Target("10.0.0.1", 5060, "udp"), Target("10.0.0.1", 5061, "udp"))
    assert dns_server.kinds().count("A a.example") == 1


async def test_what_came_truncated_is_asked_over_tcp(resolver: Resolver, dns_server: DnsServer) -> None:
    dns_server.set(ACME, "A", "10.0.0.1")
    dns_server.truncate = True
    assert texts(await resolver.resolve(ACME, 5060, "udp")) == ["udp:10.0.0.1:5060"]
    assert [query.tcp for query in dns_server.queries] == [False, True]


async def test_ids_and_ports_of_questions_cannot_be_guessed(resolver: Resolver, dns_server: DnsServer) -> None:
    for number in range(50):
        dns_server.set(f"n{number}.example", "A", "10.0.0.1")
        await resolver.resolve(f"n{number}.example", 5060, "udp")
    ids = [query.id for query in dns_server.queries]
    ports = [query.port for query in dns_server.queries]
    for numbers in (ids, ports):
        assert len(set(numbers)) > 45
        steps = Counter(b - a for a, b in pairwise(numbers))
        assert steps.most_common(1)[0][1] < 10, "no constant step"
