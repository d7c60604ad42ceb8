"""Which ports of PJSIP's bridge are connected, as each call wants it; the PJSIP thread's half of media.SipBridge."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pjsua2 as pj

from gateway.calls.model import BotParty, CallId, Edge, LegId, LegParty, MusicParty, Party
from gateway.sip.endpoint import Endpoint, reason_of
from gateway.telemetry.log import get_logger

log = get_logger(__name__)


class Mixer:
    """All calls' edges. Every method but the constructor belongs to the PJSIP thread.

    A port without a listener is not pulled by PJSIP's bridge, so a voice whose listeners went away (peer on hold) would
    stand still and its marks would never come: it is then connected to the null device (slot 0) and plays into nothing.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._legs: dict[LegId, Any] = {}
        self._voices: dict[CallId, Any] = {}
        self._music: dict[str, Any] = {}
        self._tones: dict[str, Callable[[], Any]] = {}
        self._own: dict[tuple[CallId, str], Any] = {}
        """The tones that calls hear, each from its beginning."""
        self._wanted: dict[CallId, frozenset[Edge]] = {}
        self._connected: dict[CallId, set[Edge]] = {}
        self._calls_of: defaultdict[Party, set[CallId]] = defaultdict(set)
        self._heard: set[CallId] = set()
        self._idle: set[CallId] = set()
        self._nothing: Any = None
        self._pulse: Any = None

    def leg_media(self, leg_id: LegId, audio: Any) -> None:
        """The leg has a new slot, or none: what was connected to the old one is gone with it."""
        if audio is None:
            self._legs.pop(leg_id, None)
        else:
            self._legs[leg_id] = audio
        party = LegParty(leg_id)
        for call_id in list(self._calls_of.get(party, ())):
            self._connected[call_id] -= {e for e in self._connected[call_id] if party in (e.source, e.sink)}
            self._apply(call_id)

    def leg_gone(self, leg_id: LegId) -> None:
        """The leg has ended; the call's next `want` will not name it any more."""
        self.leg_media(leg_id, None)

    def add_voice(self, call_id: CallId, port: Any, clock_rate: int) -> None:
        """Put a call's port into the bridge."""
        port.createPort(clock_rate, clock_rate // 50)
        self._voices[call_id] = port
        self._apply(call_id)

    def add_music(self, name: str, port: Any, clock_rate: int) -> None:
        """Put a shared source into the bridge."""
        port.createPort(clock_rate, clock_rate // 50)
        self._music[name] = port
        for call_id in list(self._calls_of.get(MusicParty(name), ())):
            self._apply(call_id)

    def add_tone(self, name: str, make: Callable[[], Any], clock_rate: int) -> None:
        """A source that each call has of its own, made when it is wanted: in one that all share, a caller might come
        into the pause between two rings, and hear nothing for seconds."""

        def made() -> Any:
            port = make()
            port.createPort(clock_rate, clock_rate // 50)
            return port

        self._tones[name] = made
        for call_id in list(self._calls_of.get(MusicParty(name), ())):
            self._apply(call_id)

    def add_pulse(self, port: Any, clock_rate: int) -> None:
        """Put a port into the bridge that is always there, so that the media clock is seen between calls too."""
        port.createPort(clock_rate, clock_rate // 50)
        self._pulse = port

    def want(self, call_id: CallId, edges: frozenset[Edge]) -> None:
        """From now on exactly these edges."""
        self._note_parties(call_id, edges)
        self._wanted[call_id] = edges
        self._connected.setdefault(call_id, set())
        self._apply(call_id)

    def close_call(self, call_id: CallId) -> None:
        """Disconnect and forget a call, and close its port."""
        if call_id in self._wanted:
            self.want(call_id, frozenset())
            del self._wanted[call_id], self._connected[call_id]
        self._heard.discard(call_id)
        self._idle.discard(call_id)
        port = self._voices.pop(call_id, None)
        if port is not None:
            port.close()
            self._endpoint.bury(port)

    def close(self) -> None:
        """Close every port; PJSIP ends next."""
        for call_id in set(self._wanted) | set(self._voices):
            self.close_call(call_id)
        for port in self._music.values():
            port.close()
        self._music.clear()
        self._tones.clear()
        if self._pulse is not None:
            self._pulse.close()
        self._pulse = None
        self._legs.clear()
        self._nothing = None

    @property
    def ports(self) -> int:
        """Ports of calls in the bridge; shared sources stay as long as the bridge."""
        return len(self._legs) + len(self._voices) + len(self._own)

    def _note_parties(self, call_id: CallId, edges: frozenset[Edge]) -> None:
        before = {party for e in self._wanted.get(call_id, ()) for party in (e.source, e.sink)}
        after = {party for e in edges for party in (e.source, e.sink)}
        for party in after - before:
            if not isinstance(party, BotParty):
                self._calls_of[party].add(call_id)
        for party in before - after:
            if party in self._calls_of:
                self._calls_of[party].discard(call_id)
                if not self._calls_of[party]:
                    del self._calls_of[party]

    def _port(self, call_id: CallId, party: Party) -> Any:
        if isinstance(party, LegParty):
            return self._legs.get(party.leg_id)
        if isinstance(party, BotParty):
            return self._voices.get(call_id)
        if party.name not in self._tones:
            return self._music.get(party.name)
        own = (call_id, party.name)
        if own not in self._own:
            self._own[own] = self._tones[party.name]()
        return self._own[own]

    def _drop_tones(self, call_id: CallId, wanted: frozenset[Edge]) -> None:
        sources = {edge.source for edge in wanted}
        for own in [own for own in self._own if own[0] == call_id and MusicParty(own[1]) not in sources]:
            port = self._own.pop(own)
            port.close()
            self._endpoint.bury(port)

    def _apply(self, call_id: CallId) -> None:
        wanted = self._wanted.get(call_id)
        if wanted is None:
            return
        have = self._connected[call_id]
        for edge in have - wanted:
            have.discard(edge)
            self._link(call_id, edge, connect=False)
        for edge in wanted - have:
            if self._link(call_id, edge, connect=True):
                have.add(edge)
        self._drop_tones(call_id, wanted)
        self._keep_running(call_id, wanted, have)

    def _link(self, call_id: CallId, edge: Edge, *, connect: bool) -> bool:
        source, sink = self._port(call_id, edge.source), self._port(call_id, edge.sink)
        if source is None or sink is None:
            return False
        try:
            if not connect:
                source.stopTransmit(sink)
            elif edge.level == 1.0:
                source.startTransmit(sink)
            else:
                level = pj.AudioMediaTransmitParam()
                level.level = edge.level
                source.startTransmit2(sink, level)
        except pj.Error as error:
            log.warning("bridge.link_failed", call_id=call_id, connect=connect, detail=reason_of(error))
            return False
        return True

    def _keep_running(self, call_id: CallId, wanted: frozenset[Edge], have: set[Edge]) -> None:
        """Let a voice without a listener play into nothing, unless its first listener is still to come."""
        voice = self._voices.get(call_id)
        if voice is None:
            return
        listened = any(isinstance(edge.source, BotParty) for edge in have)
        if listened:
            self._heard.add(call_id)
        expected = any(isinstance(edge.source, BotParty) for edge in wanted)
        idle = not listened and (not expected or call_id in self._heard)
        if idle == (call_id in self._idle):
            return
        if self._nothing is None:
            self._nothing = pj.Endpoint.instance().audDevManager().getPlaybackDevMedia()
        if idle:
            voice.startTransmit(self._nothing)
            self._idle.add(call_id)
        else:
            voice.stopTransmit(self._nothing)
            self._idle.discard(call_id)
