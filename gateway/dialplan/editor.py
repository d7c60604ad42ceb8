"""The JSON Schema of dialplans, for editors; kept in dialplans/dialplan.schema.json."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence

from gateway.dialplan.not_yet import NOT_YET, NotYet
from gateway.dialplan.schema import Dialplan

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


def json_schema() -> str:
    """The schema as text, always the same for the same models. Keys that are not available yet allow no value."""
    schema: dict[str, Json] = Dialplan.model_json_schema(by_alias=True)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Switchhook dialplan"}
    for row in NOT_YET:
        for holder, key in _properties(schema, schema, row.path.split(".")):
            holder[key] = _restricted(holder[key], row)
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _restricted(node: Json, row: NotYet) -> Json:
    about = f"Not available yet: {row.feature}."
    if row.only:
        return {"allOf": [node], "not": {"enum": [value for value in row.only if isinstance(value, str)]}}
    if row.fine:
        return {"enum": json.loads(json.dumps(row.fine)), "description": about}
    return {"not": {}, "description": about}


def _properties(root: dict[str, Json], node: Json, pattern: Sequence[str]) -> Iterator[tuple[dict[str, Json], str]]:
    """Every object of the schema that describes the last key of the pattern, with that key."""
    if not isinstance(node, dict):
        return
    reference = node.get("$ref")
    if isinstance(reference, str):
        definitions = root["$defs"]
        assert isinstance(definitions, dict)
        yield from _properties(root, definitions[reference.rsplit("/", 1)[1]], pattern)
    for choice in ("anyOf", "oneOf", "allOf"):
        members = node.get(choice)
        for member in members if isinstance(members, list) else ():
            yield from _properties(root, member, pattern)
    wanted, rest = pattern[0], pattern[1:]
    if wanted == "*":
        for below in ("additionalProperties", "items"):
            yield from _properties(root, node.get(below), rest)
        return
    properties = node.get("properties")
    if isinstance(properties, dict) and wanted in properties:
        if rest:
            yield from _properties(root, properties[wanted], rest)
        else:
            yield properties, wanted


if __name__ == "__main__":
    sys.stdout.write(json_schema())
