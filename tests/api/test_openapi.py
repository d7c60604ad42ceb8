"""The OpenAPI document is valid and true: schemathesis asks the running server what the document says it takes."""

import asyncio
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.specs.openapi.checks import positive_data_acceptance

from gateway.api.v1 import ApiLimits
from gateway.calls.states import CallState
from tests.api.node import Node, a_node
from tests.fakes.control import a_call

EXAMPLES = 25
AGENTS = ("consult", "swap", "merge", "forward", "hold", "unhold")


async def test_it_is_valid(gateway: Node):
    document = (await gateway.get("/openapi.json")).body
    assert [*OpenAPIV31SpecValidator(document).iter_errors()] == []
    used = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert used | {"EventOut"} == document["components"]["schemas"].keys()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"] and operation["description"] and operation["operationId"], (path, method)


class Page(HTMLParser):
    """Whether tags are balanced; ids and links."""

    VOID = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        given_ = dict(attrs)
        self.ids += [str(given_["id"])] if "id" in given_ else []
        self.links += [str(given_[name]) for name in ("href", "src") if name in given_]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_page_is_whole_and_needs_nothing_from_elsewhere(gateway: Node):
    answer = await gateway.get("/docs")
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    page = Page()
    page.feed(answer.body)
    assert page.open == [] and len(page.ids) == len({*page.ids})
    assert {link for link in page.links if not link.startswith("#")} == {"/openapi.json"}
    assert {link[1:] for link in page.links if link.startswith("#")} <= {*page.ids}
    assert "<script" not in answer.body
    for path in (await gateway.get("/openapi.json")).body["paths"]:
        assert f"</span>{path}</p>" in answer.body


async def test_problems_point_to_their_explanation(gateway: Node):
    problem = (await gateway.get("/v1/calls")).body
    page = Page()
    page.feed((await gateway.get("/docs")).body)
    assert problem["type"] == "/docs#unauthenticated" and "unauthenticated" in page.ids


@pytest.mark.timeout(120)
async def test_the_server_does_what_the_document_says(tmp_path: Path):
    """Bounded; in a thread, as schemathesis waits for its answers."""
    async with a_node(tmp_path, ApiLimits(10_000, 10_000, 10_000)) as node:
        await _compare(node)


async def _compare(gateway: Node) -> None:
    key = await gateway.key()
    gateway.control.add(a_call(1, state=CallState.TALKING))
    await gateway.over(a_call(2))
    document = (await gateway.get("/openapi.json")).body
    document["paths"].pop("/v1/events")  # it does not end
    of_agents = (f"/v1/calls/{{id}}/{word}" for word in AGENTS)
    for path in ("/v1/calls/{id}", "/v1/calls/{id}/events", "/v1/calls/{id}/replies", *of_agents):
        for operation in document["paths"][path].values():
            operation["parameters"][0]["schema"]["enum"] = ["call_0001", "call_0002", "call_0003"]
    document["paths"]["/v1/agents/{id}/state"]["put"]["parameters"][0]["schema"]["enum"] = ["ann", "bob"]
    for path in document["paths"].values():
        for operation in path.values():  # one key for two bodies is refused, as it should be
            operation["parameters"] = [p for p in operation.get("parameters", []) if p["name"] != "Idempotency-Key"]
    schema = schemathesis.openapi.from_dict(document)
    await asyncio.to_thread(_ask_all, schema, gateway.url, key)


def _ask_all(schema: schemathesis.BaseSchema, url: str, key: str) -> None:
    for result in schema.get_all_operations():
        operation = result.ok()
        # Rules in words only: what may follow what in replies; that a cursor is one
        # that a page gave, and a trunk one of the plan; what may be asked of a call in which state; of which fields a
        # call that is to be placed has exactly one.
        worded = ("/replies", "/cdrs", "/transfers", "/route", *(f"/{word}" for word in AGENTS))
        places = (operation.method.upper(), operation.path) == ("POST", "/v1/calls")
        excluded = [positive_data_acceptance] if places or operation.path.endswith(worded) else []
        _ask(operation, base_url=url, headers={"Authorization": f"Bearer {key}"}, excluded_checks=excluded)


def _ask(operation: schemathesis.schemas.APIOperation, **options: object) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=[*HealthCheck],
    )  # fmt: skip
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(**options)

    ask()
