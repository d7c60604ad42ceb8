"""Targets without TCP are remembered for ten minutes, and only so many of them."""

from gateway.sip.resolver import Target
from gateway.sip.udp_only import REMEMBERED_S, UdpOnly

HERE, THERE = Target("192.0.2.1", 5060, "udp"), Target("192.0.2.2", 5060, "udp")


def test_a_target_is_remembered_from_the_last_time_on() -> None:
    now = 100.0
    targets = UdpOnly(lambda: now)
    targets.add(HERE)
    now += REMEMBERED_S - 1
    assert HERE in targets
    assert THERE not in targets
    targets.add(HERE)
    now += REMEMBERED_S - 1
    assert HERE in targets
    now += 1
    assert HERE not in targets


def test_the_oldest_goes_when_there_are_too_many() -> None:
    targets = UdpOnly(lambda: 0.0)
    for port in range(1025):
        targets.add(Target("192.0.2.1", port, "udp"))
    assert Target("192.0.2.1", 0, "udp") not in targets
    assert Target("192.0.2.1", 1, "udp") in targets
