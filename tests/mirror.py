"""The SIP adapter alone, in this process, where a caller hears itself: shows that what a phone says is understood.

    async with Mirror(codecs=("G722",)) as mirror:
        ...                                    # call sip:…@127.0.0.1:{mirror.port}
        assert await mirror.digits(2) == "12"

In the gateway nobody hears themselves, and a bot without speech recognition hears keys only. So here is the one edge
that the engine never asks for; the sound goes through decoder, bridge and encoder.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from gateway.calls import causes
from gateway.calls.events import DtmfReceived, LegAnswered, LegEnded, LegEvent, LegHoldChanged, LegOffered
from gateway.calls.model import CallId, Edge, LegId, LegParty
from gateway.sip.endpoint import Endpoint, SipSettings
from gateway.sip.media import SipBridge
from gateway.sip.trunk import TrunkSpec
from tests.sip_legs import sip_legs

_CALL = CallId("call_mirror")
_LEG = LegId("leg_mirror")


class Mirror:
    """Answers one call, from anywhere on loopback."""

    def __init__(self, codecs: tuple[str, ...] = ("PCMU", "PCMA")) -> None:
        self._events: list[LegEvent] = []
        self._news = asyncio.Event()
        self._endpoint = Endpoint(SipSettings(bind="127.0.0.1", udp_port=0, tcp_port=0, rtp_ports=(21000, 29000)))
        self._bridge = SipBridge(self._endpoint, lambda name: b"")
        self._legs = sip_legs(self._endpoint, self._bridge, lambda: _LEG, TrunkSpec("t", codecs))

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return self._endpoint.udp_port or 0

    async def codec(self) -> str:
        """What was agreed on, once the call is answered."""
        await self._until(lambda: bool(self._codecs))
        return self._codecs[0]

    async def digits(self, count: int) -> str:
        """Wait for so many keys."""
        await self._until(lambda: len(self._digits) >= count)
        return self._digits

    async def holds(self, count: int) -> list[str]:
        """Wait until the caller has changed its direction so often: the directions (RFC 3264 §8.4)."""
        await self._until(lambda: len(self._holds) >= count)
        return self._holds

    async def ended(self) -> LegEnded:
        """Wait for the end of the call."""
        await self._until(lambda: bool(self._ends))
        return self._ends[0]

    def hangs_up(self) -> None:
        """BYE."""
        self._legs.hangup(_LEG, causes.NORMAL, ())

    @property
    def _codecs(self) -> list[str]:
        return [event.codec for event in self._events if isinstance(event, LegAnswered)]

    @property
    def _digits(self) -> str:
        return "".join(event.digit for event in self._events if isinstance(event, DtmfReceived))

    @property
    def _holds(self) -> list[str]:
        return [event.hold.value for event in self._events if isinstance(event, LegHoldChanged)]

    @property
    def _ends(self) -> list[LegEnded]:
        return [event for event in self._events if isinstance(event, LegEnded)]

    def _on(self, event: LegEvent) -> None:
        self._events.append(event)
        if isinstance(event, LegOffered):
            self._bridge.set_hearing(_CALL, frozenset({Edge(LegParty(_LEG), LegParty(_LEG))}))
            self._legs.answer(_LEG)
        self._news.set()

    async def _until(self, seen: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(15):
                while not seen():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"it did not come; so far: {self._events}") from None

    async def __aenter__(self) -> Self:
        await self._legs.start(self._on, lambda *_: None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._legs.stop()
