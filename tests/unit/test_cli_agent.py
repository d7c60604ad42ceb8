"""The commands that use the API, without one: their help, and what they say of a command line that makes no sense."""

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app

COMMANDS = (
    "watch", "calls", "consult", "swap", "merge", "forward", "end-consult", "hold", "unhold", "monitor", "transfer",
    "cancel-transfer", "hangup",
)  # fmt: skip


def run(*words: str) -> Result:
    return CliRunner().invoke(app, [*words], env={"SWITCHHOOK_KEY": "shk_test_test"})


@pytest.mark.parametrize("command", COMMANDS)
def test_each_is_listed_and_its_help_has_an_example(command: str) -> None:
    assert f" {command} " in run("--help").output
    told = run(command, "--help")
    assert told.exit_code == 0 and "Try: switchhook " in told.output, told.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("consult",), "say whom to call by one of --agent, --number, --sip-uri, --contact"),
        (("consult", "7QX", "--agent", "bob", "--number", "+1612"), "say whom to call by one of"),
        (("transfer",), "say whom to call by one of"),
        (("monitor",), "say who shall listen"),
        (("monitor", "--agent", "sue", "--end"), "say who shall listen"),
        (("monitor", "--agent", "sue", "--leg", "supervisor"), "say who shall listen"),
        (("monitor", "--end", "--mode", "barge"), "say who shall listen"),
        (("swap", "--url", "gateway"), "--url gateway: write the address of the gateway's API"),
        (("swap", "--settings", "none.yaml"), "none.yaml"),
        (("watch", "--call", "7"), "--call 7: write an id"),
    ],
)
def test_what_makes_no_sense_is_said_before_anybody_is_asked(words: tuple[str, ...], says: str) -> None:
    ended = run(*words)
    assert ended.exit_code == 2 and says in ended.output, ended.output


def test_a_gateway_that_is_not_there() -> None:
    ended = run("hangup", "last", "--url", "http://127.0.0.1:9")
    assert ended.exit_code == 1
    assert ended.output.startswith("no gateway answers at http://127.0.0.1:9 (connection refused): start it with")
