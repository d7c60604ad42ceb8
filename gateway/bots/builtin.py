"""Bots that need no network: a demo reception, an echo, an announcement, an attendant; made by app, asked by engine."""

from collections.abc import Callable
from enum import Enum
from typing import Final, TypeAlias, assert_never

from pydantic import JsonValue

from gateway.calls.commands import AskBot, BotEventName
from gateway.calls.model import Spoken
from gateway.calls.replies import BotResponse, response
from gateway.calls.switch import Switch

_Reply: TypeAlias = dict[str, JsonValue]

_NOTHING: Final = BotResponse()
_ANSWER: Final = response([{"type": "answer"}])
_ONE_KEY: Final[_Reply] = {"type": "dtmf", "max": 1, "finishOn": ""}
_PERSON: Final[_Reply] = {"type": "switch", "agent": "lee", "timeout": 20, "continueCall": True}
_PATIENCE: Final = 2
"""How often a silent customer is asked again."""


def _text(words: str) -> _Reply:
    return {"type": "text", "text": words}


def _goodbye(reason: str) -> BotResponse:
    return response([_text("Goodbye."), {"type": "hangup", "reason": reason}])


def _spoken(keys: str) -> str:
    """Keys as one says them."""
    return " ".join({"*": "star", "#": "hash"}.get(key, key) for key in keys)


class _Asked(Enum):
    """What the reception waits for, if not for a key of its menu."""

    NUMBER = "number"
    RATING = "rating"


class ReceptionBot:
    """The demo: greets, offers a menu, takes a customer number and reads it back, hands the caller to the plan's agent
    `lee` and asks afterwards how that was, and says goodbye.

    It remembers one thing per call, what it asked for, and forgets it at `hangup`.
    """

    _MENU = (
        "For opening hours press 1, to leave your customer number press 2, to talk to a person press 0, "
        "to hear this again press 3, or 9 to end."
    )
    _RATE = "Please rate your talk from 1 to 5, 5 is best."
    _NUMBER = "Please enter your four digit customer number, then hash."
    _HOURS = "We are open Monday to Friday, from nine to five."
    _DIGITS = 4

    def __init__(self) -> None:
        self._asked: dict[JsonValue, _Asked] = {}

    async def ask(self, ask: AskBot, event_id: str, at: str) -> BotResponse:
        """Never fails."""
        call_id = ask.call.get("id")
        match ask.event:
            case BotEventName.OFFERED:
                return _ANSWER
            case BotEventName.START:
                self._asked.pop(call_id, None)
                return self._menu("Welcome to Switchhook.")
            case BotEventName.DTMF:
                return self._key(call_id, str(ask.data.get("digits", "")))
            case BotEventName.NO_INPUT:
                return self._again(call_id, ask.data.get("count"))
            case BotEventName.TRANSFER:
                return self._back(call_id, ask.data.get("status"), ask.data.get("hangup"))
            case BotEventName.BARGE_IN:
                return _NOTHING
            case BotEventName.HANGUP:
                self._asked.pop(call_id, None)
                return _NOTHING
            case _:
                assert_never(ask.event)

    async def close(self) -> None:
        """Nothing to release."""

    @property
    def calls(self) -> int:
        """How many calls it remembers something of."""
        return len(self._asked)

    def _menu(self, first: str = "") -> BotResponse:
        return response([_text(f"{first} {self._MENU}".lstrip()), _ONE_KEY])

    def _key(self, call_id: JsonValue, digits: str) -> BotResponse:
        match self._asked.get(call_id):
            case _Asked.NUMBER:
                return self._number(call_id, digits)
            case _Asked.RATING:
                return self._rating(call_id, digits)
            case None:
                return self._choice(call_id, digits)

    def _choice(self, call_id: JsonValue, key: str) -> BotResponse:
        match key:
            case "1":
                return self._menu(self._HOURS)
            case "2":
                return self._ask_for_number(call_id)
            case "0":
                return response([_text("I am transferring you to a person. One moment, please."), _PERSON])
            case "3" | "":
                return self._menu()
            case "9" | "#":
                return _goodbye("goodbye")
            case _:
                return self._menu(f"Sorry, {_spoken(key)} is not on the menu.")

    def _ask_for_number(self, call_id: JsonValue, first: str = "") -> BotResponse:
        self._asked[call_id] = _Asked.NUMBER
        # One digit more than wanted: with just as many, the # would come after the collection, as a key of the menu.
        collect: _Reply = {"type": "dtmf", "max": self._DIGITS + 1, "finishOn": "#"}
        return response([_text(f"{first} {self._NUMBER}".lstrip()), collect])

    def _number(self, call_id: JsonValue, digits: str) -> BotResponse:
        if len(digits) != self._DIGITS or not digits.isdecimal():
            return self._ask_for_number(call_id, "Sorry, that is not a customer number.")
        del self._asked[call_id]
        thanks = f"Thank you. Your number is {_spoken(digits)}."
        return response(
            [{"type": "tag", "data": {"customerNumber": digits}}, _text(f"{thanks} {self._MENU}"), _ONE_KEY]
        )

    def _back(self, call_id: JsonValue, status: JsonValue, hangup: JsonValue) -> BotResponse:
        """The transfer is over."""
        if hangup:
            return _NOTHING
        if status != "SUCCESS":
            return self._menu("Sorry, nobody can take your call now.")
        return self._ask_for_rating(call_id, "Welcome back.")

    def _ask_for_rating(self, call_id: JsonValue, first: str) -> BotResponse:
        self._asked[call_id] = _Asked.RATING
        return response([_text(f"{first} {self._RATE}"), _ONE_KEY])

    def _rating(self, call_id: JsonValue, key: str) -> BotResponse:
        if key not in ("1", "2", "3", "4", "5"):
            return self._ask_for_rating(call_id, "Sorry, that is no rating.")
        del self._asked[call_id]
        tag: _Reply = {"type": "tag", "data": {"rating": int(key)}}
        return response([tag, _text("Thank you. Goodbye."), {"type": "hangup", "reason": "rated"}])

    def _again(self, call_id: JsonValue, count: JsonValue) -> BotResponse:
        if isinstance(count, int) and count > _PATIENCE:
            return _goodbye("no input")
        match self._asked.get(call_id):
            case _Asked.NUMBER:
                return self._ask_for_number(call_id)
            case _Asked.RATING:
                return self._ask_for_rating(call_id, "Are you still there?")
            case None:
                return self._menu("Are you still there?")


class EchoBot:
    """Says each key that is pressed; star hangs up. Keeps nothing, collects nothing: digits come one at a time."""

    async def ask(self, ask: AskBot, event_id: str, at: str) -> BotResponse:
        """Never fails."""
        match ask.event:
            case BotEventName.OFFERED:
                return _ANSWER
            case BotEventName.START:
                return response([_text("Press a key, and I say which. Star ends the call.")])
            case BotEventName.DTMF if "*" in str(ask.data.get("digits", "")):
                return _goodbye("goodbye")
            case BotEventName.DTMF:
                return response([_text(f"You pressed {_spoken(str(ask.data.get('digits', '')))}.")])
            case BotEventName.NO_INPUT:
                count = ask.data.get("count")
                silent = isinstance(count, int) and count > _PATIENCE
                return _goodbye("no input") if silent else response([_text("Press a key.")])
            case BotEventName.BARGE_IN | BotEventName.TRANSFER | BotEventName.HANGUP:
                return _NOTHING
            case _:
                assert_never(ask.event)

    async def close(self) -> None:
        """Nothing to release."""


class _OnceBot:
    """Answers `start` with one list, and whatever comes after it with nothing."""

    def __init__(self, at_start: BotResponse) -> None:
        self._at_start = at_start

    async def ask(self, ask: AskBot, event_id: str, at: str) -> BotResponse:
        """Never fails."""
        match ask.event:
            case BotEventName.OFFERED:
                return _ANSWER
            case BotEventName.START:
                return self._at_start
            case (
                BotEventName.DTMF
                | BotEventName.NO_INPUT
                | BotEventName.BARGE_IN
                | BotEventName.TRANSFER
                | BotEventName.HANGUP
            ):
                return _NOTHING
            case _:
                assert_never(ask.event)

    async def close(self) -> None:
        """Nothing to release."""


class AnnounceBot(_OnceBot):
    """Plays one thing to its end and hangs up: what the engine makes of `otherwise: {prompt: closed}`.

    Raises BotError for a text or a prompt's name that no bot could say either.
    """

    def __init__(self, spoken: Spoken) -> None:
        words = _text(spoken.text) if spoken.text is not None else {"type": "audio", "prompt": spoken.prompt}
        said = response([words | {"bargeIn": False}, {"type": "hangup", "reason": "announcement"}])
        super().__init__(said)


class AttendantBot(_OnceBot):
    """Connects the caller with somebody at once, without a word: what the engine makes of a route with `agent: ann`."""

    def __init__(self, switch: Switch) -> None:
        super().__init__(BotResponse(replies=(switch,)))


BUILTIN: Final[dict[str, Callable[[], ReceptionBot | EchoBot]]] = {"reception": ReceptionBot, "echo": EchoBot}
"""By the name that a channel's `bot: {type: builtin, name: …}` gives."""
