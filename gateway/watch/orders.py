"""What the commands of operators ask of the API (control-api.md): method, path and body; made by cli_agent.py.

An order is written for a call that is known, as a leg is named by what it is called there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from gateway.watch.options import UsageError
from gateway.watch.pick import only_supervisor, pick_leg
from gateway.watch.rows import CallRow

CONTROL: Final = ("calls:read", "calls:control")
SUPERVISE: Final = (*CONTROL, "supervise")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; `path` is what follows the call's."""

    method: str
    path: str
    body: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """`word` is the command's. `ask` raises UsageError for a leg that the call does not have."""

    word: str
    ask: Callable[[CallRow], Asked]
    scopes: tuple[str, ...] = CONTROL


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to call: exactly one of them."""

    agent: str | None = None
    number: str | None = None
    sip_uri: str | None = None
    contact: str | None = None

    def body(self) -> dict[str, object]:
        """In the API's words. Raises UsageError."""
        named = {"agent": self.agent, "phoneNumber": self.number, "sipUri": self.sip_uri, "contact": self.contact}
        given: dict[str, object] = {name: value for name, value in named.items() if value is not None}
        if len(given) != 1:
            raise UsageError("say whom to call by one of --agent, --number, --sip-uri, --contact")
        return given

    @property
    def given(self) -> bool:
        """There is somebody."""
        return any((self.agent, self.number, self.sip_uri, self.contact))


_PLAIN: Final[Mapping[str, Asked]] = {
    "swap": Asked("POST", "/swap"),
    "merge": Asked("POST", "/merge"),
    "forward": Asked("POST", "/forward"),
    "end-consult": Asked("DELETE", "/consult"),
    "cancel-transfer": Asked("DELETE", "/transfer"),
    "hangup": Asked("DELETE", ""),
}


def plain(word: str) -> Order:
    """One with nothing to say about it."""
    asked = _PLAIN[word]
    return Order(word, lambda _: asked)


def consult(target: Target, note: str | None, on_agent_hangup: str | None, timeout_s: float | None) -> Order:
    """Somebody is asked while the customer hears music."""
    more = _given(note=note, onAgentHangup=on_agent_hangup, timeout=timeout_s)
    asked = Asked("POST", "/consult", {**target.body(), **more})
    return Order("consult", lambda _: asked)


def transfer(target: Target, note: str | None, timeout_s: float | None) -> Order:
    """The customer is handed on."""
    asked = Asked("POST", "/transfer", {**target.body(), **_given(note=note, timeout=timeout_s)})
    return Order("transfer", lambda _: asked)


def hold(leg: str | None, *, on: bool) -> Order:
    """The customer, or the leg that is named, hears music; or does not any more."""
    word = "hold" if on else "unhold"
    return Order(word, lambda row: Asked("POST", f"/{word}", _given(legId=leg and pick_leg(leg, row))))


def monitor(target: Target, mode: str | None, whisper_to: str | None, timeout_s: float | None) -> Order:
    """A supervisor is called, and hears the call."""
    whom = target.body()

    def ask(row: CallRow) -> Asked:
        to = pick_leg(whisper_to, row) if whisper_to else None
        more = _given(whisperTo=to, timeout=timeout_s)
        return Asked("POST", "/legs", {**whom, "role": "supervisor", "mode": mode or "monitor", **more})

    return Order("monitor", ask, SUPERVISE)


def change_mode(leg: str | None, mode: str | None, whisper_to: str | None) -> Order:
    """Who hears a supervisor. None as the leg: the only one."""

    def ask(row: CallRow) -> Asked:
        to = pick_leg(whisper_to, row) if whisper_to else None
        return Asked("PATCH", _path_of(leg, row), _given(mode=mode, whisperTo=to))

    return Order("monitor", ask, SUPERVISE)


def stop_monitor(leg: str | None) -> Order:
    """A supervisor's leg is released. None: the only one."""
    return Order("monitor", lambda row: Asked("DELETE", _path_of(leg, row)), SUPERVISE)


def _path_of(leg: str | None, row: CallRow) -> str:
    return f"/legs/{quote(pick_leg(leg, row) if leg else only_supervisor(row), safe='')}"


def _given(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}
