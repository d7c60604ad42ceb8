"""The commands that the demo shows for its requests: a shell understands them as they stand."""

import shlex

import pytest

from gateway.demo.desk import Fields, curl


@pytest.mark.parametrize(
    ("method", "body", "arguments"),
    [
        ("GET", None, []),
        ("DELETE", None, ["-X", "DELETE"]),
        ("POST", {"agent": "bob", "timeout": "20"}, []),
        ("POST", None, ["-X", "POST"]),
    ],
)
def test_a_request_as_a_command(method: str, body: Fields | None, arguments: list[str]) -> None:
    data = ["--json", '{"agent":"bob","timeout":"20"}'] if body else []
    assert shlex.split(curl(method, "/v1/calls/$CALL/consult", body)) == [
        "curl", *arguments, "$API/v1/calls/$CALL/consult", "-H", "Authorization: Bearer $KEY", *data,
    ]  # fmt: skip
