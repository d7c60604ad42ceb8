"""The command line: what it prints and how it ends, for right and wrong input."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app

PLAN = """
trunks: {acme: {host: 192.0.2.1}, other: {host: 192.0.2.2}}
channels: {hello: {bot: {type: builtin, name: echo}}}
routes:
  - {to: "100", trunk: acme, channel: hello, hours: "mon-fri 09:00-18:00", otherwise: {prompt: closed}}
  - {to: "200", reject: 486}
"""
TO_ANN = '  - {to: "300", agent: ann}\n'

OUTBOUND = """
agents: {ann: {name: Ann, target: "sip:ann@10.0.0.5", trunk: acme}}
contacts: {depot: {phoneNumber: "+4930123456", trunk: other}}
destinations: {allow: ["+1"], deny: ["+1900"]}
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("command", ["serve", "check", "route", "call", "demo", "watch", "prompts"])
def test_help_teaches_every_command(command: str):
    assert f" {command} " in run("--help").output
    told = run(command, "--help")
    assert told.exit_code == 0 and len(told.output.splitlines()) > 5


def test_a_plan_without_mistakes_is_fine(plan: Path):
    done = run("check", "--dialplans", plan)
    assert (done.exit_code, done.output) == (0, f"{plan}: fine (2 trunks, 1 channel, 2 routes)\n")


def test_people_are_counted_where_there_are_any(plan: Path):
    plan.write_text(PLAN + OUTBOUND)
    assert run("check", "--dialplans", plan).output.endswith(
        "fine (2 trunks, 1 channel, 2 routes, 1 agent, 1 contact)\n"
    )


def test_every_mistake_is_told_with_its_line(plan: Path):
    plan.write_text(PLAN.replace("channel: hello", "channel: helo").replace("486", "86"))
    done = run("check", "--dialplans", plan)
    assert done.exit_code == 2
    assert f"{plan}:5: routes[0].channel" in done.output and 'did you mean "hello"' in done.output
    assert f"{plan}:6: routes[1].reject" in done.output


def test_a_prompt_that_does_not_exist_is_a_mistake(plan: Path):
    plan.write_text(PLAN.replace("prompt: closed", "prompt: closedd"))
    done = run("check", "--dialplans", plan)
    assert done.exit_code == 2
    assert f"{plan}:5: there is no media/prompts/closedd.wav; make it, or name another" in done.output


def test_a_plan_that_is_not_there(tmp_path: Path):
    done = run("check", "--dialplans", tmp_path / "none.yaml")
    assert done.exit_code == 2 and "none.yaml" in done.output


def test_a_public_address_needs_a_trunk_that_says_who_may_call(plan: Path, tmp_path: Path):
    settings = tmp_path / "s.yaml"
    settings.write_text("sip: {bind: 0.0.0.0}\n")
    done = run("check", "--settings", settings, "--dialplans", plan)
    assert done.exit_code == 2 and "can be reached from outside" in done.output


@pytest.mark.parametrize(
    ("words", "end"),
    [
        (("100", "--at", "2026-11-20T10:00"), "=> channel hello"),
        (("100", "--at", "2026-11-22T10:00"), "=> plays 'closed', then hangs up"),
        (("100", "--trunk", "other"), "=> refused with 404: no route matches"),
        (("200",), "=> refused with 486"),
    ],
)
def test_a_route_is_explained_step_by_step(plan: Path, words: tuple[str, ...], end: str):
    done = run("route", *words, "--dialplans", plan)
    assert done.exit_code == 0
    assert done.output.splitlines()[-1].startswith(end)
    assert f"1. routes[0] {plan}:5" in done.output


def test_a_route_to_an_agent_is_explained(plan: Path):
    plan.write_text(PLAN + TO_ANN + OUTBOUND)
    done = run("route", "300", "--dialplans", plan)
    assert done.output.splitlines()[-1] == "=> agent ann"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("100", "--trunk", "acne"), "no trunk 'acne' in the dialplan; it has acme, other"),
        (("100", "--at", "tomorrow"), "--at tomorrow: write a time such as 2026-11-21T10:00+01:00"),
    ],
)
def test_a_route_that_cannot_be_explained(plan: Path, words: tuple[str, ...], problem: str):
    done = run("route", *words, "--dialplans", plan)
    assert (done.exit_code, done.output.strip()) == (2, problem)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("16125550111", "--trunk", "other", "--called", "+12125550100"),
            [
                "call out to 16125550111, for anonymous",
                "  1. trunk other: asked for",
                '  2. +16125550111: allowed, destinations.allow has "+1", and no deny covers it',
                "  3. written as +16125550111: number_format e164",
                "  4. shows +12125550100 in from: the number that the customer called",
                "=> dials +16125550111 on other",
            ],
        ),
        (
            ("+19005550123",),
            [
                "call out to +19005550123, for anonymous",
                "  1. trunk acme: asked for",
                '  2. blocked: phoneNumber: +1900•••0123 may not be called: destinations.deny has "+1900"',
                "=> not dialled: blocked",
            ],
        ),
        (("ann",), ["=> dials sip:ann@10.0.0.5 on acme"]),
        (("depot",), ["=> dials +4930123456 on other"]),
        (("ann@10.0.0.5",), ["=> dials sip:ann@10.0.0.5 on acme"]),
        (("tel:+16125550111",), ["=> dials +16125550111 on acme"]),
        (("anna",), ["=> not dialled: invalid-request"]),
    ],
)
def test_a_call_that_we_make_is_explained_step_by_step(plan: Path, words: tuple[str, ...], told: list[str]):
    plan.write_text(PLAN + OUTBOUND)
    done = run("route", "--out", *words, "--dialplans", plan)
    assert done.exit_code == 0
    assert done.output.splitlines()[-len(told) :] == told
