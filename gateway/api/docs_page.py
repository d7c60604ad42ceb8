"""The OpenAPI document as one HTML page, for people; made once by docs.py."""

import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Final

from gateway.api.problems import PROBLEMS
from gateway.calls import history

Schema = dict[str, Any]

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #dfe4ea; --paper: #fff; --tint: #f5f7f9;
  --accent: #0b6e5f; --get: #1d63a8; --post: #0b6e5f; --delete: #a83232; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e8ee; --soft: #98a4b3; --line: #2d3643; --paper: #12171e;
  --tint: #1a212b; --accent: #4fc3ad; --get: #6fb1f0; --post: #4fc3ad; --delete: #f08080; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 1rem; }
body { margin: 0; color: var(--ink); background: var(--paper); font: 16px/1.55 system-ui, sans-serif; }
.page { display: grid; grid-template-columns: 17rem minmax(0, 1fr); max-width: 76rem; margin: 0 auto; }
nav { position: sticky; top: 0; align-self: start; height: 100vh; overflow: auto; padding: 2rem 1rem 2rem 1.5rem;
  font-size: .875rem; border-right: 1px solid var(--line); }
nav h2 { margin: 1.25rem 0 .25rem; font-size: .75rem; letter-spacing: .06em; text-transform: uppercase;
  color: var(--soft); }
nav ul { margin: 0; padding: 0; list-style: none; }
nav a { display: block; padding: .15rem 0; color: var(--ink); text-decoration: none; }
nav a:hover, a:hover { text-decoration: underline; }
a { color: var(--accent); }
main { padding: 2rem 2.5rem 6rem; min-width: 0; }
h1 { margin: 0 0 1rem; font-size: 2rem; letter-spacing: -.02em; }
h2 { margin: 3.5rem 0 .25rem; font-size: 1.4rem; }
h3 { margin: 0; font-size: 1.1rem; }
h4 { margin: 1.25rem 0 .4rem; font-size: .8rem; letter-spacing: .05em; text-transform: uppercase;
  color: var(--soft); }
section.operation, section.schema { margin-top: 1.5rem; padding: 1.25rem 1.5rem; border: 1px solid var(--line);
  border-radius: .6rem; }
.path { margin: .5rem 0; font: 600 .95rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
.method { display: inline-block; min-width: 4.2rem; color: var(--get); }
.POST { color: var(--post); } .DELETE { color: var(--delete); }
code { padding: .1em .3em; border-radius: .25rem; background: var(--tint); font: .875em ui-monospace, monospace;
  overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; }
td { padding: .45rem .75rem .45rem 0; border-top: 1px solid var(--line); vertical-align: top; }
td:first-child { width: 11rem; } td:nth-child(2) { width: 14rem; color: var(--soft); }
td p { margin: 0; }
.status td:first-child { width: 4rem; font-variant-numeric: tabular-nums; }
.must { color: var(--delete); font-size: .75rem; }
@media (max-width: 56rem) { .page { display: block; } nav { position: static; height: auto; border: 0;
  padding-bottom: 0; } main { padding: 1.5rem; } td { display: block; width: auto !important; border: 0;
  padding: .1rem 0; } td:first-child { border-top: 1px solid var(--line); padding-top: .5rem; } }
"""


def page(document: Schema) -> str:
    """The whole page."""
    groups = {tag["name"]: [*_tagged(document, tag["name"])] for tag in document["tags"]}
    title = escape(document["info"]["title"])
    body = "".join(
        f"<h2 id='{_slug(tag['name'])}'>{escape(tag['name'])}</h2>{_prose(tag['description'])}"
        + "".join(_operation(*found) for found in groups[tag["name"]])
        for tag in document["tags"]
    )
    key = document["components"]["securitySchemes"]["key"]["description"]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{title}</title><style>{STYLE}</style></head><body><div class='page'>{_nav(groups)}<main>"
        f"<h1>{title}</h1>{_prose(document['info']['description'])}"
        f"<h4>Keys</h4>{_prose('Send `Authorization: Bearer <key>`. ' + key)}"
        "<p>This page for programs: <a href='/openapi.json'>/openapi.json</a>.</p>"
        f"{body}{_events()}{_problems()}<h2 id='objects'>Objects</h2>{''.join(_schemas(document))}"
        "</main></div></body></html>"
    )


def _tagged(document: Schema, tag: str) -> Iterator[tuple[str, str, Schema]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                yield method.upper(), path, operation


def _nav(groups: dict[str, list[tuple[str, str, Schema]]]) -> str:
    parts = []
    for name, found in groups.items():
        links = "".join(f"<li><a href='#{op['operationId']}'>{escape(op['summary'])}</a></li>" for _, _, op in found)
        parts.append(f"<h2>{escape(name)}</h2><ul>{links}</ul>")
    named = ("events", "problems", "objects")
    links = "".join(f"<li><a href='#{name}'>{name.capitalize()}</a></li>" for name in named)
    more = f"<h2>More</h2><ul>{links}</ul>"
    return f"<nav><strong>Switchhook</strong>{''.join(parts)}{more}</nav>"


# ── Operations ──────────────────────────────────────────────────────────────────────────────────────


def _operation(method: str, path: str, operation: Schema) -> str:
    parts = [
        f"<section class='operation' id='{operation['operationId']}'><h3>{escape(operation['summary'])}</h3>",
        f"<p class='path'><span class='method {method}'>{method}</span>{escape(path)}</p>",
        _prose(operation["description"]),
    ]
    if operation.get("parameters"):
        rows = [
            (one["name"], _type(one["schema"]), one.get("description", ""), one["required"])
            for one in operation["parameters"]
        ]
        parts.append("<h4>Parameters</h4>" + _table(rows))
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        parts.append(f"<h4>Body</h4><p>{_type(schema)}</p>")
    rows_of = "".join(
        f"<tr><td>{status}</td><td>{_prose(answer['description'])}</td><td>{_content(answer)}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    parts.append(f"<h4>Answers</h4><table class='status'>{rows_of}</table></section>")
    return "".join(parts)


def _content(answer: Schema) -> str:
    return "".join(_type(content["schema"]) for content in answer.get("content", {}).values())


def _events() -> str:
    """The table of the happenings, from where they are made."""
    lines = [line for line in (history.__doc__ or "").splitlines() if line.startswith("| `")]
    rows = "".join(
        "<tr>" + "".join(f"<td>{_prose(cell.strip())}</td>" for cell in line.strip("|").split("|")) + "</tr>"
        for line in lines
    )
    about = "<p>What happens to a call: type, when, and what is in its <code>data</code>.</p>"
    return f"<h2 id='events'>Events</h2>{about}<table>{rows}</table>"


def _problems() -> str:
    rows = "".join(
        f"<tr id='{code.value}'><td><code>{code.value}</code></td><td>{status}</td><td>{escape(title)}.</td></tr>"
        for code, (status, title) in PROBLEMS.items()
    )
    return f"<h2 id='problems'>Problems</h2><p>What <code>code</code> may be.</p><table>{rows}</table>"


# ── Schemas ─────────────────────────────────────────────────────────────────────────────────────────


def _schemas(document: Schema) -> Iterator[str]:
    for name, schema in sorted(document["components"]["schemas"].items()):
        required = schema.get("required", [])
        rows = [
            (field, _type(below), below.get("description", ""), field in required)
            for field, below in schema.get("properties", {}).items()
        ]
        what = _table(rows) if rows else f"<p>{_type(schema)}</p>"
        about = _prose(schema.get("description", ""))
        yield f"<section class='schema' id='schema-{name}'><h3>{escape(name)}</h3>{about}{what}</section>"


def _table(rows: Iterable[tuple[str, str, str, bool]]) -> str:
    body = "".join(
        f"<tr><td><code>{escape(name)}</code>{' <span class=must>required</span>' if must else ''}</td>"
        f"<td>{type_}</td><td>{_prose(about)}</td></tr>"
        for name, type_, about, must in rows
    )
    return f"<table>{body}</table>"


def _type(schema: Schema) -> str:
    """What a value may be, in a few words, with links."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        words = f"<a href='#schema-{name}'>{escape(name)}</a>"
    elif "enum" in schema or "const" in schema:
        values: list[object] = schema["enum"] if "enum" in schema else [schema["const"]]
        words = " · ".join(f"<code>{escape(str(value))}</code>" for value in values)
    elif "anyOf" in schema or "oneOf" in schema:
        words = " or ".join(dict.fromkeys(_type(one) for one in [*schema.get("anyOf", ()), *schema.get("oneOf", ())]))
    elif schema.get("type") == "array":
        words = f"list of {_type(schema.get('items', {}))}"
    elif schema.get("type") == "object":
        words = "object"
    else:
        words = escape(str(schema.get("format") or schema.get("type") or "anything"))
    return words + _limits(schema)


def _limits(schema: Schema) -> str:
    least, most = (schema.get(f"{end}imum", schema.get(f"{end}Length")) for end in ("min", "max"))
    said = f" {least} to {most}" if least is not None and most is not None else ""
    if schema.get("default") not in (None, [], {}):
        said += f", default <code>{escape(json.dumps(schema['default']))}</code>"
    return said


# ── Prose ───────────────────────────────────────────────────────────────────────────────────────────


def _prose(text: str) -> str:
    """Paragraphs, with `code` in them: all the Markdown that our descriptions use."""
    return "".join(
        "<p>" + re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(" ".join(paragraph.split()))) + "</p>"
        for paragraph in text.split("\n\n")
        if paragraph.strip()
    )


def _slug(name: str) -> str:
    return "tag-" + name.lower()
