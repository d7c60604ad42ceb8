"""YAML text into plain data that remembers its lines; called by parse.py and gateway/settings.py.

YAML is read by the rules of YAML 1.2 (core schema), not 1.1: only `true` and `false` are booleans, so that
`srtp: off` is the word *off*, `region: NO` is Norway, and `12:30` is a text. Duplicate keys, tags, merge keys and
anything that would grow without bound are problems.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from gateway.dialplan.problems import KeyPath, Place, Problem, problem

Plain = str | int | float | bool | None | tuple["Plain", ...] | dict[str, "Plain"]
"""What a document is made of. Lists are tuples: nothing that was read can change."""

MAX_BYTES = 1024 * 1024
"""Largest file that is read: 1 MiB."""
MAX_VALUES = 100_000
"""Most values of one file, anchors written out (a bound on what aliases can blow up to)."""
MAX_DEPTH = 40

_NULL, _BOOL, _INT, _FLOAT, _STR, _MAP, _SEQ = (
    f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "map", "seq")
)


class _Loader(yaml.SafeLoader):
    """Only composes nodes; the scalar types are those of YAML 1.2."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  (PyYAML's own type; filled below)


_Loader.add_implicit_resolver(_NULL, re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(_INT, re.compile(r"^[-+]?[0-9]{1,40}$"), list("-+0123456789"))
_Loader.add_implicit_resolver(_FLOAT, re.compile(r"^[-+]?[0-9]{1,40}\.[0-9]{1,40}$"), list("-+0123456789"))


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data, with the place of every value and the text of those values that YAML does not take for text."""

    data: dict[str, Plain] = field(default_factory=dict)
    places: Mapping[KeyPath, Place] = field(default_factory=dict)
    texts: Mapping[KeyPath, str] = field(default_factory=dict)

    def place(self, path: KeyPath) -> Place:
        """Where `path` was written; for what is missing, where its nearest parent was."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place("?"))


def read(text: str, file: str) -> tuple[Document, list[Problem]]:
    """Read one file's text; `file` is its name in problems. Never raises: what cannot be read is left out."""
    top = Place(file, 1)
    if len(text.encode(errors="replace")) > MAX_BYTES:
        return Document(places={(): top}), [problem(top, (), "is larger than 1 MiB; split it")]
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        return Document(places={(): top}), [_syntax(error, file)]
    except yaml.YAMLError as error:  # ReaderError: a character that YAML forbids
        what = str(error).splitlines()[0]
        return Document(places={(): top}), [problem(top, (), f"not valid YAML: {what}")]
    except (RecursionError, ValueError):
        return Document(places={(): top}), [problem(top, (), "not valid YAML: nested too deep or not text")]
    return _Reader(file).document(node)


def _syntax(error: yaml.MarkedYAMLError, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    what = error.problem or error.context or "cannot be read"
    if "'\\t'" in what:
        what = "a tab; indent with spaces"
    return Problem(file, mark.line + 1 if mark else 1, "", f"not valid YAML: {what}")


class _Reader:
    """Turns the nodes of one file into a Document, collecting problems on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.places: dict[KeyPath, Place] = {(): Place(file, 1)}
        self.texts: dict[KeyPath, str] = {}
        self.problems: list[Problem] = []
        self.values_left = MAX_VALUES

    def document(self, node: yaml.Node | None) -> tuple[Document, list[Problem]]:
        data: Plain = {}
        if node is not None:
            data = self.value(node, (), 0)
        if data is None or not isinstance(data, dict):
            if data is not None:
                self.complain(node, (), "write sections at the top, such as `trunks:`, each with its entries below it")
            data = {}
        return Document(data, self.places, self.texts), self.problems

    def complain(self, node: yaml.Node | None, path: KeyPath, message: str) -> None:
        line = node.start_mark.line + 1 if node else 1
        self.problems.append(problem(Place(self.file, line), path, message))

    def value(self, node: yaml.Node, path: KeyPath, depth: int) -> Plain:
        self.values_left -= 1
        if self.values_left < 0 or depth > MAX_DEPTH:
            if self.values_left >= -1:  # said once; an alias inside itself ends here too
                self.complain(node, path, "is too large or nested too deep; write it without anchors")
                self.values_left = -1
            return None
        if isinstance(node, yaml.MappingNode) and node.tag == _MAP:
            return self.mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == _SEQ:
            return self.sequence(node, path, depth)
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, path)
        self.complain(node, path, f"the tag {node.tag} is not understood; write plain values")
        return None

    def mapping(self, node: yaml.MappingNode, path: KeyPath, depth: int) -> dict[str, Plain]:
        entries: dict[str, Plain] = {}
        for key_node, value_node in node.value:
            key = self.key(key_node, path)
            if key is None:
                continue
            here = (*path, key)
            if key in entries:
                first = self.places[here].line
                self.complain(key_node, here, f"is written twice (first in line {first}); remove one")
                continue
            self.places[here] = Place(self.file, key_node.start_mark.line + 1)
            entries[key] = self.value(value_node, here, depth + 1)
        return entries

    def key(self, node: yaml.Node, path: KeyPath) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self.complain(node, path, "a key must be a plain word")
            return None
        if node.value == "<<" and node.tag == _STR:
            self.complain(node, path, "merge keys (<<) are not understood; write the keys out")
            return None
        if node.tag != _STR:
            self.complain(node, path, f'write the key in quotes: "{node.value}"')
            return None
        return str(node.value)

    def sequence(self, node: yaml.SequenceNode, path: KeyPath, depth: int) -> tuple[Plain, ...]:
        items: list[Plain] = []
        for index, item in enumerate(node.value):
            here = (*path, index)
            self.places[here] = Place(self.file, item.start_mark.line + 1)
            items.append(self.value(item, here, depth + 1))
        return tuple(items)

    def scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Plain:
        text = str(node.value)
        if node.tag == _STR:
            return text
        self.texts[path] = text
        if node.tag == _NULL:
            return None
        if node.tag == _BOOL and text.lower() in ("true", "false"):
            return text.lower() == "true"
        try:
            if node.tag == _INT and len(text) <= 41:
                return int(text)
            if node.tag == _FLOAT and len(text) <= 82:
                return float(text)
        except ValueError:
            pass
        self.complain(node, path, f"the tag {node.tag} is not understood; write a plain value")
        return None
