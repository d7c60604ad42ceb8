"""`switchhook watch`, `calls`, `consult`, `swap` …: the command lines that use the API; commands of cli.py."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.dialplan.problems import ProblemsError

if TYPE_CHECKING:
    from gateway.watch import Order

_PANEL = "Calls that are up"
_WHICH = (
    "An id, its beginning or ending (three characters at least), or [bold]last[/bold]: the one that came last. "
    "[dim]default: the only one[/dim]"
)
CallArgument = Annotated[str | None, typer.Argument(metavar="CALL", help=_WHICH, show_default=False)]
UrlOption = Annotated[
    str | None, typer.Option(help="The gateway's API. [dim]default: http:// and api.bind of the settings[/dim]")
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        envvar="SWITCHHOOK_KEY",
        help="A key with the scopes calls:read and, to change a call, calls:control (supervise: to listen). "
        "[dim]default: one of its own, made in the store of the settings and revoked at the end[/dim]",
    ),
]
SettingsOption = Annotated[
    Path | None, typer.Option("--settings", help="Settings file. [dim]default: switchhook.yaml, if it is there[/dim]")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the call as the API gives it, one JSON object.")]
AgentOption = Annotated[str | None, typer.Option(help="An agent of the dialplan.")]
NumberOption = Annotated[str | None, typer.Option(help="A phone number, such as +16125550100.")]
SipUriOption = Annotated[str | None, typer.Option("--sip-uri", help="A SIP URI, such as sip:bob@pbx.example.")]
ContactOption = Annotated[str | None, typer.Option(help="A contact of the dialplan.")]
NoteOption = Annotated[str | None, typer.Option(help="What it is about; kept with the call.")]
TimeoutOption = Annotated[float | None, typer.Option(help="Seconds to ring. [dim]default: 30[/dim]")]
ShowNumbersOption = Annotated[bool, typer.Option("--show-numbers", help="Write phone numbers and digits in full.")]


HeldLegOption = Annotated[
    str | None,
    typer.Option(
        "--leg",
        help="Another leg: its name as `calls` writes it (agent, consult, agent 2), or its id or a part of that. "
        "[dim]default: the customer's[/dim]",
    ),
]
_PLAIN = {
    "swap": "Change between the customer and the consultant; the one who is left hears music.\n\n"
    "Try: switchhook swap, or switchhook swap 7QX where 7QX ends the id of the call",
    "merge": "Bring customer, agent and consultant together: all three hear each other.\n\nTry: switchhook merge",
    "forward": "Leave the customer with the consultant: a warm transfer. The agent is released.\n\n"
    "While it rings: as soon as the consultant answers.\n\nTry: switchhook forward",
    "end-consult": "End the consult: the consultant is released, agent and customer are together again.\n\n"
    "Try: switchhook end-consult",
    "cancel-transfer": "Take back a transfer that nobody has answered yet; nothing is left ringing.\n\n"
    "Try: switchhook cancel-transfer",
    "hangup": "Hang up everybody in a call.\n\nTry: switchhook hangup, or switchhook hangup last",
}
_HOLD = (
    "Put the customer on hold: hold music, and nobody hears them.\n\n"
    "Not during a consult, where they hear music anyway; unhold ends it.\n\n"
    "Try: switchhook hold, or switchhook hold 7QX --leg agent"
)
_UNHOLD = "Take the customer off hold.\n\nTry: switchhook unhold"


class OnAgentHangup(StrEnum):
    """What becomes of a consult when the agent hangs up."""

    FORWARD = "forward"
    END = "end"


class Mode(StrEnum):
    """Who hears a supervisor."""

    MONITOR = "monitor"
    WHISPER = "whisper"
    BARGE = "barge"


def register(app: typer.Typer) -> None:
    """Add all of them, in the order in which they are used."""
    first: tuple[Callable[..., None], ...] = (watch, calls, consult)
    last: tuple[Callable[..., None], ...] = (monitor, transfer)
    for command in first:
        app.command(rich_help_panel=_PANEL)(command)
    for word, about in _PLAIN.items():
        app.command(word, rich_help_panel=_PANEL, help=about)(_plain(word))
    app.command("hold", rich_help_panel=_PANEL, help=_HOLD)(_hold(on=True))
    app.command("unhold", rich_help_panel=_PANEL, help=_UNHOLD)(_hold(on=False))
    for command in last:
        app.command(rich_help_panel=_PANEL)(command)


def _run(work: Callable[[], Coroutine[Any, Any, int]]) -> None:
    """Exit code 0, 1 if it was refused or did not work, 2 if the command line was wrong."""
    from gateway.watch import UsageError, WatchError

    try:
        raise typer.Exit(asyncio.run(work()))
    except (UsageError, ProblemsError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except WatchError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def watch(
    url: UrlOption = None,
    key: KeyOption = None,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="A line per event, no screen; so it is when stdout is no terminal.")
    ] = False,
    call: Annotated[
        str | None,
        typer.Option(
            help="This call only, its rooms, who hears whom, and all that happens in it: an id, its beginning or "
            "ending, or last."
        ),
    ] = None,
    show_numbers: ShowNumbersOption = False,
    settings: SettingsOption = None,
    dialplans: Annotated[Path | None, typer.Option("--dialplans", hidden=True)] = None,
) -> None:
    """Watch a running gateway on the terminal: what is wrong, trunks, calls, who hears whom, how the last calls ended.

    On the gateway's own machine it needs nothing: it makes itself a key, and revokes it at the end. Elsewhere, give
    --url and a key (in SWITCHHOOK_KEY: others can read a command line). q or Ctrl-C ends it. A gateway that goes is
    said to be gone, and found again when it is back. With --plain, a line hearing.now follows what changes who is
    where and who hears whom.

    Try: switchhook watch, switchhook watch --call last, or switchhook watch --plain | grep hearing.now
    """
    from gateway.watch import WatchOptions, read_options, run_watch

    given = WatchOptions("", key, "", once, plain, call, show_numbers)
    _run(lambda: run_watch(read_options(given, url, settings, os.environ)))


def calls(
    show_numbers: ShowNumbersOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    settings: SettingsOption = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the calls that are up: id, state, who called whom, since when; and who hears whom, who is in which room.

    Try: switchhook calls, then switchhook watch --call with the last characters of an id
    """
    from gateway.watch import Numbers, read_access, run_calls, to_its_end

    _run(
        lambda: to_its_end(
            run_calls(
                read_access(url, key, settings, os.environ), typer.echo, as_json=json, numbers=Numbers(show_numbers)
            )
        )
    )


def consult(
    call: CallArgument = None,
    agent: AgentOption = None,
    number: NumberOption = None,
    sip_uri: SipUriOption = None,
    contact: ContactOption = None,
    note: NoteOption = None,
    on_agent_hangup: Annotated[
        OnAgentHangup | None,
        typer.Option(
            "--on-agent-hangup",
            help="When the agent hangs up: leave the customer with the consultant, or end the consult as well. "
            "[dim]default: forward[/dim]",
        ),
    ] = None,
    timeout: TimeoutOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    settings: SettingsOption = None,
    json: JsonOption = False,
) -> None:
    """Have the agent ask somebody else, while the customer hears music.

    The agent hears it ring, then the consultant. Then: swap, merge, forward or end-consult. If nobody answers, agent
    and customer are together again by themselves.

    Try: switchhook consult --agent bob, or switchhook consult 7QX --number +16125550100 --note "a refund"
    """
    from gateway.watch import Target, consult

    target = Target(agent, number, sip_uri, contact)
    _order(lambda: consult(target, note, on_agent_hangup, timeout), call, url, key, settings, json)


def monitor(
    call: CallArgument = None,
    agent: AgentOption = None,
    number: NumberOption = None,
    sip_uri: SipUriOption = None,
    contact: ContactOption = None,
    mode: Annotated[
        Mode | None,
        typer.Option(help="monitor: heard by nobody; whisper: by one leg; barge: by all. [dim]default: monitor[/dim]"),
    ] = None,
    whisper_to: Annotated[
        str | None, typer.Option("--whisper-to", help="Who hears a whisper. [dim]default: the agent[/dim]")
    ] = None,
    leg: Annotated[
        str | None,
        typer.Option(
            help="A supervisor who is there: the leg's name, or its id or a part of that. "
            "[dim]default: the only one[/dim]"
        ),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="Release that supervisor.")] = False,
    timeout: TimeoutOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    settings: SettingsOption = None,
    json: JsonOption = False,
) -> None:
    """Have a supervisor listen to a call, whisper to the agent, or speak with all; the customer hears no click of it.

    With --agent, --number, --sip-uri or --contact somebody is called; without, --mode changes the one who is there,
    and --end releases them.

    Try: switchhook monitor --agent sue, then switchhook monitor --mode whisper, then switchhook monitor --end
    """
    from gateway.watch import Target, UsageError, change_mode, monitor, stop_monitor

    target = Target(agent, number, sip_uri, contact)

    def order() -> "Order":
        if end and not (target.given or mode or whisper_to):
            return stop_monitor(leg)
        if target.given and not (leg or end):
            return monitor(target, mode, whisper_to, timeout)
        if (mode or whisper_to) and not (target.given or end or timeout):
            return change_mode(leg, mode, whisper_to)
        raise UsageError(
            "say who shall listen (--agent, --number, --sip-uri or --contact); or, of one who is there, --mode or --end"
        )

    _order(order, call, url, key, settings, json)


def transfer(
    call: CallArgument = None,
    agent: AgentOption = None,
    number: NumberOption = None,
    sip_uri: SipUriOption = None,
    contact: ContactOption = None,
    note: NoteOption = None,
    timeout: TimeoutOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    settings: SettingsOption = None,
    json: JsonOption = False,
) -> None:
    """Hand the customer to somebody; whoever talks to the customer stays until they answer.

    Try: switchhook transfer --number +16125550100, then switchhook cancel-transfer if that was wrong
    """
    from gateway.watch import Target, transfer

    target = Target(agent, number, sip_uri, contact)
    _order(lambda: transfer(target, note, timeout), call, url, key, settings, json)


def _plain(word: str) -> Callable[..., None]:
    """A command with nothing to say but which call."""

    def command(
        call: CallArgument = None,
        url: UrlOption = None,
        key: KeyOption = None,
        settings: SettingsOption = None,
        json: JsonOption = False,
    ) -> None:
        from gateway.watch import plain

        _order(lambda: plain(word), call, url, key, settings, json)

    return command


def _hold(*, on: bool) -> Callable[..., None]:
    """`hold`, or `unhold`."""

    def command(
        call: CallArgument = None,
        leg: HeldLegOption = None,
        url: UrlOption = None,
        key: KeyOption = None,
        settings: SettingsOption = None,
        json: JsonOption = False,
    ) -> None:
        from gateway.watch import hold

        _order(lambda: hold(leg, on=on), call, url, key, settings, json)

    return command


def _order(
    order: "Callable[[], Order]",
    call: str | None,
    url: str | None,
    key: str | None,
    settings: Path | None,
    json: bool,
) -> None:
    """Have it done, and print what is now."""
    from gateway.watch import read_access, run_order, to_its_end

    _run(
        lambda: to_its_end(
            run_order(read_access(url, key, settings, os.environ), call, order(), typer.echo, as_json=json)
        )
    )
