"""Bodies into models, or into the problem that names the field."""

import pytest

from gateway.api.models import CdrsQuery
from gateway.api.node_models import RouteBody
from gateway.api.problems import ApiProblem, Code
from gateway.api.reading import read_body, read_replies, refused
from gateway.calls.errors import BotError, BotErrorKind
from gateway.calls.replies import MAX_BODY


def test_a_body():
    body = read_body(b'{"to": "1", "from": "2", "at": "2026-11-21T10:00:00Z"}', RouteBody)
    assert (body.to, body.from_, body.at and body.at.year) == ("1", "2", 2026)


@pytest.mark.parametrize(
    ("detail", "path"),
    [
        ("replies[1].timeout: must be a whole number", "replies[1].timeout"),
        ('replies[0]["a: b"].c: unknown field', 'replies[0]["a: b"].c'),
        ("config.tts: must be an object", "config.tts"),
        ("there is a colon: in this sentence", ""),
    ],
)
def test_the_path_of_a_refusal_stands_apart(detail: str, path: str):
    problem = refused(BotError(BotErrorKind.REFUSED, detail))
    assert (problem.code, problem.members["path"], problem.detail) == (Code.INVALID, path, detail)


def test_replies_that_are_too_large():
    with pytest.raises(ApiProblem) as raised:
        read_replies(b" " * (MAX_BODY + 1))
    assert raised.value.code is Code.TOO_LARGE


@pytest.mark.parametrize(
    ("given", "meant"),
    [(" 12125550100", "+12125550100"), ("+1212", "+1212"), ("anonymous", "anonymous"), ("a b", "a b")],
)
def test_a_plus_that_nobody_escaped(given: str, meant: str):
    assert CdrsQuery.model_validate({"from": given}).from_ == meant


def test_a_zone_that_nobody_escaped():
    query = CdrsQuery.model_validate({"since": "2026-11-21T10:00:00 01:00"})
    assert query.since is not None and query.since.isoformat() == "2026-11-21T10:00:00+01:00"
