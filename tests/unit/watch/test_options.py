"""What `switchhook watch` takes from its command line and from the settings."""

from pathlib import Path

import pytest

from gateway.settings import SettingsError
from gateway.watch.options import KEY_VARIABLE, UsageError, WatchOptions, names_a_call, read_options

NONE = WatchOptions("", None, "")


def test_address_and_store_are_those_of_the_settings(tmp_path: Path) -> None:
    settings = tmp_path / "s.yaml"
    settings.write_text('api: {bind: "127.0.0.1:9090"}\nstore: {url: "sqlite+aiosqlite:///x.db"}\n')
    options = read_options(NONE, None, settings, {})
    assert (options.url, options.store_url) == ("http://127.0.0.1:9090", "sqlite+aiosqlite:///x.db")
    assert read_options(NONE, "http://localhost:1/", settings, {}).url == "http://localhost:1"


def test_far_from_the_gateway_no_settings_are_read(tmp_path: Path) -> None:
    wrong = tmp_path / "s.yaml"
    wrong.write_text("api: nonsense\n")
    given = WatchOptions("", "shk_key", "")
    assert read_options(given, "https://gateway.example", wrong, {}).url == "https://gateway.example"
    with pytest.raises(SettingsError):
        read_options(given, None, wrong, {})


def test_the_variable_of_the_key_is_no_setting() -> None:
    assert read_options(NONE, None, None, {KEY_VARIABLE: "shk_key"}).url == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("given", "url", "env", "says"),
    [
        (NONE, "gateway:8080", {}, "such as http://127.0.0.1:8080"),
        (NONE, "http://a:b@127.0.0.1", {}, "such as http://127.0.0.1:8080"),
        (NONE, "http://gateway.example:8080", {}, "is not this machine"),
        (NONE, "http://localhost.example:8080", {}, "is not this machine"),
        (NONE, None, {"SWITCHHOOK_API__BIND": "127.0.0.1:0"}, "port 0"),
        (WatchOptions("", None, "", call="leg_1"), None, {}, "--call leg_1"),
        (WatchOptions("", None, "", once=True, plain=True), None, {}, "choose one"),
    ],
)
def test_what_makes_no_sense(given: WatchOptions, url: str | None, env: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_options(given, url, None, env)


def test_what_may_name_a_call() -> None:
    assert all(map(names_a_call, ("call_01KAJ", "7QX", "last", "01KAJ")))
    assert not any(map(names_a_call, ("", "7", "7Q", "leg_1", "call_", "a b c", "7QX\n", "../x", "-call")))
