"""The JSON Schema that editors use says the same as the gateway."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from gateway.dialplan.document import read
from gateway.dialplan.editor import json_schema

FOLDER = Path(__file__).parents[3] / "dialplans"


def mistakes(text: str) -> list[str]:
    document, problems = read(text, "x.yaml")
    assert not problems
    validator = jsonschema.Draft202012Validator(json.loads(json_schema()))
    return [error.json_path for error in validator.iter_errors(json.loads(json.dumps(document.data)))]


def test_the_file_is_what_the_models_say() -> None:
    stale = "stale: python -m gateway.dialplan.editor > dialplans/dialplan.schema.json"
    assert (FOLDER / "dialplan.schema.json").read_text(encoding="utf-8") == json_schema(), stale


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(json_schema()))


@pytest.mark.parametrize("name", ["example.yaml", "demo.yaml"])
def test_our_plans_are_valid_and_name_the_schema(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=dialplan.schema.json\n")
    assert mistakes(text) == []
    # an editor reads YAML 1.1 booleans; ours must not need our own rules
    validator = jsonschema.Draft202012Validator(json.loads(json_schema()))
    assert list(validator.iter_errors(yaml.safe_load(text))) == []


@pytest.mark.parametrize(
    "text",
    [
        "trunks: {a: {host: 10.0.0.1, srtp: required}}",
        "trunks: {a: {host: 10.0.0.1, transport: tls}}",
        "trunks: {a: {host: 10.0.0.1, auth: {}}}",
        "trunks: {a: {transport: udp}}",
        "channels: {a: {bot: {type: stream, url: 'ws://b/'}}}",
        "channels: {a: {bot: {type: builtin, name: echo}, recording: {mode: always}}}",
        "channels: {a: {bot: {type: builtin, name: echo}, anwser: bot}}",
        "channels: {a: {bot: {type: webhook, url: 'http://b', secret: hunter2}}}",
        "routes: [{to: '1', queue: sales}]",
        "queues: {}",
    ],
)
def test_an_editor_marks_what_the_gateway_refuses(text: str) -> None:
    assert mistakes(text)


@pytest.mark.parametrize(
    "text",
    [
        "trunks: {a: {host: 10.0.0.1, srtp: off, register: false}}",
        "channels: {a: {bot: {type: builtin, name: echo}, filler: off, answer: bot, recording: {mode: never}}}",
        "channels: {a: {bot: {type: webhook, url: 'http://b', secret: {env: X}}, fallback: {say: x, then: hangup}}}",
    ],
)
def test_an_editor_leaves_alone_what_is_right(text: str) -> None:
    assert mistakes(text) == []
