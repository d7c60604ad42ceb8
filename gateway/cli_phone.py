"""`switchhook call` and `switchhook answer`: the command lines of the terminal phone; commands of cli.py."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

SayOption = Annotated[str | None, typer.Option("--say", help="A text to speak once the call is answered.")]
PlayOption = Annotated[Path | None, typer.Option("--play", help="A WAV file to play once the call is answered.")]
ToneOption = Annotated[float | None, typer.Option("--tone", help="A tone to send, in Hz.")]
DigitsOption = Annotated[str, typer.Option("--digits", help="Keys to press: 0-9 * # A-D, w waits 0.5 s, W one second.")]
DigitsAfterOption = Annotated[
    float, typer.Option("--digits-after", help="Seconds after the answer before the first key.")
]
DtmfOption = Annotated[str, typer.Option("--dtmf", help="How keys travel: rfc4733 or info.")]
RecordOption = Annotated[Path | None, typer.Option("--record", help="A WAV file for what is heard.")]
HangupAfterOption = Annotated[
    float | None, typer.Option("--hangup-after", help="Hang up so many seconds after the answer.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of the ladder.")]
ScriptOption = Annotated[bool, typer.Option("--script", help="Take JSON orders on stdin, one a line.")]
TraceOption = Annotated[Path | None, typer.Option("--trace", help="A file for every SIP message.")]


def call(
    uri: Annotated[str, typer.Argument(help="Whom to call, such as sip:100@127.0.0.1:5060 (;transport=tcp for TCP).")],
    say: SayOption = None,
    play: PlayOption = None,
    tone: ToneOption = None,
    digits: DigitsOption = "",
    digits_after: DigitsAfterOption = 1.0,
    dtmf: DtmfOption = "rfc4733",
    record: RecordOption = None,
    hangup_after: HangupAfterOption = None,
    from_: Annotated[str, typer.Option("--from", help="The caller's number or user name.")] = "phone",
    name: Annotated[str, typer.Option(help="The caller's display name.")] = "",
    header: Annotated[
        list[str] | None, typer.Option(help='A header of the INVITE, "X-Name: value"; repeatable.')
    ] = None,
    codec: Annotated[
        str | None, typer.Option(help="PCMU, PCMA, G722, opus or G729. [dim]default: offer all[/dim]")
    ] = None,
    bind: Annotated[
        str | None, typer.Option(help="The local address. [dim]default: as the route to the host[/dim]")
    ] = None,
    port: Annotated[int, typer.Option(help="The local SIP port; 0 is any free one.")] = 0,
    late_offer: Annotated[bool, typer.Option("--late-offer", help="Send the INVITE without SDP.")] = False,
    json: JsonOption = False,
    script: ScriptOption = False,
    max_seconds: Annotated[float, typer.Option(help="Hang up after so long in any case.")] = 3600.0,
    trace: TraceOption = None,
) -> None:
    """A telephone for the terminal: dials a SIP URI, speaks, presses keys, records, and shows the call as a ladder.

    Exit code 0 if the call was answered and ended normally, 1 if not, 2 if the command line was wrong. Ctrl-C hangs up.

    Try: switchhook call sip:100@127.0.0.1 --digits 1ww9 --record heard.wav
    """
    from gateway.phone import CallOptions, run_call  # imports PJSIP

    options = CallOptions(
        uri, play, say, tone, digits, digits_after, dtmf, record, hangup_after, from_, name, tuple(header or ()), codec,
        bind, port, late_offer, json, script, max_seconds, trace,
    )  # fmt: skip
    raise typer.Exit(asyncio.run(run_call(options)))


def answer(
    say: SayOption = None,
    play: PlayOption = None,
    tone: ToneOption = None,
    digits: DigitsOption = "",
    digits_after: DigitsAfterOption = 1.0,
    dtmf: DtmfOption = "rfc4733",
    record: RecordOption = None,
    ring: Annotated[float, typer.Option(help="Seconds that it rings before it answers.")] = 1.0,
    refuse: Annotated[
        int | None, typer.Option(help="Refuse the call with this SIP status instead: 486 is busy, 603 declined.")
    ] = None,
    hangup_after: HangupAfterOption = None,
    codec: Annotated[str | None, typer.Option(help="PCMU, PCMA, G722, opus or G729. [dim]default: all[/dim]")] = None,
    bind: Annotated[str, typer.Option(help="The local address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The local SIP port (UDP and TCP); 0 is any free one.")] = 5070,
    json: JsonOption = False,
    script: ScriptOption = False,
    max_seconds: Annotated[float, typer.Option(help="Give up, or hang up, after so long in any case.")] = 3600.0,
    trace: TraceOption = None,
) -> None:
    """A telephone for the terminal that waits to be called: the person to whom a bot hands its caller.

    It takes one call and ends: exit code 0 if that was answered and ended normally (or refused, with --refuse), 1 if
    not, 2 if the command line was wrong. It answers whoever calls. Ctrl-C hangs up.

    Try: switchhook serve in one terminal, switchhook answer --say "Lee here, hello" --hangup-after 5 in the next, and
    switchhook call sip:100@127.0.0.1 --digits 0 in the third: 0 asks the demo's bot for a person.
    """
    from gateway.phone import Answering, CallOptions, run_call  # imports PJSIP

    options = CallOptions(
        "", play, say, tone, digits, digits_after, dtmf, record, hangup_after, codec=codec, bind=bind, port=port,
        json=json, script=script, max_seconds=max_seconds, trace=trace, answering=Answering(ring, refuse),
    )  # fmt: skip
    raise typer.Exit(asyncio.run(run_call(options)))
