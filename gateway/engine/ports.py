"""The ports of the engine: what it needs of the world, as Protocols; adapters implement them, tests/fakes too.

Every method is called on the event loop and returns at once unless it is `async`. What follows is an event given to the
sink. A method that names a leg or a voice that is gone already does nothing: everybody may hang up at every moment.
"""

from collections.abc import Callable
from typing import Protocol

from gateway.calls.causes import Cause
from gateway.calls.commands import AskBot, SayText
from gateway.calls.events import LegEvent
from gateway.calls.model import CallId, Edge, LegId
from gateway.calls.replies import BotResponse

LegSink = Callable[[LegEvent], None]
"""Takes the events of all legs, on the event loop, in the order in which they happened."""

VoiceSink = Callable[[CallId, int, int, bool], None]
"""Takes (call, mark, samples played of that buffer, flushed): a written buffer has been heard to its end or dropped."""


class Legs(Protocol):
    """SIP dialogs: gateway/sip is the real one."""

    async def start(self, legs: LegSink, voices: VoiceSink) -> None:
        """Listen. Raises OSError when an address cannot be had."""

    async def stop(self) -> None:
        """Hang up what is left, wait for it (at most 2 s), and release everything. LegEnded comes for every leg."""

    def ring(self, leg_id: LegId) -> None:
        """180."""

    def answer(self, leg_id: LegId) -> None:
        """200."""

    def reject(
        self, leg_id: LegId, status: int, phrase: str, cause: Cause, headers: tuple[tuple[str, str], ...]
    ) -> None:
        """A final failure with a Reason header for `cause`; the LegEnded that follows carries `cause`."""

    def redirect(self, leg_id: LegId, contacts: tuple[str, ...]) -> None:
        """302 with Contact headers."""

    def hangup(self, leg_id: LegId, cause: Cause, headers: tuple[tuple[str, str], ...]) -> None:
        """BYE (or 603/480 while unanswered), with a Reason header; LegEnded carries `cause`, `by_peer=False`."""

    def send_digits(self, leg_id: LegId, digits: str, duration_ms: int) -> None:
        """DTMF as the trunk wants it; DigitsSent follows when the last one is out (or at once if the leg is gone)."""


class Bridge(Protocol):
    """Who hears whom, and the voices that play: gateway/sip is the real one (native PcmPorts)."""

    @property
    def clock_rate(self) -> int:
        """Samples per second of all PCM: 16-bit mono, little-endian."""

    def open_voice(self, call_id: CallId) -> None:
        """Make the call's BotParty. Writing is possible at once."""

    def write(self, call_id: CallId, pcm: bytes, mark: int, more: bool) -> None:
        """Queue a whole buffer. `mark` > 0 comes back through the sink; `more`: running dry after it is an underrun."""

    def flush(self, call_id: CallId) -> None:
        """Drop all that is queued; each dropped mark comes back with `flushed=True`, in order, within a tick or two."""

    def set_hearing(self, call_id: CallId, edges: frozenset[Edge]) -> None:
        """Make these, and only these, edges of the call; kept over re-INVITEs."""

    def close_voice(self, call_id: CallId) -> None:
        """Disconnect and release all ports of the call."""


class Bot(Protocol):
    """One channel's bot."""

    async def ask(self, ask: AskBot, event_id: str, at: str) -> BotResponse:
        """Send one event (`at` is RFC 3339), read the answer. Raises BotError. Cancelling it abandons the request."""

    async def close(self) -> None:
        """Release connections."""


class Sounds(Protocol):
    """Everything that becomes PCM at the bridge's rate: 16-bit mono. All raise SoundError, none blocks the loop."""

    async def speak(self, say: SayText) -> bytes:
        """Text to speech; cached."""

    async def prompt(self, name: str) -> bytes:
        """A file of media/prompts."""

    async def fetch(self, url: str) -> bytes:
        """Audio from a URL that a bot gave, under the SSRF rules; cached."""

    async def close(self) -> None:
        """Release workers and connections."""
