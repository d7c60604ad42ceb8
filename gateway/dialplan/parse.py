"""Dialplan files into a Dialplan, or into every problem with its file and line; called by cli.py and app.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from gateway.dialplan.base import Secret
from gateway.dialplan.checks import dialling_problems
from gateway.dialplan.document import MAX_BYTES, Document, Plain, read
from gateway.dialplan.explain import EMPTY, problems_of
from gateway.dialplan.not_yet import NOT_YET
from gateway.dialplan.problems import DialplanError, KeyPath, Place, Problem, did_you_mean, problem
from gateway.dialplan.schema import Dialplan, Trunk

_MAX_FILES = 1000


def load(source: Path, env: Mapping[str, str]) -> Dialplan:
    """Load a plan from a file, or from all `*.yaml` of a folder (in the order of their names), merged.

    `env` holds the environment variables that secrets may name. Raises DialplanError with all problems.
    """
    problems: list[Problem] = []
    texts: dict[str, str] = {}
    for file in _files(source, problems):
        text = read_text(file, problems)
        if text is not None:
            texts[str(file)] = text
    return _load(texts, env, problems)


def load_text(text: str, env: Mapping[str, str] | None = None, file: str = "dialplan.yaml") -> Dialplan:
    """Load a plan from the text of one file. Raises DialplanError with all problems, which name it `file`."""
    return _load({file: text}, env or {}, [])


def read_text(file: Path, problems: list[Problem]) -> str | None:
    """The text of a YAML file of at most 1 MiB; None, and a problem more, when it cannot be read."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        problems.append(Problem(str(file), line, "", "is not UTF-8 text; save it as UTF-8"))
    except OSError as error:
        problems.append(Problem(str(file), None, "", f"cannot be read ({error.strerror or 'unknown reason'})"))
    return None


def secret_fetcher(env: Mapping[str, str]) -> Callable[[Secret], str]:
    """How secrets get their value: from these variables, and from files. Raises ValueError where there is none."""

    def fetch(secret: Secret) -> str:
        if secret.env is not None:
            value = env.get(secret.env, "")
            if not value:
                raise ValueError(f"the environment variable {secret.env} is not set; set it before the start")
            return value
        try:
            value = Path(secret.file or "").read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError):
            raise ValueError(f'the file "{secret.file}" cannot be read; write the path of a text file') from None
        if not value:
            raise ValueError(f'the file "{secret.file}" is empty; write the secret into it')
        return value

    return fetch


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _files(source: Path, problems: list[Problem]) -> list[Path]:
    def complain(message: str, file: Path = source) -> None:
        problems.append(Problem(str(file), None, "", message))

    if not source.exists():
        complain("there is no such file or folder; name a .yaml file or a folder of them (--dialplans)")
        return []
    if not source.is_dir():
        return [source]
    files = sorted(source.glob("*.yaml"))
    for stray in sorted(source.glob("*.yml")):
        complain("is not read; rename it to end in .yaml", stray)
    if not files:
        complain("the folder has no .yaml file; write one (see dialplans/example.yaml)")
    if len(files) > _MAX_FILES:
        complain(f"the folder has more than {_MAX_FILES} files")
    return files[:_MAX_FILES]


def _load(texts: Mapping[str, str], env: Mapping[str, str], problems: list[Problem]) -> Dialplan:
    documents = []
    for file, text in texts.items():
        document, found = read(text, file)
        documents.append(document)
        problems += found
    merged = _merge(documents, problems)
    try:
        plan = Dialplan.model_validate(merged.data, context=secret_fetcher(env))
    except ValidationError as error:
        problems += problems_of(error, Dialplan, merged, NOT_YET)
        plan = None
    else:
        problems += problems_of(None, Dialplan, merged, NOT_YET)
    problems += _empty(merged, merged.data, ())
    problems += _unknown_names(merged)
    if plan is not None:
        problems += _same_networks(plan, merged)
        problems += _unreachable(plan, merged)
        problems += dialling_problems(plan, merged)
    if problems or plan is None:
        order = {file: index for index, file in enumerate(texts)}
        raise DialplanError(sorted(dict.fromkeys(problems), key=lambda one: (order.get(one.file, -1), one.line or 0)))
    plan._places = dict(merged.places)
    return plan


def _merge(documents: list[Document], problems: list[Problem]) -> Document:
    """One document of all: names side by side, lists one after the other."""
    if len(documents) == 1:
        return documents[0]
    data: dict[str, Plain] = {}
    places: dict[KeyPath, Place] = {}
    texts: dict[KeyPath, str] = {}
    for document in documents:
        moves: dict[KeyPath, KeyPath | None] = {}  # top of a subtree -> where it goes; None: left out
        for section, value in document.data.items():
            have = data.setdefault(section, value)
            if have is value:
                continue
            if have is None:
                data[section] = value
            elif isinstance(have, tuple) and isinstance(value, tuple):
                moves |= {(section, index): (section, len(have) + index) for index in range(len(value))}
                data[section] = have + value
            elif isinstance(have, dict) and isinstance(value, dict):
                twice = have.keys() & value.keys()
                moves |= {(section, name): None for name in twice}
                problems += [_defined_twice((section, name), document, places) for name in sorted(twice)]
                data[section] = {**have, **{name: below for name, below in value.items() if name not in twice}}
            elif value is not None:
                moves[(section,)] = None
                problems.append(_defined_twice((section,), document, places))
        for path, place in document.places.items():
            target = _moved(path, moves)
            if target is not None:
                places.setdefault(target, place)
                if path in document.texts:
                    texts[target] = document.texts[path]
    return Document(data, places, texts)


def _moved(path: KeyPath, moves: Mapping[KeyPath, KeyPath | None]) -> KeyPath | None:
    for length in (1, 2):
        if path[:length] in moves and len(path) >= length:
            head = moves[path[:length]]
            return None if head is None else (*head, *path[length:])
    return path


def _defined_twice(path: KeyPath, document: Document, places: Mapping[KeyPath, Place]) -> Problem:
    return problem(document.place(path), path, f"is defined already at {places.get(path)}; rename or remove one")


# ── what one part of the plan says about another ─────────────────────────────────────────────────────────────────────


def _empty(document: Document, data: Plain, path: KeyPath) -> Iterator[Problem]:
    """Keys without a value: an empty `secret:` must not pass for none, nor an empty `calls:` for no limit."""
    if data is None:
        yield problem(document.place(path), path, EMPTY)
    elif isinstance(data, dict | tuple):
        for key, below in data.items() if isinstance(data, dict) else enumerate(data):
            yield from _empty(document, below, (*path, key))


def _unknown_names(document: Document) -> Iterator[Problem]:
    """References to channels, trunks and agents that are not there. Looks at the data, so that it works beside
    other errors."""
    for path, kind, name in _references(document.data):
        section = document.data.get(f"{kind}s")
        known = list(section) if isinstance(section, dict) else []
        if name not in known:
            here = f"write one of {', '.join(sorted(known))}" if known else f"the plan has no {kind}s"
            hint = did_you_mean(name, known, here)
            yield problem(document.place(path), path, f'there is no {kind} "{name}"; {hint}')


def _references(data: dict[str, Plain]) -> Iterator[tuple[KeyPath, str, str]]:
    routes = data.get("routes")
    holders: list[tuple[KeyPath, Plain]] = []
    for section in ("channels", "agents", "contacts"):
        entries = data.get(section)
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            trunk: dict[str, Plain] = {"trunk": _entry(entry, "trunk")}
            holders.append(((section, name), trunk))
            holders.append(((section, name, "post_session"), _entry(entry, "post_session")))
    for index, route in enumerate(routes if isinstance(routes, tuple) else ()):
        holders.append((("routes", index), route))
        holders.append((("routes", index, "otherwise"), _entry(route, "otherwise")))
    for path, holder in holders:
        for kind in ("channel", "trunk", "agent"):
            wanted = _entry(holder, kind)
            if isinstance(wanted, str):
                yield (*path, kind), kind, wanted
    webhooks = data.get("webhooks")
    for index, webhook in enumerate(webhooks if isinstance(webhooks, tuple) else ()):
        channels = _entry(webhook, "channels")
        for number, wanted in enumerate(channels if isinstance(channels, tuple) else ()):
            if isinstance(wanted, str):
                yield ("webhooks", index, "channels", number), "channel", wanted


def _entry(holder: Plain, key: str) -> Plain:
    return holder.get(key) if isinstance(holder, dict) else None


def _same_networks(plan: Dialplan, document: Document) -> Iterator[Problem]:
    """Two trunks with the same network and transport: a call from there would have two trunks (see `trunk_of`)."""
    seen: list[tuple[str, Trunk]] = []
    for name, trunk in plan.trunks.items():
        for other_name, other in seen:
            same = sorted(_whence(trunk) & _whence(other))
            if not same or trunk.transport != other.transport or _told_apart(trunk, other):
                continue
            path: KeyPath = ("trunks", name, "allow" if trunk.allow is not None else "host")
            message = f'{same[0]} belongs to trunk "{other_name}" already; a call from there would have two trunks'
            yield problem(document.place(path), path, message)
        seen.append((name, trunk))


def _whence(trunk: Trunk) -> set[str]:
    return {str(network) for network in trunk.networks} or {trunk.host.name}


def _told_apart(trunk: Trunk, other: Trunk) -> bool:
    """By the user that each registers, or by the port that each host sends from."""
    if trunk.contact_user and other.contact_user:
        return trunk.contact_user != other.contact_user
    return trunk.transport == "udp" and trunk.host.name == other.host.name and trunk.host.port != other.host.port


def _unreachable(plan: Dialplan, document: Document) -> Iterator[Problem]:
    """Routes after one that takes every call."""
    for index, route in enumerate(plan.routes[:-1]):
        always_open = route.hours is None or route.otherwise is not None
        if route.to == "*" and route.from_ in (None, "*") and route.trunk is None and always_open:
            place = document.place(("routes", index))
            path: KeyPath = ("routes", index + 1)
            message = f"is never reached: the route at {place} takes every call; move it up"
            yield problem(document.place(path), path, message)
            return
