"""Who may watch calls and sounds being made: two Protocols that the engine and speech tell; metrics.py implements them.

Neither the engine nor an adapter knows what comes of it. Every method is called on the event loop, returns at once and
never raises.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol

from gateway.calls.causes import Cause
from gateway.calls.commands import Command
from gateway.calls.errors import BotErrorKind
from gateway.calls.events import Event
from gateway.calls.model import Call


class CallObserver(Protocol):
    """Told by the engine. `now` is the time that control was given, in seconds since the epoch."""

    def handled(self, call: Call, event: Event, commands: Sequence[Command], now: float) -> None:
        """Control took `event` and made `commands` of it, which are not carried out yet."""

    def refused(self, trunk: str, cause: Cause, status: int) -> None:
        """An INVITE was refused before it became a call."""

    def released(self, call: Call) -> None:
        """The last of a call, always: its ports are gone. One without an EndCall was ended by a defect of ours."""

    def bot_answered(self, channel: str, seconds: float) -> None:
        """A bot answered; whether its replies fit the call is in what control makes of them."""

    def bot_failed(self, channel: str, kind: BotErrorKind, seconds: float) -> None:
        """A bot gave no answer that could be read."""

    def bot_abandoned(self, channel: str) -> None:
        """A request to a bot was given up, as nobody waits for its answer any more."""


class SpeechSource(StrEnum):
    """Where the sound of a text came from."""

    MEMORY = "memory"
    DISK = "disk"
    RENDERED = "rendered"


class SoundObserver(Protocol):
    """Told by the speech adapter."""

    def spoken(self, engine: str, source: SpeechSource) -> None:
        """A text is there to be played."""

    def rendered(self, engine: str, seconds: float) -> None:
        """A TTS engine turned one text into sound."""


class Nobody:
    """Watches neither calls nor sounds: for tests, and for whoever needs no metrics."""

    def handled(self, call: Call, event: Event, commands: Sequence[Command], now: float) -> None:
        """Of CallObserver."""

    def refused(self, trunk: str, cause: Cause, status: int) -> None:
        """Of CallObserver."""

    def released(self, call: Call) -> None:
        """Of CallObserver."""

    def bot_answered(self, channel: str, seconds: float) -> None:
        """Of CallObserver."""

    def bot_failed(self, channel: str, kind: BotErrorKind, seconds: float) -> None:
        """Of CallObserver."""

    def bot_abandoned(self, channel: str) -> None:
        """Of CallObserver."""

    def spoken(self, engine: str, source: SpeechSource) -> None:
        """Of SoundObserver."""

    def rendered(self, engine: str, seconds: float) -> None:
        """Of SoundObserver."""


NOBODY: Final = Nobody()
