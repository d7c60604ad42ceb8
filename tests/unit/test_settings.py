"""Settings from a file, the environment and the command line; and who may be reached from outside."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialplan.parse import load_text
from gateway.dialplan.problems import DialplanError
from gateway.settings import ExposureError, PortRange, Settings, SettingsError, check_exposure, load_plan, load_settings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaints(text: str, folder: Path, **env: str) -> list[str]:
    (folder / "switchhook.yaml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(env=env)
    return [str(one) for one in caught.value.problems]


def test_with_nothing_at_all_the_gateway_is_a_demo_on_loopback(folder: Path) -> None:
    settings = load_settings()
    assert (settings.sip.bind, settings.sip.udp_port, settings.sip.tcp_port) == ("127.0.0.1", 5060, 5060)
    assert settings.sip.rtp_ports == PortRange(20000, 29999)
    assert settings.sip.nameservers == ()
    assert str(settings.api.bind) == "127.0.0.1:8080"
    assert settings.dialplans == Path("dialplans/demo.yaml")
    assert settings.cache == Path("var/cache")
    assert (settings.media.clock_rate, settings.media.folder, settings.limits.calls) == (8000, Path("media"), 500)
    assert (settings.limits.cps, settings.limits.lag_ms) == (50, 50)
    assert (settings.security.unknown_source, settings.security.fetch_allow) == ("drop", ())
    assert (settings.log.format, settings.log.level, settings.log.mask) == ("text", "info", True)


def test_the_file_is_read(folder: Path) -> None:
    (folder / "gw.yaml").write_text(
        "sip: {bind: 10.0.0.1, udp_port: 0, rtp_ports: 30000-30999, nameservers: [10.0.0.53, '[::1]:5353']}\n"
        "api: {bind: '[::1]:0'}\nmedia: {clock_rate: 16000}\n"
        "security: {fetch_allow: [10.0.0.0/8]}\nlog: {level: debug, mask: false}\n"
    )
    settings = load_settings(folder / "gw.yaml")
    assert (settings.sip.bind, settings.sip.udp_port, settings.sip.rtp_ports) == (
        "10.0.0.1",
        0,
        PortRange(30000, 30999),
    )
    assert [str(address) for address in settings.sip.nameservers] == ["10.0.0.53:53", "[::1]:5353"]
    assert str(settings.api.bind) == "[::1]:0"
    assert (settings.media.clock_rate, settings.log.level, settings.log.mask) == (16000, "debug", False)
    assert [str(network) for network in settings.security.fetch_allow] == ["10.0.0.0/8"]


def test_the_command_line_wins_over_the_environment_over_the_file(folder: Path) -> None:
    (folder / "switchhook.yaml").write_text(
        "log: {format: json, level: error}\nlimits: {calls: 1}\nsip: {udp_port: 1}\n"
    )
    settings = load_settings(
        env={"SWITCHHOOK_LOG__LEVEL": "warning", "SWITCHHOOK_LIMITS__CALLS": "2", "SWITCHHOOK_DIALPLANS": "a"},
        options={"dialplans": "b", "limits.calls": "3", "sip.bind": None},
    )
    assert (settings.log.format, settings.log.level) == ("json", "warning")
    assert (settings.limits.calls, settings.sip.udp_port) == (3, 1)
    assert settings.dialplans == Path("b")


def test_the_environment_writes_everything_as_text(folder: Path) -> None:
    settings = load_settings(
        env={
            "SWITCHHOOK_SIP__UDP_PORT": "5070",
            "SWITCHHOOK_MEDIA__CLOCK_RATE": "16000",
            "SWITCHHOOK_LOG__MASK": "false",
            "SWITCHHOOK_LIMITS__CPS": "200",
            "SWITCHHOOK_SECURITY__FETCH_ALLOW": "10.0.0.0/8, 192.0.2.1",
            "SWITCHHOOK_SIP__NAMESERVERS": "127.0.0.1:5353, 192.0.2.1",
            "SWITCHHOOK_WHEELHOUSE": "of a build script",
            "PATH": "/bin",
        }
    )
    assert (settings.sip.udp_port, settings.media.clock_rate, settings.log.mask) == (5070, 16000, False)
    assert [str(network) for network in settings.security.fetch_allow] == ["10.0.0.0/8", "192.0.2.1/32"]
    assert [str(address) for address in settings.sip.nameservers] == ["127.0.0.1:5353", "192.0.2.1:53"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sip: {bnid: 127.0.0.1}", 'switchhook.yaml:1: sip.bnid: unknown key; did you mean "bind"?'),
        ("spi: {}", 'switchhook.yaml:1: spi: unknown key; did you mean "sip"?'),
        ("\nsip: {bind: localhost}", "switchhook.yaml:2: sip.bind: write an IP address, such as 127.0.0.1 or 0.0.0.0"),
        ("sip: {tls_port: 5061}", "switchhook.yaml:1: sip.tls_port: is not available yet; remove it"),
        ("sip: {tls: {cert: a}}", "switchhook.yaml:1: sip.tls: is not available yet; remove it"),
        ("sip: {public_address: 192.0.2.1}", "switchhook.yaml:1: sip.public_address: is not available yet; remove it"),
        ("sip: {rtp_ports: 20000}", "switchhook.yaml:1: sip.rtp_ports: write two ports, such as 20000-29999"),
        ("sip: {rtp_ports: 5-9}",
         "switchhook.yaml:1: sip.rtp_ports: write ports between 1024 and 65535, the smaller one first"),
        ("sip: {nameservers: [dns.example]}",
         "switchhook.yaml:1: sip.nameservers[0]: write an IP address, with a port unless it is 53, "
         'such as "127.0.0.1:5353"'),
        ("sip: {nameservers: ['127.0.0.1:0']}",
         "switchhook.yaml:1: sip.nameservers[0]: port 0 cannot be asked; write the nameserver's port, such as 53"),
        ("sip: {udp_port: 70000}",
         "switchhook.yaml:1: sip.udp_port: 70000 is out of range; write a number of at most 65535"),
        ("api: {bind: here}", 'switchhook.yaml:1: api.bind: write an IP address and a port, such as "127.0.0.1:8080"'),
        ("store: {url: sqlite}",
         "switchhook.yaml:1: store.url: write a SQLite file, such as sqlite+aiosqlite:///var/switchhook.db"),
        ("recordings: {url: x}", "switchhook.yaml:1: recordings: is not available yet; remove it"),
        ("limits: {cps: 0}", "switchhook.yaml:1: limits.cps: 0 is out of range; write a number of at least 1"),
        ("security: {unknown_source: reject}",
         "switchhook.yaml:1: security.unknown_source: is not available yet; write drop"),
        ("media: {clock_rate: 44100}",
         'switchhook.yaml:1: media.clock_rate: "44100" is not known; write one of 8000, 16000'),
        ("log: {mask: no}", "switchhook.yaml:1: log.mask: write true or false"),
        ("log: {level: warn}", 'switchhook.yaml:1: log.level: "warn" is not known; did you mean "warning"?'),
        ("sip: [", "switchhook.yaml:2: not valid YAML: expected the node content, but found '<stream end>'"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file(text: str, message: str, folder: Path) -> None:
    said = complaints(text + "\n", folder)
    assert said == [message]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SWITCHHOOK_SIP__BNID", "x", 'SWITCHHOOK_SIP__BNID: sip.bnid: unknown key; did you mean "bind"?'),
        ("SWITCHHOOK_SPI__BIND", "x", "SWITCHHOOK_SPI__BIND: unknown setting; did you mean SWITCHHOOK_SIP__BIND?"),
        ("SWITCHHOOK_QQ__X", "x", "SWITCHHOOK_QQ__X: unknown setting; remove it"),
        ("SWITCHHOOK_DIALPLAN", "x", "SWITCHHOOK_DIALPLAN: unknown setting; did you mean SWITCHHOOK_DIALPLANS?"),
        ("SWITCHHOOK_SIP", "x", "SWITCHHOOK_SIP: sip: write a mapping (`key: value`)"),
        (
            "SWITCHHOOK_SIP__UDP_PORT",
            "many",
            "SWITCHHOOK_SIP__UDP_PORT: sip.udp_port: write a whole number, without quotes",
        ),
        ("SWITCHHOOK_SIP__TLS_PORT", "1", "SWITCHHOOK_SIP__TLS_PORT: sip.tls_port: is not available yet; remove it"),
    ],
)
def test_a_mistake_in_the_environment(name: str, value: str, message: str, folder: Path) -> None:
    assert complaints("", folder, **{name: value}) == [message]


def test_a_mistake_on_the_command_line(folder: Path) -> None:
    with pytest.raises(SettingsError, match=r'^command line: log.format: "jsn" is not known; did you mean "json"\?$'):
        load_settings(options={"log.format": "jsn"})


def test_a_file_that_was_named_must_be_there(folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"^gw.yaml: cannot be read \(No such file or directory\)$"):
        load_settings(Path("gw.yaml"))


@given(
    st.dictionaries(
        st.sampled_from(["sip", "sip__bind", "sip__udp_port", "log", "x", "api__bind__x", "", "__"]), st.text()
    )
)
def test_any_environment_gives_settings_or_problems(values: dict[str, str]) -> None:
    try:
        assert isinstance(
            load_settings(Path("/dev/null"), {f"SWITCHHOOK_{key}": value for key, value in values.items()}), Settings
        )
    except SettingsError as error:
        assert error.problems


# ── who may be reached from outside ──────────────────────────────────────────────────────────────────────────────────

ALLOWED = load_text("trunks: {acme: {host: 203.0.113.5, allow: [203.0.113.0/24]}}")
IMPLICIT = load_text("trunks: {acme: {host: 203.0.113.5}}")
LOOPBACK = load_text("trunks: {demo: {host: 127.0.0.1, allow: [127.0.0.0/8]}}")
PUBLIC = load_settings(Path("/dev/null"), options={"sip.bind": "0.0.0.0"})


def test_loopback_needs_no_trunk() -> None:
    check_exposure(load_settings(Path("/dev/null")), load_text(""))


def test_outside_needs_a_trunk_that_says_who_may_call() -> None:
    check_exposure(PUBLIC, ALLOWED)
    for plan in (IMPLICIT, LOOPBACK, load_text("")):
        with pytest.raises(
            ExposureError, match=r"^sip.bind 0.0.0.0 can be reached from outside, and no trunk .* write allow"
        ):
            check_exposure(PUBLIC, plan)


def test_the_api_stays_on_loopback_while_it_speaks_plain_http() -> None:
    pattern = r"^api.bind 0.0.0.0:8080 .* write api: \{bind: \"127.0.0.1:8080\"\}, and put a proxy"
    with pytest.raises(ExposureError, match=pattern):
        check_exposure(load_settings(Path("/dev/null"), options={"api.bind": "0.0.0.0:8080"}), ALLOWED)


def test_post_session_parameters_that_no_bot_could_give_are_named(folder: Path) -> None:
    (folder / "plan.yaml").write_text(
        "channels:\n  a:\n    bot: {type: builtin, name: echo}\n"
        "    post_session: {channel: a, parameters: {share: [9223372036854775808]}}\n"
    )
    with pytest.raises(DialplanError) as caught:
        load_plan(load_settings(None, options={"dialplans": str(folder / "plan.yaml")}), {})
    assert any(
        "plan.yaml:4: channels.a.post_session.parameters.share[0]: must fit in 64 bits" in str(problem)
        for problem in caught.value.problems
    )


def test_a_fallback_that_hands_over_in_wrong_words_is_named(folder: Path) -> None:
    (folder / "plan.yaml").write_text(
        "channels:\n  a:\n    bot: {type: builtin, name: echo}\n"
        "    fallback: {say: Sorry, then: {switch: {phoneNumber: '+1', timeout: soon}}}\n"
    )
    with pytest.raises(DialplanError) as caught:
        load_plan(load_settings(None, options={"dialplans": str(folder / "plan.yaml")}), {})
    assert any(
        "plan.yaml:4: channels.a.fallback.then.switch.timeout: must be a number of seconds" in str(problem)
        for problem in caught.value.problems
    )
