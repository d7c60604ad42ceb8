"""Registrations at SIPp, the second registrar beside tests/registrar.py: challenges, refusals, when to return."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.gateway_process import GatewayProcess
from tests.registrar import is_right
from tests.sipp import SippRegistrar
from tests.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

_REALM = 'Digest realm="acme.example", qop="auth", algorithm=MD5, nonce'
CHALLENGE = f'401 Unauthorized\nWWW-Authenticate: {_REALM}="one"'


def gateway_of(carrier: SippRegistrar, folder: Path) -> GatewayProcess:
    """With one trunk that registers there."""
    auth = "auth: {username: gw, realm: acme.example, password: {env: ACME_PASSWORD}}"
    plan = f"""
trunks: {{acme: {{host: "{carrier.address}:{carrier.port}", {auth}, register: true}}}}
channels: {{quiet: {{bot: {{type: builtin, name: echo}}}}}}
routes: [{{to: "*", channel: quiet}}]
"""
    return GatewayProcess(plan, folder, {}, {"ACME_PASSWORD": "open sesame"})


def nonces(requests: list[Wire], name: str = "Authorization") -> list[str]:
    """What each request answers to."""
    return [(one.header(name) or "").partition('nonce="')[2].partition('"')[0] for one in requests]


def proven(request: Wire) -> bool:
    """It has the right password for a proxy; SIPp checks only what is for itself."""
    given = request.header("Proxy-Authorization") or ""
    return is_right(given, "REGISTER", "gw", "acme.example", "open sesame")


async def has_come(carrier: SippRegistrar, count: int, timeout_s: float = 20.0) -> list[Wire]:
    """Wait until SIPp has written so many REGISTERs into its file."""
    async with asyncio.timeout(timeout_s):
        while len(found := carrier.registers) < count:
            await asyncio.sleep(0.1)
    return found


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (CHALLENGE, "200 OK", lambda all_: nonces(all_) == ["", "one"]),
        (
            f'407 Proxy Authentication Required\nProxy-Authenticate: {_REALM}="one"',
            "200 OK",
            lambda all_: nonces(all_, "Proxy-Authorization") == ["", "one"] and proven(all_[1]),
        ),
        (
            CHALLENGE,
            f'401 Unauthorized\nWWW-Authenticate: {_REALM}="two", stale=true',
            lambda all_: nonces(all_) == ["", "one", "two"],
        ),
        (
            CHALLENGE,
            "423 Interval Too Brief\nMin-Expires: 900",
            lambda all_: [one.header("Expires") for one in all_] == ["300", "300", "900"],
        ),
    ],
    ids=["401", "407", "stale", "423"],
)
async def test_it_gets_registered(tmp_path: Path, first: str, second: str, told: Callable[[list[Wire]], bool]) -> None:
    async with SippRegistrar(tmp_path, first, second) as carrier, gateway_of(carrier, tmp_path) as gateway:
        await gateway.wait_for("trunk.registered")
        assert told(carrier.registers), "\n".join(one.text for one in carrier.registers)


async def test_a_registration_that_ends_early_is_refreshed_before(tmp_path: Path) -> None:
    async with (
        SippRegistrar(tmp_path, CHALLENGE, expires_s=12) as carrier,
        gateway_of(carrier, tmp_path) as gateway,
    ):
        await gateway.wait_for("trunk.registered")
        came = await has_come(carrier, 4)
        assert [one.header("Call-ID") for one in came] == [came[0].header("Call-ID")] * 4
        assert all(1 < later.at_s - one.at_s < 11 for one, later in pairwise(came[1:]))
        assert not gateway.events("trunk.not_registered")


async def test_a_refusal_is_told_and_not_repeated_at_once(tmp_path: Path) -> None:
    async with (
        SippRegistrar(tmp_path, CHALLENGE, "403 Forbidden") as carrier,
        gateway_of(carrier, tmp_path) as gateway,
    ):
        told = await gateway.wait_for("trunk.not_registered")
        assert told["detail"] == f"udp:127.0.0.2:{carrier.port} refuses our credentials (403 Forbidden)"
        await asyncio.sleep(6)  # longer than the first pause after trouble that passes
        assert len(carrier.registers) == 2


async def test_it_comes_back_when_a_503_says(tmp_path: Path) -> None:
    async with (
        SippRegistrar(tmp_path, "503 Service Unavailable\nRetry-After: 8 (maintenance)") as carrier,
        gateway_of(carrier, tmp_path) as gateway,
    ):
        told = await gateway.wait_for("trunk.not_registered")
        assert "503 Service Unavailable" in told["detail"]
        first, second = await has_come(carrier, 2)
        assert 8 <= second.at_s - first.at_s < 12, "of itself it would after 4 s"
