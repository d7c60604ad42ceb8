"""What the terminal phone is asked to do, and whether that can be done; made by cli.py, read by call.py."""

import asyncio
import math
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.audio.pcm import pcm_of, resample
from gateway.audio.wav import NotPcmWav, read_wav
from gateway.calls.headers import check_header
from gateway.sip.phone import CLOCK_RATE, Dial

_DIGITS: Final = re.compile(r"[0-9*#A-DwW]*")
_URI: Final = re.compile(
    r"sip:(?:[^\s<>\"@?]+@)?(?P<host>[A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?P<params>(?:;[^\s<>\"?]*)*)"
)
_USER: Final = re.compile(r"[A-Za-z0-9\-_.!~*'()&=+$,;?/%]+")  # RFC 3261 §25.1 user
_CODECS: Final = {name.lower(): name for name in ("PCMU", "PCMA", "G722", "opus", "G729")}
_BY: Final = ("rfc4733", "info")
_LOOPBACK: Final = "127.0.0.1"


class UsageError(ValueError):
    """The caller of the phone asked for something that makes no sense; the text says what."""


class NoRoute(Exception):
    """The host of the URI cannot be found or reached."""


@dataclass(frozen=True, slots=True)
class Answering:
    """How a call is taken: it rings for `ring_s` seconds and is answered, or refused at once with `refuse`."""

    ring_s: float = 1.0
    refuse: int | None = None


@dataclass(frozen=True, slots=True)
class CallOptions:
    """One call, as the command line or a test wants it."""

    target: str
    """Whom to call; not read when it is the phone that is called."""
    play: Path | None = None
    say: str | None = None
    tone: float | None = None
    """Hz; -12 dBFS."""
    digits: str = ""
    digits_after: float = 1.0
    """Seconds after the answer; `w` in `digits` waits 0.5 s, `W` 1 s."""
    dtmf: str = "rfc4733"
    record: Path | None = None
    hangup_after: float | None = None
    from_user: str = "phone"
    name: str = ""
    headers: tuple[str, ...] = ()
    """Each "X-Name: value"."""
    codec: str | None = None
    bind: str | None = None
    """None: the address from which the target is reached."""
    port: int = 0
    late_offer: bool = False
    json: bool = False
    script: bool = False
    max_seconds: float = 3600.0
    trace: Path | None = None
    """Every SIP message is written here."""
    answering: Answering | None = None
    """Wait for a call, and take it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The same, checked and read: what remains can only fail on the network."""

    dial: Dial | None
    """None: wait to be called."""
    bind: str
    codecs: tuple[str, ...]
    play: bytes
    host: str


async def plan(options: CallOptions) -> Plan:
    """Check everything before a packet is sent. Raises UsageError, or NoRoute when the host cannot be reached."""
    check_digits(options.digits)
    if options.dtmf not in _BY:
        raise UsageError(f"--dtmf {options.dtmf}: write {' or '.join(_BY)}")
    if options.tone is not None:
        check_tone(options.tone)
    if options.codec is not None and options.codec.lower() not in _CODECS:
        raise UsageError(f"--codec {options.codec}: write one of {', '.join(_CODECS.values())}")
    if not _USER.fullmatch(options.from_user):
        raise UsageError(f"--from {options.from_user}: not the user part of a SIP URI")
    ring = options.answering.ring_s if options.answering is not None else None
    for seconds in (ring, options.digits_after, options.hangup_after, options.max_seconds):
        if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
            raise UsageError(f"{seconds:g} is not a number of seconds")
    played = read_sound(options.play) if options.play else b""
    if options.record is not None and not options.record.parent.is_dir():
        raise UsageError(f"--record {options.record}: there is no folder {options.record.parent}")
    codecs = (_CODECS[options.codec.lower()],) if options.codec else tuple(_CODECS.values())
    if options.answering is not None:
        _check_answering(options.answering)
        return Plan(None, options.bind or _LOOPBACK, codecs, played, "caller")
    headers = tuple(_header(text) for text in options.headers)
    uri, host, port, tcp = _target(options.target)
    address = await _address(host, port)
    bind = options.bind or _local_address(address, port)
    from_uri = f"{_display(options.name)}<sip:{options.from_user}@{bind}>"
    # A proxy that is not told to anybody: `hide` keeps the Route header off the wire (pjsip, sip_msg.c).
    proxy = "" if address == host else f"<sip:{address}:{port};lr;hide{';transport=tcp' if tcp else ''}>"
    return Plan(Dial(uri, from_uri, proxy, headers, options.late_offer), bind, codecs, played, host)


def _check_answering(answering: Answering) -> None:
    if answering.refuse is not None and not 400 <= answering.refuse <= 699:
        raise UsageError(f"--refuse {answering.refuse}: write a SIP status from 400 to 699, such as 486 for busy")


def check_digits(digits: str) -> str:
    """The digits, if they are; raises UsageError."""
    if not _DIGITS.fullmatch(digits):
        raise UsageError(f"digits {digits!r}: write 0-9 * # A-D, w for half a second and W for one")
    return digits


def check_tone(hz: float) -> float:
    """The frequency, if a telephone carries it; raises UsageError."""
    if not 20 <= hz < CLOCK_RATE / 2:
        raise UsageError(f"tone {hz:g}: write a frequency between 20 and {CLOCK_RATE // 2 - 1} Hz")
    return hz


def read_sound(path: Path) -> bytes:
    """A WAV file as PCM at the phone's rate; raises UsageError."""
    try:
        wav = read_wav(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except NotPcmWav as error:
        raise UsageError(f"{path}: {error}") from None
    return pcm_of(resample(wav.mono(), wav.rate, CLOCK_RATE))


def _display(name: str) -> str:
    if not name.isprintable():
        raise UsageError("--name holds a control character")
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}" ' if name else ""


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise UsageError(f'--header {text!r}: write "Name: value"')
    try:
        check_header(name.strip(), value.strip())
    except ValueError as error:
        raise UsageError(f"--header: {error}") from None
    return name.strip(), value.strip()


def _target(text: str) -> tuple[str, str, int, bool]:
    """(URI, host, port, whether by TCP)."""
    scheme = re.match(r"[A-Za-z]+:", text)
    if scheme and scheme[0].lower() == "sips:":
        raise UsageError(f"{text}: TLS is not available yet; write sip:")
    uri = "sip:" + (text[4:] if scheme and scheme[0].lower() == "sip:" else text)
    found = _URI.fullmatch(uri)
    if found is None:
        raise UsageError(f"{text}: write a SIP URI such as sip:100@127.0.0.1:5060")
    params = [part.lower() for part in found["params"].split(";")]
    transports = [part.partition("=")[2] for part in params if part.startswith("transport=")]
    if transports and transports[0] not in ("udp", "tcp"):
        raise UsageError(f"{text}: transport={transports[0]} is not available; write udp or tcp")
    port = int(found["port"] or 5060)
    if not 0 < port < 65536:
        raise UsageError(f"{text}: {port} is not a port")
    if found["host"].startswith("["):
        raise UsageError(f"{text}: the phone speaks IPv4 only")
    return uri, found["host"], port, transports[:1] == ["tcp"]


async def _address(host: str, port: int) -> str:
    """The IPv4 address of a host. Resolved here and not by PJSIP, whose look-ups block its thread (pjsip.md)."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise NoRoute(f"{host}: {getattr(error, 'strerror', None) or error}") from None
    return str(found[0][4][0])


def _local_address(address: str, port: int) -> str:
    """Our address towards a peer, as the routing table has it; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, port))
        except OSError as error:
            raise NoRoute(f"{address}: {error.strerror or error}") from None
        return str(probe.getsockname()[0])
