"""Why a leg or a call ended: a closed (result, reason) pair, from SIP statuses and Q.850 causes and back again.

Used by the SIP adapter (what the wire said -> Cause, Cause -> status and Reason header), by control, CDRs and metrics.
The sets are those of control-api.md; the mappings follow RFC 3398 §7.2.4.1/§8.2.6.1 (SIP <-> Q.850) and
RFC 3326 (the Reason header).
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """Whose doing the end was."""

    COMPLETED = "completed"
    CALLER = "caller"
    CALLEE = "callee"
    CARRIER = "carrier"
    BOT = "bot"
    GATEWAY = "gateway"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """What happened."""

    NORMAL = "normal"
    CANCELLED = "cancelled"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    DECLINED = "declined"
    BAD_NUMBER = "bad-number"
    UNAVAILABLE = "unavailable"
    NO_COMMON_CODEC = "no-common-codec"
    NOT_AUTHORIZED = "not-authorized"
    OVER_LIMIT = "over-limit"
    NO_ROUTE = "no-route"
    MEDIA_TIMEOUT = "media-timeout"
    SESSION_EXPIRED = "session-expired"
    MAX_DURATION = "max-duration"
    TRANSFERRED = "transferred"
    BOT_FAILED = "bot-failed"
    CRASHED = "crashed"
    DRAINED = "drained"
    NO_RESPONSE = "no-response"
    PROTOCOL_ERROR = "protocol-error"


class EndedBy(StrEnum):
    """Who ended the call."""

    CUSTOMER = "customer"
    AGENT = "agent"
    BOT = "bot"
    GATEWAY = "gateway"
    TRANSFERRED = "transferred"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something ended. Compare by value; the texts of both enums are the wire strings."""

    result: Result
    reason: Reason

    def __str__(self) -> str:
        return f"{self.result.value}/{self.reason.value}"


NORMAL = Cause(Result.COMPLETED, Reason.NORMAL)
CANCELLED = Cause(Result.CALLER, Reason.CANCELLED)
NOT_ANSWERED = Cause(Result.CALLEE, Reason.NO_ANSWER)
TRANSFER_FAILED = Cause(Result.GATEWAY, Reason.UNAVAILABLE)
NO_ACK = Cause(Result.CALLER, Reason.NO_RESPONSE)
NO_ROUTE = Cause(Result.GATEWAY, Reason.NO_ROUTE)
OVER_LIMIT = Cause(Result.GATEWAY, Reason.OVER_LIMIT)
NO_COMMON_CODEC = Cause(Result.CALLER, Reason.NO_COMMON_CODEC)
MEDIA_TIMEOUT = Cause(Result.CARRIER, Reason.MEDIA_TIMEOUT)
SESSION_EXPIRED = Cause(Result.CARRIER, Reason.SESSION_EXPIRED)
BOT_FAILED = Cause(Result.BOT, Reason.BOT_FAILED)
BOT_DECLINED = Cause(Result.BOT, Reason.DECLINED)
TRANSFERRED = Cause(Result.COMPLETED, Reason.TRANSFERRED)
LOST = frozenset({Reason.MEDIA_TIMEOUT, Reason.SESSION_EXPIRED, Reason.NO_RESPONSE})
"""Why a leg ends that nobody hung up (transfer.md, "How long a transfer lasts")."""
BOT_REDIRECTED = Cause(Result.BOT, Reason.TRANSFERRED)
TOO_LONG = Cause(Result.GATEWAY, Reason.MAX_DURATION)
DRAINED = Cause(Result.GATEWAY, Reason.DRAINED)
PROTOCOL_ERROR = Cause(Result.GATEWAY, Reason.PROTOCOL_ERROR)

_OF_STATUS = {
    401: Reason.NOT_AUTHORIZED, 403: Reason.NOT_AUTHORIZED, 407: Reason.NOT_AUTHORIZED,
    404: Reason.BAD_NUMBER, 410: Reason.BAD_NUMBER, 484: Reason.BAD_NUMBER, 604: Reason.BAD_NUMBER,
    408: Reason.NO_RESPONSE, 480: Reason.NO_ANSWER, 487: Reason.CANCELLED,
    486: Reason.BUSY, 600: Reason.BUSY,
    488: Reason.NO_COMMON_CODEC, 606: Reason.NO_COMMON_CODEC, 415: Reason.NO_COMMON_CODEC,
    603: Reason.DECLINED, 607: Reason.DECLINED, 608: Reason.DECLINED,
    422: Reason.SESSION_EXPIRED, 500: Reason.UNAVAILABLE, 502: Reason.UNAVAILABLE, 503: Reason.UNAVAILABLE,
    504: Reason.UNAVAILABLE, 580: Reason.UNAVAILABLE,
}  # fmt: skip

_OF_Q850 = {
    1: Reason.BAD_NUMBER, 2: Reason.NO_ROUTE, 3: Reason.NO_ROUTE, 16: Reason.NORMAL, 17: Reason.BUSY,
    18: Reason.NO_RESPONSE, 19: Reason.NO_ANSWER, 20: Reason.UNAVAILABLE, 21: Reason.DECLINED,
    22: Reason.BAD_NUMBER, 26: Reason.NORMAL, 27: Reason.UNAVAILABLE, 28: Reason.BAD_NUMBER, 31: Reason.NORMAL,
    34: Reason.UNAVAILABLE, 38: Reason.UNAVAILABLE, 41: Reason.UNAVAILABLE, 42: Reason.UNAVAILABLE,
    47: Reason.UNAVAILABLE, 65: Reason.NO_COMMON_CODEC, 79: Reason.NO_COMMON_CODEC, 88: Reason.NO_COMMON_CODEC,
    102: Reason.SESSION_EXPIRED, 127: Reason.UNAVAILABLE,
}  # fmt: skip

_Q850_OF_REASON = {
    Reason.NORMAL: 16, Reason.CANCELLED: 16, Reason.BUSY: 17, Reason.NO_ANSWER: 19, Reason.DECLINED: 21,
    Reason.BAD_NUMBER: 1, Reason.UNAVAILABLE: 41, Reason.NO_COMMON_CODEC: 88, Reason.NOT_AUTHORIZED: 21,
    Reason.OVER_LIMIT: 42, Reason.NO_ROUTE: 3, Reason.MEDIA_TIMEOUT: 41, Reason.SESSION_EXPIRED: 102,
    Reason.MAX_DURATION: 31, Reason.TRANSFERRED: 16, Reason.BOT_FAILED: 41, Reason.CRASHED: 41, Reason.DRAINED: 41,
    Reason.NO_RESPONSE: 18, Reason.PROTOCOL_ERROR: 111,
}  # fmt: skip

_REASON_VALUE = re.compile(r"\s*(?P<protocol>[A-Za-z0-9.\-]+)\s*;.*?\bcause\s*=\s*(?P<cause>\d{1,3})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReasonHeader:
    """One value of a Reason header (RFC 3326): `protocol` is "SIP" or "Q.850", upper case."""

    protocol: str
    cause: int


def parse_reason(value: str) -> ReasonHeader | None:
    """Read one Reason value such as `Q.850;cause=16;text="…"`; None if it has no protocol and numeric cause."""
    found = _REASON_VALUE.match(value)
    return ReasonHeader(found["protocol"].upper(), int(found["cause"])) if found else None


def of_status(status: int, result: Result) -> Cause:
    """Why a leg ended that got (or gave) this final SIP status; `result` says whose doing it was."""
    if status == 487:  # RFC 3261 §9.2: the caller took the INVITE back
        return CANCELLED
    return Cause(result, _OF_STATUS.get(status, Reason.PROTOCOL_ERROR if status >= 400 else Reason.NORMAL))


def of_bye(reasons: list[ReasonHeader]) -> tuple[Cause, int | None]:
    """Why the peer sent BYE, from its Reason headers, and the Q.850 number it gave (None without one).

    A BYE is a normal end unless it says otherwise: gateways in front of an ISDN or a carrier's SBC put there what
    the network said (RFC 3326 §2, RFC 6432).
    """
    q850 = next((r.cause for r in reasons if r.protocol == "Q.850"), None)
    if q850 is not None:
        reason = _OF_Q850.get(q850, Reason.UNAVAILABLE)
        return (NORMAL if reason is Reason.NORMAL else Cause(Result.CARRIER, reason)), q850
    sip = next((r.cause for r in reasons if r.protocol == "SIP"), None)
    if sip is not None and sip >= 400:
        return of_status(sip, Result.CARRIER), None
    return NORMAL, None


def q850_of(cause: Cause) -> int:
    """The Q.850 cause that we send in our own Reason header for an end of ours."""
    return _Q850_OF_REASON[cause.reason]


ANSWERED_ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'
"""The Reason header of a CANCEL to one of several who were called (RFC 3326 §3.1)."""


def reason_header(cause: Cause) -> str:
    """The value of the Reason header on a BYE or a refusal of ours, e.g. `Q.850;cause=16;text="normal"`."""
    return f'Q.850;cause={q850_of(cause)};text="{cause.reason.value}"'
