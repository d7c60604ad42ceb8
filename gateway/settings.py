"""The gateway's own settings: switchhook.yaml, SWITCHHOOK_* variables, command line; loaded by cli.py, used by app.py.

The command line wins over the environment, that over the file, that over the defaults. Every key is optional: with no
settings at all the gateway listens on loopback and runs the demo dialplan.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainValidator, ValidationError

from gateway.calls.errors import BotError
from gateway.dialplan.addresses import Address, Network, parse_address
from gateway.dialplan.base import Model, Params
from gateway.dialplan.document import Document, Plain, read
from gateway.dialplan.explain import problems_of
from gateway.dialplan.not_yet import NotYet
from gateway.dialplan.parse import load, read_text
from gateway.dialplan.problems import DialplanError, Place, Problem, ProblemsError, nearest
from gateway.dialplan.schema import Dialplan
from gateway.engine.running import fallback_switch, post_session

DEFAULT_FILE = Path("switchhook.yaml")
_PREFIX = "SWITCHHOOK_"

NOT_YET: tuple[NotYet, ...] = (
    NotYet("sip.tls_port", "TLS"),
    NotYet("sip.tls", "TLS"),
    NotYet("sip.public_address", "NAT", fine=(None,)),
    NotYet("recordings", "recording"),
    NotYet("security.unknown_source", "403 for strangers", only=("reject",), instead="write drop"),
)
"""Keys of the design that are refused until they are built; delete a row to switch its feature on."""


class SettingsError(ProblemsError):
    """The settings cannot be used: the operator's mistake, to be put right where the problems say."""


class ExposureError(Exception):
    """The gateway would listen where others can reach it, and nothing says who may call."""


# ── texts with a meaning ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class PortRange:
    """UDP ports from `first` to `last`, both included."""

    first: int
    last: int


def _ip(given: object) -> str:
    try:
        return str(ip_address(given if isinstance(given, str) else ""))
    except ValueError:
        raise ValueError("write an IP address, such as 127.0.0.1 or 0.0.0.0") from None


def _address(given: object) -> Address:
    if isinstance(given, Address):
        return given
    try:
        return parse_address(given if isinstance(given, str) else "", 8080)
    except ValueError:
        raise ValueError('write an IP address and a port, such as "127.0.0.1:8080"') from None


def _nameserver(given: object) -> Address:
    if isinstance(given, Address):
        return given
    try:
        address = parse_address(given if isinstance(given, str) else "", 53)
    except ValueError:
        raise ValueError('write an IP address, with a port unless it is 53, such as "127.0.0.1:5353"') from None
    if not address.port:
        raise ValueError("port 0 cannot be asked; write the nameserver's port, such as 53")
    return address


def _port_range(given: object) -> PortRange:
    if isinstance(given, PortRange):
        return given
    ends = re.fullmatch(r"([0-9]{1,5})\s*-\s*([0-9]{1,5})", given, re.ASCII) if isinstance(given, str) else None
    if ends is None:
        raise ValueError("write two ports, such as 20000-29999")
    first, last = int(ends[1]), int(ends[2])
    if not 1024 <= first <= last <= 65535:
        raise ValueError("write ports between 1024 and 65535, the smaller one first")
    if last - first < 3:
        raise ValueError("holds no call; write a range of at least 4 ports (2 for a leg)")
    return PortRange(first, last)


def _store_url(given: object) -> str:
    if isinstance(given, str) and re.fullmatch(r"sqlite\+aiosqlite:///[^?#]+", given):
        return given
    raise ValueError("write a SQLite file, such as sqlite+aiosqlite:///var/switchhook.db")


def _path(given: object) -> Path:
    if isinstance(given, Path) or (isinstance(given, str) and given and "\0" not in given):
        return Path(given)
    raise ValueError("write a path")


def _listed(given: object) -> object:
    """A list, or (from the environment) its entries with commas between."""
    return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given


def _number(given: object) -> object:
    """The environment has only texts: let digits be a number."""
    return int(given) if isinstance(given, str) and re.fullmatch(r"[0-9]{1,9}", given, re.ASCII) else given


def _truth(given: object) -> object:
    return {"true": True, "false": False}.get(given, given) if isinstance(given, str) else given


Whole = Annotated[int, BeforeValidator(_number)]
Port = Annotated[int, BeforeValidator(_number), Field(ge=0, le=65535)]
Nameserver = Annotated[Address, PlainValidator(_nameserver)]
FilePath = Annotated[Path, PlainValidator(_path)]

# ── the settings ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Sip(Model):
    """Where SIP and RTP listen."""

    bind: Annotated[str, PlainValidator(_ip)] = "127.0.0.1"
    """IP address of all SIP and RTP sockets."""
    udp_port: Port = 5060
    """UDP port; 0 picks a free one."""
    tcp_port: Port = 5060
    """TCP port; 0 picks a free one."""
    tls_port: Port = 5061
    public_address: str | None = None
    rtp_ports: Annotated[PortRange, PlainValidator(_port_range)] = PortRange(20_000, 29_999)
    """UDP ports of RTP and RTCP, two for a leg."""
    tls: Params | None = None
    nameservers: Annotated[tuple[Nameserver, ...], BeforeValidator(_listed)] = ()
    """Who resolves the names of trunks, asked in this order; none: those of /etc/resolv.conf."""


class Api(Model):
    """Where the HTTP API listens."""

    bind: Annotated[Address, PlainValidator(_address)] = Address("127.0.0.1", 8080)
    """Address and port; port 0 picks a free one."""


class Media(Model):
    """The bridge, and the files that it plays."""

    clock_rate: Annotated[Literal[8000, 16000], BeforeValidator(_number)] = 8000
    """Samples per second of the conference bridge (media.md: follow the traffic)."""
    folder: FilePath = Path("media")
    """Folder of prompts/ and hold/."""


class NodeLimits(Model):
    """Limits of the whole node."""

    calls: Whole = Field(500, ge=1)
    """Most calls at a time; more are refused with 503 and Retry-After."""
    cps: Whole = Field(50, ge=1)
    """Most new calls per second; more are refused in the same way."""
    lag_ms: Whole = Field(50, ge=1)
    """How late the event loop or the media clock may be, twice in 5 seconds, before new calls are refused in the same
    way until the node has recovered (hostile-world.md, Overload)."""


class Security(Model):
    """Strangers, and what bots may make us fetch."""

    unknown_source: Literal["drop", "reject"] = "drop"
    """What a source that belongs to no trunk gets: no answer."""
    fetch_allow: Annotated[tuple[Network, ...], BeforeValidator(_listed)] = ()
    """Private networks that URLs given by bots may reach (hostile-world.md)."""


class Store(Model):
    """Where calls are recorded: the journal, the CDRs, the API keys."""

    url: Annotated[str, PlainValidator(_store_url)] = "sqlite+aiosqlite:///var/switchhook.db"
    """A SQLite file, after `sqlite+aiosqlite:///` (and one `/` more for a path from the root)."""


class Log(Model):
    """The log, on stderr."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"
    mask: Annotated[bool, BeforeValidator(_truth)] = True
    """Mask numbers, digits and transcripts."""


class Settings(Model):
    """All settings of a node; made by `load_settings`. Paths are relative to the working directory."""

    sip: Sip = Sip()
    api: Api = Api()
    media: Media = Media()
    limits: NodeLimits = NodeLimits()
    security: Security = Security()
    log: Log = Log()
    store: Store = Store()
    recordings: Params | None = None
    drain_timeout_s: Whole = Field(3600, ge=0)
    """Seconds that live calls may go on after the first SIGTERM."""
    dialplans: FilePath = Path("dialplans/demo.yaml")
    """The dialplan: a file, or a folder whose `*.yaml` files are merged."""
    cache: FilePath = Path("var/cache")
    """Folder of rendered speech."""


# ── loading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def load_settings(
    file: Path | None = None, env: Mapping[str, str] | None = None, options: Mapping[str, str | None] | None = None
) -> Settings:
    """The settings of a file, of SWITCHHOOK_* variables and of command-line options.

    `file` None: switchhook.yaml of the working directory, if it is there. `options` are named like `log.format` or
    `dialplans`; those that are None were not given. Raises SettingsError with all problems.
    """
    problems: list[Problem] = []
    document = _file(file, problems)
    for path, (value, place) in (_environment(env or {}, problems) | _command_line(options or {})).items():
        document = _laid_over(document, path, value, place)
    settings = None
    try:
        settings = Settings.model_validate(document.data)
    except ValidationError as error:
        problems += problems_of(error, Settings, document, NOT_YET)
    else:
        problems += problems_of(None, Settings, document, NOT_YET)
    if problems or settings is None:
        raise SettingsError(problems)
    return settings


def _file(file: Path | None, problems: list[Problem]) -> Document:
    if file is None and not DEFAULT_FILE.exists():
        return Document()
    path = file or DEFAULT_FILE
    text = read_text(path, problems)
    if text is None:
        return Document()
    document, found = read(text, str(path))
    problems += found
    return document


_Values = dict[tuple[str, ...], tuple[str, Place]]


def _environment(env: Mapping[str, str], problems: list[Problem]) -> _Values:
    """The SWITCHHOOK_* variables as settings: `SWITCHHOOK_SIP__BIND` is `sip.bind`.

    A variable that begins like no setting is a mistake if it is near to one or has a `__`; others may belong to other
    programs (build scripts use the prefix too).
    """
    values: _Values = {}
    for name, value in sorted(env.items()):
        if not name.startswith(_PREFIX):
            continue
        path = tuple(name.removeprefix(_PREFIX).lower().split("__"))
        if path[0] in Settings.model_fields:
            values[path] = (value, Place(name))
            continue
        near = nearest(path[0], Settings.model_fields)
        if near:
            meant = _PREFIX + "__".join((near, *path[1:])).upper()
            problems.append(Problem(name, None, "", f"unknown setting; did you mean {meant}?"))
        elif len(path) > 1:
            problems.append(Problem(name, None, "", "unknown setting; remove it"))
    return values


def _command_line(options: Mapping[str, str | None]) -> _Values:
    place = Place("command line")
    return {tuple(name.split(".")): (value, place) for name, value in options.items() if value is not None}


def _laid_over(document: Document, path: tuple[str, ...], value: str, place: Place) -> Document:
    """The document with this value in place of its own."""
    places = {at: old for at, old in document.places.items() if at[: len(path)] != path} | {path: place}
    return Document(_with(document.data, path, value), places, document.texts)


def _with(data: Plain, path: tuple[str, ...], value: str) -> dict[str, Plain]:
    copy = dict(data) if isinstance(data, dict) else {}
    copy[path[0]] = _with(copy.get(path[0]), path[1:], value) if len(path) > 1 else value
    return copy


def load_plan(settings: Settings, env: Mapping[str, str]) -> Dialplan:
    """The plan that these settings name, fit to be run: its files are right, the media that it plays is there, and
    nothing is open that should not be. Raises DialplanError with all problems."""
    plan = load(settings.dialplans, env)
    problems = [
        Problem(
            place.file, place.line, "", f"there is no {settings.media.folder / sound}.wav; make it, or name another"
        )
        for sound, place in ((sound, found or Place(str(settings.dialplans))) for sound, found in plan.sounds().items())
        if not (settings.media.folder / f"{sound}.wav").is_file()
    ]
    problems += _unusable_switches(plan)
    try:
        check_exposure(settings, plan)
    except ExposureError as error:
        problems.append(Problem(str(settings.dialplans), None, "", str(error)))
    if problems:
        raise DialplanError(problems)
    return plan


def _unusable_switches(plan: Dialplan) -> list[Problem]:
    """Fallbacks and post-sessions that hand over in words that no bot could use either."""
    problems: list[Problem] = []
    readers = ((("fallback", "then", "switch"), fallback_switch), (("post_session",), post_session))
    for name, channel in plan.channels.items():
        for keys, reader in readers:
            path = ("channels", name, *keys)
            try:
                reader(channel)
            except BotError as error:
                place = plan.where(*path)
                said = f"{'.'.join(path)}.{error.detail}"
                problems.append(Problem(place.file if place else "", place.line if place else None, "", said))
    return problems


def check_exposure(settings: Settings, plan: Dialplan) -> None:
    """Nothing is reachable from outside by default (dialplan.md). Raises ExposureError, which says what to write.

    SIP on another address than loopback needs a trunk beyond this machine that says who may call: by an explicit
    `allow` list, or by `auth` with its host. The API speaks plain HTTP, so it stays on loopback, behind a proxy.
    """
    if not settings.api.bind.is_loopback:
        raise ExposureError(
            f"api.bind {settings.api.bind} can be reached from outside, where keys would travel in clear; "
            f'write api: {{bind: "127.0.0.1:{settings.api.bind.port}"}}, and put a proxy with TLS in front of it'
        )
    if ip_address(settings.sip.bind).is_loopback:
        return
    allowed = [network for trunk in plan.trunks.values() for network in trunk.allow or ()]
    known = [trunk.host.ip for trunk in plan.trunks.values() if trunk.auth is not None]
    if all(network.is_loopback for network in allowed) and all(ip is not None and ip.is_loopback for ip in known):
        raise ExposureError(
            f"sip.bind {settings.sip.bind} can be reached from outside, and no trunk of the plan says who may call; "
            "write allow: [your carrier's networks] or auth: {…} in a trunk, or sip: {bind: 127.0.0.1}"
        )
