"""How a transfer ended: the status object of transfer.md, and the reasons of its attempts; made by transfer.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.calls.causes import Reason
from gateway.calls.events import LegEnded
from gateway.calls.model import JsonObject
from gateway.calls.outbound import TransferReason
from gateway.calls.view import rfc3339


@dataclass(frozen=True, slots=True)
class Attempt:
    """One callee that was not bridged. `sip_status` is what the other side said, None if it said nothing."""

    target: str
    sip_status: int | None
    reason: TransferReason
    detail: str | None = None

    def as_json(self) -> JsonObject:
        """As it stands in the status."""
        told: JsonObject = {"target": self.target, "sipStatus": self.sip_status, "reason": self.reason.value}
        return told | ({"detail": self.detail} if self.detail else {})


@dataclass(frozen=True, slots=True)
class Outcome:
    """The final status of a transfer; exactly one of each (transfer.md, "The status event"). Times are seconds since
    the epoch. `success`: the target talked to the customer. `hangup`: the customer was gone when it ended."""

    transfer_id: str
    success: bool
    hangup: bool
    number: str
    reason: TransferReason
    ended_by: str
    attempts: tuple[Attempt, ...]
    ring_ms: int
    talk_ms: int
    answered_at: float | None
    bridged_at: float | None
    detail: str | None = None
    warnings: tuple[str, ...] = ()
    method: str = "invite"
    assumed: bool = False
    """Nobody said so, but the peer took the REFER and is gone."""
    left_alone: bool = False
    """They talked, and then the customer was without anybody through no hang-up: `onFail` holds."""
    hops: tuple[JsonObject, ...] = ()
    hop_of: str | None = None

    @property
    def sip_status(self) -> int | None:
        """Of the attempt that decided it."""
        if self.success:
            return 200
        return self.attempts[-1].sip_status if self.attempts else None

    def as_json(self) -> JsonObject:
        """The data of the bot's `transfer` event, and of `transfer.ended`."""
        told: JsonObject = {
            "status": "SUCCESS" if self.success else "FAIL",
            "hangup": self.hangup,
            "number": self.number,
            "transferId": self.transfer_id,
            "method": self.method,
            "reason": self.reason.value,
            "sipStatus": self.sip_status,
            "sipReason": None if self.sip_status is None else _PHRASES.get(self.sip_status),
            "assumed": self.assumed,
            "endedBy": self.ended_by,
            "ringMs": self.ring_ms,
            "talkMs": self.talk_ms,
            "answeredAt": _time(self.answered_at),
            "humanConnectedAt": _time(self.bridged_at),
            "attempts": [attempt.as_json() for attempt in self.attempts],
            "hops": [*self.hops],
            "warnings": [*self.warnings],
        }
        if self.hop_of is not None:
            told["hopOf"] = self.hop_of
        return told | ({"detail": self.detail} if self.detail else {})


_PHRASES: Final = {
    200: "OK", 300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy",
    380: "Alternative Service", 400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required",
    408: "Request Timeout", 410: "Gone", 413: "Request Entity Too Large", 414: "Request-URI Too Long",
    415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension", 421: "Extension Required",
    423: "Interval Too Brief", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist",
    482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete", 485: "Ambiguous", 486: "Busy Here",
    487: "Request Terminated", 488: "Not Acceptable Here", 491: "Request Pending", 493: "Undecipherable",
    500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Server Time-out", 505: "Version Not Supported", 513: "Message Too Large", 580: "Precondition Failure",
    600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable", 607: "Unwanted",
    608: "Rejected",
}  # fmt: skip
"""RFC 3261 §21, RFC 3312, RFC 8197, RFC 8688."""
_OF_STATUS: Final[Mapping[int, TransferReason]] = {
    486: TransferReason.BUSY, 600: TransferReason.BUSY,
    408: TransferReason.NO_ANSWER, 480: TransferReason.NO_ANSWER, 487: TransferReason.NO_ANSWER,
    603: TransferReason.DECLINED, 403: TransferReason.DECLINED, 607: TransferReason.DECLINED,
    608: TransferReason.DECLINED,
    404: TransferReason.INVALID_NUMBER, 410: TransferReason.INVALID_NUMBER, 484: TransferReason.INVALID_NUMBER,
    604: TransferReason.INVALID_NUMBER,
    488: TransferReason.MEDIA_FAILED, 606: TransferReason.MEDIA_FAILED, 415: TransferReason.MEDIA_FAILED,
}  # fmt: skip


def reason_of(event: LegEnded) -> TransferReason:
    """Why a leg that we called was not answered (transfer.md, "SIP status -> reason")."""
    if event.cause.reason is Reason.NO_RESPONSE and not event.by_peer:
        return TransferReason.UNREACHABLE
    if event.cause.reason is Reason.NO_COMMON_CODEC:  # its 200 had no usable answer to our offer
        return TransferReason.MEDIA_FAILED
    return _OF_STATUS.get(event.sip_status, TransferReason.CARRIER_ERROR)


def reason_of_status(status: int) -> TransferReason:
    """Why a REFER was refused, or what it asked for came to nothing (transfer.md, "SIP status -> reason")."""
    if status in _NO_REFER:
        return TransferReason.NOT_SUPPORTED
    return _OF_STATUS.get(status, TransferReason.CARRIER_ERROR)


def status_of(outcome: Outcome) -> int:
    """The final status line of the NOTIFYs to whoever asked us to call somebody (RFC 3515 §2.4.5)."""
    if outcome.success:
        return 200
    said = outcome.sip_status
    if said is not None and said >= 400:
        return said
    return _STATUS_OF.get(outcome.reason, 503)


_NO_REFER: Final = frozenset({405, 420, 421, 501})
_STATUS_OF: Final[Mapping[TransferReason, int]] = {
    TransferReason.NO_ANSWER: 480, TransferReason.BUSY: 486, TransferReason.DECLINED: 603,
    TransferReason.NOT_ACCEPTED: 603, TransferReason.INVALID_NUMBER: 404, TransferReason.INVALID_REQUEST: 400,
    TransferReason.BLOCKED: 403, TransferReason.CANCELLED: 487, TransferReason.CALLER_ABANDONED: 487,
}  # fmt: skip


def _time(at: float | None) -> str | None:
    return rfc3339(at) if at is not None else None
