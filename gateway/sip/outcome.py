"""What became of a REGISTER or an OPTIONS of ours, and what it means; made by accounts.py, judged by keeper.py."""

import re
from dataclasses import dataclass
from typing import Final

from gateway.sip.headers import Message, MessageError, auth_realms, parse_message
from gateway.sip.resolver import Target
from gateway.sip.trunk import TrunkSpec

NO_ANSWER: Final = 408
"""What PJSIP calls a request that nobody answered; also given for a transport that failed."""
MOST_RETRY_AFTER_S: Final = 600
"""A registrar may send us away for so long and no longer: one wrong header must not cost a day."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The final status, its phrase, for how long a registration holds, the realms of a challenge that was not met, and
    after how many seconds to come back (0: it does not say)."""

    status: int
    phrase: str = ""
    expires_s: int = 0
    realms: tuple[str, ...] = ()
    retry_after_s: int = 0

    @property
    def ok(self) -> bool:
        """A 2xx."""
        return 200 <= self.status <= 299

    @property
    def temporary(self) -> bool:
        """It may be better at another target, or later: silence, or trouble of the server."""
        return self.status in (NO_ANSWER, 430, 480) or 500 <= self.status <= 599

    def __str__(self) -> str:
        return "no answer" if self.status == NO_ANSWER else f"{self.status} {self.phrase}".strip()


def outcome_of(status: int, phrase: str, expires_s: int, text: str) -> Outcome:
    """From PJSIP's figures and the message itself; `text` is "" when there was none."""
    try:
        message = parse_message(text) if text and status >= 300 else None
    except MessageError:
        message = None
    if message is None:
        return Outcome(status, phrase, expires_s)
    realms = auth_realms(message) if status in (401, 407) else ()
    return Outcome(status, phrase, expires_s, realms, _retry_after(message))


def why_not_registered(spec: TrunkSpec, target: Target, outcome: Outcome) -> str:
    """One sentence for whoever runs the gateway, without secrets."""
    if outcome.realms and spec.credentials is not None and spec.credentials.realm not in outcome.realms:
        asked = " and ".join(f'"{realm}"' for realm in outcome.realms)
        return f'{target} asks for the realm {asked}, and the plan\'s auth.realm is "{spec.credentials.realm}"'
    if outcome.status in (401, 403, 407):
        return f"{target} refuses our credentials ({outcome})"
    return f"{target} did not register us ({outcome})"


def _retry_after(message: Message) -> int:
    """RFC 3261 §20.33: seconds, perhaps with a comment and parameters, as in `120 (in maintenance);duration=60`."""
    seconds = re.match(r"\d{1,9}(?!\d)", message.first("retry-after"))
    return min(int(seconds[0]), MOST_RETRY_AFTER_S) if seconds else 0
