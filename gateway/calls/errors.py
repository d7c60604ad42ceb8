"""The exceptions of a call, each saying whose fault it is; raised by the core and by adapters, caught by the engine.

SwitchhookError
├── IllegalTransition     ours: an event that the state table does not allow
├── BotError              the bot's: what went wrong is in `kind` (a closed set, used as a metric label)
└── SoundError            a sound could not be had: the bot's (a bad URL) or ours (the TTS engine)
"""

from enum import StrEnum


class SwitchhookError(Exception):
    """Base of all errors that the gateway raises on purpose."""


class IllegalTransition(SwitchhookError):
    """A state machine was told something that its table does not allow: a defect of ours."""

    def __init__(self, machine: str, state: str, trigger: str) -> None:
        super().__init__(f"{machine} in state {state!r} cannot take {trigger!r}")
        self.machine, self.state, self.trigger = machine, state, trigger


class BotErrorKind(StrEnum):
    """Why a bot gave no usable answer (bot-protocol.md, "Bot in trouble")."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    STATUS = "status"
    TOO_LARGE = "too-large"
    MALFORMED = "malformed"
    REFUSED = "refused"


class BotError(SwitchhookError):
    """The bot gave no usable answer; `detail` is one sentence for its developer, with the path of a bad field."""

    def __init__(self, kind: BotErrorKind, detail: str) -> None:
        super().__init__(f"{kind.value}: {detail}")
        self.kind, self.detail = kind, detail


class SoundError(SwitchhookError):
    """A text, prompt or URL could not be turned into audio; `source` names it, `by_bot` says whose fault it is."""

    def __init__(self, source: str, detail: str, *, by_bot: bool) -> None:
        super().__init__(f"{source}: {detail}")
        self.source, self.detail, self.by_bot = source, detail, by_bot
