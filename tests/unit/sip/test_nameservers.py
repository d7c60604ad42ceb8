"""Which nameservers are asked, for which names: resolv.conf, its changes, and its search domains."""

import asyncio
import os
from pathlib import Path

import pytest

from gateway.dialplan.addresses import Address
from gateway.sip.nameservers import Answer, Nameservers
from tests.dns_server import DnsServer


def system(folder: Path, resolv_conf: str, port: int = 53) -> Nameservers:
    (folder / "resolv.conf").write_text(resolv_conf)
    return Nameservers((), 2.0, folder / "resolv.conf", folder / "hosts", port)


async def ask(servers: Nameservers, name: str) -> Answer:
    return await servers.ask(name, "A", asyncio.get_running_loop().time() + 5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\nsearch corp.example\n",
        "nameserver here\n",
        "nameserver\n",
        "\udcff".encode("utf-8", "surrogatepass").decode("latin-1"),
    ],
)
async def test_a_resolv_conf_without_nameserver(text: str, tmp_path: Path) -> None:
    answer = await ask(system(tmp_path, text), "a.example")
    assert (answer.records, answer.reason, answer.certain) == ((), "no nameserver", False)


async def test_no_resolv_conf_at_all(tmp_path: Path) -> None:
    servers = Nameservers((), 0.3, tmp_path / "none", tmp_path / "none")
    assert (await ask(servers, "a.example")).reason == "no nameserver"


async def test_resolv_conf_is_read_again_when_it_changes(tmp_path: Path) -> None:
    async with DnsServer({"a.example A": "10.0.0.1"}) as server:
        servers = system(tmp_path, "nameserver 127.0.0.2\n", server.port)  # nobody is there
        assert (await ask(servers, "a.example")).reason == "timeout"
        (tmp_path / "new").write_text("nameserver 127.0.0.1\n")
        os.replace(tmp_path / "new", tmp_path / "resolv.conf")
        assert len((await ask(servers, "a.example")).records) == 1


async def test_a_slow_resolv_conf_does_not_slow_us(tmp_path: Path) -> None:
    async with DnsServer({"a.example A": "10.0.0.1"}) as server:
        text = "nameserver 127.0.0.2\nnameserver 127.0.0.1\noptions timeout:5\n"
        assert len((await ask(system(tmp_path, text, server.port), "a.example")).records) == 1


async def test_search_domains_are_for_names_without_a_dot(tmp_path: Path) -> None:
    async with DnsServer({"pbx.corp.example A": "10.0.0.1", "a.example.corp.example A": "10.0.0.2"}) as server:
        servers = system(tmp_path, "nameserver 127.0.0.1\nsearch corp.example\n", server.port)
        assert len((await ask(servers, "pbx")).records) == 1
        assert (await ask(servers, "a.example")).reason == "NXDOMAIN"
        assert server.kinds() == ["A pbx.corp.example", "A a.example"]


async def test_a_deadline_bounds_a_query(tmp_path: Path) -> None:
    async with DnsServer() as server:
        server.silent()
        servers = Nameservers([Address("127.0.0.1", server.port)], 60.0, tmp_path / "none", tmp_path / "none")
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await servers.ask("a.example", "A", began + 0.2)
        assert (answer.reason, answer.certain) == ("timeout", False)
        assert loop.time() - began < 2


@pytest.mark.parametrize("name", ["pbx", "a.example"])
async def test_given_nameservers_are_asked_for_the_name_itself(name: str, tmp_path: Path) -> None:
    async with DnsServer() as server:
        servers = Nameservers([Address("127.0.0.1", server.port)], 0.3, tmp_path / "none", tmp_path / "none")
        assert (await ask(servers, name)).reason == "NXDOMAIN"
        assert server.kinds() == [f"A {name}"]
