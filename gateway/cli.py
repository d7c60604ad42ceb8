"""The `switchhook` command: reads the command line, prints for people, and hands the work to app, phone and demo."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar
from zoneinfo import ZoneInfo

import typer

from gateway import __version__, cli_agent, cli_phone
from gateway.dialplan.numbers import normalise
from gateway.dialplan.outbound import AskedCaller, From, NoWay, Wanted, way_out
from gateway.dialplan.problems import ProblemsError
from gateway.dialplan.routing import Refuse, ToAgent, ToChannel, ToPrompt, inbound
from gateway.dialplan.schema import Dialplan
from gateway.settings import Settings, load_plan, load_settings

T = TypeVar("T")

app = typer.Typer(
    name="switchhook",
    help="A voice telephony gateway: carriers' SIP trunks in, bots on the line.\n\n"
    "Start with [bold]switchhook demo[/bold]: it places a call to a bot and shows what happens. Then run "
    "[bold]switchhook serve[/bold] and call it with [bold]switchhook call sip:100@127.0.0.1[/bold] or a softphone.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
prompts_app = typer.Typer(help="The gateway's own recordings, in media/.", no_args_is_help=True)
app.add_typer(prompts_app, name="prompts")
keys_app = typer.Typer(
    help="The API's keys, in the store. A running gateway knows of a change at once.", no_args_is_help=True
)
app.add_typer(keys_app, name="keys")

SettingsOption = Annotated[
    Path | None, typer.Option("--settings", help="Settings file. [dim]default: switchhook.yaml, if it is there[/dim]")
]
DialplansOption = Annotated[
    Path | None,
    typer.Option(
        "--dialplans", help="Dialplan: a file, or a folder of *.yaml. [dim]default: dialplans/demo.yaml[/dim]"
    ),
]


def main() -> None:
    """The console script."""
    app()


def _fail(message: str, code: int = 1) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)


def _load(settings: Path | None, dialplans: Path | None, **options: str | None) -> tuple[Settings, Dialplan]:
    given = {"dialplans": str(dialplans) if dialplans else None, **{k.replace("_", "."): v for k, v in options.items()}}
    try:
        loaded = load_settings(settings, os.environ, given)
        return loaded, load_plan(loaded, os.environ)
    except ProblemsError as error:
        _fail(str(error), 2)


@app.command()
def serve(
    settings: SettingsOption = None,
    dialplans: DialplansOption = None,
    log: Annotated[str | None, typer.Option("--log", help="How to log on stderr: text or json.")] = None,
) -> None:
    """Run the gateway in the foreground.

    Prints one line, `ready sip=… api=…`, when it takes calls. Ctrl-C (or SIGTERM) lets live calls finish, a second one
    ends them at once. SIGHUP loads the dialplan again; a bad file is told in the log and changes nothing.
    """
    loaded, _ = _load(settings, dialplans, log_format=log)
    from gateway.app import run  # imports PJSIP, which the other commands do not need

    raise typer.Exit(
        asyncio.run(run(loaded, lambda: load_plan(loaded, os.environ), lambda line: print(line, flush=True)))
    )


@app.command()
def check(settings: SettingsOption = None, dialplans: DialplansOption = None) -> None:
    """Look for mistakes in the settings and the dialplan, and say what to write instead.

    Each problem is one line, file:line: what is wrong. Exit code 0 if there is none, 2 if there is.
    """
    loaded, plan = _load(settings, dialplans)
    counts = ", ".join(
        f"{len(part)} {name if len(part) != 1 else name[:-1]}"
        for name, part in (
            ("trunks", plan.trunks),
            ("channels", plan.channels),
            ("routes", plan.routes),
            ("agents", plan.agents),
            ("contacts", plan.contacts),
        )
        if part or name in ("trunks", "channels", "routes")
    )
    print(f"{loaded.dialplans}: fine ({counts})")


@app.command()
def route(
    to: Annotated[
        str,
        typer.Argument(help="The called number, such as +12125550100; with --out also a SIP URI, an agent, a contact."),
    ],
    from_: Annotated[str, typer.Option("--from", help="The caller's number.")] = "anonymous",
    trunk: Annotated[
        str | None, typer.Option(help="The trunk it comes on. [dim]default: the plan's first[/dim]")
    ] = None,
    out: Annotated[bool, typer.Option("--out", help="A call that we make on the trunk, as a transfer does.")] = False,
    called: Annotated[
        str | None,
        typer.Option(
            help="With --out: what the customer had called. [dim]default: the first number of the routes[/dim]"
        ),
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="When, such as 2026-11-21T10:00+01:00. [dim]default: now[/dim]")
    ] = None,
    settings: SettingsOption = None,
    dialplans: DialplansOption = None,
) -> None:
    """Explain, step by step, where a call would go."""
    _, plan = _load(settings, dialplans)
    if trunk is None:
        trunk = next(iter(plan.trunks), "")
    if trunk not in plan.trunks:
        _fail(f"no trunk {trunk!r} in the dialplan; it has {', '.join(plan.trunks) or 'none'}", 2)
    if out:
        if called is None:
            called = next((rule.to for rule in plan.routes if normalise(rule.to)), "")
        _explain_out(plan, to, trunk, From("", trunk, called, from_))
        return
    decision = inbound(plan, trunk, to, from_, _moment(at))
    print(f"call on {trunk} from {from_} to {to}")
    for step in decision.steps:
        print(f"  {step}")
    match decision:
        case ToChannel():
            print(f"=> channel {decision.channel}")
        case ToAgent():
            print(f"=> agent {decision.agent}")
        case ToPrompt():
            print(f"=> plays {decision.prompt or decision.say!r}, then hangs up")
        case Refuse():
            print(f"=> refused with {decision.status}: {decision.why}")


def _explain_out(plan: Dialplan, to: str, trunk: str, customers_call: From) -> None:
    """An agent or contact of that name, a SIP URI if it has a host, else a number."""
    if to in plan.agents:
        wanted = Wanted(agent=to)
    elif to in plan.contacts:
        wanted = Wanted(contact=to)
    elif "@" in to or to.lower().startswith(("sip:", "sips:", "tel:")):
        wanted = Wanted(sip_uri=to, trunk=trunk)
    else:
        wanted = Wanted(phone_number=to, trunk=trunk)
    way = way_out(plan, wanted, AskedCaller(), customers_call)
    print(f"call out to {to}, for {customers_call.caller}")
    for number, step in enumerate(way.steps, 1):
        print(f"  {number}. {step}")
    if isinstance(way, NoWay):
        print(f"=> not dialled: {way.reason}")
    else:
        print(f"=> dials {way.number or way.uri} on {way.trunk}")


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _fail(f"--at {text}: write a time such as 2026-11-21T10:00+01:00", 2)
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo("UTC"))


app.command()(cli_phone.call)
app.command()(cli_phone.answer)
cli_agent.register(app)


@app.command()
def demo(
    scene: Annotated[
        str,
        typer.Argument(
            help="transfer: caller, bot, person, bot. consult: an agent asks a colleague, swaps, merges, forwards."
        ),
    ] = "transfer",
) -> None:
    """Start the gateway, call its built-in reception bot, have it hand the caller to a person, and show all of it.

    Callers and people are telephones for the terminal (switchhook call and answer). It checks itself: exit code 0 if
    each was seen and heard, 1 if not.
    """
    from gateway.demo import SCENES, run_demo

    if scene not in SCENES:
        _fail(f"no scene {scene!r}; there is {' and '.join(SCENES)}", 2)
    raise typer.Exit(asyncio.run(run_demo(SCENES[scene]())))


@prompts_app.command("make")
def prompts_make(
    folder: Annotated[Path, typer.Option("--media", help="The media folder.")] = Path("media"),
    music: Annotated[bool, typer.Option("--music", help="Make the hold music and the ringback tone too.")] = False,
) -> None:
    """Speak every text of prompts.yaml again with the TTS engine."""
    from gateway.speech.prompts import make_loops, make_prompts

    try:
        made = asyncio.run(make_prompts(folder))
        if music:
            made = [*made, *make_loops(folder)]
    except (OSError, ValueError) as error:
        _fail(str(error))
    for path in made:
        print(path)


@keys_app.command("add")
def keys_add(
    name: Annotated[str, typer.Argument(help="What the key is for; names are unique.")],
    scope: Annotated[
        list[str],
        typer.Option(
            help="calls:read, calls:control, bot:reply, supervise (listen to calls), agents (their states), admin (the "
            "node: webhooks, drain, reload); may be repeated."
        ),
    ],
    channel: Annotated[list[str] | None, typer.Option(help="Bind it to a channel's calls; may be repeated.")] = None,
    agent: Annotated[str | None, typer.Option(help="Bind it to the calls of an agent of the dialplan.")] = None,
    settings: SettingsOption = None,
    dialplans: DialplansOption = None,
) -> None:
    """Make a key and print it: this once, nobody can show it again."""
    from gateway.records import add_key

    loaded, plan = _load(settings, dialplans)
    print(_stored(lambda: add_key(loaded.store.url, plan, name, scope, channel or [], agent)))


@keys_app.command("list")
def keys_list(settings: SettingsOption = None, dialplans: DialplansOption = None) -> None:
    """Show all keys, without their texts."""
    from gateway.records import key_lines

    loaded, _ = _load(settings, dialplans)
    for line in _stored(lambda: key_lines(loaded.store.url)):
        print(line)


@keys_app.command("revoke")
def keys_revoke(name: str, settings: SettingsOption = None, dialplans: DialplansOption = None) -> None:
    """Make a key useless from now on."""
    from gateway.records import revoke_key

    loaded, _ = _load(settings, dialplans)
    _stored(lambda: revoke_key(loaded.store.url, name))


@app.command()
def cdrs(
    limit: Annotated[int, typer.Option(help="How many, the newest first.", min=1, max=1000)] = 20,
    channel: Annotated[str | None, typer.Option(help="Only those of this channel.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    settings: SettingsOption = None,
    dialplans: DialplansOption = None,
) -> None:
    """Show the records of calls that are over."""
    from gateway.records import cdr_lines

    loaded, _ = _load(settings, dialplans)
    for line in _stored(lambda: cdr_lines(loaded.store.url, limit, channel, as_json=json)):
        print(line)


def _stored(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    from gateway.records import RecordsError

    try:
        return asyncio.run(work())
    except RecordsError as error:
        _fail(str(error))


@app.command()
def version() -> None:
    """Say which version this is."""
    print(f"switchhook {__version__}, Python {sys.version.split()[0]}")
