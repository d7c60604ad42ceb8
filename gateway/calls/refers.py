"""REFER and Replaces in the core's words: what can happen and what we can do; part of events.py and commands.py.

RFC 3515 (REFER), RFC 4488 (no subscription), RFC 3891 (Replaces), RFC 3892 (Referred-By); transfer.md.
"""

from dataclasses import dataclass
from typing import TypeAlias

from gateway.calls.model import CallId, Leg, LegId

# ── We ask the peer to call somebody else ───────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class SendRefer:
    """Send REFER on a leg; one ReferAnswered follows, then a ReferNotified for each NOTIFY that says something; of what
    was sent on that leg before, nothing more is told.

    Exactly one of `number`, already written as `trunk` wants it, and `uri`: the Refer-To. `headers` (names byte-exact)
    and `user_to_user` (whole header values, RFC 7433) ride in it as escaped URI headers (RFC 3261 §19.1.1).
    """

    leg_id: LegId
    trunk: str
    number: str | None
    uri: str | None
    headers: tuple[tuple[str, str], ...] = ()
    user_to_user: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReferAnswered:
    """Fired once for each SendRefer that no other one on its leg has followed: the final status of the REFER. `by_peer`
    is false when nobody answered it (408, or 503 when it could not be sent); `notifies` is false when its 2xx says
    `Refer-Sub: false` (RFC 4488 §4)."""

    leg_id: LegId
    status: int
    by_peer: bool = True
    notifies: bool = True


@dataclass(frozen=True, slots=True)
class ReferNotified:
    """Fired for a NOTIFY with a readable status line (RFC 3515 §2.4.5), also when its leg has ended already. Of one
    without, nobody is told: it says nothing."""

    leg_id: LegId
    status: int


# ── The peer asks us ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ReferTarget:
    """A Refer-To that can be carried out. `user` is its user part, unescaped. `own`: its host is this gateway: it means
    what dialling `user` here would mean. Of its URI headers only Replaces and User-to-User are taken."""

    uri: str
    """Without headers, `sip:user@host…`."""
    user: str
    own: bool
    replaces: LegId | None = None
    """It has a Replaces that names this leg of ours, perhaps of another call."""
    replaces_elsewhere: str | None = None
    """It has a Replaces that names no dialog of ours: its value, for the INVITE."""
    user_to_user: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReferReceived:
    """Fired when a well-formed REFER came in a dialog of ours; AnswerRefer is due at once. `refer_id` is fresh in this
    process. `turned_round`: it came on the leg that its Replaces names here (engine/live.py)."""

    leg_id: LegId
    refer_id: int
    target: ReferTarget
    turned_round: bool = False


@dataclass(frozen=True, slots=True)
class AnswerRefer:
    """Send the final status of a REFER that came; with 2xx, NotifyRefer follows."""

    leg_id: LegId
    refer_id: int
    status: int


@dataclass(frozen=True, slots=True)
class NotifyRefer:
    """Send NOTIFY with this status line; one of 200 or more is the last (RFC 3515 §2.4.5). Not sent when the leg has
    ended."""

    leg_id: LegId
    refer_id: int
    status: int


# ── Legs that go from one call to another ───────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ClaimPeer:
    """Ask the call that has this leg for whoever talks to it: LegTakenOver or ClaimRefused follows. `refer_id`: the
    REFER that it is for, if that came on this very leg."""

    leg_id: LegId
    by: CallId
    refer_id: int | None = None


@dataclass(frozen=True, slots=True)
class PeerClaimed:
    """Fired when another call wants whoever talks to this leg of ours; HandOver or RefuseClaim is due at once.
    `refer_id`: the REFER that it is for, if that came on this leg, which ends with the hand-over."""

    leg_id: LegId
    by: CallId
    refer_id: int | None = None


@dataclass(frozen=True, slots=True)
class HandOver:
    """This leg, connected, is the other call's from now on. `target` is what a status event calls it."""

    leg: Leg
    target: str
    to: CallId


@dataclass(frozen=True, slots=True)
class RefuseClaim:
    """Nobody is handed over."""

    to: CallId


@dataclass(frozen=True, slots=True)
class LegTakenOver:
    """Fired when the leg that was claimed is this call's."""

    leg: Leg
    target: str


@dataclass(frozen=True, slots=True)
class ClaimRefused:
    """Fired when the leg that was claimed is nobody's, or not to be had."""


ReferCommand: TypeAlias = SendRefer | AnswerRefer | NotifyRefer | ClaimPeer | HandOver | RefuseClaim
ReferEvent: TypeAlias = ReferAnswered | ReferNotified | ReferReceived
ClaimEvent: TypeAlias = PeerClaimed | LegTakenOver | ClaimRefused
