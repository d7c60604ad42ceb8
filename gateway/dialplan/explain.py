"""pydantic's errors as sentences that say what to write instead; called by parse.py and gateway/settings.py."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.dialplan.document import Document, Plain
from gateway.dialplan.not_yet import NotYet, refusals
from gateway.dialplan.problems import KeyPath, Problem, did_you_mean, problem

EMPTY = "is empty; write a value, or remove the key"


def problems_of(
    error: ValidationError | None, model: type[BaseModel], document: Document, table: Sequence[NotYet]
) -> list[Problem]:
    """All that is wrong with the document: what is not available yet, and what pydantic found beside that."""
    refused = dict(refusals(document.data, table))
    found = [problem(document.place(path), path, row.message) for path, row in refused.items()]
    for detail in error.errors(include_url=False) if error else ():
        path = _path(detail, document.data)
        inside_refused = any(path[: len(outer)] == outer for outer in refused)
        if inside_refused or (detail["type"] == "too_short" and detail["input"]):
            continue  # said already, of the key or of an item of the list
        found.append(problem(document.place(path), path, _Sentence(detail, path, model, document, table).text()))
    return found


def _path(detail: ErrorDetails, data: Plain) -> KeyPath:
    """pydantic's location without the tags of unions, which nobody wrote."""
    path: KeyPath = ()
    for part in detail["loc"]:
        below: Plain = None
        match data, part:
            case dict(), str() if part in data:
                below = data[part]
            case tuple(), int() if part < len(data):
                below = data[part]
            case _:
                continue  # a tag
        path, data = (*path, part), below
    if detail["type"] == "missing":
        path = (*path, detail["loc"][-1])
    if detail["type"].startswith("union_tag"):
        path = (*path, "type")
    return path


class _Sentence:
    """One error of pydantic, put into words."""

    def __init__(
        self, detail: ErrorDetails, path: KeyPath, model: type[BaseModel], document: Document, table: Sequence[NotYet]
    ) -> None:
        self.detail, self.path, self.model, self.document, self.table = detail, path, model, document, table
        self.context = detail.get("ctx", {})

    def text(self) -> str:
        kind = self.detail["type"]
        if kind == "extra_forbidden":
            return self.unknown_key()
        if kind == "missing":
            return self.missing()
        if kind == "value_error":
            return str(self.context["error"])
        if self.detail["input"] is None and kind.endswith(("_type", "_error")):
            return EMPTY
        if kind in ("literal_error", "enum"):
            return self.one_of(self.written(), self.context["expected"])
        if kind == "union_tag_invalid":
            return self.one_of(self.context["tag"], self.context["expected_tags"])
        if kind == "union_tag_not_found":
            return "is missing; write a mapping with its type, such as {type: …}"
        return self.simple(kind)

    def simple(self, kind: str) -> str:
        if kind == "string_type":
            if isinstance(self.detail["input"], dict | list | tuple):
                return "write a text, not a list or mapping"
            return f'write it in quotes: "{self.written()}"'
        if kind in ("greater_than_equal", "greater_than", "less_than_equal", "less_than"):
            word = {"greater_than_equal": "of at least", "greater_than": "above"}.get(kind, "of at most")
            bound = next(self.context[key] for key in ("ge", "gt", "le", "lt") if key in self.context)
            return f"{self.written()} is out of range; write a number {word} {bound:g}"
        sentences = {
            "int": "write a whole number, without quotes",
            "float": "write a number, without quotes",
            "finite": "write a number",
            "bool": "write true or false",
            "tuple": "write a list, such as [a, b]",
            "model": "write a mapping (`key: value`)",
            "dict": "write a mapping (`name: {key: value}`)",
            "string_too_short": "is empty; write a text",
            "string_too_long": f"is too long; write at most {self.context.get('max_length')} characters",
            "string_pattern": "has characters that do not belong here; write a plain name",
            "too_short": "is an empty list; write at least one entry, or remove the key",
        }
        for start, sentence in sentences.items():
            if kind.startswith(start):
                return sentence
        return self.detail["msg"][:1].lower() + self.detail["msg"][1:]

    def written(self) -> str:
        """The value as its author wrote it (`+12125550100`, where YAML saw the number 12125550100)."""
        return self.document.texts.get(self.path, str(self.detail["input"]))

    def unknown_key(self) -> str:
        key = str(self.path[-1])
        fields = _fields(self.model, self.path[:-1], self.document.data)
        known = sorted({name for name, _ in fields if not self.unavailable(name)})
        listing = f"known here: {', '.join(known)}" if known else "remove it"
        return f"unknown key; {did_you_mean(key, known, listing)}"

    def unavailable(self, name: str) -> bool:
        path = [str(part) for part in (*self.path[:-1], name)]
        return any(_covers(row.path, path) for row in self.table if not row.only and not row.fine)

    def missing(self) -> str:
        fields = _fields(self.model, self.path[:-1], self.document.data)
        about = next((field.description for name, field in fields if name == self.path[-1]), None)
        return f"is missing; write {about.strip()}" if about else "is missing; write it"

    def one_of(self, given: str, expected: str) -> str:
        path = [str(part) for part in self.path]
        later = {value for row in self.table if _covers(row.path, path) for value in row.only}
        fine = {value for row in self.table if _covers(row.path, path) for value in row.fine if isinstance(value, str)}
        known = [word for word in re.findall(r"[\w.-]+", expected.replace(" or ", " ")) if word not in later]
        known = [word for word in known if word in fine] or known
        listing = f"write one of {', '.join(known)}" if len(known) > 1 else f"write {known[0]}"
        is_tag = self.detail["type"] == "union_tag_invalid"
        if isinstance(self.detail["input"], dict | tuple) and not is_tag:
            return listing
        if not isinstance(self.detail["input"], str) and not is_tag:
            return f'"{given}" is not known; {listing}'
        return f'"{given}" is not known; {did_you_mean(given, known, listing)}'


def _covers(pattern: str, path: Sequence[str]) -> bool:
    parts = pattern.split(".")
    return len(parts) == len(path) and all(part in ("*", key) for part, key in zip(parts, path, strict=True))


def _fields(model: type[BaseModel], path: KeyPath, data: Plain) -> Iterator[tuple[str, FieldInfo]]:
    """The keys that may stand at this path of the data."""
    if not path:
        for name, field in model.model_fields.items():
            yield field.alias or name, field
        return
    for name, field in _fields(model, (), data):
        if name == path[0] and isinstance(data, dict):
            yield from _inside(field.annotation, path[1:], data.get(name))


def _inside(annotation: object, path: KeyPath, data: Plain) -> Iterator[tuple[str, FieldInfo]]:
    """The same below a type: a model, or a container or union of types."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if _is_meant(annotation, data):
            yield from _fields(annotation, path, data)
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict and path:
        yield from _inside(arguments[1], path[1:], data.get(str(path[0])) if isinstance(data, dict) else None)
    elif origin is tuple and path and isinstance(path[0], int):
        yield from _inside(arguments[0], path[1:], data[path[0]] if isinstance(data, tuple) else None)
    elif origin not in (dict, tuple):
        for argument in arguments:
            yield from _inside(argument, path, data)


def _is_meant(model: type[BaseModel], data: Plain) -> bool:
    """Whether the data's `type` is this model's, where models differ by type."""
    field = model.model_fields.get("type")
    return field is None or not isinstance(data, dict) or data.get("type") in get_args(field.annotation)
