"""Nothing but public addresses is reached, however they are written."""

from ipaddress import ip_address, ip_network

import pytest

from gateway.speech.addresses import AddressRefused, GuardedResolver, check_literal, may_reach

REFUSED = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "100.100.100.200", "192.0.0.192", "198.18.0.1", "203.0.113.5", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255", "168.63.129.16", "::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1",
    "2001:db8::1", "100::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1", "2001::1", "::ffff:0:10.0.0.1",
]  # fmt: skip
TAKEN = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"]


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    assert not may_reach(ip_address(text), ())


@pytest.mark.parametrize("text", TAKEN)
def test_taken(text: str) -> None:
    assert may_reach(ip_address(text), ())


@pytest.mark.parametrize("text", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203"])
def test_allowed_by_name(text: str) -> None:
    assert may_reach(ip_address(text), [ip_network("10.1.0.0/16")])
    assert not may_reach(ip_address(text), [ip_network("10.2.0.0/16")])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0177.0.0.1", "::1", "[::1]", "fe80::1%eth0", "1.2.3", "::ffff:7f00:1"]
)
def test_literals_refused(host: str) -> None:
    with pytest.raises(AddressRefused):
        check_literal(host, ())


@pytest.mark.parametrize("host", ["1.1.1.1", "example.com", "2606:4700::1111", "1password.com"])
def test_literals_and_names_taken(host: str) -> None:
    check_literal(host, ())


async def test_of_several_addresses_only_public_ones_are_used() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["10.0.0.1", "1.1.1.1", "::1"]

    found = await GuardedResolver(resolve, ()).resolve("mixed.example", 80)
    assert [result["host"] for result in found] == ["1.1.1.1"]
