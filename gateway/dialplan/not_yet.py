"""What the design describes and is not built yet; refused by parse.py and settings.py, lest anybody believe in it.

To switch a feature on, delete its rows here: its keys are in the models already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.dialplan.document import Plain
from gateway.dialplan.problems import KeyPath


@dataclass(frozen=True, slots=True)
class NotYet:
    """A key that is refused. In `path`, `*` stands for any name or list index.

    `fine` are values that are accepted all the same, as they say that the feature is not used. If `only` is given,
    nothing but these values is refused. `instead` is what to write.
    """

    path: str
    feature: str
    fine: tuple[Plain, ...] = ()
    only: tuple[Plain, ...] = ()
    instead: str = "remove it"

    @property
    def message(self) -> str:
        """What the operator is told."""
        return f"is not available yet; {self.instead}"

    def refuses(self, value: Plain) -> bool:
        """Whether this value asks for the feature."""
        return value in self.only if self.only else value not in self.fine


NOT_YET: tuple[NotYet, ...] = (
    NotYet("trunks.*.transport", "TLS", only=("tls",), instead="write udp or tcp"),
    NotYet("trunks.*.inbound_auth", "callers who authenticate"),
    NotYet("trunks.*.srtp", "SRTP", fine=("off",), instead="write off or remove it"),
    NotYet("channels.*.bot.type", "streaming bots", only=("stream",), instead="write webhook or builtin"),
    NotYet("channels.*.voice.tts", "other TTS engines", only=("piper", "openai"), instead="write espeak"),
    NotYet("channels.*.voice.asr", "speech recognition", only=("whisper", "openai"), instead="write none"),
    NotYet("channels.*.recording", "recording", fine=({"mode": "never"},)),
    NotYet("channels.*.fallback.then.queue", "queues", instead="write then: hangup"),
    NotYet("routes.*.queue", "queues", instead="write channel, agent, prompt, say or reject"),
    NotYet("routes.*.otherwise.queue", "queues", instead="write channel, agent, prompt, say or reject"),
    NotYet("queues", "queues"),
)


def refusals(data: Plain, table: Sequence[NotYet]) -> Iterator[tuple[KeyPath, NotYet]]:
    """Every place of the data where a feature is asked for that is not built yet."""
    for row in table:
        for path, value in _found(data, row.path.split("."), ()):
            if row.refuses(value):
                yield path, row


def _found(data: Plain, pattern: Sequence[str], path: KeyPath) -> Iterator[tuple[KeyPath, Plain]]:
    if not pattern:
        yield path, data
        return
    wanted, rest = pattern[0], pattern[1:]
    if isinstance(data, dict):
        for key, value in data.items():
            if wanted in ("*", key):
                yield from _found(value, rest, (*path, key))
    elif isinstance(data, tuple) and wanted == "*":
        for index, item in enumerate(data):
            yield from _found(item, rest, (*path, index))
